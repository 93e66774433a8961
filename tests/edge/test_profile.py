"""A person's profile: the offset, what it can and cannot do, and the file that keeps it."""

import json
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fer_edge.edge.classifier import EmotionClassifier, probabilities
from fer_edge.edge.contract_file import embed_contract, read_contract
from fer_edge.edge.errors import DataError, ModelError, SinkError, UsageError
from fer_edge.edge.models import model_path
from fer_edge.edge.profile import (
    MOST,
    NEUTRAL,
    PEOPLE_SD,
    TYPICAL_GAPS,
    Profile,
    delete_profile,
    list_profiles,
    load_profile,
    neutral_offset,
    profile_folder,
    profile_path,
    save_profile,
    typical_gaps,
    with_profile,
)

from ..conftest import EMOTIONS, a_contract, tiny_tflite
from .conftest import row_of

TYPICAL = -np.array([TYPICAL_GAPS[label] for label in EMOTIONS])
N = EMOTIONS.index(NEUTRAL)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def a_classifier(**changes) -> EmotionClassifier:
    """The tiny model, whose logits are the first pixels of a face."""
    content = embed_contract(tiny_tflite(), a_contract(labels=EMOTIONS, **changes))
    return EmotionClassifier(content, read_contract(content))


def a_profile(classifier: EmotionClassifier | None = None, **changes) -> Profile:
    fields = {
        "name": "anna",
        "model": "tiny",
        "model_sha256": classifier.digest if classifier else "a" * 64,
        "frames": 280,
        "created": "2026-11-21T09:30:00Z",
        "offset": {label: -1.25 if label == "sad" else 0.0 for label in EMOTIONS},
    }
    return Profile(**{**fields, **changes})


def frames_of(face: np.ndarray, count: int = 300, noise: float = 0.0) -> tuple:
    """Logits of a face in 20 blocks, each frame a little different."""
    rng = np.random.default_rng(0)
    logits = face + rng.normal(0, noise, (count, len(EMOTIONS)))
    return logits, np.arange(count) // (count // 20)


# ----------------------------------------------------------------------------------------- offset

# Each case: what this person's logits are beyond the typical ones at rest; which offset comes.
FACES = [
    ({}, {}),
    # Sad at rest: lowered by as much
    ({"sad": 1.0}, {"sad": -1.0}),
    ({"sad": 0.5, "angry": 1.2}, {"sad": -0.5, "angry": -1.2}),
    # By no more than the cap
    ({"sad": 4.0}, {"sad": -MOST}),
    # More neutral than most: nothing is raised
    ({"sad": -3.0, "happy": -1.0}, {}),
    # Less neutral: all emotions are nearer
    ({NEUTRAL: -0.5}, {label: -0.5 for label in EMOTIONS if label != NEUTRAL}),
]


@pytest.mark.parametrize(("beyond", "expected"), FACES)
def test_what_looks_like_an_emotion_at_rest_is_lowered(beyond, expected) -> None:
    face = TYPICAL + [beyond.get(label, 0.0) for label in EMOTIONS]

    offset = neutral_offset(*frames_of(face), EMOTIONS)

    assert offset == pytest.approx({label: expected.get(label, 0.0) for label in EMOTIONS})


def test_the_order_of_the_labels_does_not_matter() -> None:
    logits, blocks = frames_of(TYPICAL + np.eye(7)[4], noise=0.3)

    turned = neutral_offset(logits[:, ::-1], blocks, EMOTIONS[::-1])

    assert turned == neutral_offset(logits, blocks, EMOTIONS)


def test_a_face_that_does_not_keep_still_is_believed_less() -> None:
    """Half of the blocks sad, half not: the mean is the same as that of a steady face."""
    sad = np.eye(7)[EMOTIONS.index("sad")]
    steady, blocks = frames_of(TYPICAL + sad)
    moving = steady + np.where(blocks % 2, 3.0, -3.0)[:, None] * sad

    believed, doubted = (neutral_offset(each, blocks, EMOTIONS)["sad"] for each in (steady, moving))

    # Shrunk by v / (v + s): the variance of 20 means of +3 and -3 is 9 * 20 / 19.
    assert believed == pytest.approx(-1.0)
    assert doubted == pytest.approx(-(PEOPLE_SD**2 / (PEOPLE_SD**2 + 9 / 19)), abs=1e-3)


def test_copies_of_a_frame_make_nothing_surer() -> None:
    logits, blocks = frames_of(TYPICAL + 0.5 * np.eye(7)[4], count=20, noise=1.0)

    once = neutral_offset(logits, blocks, EMOTIONS)

    assert neutral_offset(np.repeat(logits, 9, 0), np.repeat(blocks, 9), EMOTIONS) == once


