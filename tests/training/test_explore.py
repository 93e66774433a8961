"""What is counted about a data set, on made-up images whose counts are known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fer_edge.training import datasets
from fer_edge.training.dataset_readers import FERPLUS_EMOTIONS
from fer_edge.training.explore import (
    SCHEMA_VERSION,
    explore,
    find_blanks,
    mean_faces,
)
from fer_edge.training.ferplus import TIE, UNVOTED, VOTE_NAMES, vote_answers

from ..conftest import a_dataset, a_face, encode, image_tree, write_folder, write_zip

COLUMNS = {name: index for index, name in enumerate(VOTE_NAMES)}


def votes(**answers: int) -> list[int]:
    """Ten columns with these votes: ``votes(happy=7, neutral=3)``."""
    row = [0] * 10
    for name, count in answers.items():
        row[COLUMNS[name.replace("_", " ")]] = count
    return row


def test_the_vote_columns_are_those_of_the_reader():
    named = [datasets.EMOTIONS.index(name) for name in VOTE_NAMES[:7]]

    assert tuple(named) == FERPLUS_EMOTIONS


# Each case: the votes, the answer.
ANSWERS = {
    "unanimous": (votes(happy=10), COLUMNS["happy"]),
    "ahead by one": (votes(happy=5, neutral=4, sad=1), COLUMNS["happy"]),
    "a tie of two": (votes(happy=5, neutral=5), TIE),
    "a tie behind the first is none": (votes(happy=4, neutral=3, sad=3), COLUMNS["happy"]),
    "not a face": (votes(not_a_face=9, angry=1), COLUMNS["not a face"]),
    "nobody voted": (votes(), UNVOTED),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_the_answer_with_most_votes(case):
    row, answer = ANSWERS[case]

    assert vote_answers(np.array([row])).tolist() == [answer]


def a_sign(ground: int, share: float) -> np.ndarray:
    """An image of which this share is plain ground and the rest noise of all greys."""
    image = a_face(3)
    image.ravel()[: round(2304 * share)] = ground
    return image


# Each case: the image, what it is called (None: a picture).
BLANKS = {
    "black": (np.zeros((48, 48), np.uint8), "blank"),
    "white": (np.full((48, 48), 255, np.uint8), "blank"),
    "grey with the noise of a JPEG": (a_face(1) // 128 + np.uint8(100), "blank"),
    "text on white": (a_sign(255, 0.8), "near-blank"),
    "a sign on black": (a_sign(0, 0.8), "near-blank"),
    "half white": (a_sign(255, 0.5), None),
    "noise": (a_face(1), None),
    # Contrast alone would call it blank; a tenth of the range is enough to show a face in.
    "a face in the dark": (a_face(1) // 10, None),
}


@pytest.mark.parametrize("case", BLANKS)
def test_blank_images_are_found(case):
    image, kind = BLANKS[case]

    found = find_blanks(np.stack([a_face(7), image]))

    assert [(blank.index, blank.kind) for blank in found] == ([(1, kind)] if kind else [])


def test_classes_are_counted_a_split():
    data = a_dataset(Training=3, PublicTest=1).take(np.arange(1, 28))

    found = explore(data)

    assert [(s.split, s.counts, s.total) for s in found.splits] == [
        ("Training", (2, 3, 3, 3, 3, 3, 3), 20),
        ("PublicTest", (1, 1, 1, 1, 1, 1, 1), 7),
    ]
    assert found.images == 27


def test_brightness_and_contrast_are_those_of_the_images():
    data = a_dataset(Training=1)
    images = np.zeros_like(data.images)
    images[:, :, :24] = 100 + np.arange(7, dtype=np.uint8)[:, None, None] * 2
    data = replace(data, images=images)

    found = explore(data)

    whole, angry = found.spreads[:2]
    assert (whole.split, whole.label, whole.images) == ("Training", "", 7)
    assert whole.brightness[2] == 53.0  # the median of 50, 51, … 56
    assert (angry.label, angry.brightness) == ("angry", (50.0,) * 5)
    assert angry.contrast == (50.0,) * 5
    assert (found.pixels.darkest, found.pixels.brightest) == (0, 112)


def test_the_mean_face_of_a_class():
    data = a_dataset(Training=2)
    faces = mean_faces(data.take(data.labels != 1))

    np.testing.assert_allclose(faces[0], data.images[:2].mean(axis=0))
    assert np.isnan(faces[1]).all()


def with_copies() -> datasets.Dataset:
    """14 training and 7 public images: 1 equals 0, 15 equals 2, 9 equals 3 (another label)."""
    data = a_dataset(Training=2, PublicTest=1)
    images = data.images.copy()
    images[1], images[15], images[9] = images[0], images[2], images[3]
    # Nearly: the noise of another is beyond doubt, a tenth of it is not seen.
    images[16] = np.clip(images[12] * 0.9, 0, 255)
    return replace(data, images=images)


def test_copies_are_counted_within_and_across_splits():
    found = explore(with_copies()).copies

    assert found.groups == ((0, 1), (2, 15), (3, 9))
    assert found.surplus == 3
    assert found.conflicts == ((3, 9),)
    assert [pair[:2] for pair in found.pairs] == [(12, 16)]
    counts = {(o.split, o.other): (o.equal, o.near) for o in found.overlaps}
    assert counts == {
        ("Training", "Training"): (4, 0),
        ("Training", "PublicTest"): (1, 1),
        ("PublicTest", "Training"): (1, 1),
        ("PublicTest", "PublicTest"): (0, 0),
    }


def test_what_is_near_one_of_a_group_is_near_all_of_it():
    data = with_copies()
    images = data.images.copy()
    images[20] = images[12]  # 16 in PublicTest is near to 12, and 20 there equals 12

    found = explore(replace(data, images=images)).copies

    assert [pair[:2] for pair in found.pairs] == [(12, 16)]
    counts = {(o.split, o.other): o.near for o in found.overlaps}
    assert counts == {
        ("Training", "Training"): 0,
        ("Training", "PublicTest"): 1,
        ("PublicTest", "Training"): 1,
        ("PublicTest", "PublicTest"): 2,
    }


def with_votes(*rows: list[int]) -> datasets.Dataset:
    """One image of each class in Training (angry first), with these votes and then none."""
    data = a_dataset(Training=1)
    table = [*rows, *[votes()] * (7 - len(rows))]
    return replace(data, votes=np.array(table))


def test_fer_is_compared_with_ferplus():
    data = with_votes(
        votes(angry=9),  # agrees
        votes(disgust=4, neutral=6),  # differs
        votes(sad=9),  # fear: differs strongly
        votes(contempt=9),  # no class of FER-2013: not judged
        votes(sad=5, neutral=5),  # a tie
        votes(not_a_face=10),
    )

    everything, training = explore(data).votes

    assert (everything.split, training.split) == ("", "Training")
    assert (training.judged, training.differ, training.strong) == (3, 2, 1)
    assert training.not_a_face == 1
    assert training.counts[0][COLUMNS["angry"]] == 1
    assert training.counts[1][COLUMNS["neutral"]] == 1
    assert training.counts[4][TIE] == 1
    assert training.counts[6][UNVOTED] == 1
    assert sum(map(sum, training.counts)) == 7


def test_without_votes_nothing_is_said_about_them():
    assert explore(a_dataset(Training=1)).votes == ()


@pytest.mark.parametrize("packed", [False, True])
def test_the_channels_of_the_files_are_told(tmp_path, packed):
    files = image_tree("train/*/a.png", "test/*/PublicTest_1.png")
    grey = np.repeat(a_face(50)[..., None], 3, axis=2)
    files["train/angry/a.png"] = encode(grey)
    files["train/happy/a.png"] = encode(np.stack([a_face(n) for n in (51, 52, 53)], axis=2))
    files["train/sad/a.png"] = encode(np.stack([a_face(n) for n in (1, 2, 3, 4)], axis=2))
    source = write_zip(tmp_path / "f.zip", files) if packed else write_folder(tmp_path / "f", files)

    found = explore(datasets.load(source, cache=False), source)

    assert found.pixels.files == {
        "grey": 11,
        "grey stored as colour": 1,
        "colour": 1,
        "colour with transparency": 1,
    }


def test_the_document_is_plain_json_and_names_images_by_origin():
    data = replace(with_copies(), origins=np.array([f"image-{n}" for n in range(21)]))
    found = explore(data)

    document = json.loads(json.dumps(found.to_dict(data)))

    assert document["schema_version"] == SCHEMA_VERSION
    assert document["copies"]["conflicts"] == [["image-3", "image-9"]]
    assert document["copies"]["pairs"][0][:2] == ["image-12", "image-16"]
    assert document["splits"][0] == {"split": "Training", "counts": [2] * 7}
    assert document == json.loads(json.dumps(explore(data).to_dict(data)))


@pytest.mark.slow
def test_the_real_data(real_data):
    data = datasets.load(real_data / "fer2013.csv.gz", votes=real_data / "fer2013new.csv")

    found = explore(data)

    assert found.splits[0].counts == (3995, 436, 4097, 7215, 4830, 3171, 4965)
    assert (len(found.copies.groups), found.copies.surplus) == (1265, 1524)
    assert len(found.copies.conflicts) == 48
    # Sums differ in their last digits from machine to machine.
    assert abs(len(found.copies.pairs) - 1200) <= 3
    assert [blank.kind for blank in found.blanks].count("blank") == 12
    assert abs(found.votes[0].differ / found.votes[0].judged - 0.343) < 0.001
