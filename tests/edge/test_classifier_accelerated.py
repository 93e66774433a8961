"""A classifier on an accelerator: it answers while it agrees with the CPU, and no longer."""

import contextlib
import dataclasses

import numpy as np
import pytest

from fer_edge.edge.accelerator import demo_crops, require_same_answers
from fer_edge.edge.classifier import EmotionClassifier
from fer_edge.edge.errors import ModelError

from ..conftest import a_contract, tiny_tflite
from .conftest import row_of
from .misbehaving_tpu import TINY_INPUT
from .tpu_standins import ScriptedAccelerator

LOGITS = (10, 250, 30, 0, 255, 128, 127)


def tiny() -> EmotionClassifier:
    return EmotionClassifier(tiny_tflite(), a_contract())


@pytest.fixture
def said() -> list[str]:
    return []


def test_an_accelerator_that_agrees_answers_from_then_on(said):
    classifier, accelerator = tiny(), ScriptedAccelerator()

    classifier.accelerate(accelerator, said.append)
    accelerator.off = 1.0

    assert classifier.outputs(row_of(*LOGITS)).tolist() == [[pixel + 1 for pixel in LOGITS]]
    assert accelerator.runs == 2
    assert (classifier.accelerator, classifier.lost, said) == (accelerator, 0, [])


def test_one_that_fails_is_left_and_the_cpu_answers_the_same_faces(said):
    classifier, accelerator = tiny(), ScriptedAccelerator()
    classifier.accelerate(accelerator, said.append)
    accelerator.error = ModelError("its process ended (SIGABRT).")

    for _ in range(3):
        assert classifier.outputs(row_of(*LOGITS)).tolist() == [list(LOGITS)]

    assert said == ["The Test TPU is given up, the CPU goes on: its process ended (SIGABRT)."]
    assert (classifier.accelerator, classifier.lost) == (None, 1)
    assert (accelerator.runs, accelerator.closed) == (2, 1)


def test_where_nobody_listens_it_is_logged(caplog):
    classifier, accelerator = tiny(), ScriptedAccelerator()
    classifier.accelerate(accelerator)
    accelerator.error = ModelError("it is gone.")

    classifier.classify(row_of(*LOGITS))

    assert caplog.messages == ["The Test TPU is given up, the CPU goes on: it is gone."]


# Each case: an accelerator that is not to be used, what is said.
OTHER_INPUT = dataclasses.replace(TINY_INPUT, scale=2.0)
UNLIKE = [
    (ScriptedAccelerator(input=OTHER_INPUT), r"its input is int8\(1, 48, 48, 1\) x 2 from -128"),
    (ScriptedAccelerator(output=TINY_INPUT), "its output is .* compiled from another model"),
    (ScriptedAccelerator(off=17.0), "off by up to 17 steps"),
    (ScriptedAccelerator(off=-17.0), "off by up to 17 steps"),
    (ScriptedAccelerator(off=float("nan")), "off by up to nan steps"),
]


@pytest.mark.parametrize(("accelerator", "said"), UNLIKE, ids=range(len(UNLIKE)))
def test_one_that_is_unlike_the_cpu_is_refused_and_closed(accelerator, said):
    classifier = tiny()

    with pytest.raises(ModelError, match=said):
        classifier.accelerate(accelerator)

    assert accelerator.closed == 1
    assert classifier.accelerator is None
    assert classifier.outputs(row_of(*LOGITS)).tolist() == [list(LOGITS)]


def test_another_index_of_a_tensor_is_no_difference():
    accelerator = ScriptedAccelerator(input=dataclasses.replace(TINY_INPUT, index=9), off=16.0)

    tiny().accelerate(accelerator)

    assert accelerator.closed == 0


def test_closing_and_renewing_give_the_accelerator_back(said):
    for end in ("close", "renew"):
        classifier, accelerator = tiny(), ScriptedAccelerator()
        classifier.accelerate(accelerator, said.append)

        for _ in range(2):
            getattr(classifier, end)()

        assert accelerator.closed == 1
        assert classifier.accelerator is None
        assert classifier.outputs(row_of(*LOGITS)).tolist() == [list(LOGITS)]
    assert said == [
        "The Test TPU is given up, the CPU goes on: the classifier that used it is being replaced."
    ]


# Each case: the CPU's outputs, the accelerator's, the scale, whether they are the same.
ANSWERS = [
    ([[0, 100, 50]], [[0, 100, 50]], 1.0, True),
    ([[0, 100, 50]], [[16, 84, 66]], 1.0, True),  # at the limit
    ([[0, 100, 50]], [[17, 100, 50]], 1.0, False),
    ([[0, 100, 50]], [[1, 101, 51]], 0.05, False),  # 20 steps of another size
    ([[0, 100, 84]], [[0, 95, 96]], 1.0, True),  # the CPU is not sure, so either may win
    ([[0, 100, 83]], [[0, 90, 91]], 1.0, False),  # it is, by 17 steps
    ([[0, 100, 50]], [[0, float("nan"), 50]], 1.0, False),
    ([[0.0, 1.0, 0.5]], [[0.06, 1.0, 0.5]], 0.0, True),  # float: 1/256 of the range is a step
    ([[0.0, 1.0, 0.5]], [[0.07, 1.0, 0.5]], 0.0, False),
    ([[0, 0, 0]], [[0, 0, 0]], 0.0, True),
]


@pytest.mark.parametrize(("expected", "found", "scale", "same"), ANSWERS)
def test_answers_are_compared_in_steps_of_the_output(expected, found, scale, same):
    expected, found = np.array(expected, np.float32), np.array(found, np.float32)

    with contextlib.nullcontext() if same else pytest.raises(ModelError, match="steps"):
        require_same_answers(expected, found, scale)


def test_the_demo_s_faces_come_as_training_crops():
    crops = demo_crops((40, 48))

    assert (crops.shape, crops.dtype) == ((14, 48, 40), np.uint8)
    assert len({crop.tobytes() for crop in crops}) == 14
    named = EmotionClassifier.open("accurate").classify(demo_crops((48, 48)))
    assert {"happy", "surprise", "angry"} <= {scores.label for scores in named}
