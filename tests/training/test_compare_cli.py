"""The command ``fer-edge compare``, its page, and the plot where no text covers another."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

pytest.importorskip("matplotlib", reason="needs the extra [report]")

from fer_edge.edge.cli import cli
from fer_edge.training.compare import compare
from fer_edge.training.compare_page import FILES
from fer_edge.training.compare_plots import COSTS, cost_figure
from fer_edge.training.published import PUBLISHED

from .test_compare import a_run

# What a table of six recipes may look like.
RECIPES = {
    "custom-cnn": (0.58, 4_300_000, 60_000_000),
    "custom-cnn-aug": (0.605, 4_300_000, 60_000_000),
    "mini-xception": (0.636, 58_423, 5_520_448),
    "vgg-small": (0.665, 1_180_000, 118_000_000),
    "accurate": (0.692, 1_900_000, 196_000_000),
    "fast": (0.662, 280_000, 22_000_000),
}


@pytest.fixture
def runs(tmp_path, monkeypatch) -> list[Path]:
    """Six finished runs in the current folder."""
    monkeypatch.chdir(tmp_path)
    return [
        a_run(Path("runs") / name, recipe=name, accuracy=a, parameters=p, multiply_adds=m)
        for name, (a, p, m) in RECIPES.items()
    ]


def call(*arguments: object):
    result = CliRunner().invoke(cli, ["compare", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_it_prints_a_table(runs):
    result = call(*runs)

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "Accuracy on PublicTest, 3,589 images, the best first"
    assert [line.split()[1] for line in lines[2:]] == [
        "accurate",
        "vgg-small",
        "fast",
        "mini-xception",
        "custom-cnn-aug",
        "custom-cnn",
    ]
    assert re.search(r"69\.20 % +67\.68–70\.70 % +\+12\.0 +0\.663 +1\.90 M +196 M", lines[2])


def test_it_prints_markdown_and_json(runs):
    assert call(*runs, "--markdown").stdout.startswith("|  | run | accuracy |")
    printed = json.loads(call(*runs, "--json").stdout)
    assert printed["schema_version"] == 1
    assert printed["runs"][0]["recipe"] == "accurate"
    assert len(printed["published"]) == len(PUBLISHED)
    assert call(*runs, "--json", "--markdown").exit_code == 2


def test_an_unfinished_run_is_named_and_skipped(runs):
    Path("runs/unfinished").mkdir()

    result = call(*runs, "runs/unfinished")

    assert result.exit_code == 0
    assert (
        result.stderr
        == "left out: runs/unfinished: no result.json, the run is unfinished or none\n"
    )


def test_nothing_but_unfinished_runs_is_an_error(tmp_path):
    result = call(tmp_path)

    assert result.exit_code == 1
    assert "There is no finished run to compare" in result.stderr
    assert call().exit_code == 2


def test_a_page_is_written(runs, tmp_path):
    Path("runs/unfinished").mkdir()

    result = call(*runs, "runs/unfinished", "--out", "comparison", "--json")

    assert result.exit_code == 0
    assert {path.name for path in Path("comparison").iterdir()} == set(FILES)
    assert json.loads(Path("comparison/compare.json").read_text()) == json.loads(result.stdout)
    html = Path("comparison/compare.html").read_text(encoding="utf-8")
    assert html.count('src="data:image/png;base64,') == len(COSTS)
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)
    for item in PUBLISHED:
        assert item.name.replace("+", "&#43;") in html or item.name in html
    assert "Left out: runs/unfinished" in html
    for name in FILES[2:]:
        image = cv2.imread(f"comparison/{name}")
        assert image is not None
        assert image.shape[1] == 1280

    again = call(*runs, "--out", "comparison")
    assert "an earlier one was replaced" in again.stderr
    refused = call(*runs, "--out", "runs")
    assert refused.exit_code == 1
    assert "holds other files" in refused.stderr


def test_what_evaluate_found_is_on_the_page(runs):
    document = {
        "model": "model.tflite",
        "split": "PublicTest",
        "accuracy": 0.6543,
        "calibration": {"error": 0.031},
    }
    (runs[0] / "evaluation.json").write_text(json.dumps(document))

    assert call(*runs, "--out", "comparison").exit_code == 0
    html = Path("comparison/compare.html").read_text(encoding="utf-8")
    assert "model.tflite on PublicTest" in html
    assert "65.43 %" in html


def test_it_needs_no_tensorflow_and_no_scikit_learn(runs):
    code = f"""
import sys
sys.modules.update(dict.fromkeys(("tensorflow", "keras", "sklearn")))
from fer_edge.edge.cli import cli
cli(["compare", *{[str(run) for run in runs]!r}, "--out", "comparison"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr


# -------------------------------------------------------------------------------------------- plot


def many(count: int) -> list[Path]:
    """Runs of one recipe at one cost, close to each other."""
    return [
        a_run(Path("runs") / f"many-{n}", variant=f"v{n}", accuracy=0.68 + n / 2000)
        for n in range(count)
    ]


def texts(made) -> list[tuple[str, object]]:
    """The texts that were written beside points, with the boxes that they take in pixels."""
    return [
        (text.get_text(), text.get_window_extent())
        for axes in made.axes
        for text in axes.texts
        if text.get_text()
    ]


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("more", [0, 6, 20])
def test_no_text_of_the_plot_covers_another(runs, cost, more):
    found = compare([*runs, *many(more)])

    made = cost_figure(found, cost)
    made.draw_without_rendering()

    written = texts(made)
    for index, (name, box) in enumerate(written):
        for other, taken in written[index + 1 :]:
            assert not box.overlaps(taken), f"{name} on {other}"
        assert 0 <= box.x0 < box.x1 <= 1280, f"{name} is cut"
        assert 0 <= box.y0 < box.y1 <= 820, f"{name} is cut"
    said = {name for name, _ in written}
    assert {item.name for item in PUBLISHED} <= said
    if more == 20:
        assert "accurate, 20 runs" in said
    else:
        assert set(found.short_names()) <= said


def test_a_long_name_is_shortened_in_the_middle_and_stays_in_the_plot(tmp_path):
    said = " ".join(f"augmentation.key{n}=0.{n}" for n in range(12))
    runs = [a_run(tmp_path / "run", variant=said), a_run(tmp_path / "other", accuracy=0.6)]

    made = cost_figure(compare(runs), "multiply_adds")
    made.draw_without_rendering()

    (box,) = (box for name, box in texts(made) if name.endswith("key11=0.11"))
    assert 0 <= box.x0 < box.x1 <= 1280
    assert said not in {name for name, _ in texts(made)}


def test_published_figures_on_another_split_are_hollow(runs):
    axes = cost_figure(compare(runs), "parameters").axes

    markers = [line for part in axes for line in part.lines if line.get_marker() in ("o", "D")]
    assert len([line for line in markers if line.get_marker() == "o"]) == len(RECIPES)
    assert {line.get_markerfacecolor() for line in markers if line.get_marker() == "D"} == {"white"}


def test_a_published_figure_on_the_same_split_is_filled(tmp_path):
    found = compare([a_run(tmp_path / "run", chosen_on="PrivateTest")])

    diamonds = [
        line
        for axes in cost_figure(found, "parameters").axes
        for line in axes.lines
        if line.get_marker() == "D"
    ]
    assert len([line for line in diamonds if line.get_markerfacecolor() != "white"]) == 1


def test_one_run_can_be_plotted(tmp_path):
    made = cost_figure(compare([a_run(tmp_path / "run")]), "multiply_adds")

    assert "accurate" in {name for name, _ in texts(made)}
