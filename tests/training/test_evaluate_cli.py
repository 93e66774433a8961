"""The command ``fer-edge evaluate``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("sklearn", reason="needs the extra [report]")
pytest.importorskip("matplotlib", reason="needs the extra [report]")

from fer_edge.edge.cli import cli
from fer_edge.training.datasets import load
from fer_edge.training.evaluation_page import FILES
from fer_edge.training.logits_file import read_logits
from fer_edge.training.metrics import evaluate_predictions
from fer_edge.training.predictions import open_predictor

from ..conftest import EMOTIONS
from .spoken import (
    H5PY_WARNING,
    NAMED,
    TRUTH,
    a_tflite,
    both_kinds,
    faces_that_say,
    write_spoken_csv,
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytestmark = H5PY_WARNING


@pytest.fixture
def csv(tmp_path, monkeypatch) -> Path:
    """A fer2013.csv: PublicTest as the models say it, and an image of each class in Training."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    training = faces_that_say([*range(7)], [*range(7)], split="Training")
    training.images[:, 47, 21] = 1  # no image of PublicTest is in Training
    return write_spoken_csv(tmp_path / "fer2013.csv", faces_that_say(NAMED, TRUTH), training)


@pytest.fixture
def votes(tmp_path) -> Path:
    """FER+ votes that are all for happiness."""
    lines = ["Usage,Image name," + ",".join(f"vote{n}" for n in range(10))]
    splits = ["PublicTest"] * 10 + ["Training"] * 7
    lines += [f"{split},,0,10,0,0,0,0,0,0,0,0" for split in splits]
    path = tmp_path / "fer2013new.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def call(*arguments: object):
    result = CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@both_kinds
def test_it_prints_json(tmp_path, csv, make):
    model = make(tmp_path)

    result = call(model, "--data", csv, "--json")

    expected = evaluate_predictions(np.array(TRUTH), np.array(NAMED), EMOTIONS)
    printed = json.loads(result.stdout)
    assert result.exit_code == 0
    about = {"model": model.name, "data": "fer2013.csv", "split": "PublicTest", "skipped": 0}
    assert {name: printed[name] for name in about} == about
    assert len(printed["sha256"]) == 64
    assert {name: printed[name] for name in ("count", "accuracy")} == {"count": 10, "accuracy": 0.7}
    assert printed["confusion"] == [list(row) for row in expected.confusion]
    assert [row["label"] for row in printed["classes"]] == list(EMOTIONS)
    assert printed["interval"] == list(expected.interval)
    assert printed["without_training_duplicates"]["left_out"] == 0
    assert printed["ferplus_majority"] is None


def test_it_prints_tables(tmp_path, csv, votes):
    result = call(a_tflite(tmp_path), "--data", csv, "--votes", votes)

    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert "spoken.tflite on PublicTest of fer2013.csv: 70.00% of 10 images, macro-F1 " in said
    assert "95 % interval 39.68–89.22 %, expected calibration error 0.300" in said
    assert "with flip averaging: " in said
    assert "without images that are in Training too: 70.00 % of 10 images" in said
    assert "against the FER+ majority: 30.00 % of 10 images" in said
    assert all(label in result.stdout for label in EMOTIONS)


def test_flip_averaging_can_be_left_out(tmp_path, csv):
    result = call(a_tflite(tmp_path), "--data", csv, "--no-flip", "--json")

    assert json.loads(result.stdout)["flip_averaged"] is None


def test_it_measures_another_split(tmp_path, csv):
    result = call(a_tflite(tmp_path), "--data", csv, "--split", "Training", "--json")

    assert json.loads(result.stdout)["accuracy"] == 1.0
    assert json.loads(result.stdout)["without_training_duplicates"] is None


def test_a_missing_split_is_answered_with_those_that_are_there(tmp_path, csv):
    result = call(a_tflite(tmp_path), "--data", csv, "--split", "PrivateTest")

    assert result.exit_code == 1
    assert "Training (7), PublicTest (10)" in result.stderr


