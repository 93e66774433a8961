"""The contract as a document: what it accepts, what it refuses, and the way to JSON and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.contract import CLASSIFIER, DETECTOR, SCHEMA_VERSION, ModelContract
from fer_edge.edge.errors import ModelError

from ..conftest import EMOTIONS, a_contract

DIGEST = "0123456789abcdef" * 4

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
documents = st.dictionaries(
    st.text(),
    st.recursive(
        plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
    ),
    max_size=4,
)
names = st.text(min_size=1)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
#: What differs between the kinds.
kinds = st.fixed_dictionaries({"kind": st.just("emotion-classifier")}) | st.fixed_dictionaries(
    {
        "kind": st.just("face-detector"),
        "strides": st.lists(st.integers(1, 512), min_size=1, max_size=5).map(tuple),
        "score_threshold": st.floats(0, 1, exclude_min=True, exclude_max=True),
    }
)
fields = st.fixed_dictionaries(
    {
        "name": names,
        "labels": st.lists(names, min_size=1, max_size=8, unique=True).map(tuple),
        "input_size_wh": st.tuples(st.integers(1, 4096), st.integers(1, 4096)),
        "framing": names,
        "output": st.sampled_from(["logits", "probabilities"]),
        "input_channels": st.sampled_from([1, 3]),
        "input_range": st.tuples(st.integers(-300, 0), st.integers(1, 300)),
        "temperature": st.floats(min_value=0, exclude_min=True, allow_infinity=False),
        "quantisation": documents,
        "calibration": documents,
        "training_data": documents,
        "recipe": documents,
        "neutral_gaps": st.just({}),
        "metrics": st.lists(documents, max_size=3).map(tuple),
        "card": documents,
        "licence": st.text(),
        "parent_sha256": digests | st.just(""),
        "content_sha256": digests,
    }
)
contracts = st.builds(lambda one, other: ModelContract(**one, **other), fields, kinds)


def as_document(**changes) -> dict:
    """A valid contract's JSON object, with these entries changed."""
    return {**json.loads(a_contract().to_json()), **changes}


@given(contracts)
def test_json_brings_back_every_field(contract):
    assert ModelContract.from_json(contract.to_json()) == contract
    assert ModelContract.from_json(contract.to_json().encode()) == contract


def test_the_document_names_its_schema_version():
    assert json.loads(a_contract().to_json())["schema_version"] == SCHEMA_VERSION


# Each case: a field, what it may say of a model with the labels happy and neutral.
LATER = [("card", {"use": "a"}), ("neutral_gaps", {"neutral": 0, "happy": 3.25})]


@pytest.mark.parametrize(("field", "value"), LATER)
def test_what_came_later_is_left_out_where_it_says_nothing(field, value):
    """Earlier versions refuse what they do not know."""
    labels = ("happy", "neutral")
    says = a_contract(labels=labels, **{field: value}).to_json()

    assert field not in json.loads(a_contract(labels=labels).to_json())
    assert json.loads(says)[field] == value
    assert getattr(ModelContract.from_json(says), field) == value


def test_what_may_be_left_out_has_the_documented_defaults():
    required = ("schema_version", "name", "labels", "input_size_wh", "framing", "output")
    text = json.dumps({name: as_document()[name] for name in required})

    contract = ModelContract.from_json(text)

    assert contract == a_contract(recipe={}, metrics=())
    assert (contract.kind, contract.input_channels) == ("emotion-classifier", 1)
    assert (contract.input_range, contract.temperature) == ((0, 255), 1.0)
    assert (contract.licence, contract.parent_sha256) == ("", "")


# Each case: a field, a value that it must refuse.
REFUSED = [
    ("name", ""),
    ("name", None),
    ("name", 7),
    ("kind", "classifier"),
    ("kind", None),
    ("labels", ()),  # a model without outputs
    ("labels", ("happy", "happy")),  # the same name twice: which output is it?
    ("labels", ("happy", "")),
    ("labels", ("happy", 3)),
    ("labels", "sad"),  # a text is a sequence of texts, too: labels s, a, d
    ("input_size_wh", (48,)),
    ("input_size_wh", (48, 48, 1)),
    ("input_size_wh", (48, 0)),
    ("input_size_wh", (-48, 48)),
    ("input_size_wh", (48.0, 48.0)),
    ("input_size_wh", (True, True)),
    ("input_size_wh", None),
    ("input_channels", 2),
    ("input_channels", 0),
    ("input_channels", "1"),
    ("input_channels", True),  # equals 1 in Python, and is no number in JSON
    ("input_range", (255, 0)),  # the larger first
    ("input_range", (0, 0)),
    ("input_range", (0,)),
    ("input_range", (0.0, 1.0)),
    ("framing", None),
    ("framing", 48),
    ("output", "softmax"),
    ("output", None),
    ("temperature", 0),
    ("temperature", -1.0),
    ("temperature", float("nan")),
    ("temperature", float("inf")),
    ("temperature", 10**400),  # a number that no float holds
    ("temperature", "1"),
    ("temperature", True),
    ("temperature", None),
    ("neutral_gaps", {"neutral": 0.0}),  # not of all labels
    ("neutral_gaps", dict.fromkeys(EMOTIONS, float("nan"))),
    ("neutral_gaps", dict.fromkeys(EMOTIONS, "1")),
    ("neutral_gaps", dict.fromkeys(EMOTIONS, 10**400)),
    ("neutral_gaps", [0.0, 1.0]),
    ("quantisation", []),
    ("calibration", "100 faces"),
    ("training_data", None),
    ("recipe", 3),
    ("metrics", ("accuracy",)),
    ("card", "for nobody"),
    ("metrics", ({}, 0.7)),
    ("licence", 5),
    ("licence", None),
    ("parent_sha256", "abc"),
    ("parent_sha256", None),
    ("content_sha256", ""),
    ("content_sha256", DIGEST[:-1]),
    ("content_sha256", DIGEST.upper()),  # one spelling only, so that digests compare as text
    ("content_sha256", DIGEST[:-1] + "g"),
    ("content_sha256", None),
]


