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

import pytest

from fer_edge.edge.doctor import cameras, models, packages

from .conftest import HANG_S
from .findings import HERE, SENSOR, look_at_natives, told
from .test_board import write_tree

EDGE = Path(__file__).resolve().parents[2] / "edge"
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
]


@pytest.mark.parametrize(("sources", "name", "text", "cure"), NATIVE)
def test_a_broken_numpy_or_opencv(broken, tmp_path, sources, name, text, cure):
    broken(**sources)

    found = look_at_natives(tmp_path)

    assert found[name].state == "problem"
    assert text in found[name].found
    assert cure in found[name].cure
    assert found["cameras"].state in ("warning", "note")


def test_an_opencv_that_hangs_takes_no_longer_than_it_may(broken, tmp_path):
    broken(cv2=HANG)

    # On a busy machine the time may be up before it is OpenCV's turn.
    for limit_s in (1.0, 5.0, HANG_S):
        found = look_at_natives(tmp_path, limit_s)
        if found["numpy"].state == "ok":
            break

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

    found = {finding.name: finding for finding in models.look(HERE, HANG_S)}

    told(found.values())
    assert found["runtime"].state == "problem"
    assert text in found["runtime"].found
    assert cure in found["runtime"].cure
    # The digests need no interpreter.
    assert found["model fast"].state == "ok"


def test_without_a_runtime(broken):
    broken(ai_edge_litert="raise ModuleNotFoundError(\"No module named 'ai_edge_litert'\")")

    found = {finding.name: finding for finding in models.look(HERE, HANG_S)}

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

    found = list(cameras.look_at_csi(HERE, tmp_path, True, HANG_S))

    assert told(found) == expected
    assert cure in found[0].cure


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
