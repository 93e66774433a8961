"""What telemetry costs the loop: rounds of playings, and what they say."""

import itertools
import json
import time
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.benchmarks import instruments
from fer_edge.benchmarks.clips import read_film
from fer_edge.benchmarks.instruments import (
    InstrumentsPlan,
    measure_instruments,
    median_interval,
)
from fer_edge.benchmarks.rules import Effort
from fer_edge.benchmarks.session import Session
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import CameraError
from fer_edge.edge.telemetry import Telemetry

BRIEF = Effort(repeats=1, seconds=0.05, warmup_s=0.01)


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each playing of the clip, whether telemetry was on."""
    kinds: list[bool] = []
    play, real = instruments._play, Telemetry.passed

    def playing(*arguments):
        kinds.append(Telemetry.passed is real)
        return play(*arguments)

    monkeypatch.setattr(instruments, "_play", playing)
    return kinds


def test_telemetry_is_on_in_one_of_each_round(clip: Path, tiny_model: Path, kinds) -> None:
    session = Session("command", Effort(1, 1.0, 0.0))
    real = Telemetry.passed

    measure_instruments(session, InstrumentsPlan(clip, "haar", None, str(tiny_model), rounds=4))

    # The warm-up, then rounds whose order goes round.
    first, second, third = [True, False, False], [False, False, True], [False, True, False]
    assert kinds == [True, *first, *second, *third, *first]
    assert Telemetry.passed is real
    document = session.document()
    told = [(f.metric, f.unit, f.of["telemetry"], len(f.values)) for f in document.figures]
    assert told == [
        *(("fps", "frames/s", kind, 1) for kind in ("on", "off", "control")),
        *(("lost", "%", kind, 4) for kind in ("on", "control")),
    ]
    assert document.figures[0].of["clip"] == "faces.avi"
    assert "median of 4 rounds" in document.notes[0]


def test_telemetry_costs_what_it_costs(
    clip: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Telemetry.passed

    def slow(self, stage, *arguments, **keywords):
        time.sleep(0.05 * (stage == "deliver"))
        real(self, stage, *arguments, **keywords)

    monkeypatch.setattr(Telemetry, "passed", slow)
    session = Session("command", Effort(1, 1.0, 0.0))

    measure_instruments(session, InstrumentsPlan(clip, "haar", None, str(tiny_model), rounds=4))

    on, off, _, lost, control = session.document().figures
    assert on.median < off.median
    # Twelve frames, 50 ms each; they take a few milliseconds otherwise.
    assert min(lost.values) > 30
    assert lost.median > control.median + 30


def test_an_interrupted_run_keeps_its_rounds(
    clip: Path, tiny_model: Path, kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    playing = instruments._play

    def interrupted(*arguments):
        if len(kinds) == 8:
            raise KeyboardInterrupt
        playing(*arguments)

    monkeypatch.setattr(instruments, "_play", interrupted)
    session = Session("command", Effort(1, 1.0, 0.0))

    with pytest.raises(KeyboardInterrupt):
        measure_instruments(session, InstrumentsPlan(clip, "haar", None, str(tiny_model)))

    document = session.document()
    assert document.state == "interrupted"
    assert len(document.figures[-1].values) == 2


def test_the_film_is_one_stream(clip: Path) -> None:
    film = read_film(clip)
    length = len(film.pictures)

    with instruments._EndlessFilm(film) as camera:
        frames = [camera.read() for _ in range(2 * length + 1)]

    assert [frame.index for frame in frames] == list(range(2 * length + 1))
    steps = {b.stream_ns - a.stream_ns for a, b in itertools.pairwise(frames)}
    assert max(steps) - min(steps) <= 2
    assert frames[2 * length].image is frames[0].image


def test_it_is_put_back_after_an_error() -> None:
    real = Telemetry.passed

    def fail() -> None:
        with instruments._telemetry(on=False):
            assert Telemetry.passed is not real
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert Telemetry.passed is real


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Tables of the sign test: of 6 all, of 10 the 2nd and 9th, of 20 the 6th and 15th, of 60 the
    # 22nd and 39th; of so many that 0.5 to their power is no float, 1.96 standard deviations.
    [(1, 1, 1), (5, 1, 5), (6, 1, 6), (10, 2, 9), (20, 6, 15), (60, 22, 39), (4000, 1938, 2063)],
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
        "fer-edge benchmark instruments faces.avi --detector haar --model tiny.tflite "
        "--rounds 2500 --cores 1 --quick"
    )
    assert {figure["section"] for figure in document["figures"]} == {"instruments"}


def test_a_clip_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no clip"):
        measure_instruments(Session("command", BRIEF), InstrumentsPlan(tmp_path / "no.mp4"))
