"""The commands that fill a session: what is delivered, also where they end before they are done."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fer_edge.benchmarks import accuracy, everything, latency, loop, measure_cli
from fer_edge.benchmarks.document import read_document
from fer_edge.benchmarks.everything import AllPlan, measure_all
from fer_edge.benchmarks.latency import LatencyPlan
from fer_edge.benchmarks.rules import FULL, QUICK
from fer_edge.benchmarks.session import Session
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import DataError, ModelError

from ..edge.conftest import HANG_S

ENDS = [KeyboardInterrupt(), ModelError("It crashed.")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").write_text("precious")
    return tmp_path


@pytest.fixture
def asked(monkeypatch) -> list[tuple[Session, LatencyPlan]]:
    """Every measurement of latency adds a figure and ends, or ends in an error of the list."""
    calls = []

    def measure(session: Session, plan: LatencyPlan) -> None:
        calls.append((session, plan))
        with session.section("latency"):
            for error in calls.before:
                raise error
            session.add("load", "ms", "lower", {"model": "fast"}, 5.0)
            for error in calls.after:
                raise error

    class Calls(list):
        before, after = (), ()

    calls = Calls()
    monkeypatch.setattr(latency, "measure_latency", measure)
    return calls


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["benchmark", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# ------------------------------------------------------------------------------ what is delivered


def test_a_table_on_stdout_and_a_document_in_the_file(here, asked):
    result = call("latency", "-o", "new.json")

    assert result.exit_code == 0, result.output
    assert "latency" in result.stdout
    document = read_document(here / "new.json")
    assert (document.state, document.quick) == ("complete", False)
    assert document.command == "fer-edge benchmark latency"
    assert asked[0][0].effort == FULL
    assert "quick" not in result.stdout


def test_json_on_stdout_and_quick_in_it(here, asked):
    result = call("latency", "--quick", "--json")

    document = json.loads(result.stdout)
    assert document["quick"] is True
    assert document["figures"][0]["median"] == 5.0
    assert document["command"].endswith(" --quick")
    assert asked[0][0].effort == QUICK


def test_what_was_asked_for_is_in_the_plan_and_the_command_without_folders(here, asked):
    options = ["--threads", 2, "--threads", 1, "--clip", here / "film.mp4"]

    result = call("latency", here / "a.tflite", "fast", *options, "-o", "new.json")

    assert result.exit_code == 0, result.output
    ((_, plan),) = asked
    assert plan == LatencyPlan((f"{here}/a.tflite", "fast"), (2, 1), here / "film.mp4")
    assert read_document(here / "new.json").command == (
        "fer-edge benchmark latency a.tflite fast --threads 2 --threads 1 --clip film.mp4"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        # Told before anything is measured.
        (["latency", "-o", "there.json"], 1, "there.json exists"),
        (["latency", "-o", "no/such.json"], 1, "the folder no does not exist"),
        (["latency", "--threads", "0"], 2, "--threads"),
        (["latency", "--threads", "many"], 2, "--threads"),
        (["all"], 2, "Pass -o FILE.json"),
        (["all", "-o", "there.json"], 1, "there.json exists"),
    ],
)
def test_mistakes(here, asked, arguments, code, said):
    result = call(*arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert asked == []
    assert (here / "there.json").read_text() == "precious"


@pytest.mark.parametrize("options", [["--data", "no.csv"], ["no.tflite"]])
def test_what_would_end_the_last_part_is_told_before_the_first(here, asked, options):
    result = call("all", "-o", "new.json", *options)

    assert result.exit_code in (1, 4)
    assert "There is no" in result.stderr
    assert asked == []
    assert not (here / "new.json").exists()


def test_overwrite_replaces(here, asked):
    assert call("latency", "-o", "there.json", "--overwrite").exit_code == 0
    assert read_document(here / "there.json").figures


# ------------------------------------------------------------------------------ before it is done


@pytest.mark.parametrize("error", ENDS, ids=["Ctrl-C", "a mistake"])
def test_what_was_finished_is_kept_and_marked(here, asked, error):
    asked.after = [error]

    result = call("latency", "-o", "new.json")

    document = read_document(here / "new.json")
    assert document.state == "interrupted"
    assert [figure.metric for figure in document.figures] == ["load"]
    assert "Interrupted: this is what was finished." in result.stdout
    assert "what was finished is in new.json" in result.stderr
    assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 4)


@pytest.mark.parametrize("error", ENDS, ids=["Ctrl-C", "a mistake"])
def test_of_nothing_no_document_is_made(here, asked, error):
    asked.before = [error]

    result = call("latency", "-o", "new.json")

    assert not (here / "new.json").exists()
    assert result.stdout == ""
    assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 4)


def test_an_interruption_between_two_sections_is_one_too(here):
    @click.command()
    @measure_cli.with_measuring
    def command(**options) -> None:
        def measure(session: Session) -> None:
            with session.section("one"):
                session.add("load", "ms", "lower", {}, 1.0)
            raise KeyboardInterrupt

        measure_cli.measure_and_deliver(measure, "command", **options)

    CliRunner().invoke(command, ["-o", "new.json"])

    assert read_document(here / "new.json").state == "interrupted"


def test_ctrl_c_in_the_middle_of_a_real_run(here, tiny_model):
    command = [sys.executable, "-m", "fer_edge.edge.cli", "benchmark", "latency", tiny_model]
    log = here / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--quick", "--threads", "1", "-o", "new.json"],
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
        try:
            deadline = time.monotonic() + 3 * HANG_S
            while " over the demo's frames" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, "waited in vain"
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            code = process.wait(HANG_S)
        finally:
            process.kill()

    assert code == 130
    assert "Traceback" not in log.read_text()
    document = read_document(here / "new.json")
    assert (document.state, document.quick) == ("interrupted", True)
    assert {"invoke_p50", "classify_p50", "memory"} <= {f.metric for f in document.figures}


# ------------------------------------------------------------------------------------- everything


@pytest.fixture
def parts(monkeypatch) -> dict[str, object]:
    """The plans of the parts that were run, in their order."""
    plans: dict[str, object] = {}
    for module, name in ((everything, "latency"), (loop, "loop"), (accuracy, "accuracy")):
        monkeypatch.setattr(
            module, f"measure_{name}", lambda _, plan, name=name: plans.setdefault(name, plan)
        )
    return plans


def a_session() -> Session:
    return Session("command", QUICK)


def test_all_parts_in_one_document(here, parts, tiny_model):
    (here / "data.csv").touch()
    session = a_session()
    clip, yunet, keras = Path("clip.mp4"), Path("yunet.onnx"), Path("master.keras")

    measure_all(
        session,
        AllPlan([str(tiny_model)], here / "data.csv", "PrivateTest", clip, yunet, keras),
    )

    assert list(parts) == ["latency", "loop", "accuracy"]
    assert parts["latency"] == LatencyPlan([str(tiny_model)], clip=clip, detector_model=yunet)
    assert parts["loop"] == loop.LoopPlan(
        clip, detector_model=yunet, model=str(tiny_model), keras=keras
    )
    assert parts["accuracy"] == accuracy.AccuracyPlan(
        here / "data.csv", (str(tiny_model),), split="PrivateTest"
    )
    assert session.document().missing == {}


def test_without_data_the_accuracy_is_missing(parts):
    session = a_session()

    measure_all(session, AllPlan())

    assert list(parts) == ["latency", "loop"]
    # The default one, not the first by its name.
    assert parts["loop"].model is None
    assert "--data" in session.document().missing["accuracy"]


def test_the_loop_runs_the_first_model_that_it_can(here, parts, tiny_model):
    from ..conftest import tiny_tflite

    (here / "bare.tflite").write_bytes(tiny_tflite())

    measure_all(a_session(), AllPlan(["bare.tflite", str(tiny_model)]))

    assert parts["loop"].model == str(tiny_model)


@pytest.mark.parametrize(
    ("plan", "error"),
    [(AllPlan(data=Path("no.csv")), DataError), (AllPlan(["no.tflite"]), ModelError)],
)
def test_all_looks_at_everything_first(parts, plan, error):
    with pytest.raises(error):
        measure_all(a_session(), plan)

    assert parts == {}


def test_all_as_a_command(here, monkeypatch):
    seen = []

    def measure(session: Session, plan: AllPlan) -> None:
        seen.append(plan)
        with session.section("latency"):
            session.add("load", "ms", "lower", {"model": "fast"}, 5.0)

    monkeypatch.setattr(everything, "measure_all", measure)

    result = call("all", "fast", "--data", here / "x.csv", "--quick", "-o", "my-pi.json")

    assert result.exit_code == 0, result.output
    assert seen == [AllPlan(("fast",), here / "x.csv")]
    assert read_document(here / "my-pi.json").command == (
        "fer-edge benchmark all fast --data x.csv --quick"
    )