LOGITS = arrays(np.float64, (6, 7), elements=st.floats(-20, 20))


@given(LOGITS, LOGITS)
def test_no_face_is_read_as_less_neutral_than_without(recorded, seen) -> None:
    offset = neutral_offset(recorded, np.arange(6) // 2, EMOTIONS)
    added = np.array([offset[label] for label in EMOTIONS])

    contract = a_contract(labels=EMOTIONS)
    before = probabilities(seen.astype(np.float32), contract)
    after = probabilities(seen.astype(np.float32), contract, added)

    assert ((added >= -MOST) & (added <= 0)).all()
    assert added[N] == 0
    assert (after[:, N] >= before[:, N] - 1e-12).all()
    # What led neutral by more than the cap still does.
    lead = seen.max(axis=1) - seen[:, N]
    assert (after[lead > MOST + 1e-3].argmax(axis=1) != N).all()


def test_a_model_with_other_labels_is_refused() -> None:
    with pytest.raises(ModelError, match=r"known for models with the labels angry, .* has a, b\."):
        typical_gaps(a_contract(labels=("a", "b")))


def test_what_the_contract_says_of_a_neutral_face_comes_first() -> None:
    labels, measured = ("happy", NEUTRAL), {"happy": 2.0, NEUTRAL: 0.0}

    typical = typical_gaps(a_contract(labels=labels, neutral_gaps=measured))

    assert typical == measured
    assert typical_gaps(a_contract(labels=EMOTIONS)) == TYPICAL_GAPS
    face = np.array([[-1.5, 0.0]] * 4)
    offset = neutral_offset(face, np.arange(4), labels, typical)
    assert offset == {"happy": -0.5, NEUTRAL: 0.0}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["accurate", "fast"])
def test_the_gaps_of_a_shipped_model_are_those_of_its_answers(name, real_data) -> None:
    from fer_edge.training.datasets import load

    data = load(real_data / "fer2013.csv.gz")
    rows = (data.splits == "PublicTest") & (data.labels == N)
    classifier = EmotionClassifier.open(name)
    contract = classifier.contract
    assert contract.labels == EMOTIONS
    logits = classifier.outputs(data.images[rows]) / contract.temperature
    right = logits[logits.argmax(axis=1) == N]
    found = (right[:, [N]] - right).mean(axis=0)
    # A model without its own has those of others.
    tolerance = 0.005 if contract.neutral_gaps else 0.3
    typical = typical_gaps(contract)
    assert found == pytest.approx([typical[label] for label in EMOTIONS], abs=tolerance)


# ------------------------------------------------------------------------------------- classifier


# Each case: what the model says it answers, and its temperature.
@pytest.mark.parametrize(
    "changes", [{}, {"temperature": 4.0}, {"output": "probabilities"}], ids=str
)
def test_the_odds_change_by_the_offset(changes) -> None:
    classifier, faces = a_classifier(**changes), row_of(3, 1, 2, 2, 5, 1, 4)
    (before,) = classifier.classify(faces)
    raw = classifier.outputs(faces)

    with_profile(classifier, None, print)
    assert classifier.classify(faces) == [before]
    classifier.offset = a_profile(classifier).offset_for(classifier)
    (after,) = classifier.classify(faces)

    def odds(scores) -> float:
        return np.log(scores.as_dict()["sad"] / scores.as_dict()["happy"])

    assert odds(after) - odds(before) == pytest.approx(-1.25)
    assert sum(after.values) == pytest.approx(1)
    np.testing.assert_array_equal(classifier.outputs(faces), raw)
    # The classifier in the place of one that hung reads as it did.
    assert classifier.renew().classify(faces) == [after]


def test_the_offset_follows_the_labels_not_their_places() -> None:
    classifier = a_classifier()
    turned = dict(reversed(a_profile().offset.items()))

    profile = a_profile(classifier, offset=turned)

    assert list(profile.offset_for(classifier)) == [0, 0, 0, 0, -1.25, 0, 0]


def test_a_model_without_a_digest_is_known_by_its_file() -> None:
    content = tiny_tflite()
    one = EmotionClassifier(content, a_contract(labels=EMOTIONS))
    other = EmotionClassifier(content + b"\0", a_contract(labels=EMOTIONS))

    assert one.digest != other.digest
    assert len(one.digest) == 64
    assert (
        EmotionClassifier.open("fast").digest == EmotionClassifier.open(model_path("fast")).digest
    )


# ------------------------------------------------------------------------------------------- file


