"""The ribbon cable, against a picamera2 that is made up: what is asked of it, and its failures."""

import sys
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from fer_edge.edge import cameras
from fer_edge.edge.cameras import open_camera
from fer_edge.edge.cameras.csi import CsiCamera, csi_cameras
from fer_edge.edge.cameras.listing import CameraInfo, list_cameras
from fer_edge.edge.errors import CameraError

SIZE = (640, 480)


class FakePicamera2:
    """Notes what is asked of it, in the order of the calls; ``fails`` names calls that raise."""

    calls: ClassVar[list[tuple]]
    fails: ClassVar[dict[str, Exception]]
    infos = ({"Model": "imx708", "Num": 0, "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"},)

    def _called(self, name: str, *details) -> None:
        self.calls.append((name, *details))
        if name in self.fails:
            raise self.fails[name]

    def __init__(self, number: int):
        self._called("open", number)

    @classmethod
    def global_camera_info(cls):
        return list(cls.infos)

    def create_video_configuration(self, **asked):
        self._called("create", asked)
        return {"configuration": asked}

    def configure(self, configuration):
        self._called("configure", configuration)

    def start(self):
        self._called("start")

    def capture_array(self, stream, wait=None):
        self._called("capture", stream, wait)
        return np.full((*SIZE[::-1], 3), 7, np.uint8)

    def close(self):
        self._called("close")


@pytest.fixture
def picamera2(monkeypatch) -> type[FakePicamera2]:
    """A picamera2 that can be imported here."""

    class Fresh(FakePicamera2):
        calls, fails = [], {}

    module = ModuleType("picamera2")
    module.Picamera2 = Fresh
    monkeypatch.setitem(sys.modules, "picamera2", module)
    return Fresh


def open_csi() -> CsiCamera:
    return CsiCamera(0, name="imx708", size_wh=SIZE, fps=25.0)


def names(fake: type[FakePicamera2]) -> list[str]:
    return [call[0] for call in fake.calls]


def test_the_camera_is_asked_for_bgr_at_a_size_and_rate(picamera2):
    open_csi()

    asked = {
        # libcamera's name for what NumPy sees as blue, green, red.
        "main": {"size": SIZE, "format": "RGB888"},
        "controls": {"FrameRate": 25.0},
        "queue": False,
    }
    assert picamera2.calls == [
        ("open", 0),
        ("create", asked),
        ("configure", {"configuration": asked}),
        ("start",),
    ]


def test_frames_are_counted_and_asked_for_with_a_limit(picamera2):
    camera = open_csi()
    frames = [camera.read() for _ in range(3)]

    assert [frame.index for frame in frames] == [0, 1, 2]
    assert {frame.size_wh for frame in frames} == {SIZE}
    # Without a limit, capture_array() waits for ever.
    assert picamera2.calls[4:] == [("capture", "main", 2.0)] * 3
    assert (camera.lossless, camera.fps, camera.name) == (False, 25.0, "imx708 (CSI 0)")


@pytest.mark.parametrize("error", [TimeoutError(), RuntimeError("Camera frontend has timed out!")])
def test_a_camera_that_stops_delivering_is_a_camera_error(picamera2, error):
    with open_csi() as camera:
        camera.read()
        picamera2.fails["capture"] = error
        with pytest.raises(CameraError, match=r"imx708 \(CSI 0\) stopped delivering.*ribbon"):
            camera.read()

    assert names(picamera2)[-1] == "close"


def test_leaving_closes_the_camera(picamera2):
    with open_csi():
        assert "close" not in names(picamera2)

    assert names(picamera2).count("close") == 1


# Each case: the call that fails, how picamera2 does so.
FAILURES = [
    ("open", RuntimeError("Camera __init__ sequence did not complete.")),
    ("open", IndexError("list index out of range")),  # no camera of that number
    ("create", RuntimeError("no such format")),
    ("configure", RuntimeError("Failed to configure")),
    ("start", RuntimeError("Failed to start camera: Device or resource busy")),
    ("start", OSError(16, "Device or resource busy")),
]


@pytest.mark.parametrize(("call", "error"), FAILURES)
def test_a_camera_that_does_not_open_is_a_camera_error(picamera2, call, error):
    picamera2.fails[call] = error

    with pytest.raises(CameraError, match=r"Cannot open imx708 \(CSI 0\).*may hold it"):
        open_csi()


@pytest.mark.parametrize("call", ["configure", "start"])
def test_a_camera_that_does_not_start_is_let_go(picamera2, call):
    """Open twice in a process, it fails and takes the first with it: a new try must be possible."""
    picamera2.fails[call] = RuntimeError("busy")

    with pytest.raises(CameraError):
        open_csi()

    assert names(picamera2)[-1] == "close"


def test_picamera2_s_list_is_taken_as_it_is(picamera2):
    assert csi_cameras() == list(picamera2.infos)


def test_a_position_opens_the_camera_with_picamera2_s_number(picamera2, monkeypatch):
    there = [CameraInfo(0, "csi", "3", "imx219")]
    monkeypatch.setattr(cameras, "list_cameras", lambda: there)

    with open_camera("0", size_wh=(320, 240), fps=10) as camera:
        assert camera.name == "imx219 (CSI 3)"

    assert picamera2.calls[0] == ("open", 3)
    assert picamera2.calls[1][1]["main"]["size"] == (320, 240)
    assert picamera2.calls[1][1]["controls"] == {"FrameRate": 10}


@pytest.fixture
def cannot_import(monkeypatch):
    """Make ``import picamera2`` raise."""

    def install(error: Exception) -> None:
        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "picamera2":
                    raise error

        monkeypatch.delitem(sys.modules, "picamera2", raising=False)
        monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])

    return install


# How an import fails: absent, without libcamera's bindings, or built for another NumPy.
IMPORT_ERRORS = [
    ModuleNotFoundError("No module named 'picamera2'", name="picamera2"),
    ModuleNotFoundError("No module named 'libcamera'", name="libcamera"),
    ImportError("libcamera.so.0.5: cannot open shared object file"),
    ValueError("numpy.dtype size changed, may indicate binary incompatibility"),
]


@pytest.mark.parametrize("error", IMPORT_ERRORS, ids=lambda error: str(error)[:24])
def test_a_picamera2_that_cannot_be_imported_is_explained(cannot_import, error):
    cannot_import(error)

    with pytest.raises(CameraError, match=r"apt install\s+python3-picamera2.*system-site-packages"):
        open_csi()


@pytest.mark.parametrize("error", IMPORT_ERRORS, ids=lambda error: str(error)[:24])
def test_without_picamera2_usb_cameras_are_still_listed(cannot_import, error, tmp_path):
    cannot_import(error)
    (tmp_path / "video0").touch()

    found = list_cameras(devices=tmp_path, names=tmp_path, delivers=lambda device: True)

    assert [camera.kind for camera in found] == ["usb"]
