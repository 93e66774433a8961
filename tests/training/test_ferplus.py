"""FER+ votes are joined to the rows of a csv, or refused: a join that slips teaches noise."""

import re

import numpy as np
import pytest

from fer_edge.edge.errors import DataError
from fer_edge.training import datasets

from ..conftest import a_row, image_tree, rows_of_each, write_csv, write_folder, write_packed


def load(source, **options) -> datasets.Dataset:
    """Read without the user's cache."""
    return datasets.load(source, cache=False, **options)


HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)
ROWS = rows_of_each(Training=1, PublicTest=1)
VOTES = [f"{row[2]},fer{i:07}.png,{i},0,1,2,3,4,5,6,7,8" for i, row in enumerate(ROWS)]


def write_votes(path, lines=VOTES, header=HEADER):
    return write_packed(path, "\n".join([header, *lines, ""]).encode())


@pytest.mark.parametrize("name", ["votes.csv", "votes.csv.gz", "votes.csv.xz"])
def test_votes_are_joined_by_the_order_of_the_rows(tmp_path, name):
    source, votes = write_csv(tmp_path / "f.csv", ROWS), write_votes(tmp_path / name)

    data = load(source, votes=votes)

    assert data.votes.dtype == np.int64
    assert data.votes.tolist() == [[i, 0, 1, 2, 3, 4, 5, 6, 7, 8] for i in range(len(ROWS))]
    assert data.split("PublicTest").votes[:, 0].tolist() == list(range(7, 14))


def test_votes_stay_with_their_rows_when_bad_ones_are_left_out(tmp_path):
    rows = [ROWS[0], a_row(9), *ROWS[2:8], ROWS[1]]  # row 2 is bad; its class comes last
    lines = [f"{row[2]},x,{i},0,0,0,0,0,0,0,0,0" for i, row in enumerate(rows)]

    data = load(
        write_csv(tmp_path / "f.csv", rows),
        votes=write_votes(tmp_path / "v.csv", lines),
        skip_bad=True,
    )

    assert data.votes[:, 0].tolist() == [0, 2, 3, 4, 5, 6, 7, 8]


def changed(line: int, text: str) -> list[str]:
    return [text if number == line else old for number, old in enumerate(VOTES, start=1)]


# Each case: the bytes of the votes (None: no file), what the error says.
BAD_VOTES = {
    "missing": (None, "no file of FER+ votes at"),
    "empty": (b"", "is no fer2013new.csv"),
    "another csv": (b"emotion,pixels,Usage\n", "is no fer2013new.csv: expected a header Usage"),
    "a class too few": (f"{HEADER[:-3]}\n".encode(), "is no fer2013new.csv"),
    "another split": (changed(3, VOTES[9]), "row 3 there is Training, here PublicTest"),
    "cut off": (VOTES[:-1], "row 14 there is PublicTest, here missing"),
    "blank line": (changed(2, ""), "row 2"),
    "a vote too few": (changed(4, VOTES[3][:-2]), "row 4: votes must be 10 whole numbers"),
    "no number": (changed(5, VOTES[4].replace("8", "x")), "row 5: votes must be 10 whole numbers"),
    "no votes": (changed(6, "Training,x"), "row 6: votes must be 10 whole numbers"),
    "a vote of 99 digits": (changed(7, VOTES[6].replace("8", "9" * 99)), "row 7"),
    "a negative vote": (changed(8, VOTES[7].replace("8", "-8")), "row 8"),
    "no text": (b"\xff\xfe\n", "Cannot read the FER+ votes"),
}


@pytest.mark.parametrize("case", BAD_VOTES)
def test_votes_that_do_not_follow_the_csv_are_refused(tmp_path, case):
    votes, said = BAD_VOTES[case]
    path = tmp_path / "votes.csv"
    if isinstance(votes, bytes):
        path.write_bytes(votes)
    elif votes is not None:
        write_votes(path, votes)

    with pytest.raises(DataError, match=re.escape(said)) as caught:
        load(write_csv(tmp_path / "f.csv", ROWS), votes=path)
    assert "votes.csv" in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.xz", ".zip"])
def test_votes_that_were_cut_off_are_refused(tmp_path, suffix):
    path = write_votes(tmp_path / f"votes{suffix}")
    path.write_bytes(path.read_bytes()[:-30])

    with pytest.raises(DataError, match=r"Cannot read the FER\+ votes .*votes\."):
        load(write_csv(tmp_path / "f.csv", ROWS), votes=path)


def test_votes_go_with_a_csv_only(tmp_path):
    source = write_folder(tmp_path / "f", image_tree("train/*/a.png"))

    with pytest.raises(DataError, match="a csv only"):
        load(source, votes=write_votes(tmp_path / "votes.csv"))


# ------------------------------------------------------------------ by order or by image number

BLACK = " ".join(["0"] * 2304)
LABELS = np.random.default_rng(0).integers(0, 7, 300)
# Where FER+ keeps the votes for each class of FER-2013: anger is its fifth column, and so on.
COLUMNS = (4, 5, 6, 1, 3, 2, 0)


def a_vote(label: int, name: str = "x") -> str:
    """A line on which most taggers name this class."""
    votes = [0] * 10
    votes[COLUMNS[label]], votes[7] = 7, 3
    return f"Training,{name}," + ",".join(map(str, votes))


NOT_A_FACE = "Training,,0,0,0,0,0,0,0,0,0,10"


@pytest.fixture
def source(tmp_path):
    return write_csv(tmp_path / "f.csv", [a_row(label, pixels=BLACK) for label in LABELS])


def named_class(data: datasets.Dataset) -> list[int]:
    """The class with the most votes of each image, -1 where there are none."""
    columns = data.votes.argmax(axis=1)
    return [COLUMNS.index(c) if v.any() else -1 for c, v in zip(columns, data.votes, strict=True)]


def test_rows_in_order_are_joined_by_their_order(tmp_path, source):
    # The names are those of the real file: unnamed rows take no number, so numbers are no order.
    lines = [a_vote(label, f"fer{max(0, i - i // 9):07}.png") for i, label in enumerate(LABELS)]

    data = load(source, votes=write_votes(tmp_path / "votes.csv", lines))

    assert named_class(data) == LABELS.tolist()


def test_taggers_may_disagree_with_a_third_of_the_labels(tmp_path, source):
    lines = [a_vote((label + (i % 3 == 0)) % 7) for i, label in enumerate(LABELS)]

    data = load(source, votes=write_votes(tmp_path / "votes.csv", lines))

    assert named_class(data)[1::3] == LABELS[1::3].tolist()


def test_rows_in_the_order_of_the_images_are_joined_by_their_number(tmp_path, source):
    """The csv was rebuilt from numbered images: rows that have none slip out of its order."""
    lines = []
    for number, label in enumerate(LABELS[:280]):
        if number % 20 == 5:
            lines.append(NOT_A_FACE)
        lines.append(a_vote(label, f"fer{number:07}.png"))
    lines += [NOT_A_FACE] * 20

    data = load(source, votes=write_votes(tmp_path / "votes.csv", lines))

    assert named_class(data) == [*LABELS[:280].tolist(), *[-1] * 20]


def test_votes_on_other_images_are_refused(tmp_path, source):
    other = np.random.default_rng(1).integers(0, 7, 300)
    lines = [a_vote(label, f"fer{number:07}.png") for number, label in enumerate(other)]

    with pytest.raises(DataError, match=r"votes\.csv does not belong to this csv: neither by"):
        load(source, votes=write_votes(tmp_path / "votes.csv", lines))
