"""``fer-edge benchmark accuracy``: figures that can be counted by hand."""

import numpy as np
import pytest

from fer_edge.benchmarks import accuracy
from fer_edge.benchmarks.accuracy import measure_accuracy
from fer_edge.benchmarks.document import Conditions
from fer_edge.benchmarks.rules import FULL, QUICK
from fer_edge.benchmarks.session import Session
from fer_edge.convert.gate import paired_loss
from fer_edge.edge.errors import ModelError
from fer_edge.edge.models import shipped_models
from fer_edge.training import predictions

from ...conftest import EMOTIONS
from .runs import (
    TINY,
    a_model,
    a_session,
    measured,
    plan_of,
    values,
)


@pytest.fixture
def all_happy(monkeypatch) -> None:
    """Keras names every face happy, and is not loaded."""

    def opened(path, contract):
        row = [[float(label == "happy") for label in EMOTIONS]]
        return lambda images: np.repeat(np.array(row, np.float32), len(images), axis=0)

    monkeypatch.setattr(predictions, "_open_keras", opened)


# --------------------------------------------------------------------------------- figures


def test_the_figures_are_those_of_the_gate(data, model, keras, all_happy):
    found = measured(plan_of(data, model, keras=keras, with_keras=True))

    ours, theirs = values(found, "int8"), values(found, "keras")
    # All neutral ones and the first of each other class: eight of 14; happy: two of 14.
    right, happy = np.zeros((2, 14), bool)
    right[[0, 2, 4, 6, 8, 10, 12, 13]] = happy[[6, 7]] = True
    loss = paired_loss(happy, right)
    assert ours["accuracy"] == pytest.approx(100 * 8 / 14)
    assert theirs["accuracy"] == pytest.approx(100 * 2 / 14)
    assert (ours["loss"], ours["loss_low"], ours["loss_high"]) == pytest.approx(
        (loss.points, loss.low, loss.high)
    )
    assert loss.points == pytest.approx(-100 * 6 / 14)
    assert ours["agreement"] == pytest.approx(100 * 1 / 14)
    assert "loss" not in theirs
    assert ours["accuracy_low"] < ours["accuracy"] < ours["accuracy_high"]
    assert values(found, "int8", **{"class": "fear"})["recall"] == pytest.approx(50)
    assert values(found, "int8", **{"class": "neutral"})["recall"] == pytest.approx(100)
    assert [each.name for each in found.models] == ["small", "small, keras"]
    assert found.missing == {}
    assert not any(figure.invalid for figure in found.figures)


def test_a_figure_says_what_it_is_of(data, model):
    found = measured(plan_of(data, model))

    (figure,) = [each for each in found.figures if each.metric == "accuracy"]
    assert figure.of == {"model": "small", "kind": "int8", "split": "PublicTest", "images": 14}
    assert (figure.section, figure.unit, figure.better) == ("accuracy", "%", "higher")
    assert any("fer.csv" in note for note in found.notes)
    assert any("does not say what it was trained on" in note for note in found.notes)


def test_the_master_beside_a_model_is_found(data, model, keras, all_happy):
    keras.rename(model.with_suffix(".keras"))
    keras.with_suffix(".contract.json").rename(model.with_suffix(".contract.json"))

    assert values(measured(plan_of(data, model, with_keras=True)), "keras")


def test_a_keras_model_is_measured_for_itself_without_curves(data, keras, all_happy):
    found = measured(plan_of(data, keras, curves=True))

    assert values(found, "keras", model="master")["accuracy"] == pytest.approx(100 * 2 / 14)
    assert found.curves == ()


def test_a_throttled_machine_does_not_spoil_what_depends_on_no_time(data, model):
    states = iter([Conditions(), Conditions(), Conditions(throttled_now=("throttled",))])
    session = Session("test", FULL, conditions=lambda: next(states, Conditions()))

    measure_accuracy(session, plan_of(data, model))

    assert session.document().invalid == ()


def test_votes_add_the_accuracy_against_the_majority(tmp_path, data, model):
    votes = tmp_path / "fer2013new.csv"
    head = (
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    )
    usages = ["Training"] * 7 + ["PublicTest"] * 14
    # All are happy, but one that has no majority.
    lines = [f"{usage},fer{at:07}.png,0,9,0,0,0,0,0,0,1,0" for at, usage in enumerate(usages)]
    lines[-1] = "PublicTest,fer0000020.png,5,5,0,0,0,0,0,0,0,0"
    votes.write_text("\n".join([head, *lines]) + "\n")

    found = measured(plan_of(data, model, votes=votes))

    (figure,) = [each for each in found.figures if each.metric == "accuracy_ferplus"]
    assert figure.median == pytest.approx(100 / 13)
    assert figure.of["images"] == 13


def test_a_sample_is_balanced_and_labelled(data, model):
    found = measured(plan_of(data, model, images=7))

    recalls = [each for each in found.figures if each.metric == "recall"]
    assert [each.of["images"] for each in recalls] == [1] * 7
    assert {each.of["images"] for each in found.figures if each.metric == "accuracy"} == {7}
    assert any("A sample of 7 images" in note for note in found.notes)
    assert measured(plan_of(data, model, images=7)).figures == found.figures