def test_gaps_to_a_class_that_the_model_lacks_are_refused():
    with pytest.raises(ModelError, match="neutral_gaps must be empty, or a number for each label"):
        a_contract(labels=("a", "b"), neutral_gaps={"a": 1.0, "b": 0.0})


# Each case: a field, a value that a detector's contract must refuse.
REFUSED_OF_DETECTOR = [
    ("strides", ()),  # its rows would belong to no cell
    ("strides", (8, 0)),
    ("strides", (8, 16.0)),
    ("strides", (True,)),
    ("strides", 8),
    ("strides", None),
    ("score_threshold", 0),  # every cell would be a face
    ("score_threshold", 1),
    ("score_threshold", float("nan")),
    ("score_threshold", True),
    ("score_threshold", "0.5"),
    ("score_threshold", None),
]


@pytest.mark.parametrize(("field", "value"), REFUSED_OF_DETECTOR)
def test_a_wrong_field_of_a_detector_is_refused_by_its_name(field, value):
    with pytest.raises(ModelError, match=f"contract's {field} must be .*got"):
        a_contract(kind="face-detector", **{field: value})


# Each case: what a classifier has no use for, so that it was meant for another model.
@pytest.mark.parametrize(("field", "value"), [("strides", (8,)), ("score_threshold", 0.5)])
def test_a_classifier_has_nothing_of_a_detector(field, value):
    with pytest.raises(ModelError, match=f"contract's {field} must be .*no detector"):
        a_contract(**{field: value})


def test_a_classifiers_document_is_as_it_was_before_there_were_detectors():
    """Else a model that is made today would be refused by the fer-edge of yesterday."""
    assert {"strides", "score_threshold"}.isdisjoint(as_document())


def test_a_model_of_the_other_kind_is_refused_with_its_place():
    a_contract().require_kind(CLASSIFIER)
    detector = a_contract(kind=DETECTOR)
    detector.require_kind(DETECTOR)

    with pytest.raises(ModelError, match=r"an emotion-classifier, got 'tiny'.*--detector-model"):
        detector.require_kind(CLASSIFIER)
    with pytest.raises(ModelError, match=r"a face-detector, got 'tiny'.*by --model"):
        a_contract().require_kind(DETECTOR)


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_a_wrong_field_is_refused_by_its_name(field, value):
    with pytest.raises(ModelError, match=f"contract's {field} must be .*got") as caught:
        a_contract(**{field: value})
    assert repr(value) in str(caught.value), "the message does not show what came"


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_a_wrong_field_is_refused_in_a_file_too(field, value):
    with pytest.raises(ModelError, match=f"contract's {field} must be"):
        ModelContract.from_json(json.dumps(as_document(**{field: value})))


@pytest.mark.parametrize("field", ["name", "labels", "input_size_wh", "framing", "output"])
def test_a_missing_field_is_named(field):
    document = as_document()
    del document[field]

    with pytest.raises(ModelError, match=rf"incomplete: .*'{field}'"):
        ModelContract.from_json(json.dumps(document))


def test_an_unknown_field_is_named_beside_the_valid_ones():
    text = json.dumps(as_document(labls=["happy"]))

    with pytest.raises(ModelError, match=r"unknown fields \['labls'\].*'labels'"):
        ModelContract.from_json(text)


# Each case: a text that is no contract, and what the error says.
NO_CONTRACTS = [
    ("", "JSON"),
    ("labels: happy", "JSON"),
    ('{"schema_version": 1', "JSON"),  # cut off
    (b"\xff\xfe\xff", "JSON"),  # no text at all
    ("[" * 100_000, "JSON"),  # deeper than the parser goes
    ("1" * 5000, "JSON"),  # more digits than Python converts
    ("[]", "object, got list"),
    ("null", "object, got NoneType"),
    ("{}", "version None"),
    (json.dumps(as_document(schema_version=SCHEMA_VERSION + 1)), f"version {SCHEMA_VERSION + 1}"),
    (json.dumps(as_document(schema_version=str(SCHEMA_VERSION))), "version '1'"),
    (json.dumps({"schema_version": SCHEMA_VERSION}), "incomplete"),
    (json.dumps(as_document(labels={"happy": 1})), "labels must be a list"),
]


@pytest.mark.parametrize(("text", "said"), NO_CONTRACTS, ids=range(len(NO_CONTRACTS)))
def test_a_text_that_is_no_contract_is_refused(text, said):
    with pytest.raises(ModelError, match=said):
        ModelContract.from_json(text)


def test_another_version_says_what_to_do():
    text = json.dumps(as_document(schema_version=2))

    with pytest.raises(ModelError, match=r"Convert the model again, or update fer-edge"):
        ModelContract.from_json(text)


def test_labels_keep_the_order_of_the_outputs():
    turned = tuple(reversed(EMOTIONS))

    assert ModelContract.from_json(a_contract(labels=turned).to_json()).labels == turned
