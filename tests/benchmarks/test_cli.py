"""The commands as a user types them: exit codes, what goes where, and the whole of it once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fer_edge.benchmarks import growth as growth_module
from fer_edge.benchmarks import rules
from fer_edge.benchmarks import versus as versus_module
from fer_edge.benchmarks.contenders import CONTENDERS, OURS, TUTORIAL
from fer_edge.edge.cli import cli
from fer_edge.edge.sidecar import write_sidecar

from ..conftest import a_contract
from .conftest import a_run, write_clip


@pytest.fixture
def folder(tmp_path: Path, clip: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a clip, both models, and one without a contract."""
    (tmp_path / "clip.avi").write_bytes(clip.read_bytes())
    for name in ("model", "bare"):
        (tmp_path / f"{name}.keras").write_bytes(b"weights")
    write_sidecar(tmp_path / "model.keras", a_contract())
    (tmp_path / "there.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of children cost nothing, and others little: ours has four times the rate."""
    brief = rules.Effort(repeats=2, seconds=0.05, warmup_s=0.0, quick=True)
    monkeypatch.setattr(rules, "QUICK", brief)
    rates = {TUTORIAL: 10.0, OURS: 40.0}
    keywords = versus_module.measure_versus.__kwdefaults__
    monkeypatch.setitem(keywords, "play", lambda r: a_run(r.contender, rates[r.contender]))


LOOP = ["benchmark", "loop", "clip.avi", "--keras", "model.keras", "--cores", "1", "--rate", "99"]
LOOP += ["--quick", "--detector", "haar"]
TINY = ["--model", "tiny.tflite"]
PEERS = ["benchmark", "peers", "clip.avi", "--peer-python", sys.executable, "--detector", "haar"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        # Usage.
        (["benchmark", "loop", "--faces", "9"], 2, "--faces"),
        (["benchmark", "loop", "clip.avi", "--parts"], 2, "--keras"),
        ([*LOOP, "--rate", "0"], 2, "--rate"),
        ([*LOOP, *TINY, "--cores", "9999"], 2, "--cores 9999"),
        (["benchmark", "growth", "--frames", "0"], 2, "--frames"),
        (["benchmark", "growth", "--frames", "1000"], 2, "more than the first 1000 frames"),
        (["benchmark", "peers", "clip.avi"], 2, "--peer-python"),
        ([*PEERS, "--cores", "9999"], 2, "--cores 9999"),
        (["benchmark", "peers", "clip.avi", "--peer-python", "no"], 2, "There is no Python no"),
        (["benchmark", "paced", "clip.avi", "--slowed", "1"], 2, "--slowed"),
        (["benchmark", "paced", "clip.avi", "--fps", "0"], 2, "--fps"),
        (["benchmark", "paced", "clip.avi", "--cores", "9999"], 2, "--cores 9999"),
        (["benchmark", "page", "clip.avi", "--readers", "9"], 2, "--readers"),
        (["benchmark", "overhead", "clip.avi", "--detector", "none"], 2, "no detector 'none'"),
        # A camera error, as `run` with such a clip.
        (["benchmark", "loop", "no.mp4", "--keras", "model.keras"], 3, "no clip no.mp4"),
        (["benchmark", "loop", "model.keras", "--keras", "model.keras"], 3, "is no video"),
        ([*PEERS[:2], "no.mp4", *PEERS[3:]], 3, "no clip no.mp4"),
        (["benchmark", "paced", "no.mp4"], 3, "no clip no.mp4"),
        (["benchmark", "page", "no.mp4"], 3, "no clip no.mp4"),
        (["benchmark", "overhead", "no.mp4"], 3, "no clip no.mp4"),
        # Model errors.
        ([*PEERS, "--model", "no.tflite"], 4, "There is no model 'no.tflite'"),
        ([*PEERS, "--detector", "yunet", "--detector-model", "no"], 4, "no model file no"),
        (["benchmark", "paced", "clip.avi", "--model", "no.tflite"], 4, "There is no model"),
        (["benchmark", "loop", "clip.avi", "--keras", "no.keras"], 4, "no model no.keras"),
        (["benchmark", "loop", "clip.avi", "--keras", "bare.keras"], 4, "has no contract"),
        ([*LOOP, "--model", "no.tflite"], 4, "There is no model 'no.tflite'"),
        ([*LOOP, "--model", "model.keras"], 4, "is no TFLite model"),
        (["benchmark", "growth", "--model", "no.tflite"], 4, "There is no model"),
        # Told at the start, not after minutes of measuring.
        ([*LOOP, "--out", "there.json"], 1, "there.json exists"),
        ([*LOOP, "--out", "no/such.json"], 1, "does not exist"),
        (["benchmark", "growth", "--out", "there.json"], 1, "there.json exists"),
        ([*PEERS, "--out", "there.json"], 1, "there.json exists"),
        (["benchmark", "paced", "clip.avi", "--out", "there.json"], 1, "there.json exists"),
        (["benchmark", "page", "clip.avi", "--out", "there.json"], 1, "there.json exists"),
        (["benchmark", "overhead", "clip.avi", "--out", "there.json"], 1, "there.json exists"),
    ],
)
def test_errors(folder: Path, no_children, arguments, code: int, message: str) -> None:
    result = CliRunner().invoke(cli, arguments)

    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert result.stdout == ""
    assert (folder / "there.json").read_text() == "{}"


