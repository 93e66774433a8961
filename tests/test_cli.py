"""The command line: every foreseeable mistake has its exit code and a sentence, no traceback."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.cli import _ELSEWHERE, cli
from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.models import model_path

from .commands import HANG_S
from .conftest import a_contract, encode, tiny_tflite

NO_CAMERAS = not any(Path("/dev").glob("video*"))
needs_no_camera = pytest.mark.skipif(not NO_CAMERAS, reason="this machine has a camera")


def call(*arguments: object) -> Result:
    """Run a command in this process, as far as it goes without one of its own."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current folder, with files that are taken for what they are not."""
    monkeypatch.chdir(tmp_path)
    shipped = model_path().read_bytes()
    turned = bytearray(shipped)
    turned[len(turned) // 2] ^= 1
    (tmp_path / "text.mp4").write_text("This is no film.\n" * 50)
    (tmp_path / "text.txt").write_text("This is no film.\n" * 50)
    (tmp_path / "text.png").write_text("This is no picture.")
    (tmp_path / "text.tflite").write_text("This is no model.")
    (tmp_path / "broken.keras").write_text("This is no model.")
    (tmp_path / "text.json").write_text("This is no contract.")
    (tmp_path / "turned.tflite").write_bytes(turned)
    (tmp_path / "cut.tflite").write_bytes(shipped[: len(shipped) // 3])
    (tmp_path / "bare.tflite").write_bytes(tiny_tflite())
    (tmp_path / "other.tflite").write_bytes(
        embed_contract(tiny_tflite(), a_contract(kind="face-detector"))
    )
    (tmp_path / "there.jsonl").write_text("precious\n")
    (tmp_path / "there.mp4").write_text("precious\n")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "face.png").write_bytes(encode(DemoCamera(lossless=True).image(5)))
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


DEMO = ("run", "--camera", "demo", "--frames", "1")
# Each case: what was typed, the exit code, what is said. All of them without a process of its own.
MISTAKES = [
    # Cameras
    pytest.param("run --camera 7", 3, "There is no camera 7. ", marks=needs_no_camera),
    pytest.param("run", 3, "No camera was found here. ", marks=needs_no_camera),
    ("run --camera no-such.mp4", 3, "'no-such.mp4' does not exist"),
    ("run --camera -1", 3, "'-1' does not exist"),
    ("run --camera folder.mp4", 3, "no picture. Expected files"),
    ("run --camera text.mp4", 3, "text.mp4 is no video"),
    ("run --camera text.txt", 3, "text.txt is no video"),
    ("run --camera text.png", 3, "text.png is no picture"),
    ("run --camera demo --size 60x60", 3, "64x64 or more"),
    # Models
    ("run --camera demo --model no-such", 4, "There is no model 'no-such'"),
    ("run --camera demo --model text.tflite", 4, "text.tflite is no TFLite model"),
    ("run --camera demo --model turned.tflite", 4, "turned.tflite is damaged"),
    ("run --camera demo --model cut.tflite", 4, "cut.tflite is damaged"),
    ("run --camera demo --model bare.tflite", 4, "carries no fer-edge contract"),
    ("run --camera demo --model bare.tflite --contract no-such.json", 4, "no-such.json: No such"),
    ("run --camera demo --model bare.tflite --contract text.json", 4, "not readable as JSON"),
    ("run --camera demo --model other.tflite", 4, "Expected an emotion-classifier"),
    ("run --camera demo --model folder.mp4", 4, "There is no model 'folder.mp4'"),
    # Outputs
    ("run --camera demo --jsonl there.jsonl", 1, "there.jsonl exists"),
    ("run --camera demo --jsonl no/such.jsonl", 1, "the folder no does not exist"),
    ("run --camera demo --events there.jsonl", 1, "there.jsonl exists"),
    ("run --camera demo --csv no/such.csv", 1, "the folder no does not exist"),
    ("run --camera demo --record-minutes 5", 2, "are: pass both"),
    ("run --camera demo --save-faces text.png", 1, "Cannot make the folder text.png"),
    ("run --camera demo --jsonl - --events -", 2, "Only one of --jsonl, --events and --csv"),
    ("run --camera demo --jsonl folder.mp4", 1, "is a folder"),
    ("run --camera demo --jsonl folder.mp4 --overwrite", 1, "is a folder"),
    ("run --camera demo --record there.mp4", 1, "there.mp4 exists"),
    ("run --camera demo --record no/such.mp4", 1, "the folder no does not exist"),
    ("run --camera demo --record film.avi", 1, "writes .mp4 files, got 'film.avi'"),
    ("run --camera demo --record folder.mp4 --overwrite --frames 3", 1, "folder.mp4"),
    ("run --camera demo --jsonl new.jsonl --record no/such.mp4", 1, "the folder no does not"),
    ("run --camera demo --record new.mp4 --jsonl no/such.jsonl", 1, "the folder no does not"),
    ("run --camera demo --record new.mp4 --fps 1000000 --frames 2", (1, 2), ""),
    # Usage
    ("run --camera demo --size 640", 2, "expected a size such as 640x480, got '640'"),
    ("run --camera demo --size 0x0", 2, "expected a size such as 640x480"),
    ("run --camera demo --size 640x-480", 2, "expected a size such as 640x480"),
    ("run --camera demo --size 640x480x3", 2, "expected a size such as 640x480"),
    ("run --camera demo --size x", 2, "expected a size such as 640x480"),
    ("run --camera demo --fps 0", 2, "--fps"),
    ("run --camera demo --fps nan --frames 1", (2, 3), "nan"),
    ("run --camera demo --fps inf --frames 1", (2, 3), "inf"),
    ("run --camera demo --frames 0", 2, "--frames"),
    ("run --camera demo --frames many", 2, "--frames"),
    ("run --camera demo --duration 0", 2, "--duration"),
    ("run --camera demo --duration nan --frames 1", 2, "--duration"),
    ("run --camera demo --duration inf --frames 1", 2, "--duration"),
    ("run --camera demo --threads 0", 2, "--threads"),
    ("run --camera demo --runtime onnx", 2, "--runtime"),
    (
        "run --camera demo --detector hog",
        2,
        "'hog' is not one of 'yunet', 'fer-face', 'haar', 'ssd', 'auto'",
    ),
    ("run --camera demo --detector haar --detector-model text.txt", 2, "takes no model file"),
    ("run --camera demo --detect-size 320", 2, "expected a size such as 640x480, got '320'"),
    ("run --camera demo --detect-size 0x0", 2, "expected a size such as 640x480"),
    # Detectors
    ("run --camera demo --detector yunet", 4, "`fer-edge models get yunet` fetches it"),
    ("run --camera demo --detector-model no-such.onnx", 4, "There is no model file no-such.onnx"),
    ("run --camera demo --detector-model text.txt", 4, "text.txt is no YuNet"),
    ("models path no-such", 4, "There is no model 'no-such'"),
    ("models get no-such", 2, "There is no model 'no-such' to fetch"),
    ("models get yunet --from text.txt", 4, "text.txt is not face_detection_yunet_2023mar.onnx"),
    ("models path yunet", 4, "`fer-edge models get yunet` fetches it"),
    ("run --camera demo --size 100000x100000", 2, "at most 8192 pixels"),
    ("run --no-such-option", 2, "No such option"),
    ("run demo", 2, "unexpected extra argument"),
    ("no-such-command", 2, "No such command"),
    # Conversion and evaluation
    ("convert", 2, "MODEL"),
    ("convert no-such.keras", 4, "There is no model no-such.keras"),
    ("convert broken.keras", 4, "broken.keras has no contract"),
    ("convert broken.keras -o bare.tflite", 4, "bare.tflite exists"),
    ("convert .", (2, 4), ""),
    ("evaluate no-such.keras --data face.png", 4, "There is no model 'no-such.keras'"),
    ("evaluate fast --data no-such.csv", 1, "There is no data at no-such.csv"),
    ("evaluate fast --data face.png", 1, "face.png"),
    ("evaluate fast", 2, "--data"),
    ("evaluate fast --data no-such.csv --logits there.jsonl", 1, "to a .npz file"),
    ("evaluate fast --data no-such.csv --out .", 1, "holds other files"),
    ("compare no-such", 1, "There is no finished run to compare"),
    ("compare", 2, "RUN"),
    ("train --data no-such.csv --out new", 1, "There is no data at no-such.csv"),
]


@pytest.mark.parametrize(("typed", "code", "said"), MISTAKES)
def test_a_mistake_has_its_exit_code_and_a_sentence(here, typed, code, said):
    before = files(here)

    result = call(*typed.split())

    assert said in result.stderr
    assert result.exit_code in (code if isinstance(code, tuple) else (code,))
    assert result.stdout == ""
    # The status of a loop that had begun may stand before; the mistake is told in the end.
    last = result.stderr.strip().splitlines()[-1]
    # A mistake of usage is told by click, or by us where click cannot know it.
    assert last.startswith(("fer-edge: ", "Error: ") if result.exit_code == 2 else "fer-edge: ")
    assert files(here) == before, "something half-written is left"


def test_an_empty_argument_is_a_mistake_like_others(here):
    for arguments in (
        ["convert", ""],
        ["run", "--camera", ""],
        ["run", "--camera", "demo", "--record", ""],
        ["run", "--camera", "demo", "--jsonl", "", "--frames", "1"],
    ):
        assert call(*arguments).exit_code in (1, 2, 3, 4)


def test_a_window_is_refused_with_the_way_to_get_one(here):
    from fer_edge.edge.sinks.window import why_no_window

    if why_no_window() is None:
        pytest.skip("a window can be opened here")
    result = call(*DEMO, "--window")

    assert result.exit_code == 1
    assert "leave --window out" in result.stderr


def test_a_runtime_that_is_not_installed_is_a_model_error(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", None)

    result = call(*DEMO, "--runtime", "tflite")

    assert result.exit_code == 4
    assert "No TFLite runtime works here (tflite: " in result.stderr


# Each case: a command, a module that it needs and that is not there, the extra that brings it.
EXTRAS = [
    ("train --data x --out y", "keras", "train"),
    ("evaluate fast --data x", "sklearn", "report"),
    ("compare x --out y", "matplotlib", "report"),
    ("convert x.keras", "keras", "train"),
]


@pytest.mark.parametrize(("typed", "module", "extra"), EXTRAS)
def test_an_extra_that_is_missing_is_named_with_its_pip_line(monkeypatch, typed, module, extra):
    def without(**_: object) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=f"{module}.metrics")

    name = typed.split()[0]
    home = import_module(_ELSEWHERE[name].module)
    monkeypatch.setattr(getattr(home, name), "callback", without)

    result = call(*typed.split())

    assert result.exit_code == 1
    assert f"`fer-edge {name}` needs {module}, which is not installed" in result.stderr
    assert f'`pip install "fer-edge[{extra}]"`' in result.stderr


# ------------------------------------------------------------------------------------------- help


def test_every_command_has_its_help():
    commands = cli.list_commands(None)
    assert {"run", "cameras", "compare", "convert", "evaluate", "train"} <= set(commands)
    for name in commands:
        result = call(name, "--help")
        assert result.exit_code == 0
        assert f"Usage: cli {name}" in result.stdout


def test_the_help_lists_every_command_with_a_line():
    result = call("--help")

    for name in cli.list_commands(None):
        assert any(line.split()[:1] == [name] for line in result.stdout.splitlines()), name
        assert len(next(x for x in result.stdout.splitlines() if x.split()[:1] == [name])) > 20
    assert "130 Ctrl-C" in " ".join(result.stdout.split())


def test_help_and_version_import_nothing_heavy(tmp_path):
    code = (
        "import sys\n"
        "from fer_edge.edge.cli import cli\n"
        "for words in (['--help'], ['--version'], ['run', '--help'], ['convert', '--help']):\n"
        "    cli(words, standalone_mode=False)\n"
        "heavy = {'cv2', 'numpy', 'keras', 'tensorflow', 'sklearn', 'rich', 'ai_edge_litert'}\n"
        "print(heavy & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S
    )

    assert done.stderr.strip() == "set()"


@needs_no_camera
def test_cameras_where_there_is_none():
    plain, as_json = call("cameras"), call("cameras", "--json")

    assert (plain.exit_code, plain.stdout) == (3, "")
    assert "--camera demo` needs none" in plain.stderr
    assert (as_json.exit_code, json.loads(as_json.stdout), as_json.stderr) == (0, [], "")
