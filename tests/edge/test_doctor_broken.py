"""The doctor among broken things: packages, a model, a runtime, cameras and libraries, for real.

Packages are broken by stand-ins in a folder that Python searches first, for this process's children
(``broken``) or for a whole ``fer-edge doctor`` (``doctor``).
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_edge.edge.doctor import cameras, coral, models, packages, vision
from fer_edge.edge.doctor.finding import Finding
from fer_edge.edge.doctor.interpreter import read_interpreter

from ..conftest import encode
from .conftest import HANG_S
from .test_board import write_tree
from .test_doctor_judges import SENSOR, stick, told
from .tpu_standins import compile_standin

EDGE = Path(__file__).resolve().parents[2] / "edge"
PYTHON = read_interpreter()
# NumPy's own words, and what its C interface writes when a module that it does not fit is loaded.
DTYPE = (
    "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility. "
    "Expected 96 from C header, got 88 from PyObject')"
)
ARRAY_API = (
    "import sys\n"
    "print('AttributeError: _ARRAY_API not found', file=sys.stderr)\n"
    "raise ImportError('numpy.core.multiarray failed to import')"
)
ABORT, HANG = "import os; os.abort()", "import time; time.sleep(600)"
EXIT = "import os; os._exit(3)"
NO_GL = "raise ImportError('libGL.so.1: cannot open shared object file: No such file')"


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Puts packages with these sources before all others, in the children of this process."""
    folder = tmp_path / "broken"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])

    def break_(**sources: str) -> Path:
        write_tree(folder, {f"{name}.py": text for name, text in sources.items()})
        return folder

    return break_


def look(folder: Path, limit_s: float = HANG_S) -> dict[str, Finding]:
    """NumPy, OpenCV and cameras on a machine without any."""
    found = list(vision.look(PYTHON, folder, "", limit_s))
    told(found)
    return {finding.name: finding for finding in found}


# Each case: what is broken, whose finding tells it, parts of its text and of its cure.
NATIVE = [
    ({"numpy": "raise ImportError('no _multiarray_umath')"}, "numpy", "umath", "reinstall numpy"),
    ({"numpy": "version = 1"}, "numpy", "has no attribute", "numpy"),
    ({"numpy": EXIT}, "numpy", "it ended its process (code 3)", "numpy"),
    ({"numpy": "raise SystemExit(7)"}, "numpy", "SystemExit: 7", "numpy"),
    ({"cv2": DTYPE}, "OpenCV", "another NumPy", "numpy"),
    ({"cv2": ARRAY_API}, "OpenCV", "another NumPy", "numpy"),
    ({"cv2": NO_GL}, "OpenCV", "libGL.so.1 of a desktop", "uninstall -y opencv-python"),
    ({"cv2": ABORT}, "OpenCV", "SIGABRT", "opencv-python-headless"),
    # What is left of a folder that two wheels shared, when one was removed.
    ({"cv2": ""}, "OpenCV", "has no attribute '__version__'", "--force-reinstall"),
    ({"cv2": "__version__ = '5.0.0'"}, "OpenCV", "no CascadeClassifier", "opencv-python-headless"),
]


@pytest.mark.parametrize(("sources", "name", "text", "cure"), NATIVE)
def test_a_broken_numpy_or_opencv(broken, tmp_path, sources, name, text, cure):
    broken(**sources)

    found = look(tmp_path)

    assert found[name].state == "problem"
    assert text in found[name].found
    assert cure in found[name].cure
    assert found["cameras"].state in ("warning", "note")


def test_an_opencv_that_hangs_takes_no_longer_than_it_may(broken, tmp_path):
    broken(cv2=HANG)

    found = look(tmp_path, 3.0)

    assert "did not come back within" in found["OpenCV"].found


def test_two_wheels_in_one_folder_are_seen(broken):
    folder = broken()
    for name in ("opencv_python", "opencv_contrib_python_headless"):
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 4.11\n"
        write_tree(folder, {f"{name}-4.11.dist-info/METADATA": text})

    assert packages.opencv_twins() == ["opencv-contrib-python-headless", "opencv-python"]


# ------------------------------------------------------------------------ runtime and models

