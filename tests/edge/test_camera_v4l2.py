"""USB cameras: what drivers say, names that stay, and real OpenCV on a device that is made up."""

import errno
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_edge.edge.cameras import v4l2, v4l2_modes
from fer_edge.edge.cameras.listing import list_cameras
from fer_edge.edge.cameras.v4l2 import stable_name
from fer_edge.edge.cameras.v4l2_modes import CameraMode, ask_driver

from ..conftest import encode

# From linux/videodev2.h, as a C compiler computes them on x86-64 and arm64.
QUERYCAP, ENUM_FMT, ENUM_SIZES, ENUM_INTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
CAPTURE, META, M2M = 0x1, 0x800000, 0x4000


class Driver:
    """Answers as a kernel does, for formats ``{code: [(size, [(numerator, denominator)])]}``."""

    def __init__(self, formats=(), *, own=CAPTURE, whole=CAPTURE | META, ranges=False):
        self.formats, self.own, self.whole, self.ranges = dict(formats), own, whole, ranges

    def __call__(self, descriptor, request, answer):
        if request == QUERYCAP:
            struct.pack_into("II", answer, 84, self.whole | 0x80000000, self.own)
            return
        index = struct.unpack_from("I", answer)[0]
        # EINVAL is how a driver says that there are no more.
        try:
            if request == ENUM_FMT:
                assert struct.unpack_from("I", answer, 4)[0] == CAPTURE
                answer[44:48] = list(self.formats)[index]
            elif request == ENUM_SIZES:
                size, _ = self.formats[bytes(answer[4:8])][index]
                if self.ranges:
                    struct.pack_into("I6I", answer, 8, 3, 16, size[0], 8, 16, size[1], 8)
                else:
                    struct.pack_into("III", answer, 8, 1, *size)
            elif request == ENUM_INTERVALS:
                wanted = struct.unpack_from("II", answer, 8)
                rates = dict(self.formats[bytes(answer[4:8])])[wanted]
                struct.pack_into("III", answer, 16, 3 if self.ranges else 1, *rates[index])
            else:
                raise OSError(errno.ENOTTY, "no such request")
        except IndexError:
            raise OSError(errno.EINVAL, "no more") from None


VGA, HD = ((640, 480), [(1, 30), (1, 15)]), ((1280, 720), [(1, 30), (2, 15), (1001, 30000)])
C920 = {b"YUYV": [VGA], b"MJPG": [VGA, HD]}


def test_the_modes_of_a_webcam():
    assert ask_driver(os.devnull, Driver(C920)) == (
        True,
        (
            CameraMode("YUYV", (640, 480), (30.0, 15.0)),
            CameraMode("MJPG", (640, 480), (30.0, 15.0)),
            CameraMode("MJPG", (1280, 720), (30.0, 29.97, 7.5)),
        ),
    )


def test_of_ranges_the_largest_size_and_the_highest_rate():
    driver = Driver({b"YUYV": [((1920, 1080), [(1, 60)])] * 2}, ranges=True)

    assert ask_driver(os.devnull, driver) == (True, (CameraMode("YUYV", (1920, 1080), (60.0,)),))


# Each case: the driver, whether it may be a camera.
DRIVERS = [
    (Driver(own=META), False),  # a webcam's second node
    (Driver(own=M2M, whole=M2M), False),  # a codec
    (Driver(), True),  # lists nothing, and yet captures
]


@pytest.mark.parametrize(("driver", "able"), DRIVERS)
def test_only_what_captures_is_a_camera(driver, able):
    assert ask_driver(os.devnull, driver) == (able, ())


def test_a_driver_that_counts_for_ever_is_not_followed(monkeypatch):
    monkeypatch.setattr(v4l2_modes, "_MOST", 8)

    class Endless(Driver):
        def __call__(self, descriptor, request, answer):
            answer[0:4] = bytes(4)
            super().__call__(descriptor, request, answer)

    able, modes = ask_driver(os.devnull, Endless({b"MJPG": [VGA]}))

    assert able
    assert len(modes) == 8 * 8


@pytest.mark.parametrize("device", ["no/such/device", os.devnull])
def test_what_cannot_be_asked_is_left_to_a_trial(device):
    # The kernel knows no such request for /dev/null.
    assert ask_driver(device) == (True, ())


# ---------------------------------------------------------------------------------- names that stay


@pytest.fixture
def machine(tmp_path):
    """Device files 0 to 3 and their links."""
    for number in range(4):
        (tmp_path / f"video{number}").touch()

    def link(name: str, number: int) -> str:
        path = tmp_path / "v4l" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(tmp_path / f"video{number}")
        return str(path)

    link.at = tmp_path
    return link


def test_a_device_is_known_by_its_serial_number_else_by_its_socket(machine):
    named = machine("by-id/usb-046d_C920_1234-video-index0", 2)
    machine("by-path/platform-usb-0:1.2:1.0-video-index0", 2)
    # Two of a kind without serial numbers share a name by-id, which leads to one of them.
    machine("by-id/usb-Cheap-video-index0", 0)
    socket = machine("by-path/platform-usb-0:1.4:1.0-video-index0", 1)

    found = [stable_name(str(machine.at / f"video{n}"), machine.at / "v4l") for n in (2, 1, 3)]

    assert found == [named, socket, str(machine.at / "video3")]
    assert stable_name(named, machine.at / "v4l") == named


