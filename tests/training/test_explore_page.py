"""The folder of an exploration: what is in it, and what it never overwrites."""

import json
import re
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fer_edge.edge.errors import DataError
from fer_edge.training.cleaning import propose
from fer_edge.training.explore import explore
from fer_edge.training.explore_page import (
    FIGURES,
    OWN_FILES,
    PAGE,
    PRIVACY,
    check_folder,
    write_exploration,
)
from fer_edge.training.explore_plots import caption, groups_at, sample, sheet
from fer_edge.training.plots import png

from ..conftest import a_dataset, a_face


@pytest.fixture(scope="module")
def faulty():
    """Data with every fault there is, and votes."""
    data = a_dataset(Training=3, PublicTest=1, PrivateTest=1)
    images = data.images.copy()
    images[0] = 0
    images[4] = images[3]  # a duplicate
    images[9] = images[6]  # with another label
    images[22] = images[12]  # of a test image
    images[13] = np.clip(images[16] * 0.9, 0, 255)  # nearly
    table = np.zeros((len(data), 10), dtype=np.int64)
    table[:, 0] = 10
    return replace(data, images=images, votes=table)


@pytest.fixture(scope="module")
def written(faulty, tmp_path_factory):
    out = tmp_path_factory.mktemp("exploration") / "new" / "folder"
    write_exploration(out, explore(faulty), faulty, cleaning=propose(faulty))
    return out


def decoded(content: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image


def test_all_files_are_there_and_no_others(written):
    assert {path.name for path in written.iterdir()} == OWN_FILES


def test_the_page_can_be_mailed_and_says_what_it_shows(written):
    text = (written / PAGE).read_text(encoding="utf-8")

    assert PRIVACY.replace("'", "&#39;") in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert text.count("<img ") == len(OWN_FILES) - 2
    for heading in ("Classes", "Samples", "Blank images", "Duplicates", "FER against FER+"):
        assert f">{heading}</h2>" in text


def test_every_picture_is_a_picture_of_the_width_of_the_page(written):
    for path in written.glob("*.png"):
        assert decoded(path.read_bytes()).shape[1] == 1280


def test_the_figures_say_what_was_proposed(written, faulty):
    document = json.loads((written / FIGURES).read_text())

    assert document["schema_version"] == 1
    assert document["sha256"] == faulty.digest
    assert document["seed"] == 0
    assert document["leave_out"]["digest"] == propose(faulty).digest
    assert document["copies"]["groups"] == [["4", "5"], ["7", "10"], ["13", "23"]]


def test_the_same_data_and_seed_give_the_same_bytes(faulty, written, tmp_path):
    write_exploration(tmp_path, explore(faulty), faulty, cleaning=propose(faulty))

    for name in OWN_FILES:
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes(), name


@pytest.mark.usefixtures("undrawn")
def test_what_does_not_exist_is_not_shown_and_what_was_there_goes(written, tmp_path):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    data = a_dataset(Training=1)

    write_exploration(tmp_path, explore(data), data)

    gone = {"blank.png", "equal.png", "conflicts.png", "near.png", "votes.png"}
    assert {path.name for path in tmp_path.iterdir()} == OWN_FILES - gone
    text = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert "FER against" not in text
    assert "To leave out" not in text


# Each case: the files there, whether to overwrite, what the error says (None: fine).
FOLDERS = {
    "empty": ([], False, None),
    "an exploration": ([PAGE, FIGURES], False, "holds an earlier exploration; --overwrite"),
    "an exploration, to be replaced": ([PAGE, FIGURES], True, None),
    "something else": (["thesis.tex"], False, r"holds other files \(thesis\.tex\)"),
    "something else, to be replaced": (["thesis.tex"], True, "holds other files"),
    "both": ([PAGE, "thesis.tex"], True, "holds other files"),
    "the list that is allowed": (["clean.csv"], False, None),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_nothing_of_others_is_replaced(tmp_path, case):
    names, overwrite, said = FOLDERS[case]
    for name in names:
        (tmp_path / name).write_text("precious")

    if said is None:
        check_folder(tmp_path, overwrite=overwrite, also=frozenset({"clean.csv"}))
    else:
        with pytest.raises(DataError, match=said):
            check_folder(tmp_path, overwrite=overwrite)
    assert all((tmp_path / name).read_text() == "precious" for name in names)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match="Not a directory"):
        check_folder(tmp_path / "file", overwrite=True)


@pytest.mark.usefixtures("undrawn")
def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    data = a_dataset(Training=1)
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match=r"Cannot write into .*new: "):
        write_exploration(tmp_path / "file" / "new", explore(data), data)


# --------------------------------------------------------------------------------------- sheets


def test_a_sheet_shows_the_pixels_as_they_are():
    faces = [a_face(1), None, a_face(2)]

    drawn = decoded(png(sheet(faces, columns=12)))

    for place, face in ((0, faces[0]), (2, faces[2])):
        left = place * 106 + 5
        np.testing.assert_array_equal(drawn[2:98:2, left : left + 96 : 2], face)
    assert (drawn[:, 106 + 5 : 106 + 101] == 255).all()


@pytest.mark.parametrize("count", [0, 1, 12, 13])
def test_a_sheet_of_any_number_of_images(count):
    drawn = decoded(png(sheet([a_face(1)] * count, ["a\nb"] * count)))

    assert drawn.shape[1] == 1280
    assert (drawn[2:98, 5:101] == 255).all() == (count == 0)


def test_groups_are_not_torn_apart():
    # Four of three with gaps: the fourth ends in the twelfth of twelve places only by wrapping.
    data = a_dataset(Training=2)
    drawn = decoded(png(groups_at(data, [(0, 1), (2, 3, 4, 5), (6, 7, 8, 9, 10)], size=4)))

    assert drawn.shape[0] == 155  # 2 + 1 + 4 + 1 + 4 places: one row
    drawn = decoded(png(groups_at(data, [(0, 1, 2), (2, 3, 4, 5), (6, 7, 8, 9)], size=4)))
    assert drawn.shape[0] == 2 * 155


# Each case: the origin, what stands under the image.
CAPTIONS = {
    "a row": ("28709", "28709"),
    "a file of msambare": ("train/angry/Training_10131363.jpg", "10131363"),
    "a long name keeps its end": ("train/angry/photograph-of-a-face-17.png", "-a-face-17"),
}


@pytest.mark.parametrize("case", CAPTIONS)
def test_the_caption_of_an_image(case):
    origin, shown = CAPTIONS[case]
    data = replace(a_dataset(Training=1), origins=np.array([origin] * 7))

    first, *others = caption(data, 0).split("\n")

    assert first.endswith(shown)
    assert len(first) <= 11
    assert others == ["Training", "angry"]


def test_samples_are_drawn_from_the_mask_without_repeats():
    data = a_dataset(Training=3)
    mask = data.labels == 2

    assert sample(data, mask, count=10, seed=1).tolist() == [6, 7, 8]
    assert len(sample(data, mask, count=2, seed=1)) == 2


def test_another_seed_draws_other_images():
    data = a_dataset(Training=10)
    mask = np.ones(70, dtype=bool)
    drawn = [sample(data, mask, count=20, seed=seed).tolist() for seed in (0, 0, 1)]

    assert drawn[0] == drawn[1] != drawn[2]