def test_a_shipped_model_is_measured_by_its_name(csv):
    result = call("fast", "--data", csv, "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["model"] == "fast_int8.tflite"
    assert json.loads(result.stdout)["count"] == 10


def test_a_report_is_written(tmp_path, csv, votes):
    out = tmp_path / "new/evaluation"

    result = call(a_tflite(tmp_path), "--data", csv, "--votes", votes, "--out", out, "--json")

    assert result.exit_code == 0
    assert {path.name for path in out.iterdir()} == set(FILES)
    # Standard output is the JSON document alone.
    assert json.loads(result.stdout) == json.loads((out / "evaluation.json").read_text())
    assert "report.html" in result.stderr

    again = call(a_tflite(tmp_path), "--data", csv, "--out", out)
    assert again.exit_code == 0
    assert "an earlier one was replaced" in again.stderr


def test_a_folder_with_other_files_is_refused_before_anything_is_read(tmp_path, csv):
    out = tmp_path / "runs"
    out.mkdir()
    (out / "model.keras").write_text("precious")

    result = call(a_tflite(tmp_path), "--data", tmp_path / "no-such.csv", "--out", out)

    assert result.exit_code == 1
    assert "holds other files (model.keras)" in result.stderr
    assert (out / "model.keras").read_text() == "precious"


def test_logits_are_written_for_a_later_training(tmp_path, csv):
    path = tmp_path / "teacher.npz"
    model = a_tflite(tmp_path)

    result = call(model, "--data", csv, "--split", "Training", "--logits", path, "--json")

    assert result.exit_code == 0
    found, printed = read_logits(path), json.loads(result.stdout)
    assert found.logits.argmax(axis=1).tolist() == [*range(7)]
    assert found.origins.tolist() == [str(n) for n in range(11, 18)]
    assert (found.split, found.data_sha256) == ("Training", printed["sha256"])
    assert found.model_sha256 == printed["model_sha256"]


def test_logits_are_the_mean_of_image_and_mirror_image_unless_one_view_is_asked_for(tmp_path, csv):
    model, paths = a_tflite(tmp_path), (tmp_path / "both.npz", tmp_path / "one.npz")

    assert call(model, "--data", csv, "--logits", paths[0]).exit_code == 0
    assert call(model, "--data", csv, "--logits", paths[1], "--no-flip").exit_code == 0

    both, one = (read_logits(path).logits for path in paths)
    images = load(csv).split("PublicTest").images
    mirrored = open_predictor(model).predict(np.ascontiguousarray(images[..., ::-1])).logits
    np.testing.assert_allclose(both, (one + mirrored) / 2)
    assert not np.allclose(both, one)


def test_logits_that_exist_are_replaced_only_on_demand(tmp_path, csv):
    path = tmp_path / "teacher.npz"
    path.write_text("precious")
    arguments = (a_tflite(tmp_path), "--data", csv, "--logits", path)

    refused = call(*arguments)
    assert refused.exit_code == 1
    assert "--overwrite" in refused.stderr
    assert path.read_text() == "precious"

    assert call(*arguments, "--overwrite").exit_code == 0
    assert len(read_logits(path).logits) == 10


def test_votes_that_do_not_belong_are_refused(tmp_path, csv):
    wrong = tmp_path / "fer2013new.csv"
    wrong.write_text("Usage,Image name\n")

    result = call(a_tflite(tmp_path), "--data", csv, "--votes", wrong)

    assert result.exit_code == 1
    assert "is no fer2013new.csv" in result.stderr


def test_a_tflite_is_measured_without_tensorflow(tmp_path, csv):
    """On a Pi there is none; the report is made all the same."""
    code = f"""
import sys
sys.modules.update({{"tensorflow": None, "keras": None}})
from fer_edge.edge.cli import cli
cli({["evaluate", str(a_tflite(tmp_path)), "--data", str(csv), "--out", str(tmp_path / "out")]!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/report.html").is_file()