LITERT = "ai_edge_litert"
# Each case: the source of LiteRT's interpreter, a part of the text, a part of the cure.
RUNTIMES = [
    # It loads, and fails when an interpreter is built: with NumPy 2 under one built for NumPy 1.
    (
        "class Interpreter:\n    def __init__(self, **_):\n"
        "        raise SystemError('_ARRAY_API not found')\n",
        "another NumPy",
        "numpy",
    ),
    (DTYPE, "another NumPy", "numpy"),
    (ABORT, "SIGABRT", "ai-edge-litert"),
    (
        'raise OSError("/lib/libc.so.6: version `GLIBC_2.34\' not found")',
        "newer system",
        "Raspberry Pi",
    ),
]


@pytest.mark.parametrize(("source", "text", "cure"), RUNTIMES)
def test_a_broken_runtime(broken, source, text, cure):
    import ai_edge_litert.schema_py_generated as real

    schema = Path(real.__file__).read_text()
    sources = {"__init__": "", "interpreter": source, "schema_py_generated": schema}
    broken(**{f"{LITERT}/{name}": text for name, text in sources.items()})

    found = {finding.name: finding for finding in models.look(PYTHON, HANG_S)}

    told(found.values())
    assert found["runtime"].state == "problem"
    assert text in found["runtime"].found
    assert cure in found["runtime"].cure
    # The digests need no interpreter.
    assert found["model fast"].state == "ok"


def test_without_a_runtime(broken):
    broken(ai_edge_litert="raise ModuleNotFoundError(\"No module named 'ai_edge_litert'\")")

    found = {finding.name: finding for finding in models.look(PYTHON, HANG_S)}

    assert found["runtime"].state == "problem"
    assert found["runtime"].cure.endswith("install ai-edge-litert")
    assert found["model fast"].state == "warning"


# -------------------------------------------------------------------------------- picamera2

FAKE_PICAMERA2 = """
class Picamera2:
    @staticmethod
    def global_camera_info():
        return [{"Model": "imx219", "Num": 0, "Id": "/base/soc/i2c0mux/i2c@1/imx219@10"}]
    def __init__(self, number):
        raise RuntimeError("Failed to acquire camera: Device or resource busy")
"""
# Each case: the source of picamera2, states and names, a part of the first cure.
PICAMERAS = [
    (DTYPE, [("problem", "picamera2")], "numpy"),
    ("import libcamera", [("problem", "picamera2")], "python3-picamera2"),
    (ABORT, [("problem", "picamera2")], "python3-picamera2"),
    (FAKE_PICAMERA2, [("ok", "picamera2"), ("note", "camera csi:0")], ""),
]


@pytest.mark.parametrize(("source", "expected", "cure"), PICAMERAS)
def test_a_broken_picamera2(broken, tmp_path, source, expected, cure):
    broken(picamera2=source)
    write_tree(tmp_path, {"sys/class/video4linux/v4l-subdev0/name": f"{SENSOR[0]}\n"})

    found = list(cameras.look_at_csi(PYTHON, tmp_path, True, HANG_S))

    assert told(found) == expected
    assert cure in found[0].cure


# -------------------------------------------------------------------------------- USB cameras


