"""FER-2013 in every shape that its users hold gives the same arrays."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from fer_edge.edge.errors import DataError
from fer_edge.training import datasets
from fer_edge.training.datasets import Dataset, balanced_indices

from ..conftest import (
    CSV_HEADER,
    EMOTIONS,
    a_face,
    a_row,
    encode,
    image_tree,
    rows_of_each,
    write_csv,
    write_folder,
    write_zip,
)

ROWS = rows_of_each(Training=2, PublicTest=1, PrivateTest=1)
COUNTS = {"Training": 14, "PublicTest": 7, "PrivateTest": 7}


def load(source, **options) -> Dataset:
    """Read without the user's cache."""
    return datasets.load(source, cache=False, **options)


# ------------------------------------------------------------------------------------------- csv


@pytest.mark.parametrize("name", ["f.csv", "f.csv.gz", "f.csv.xz", "f.zip", "F.CSV.GZ"])
def test_a_csv_gives_the_same_arrays_however_it_is_packed(tmp_path, name):
    packed = write_csv(tmp_path / name.lower(), ROWS).rename(tmp_path / name)

    data = load(packed)

    assert data.images.dtype == np.uint8
    np.testing.assert_array_equal(data.images, [a_face(seed) for seed in range(len(ROWS))])
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [int(row[0]) for row in ROWS]
    assert data.splits.tolist() == [row[2] for row in ROWS]
    assert data.origins.tolist() == [str(number) for number in range(1, len(ROWS) + 1)]
    assert (data.votes, data.skipped, data.name) == (None, 0, name)
    assert data.counts() == COUNTS


def test_the_digest_is_that_of_the_file(tmp_path):
    one = load(write_csv(tmp_path / "one.csv", ROWS))
    same = load(write_csv(tmp_path / "same.csv", ROWS))
    other = load(write_csv(tmp_path / "other.csv", [*ROWS, a_row()]))

    assert one.digest == same.digest != other.digest
    assert len(one.digest) == 64


def test_lines_may_end_as_on_windows(tmp_path):
    path = write_csv(tmp_path / "f.csv", ROWS)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert load(path).counts() == COUNTS


def test_kaggle_s_archive_is_read_by_the_name_of_its_csv(tmp_path):
    good = write_csv(tmp_path / "f.csv", ROWS).read_bytes()
    members = {"a/README": b"", "a/example.csv": b"id", "challenge/fer2013.csv": good}

    assert load(write_zip(tmp_path / "archive.zip", members)).counts() == COUNTS


def test_a_zip_with_one_csv_may_call_it_anything(tmp_path):
    good = write_csv(tmp_path / "f.csv", ROWS).read_bytes()

    assert load(write_zip(tmp_path / "a.zip", {"faces.CSV": good})).counts() == COUNTS


# --------------------------------------------------------------------------------------- folders

