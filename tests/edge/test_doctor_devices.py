"""What the doctor makes of facts about cameras and the Coral: a table a subject."""

import pytest

from fer_edge.edge.doctor import cameras, coral
from fer_edge.edge.doctor.child import Heard, Outcome
from fer_edge.edge.doctor.finding import Finding
from fer_edge.edge.doctor.interpreter import Interpreter

from .findings import SENSOR, only, stick, told
from .test_board import write_tree

PYTHON = Interpreter(executable="/opt/venv/bin/python", prefix="/opt/venv")
LATE = Outcome(why="it did not come back within 3.9 s", late_s=1.0)
STUCK = Outcome(why="it did not come back within 3.9 s", late_s=3.0)


# -------------------------------------------------------------------------------- USB cameras

DEVICE = {"address": "/dev/video8", "name": "C920", "usb": True}
SIZE = Outcome({"size_wh": [640, 480]})
MUTE = Outcome({"size_wh": None})


def usb(outcome, *, device=DEVICE, held=(), group="in") -> list[Finding]:
    steps = {"devices": Outcome([device]), "camera /dev/video8": outcome}
    heard = Heard({name: step for name, step in steps.items() if step is not None})
    return list(cameras.judge_usb(heard, lambda _: list(held), group, ""))


def test_a_camera_that_delivers():
    assert only(usb(SIZE)) == Finding("ok", "camera /dev/video8", "C920: delivers, 640x480")


def test_a_node_that_is_no_camera_is_not_spoken_of():
    assert usb(Outcome({"captures": False})) == []


# Each case: what came of it, what is otherwise, the state, parts of the text and of the cure.
USB = [
    (MUTE, {}, "problem", "delivers no frame", "plug it in again"),
    (MUTE, {"device": {**DEVICE, "usb": False}}, "note", "is not on USB", "fer-edge cameras"),
    (MUTE, {"held": ["motion (process 7)"]}, "note", "motion (process 7) has it open", "fuser"),
    (Outcome({"allowed": False}), {"group": "out"}, "problem", "may not use", "usermod -aG video"),
    (Outcome({"allowed": False}), {"group": "soon"}, "problem", "may not use", "# log out"),
    (STUCK, {}, "problem", "did not come back within 3.9 s", "plug it in"),
    (LATE, {}, "warning", "did not come back within 3.9 s", "doctor --limit"),
    (None, {}, "problem", "not tried", "plug"),
]


@pytest.mark.parametrize(("outcome", "more", "state", "text", "cure"), USB)
def test_a_camera_that_does_not_deliver(outcome, more, state, text, cure):
    finding = only(usb(outcome, **more))

    assert finding.state == state
    assert text in finding.found
    assert cure in finding.cure


@pytest.mark.parametrize("steps", [{}, {"devices": Outcome(why="ImportError: x")}])
def test_cameras_that_cannot_be_looked_for(steps):
    found = list(cameras.judge_usb(Heard(steps), lambda _: [], "in", ""))

    assert told(cameras.none_at_all(found)) == [("warning", "cameras")]


def test_no_camera_is_a_choice():
    assert told(cameras.none_at_all([])) == [("note", "cameras")]


# Each case: what came of the source that was asked for, the state.
SOURCES = [
    (Outcome({"name": "door", "size_wh": [64, 48]}), "ok"),
    (Outcome({"name": "door", "size_wh": None}), "problem"),
    (Outcome(why="CameraError: Cannot open rtsp://door/live", kind="CameraError"), "problem"),
    (LATE, "warning"),
    (None, "warning"),
]


@pytest.mark.parametrize(("outcome", "state"), SOURCES)
def test_a_source_of_one_s_own(outcome, state):
    source = "rtsp://me:secret@door/live"
    heard = Heard({f"camera {source}": outcome} if outcome else {})

    finding = only(cameras.judge_usb(heard, lambda _: [], "in", source))

    assert (finding.state, finding.name) == (state, "camera rtsp://door/live")
    assert "secret" not in f"{finding.found} {finding.cure}"