@pytest.fixture
def camera(tmp_path, monkeypatch) -> Path:
    """A made-up camera for the children of this process, at dev/video0 of this root."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc (apt) to build the made-up device")
    library, devices = tmp_path / "fake_v4l2.so", tmp_path / "dev"
    source = Path(__file__).with_name("fake_v4l2.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    write_tree(tmp_path, {"dev/video0": "", "sys/class/video4linux/video0/name": "C920\n"})
    (tmp_path / "sys/devices/usb1").mkdir(parents=True)
    (tmp_path / "sys/class/video4linux/video0/device").symlink_to(tmp_path / "sys/devices/usb1")
    for number in range(3):
        picture = np.full((240, 320, 3), 50 * number, np.uint8)
        (devices / f"{number}.jpg").write_bytes(encode(picture, ".jpg"))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAKE_V4L2", str(devices))
    return tmp_path


def test_a_usb_camera_delivers(camera):
    finding = look(camera)[f"camera {camera}/dev/video0"]

    assert (finding.state, finding.found) == ("ok", "C920: delivers, 640x480")


def test_a_silent_camera_and_what_is_none(camera):
    (camera / "dev/mute").touch()
    write_tree(camera, {"dev/video7": "", "sys/class/video4linux/video7/name": "rkisp_mainpath"})
    write_tree(camera, {"dev/video9": "", "sys/class/video4linux/video9/name": "bcm2835-isp"})

    found = look(camera)

    silent = found[f"camera {camera}/dev/video0"]
    assert (silent.state, silent.found) == ("problem", "C920: delivers no frame")
    assert found[f"camera {camera}/dev/video7"].state == "note"
    assert f"camera {camera}/dev/video9" not in found


@pytest.mark.slow
def test_a_stuck_camera_holds_nobody_up(camera, monkeypatch):
    # The driver does not come back from a wait for a frame.
    monkeypatch.setenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "600")
    (camera / "dev/mute").touch()
    (camera / "dev/video1").touch()

    found = look(camera, 6.0)

    stuck = found[f"camera {camera}/dev/video0"]
    assert stuck.state == "problem"
    assert "did not come back within" in stuck.found
    assert "delivers no frame" in found[f"camera {camera}/dev/video1"].found
    assert found["OpenCV"].state == "ok"


def test_a_camera_that_is_somebody_else_s(tmp_path, monkeypatch):
    (tmp_path / "video0").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert vision._frame(str(tmp_path / "video0")) == {"allowed": False}


# Each case: a source, the state.
@pytest.mark.parametrize(("source", "state"), [("demo", "ok"), ("no-such.mp4", "problem")])
def test_a_source_is_tried(tmp_path, source, state):
    found = list(vision.look(PYTHON, tmp_path, source, HANG_S))

    assert [f.state for f in found if f.name == f"camera {source}"] == [state]


# -------------------------------------------------------------------------------------- Coral

CRASHING = """
#include <stdlib.h>
const char *edgetpu_version(void) { return "BuildLabel(COMPILER=6.3.0), RuntimeVersion(14)"; }
#ifdef AT_ONCE
__attribute__((constructor)) static void begin(void) { abort(); }
#endif
void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*e)(const char *)) {
    abort();
}
void tflite_plugin_destroy_delegate(void *d) {}
"""


@pytest.fixture
def pi(tmp_path) -> Path:
    """A machine with a Coral that is in use, and Google's library as Debian knows it."""
    text = "Package: libedgetpu1-std\nStatus: install ok installed\nVersion: 16.0\n"
    return write_tree(
        tmp_path / "pi", {**stick("18d1", "9302", "5000"), "var/lib/dpkg/status": text}
    )


def tried(pi: Path, limit_s: float = HANG_S) -> Finding:
    """The finding of the library."""
    found = list(coral.look(PYTHON, pi, limit_s))
    assert [name for _, name in told(found)] == ["Coral", "libedgetpu"]
    return found[1]


# Each case: what the stand-in does, the time it has, the state, a part of the text.
FAULTS = [
    ("", HANG_S, "warning", "libedgetpu1-std 16.0 loads. Google's own builds are known to crash"),
    ("nodevice", HANG_S, "problem", "Failed to load delegate"),
    ("hangstart", 3.0, "warning", "did not come back within 3.0 s"),
]


@pytest.mark.parametrize(("fault", "limit_s", "state", "text"), FAULTS)
def test_a_library_is_loaded_in_the_child(tmp_path, pi, monkeypatch, fault, limit_s, state, text):
    monkeypatch.setenv("FER_EDGE_EDGETPU_LIB", str(compile_standin(tmp_path)))
    monkeypatch.setenv("TPU_STANDIN", fault)

    finding = tried(pi, limit_s)

    assert finding.state == state
    assert text in finding.found


@pytest.mark.parametrize(
    ("option", "version"), [("-DLATER", "RuntimeVersion(14)"), ("-DAT_ONCE", "")]
)
def test_a_library_that_crashes_is_known_bad(tmp_path, pi, monkeypatch, option, version):
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc (apt) for the stand-in of libedgetpu")
    (tmp_path / "crash.c").write_text(CRASHING)
    library = tmp_path / "libedgetpu.so.1"
    command = ["gcc", "-shared", "-fPIC", option, "-o", library, tmp_path / "crash.c"]
    subprocess.run(command, check=True)
    monkeypatch.setenv("FER_EDGE_EDGETPU_LIB", str(library))

    finding = tried(pi)

    assert finding.state == "problem"
    assert "SIGABRT" in finding.found
    assert "issues 53 and 67" in finding.found
    assert version in finding.found
    assert "feranick" in finding.cure


