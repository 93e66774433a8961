"""Measuring a model: figures computed by hand, over models whose answers are known."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.cli import cli
from fer_edge.edge.contract import embed_contract
from fer_edge.edge.errors import DataError, ModelError
from fer_edge.edge.sidecar import sidecar_path, write_sidecar
from fer_edge.training.datasets import Dataset
from fer_edge.training.evaluate import evaluate
from fer_edge.training.metrics import evaluate_predictions

from ..conftest import EMOTIONS, a_contract, a_dataset, tiny_tflite, write_csv

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("sklearn", reason="needs the extra [report]")

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

ABC = ("a", "b", "c")


# ---------------------------------------------------------------------------------------- figures


def test_figures_by_hand():
    #           a  a  a  a  b  b  c
    truth = np.array([0, 0, 0, 0, 1, 1, 2])
    named = np.array([0, 0, 0, 1, 1, 0, 1])

    found = evaluate_predictions(truth, named, ABC)

    assert found.count == 7
    assert found.accuracy == pytest.approx(4 / 7)
    assert found.confusion == ((3, 1, 0), (1, 1, 0), (0, 1, 0))  # rows: what is true
    a, b, c = found.classes
    assert (a.label, a.precision, a.recall, a.f1, a.support) == ("a", 3 / 4, 3 / 4, 3 / 4, 4)
    assert (b.label, b.support) == ("b", 2)
    assert (b.precision, b.recall, b.f1) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert (c.precision, c.recall, c.f1, c.support) == (0, 0, 0, 1)
    # Each class counts the same, however many images it has.
    assert found.macro_f1 == pytest.approx((3 / 4 + 2 / 5 + 0) / 3)


# Each case: what is true, what was named, accuracy, macro-F1.
CASES = [
    ([0, 1, 2], [0, 1, 2], 1.0, 1.0),
    ([0, 1, 2], [1, 2, 0], 0.0, 0.0),
    ([0, 0, 0], [0, 0, 0], 1.0, 1 / 3),  # classes without an image count as 0, and no warning
    ([1], [2], 0.0, 0.0),
    ([0, 0, 1, 1], [0, 0, 0, 0], 0.5, (2 / 3) / 3),
]


@pytest.mark.parametrize(("truth", "named", "accuracy", "macro_f1"), CASES)
def test_more_figures_by_hand(truth, named, accuracy, macro_f1):
    found = evaluate_predictions(np.array(truth), np.array(named), ABC)

    assert found.accuracy == pytest.approx(accuracy)
    assert found.macro_f1 == pytest.approx(macro_f1)
    assert [row.label for row in found.classes] == list(ABC)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60))
def test_the_confusion_holds_every_image_once(pairs):
    truth, named = np.array(pairs).T

    found = evaluate_predictions(truth, named, EMOTIONS)

    confusion = np.array(found.confusion)
    assert confusion.shape == (7, 7)
    assert confusion.sum() == found.count == len(pairs)
    assert found.accuracy == pytest.approx(np.trace(confusion) / len(pairs))
    assert confusion.sum(axis=1).tolist() == [row.support for row in found.classes]
    assert json.loads(json.dumps(found.to_dict()))["count"] == len(pairs)


# ----------------------------------------------------------------------------------------- models


def faces_that_say(named: list[int], truth: list[int], split: str = "PublicTest") -> Dataset:
    """A data set whose images make the models below answer with these classes."""
    images = np.zeros((len(named), 48, 48), np.uint8)
    images[np.arange(len(named)), 0, named] = 200
    return Dataset(
        name="spoken",
        digest="d" * 64,
        images=images,
        labels=np.array(truth),
        splits=np.array([split] * len(truth)),
        origins=np.array([str(n) for n in range(len(truth))]),
        votes=None,
        skipped=0,
    )


def a_tflite(folder: Path, **changes) -> Path:
    """A model whose logits are the first seven pixels."""
    path = folder / "spoken.tflite"
    path.write_bytes(embed_contract(tiny_tflite(), a_contract(**changes)))
    return path


def a_keras(folder: Path, **changes) -> Path:
    """The same as a Keras model."""
    keras = pytest.importorskip("keras", reason="needs the extra [train]")
    pixels = keras.Input((48, 48, 1))
    row = keras.layers.Cropping2D(((0, 47), (0, 41)))(pixels)
    path = folder / "spoken.keras"
    keras.Model(pixels, keras.layers.Reshape((7,))(row)).save(path)
    write_sidecar(path, a_contract(**changes))
    return path


both_kinds = pytest.mark.parametrize("make", [a_tflite, a_keras])

NAMED, TRUTH = [0, 1, 2, 3, 4, 5, 6, 3, 3, 0], [0, 1, 2, 3, 4, 5, 6, 0, 4, 6]


@both_kinds
def test_a_model_is_measured_on_every_image(tmp_path, make):
    found = evaluate(make(tmp_path), faces_that_say(NAMED, TRUTH))

    assert found == evaluate_predictions(np.array(TRUTH), np.array(NAMED), EMOTIONS)
    assert (found.count, found.accuracy) == (10, 0.7)


@both_kinds
def test_another_order_of_the_labels_changes_nothing(tmp_path, make):
    """Output 0 of this model means neutral."""
    turned = EMOTIONS[::-1]
    by_output = [turned.index(EMOTIONS[label]) for label in NAMED]

    found = evaluate(make(tmp_path, labels=turned), faces_that_say(by_output, TRUTH))

    assert found == evaluate_predictions(np.array(TRUTH), np.array(NAMED), EMOTIONS)
    assert [row.label for row in found.classes] == list(EMOTIONS)


@both_kinds
@pytest.mark.parametrize(
    "labels", [(*EMOTIONS[:6], "contempt"), ("happiness", *EMOTIONS[1:])], ids=["other", "spelling"]
)
def test_a_model_of_other_emotions_cannot_be_measured(tmp_path, make, labels):
    with pytest.raises(ModelError, match=r"FER-2013 has \['angry'"):
        evaluate(make(tmp_path, labels=labels), faces_that_say(NAMED, TRUTH))


def test_a_keras_model_without_a_contract_is_refused(tmp_path):
    path = a_keras(tmp_path)
    sidecar_path(path).unlink()

    with pytest.raises(ModelError, match="has no contract"):
        evaluate(path, faces_that_say(NAMED, TRUTH))


@pytest.mark.parametrize("name", ["spoken.tflite", "spoken.keras"])
def test_a_file_that_is_no_model_is_refused(tmp_path, name):
    pytest.importorskip("keras", reason="needs the extra [train]")
    path = tmp_path / name
    path.write_bytes(b"This is no model.")
    if path.suffix == ".keras":
        write_sidecar(path, a_contract())

    with pytest.raises(ModelError, match=name):
        evaluate(path, faces_that_say(NAMED, TRUTH))


def test_a_missing_split_is_answered_with_those_that_are_there():
    data = a_dataset(Training=2, PublicTest=1)

    with pytest.raises(DataError, match=r"no split 'PrivateTest'.*Training \(14\), PublicTest \(7"):
        data.split("PrivateTest")


# ---------------------------------------------------------------------------------------- command


@pytest.fixture
def csv(tmp_path, monkeypatch) -> Path:
    """A fer2013.csv: PublicTest as above, and an image of each class in Training."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = [*zip(NAMED, TRUTH, ["PublicTest"] * 10, strict=True)]
    said += [(label, label, "Training") for label in range(7)]
    rows = []
    for named, truth, split in said:
        pixels = faces_that_say([named], [truth]).images[0].ravel()
        rows.append([str(truth), " ".join(map(str, pixels)), split])
    return write_csv(tmp_path / "fer2013.csv", rows)


def call(*arguments: object):
    result = CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@both_kinds
def test_the_command_prints_json(tmp_path, csv, make):
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


def test_the_command_prints_tables(tmp_path, csv):
    result = call(a_tflite(tmp_path), "--data", csv)

    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert "spoken.tflite on PublicTest of fer2013.csv: 70.00% of 10 images, macro-F1 " in said
    assert all(label in result.stdout for label in EMOTIONS)


def test_the_command_measures_another_split(tmp_path, csv):
    result = call(a_tflite(tmp_path), "--data", csv, "--split", "Training", "--json")

    assert json.loads(result.stdout)["accuracy"] == 1.0


def test_the_command_answers_a_missing_split_with_those_that_are_there(tmp_path, csv):
    result = call(a_tflite(tmp_path), "--data", csv, "--split", "PrivateTest")

    assert result.exit_code == 1
    assert "Training (7), PublicTest (10)" in result.stderr


def test_a_shipped_model_is_measured_by_its_name(csv):
    result = call("plain", "--data", csv, "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["model"] == "plain_int8.tflite"
    assert json.loads(result.stdout)["count"] == 10