# ---------------------------------------------------------------------------------- curves


def test_a_curve_for_each_model_and_distortion(tmp_path, data, model):
    found = measured(plan_of(data, model, a_model(tmp_path / "other.tflite"), curves=True))

    assert [(curve.name, curve.of["model"]) for curve in found.curves] == [
        (name, name_of)
        for name in ("box shift", "blur", "darker")
        for name_of in ("small", "other")
    ]
    darker = found.curves[-1]
    # The brightest pixel stays the brightest.
    assert darker.ys == (pytest.approx(100 * 8 / 14, abs=0.001),) * 6
    assert darker.xs == (100, 70, 50, 30, 20, 10)
    assert darker.of["images"] == 14


def test_the_notes_say_where_five_points_are_lost(data, model):
    notes = measured(plan_of(data, model, curves=True)).notes

    (note,) = [note for note in notes if "loses 5 points" in note]
    assert note.startswith("small, int8")
    assert "box shift" in note
    assert "darker" not in note


def test_an_interruption_keeps_the_curves_that_were_finished(data, model, monkeypatch):
    real = accuracy.answers

    def interrupted(predictors, distortion, images, *, seed):
        if distortion.name == "blur":
            raise KeyboardInterrupt
        return real(predictors, distortion, images, seed=seed)

    monkeypatch.setattr(accuracy, "answers", interrupted)
    session = a_session()

    with pytest.raises(KeyboardInterrupt):
        measure_accuracy(session, plan_of(data, model, curves=True))

    found = session.document()
    assert found.state == "interrupted"
    assert [curve.name for curve in found.curves] == ["box shift"]
    assert values(found, "int8")["accuracy"] == pytest.approx(100 * 8 / 14)


def test_quick_takes_a_sample_and_leaves_out_what_there_is_no_time_for(data, model, monkeypatch):
    monkeypatch.setattr(accuracy, "QUICK_IMAGES", 7)
    monkeypatch.setattr(accuracy, "_QUICK_S", -1.0)

    found = measured(plan_of(data, model, curves=True), QUICK)

    assert found.quick
    assert {each.of["images"] for each in found.figures if each.metric == "accuracy"} == {7}
    assert found.curves == ()
    assert list(found.missing)[1:] == [
        f"accuracy over {name}" for name in ("box shift", "blur", "darker")
    ]


# --------------------------------------------------------------------------------- missing


def test_without_tensorflow_the_rest_is_measured(data, model, keras, monkeypatch):
    def missing(path, contract):
        raise ModuleNotFoundError("No module named 'keras'", name="keras")

    monkeypatch.setattr(predictions, "_open_keras", missing)

    found = measured(plan_of(data, model, keras=keras, with_keras=True))

    assert 'pip install "fer-edge[train]"' in found.missing["small, keras"]
    assert values(found, "int8")["accuracy"] == pytest.approx(100 * 8 / 14)
    assert "loss" not in values(found, "int8")


def test_a_model_without_a_master_says_what_to_name(tmp_path, data):
    alone = a_model(tmp_path / "alone.tflite", parent_sha256="a" * 64)

    assert "--keras" in measured(plan_of(data, alone, with_keras=True)).missing["alone, keras"]


def test_the_masters_of_the_shipped_models_are_those_of_the_clone():
    if not list(accuracy._RELEASED.glob("*.keras")):
        pytest.skip("no clone: the masters are not in the wheel")
    for name, path in shipped_models().items():
        contract = predictions.open_predictor(path).contract

        assert accuracy._find_master(path, contract, None) == accuracy._RELEASED / f"{name}.keras"


class Stick:
    """A classifier on an Edge TPU that names every face angry; it may be lost."""

    contract = TINY
    accelerator = "stick"

    def __init__(self, lost: int = 0):
        self.lost, self.closed = lost, False

    def outputs(self, images):
        return np.repeat(np.eye(7, dtype=np.float32)[:1], len(images), axis=0)

    def close(self):
        self.closed = True


@pytest.fixture
def stick(monkeypatch) -> Stick:
    made = Stick()

    def opened(path, *, tpu, say):
        if made.lost:
            say("it was pulled out.")
        return made

    monkeypatch.setattr(accuracy, "open_classifier", opened)
    return made


def test_an_edge_tpu_is_measured_beside_the_cpu(data, model, stick):
    found = measured(plan_of(data, model))

    assert values(found, "edgetpu")["accuracy"] == pytest.approx(100 * 2 / 14)
    assert values(found, "int8")["accuracy"] == pytest.approx(100 * 8 / 14)
    assert stick.closed


def test_what_the_cpu_answers_for_a_lost_edge_tpu_does_not_count(data, model, stick):
    stick.lost = 1

    with pytest.raises(ModelError, match="lost while small was measured: it was pulled out"):
        measured(plan_of(data, model))