def test_without_a_library_the_cpu_reads_the_faces(tmp_path, pi, monkeypatch):
    monkeypatch.delenv("FER_EDGE_EDGETPU_LIB", raising=False)
    (pi / "var/lib/dpkg/status").unlink()

    assert tried(pi).state == "note"


# ---------------------------------------------------------------------------------- the whole


def doctor(folder: Path, *, path: Path, **environment: str) -> tuple[int, dict[str, dict]]:
    """``fer-edge doctor --json`` with a folder that is searched first: its code and findings."""
    done = subprocess.run(
        [sys.executable, "-m", "fer_edge.edge.cli", "doctor", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert "Traceback" not in done.stderr
    assert done.stderr == ""
    told_ = json.loads(done.stdout)
    assert told_["exit_code"] == done.returncode
    return done.returncode, {finding["name"]: finding for finding in told_["findings"]}


def test_with_everything_broken_it_still_tells(broken, tmp_path):
    """Also rich and platformdirs, which it would use itself."""
    names = ("numpy", "cv2", "rich", "platformdirs", "ai_edge_litert", "picamera2")
    folder = broken(**dict.fromkeys(names, "raise ImportError(f'{__name__} is broken')"))

    code, found = doctor(tmp_path, path=folder)

    assert code == 1
    for name in ("numpy", "rich", "platformdirs", "runtime"):
        assert found[name]["state"] == "problem", name
        assert found[name]["cure"]
    assert found["picamera2"]["state"] in ("warning", "problem")
    assert found["Python"]["state"] == "ok"


def test_what_ends_a_process_does_not_end_the_doctor(broken, tmp_path):
    folder = broken(**dict.fromkeys(("numpy", "cv2", "ai_edge_litert", "picamera2"), ABORT))

    code, found = doctor(tmp_path, path=folder)

    assert code == 1
    assert "SIGABRT" in found["numpy"]["found"]
    assert "SIGABRT" in found["runtime"]["found"]


# Each case: where standard output leads, the exit code, what is said.
@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        (">/dev/full", 1, "fer-edge: Cannot write to the standard output: No space left on device"),
        ("--json >/dev/full", 1, "fer-edge: Cannot write to the standard output"),
        (">&-", 0, ""),
        ("| true", 0, ""),
    ],
)
def test_an_output_that_takes_nothing(tmp_path, redirected, code, said):
    command = f"{sys.executable} -m fer_edge.edge.cli doctor --camera demo {redirected}"

    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=HANG_S
    )

    assert done.stderr.startswith(said) if said else done.stderr == ""
    assert len(done.stderr.splitlines()) == bool(said)
    assert done.returncode == code or (code == 0 and done.returncode in (0, 1))


def test_without_rich_the_lines_are_plain(broken, tmp_path):
    folder = broken(rich="raise ImportError('gone')")

    done = subprocess.run(
        [sys.executable, "-m", "fer_edge.edge.cli", "doctor"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(folder), "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )

    assert done.returncode == 1
    assert "problem  rich: does not load: ImportError: gone" in done.stdout


def test_a_model_that_was_changed_on_the_disk(tmp_path):
    copy = tmp_path / "site/fer_edge/edge"
    shutil.copytree(EDGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    model = copy / "models/fast_int8.tflite"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)

    code, found = doctor(tmp_path, path=tmp_path / "site")

    assert code == 1
    assert found["model fast"]["state"] == "problem"
    assert f"{model} is damaged" in found["model fast"]["found"]
    assert found["model accurate"]["state"] == "ok"
    assert found["runtime"]["state"] == "ok"


def test_where_nothing_can_be_kept(tmp_path):
    """No home, no place for temporary files, and a cache that is a file."""
    (tmp_path / "file").touch()
    nowhere = {
        "HOME": "/nonexistent",
        "TMPDIR": "/nonexistent",
        "XDG_CACHE_HOME": f"{tmp_path}/file",
    }

    code, found = doctor(tmp_path, path=tmp_path, **nowhere)

    assert code in (0, 1)
    assert found["runtime"]["state"] == "ok"
