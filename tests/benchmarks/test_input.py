"""``fer-edge benchmark input``: reading twice, and steps with images made and ready-made."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fer_edge.benchmarks.host import read_host
from fer_edge.benchmarks.input import InputReport, Reading, StepTimes, to_markdown
from fer_edge.edge.cli import cli

from ..conftest import a_recipe, rows_of_each, write_csv


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Three images of each emotion to train on and one to choose on."""
    folder = tmp_path_factory.mktemp("input")
    return write_csv(folder / "fer.csv", rows_of_each(Training=3, PublicTest=1))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["benchmark", "input", *map(str, arguments)])


def test_both_parts_are_timed_and_nothing_is_kept(data: Path, tmp_path: Path, monkeypatch) -> None:
    cached = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cached))
    # A small net: what is timed takes as long to be compiled as it is large.
    monkeypatch.setattr("fer_edge.benchmarks.input.find_recipe", lambda name: a_recipe(name=name))
    out = tmp_path / "input.json"

    done = run(
        "--data", data, "--recipe", "mini-xception", "--steps", "2", "--repeat", "2", "--out", out
    )

    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    (times,) = document["recipes"]
    assert (document["benchmark"], document["images"], times["batch"]) == ("input", 28, 16)
    assert len(times["real_s"]) == len(times["ready_s"]) == 2
    assert min(*times["real_s"], *times["ready_s"], *document["reading"].values()) > 0
    assert "| mini-xception | 16 |" in done.output
    assert not list(cached.rglob("*.npz"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--recipe", "acurate"], 2, "accurate"),
        (["--recipe", "accurate"], None, "votes"),
        (["--recipe", "mini-xception", "--steps", "1"], 2, "--steps"),
    ],
)
def test_what_cannot_be_measured_is_refused(data: Path, arguments, code, message) -> None:
    done = run("--data", data, *arguments)

    said = done.output + str(done.exception or "")
    assert done.exit_code != 0
    assert code is None or getattr(done.exception, "exit_code", done.exit_code) == code
    assert message in said
    assert "Traceback" not in said


def test_the_rate_is_the_median_of_the_rounds() -> None:
    times = StepTimes("fast", 128, real_s=(0.10, 0.20, 0.10), ready_s=(0.09, 0.10, 0.098))

    report = InputReport("fer.csv", 28, Reading(12.34, 0.5), 20, (times,), read_host())

    assert times.rate == pytest.approx(0.9)
    table = to_markdown(report)
    assert "| fast | 128 | 100.0 | 98.0 | 90.0% |" in table
    assert "| the first time | 12.3 | <= 90 |" in table