def test_what_is_kept_comes_back_and_is_only_this_user_s() -> None:
    path = save_profile(a_profile())

    assert load_profile("anna") == load_profile(path) == load_profile(str(path)) == a_profile()
    assert path == profile_path("anna")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["anna.json"]
    assert path.stat().st_size < 1000
    assert list(list_profiles()) == [("anna", a_profile())]


def test_nothing_is_overwritten_unless_told() -> None:
    save_profile(a_profile())
    other = a_profile(frames=9)

    with pytest.raises(SinkError, match=r"There is a profile 'anna' already .*--overwrite"):
        save_profile(other)
    assert load_profile("anna") == a_profile()
    save_profile(other, overwrite=True)
    assert load_profile("anna") == other


@pytest.mark.parametrize(
    "name", ["", "../anna", "a/b", "-x", "a b", "a.b", "a" * 33, "a\0", "a\n", ".."]
)
def test_a_name_leads_to_no_other_file(name) -> None:
    with pytest.raises(UsageError, match="is no name of a profile"):
        save_profile(a_profile(name=name))
    with pytest.raises(UsageError, match="is no name of a profile"):
        delete_profile(name)
    assert not profile_folder().exists()


# Each case: the file's text, what is said of it.
DAMAGED = [
    ("", "no JSON object of a profile"),
    ("{", "no JSON object of a profile"),
    ("[]", "no JSON object of a profile"),
    ("null", "no JSON object of a profile"),
    ("{}", "it has no 'schema'"),
    ("[" * 100_000, "no JSON object of a profile"),
    ("\ufffe\udcff", "no JSON object of a profile"),
    ({"schema": 2}, "its version is 2, expected 1"),
    ({"offset": {}}, "not all from -1.5 to 0"),
    ({"offset": {"sad": -9}}, "not all from -1.5 to 0"),
    ({"offset": {"sad": 0.5}}, "not all from -1.5 to 0"),
    ({"offset": {"sad": float("nan")}}, "not all from -1.5 to 0"),
    ({"offset": {"sad": None}}, "no JSON object of a profile"),
    ({"offset": 3}, "no JSON object of a profile"),
    ({"frames": float("inf")}, "no JSON object of a profile"),
    ({"frames": "many"}, "invalid literal"),
    ({"model": "fast"}, "no JSON object of a profile"),
]


@pytest.mark.parametrize(("text", "said"), DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_refused_with_the_cure_and_can_be_deleted(text, said) -> None:
    path = save_profile(a_profile())
    if isinstance(text, dict):
        text = json.dumps(json.loads(path.read_text()) | text)
    path.write_text(text, "utf-8", errors="surrogatepass")

    with pytest.raises(DataError, match="is damaged: ") as caught:
        load_profile("anna")

    assert said in str(caught.value)
    assert "`fer-edge personalise --name anna --overwrite` makes it anew" in str(caught.value)
    assert [(name, type(found)) for name, found in list_profiles()] == [("anna", DataError)]
    assert delete_profile("anna") == path
    assert not path.exists()


def test_a_profile_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no profile 'ana': known are none\."):
        load_profile("ana")
    save_profile(a_profile())
    for act in (load_profile, delete_profile):
        with pytest.raises(UsageError, match=r"no profile 'ana': did you mean 'anna'\?"):
            act("ana")
    with pytest.raises(UsageError, match=r"no profile './none\.json'"):
        load_profile("./none.json")


def test_a_place_that_cannot_be_written_is_told(tmp_path) -> None:
    (tmp_path / "data").write_text("a file")

    with pytest.raises(SinkError, match=r"Cannot write the profile .*anna\.json: "):
        save_profile(a_profile())


def test_a_profile_of_another_model_is_refused_and_the_classifier_closed() -> None:
    save_profile(a_profile())
    classifier, closed = a_classifier(), []
    classifier.close = lambda: closed.append(1)

    with pytest.raises(ModelError, match=r"made with the model tiny \(aaaaaaaaaaaa\), this is"):
        with_profile(classifier, "anna", print)

    assert closed == [1]
    assert classifier.offset is None
    # Of the same file under a contract with other labels too.
    fine = a_classifier()
    with pytest.raises(ModelError, match="was made with the model"):
        a_profile(fine, offset={"sad": -1.0}).offset_for(fine)


def test_that_it_is_used_is_said() -> None:
    classifier, said = a_classifier(), []
    save_profile(a_profile(classifier))

    assert with_profile(classifier, "anna", said.append) is classifier

    assert said == ["the profile 'anna' is applied to every face, whoever it is"]
    assert classifier.offset is not None
