"""What the doctor makes of facts: a table a subject, with made-up /proc, /sys, /dev and /var."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.board import BoardState
from fer_edge.edge.doctor import cameras, coral, interpreter, machine, models, packages
from fer_edge.edge.doctor.child import Heard, Outcome
from fer_edge.edge.doctor.finding import Finding
from fer_edge.edge.doctor.interpreter import Interpreter

from .disks import small_disk
from .test_board import write_tree

PYTHON = Interpreter(executable="/opt/venv/bin/python", prefix="/opt/venv")
TRIXIE = Interpreter(executable="python", version=(3, 13, 5))


def told(findings) -> list[tuple[str, str]]:
    """States and names; every cure is there where it must be, and a shell takes it."""
    listed = list(findings)
    for finding in listed:
        assert finding.state == "ok" or finding.cure, finding
        done = subprocess.run(["bash", "-n"], input=finding.cure, text=True, check=False)
        assert done.returncode == 0, finding.cure
    return [(finding.state, finding.name) for finding in listed]


def only(findings) -> Finding:
    """The one finding, whose cure is checked as well."""
    listed = list(findings)
    told(listed)
    (finding,) = listed
    return finding


# --------------------------------------------------------------------------- the environment

# Each case: the Python, state of "Python" and "environment", a part of the cure.
PYTHONS = [
    (Interpreter(), "ok", "ok", ""),
    (Interpreter(version=(3, 14, 0)), "problem", "ok", ""),
    (Interpreter(version=(3, 9, 2)), "problem", "ok", ""),
    (Interpreter(in_venv=False), "ok", "note", "python3 -m venv --system-site-packages"),
    (Interpreter(in_venv=False, managed=True), "ok", "note", "python3 -m venv"),
    # apt's packages are not seen: on a Raspberry Pi, with apt's picamera2, where nobody needs them.
    (Interpreter(system_packages=False, board="Raspberry Pi 5"), "ok", "warning", "pyvenv.cfg"),
    (Interpreter(system_packages=False, apt_picamera2=True), "ok", "warning", "sed -i"),
    (Interpreter(system_packages=False), "ok", "ok", ""),
]


@pytest.mark.parametrize(("python", "version", "environment", "cure"), PYTHONS)
def test_python_and_its_environment(python, version, environment, cure):
    found = list(interpreter.judge_python(python))

    assert told(found) == [(version, "Python"), (environment, "environment")]
    assert cure in found[1].cure


def test_the_environment_is_opened_to_apt_s_packages_by_the_cure(tmp_path):
    config = tmp_path / "pyvenv.cfg"
    config.write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n")
    assert not interpreter._sees_system(config)

    cure = interpreter.see_system_packages(Interpreter(prefix=str(tmp_path)))
    subprocess.run(["bash", "-c", cure], check=True)

    assert interpreter._sees_system(config)
    assert "version = 3.11.2" in config.read_text()


def test_this_python_is_read(tmp_path):
    write_tree(tmp_path, {"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"})
    (tmp_path / "usr/lib/python3/dist-packages/picamera2").mkdir(parents=True)

    python = interpreter.read_interpreter(tmp_path)

    assert (python.board, python.apt_picamera2) == ("Raspberry Pi 5 Model B Rev 1.0", True)
    assert python.bits in (32, 64)
    assert interpreter.too_narrow(Interpreter()) is None


# Each case: what was said, the cause, a part of the cure.
SAID = [
    (
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 "
        "from C header, got 88 from PyObject",
        "another NumPy",
        '"numpy<2" "opencv-python-headless>=4.8.1,<4.12"',
    ),
    ("AttributeError: _ARRAY_API not found", "another NumPy", "numpy<2"),
    ("ImportError: numpy.core.multiarray failed to import", "another NumPy", "numpy<2"),
    (
        "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
        "libGL.so.1 of a desktop",
        "uninstall -y opencv-python",
    ),
    ("ImportError: libxcb.so.1: cannot open", "libxcb.so.1 of a desktop", "headless"),
    ("ModuleNotFoundError: No module named 'libcamera'", "from apt only", "python3-picamera2"),
    ("ModuleNotFoundError: No module named 'cv2'", "is not installed", "opencv-python-headless"),
    ("No module named 'ai_edge_litert'", "ai-edge-litert is not", "install ai-edge-litert"),
    ("/lib/libc.so.6: version `GLIBC_2.34' not found", "newer system", "# "),
    ("AttributeError: module has no attribute", "", "--force-reinstall numpy"),
]


@pytest.mark.parametrize(("said", "cause", "cure"), SAID)
def test_why_an_import_fails(said, cause, cure):
    found = packages.explain(said, PYTHON, "numpy")

    assert cause in found[0]
    assert cure in found[1]
    told([Finding("problem", "a", "b", found[1])])


def test_the_pair_goes_by_the_python():
    assert packages.explain("_ARRAY_API not found", TRIXIE, "x")[1] == (
        'python -m pip install "numpy>=2" "opencv-python-headless>=4.12,<5"'
    )


# --------------------------------------------------------------------------- NumPy and OpenCV

NUMPY = {"version": "1.24.2", "path": "numpy"}
OPENCV = {"version": "4.11.0", "path": "cv2", "cascade": True, "yunet": True}
LOADED = {"numpy": Outcome(NUMPY), "OpenCV": Outcome(OPENCV), "window": Outcome(None)}


LATE = Outcome(why="it did not come back within 3.9 s", late_s=1.0)
STUCK = Outcome(why="it did not come back within 3.9 s", late_s=3.0)


def native(changes: dict, twins=(), has_yunet=False, **lost) -> list[Finding]:
    steps = {name: step for name, step in {**LOADED, **changes}.items() if step is not None}
    return list(packages.judge_native(Heard(steps, **lost), PYTHON, twins, has_yunet=has_yunet))


def opencv(**changes) -> dict:
    return {"OpenCV": Outcome({**OPENCV, **changes})}


WELL = [("ok", "numpy"), ("ok", "OpenCV"), ("ok", "window")]
# Each case: what is otherwise, the findings.
NATIVE = [
    ({}, {}, WELL),
    ({"numpy": Outcome(why="ImportError: x")}, {}, [("problem", "numpy")]),
    ({"numpy": None, "OpenCV": None}, {"lost": "it ended"}, [("problem", "numpy")]),
    # Too little time is no proof that something is broken.
    ({"OpenCV": LATE}, {}, [WELL[0], ("warning", "OpenCV")]),
    ({"numpy": None}, {"lost": "it did not come back", "late": True}, [("warning", "numpy")]),
    ({"OpenCV": Outcome(why="it ended (SIGILL)")}, {}, [WELL[0], ("problem", "OpenCV")]),
    # OpenCV 5 has no cascade: no matter where YuNet is.
    (opencv(cascade=False), {}, [WELL[0], ("problem", "OpenCV"), WELL[2]]),
    (opencv(cascade=False), {"has_yunet": True}, [WELL[0], ("warning", "OpenCV"), WELL[2]]),
    (opencv(yunet=False), {"has_yunet": True}, [WELL[0], ("warning", "OpenCV"), WELL[2]]),
    # Debian 12's own, and two wheels in one folder.
    (opencv(version="4.6.0", yunet=False), {}, [WELL[0], ("warning", "OpenCV"), WELL[2]]),
    ({}, {"twins": ("opencv-python", "opencv-python-headless")}, [
        WELL[0],
        ("warning", "OpenCV"),
        WELL[2],
    ]),
    ({"window": Outcome("There is no screen here")}, {}, [*WELL[:2], ("note", "window")]),
    ({"window": Outcome(why="it ended")}, {}, [*WELL[:2], ("note", "window")]),
    ({"window": None}, {}, [*WELL[:2], ("note", "window")]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "more", "expected"), NATIVE)
def test_numpy_opencv_and_its_window(changes, more, expected):
    assert told(native(changes, **more)) == expected


def test_a_window_s_cure_is_the_other_wheel():
    said = "The installed OpenCV has no window code (it is the headless one). On a desktop: `pip x`"

    finding = native({"window": Outcome(said)})[-1]

    assert finding.found == "The installed OpenCV has no window code (it is the headless one)."
    assert '"opencv-python==4.11.0.*"' in finding.cure


def test_the_extras_are_information():
    wanted = [
        "numpy>=1",
        'starlette>=0.40; extra == "web"',
        'uvicorn; extra == "web"',
        "paho-mqtt>=2; extra == 'mqtt'",
        'ruff; extra == "dev"',
    ]

    finding = packages.judge_extras(wanted, {"starlette", "uvicorn"}.__contains__)

    assert (finding.state, finding.found) == ("ok", "installed: web; not installed: mqtt")
    assert packages.judge_extras([], bool).found == "none is known here"


def test_packages_that_do_not_load_are_named():
    def load(name):
        if name == "rich":
            raise SyntaxError("half a file")

    found = list(packages.look(PYTHON, 1.0, load))

    assert told(found) == [("problem", "rich"), ("ok", "extras")]
    assert "SyntaxError: half a file" in found[0].found


# --------------------------------------------------------------------------- models and runtime

DIGEST, RUN = Outcome("0f8b5a6e0108"), Outcome({"runtime": "litert"})
DAMAGED = Outcome(why="ModelError: a.tflite is damaged", kind="ModelError")
NO_LITERT = Outcome(why="No module named 'ai_edge_litert'", kind="ModuleNotFoundError")
NO_RUNTIME = Outcome(why="ModelError: No TFLite runtime works here (…)", kind="ModelError")
# Each case: what the child told of a and b, states of runtime, a and b.
MODELS = [
    ({"digest a": DIGEST, "digest b": DIGEST, "run a": RUN, "run b": RUN}, "ok ok ok"),
    ({"digest a": DAMAGED, "digest b": DIGEST, "run b": RUN}, "ok problem ok"),
    ({"digest a": DAMAGED, "digest b": DAMAGED}, "warning problem problem"),
    ({"digest a": NO_LITERT, "digest b": NO_LITERT}, "problem warning warning"),
    ({"digest a": DIGEST, "digest b": DIGEST, "run a": NO_RUNTIME}, "problem ok ok"),
    (
        {"digest a": DIGEST, "digest b": DIGEST, "run a": RUN, "run b": Outcome(why="it ended")},
        "problem ok ok",
    ),
    ({}, "problem warning warning"),
    ({"digest a": DIGEST, "digest b": DIGEST, "run a": LATE}, "warning ok ok"),
    ({"digest a": LATE}, "warning warning warning"),
    ({"digest a": DAMAGED, "digest b": DIGEST, "run b": LATE}, "problem problem ok"),
]


@pytest.mark.parametrize(("steps", "states"), MODELS)
def test_models_and_the_runtime(steps, states):
    late = LATE in steps.values()
    found = models.judge(Heard(steps, late=late), ["a", "b"], PYTHON, "2.3.0")

    assert told(found) == list(zip(states.split(), ["runtime", "model a", "model b"], strict=True))


def test_without_models_the_installation_is_not_whole():
    assert told(models.judge(Heard(), [], PYTHON, "")) == [("problem", "models")]


@pytest.mark.parametrize(
    ("state", "expected"), [("there", "ok"), ("missing", "note"), ("damaged", "problem")]
)
def test_a_fetched_model(state, expected):
    finding = only([models.judge_fetched("yunet", state, "/home/a b/yunet.onnx")])

    assert finding.state == expected
    if state == "damaged":
        assert finding.cure == "rm '/home/a b/yunet.onnx' && fer-edge models get yunet"


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

SENSOR = ["imx708_wide 10-001a"]
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


def stick(maker: str, product: str, speed: str) -> dict[str, str]:
    at = "sys/bus/usb/devices/2-1"
    return {
        "sys/bus/usb/devices/usb2/idVendor": "1d6b\n",
        "sys/bus/usb/devices/usb2/idProduct": "0003\n",
        f"{at}/idVendor": f"{maker}\n",
        f"{at}/idProduct": f"{product}\n",
        f"{at}/speed": f"{speed}\n",
        f"{at}/busnum": "2\n",
        f"{at}/devnum": "13\n",
        "dev/bus/usb/002/013": "",
    }


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


# -------------------------------------------------------------------------------- the machine

PLENTY = 2_000_000_000
# Each case: what the board says, the findings, a part of the cure of the first that is not ok.
BOARDS = [
    (BoardState(), [], ""),
    (BoardState(temperature_c=45.0), [("ok", "temperature")], ""),
    (BoardState(temperature_c=80.0), [("warning", "temperature")], "fan"),
    (BoardState(now=frozenset(), since_boot=frozenset()), [("ok", "power")], ""),
    (BoardState(now=frozenset({"undervoltage"})), [("warning", "power")], "power supply"),
    (BoardState(since_boot=frozenset({"throttled"})), [("note", "power")], "get_throttled"),
    (BoardState(now=frozenset({"soft temperature limit"})), [("warning", "power")], "heat sink"),
    # The kernel tells of the voltage, the firmware does not answer.
    (
        BoardState(model="Raspberry Pi 4", now=frozenset()),
        [("note", "power")],
        "usermod -aG video",
    ),
    (BoardState(free_bytes=PLENTY), [("ok", "memory")], ""),
    (BoardState(free_bytes=100_000_000), [("warning", "memory")], "ps "),
]


@pytest.mark.parametrize(("state", "expected", "cure"), BOARDS)
def test_the_board(state, expected, cure):
    found = list(machine.judge_board(state))

    assert told(found) == expected
    if cure:
        assert cure in found[0].cure


# Each case: governor and driver of two processors, the state.
GOVERNORS = [
    ([("ondemand", "cpufreq-dt"), ("ondemand", "cpufreq-dt")], "ok"),
    ([("schedutil", ""), ("performance", "")], "ok"),
    ([("powersave", "cpufreq-dt"), ("powersave", "cpufreq-dt")], "warning"),
    ([("ondemand", "cpufreq-dt"), ("powersave", "cpufreq-dt")], "warning"),
    ([("powersave", "intel_pstate")], "ok"),  # there it means: by load
    ([("powersave", "amd-pstate-epp")], "ok"),
    ([], "ok"),
]


@pytest.mark.parametrize(("processors", "state"), GOVERNORS)
def test_the_governor(tmp_path, processors, state):
    for number, (governor, driver) in enumerate(processors):
        at = f"sys/devices/system/cpu/cpu{number}/cpufreq"
        write_tree(tmp_path, {f"{at}/scaling_governor": f"{governor}\n"})
        if driver:
            write_tree(tmp_path, {f"{at}/scaling_driver": f"{driver}\n"})

    assert only([machine.judge_governor(machine.read_governors(tmp_path))]).state == state


# Each case: the disk, its state.
DISKS = [
    (machine.Disk("/", PLENTY), "ok"),
    (machine.Disk("/", 100_000_000), "warning"),
    (machine.Disk("/", 1_000_000), "problem"),
    (machine.Disk("/", PLENTY, read_only=True), "warning"),
]


@pytest.mark.parametrize(("disk", "state"), DISKS)
def test_a_disk(disk, state):
    assert only(machine.judge_disks([disk])).state == state


def test_a_disk_that_is_full(tmp_path):
    with small_disk(tmp_path / "full", 1) as folder:
        (folder / "all").write_bytes(bytes(900_000))

        (disk,) = machine.read_disks([folder / "not/there/yet", folder])

    assert disk.path == str(folder)
    assert only(machine.judge_disks([disk])).state == "problem"


def test_places_that_cannot_be_asked_are_left_out(monkeypatch):
    def fails(path):
        raise OSError("stale file handle")

    monkeypatch.setattr(os, "statvfs", fails)

    assert machine.read_disks([Path("/")]) == []


# ------------------------------------------------------- whatever was told, nothing falls over

OUTCOMES = st.builds(Outcome, why=st.text(min_size=1), kind=st.sampled_from(["", "ModelError"]))
NAMES = ["numpy", "OpenCV", "window", "devices", "camera x", "picamera2", "csi", "camera csi:0"]
NAMES += ["library", "version", "delegate", "digest a", "run a"]


@given(
    heard=st.builds(
        Heard, st.dictionaries(st.sampled_from(NAMES), OUTCOMES), said=st.text(), lost=st.text()
    )
)
def test_steps_that_fail_in_any_way_have_findings_with_cures(heard):
    device = coral.Device("usb", node="x")
    found = [
        *packages.judge_native(heard, PYTHON, (), has_yunet=False),
        *cameras.judge_usb(heard, lambda _: [], "in", ""),
        *cameras.judge_usb(heard, lambda _: [], "in", "x"),
        *cameras.judge_csi(heard, SENSOR, PYTHON),
        *models.judge(heard, ["a"], PYTHON, ""),
        *coral.judge([device], "", heard, "", PYTHON),
    ]

    assert len(found) >= 7
    assert [finding for finding in found if finding.state != "ok" and not finding.cure] == []
