"""What telemetry costs the loop: pairs of runs, and what they say."""

import json
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.benchmarks import instruments
from fer_edge.benchmarks.instruments import (
    InstrumentsPlan,
    measure_instruments,
    median_interval,
)
from fer_edge.benchmarks.rules import Effort
from fer_edge.benchmarks.session import Session
from fer_edge.edge import pipeline
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import CameraError
from fer_edge.edge.telemetry import Telemetry

BRIEF = Effort(repeats=1, seconds=0.05, warmup_s=0.01)


def test_telemetry_is_on_in_one_run_of_each_pair(
    clip: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds, captured = [], []
    play, real = instruments._play, Telemetry.passed

    def playing(*arguments):
        captured.append(0)
        kinds.append(pipeline.Telemetry is Telemetry)
        return play(*arguments)

    def passed(self, stage, *arguments, **keywords):
        captured[-1] += stage == "capture"
        real(self, stage, *arguments, **keywords)

    monkeypatch.setattr(instruments, "_play", playing)
    monkeypatch.setattr(Telemetry, "passed", passed)
    session = Session("command", BRIEF)

    measure_instruments(session, InstrumentsPlan(clip, "haar", None, str(tiny_model), pairs=4))

    # The warm-up, then pairs whose order changes; what was taken down says whether it was so.
    assert kinds == [True, True, False, False, True, True, False, False, True]
    assert [count > 0 for count in captured] == kinds
    assert pipeline.Telemetry is Telemetry
    document = session.document()
    on, off, lost = document.figures
    assert [figure.of.get("telemetry") for figure in document.figures] == ["on", "off", None]
    assert len(on.values) == len(off.values) == len(lost.values) == 4
    assert lost.values[2] == pytest.approx(100 * (1 - on.values[2] / off.values[2]))
    assert (lost.metric, lost.unit, lost.of["clip"]) == ("lost", "%", "faces.avi")
    assert "of the median of 4 pairs" in document.notes[0]


def test_it_is_put_back_after_an_error() -> None:
    def fail() -> None:
        with instruments._telemetry(on=False):
            assert pipeline.Telemetry is not Telemetry
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert pipeline.Telemetry is Telemetry


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Tables of the sign test: of 6 all, of 10 the 2nd and 9th, of 20 the 6th and 15th, of 60 the
    # 22nd and 39th.
    [(1, 1, 1), (5, 1, 5), (6, 1, 6), (10, 2, 9), (20, 6, 15), (60, 22, 39)],
)
def test_interval_of_the_median(count: int, low: int, high: int) -> None:
    values = [float(value) for value in range(1, count + 1)]
    Random(1).shuffle(values)

    assert median_interval(values) == (low, high)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=80))
def test_the_median_lies_in_its_interval(values: list[float]) -> None:
    low, high = median_interval(values)

    ordered = sorted(values)
    assert low <= ordered[len(ordered) // 2] <= high or len(values) % 2 == 0
    assert low in values
    assert high in values


def test_the_command(clip: Path, tiny_model: Path) -> None:
    arguments = ["benchmark", "instruments", str(clip), "--detector", "haar", "--quick"]

    result = CliRunner().invoke(cli, [*arguments, "--model", str(tiny_model), "--json"])

    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["command"] == (
        "fer-edge benchmark instruments faces.avi --detector haar --model tiny.tflite --pairs 60 "
        "--cores 1 --quick"
    )
    assert {figure["section"] for figure in document["figures"]} == {"instruments"}


def test_a_clip_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no clip"):
        measure_instruments(Session("command", BRIEF), InstrumentsPlan(tmp_path / "no.mp4"))
