"""What the doctor makes of facts about packages and the machine: a table a subject."""

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
from .findings import SENSOR, only, told
from .test_board import write_tree

PYTHON = Interpreter(executable="/opt/venv/bin/python", prefix="/opt/venv")
TRIXIE = Interpreter(executable="python", version=(3, 13, 5))


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
        'python -m pip install "numpy>=2" "opencv-python-headless>=4.12,<6"'
    )


# --------------------------------------------------------------------------- NumPy and OpenCV

NUMPY = {"version": "1.24.2", "path": "numpy"}
OPENCV = {"version": "4.11.0", "path": "cv2", "cascade": True, "yunet": True}
LOADED = {"numpy": Outcome(NUMPY), "OpenCV": Outcome(OPENCV), "window": Outcome(None)}
LATE = Outcome(why="it did not come back within 3.9 s", late_s=1.0)


def native(changes: dict, twins=(), **lost) -> list[Finding]:
    steps = {name: step for name, step in {**LOADED, **changes}.items() if step is not None}
    return list(packages.judge_native(Heard(steps, **lost), PYTHON, twins))


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
    # OpenCV 5 has no cascade, which the other detectors do not need.
    (opencv(cascade=False), {}, [WELL[0], ("note", "OpenCV"), WELL[2]]),
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
        *packages.judge_native(heard, PYTHON, ()),
        *cameras.judge_usb(heard, lambda _: [], "in", ""),
        *cameras.judge_usb(heard, lambda _: [], "in", "x"),
        *cameras.judge_csi(heard, SENSOR, PYTHON),
        *models.judge(heard, ["a"], PYTHON, ""),
        *coral.judge([device], "", heard, "", PYTHON),
    ]

    assert len(found) >= 7
    assert [finding for finding in found if finding.state != "ok" and not finding.cure] == []