def test_missing_tensorflow_names_the_extra(
    folder: Path, no_children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versus_module, "find_spec", lambda name: None)

    result = CliRunner().invoke(cli, [*LOOP, *TINY])

    # The rest of it was measured.
    assert result.exit_code == 0
    assert 'pip install "fer-edge[train]"' in result.stderr


def test_table_on_stdout_progress_on_stderr(folder: Path, no_children) -> None:
    result = CliRunner().invoke(cli, [*LOOP, *TINY])

    assert result.exit_code == 0, result.output
    assert "tutorial" in result.stdout
    assert "run 2 of 2: fer-edge" in result.stderr
    assert "run 2" not in result.stdout


def test_json_on_stdout_and_in_the_file(folder: Path, no_children) -> None:
    arguments = [*LOOP, *TINY, "--json", "--out", "new.json"]

    first = CliRunner().invoke(cli, arguments)
    second = CliRunner().invoke(cli, arguments)
    third = CliRunner().invoke(cli, [*arguments, "--overwrite"])

    document = json.loads(first.stdout)
    ratios = [each for each in document["figures"] if each["metric"] == "ratio_to_tutorial"]
    assert [each["median"] for each in ratios] == [1.0, 4.0]
    assert json.loads((folder / "new.json").read_text())["machine"] == document["machine"]
    assert (first.exit_code, second.exit_code, third.exit_code) == (0, 1, 0)
    assert "--overwrite" in second.stderr
    assert document["command"] == (
        "fer-edge benchmark loop clip.avi --keras model.keras --cores 1 --rate 99 --detector haar "
        "--model tiny.tflite --quick"
    )


def test_growth_as_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(growth_module.measure_growth.__kwdefaults__, "from_frame", 15)

    result = CliRunner().invoke(cli, ["benchmark", "growth", "--frames", "40", "--json"])

    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    # Twenty, and the one that it is counted from.
    assert [sample["frame"] for sample in document["samples"]] == sorted({15, *range(2, 41, 2)})
    assert document["wanted_mb"] == 5


@pytest.mark.slow
def test_the_whole_command_with_a_real_keras_model(tmp_path: Path) -> None:
    # In a process of its own: Keras stays out of this one, and pytest's out of the measurement.
    script = """
from pathlib import Path
from fer_edge.edge.contract import ModelContract
from fer_edge.edge.sidecar import write_sidecar
from fer_edge.training.architectures import plain_net
from fer_edge.training.datasets import EMOTIONS
path = Path("model.keras")
plain_net(stem=4, widths=(4,), dropout=0.0).save(path)
write_sidecar(path, ModelContract("tiny", EMOTIONS, (48, 48), "fer2013", "logits"))
"""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-P", "-c", script], cwd=tmp_path, env=quiet, check=True)
    write_clip(tmp_path / "clip.avi", 40)
    command = "benchmark loop clip.avi --keras model.keras --cores 1 --parts --rate 60 --quick"

    done = subprocess.run(
        [sys.executable, "-P", "-m", "fer_edge.edge.cli", *command.split(), "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    fps = {
        figure["of"]["contender"]: figure["median"]
        for figure in document["figures"]
        if "contender" in figure["of"] and figure["metric"] == "fps"
    }
    assert fps.keys() == set(CONTENDERS)
    # No figure is asked for here: on a busy machine it would say nothing.
    assert all(value > 0 for value in fps.values())
    assert {"tensorflow", "keras"} <= document["machine"]["packages"].keys()
