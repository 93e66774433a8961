"""``fer-edge train`` and ``fer-edge recipes``, as a user types them."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from fer_edge.edge.cli import cli
from fer_edge.training.recipe_book import RECIPES

from ..conftest import files_in, rows_of_each, write_csv

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

TINY = ["--recipe", "vgg-small"]
for change in ("stem=4", "widths=4", "batch=16", "epochs=1", "calibration_per_class=2"):
    TINY += ["--set", change]


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_csv(folder / "fer2013.csv", rows_of_each(Training=4, PublicTest=2))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def fer_edge(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


# ----------------------------------------------------------------------------------------- recipes


def test_recipes_are_listed_with_what_they_cost_and_reached():
    result = fer_edge("recipes")

    assert result.exit_code == 0, result.output
    for name in RECIPES:
        assert name in result.stdout
    assert "1.91 M" in result.stdout
    assert "196 M" in result.stdout
    assert "PublicTest" in result.stdout


def test_recipes_as_json_are_whole():
    result = fer_edge("recipes", "--json")

    found = json.loads(result.stdout)
    assert [recipe["name"] for recipe in found] == list(RECIPES)
    for recipe in found:
        measured = recipe.pop("measured")
        assert recipe == RECIPES[recipe["name"]].to_dict()
        assert measured["parameters"] > 0


def test_one_recipe_is_shown_with_every_key_that_can_be_set():
    result = fer_edge("recipes", "fast")

    assert result.exit_code == 0
    assert "fast: ours, small" in result.stdout
    assert "--set options.widths=[32, 96, 192]" in result.stdout
    assert '--set schedule.shape="cosine"' in result.stdout
    assert "--set transfer" not in result.stdout


def test_a_recipe_that_is_not_there_is_a_usage_error():
    result = fer_edge("recipes", "acurate")

    assert result.exit_code == 2
    assert "Did you mean accurate?" in result.stderr


def test_recipes_need_no_tensorflow():
    code = (
        "import sys; from fer_edge.edge.cli import cli;"
        "cli(['recipes'], standalone_mode=False);"
        "sys.exit(bool({'tensorflow', 'keras', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)

    assert found.returncode == 0, found.stderr.decode()


# ------------------------------------------------------------------------------------------- train


def test_a_run_ends_with_the_model_and_what_to_do_next(csv, tmp_path):
    out = tmp_path / "run"

    said = ["--licence", "CC0", "--name", "mine"]

    result = fer_edge("train", *TINY, "--data", csv, "--out", out, *said)

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{out}/model.keras: ")
    assert "of 14 images of PublicTest (contract: model.contract.json)" in result.stdout
    assert f"Next: fer-edge convert {out}/model.keras" in result.stdout
    assert files_in(out) >= {"model.keras", "result.json", "architecture.txt", "history.png"}
    about = json.loads((out / "result.json").read_text())
    assert about["variant"] == " ".join(TINY[3::2])
    assert "multiply-adds an image" in (out / "architecture.txt").read_text()
    contract = json.loads((out / "model.contract.json").read_text())
    assert (contract["licence"], contract["name"]) == ("CC0", "mine")

    again = fer_edge("train", *TINY, "--data", csv, "--out", out)
    assert again.exit_code == 2
    assert "is not empty: pass --resume to go on, or another --out" in again.stderr
    resumed = fer_edge("train", *TINY, "--data", csv, "--out", out, "--resume")
    assert resumed.exit_code == 0, resumed.output


def test_a_plan_is_printed_and_nothing_is_written(csv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = fer_edge("train", *TINY, "--data", csv, "--out", "run", "--dry-run")

    assert result.exit_code == 0, result.output
    assert "  schedule.epochs = 1" in result.stdout
    assert "28 images to train on, 2 steps an epoch; choosing on 14 of PublicTest" in result.stdout
    assert "ms a step" in result.stdout
    assert "in all about 0 min on this machine" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("undrawn")
def test_a_sweep_trains_each_variant_and_goes_on_where_it_was(csv, tmp_path, monkeypatch):
    from fer_edge.edge.errors import FerEdgeError
    from fer_edge.training import train

    arguments = ("train", *TINY, "--data", csv, "--out", tmp_path / "s", "--sweep", "seed=1,2")
    real, trained = train.train, []

    def failing(data, out, recipe, run, *, resume):
        trained.append(recipe.seed)
        if len(trained) == 1:
            raise FerEdgeError("The disk is full.")
        return real(data, out, recipe, run, resume=resume)

    monkeypatch.setattr(train, "train", failing)
    result = fer_edge(*arguments)

    assert result.exit_code == 1
    assert trained == [1, 2], "one that fails does not keep the others from it"
    assert f"{tmp_path}/s/seed-1: The disk is full." in result.stderr
    assert "1 of 2 variants failed: seed-1." in result.stderr
    result = fer_edge(*arguments)
    assert (result.exit_code, trained) == (2, [1, 2])
    assert "is not empty: pass --resume to go on" in result.stderr

    result = fer_edge(*arguments, "--resume")

    assert result.exit_code == 0, result.output
    assert trained == [1, 2, 1], "what is done is not done again"
    assert "seed-2 is done" in result.stderr
    assert f"Compare them: fer-edge compare {tmp_path}/s/*" in result.stdout
    for seed in (1, 2):
        about = json.loads((tmp_path / f"s/seed-{seed}/result.json").read_text())
        assert about["seed"] == seed
        assert about["variant"].endswith(f"seed={seed}")


# Each case: what is typed behind `train --data …`, the exit code, and what is said.
REFUSED = [
    ("", 2, "Pass --out FOLDER for the run, or --dry-run to see the plan only"),
    ("--out o --recipe acurate", 2, "There is no recipe 'acurate'. Did you mean accurate?"),
    ("--out o --set epoch=3", 2, "Did you mean schedule.epochs?"),
    ("--out o --set epochs=many", 2, "schedule.epochs: expected int, got 'many'"),
    ("--out o --set epochs=0", 2, "schedule.epochs is 0; expected 1 to 10000"),
    ("--out o --sweep seed", 2, "Expected --sweep key=a,b,c, got 'seed'"),
    ("--out o --sweep seed=1,1", 2, "the same variant twice"),
    ("--out o --sweep epochs=3,x", 2, "schedule.epochs: expected int, got 'x'"),
    ("--out o", 1, "uses FER+ votes and the data came without: pass --votes"),
    ("--out o --votes gone.csv", 1, "gone.csv"),
    ("--out o --leave-out gone.csv", 1, "gone.csv"),
    ("--out o --set ferplus=none --teacher gone.keras", 4, "There is no model gone.keras"),
    ("--out o --set ferplus=none --teacher-logits gone.npz", 1, "gone.npz"),
    ("--out o --teacher a.keras --teacher-logits b.npz", 2, "not both"),
    ("--out o --set ferplus=none --set stem=4 --weights w.h5", 2, "no base that --weights w.h5"),
    ("--out o --recipe vgg16 --set input_px=32 --weights w.h5", 4, "There are no weights w.h5"),
    (
        "--out o --recipe vgg16 --set input_px=32 --set unfreeze=x --weights none",
        2,
        "begins with 'x",
    ),
]


@pytest.mark.parametrize(("typed", "code", "message"), REFUSED)
def test_wrong_arguments_are_answered_in_a_line_and_leave_nothing(
    csv, tmp_path, monkeypatch, typed, code, message
):
    pytest.importorskip("keras", reason="needs the extra [train]")
    monkeypatch.chdir(tmp_path)

    result = fer_edge("train", "--data", csv, *typed.split())

    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_a_usage_error(csv, tmp_path):
    (tmp_path / "o").write_text("mine")

    for sweep in ([], ["--sweep", "seed=1,2"]):
        result = fer_edge("train", *TINY, "--data", csv, "--out", tmp_path / "o", *sweep)
        assert result.exit_code == 2, result.output
    assert (tmp_path / "o").read_text() == "mine"


def test_missing_data_and_bad_rows_are_named(tmp_path):
    result = fer_edge("train", *TINY, "--data", tmp_path / "gone.csv", "--out", tmp_path / "o")
    assert (result.exit_code, "There is no data at" in result.stderr) == (1, True)

    rows = rows_of_each(Training=4, PublicTest=2)
    rows[5][0] = "7"
    bad = write_csv(tmp_path / "bad.csv", rows)
    result = fer_edge("train", *TINY, "--data", bad, "--out", tmp_path / "o")
    assert result.exit_code == 1
    assert "7" in result.stderr
    assert not (tmp_path / "o").exists()
