"""Emotions from crops: the contract rules, the numbers stay numbers."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fer_edge.edge import classifier as classifier_module
from fer_edge.edge.classifier import EmotionClassifier, probabilities
from fer_edge.edge.contract import ModelContract
from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.errors import ModelError, UsageError
from fer_edge.edge.models import DEFAULT, model_path, shipped_models
from fer_edge.edge.runtime import load_network

from ..conftest import EMOTIONS, a_contract, a_face, tiny_tflite
from .conftest import as_float, requantised, row_of, tiny_variant, with_input

LOGITS = (10, 250, 30, 0, 255, 128, 127)


def tiny(content: bytes | None = None, **changes) -> EmotionClassifier:
    return EmotionClassifier(content or tiny_tflite(), a_contract(**changes))


def write_model(path: Path, content: bytes | None = None, **changes) -> Path:
    path.write_bytes(embed_contract(content or tiny_tflite(), a_contract(**changes)))
    return path


# --------------------------------------------------------------------------------- probabilities

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
rows = hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.just(7)), elements=floats)
temperatures = st.floats(1e-3, 1e3)


@given(rows, temperatures)
def test_probabilities_of_any_logits_sum_to_one(logits, temperature):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an overflow is one
        found = probabilities(logits, a_contract(temperature=temperature))

    assert found.shape == logits.shape
    assert found.dtype == np.float64
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found.sum(axis=-1), 1)


@given(rows, temperatures)
def test_probabilities_keep_the_order_of_the_logits(logits, temperature):
    found = probabilities(logits, a_contract(temperature=temperature))

    for values, shares in zip(logits, found, strict=True):
        assert (np.diff(shares[np.argsort(values, kind="stable")]) >= 0).all()


@given(hnp.arrays(np.float32, 7, elements=st.floats(-50, 50, width=32)), st.floats(-1e4, 1e4))
def test_a_constant_added_to_the_logits_changes_nothing(logits, constant):
    shifted = logits.astype(np.float64) + constant

    np.testing.assert_allclose(
        probabilities(logits, a_contract()), probabilities(shifted, a_contract()), atol=1e-9
    )


@given(hnp.arrays(np.float32, 7, elements=st.floats(-30, 30, width=32)), st.floats(1.01, 50))
def test_a_higher_temperature_is_less_sure(logits, temperature):
    sure = probabilities(logits, a_contract()).max()

    assert probabilities(logits, a_contract(temperature=temperature)).max() <= sure + 1e-12


# Each case: logits, temperature, probabilities by hand.
BY_HAND = [
    ([0, 0, 0, 0], 1.0, [0.25] * 4),
    ([np.log(2), 0, 0], 1.0, [0.5, 0.25, 0.25]),
    ([2 * np.log(2), 0, 0], 2.0, [0.5, 0.25, 0.25]),
    ([1000, 0], 1.0, [1, 0]),
    ([-1000, -1000], 1.0, [0.5, 0.5]),
]


@pytest.mark.parametrize(("logits", "temperature", "expected"), BY_HAND)
def test_probabilities_by_hand(logits, temperature, expected):
    contract = a_contract(temperature=temperature)

    found = probabilities(np.array(logits, np.float32), contract)

    assert found.tolist() == pytest.approx(expected)


@given(hnp.arrays(np.float32, 7, elements=st.floats(0, 1, width=32)))
def test_a_model_that_answers_probabilities_is_only_normalised(answers):
    found = probabilities(answers, a_contract(output="probabilities", temperature=3.0))

    total = float(answers.astype(np.float64).sum())
    if total > 1e-9:
        expected = answers.astype(np.float64) / total
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-12)
    assert np.isfinite(found).all()


# ------------------------------------------------------------------------------------ classifying


def test_a_face_is_named_by_the_largest_logit():
    (scores,) = tiny().classify(row_of(*LOGITS))

    assert scores.labels == EMOTIONS
    assert scores.label == "sad"  # 255
    assert sum(scores.values) == pytest.approx(1)
    assert all(type(value) is float for value in scores.values), "JSON takes no NumPy numbers"


def test_labels_come_in_the_order_of_the_contract():
    (scores,) = tiny(labels=EMOTIONS[::-1]).classify(row_of(*LOGITS))

    assert scores.label == EMOTIONS[::-1][4]


def test_the_temperature_of_the_contract_counts():
    (cold,), (hot,) = tiny().classify(row_of(9, 8)), tiny(temperature=9.0).classify(row_of(9, 8))

    assert cold.score > hot.score


def test_no_face_has_no_emotions():
    classifier = tiny()

    assert classifier.classify(np.empty((0, 48, 48), np.uint8)) == []
    assert classifier.outputs(np.empty((0, 48, 48), np.uint8)).shape == (0, 7)


def test_a_face_among_others_has_the_same_answer_as_alone():
    classifier = tiny()
    faces = np.stack([a_face(seed) for seed in range(5)])

    together = classifier.outputs(faces)

    assert together.shape == (5, 7)
    for face, row in zip(faces, together, strict=True):
        np.testing.assert_array_equal(classifier.outputs(face[np.newaxis])[0], row)


# Each case: a variant of the tiny model, its contract; all of them answer with their pixels.
VARIANTS = {
    "int8": (tiny_tflite(), {}),
    "coarse steps": (requantised(2.0, -128), {}),
    "another zero point": (requantised(2.0, -64), {}),
    "float": (tiny_variant(as_float), {}),
    "colour": (tiny_variant(with_input(1, 48, 48, 3)), {"input_channels": 3}),
    "upright": (tiny_variant(with_input(1, 40, 32, 1)), {"input_size_wh": (32, 40)}),
}


@pytest.mark.parametrize(("content", "changes"), VARIANTS.values(), ids=VARIANTS)
def test_the_pixels_arrive_whatever_the_input_is(content, changes):
    classifier = tiny(content, **changes)
    even = [pixel & ~1 for pixel in LOGITS]

    found = classifier.outputs(row_of(*even, size_wh=classifier.size_wh))

    assert classifier.size_wh == changes.get("input_size_wh", (48, 48))
    assert found.tolist() == [even]


def test_square_crops_of_another_size_are_scaled():
    """As FER-2013's 48 pixels are for a net that takes 96."""
    found = tiny().outputs(np.full((1, 24, 24), 77, np.uint8))

    assert found.tolist() == [[77] * 7]


