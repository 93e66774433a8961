"""Measuring a model: over models whose answers are known."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import DataError, ModelError
from fer_edge.edge.sidecar import sidecar_path, write_sidecar
from fer_edge.training.evaluate import (
    against_ferplus,
    evaluate,
    ferplus_majority,
    in_training,
    report,
)
from fer_edge.training.metrics import evaluate_predictions
from fer_edge.training.predictions import open_predictor

from ..conftest import EMOTIONS, a_contract, a_dataset
from .spoken import (
    H5PY_WARNING,
    NAMED,
    TRUTH,
    a_keras,
    a_tflite,
    both_kinds,
    faces_that_say,
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("sklearn", reason="needs the extra [report]")
pytestmark = H5PY_WARNING


def joined(*parts):
    """One data set with the images of several, one after the other."""
    from dataclasses import replace

    together = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("images", "labels", "splits", "origins")
    }
    return replace(parts[0], **together)


# ----------------------------------------------------------------------------------------- models


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


# Each case: what is wrong with the model, and what is said.
UNFIT = [
    ({"input_size_wh": (64, 64)}, r"takes \(None, 48, 48, 1\), its contract promises \(None, 64"),
    ({"framing": "tight"}, "takes 'tight' crops, expected 'fer2013'"),
    ({"input_channels": 3}, r"takes \(None, 48, 48, 1\), its contract promises \(None, 48, 48, 3"),
]


@pytest.mark.parametrize(("changes", "said"), UNFIT)
def test_a_keras_model_that_takes_something_else_is_refused(tmp_path, changes, said):
    with pytest.raises(ModelError, match=said):
        evaluate(a_keras(tmp_path, **changes), faces_that_say(NAMED, TRUTH))


def test_a_keras_model_of_another_input_size_is_given_scaled_images(tmp_path):
    """Twice the size: the first pixel of the row stays what it is, the others are moved."""
    path = a_keras(tmp_path, side=96, input_size_wh=(96, 96))

    assert evaluate(path, faces_that_say([0, 1], [0, 2])).accuracy == 1.0


def test_many_images_are_run_in_parts(tmp_path, monkeypatch):
    from fer_edge.training import predictions

    monkeypatch.setattr(predictions, "_BATCH", 3)
    monkeypatch.setattr(predictions, "_CHUNK_BYTES", 1)

    found = evaluate(a_keras(tmp_path), faces_that_say(NAMED, TRUTH))

    assert found == evaluate_predictions(np.array(TRUTH), np.array(NAMED), EMOTIONS)


def test_a_keras_model_with_other_outputs_than_labels_is_refused(tmp_path):
    keras = pytest.importorskip("keras", reason="needs the extra [train]")
    pixels = keras.Input((48, 48, 1))
    path = tmp_path / "five.keras"
    keras.Model(pixels, keras.layers.Dense(5)(keras.layers.Flatten()(pixels))).save(path)
    write_sidecar(path, a_contract())

    with pytest.raises(ModelError, match=r"gives \(None, 5\), its contract promises \(None, 7"):
        evaluate(path, faces_that_say(NAMED, TRUTH))


def test_a_model_that_answers_nan_is_refused(tmp_path):
    keras = pytest.importorskip("keras", reason="needs the extra [train]")
    pixels = keras.Input((48, 48, 1))
    rows = keras.layers.Dense(7, bias_initializer=keras.initializers.Constant(np.nan))
    path = tmp_path / "broken.keras"
    keras.Model(pixels, rows(keras.layers.Flatten()(pixels))).save(path)
    write_sidecar(path, a_contract())

    with pytest.raises(ModelError, match="NaN or infinity for 10 of 10 images"):
        evaluate(path, faces_that_say(NAMED, TRUTH))


def test_no_image_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no image to measure on"):
        evaluate(a_tflite(tmp_path), faces_that_say([], []))


# ------------------------------------------------------------------------------------ predictions


def test_predictions_of_logits(tmp_path):
    data = faces_that_say([2], [2])
    data.images[0, 0, :7] = (1, 2, 3, 0, 0, 0, 0)

    found = open_predictor(a_tflite(tmp_path, temperature=2.0)).predict(data.images)

    # The logits as they are, the probabilities with the temperature.
    assert found.logits.tolist() == [[1, 2, 3, 0, 0, 0, 0]]
    powers = np.exp(np.array([1, 2, 3, 0, 0, 0, 0]) / 2)
    assert found.probabilities[0] == pytest.approx(powers / powers.sum())
    assert (found.logits.dtype, found.probabilities.dtype) == (np.float32, np.float32)
    assert found.named.tolist() == [2]
    assert found.confidence[0] == found.probabilities[0, 2]


def test_predictions_of_probabilities(tmp_path):
    """A model whose outputs are shares already: their logarithms stand for the logits."""
    data = faces_that_say([2], [2])
    data.images[0, 0, :7] = (0, 50, 150, 0, 0, 0, 0)

    found = open_predictor(a_tflite(tmp_path, output="probabilities")).predict(data.images)

    assert found.probabilities[0] == pytest.approx([0, 0.25, 0.75, 0, 0, 0, 0])
    assert found.logits[0, 1:3] == pytest.approx(np.log([0.25, 0.75]))
    assert found.logits[0, 0] == pytest.approx(np.log(1e-7)), "a finite one for a share of 0"


def test_predictions_are_in_the_order_of_the_data(tmp_path):
    turned = EMOTIONS[::-1]
    data = faces_that_say([0], [6])
    data.images[0, 0, :7] = (9, 8, 0, 0, 0, 0, 1)

    found = open_predictor(a_tflite(tmp_path, labels=turned)).predict(data.images)

    assert found.logits.tolist() == [[1, 0, 0, 0, 0, 8, 9]]
    assert found.named.tolist() == [6]


# ----------------------------------------------------------------------------------------- report


@both_kinds
def test_a_report_agrees_with_the_short_evaluation(tmp_path, make):
    data = faces_that_say(NAMED, TRUTH)
    model = make(tmp_path)

    found = report(model, data, "PublicTest")

    assert found.scores == evaluate(model, data)
    assert found.right.tolist() == [n == t for n, t in zip(NAMED, TRUTH, strict=True)]
    assert [curve.label for curve in found.roc] == list(EMOTIONS)
    # It is always as good as sure, and right in 7 of 10.
    assert found.calibration.error == pytest.approx(0.3)
    assert (found.unseen, found.ferplus) == (None, None)


def test_flip_averaging_is_apart_from_the_headline(tmp_path):
    data = faces_that_say([0, 0], [1, 0])
    data.images[:, 0, :7] = 0
    # One way round it says angry, and a little disgust; the other way round only disgust.
    data.images[0, 0, :2] = (3, 1)
    data.images[0, 0, 47 - 1] = 9
    data.images[1, 0, 0] = data.images[1, 0, 47] = 5

    found = report(a_tflite(tmp_path), data, "PublicTest")

    assert found.scores.accuracy == 0.5
    assert found.flipped is not None
    assert found.flipped.accuracy == 1.0
    assert report(a_tflite(tmp_path), data, "PublicTest", flip=False).flipped is None


def test_images_of_training_are_left_out_of_a_second_accuracy(tmp_path):
    test = faces_that_say([0, 1, 2, 3], [0, 1, 2, 4])  # the last one is wrong
    training = faces_that_say([0, 1, 5], [0, 1, 5], split="Training")
    both = joined(training, test)

    found = report(a_tflite(tmp_path), both, "PublicTest")

    # The first two have the same pixels in both; the third differs in its number.
    assert in_training(both, test.images).tolist() == [True, True, False, False]
    assert found.scores.accuracy == 0.75
    assert found.unseen is not None
    assert found.unseen.left_out == 2
    assert found.unseen.accuracy is not None
    assert (found.unseen.accuracy.hits, found.unseen.accuracy.count) == (1, 2)


def test_training_itself_has_no_accuracy_without_training(tmp_path):
    data = faces_that_say(NAMED, TRUTH, split="Training")

    assert report(a_tflite(tmp_path), data, "Training").unseen is None


def test_a_split_that_lies_wholly_in_training_has_no_second_accuracy(tmp_path):
    test = faces_that_say([0, 1], [0, 1])
    both = joined(faces_that_say([0, 1], [0, 1], split="Training"), test)

    found = report(a_tflite(tmp_path), both, "PublicTest")

    assert found.unseen is not None
    assert (found.unseen.left_out, found.unseen.accuracy) == (2, None)
    assert found.to_dict()["without_training_duplicates"] == {
        "left_out": 2,
        "count": 0,
        "accuracy": None,
        "interval": None,
    }


def test_the_most_confident_mistakes_come_first(tmp_path):
    data = faces_that_say([0, 1, 2, 3], [0, 0, 0, 0])
    data.images[:, 0, :7] = 0
    for index, strength in enumerate((9, 2, 4, 3)):
        data.images[index, 0, index] = strength

    found = report(a_tflite(tmp_path), data, "PublicTest")

    assert found.mistakes(9).tolist() == [2, 3, 1]
    assert found.mistakes(1).tolist() == [2]


def test_the_figures_are_plain_json_without_single_answers(tmp_path):
    found = report(a_tflite(tmp_path), faces_that_say(NAMED, TRUTH), "PublicTest")

    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))

    assert document["schema_version"] == 1
    assert (document["model"], document["contract"]) == ("spoken.tflite", "tiny")
    assert document["model_sha256"] == found.contract.content_sha256
    assert (document["data"], document["sha256"]) == ("spoken", "d" * 64)
    assert document["confusion_rates"][0] == [0.5, 0, 0, 0.5, 0, 0, 0]
    assert document["roc_areas"].keys() == set(EMOTIONS)
    assert sum(item["count"] for item in document["calibration"]["bins"]) == 10
    assert "probabilities" not in json.dumps(document)


def test_a_split_of_one_class_is_measured_without_curves(tmp_path):
    found = report(a_tflite(tmp_path), faces_that_say([3, 3, 0], [3, 3, 3]), "PublicTest")

    assert found.roc == ()
    assert found.scores.absent == tuple(label for label in EMOTIONS if label != "happy")
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["confusion_rates"][0] == [None] * 7
    assert document["roc_areas"] == {}


# ------------------------------------------------------------------------------------------- FER+

# Each case: votes for neutral, happiness, surprise, sadness, anger, disgust, fear, contempt,
# unknown, not-a-face; the class, and why there is none.
VOTES = [
    ((0, 9, 1, 0, 0, 0, 0, 0, 0, 0), "happy", ""),
    ((4, 3, 3, 0, 0, 0, 0, 0, 0, 0), "neutral", ""),  # the most, though not more than half
    ((0, 0, 0, 0, 6, 0, 0, 4, 0, 0), "angry", ""),
    ((0, 0, 0, 0, 0, 0, 2, 1, 1, 1), "fear", ""),
    ((5, 0, 0, 5, 0, 0, 0, 0, 0, 0), None, "tie"),
    ((0, 0, 0, 0, 0, 4, 0, 4, 2, 0), None, "tie"),  # also where contempt is one of the two
    ((0, 0, 0, 0, 3, 0, 0, 7, 0, 0), None, "contempt"),
    ((1, 0, 0, 0, 3, 0, 0, 0, 6, 0), None, "unknown"),
    ((0, 0, 0, 0, 0, 0, 0, 0, 0, 10), None, "not a face"),
    ((0, 0, 0, 0, 0, 0, 0, 0, 0, 0), None, "no votes"),
]


@pytest.mark.parametrize(("votes", "label", "why"), VOTES)
def test_the_majority_of_the_taggers(votes, label, why):
    found, reasons = ferplus_majority(np.array([votes]))

    assert reasons.tolist() == [why]
    assert found.tolist() == [-1 if label is None else EMOTIONS.index(label)]


@given(st.lists(st.lists(st.integers(0, 10), min_size=10, max_size=10), min_size=1, max_size=30))
def test_each_image_has_a_majority_or_one_reason(votes):
    found, reasons = ferplus_majority(np.array(votes))

    for row, emotion, why in zip(votes, found, reasons, strict=True):
        assert (emotion >= 0) == (why == "")
        assert (why == "no votes") == (max(row) == 0)
        if max(row) > 0:
            assert (why == "tie") == (row.count(max(row)) > 1)


def test_predictions_and_labels_are_held_against_the_majority():
    from dataclasses import replace

    votes = np.array([VOTES[0][0], VOTES[1][0], VOTES[4][0], VOTES[9][0]])
    data = replace(faces_that_say([3, 3, 0, 0], [0, 6, 0, 0]), votes=votes)

    found = against_ferplus(data, np.array([3, 3, 0, 0]))

    assert found.accuracy is not None
    assert found.agreement is not None
    assert (found.accuracy.hits, found.accuracy.count) == (1, 2)  # happy right, neutral wrong
    assert (found.agreement.hits, found.agreement.count) == (1, 2)
    assert {why: n for why, n in found.left_out.items() if n} == {"tie": 1, "no votes": 1}


def test_without_votes_there_is_nothing_to_hold_against():
    with pytest.raises(DataError, match="--votes"):
        against_ferplus(faces_that_say(NAMED, TRUTH), np.array(NAMED))


# -------------------------------------------------------------------------------------- real data


@pytest.mark.slow
def test_the_shipped_model_on_the_real_data(real_data):
    """Its contract's accuracy, which docs/results/README.md and the READMEs quote."""
    from fer_edge.edge.models import model_path
    from fer_edge.training.datasets import load

    faces = load(real_data / "fer2013.csv.gz", votes=real_data / "fer2013new.csv")

    found = report(model_path("fast"), faces, "PublicTest", flip=False)

    (said,) = [
        metric["value"]
        for metric in found.contract.metrics
        if (metric["name"], metric["of"]) == ("accuracy", "int8")
    ]
    assert (found.scores.count, round(found.scores.accuracy, 5)) == (3589, said)
    assert found.unseen is not None
    assert found.unseen.left_out == 274
    assert found.ferplus is not None
    assert sum(found.ferplus.left_out.values()) == 284
    assert 0 < found.calibration.error < 0.05