# Each case: names of images (* is the class), the splits that they belong to.
SHAPES = {
    "msambare": (
        ["train/*/Training_1.png", "test/*/PublicTest_2.png", "test/*/PrivateTest_3.png"],
        {"Training": 7, "PublicTest": 7, "PrivateTest": 7},
    ),
    "ananthu017": (["train/*/im0.png", "test/*/im0.png"], {"Training": 7, "Test": 7}),
    "below another folder": (["archive/train/*/im0.png"], {"Training": 7}),
    "capital letters": (
        ["Train/*/A.PNG", "TEST/*/privatetest_1.PNG"],
        {"Training": 7, "PrivateTest": 7},
    ),
    "a prefix outweighs its folder": (
        ["train/*/a.png", "train/*/PublicTest_1.png"],
        {"Training": 7, "PublicTest": 7},
    ),
    "a prefix needs its underscore": (
        ["train/*/a.png", "test/*/PublicTester.png"],
        {"Training": 7, "Test": 7},
    ),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("shape", SHAPES)
def test_names_of_images_give_class_and_split(tmp_path, shape, packed):
    names, counts = SHAPES[shape]
    tree = image_tree(*names)
    source = write_zip(tmp_path / "f.zip", tree) if packed else write_folder(tmp_path / "f", tree)

    data = load(source)

    assert data.counts() == counts
    assert set(data.origins) == set(tree)
    for origin, image, label in zip(data.origins, data.images, data.labels, strict=True):
        expected = cv2.imdecode(np.frombuffer(tree[origin], np.uint8), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(image, expected)
        assert f"/{EMOTIONS[label]}/" in origin


def test_folder_and_zip_list_their_images_in_one_order(tmp_path):
    tree = image_tree("train/*/b.png", "train/*/a.png", "test/*/c.png")

    folder = load(write_folder(tmp_path / "f", tree))
    packed = load(write_zip(tmp_path / "f.zip", dict(reversed(tree.items()))))

    assert sorted(folder.origins) == packed.origins.tolist()
    assert sorted(folder.origins) == folder.origins.tolist()


# Each case: the name of a class folder, its index.
SPELLINGS = [
    ("angry", 0), ("anger", 0), ("Angry", 0),
    ("disgust", 1), ("disgusted", 1),
    ("fear", 2), ("fearful", 2),
    ("happy", 3), ("happiness", 3), ("HAPPY", 3),
    ("sad", 4), ("sadness", 4),
    ("surprise", 5), ("surprised", 5), ("Surprise", 5),
    ("neutral", 6), ("Neutral", 6),
]  # fmt: skip


def test_classes_may_be_spelled_as_the_copies_do(tmp_path):
    tree = {f"train/{name}/{i}.png": encode(a_face(i)) for i, (name, _) in enumerate(SPELLINGS)}

    data = load(write_folder(tmp_path / "f", tree))

    read = {
        origin.split("/")[1]: label for origin, label in zip(data.origins, data.labels, strict=True)
    }
    assert read == dict(SPELLINGS)


def test_colour_copies_are_read_as_grey(tmp_path):
    tree = image_tree("train/*/a.png")
    tree["train/sad/a.png"] = encode(np.full((48, 48, 3), (0, 0, 255), np.uint8))

    data = load(write_folder(tmp_path / "f", tree))

    assert np.unique(data.images[data.labels == 4]).tolist() == [76]


def test_jpegs_are_read_as_opencv_decodes_them(tmp_path):
    tree = {f"train/{name}/a.jpg": encode(a_face(i), ".jpg") for i, name in enumerate(EMOTIONS)}

    data = load(write_folder(tmp_path / "f", tree))

    for origin, image in zip(data.origins, data.images, strict=True):
        expected = cv2.imdecode(np.frombuffer(tree[origin], np.uint8), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(image, expected)


def test_other_files_between_the_images_are_passed_over(tmp_path):
    tree = {
        **image_tree("train/*/a.png"),
        "train/sad/Thumbs.db": b"x",
        "train/README.txt": b"x",
        "preview.png": encode(a_face(99, (640, 480))),
    }

    data = load(write_folder(tmp_path / "f", tree))

    assert (data.counts(), data.skipped) == ({"Training": 7}, 0)


def test_the_digest_of_a_folder_goes_by_names_and_bytes(tmp_path):
    tree = image_tree("train/*/a.png")
    one = load(write_folder(tmp_path / "one", tree))
    same = load(write_folder(tmp_path / "same", tree))
    renamed = load(write_folder(tmp_path / "renamed", image_tree("train/*/b.png")))
    swapped = {**tree, "train/sad/a.png": tree["train/fear/a.png"]}
    changed = load(write_folder(tmp_path / "changed", swapped))

    assert one.digest == same.digest
    assert len({one.digest, renamed.digest, changed.digest}) == 3


# ------------------------------------------------------------------------------------- data sets


@pytest.fixture
def data(tmp_path) -> Dataset:
    return load(write_csv(tmp_path / "f.csv", ROWS))


def test_a_split_has_its_own_rows_only(data):
    public = data.split("PublicTest")

    assert public.origins.tolist() == [str(number) for number in range(15, 22)]
    assert public.counts() == {"PublicTest": 7}
    np.testing.assert_array_equal(public.images, data.images[14:21])


def test_a_split_that_is_not_there_names_those_that_are(data):
    with pytest.raises(DataError, match=r"f\.csv has no split 'Test'; it has Training \(14\), Pub"):
        data.split("Test")


def test_rows_are_taken_in_the_asked_order_with_all_that_belongs_to_them(data):
    taken = data.take(np.array([20, 3]))

    assert taken.origins.tolist() == ["21", "4"]
    assert taken.labels.tolist() == [6, 1]
    assert (taken.digest, taken.name) == (data.digest, data.name)
    np.testing.assert_array_equal(taken.images, data.images[[20, 3]])


# ------------------------------------------------------------------------------------ validation


@pytest.fixture
def without_public(tmp_path) -> Dataset:
    # 20 rows of each class but disgust, which has two, as rare as it is in FER-2013.
    rows = [row for row in rows_of_each(Training=20, PrivateTest=3, Test=3) if row[0] != "1"]
    rows += [a_row(1, usage, seed=1000 + i) for i, usage in enumerate(["Training"] * 2 + ["Test"])]
    return load(write_csv(tmp_path / "f.csv", rows))


def test_public_test_is_chosen_on_where_there_is_one(data):
    assert data.with_validation(seed=1) == (data, "PublicTest")


def test_a_validation_split_is_carved_from_training_alone(without_public):
    carved, name = without_public.with_validation(seed=1)

    assert name == "Validation"
    assert carved.counts() == {
        "Training": 6 * 18 + 1, "PrivateTest": 18, "Test": 19, "Validation": 6 * 2 + 1,
    }  # fmt: skip
    kept = without_public.splits != "Training"
    np.testing.assert_array_equal(carved.splits[kept], without_public.splits[kept])
    np.testing.assert_array_equal(carved.images, without_public.images)


def test_a_carved_split_has_its_share_of_each_class(without_public):
    carved = without_public.carved(seed=1, fraction=0.25)

    # A class of two images gives one away, and keeps one to learn from.
    assert np.bincount(carved.split("Validation").labels).tolist() == [5, 1, 5, 5, 5, 5, 5]
    assert np.bincount(carved.split("Training").labels).tolist() == [15, 1, 15, 15, 15, 15, 15]


def test_a_class_of_one_image_stays_in_training(tmp_path):
    data = load(write_csv(tmp_path / "f.csv", [*rows_of_each(Training=1), a_row()]))

    carved = data.carved(seed=1)

    assert carved.counts() == {"Training": 7, "Validation": 1}
    assert carved.split("Validation").labels.tolist() == [0]


def test_the_seed_alone_decides_what_is_carved(without_public):
    def chosen(seed):
        return without_public.carved(seed=seed).split("Validation").origins.tolist()

    np.random.seed(1)
    first = chosen(1)
    np.random.seed(2)

    assert chosen(1) == first
    assert chosen(2) != first


# -------------------------------------------------------------------------------------- balanced

LABELS = np.repeat(np.arange(7), [50, 3, 20, 90, 10, 10, 10])


def test_each_class_gives_the_same_number_or_all_it_has():
    chosen = balanced_indices(LABELS, per_class=10, seed=1)

    assert np.bincount(LABELS[chosen]).tolist() == [10, 3, 10, 10, 10, 10, 10]
    assert len(set(chosen)) == len(chosen)
    assert chosen.tolist() == sorted(chosen)


def test_the_seed_decides_which_images_are_chosen():
    first = balanced_indices(LABELS, per_class=5, seed=1)

    np.testing.assert_array_equal(balanced_indices(LABELS, per_class=5, seed=1), first)
    assert not np.array_equal(balanced_indices(LABELS, per_class=5, seed=2), first)


def test_classes_that_are_missing_give_nothing():
    assert balanced_indices(np.array([3, 3, 6]), per_class=5, seed=1).tolist() == [0, 1, 2]
    assert balanced_indices(np.array([], np.int64), per_class=5, seed=1).tolist() == []


# --------------------------------------------------------------------------------------- imports


@pytest.mark.parametrize("module", ["datasets", "augment", "dataset_readers", "dataset_cache"])
def test_reading_data_loads_no_tensorflow(module):
    code = f"import sys, fer_edge.training.{module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert f"fer_edge.training.{module}" in loaded
    assert not {"tensorflow", "keras", "sklearn", "matplotlib"} & set(loaded)


def test_the_builders_write_kaggle_s_own_header():
    assert ",".join(CSV_HEADER) == "emotion,pixels,Usage"


def test_a_blank_line_and_a_byte_order_mark_are_no_rows(tmp_path):
    path = write_csv(tmp_path / "f.csv", rows_of_each(Training=1))
    plain = load(path).images
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n")

    data = load(path)

    assert data.skipped == 0
    np.testing.assert_array_equal(data.images, plain)


def test_data_without_training_rows_is_for_evaluation_and_may_miss_a_class(tmp_path):
    data = load(write_csv(tmp_path / "f.csv", rows_of_each(PrivateTest=1)[:5]))

    assert data.counts() == {"PrivateTest": 5}