def test_the_program_that_holds_a_camera_is_named(tmp_path):
    write_tree(tmp_path, {"proc/7/comm": "motion\n", "proc/8/comm": "cat\n"})
    for process, target in ((7, "/dev/video0"), (8, "/dev/null")):
        folder = tmp_path / f"proc/{process}/fd"
        folder.mkdir()
        (folder / "3").symlink_to(target)

    assert cameras.holders(tmp_path, "/dev/video0") == ["motion (process 7)"]
    assert cameras.holders(tmp_path, "/dev/video1") == []


def test_the_group_video_is_known_by_the_process_and_by_the_system(monkeypatch):
    group = type("Group", (), {"gr_gid": 44, "gr_mem": ["me"]})
    monkeypatch.setattr(cameras.grp, "getgrnam", lambda _: group)
    monkeypatch.setattr(cameras.pwd, "getpwuid", lambda _: type("User", (), {"pw_name": "me"}))
    monkeypatch.setattr(cameras.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(cameras.os, "getgroups", lambda: [4, 44])
    assert cameras.video_group() == "in"
    monkeypatch.setattr(cameras.os, "getgroups", lambda: [4])
    assert cameras.video_group() == "soon"
    group.gr_mem = []
    assert cameras.video_group() == "out"


# -------------------------------------------------------------------------------- CSI cameras

CAMERA = {"position": 0, "number": 1, "model": "imx708_wide"}
GOOD_PICAMERA2 = {"picamera2": Outcome("/usr/lib/…"), "csi": Outcome([CAMERA])}
NO_LIBCAMERA = {"picamera2": Outcome(why="No module named 'libcamera'")}
ABI = {"picamera2": Outcome(why="ValueError: numpy.dtype size changed, may indicate binary")}
PI = Interpreter(board="Raspberry Pi 4", apt_picamera2=True)
CLOSED = Interpreter(board="Raspberry Pi 4", apt_picamera2=True, system_packages=False)
# Each case: the steps or None, the sensors, the Python, what is found, a part of the first cure.
CSI = [
    # picamera2 is not seen, with and without a camera.
    (None, [], Interpreter(), [("ok", "picamera2")], ""),
    (None, [], Interpreter(board="Raspberry Pi 5"), [("note", "picamera2")], "apt install"),
    (None, SENSOR, Interpreter(), [("problem", "picamera2")], "apt install"),
    (None, SENSOR, CLOSED, [("problem", "picamera2")], "pyvenv.cfg"),
    (None, SENSOR, PI, [("problem", "picamera2")], "/usr/bin/python3 -m venv"),
    # It is there and does not load.
    (NO_LIBCAMERA, SENSOR, PI, [("problem", "picamera2")], "apt install"),
    (NO_LIBCAMERA, [], PI, [("warning", "picamera2")], "apt install"),
    (ABI, SENSOR, PI, [("problem", "picamera2")], '"numpy<2"'),
    ({"picamera2": Outcome(why="KeyError: 1")}, SENSOR, PI, [("problem", "picamera2")], "--reins"),
    ({}, SENSOR, PI, [("problem", "picamera2")], ""),
    ({"picamera2": LATE}, SENSOR, PI, [("warning", "picamera2")], "--limit"),
    (
        {**GOOD_PICAMERA2, "camera csi:0": LATE},
        SENSOR,
        PI,
        [("ok", "picamera2"), ("warning", "camera csi:0")],
        "",
    ),
    (
        {**GOOD_PICAMERA2, "camera csi:0": STUCK},
        SENSOR,
        PI,
        [("ok", "picamera2"), ("problem", "camera csi:0")],
        "",
    ),
    # It lists nothing, fails to, or finds another camera than one that works.
    (
        {"picamera2": Outcome("x"), "csi": Outcome([])},
        SENSOR,
        PI,
        [("ok", "picamera2"), ("problem", "camera csi:0")],
        "",
    ),
    ({"picamera2": Outcome("x"), "csi": Outcome([])}, [], PI, [("ok", "picamera2")], ""),
    (
        {"picamera2": Outcome("x"), "csi": Outcome(why="it ended")},
        [],
        PI,
        [("warning", "picamera2")],
        "ribbon",
    ),
    # Not tried, as another camera was asked for.
    (GOOD_PICAMERA2, SENSOR, PI, [("ok", "picamera2")], ""),
    (
        {**GOOD_PICAMERA2, "camera csi:0": SIZE},
        SENSOR,
        PI,
        [("ok", "picamera2"), ("ok", "camera csi:0")],
        "",
    ),
    (
        {**GOOD_PICAMERA2, "camera csi:0": Outcome(why="Pipeline handler in use by another")},
        SENSOR,
        PI,
        [("ok", "picamera2"), ("note", "camera csi:0")],
        "",
    ),
    (
        {**GOOD_PICAMERA2, "camera csi:0": Outcome(why="CameraError: none for 2 s")},
        SENSOR,
        PI,
        [("ok", "picamera2"), ("problem", "camera csi:0")],
        "",
    ),
]


@pytest.mark.parametrize(("steps", "sensors", "python", "expected", "cure"), CSI)
def test_the_ribbon_cable(steps, sensors, python, expected, cure):
    late = steps is not None and steps.get("picamera2") is LATE
    heard = None if steps is None else Heard(steps, late=late)
    found = list(cameras.judge_csi(heard, sensors, python))

    assert told(found) == expected
    assert cure in found[0].cure


# Each case: names of the kernel's nodes, the sensors.
NODES = [
    ({"v4l-subdev0": "imx219 10-0010", "video0": "unicam-image"}, ["imx219 10-0010"]),
    ({"v4l-subdev0": "pisp-fe", "v4l-subdev2": "ov5647 4-0036"}, ["ov5647 4-0036"]),
    ({"video0": "unicam-image", "video1": "unicam-embedded"}, ["unicam-image"]),
    ({"video0": "C920", "video10": "bcm2835-codec-decode"}, []),
    ({}, []),
]


@pytest.mark.parametrize(("nodes", "sensors"), NODES)
def test_the_kernel_knows_what_is_on_the_ribbon(tmp_path, nodes, sensors):
    names = {f"sys/class/video4linux/{node}/name": f"{name}\n" for node, name in nodes.items()}
    write_tree(tmp_path, names)

    assert cameras.csi_sensors(tmp_path) == sensors


# -------------------------------------------------------------------------------------- Coral

CARD = {
    "sys/bus/pci/devices/0000:01:00.0/vendor": "0x1ac1\n",
    "sys/bus/pci/devices/0000:01:00.0/device": "0x089a\n",
}
# Each case: the machine's files, whether the user may, the state, parts of the text and the cure.
CORALS = [
    (stick("1a6e", "089a", "480"), True, "ok", "without firmware yet", ""),
    (stick("18d1", "9302", "5000"), True, "ok", "on USB, 5000 Mbit/s", ""),
    (stick("18d1", "9302", "480"), True, "warning", "USB 2 (480 Mbit/s)", "blue socket"),
    (stick("18d1", "9302", "?"), True, "ok", "on USB", ""),
    (stick("18d1", "9302", "5000"), False, "problem", "/dev/bus/usb/002/013", "pi-setup --coral"),
    (stick("1a6e", "089a", "480"), False, "problem", "may not use", "plugdev"),
    ({**CARD, "dev/apex_0": ""}, True, "ok", "on PCIe", ""),
    ({**CARD, "dev/apex_0": ""}, False, "problem", "apex_0", "usermod -aG apex"),
    (CARD, True, "problem", "no /dev/apex_0", "gasket-dkms"),
]


@pytest.mark.parametrize(("files", "may", "state", "text", "cure"), CORALS)
def test_a_coral_is_known_by_its_ids(tmp_path, files, may, state, text, cure):
    devices = coral.find_devices(write_tree(tmp_path, files), lambda _: may)

    found = list(coral.judge(devices, "", Heard({"library": Outcome("")}), "2.3.0", PYTHON))

    assert told(found) == [(state, "Coral"), ("note", "libedgetpu")]
    assert text in found[0].found
    assert cure in found[0].cure


def test_no_coral_is_no_trouble(tmp_path):
    assert coral.find_devices(write_tree(tmp_path, {"sys/bus/usb/devices/1-1/idVendor": ""})) == []
    finding = only(coral.judge([], "libedgetpu1-std 16.0", None, "", PYTHON))
    assert finding.state == "ok"
    assert "libedgetpu1-std 16.0 is installed" in finding.found


STATUS = """\
Package: libedgetpu-dev
Status: install ok installed
Version: 1

Package: libedgetpu1-std
Status: {status}
Architecture: arm64
Version: {version}
"""


@pytest.mark.parametrize(
    ("status", "package"),
    [
        ("install ok installed", "libedgetpu1-std 16.0tf2.19.1-1"),
        ("deinstall ok config-files", ""),
    ],
)
def test_the_library_s_package_is_debian_s_word(tmp_path, status, package):
    text = STATUS.format(status=status, version="16.0tf2.19.1-1")
    write_tree(tmp_path, {"var/lib/dpkg/status": text})

    assert coral.library_package(tmp_path) == package
    assert coral.library_package(tmp_path / "nowhere") == ""


@pytest.mark.parametrize(
    ("package", "google"),
    [
        ("libedgetpu1-std 16.0", True),
        ("libedgetpu1-max 15.0", True),
        ("libedgetpu1-std 16.0tf2.17.1-1.ubuntu24.04", False),
        ("libedgetpu1-std 16.0TF2.19.1-1", False),
        ("", False),
    ],
)
def test_google_s_builds_are_told_from_others(package, google):
    assert coral.is_google_s(package) is google


LIBRARY = {"library": Outcome("libedgetpu.so.1"), "version": Outcome("RuntimeVersion(14)")}
FAILED = Outcome(why="ModelError: Failed to load delegate from libedgetpu.so.1", kind="ModelError")
CRASHED = Outcome(why="it ended its process (SIGSEGV)")
FERANICK, GOOGLE = "libedgetpu1-std 16.0tf2.19.1-1", "libedgetpu1-std 16.0"
# Each case: the steps, the package, whether the user may, the state, parts of text and cure.
DELEGATES = [
    ({**LIBRARY, "delegate": Outcome(None)}, FERANICK, True, "ok", "RuntimeVersion(14)", ""),
    ({**LIBRARY, "delegate": Outcome(None)}, "", True, "ok", "libedgetpu.so.1", ""),
    ({**LIBRARY, "delegate": Outcome(None)}, GOOGLE, True, "warning", "53 and 67", "feranick"),
    ({**LIBRARY, "delegate": FAILED}, FERANICK, True, "problem", "Failed to load", "plug it in"),
    ({**LIBRARY, "delegate": FAILED}, FERANICK, False, "problem", "Failed to load", "--coral"),
    ({**LIBRARY, "delegate": LATE}, FERANICK, True, "warning", "did not come", "--limit"),
    ({**LIBRARY, "delegate": CRASHED}, FERANICK, True, "problem", "SIGSEGV", "feranick"),
    ({**LIBRARY, "delegate": CRASHED}, GOOGLE, True, "problem", "LiteRT 2.3.0", "feranick"),
    ({**LIBRARY, "version": CRASHED}, GOOGLE, True, "problem", "SIGSEGV", "feranick"),
    ({"library": Outcome("")}, "", True, "note", "is not installed", "feranick"),
    ({"library": Outcome(why="No module named 'numpy'")}, "", True, "warning", "numpy", "doctor"),
    ({}, "", True, "warning", "the runtime must load first", "doctor"),
]


@pytest.mark.parametrize(("steps", "package", "may", "state", "text", "cure"), DELEGATES)
def test_the_library_is_tried(steps, package, may, state, text, cure):
    device = coral.Device("usb", speed_mbps=5000, node="/dev/bus/usb/002/013", allowed=may)

    _, finding = coral.judge([device], package, Heard(steps), "2.3.0", PYTHON)

    told([finding])
    assert finding.state == state
    assert text in finding.found
    assert cure in finding.cure