def test_a_camera_that_comes_back_under_another_number_is_found(machine, monkeypatch):
    link = Path(machine("by-id/usb-C920", 2))
    opened = []

    class FakeCapture:
        opened = True

        def __init__(self, address, backend):
            opened.append(Path(address).name)

        def set(self, what, value):
            return True

        def get(self, what):
            return 0.0

        def close(self):
            pass

    monkeypatch.setattr(v4l2, "Capture", FakeCapture)
    monkeypatch.setattr(v4l2, "LINKS", machine.at / "v4l")
    asked = {"name": "C920", "size_wh": (640, 480), "fps": 30, "colour": True, "say": print}
    camera = v4l2.V4l2Camera(str(machine.at / "video2"), **asked)
    link.unlink()
    assert camera.reachable() is False
    machine("by-id/usb-C920", 3)

    assert camera.reachable() is True
    again = camera.renew()
    assert (opened, again.name) == (["video2", "video3"], f"C920 ({link})")


def test_the_list_tells_names_that_stay_and_modes(machine):
    named = machine("by-id/usb-C920", 2)
    mode = CameraMode("MJPG", (640, 480), (30.0,))

    found = list_cameras(
        csi=list,
        devices=machine.at,
        names=machine.at,
        delivers=lambda device: device[-1] in "02",
        ask=lambda device: (True, (mode,)),
    )

    assert [(camera.position, camera.stable, camera.modes) for camera in found] == [
        (0, "", (mode,)),
        (1, named, (mode,)),
    ]


# ------------------------------------------------------- real OpenCV, on a device that is made up

# What runs in a process of its own, with the made-up device under OpenCV and Python.
PLAY = """
import json, sys, time
from pathlib import Path
from fer_edge.edge.cameras import open_camera
from fer_edge.edge.cameras import v4l2, v4l2_modes
from fer_edge.edge.cameras.listing import list_cameras
from fer_edge.edge.errors import CameraError

folder, colour = Path(sys.argv[1]), sys.argv[2] == "colour"
device, said = folder / "video0", []
told = {"list": [str(mode) for mode in list_cameras(devices=folder, names=folder)[0].modes]}
camera = open_camera(f"usb:{device}", size_wh=(320, 240), fps=15, colour=colour, say=said.append)
frames = [camera.read() for _ in range(12)]
told["means"] = [round(float(frame.image.mean())) for frame in frames]
told["shape"], told["fps"] = frames[-1].image.shape, camera.fps
told["skipped"], told["said"] = camera.skipped, len(said)

def until_gone():
    began = time.monotonic()
    try:
        while True:
            camera.read()
    except CameraError as error:
        return str(error), time.monotonic() - began

(folder / "mute").touch()
told["mute"] = until_gone()
(folder / "mute").unlink()
camera.close()
camera = camera.renew()
told["again"] = camera.read().image.shape
device.unlink()
told["unplugged"] = until_gone()
camera.close()
told["reachable"] = camera.reachable()
try:
    camera.renew()
except CameraError as error:
    told["not yet"] = str(error)
device.touch()
told["plugged"] = camera.reachable(), camera.renew().read().image.shape
print(json.dumps(told))
"""


@pytest.fixture
def device(tmp_path) -> tuple[Path, dict[str, str]]:
    """A folder with the made-up camera, and the environment in which it is one."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc (apt) to build the made-up device")
    source, library = Path(__file__).with_name("fake_v4l2.c"), tmp_path / "fake_v4l2.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    pictures = [
        encode(np.full((240, 320, 3), shade, np.uint8), ".jpg") for shade in (20, 40, 60, 80)
    ]
    # Cut within the coded data, whose end alone is missing then.
    pictures[2] = pictures[2][:-20]
    for number, data in enumerate(pictures):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    (tmp_path / "video0").touch()
    return tmp_path, {**os.environ, "LD_PRELOAD": str(library), "FAKE_V4L2": str(tmp_path)}


def play(device, how: str) -> dict:
    folder, environment = device
    done = subprocess.run(
        [sys.executable, "-c", PLAY, folder, how],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "shape"), [("colour", [240, 320, 3]), ("grey", [240, 320])])
def test_a_usb_camera_is_asked_for_mjpeg_and_survives_its_faults(device, how, shape):
    told = play(device, how)

    assert len(told["list"]) == 4
    assert "MJPG" in told["list"][0]
    # The third picture is cut: it is left out, not shown in part or as the one before.
    # OpenCV keeps the very first one for itself.
    assert told["means"] == [40, 80, 20] * 4
    assert (told["shape"], told["fps"], told["said"]) == (shape, 15, 1)
    assert 3 <= told["skipped"] <= 4
    for fault in ("mute", "unplugged"):
        message, seconds = told[fault]
        assert "stopped delivering frames. Is it still plugged in?" in message
        assert seconds < 5
    assert told["again"] == shape
    assert told["reachable"] is False
    assert "it is not plugged in, or has another name by now" in told["not yet"]
    assert told["plugged"] == [True, shape]
    asked = (device[0] / "asked").read_text()
    mjpeg = f"format {int.from_bytes(b'MJPG', 'little')} 320"
    assert mjpeg in asked


@pytest.mark.slow
def test_a_camera_without_mjpeg_is_taken_as_it_is(device):
    (device[0] / "no-mjpeg").touch()

    told = play(device, "colour")

    assert set(told["means"]) == {told["means"][0]}
    assert (told["shape"], told["skipped"]) == ([240, 320, 3], 0)