def test_crops_of_another_shape_are_refused():
    with pytest.raises(UsageError, match=r"square grey crops, .*\(1, 40, 44\)"):
        tiny().classify(np.zeros((1, 40, 44), np.uint8))


# Each case: a contract that is not the tiny model's, what the error says.
NOT_ITS_CONTRACT = [
    ({"input_size_wh": (64, 64)}, r"input of \(1, 64, 64, 1\).*has \(1, 48, 48, 1\)"),
    ({"input_size_wh": (48, 40)}, r"input of \(1, 40, 48, 1\)"),
    ({"input_channels": 3}, r"input of \(1, 48, 48, 3\)"),
    ({"labels": EMOTIONS[:6]}, r"names 6 labels.*shape \(1, 7\)"),
    ({"labels": (*EMOTIONS, "contempt")}, "names 8 labels"),
    (
        {"kind": "face-detector"},
        r"Expected an emotion-classifier, got 'tiny'.*face-detector: .*--detector-model",
    ),
    ({"framing": "yunet"}, "Expected .* for fer2013 crops, got .*'yunet' crops"),
]


@pytest.mark.parametrize(("changes", "said"), NOT_ITS_CONTRACT)
def test_a_model_that_is_not_what_its_contract_says_is_refused(changes, said):
    with pytest.raises(ModelError, match=said):
        tiny(**changes)


def test_an_input_type_that_nothing_feeds_is_refused():
    def unsigned(model) -> None:
        for tensor in model.subgraphs[0].tensors:
            if tensor.type == schema.TensorType.INT8:
                tensor.type = schema.TensorType.UINT8
                tensor.quantization.zeroPoint = [0]

    with pytest.raises(ModelError, match=r"int8 or float32.*uint8"):
        tiny(tiny_variant(unsigned))


# ---------------------------------------------------------------------------------------- opening


def test_a_file_is_opened_with_the_contract_inside(tmp_path):
    path = write_model(tmp_path / "tiny.tflite", labels=EMOTIONS[::-1])

    for given_as in (path, str(path)):
        classifier = EmotionClassifier.open(given_as)
        assert classifier.contract.labels == EMOTIONS[::-1]
        assert classifier.runtime == "litert"


def test_a_file_without_one_is_opened_with_a_contract_beside_it(tmp_path):
    bare, beside = tmp_path / "bare.tflite", tmp_path / "bare.json"
    bare.write_bytes(tiny_tflite())
    beside.write_text(a_contract(name="beside").to_json())

    with pytest.raises(ModelError, match="no fer-edge contract"):
        EmotionClassifier.open(bare)
    assert EmotionClassifier.open(bare, contract=beside).contract.name == "beside"


@pytest.mark.parametrize("name", ["no-such-model", "no/such.tflite", "x" * 300])
def test_a_missing_model_is_answered_with_those_that_ship(name):
    with pytest.raises(ModelError, match=rf"no model '{name}'.*ships with fer-edge.*{DEFAULT}"):
        EmotionClassifier.open(name)


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="There is no model"):
        EmotionClassifier.open(tmp_path)


# ------------------------------------------------------------------------------------------ renewed


def test_threads_reach_the_interpreter(tmp_path, monkeypatch):
    asked = []

    def load(content: bytes, **options):
        asked.append(options["threads"])
        return load_network(content, **options)

    monkeypatch.setattr(classifier_module, "load_network", load)
    classifier = EmotionClassifier.open(write_model(tmp_path / "tiny.tflite"), threads=3)
    classifier.renew()

    assert asked == [3, 3]


def test_another_one_answers_alike_and_shares_nothing():
    first = tiny(temperature=3.0)
    second = first.renew()

    assert second.classify(row_of(*LOGITS)) == first.classify(row_of(*LOGITS))
    assert second._network is not first._network
    assert second.contract == first.contract
    assert second.runtime == first.runtime


# --------------------------------------------------------------------------- what ships with us


def test_the_default_ships_and_is_opened_by_none_and_by_its_name():
    assert DEFAULT in shipped_models()
    assert model_path(None) == model_path(DEFAULT) == shipped_models()[DEFAULT]


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_keeps_its_contract(name):
    classifier = EmotionClassifier.open(name)
    contract: ModelContract = classifier.contract

    assert sorted(contract.labels) == sorted(EMOTIONS)
    assert (contract.output, contract.input_range) == ("logits", (0, 255))
    assert contract.licence
    assert contract.parent_sha256, "it does not say which float model it was made from"
    assert contract.training_data["sha256"]
    assert contract.calibration["count"] >= 100
    assert all(metric["count"] > 0 and metric["split"] for metric in contract.metrics)
    assert contract.quantisation["type"] == "int8"


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_answers(name):
    classifier = EmotionClassifier.open(name)
    width, height = classifier.size_wh
    faces = np.stack([a_face(seed, (width, height)) for seed in range(3)])

    found = classifier.classify(faces)

    assert [sum(scores.values) for scores in found] == pytest.approx([1, 1, 1])
    assert classifier.classify(faces) == found
    assert len({scores.values for scores in found}) == 3, "it does not look at its input"
