"""Lists of images to leave out: proposed for Training alone, refused for data of another digest."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge.errors import DataError
from fer_edge.training.cleaning import (
    LeaveOut,
    LeftOut,
    leave_out,
    propose,
    read_leave_out,
    write_leave_out,
)
from fer_edge.training.datasets import EMOTIONS, Dataset, load

from ..conftest import a_dataset

DIGEST = "d" * 64  # of what a_dataset makes
NF, NEUTRAL = 9, 0


def votes(column: int = 0, count: int = 0) -> list[int]:
    row = [0] * 10
    row[column] = count
    return row


def reasons(found: LeaveOut) -> dict[str, str]:
    return {row.origin: row.reason for row in found.rows}


def copied(data: Dataset, *pairs: tuple[int, int]) -> Dataset:
    """The data with the image at each second position made equal to that at the first."""
    images = data.images.copy()
    for source, target in pairs:
        images[target] = images[source]
    return replace(data, images=images)


# ------------------------------------------------------------------------------------- proposals

# In a_dataset(Training=2, PublicTest=1) positions 0 to 13 are Training, two a class, 14 to 20
# PublicTest. Origins count from 1. Each case: what is equal to what, what is proposed.
GROUPS = {
    "nothing equal": ([], {}),
    "the second of two": ([(0, 1)], {"2": "duplicate of training row 1"}),
    "two of training and one of the test: both of training go": (
        [(0, 1), (0, 14)],
        {"1": "equals PublicTest row 15", "2": "equals PublicTest row 15"},
    ),
    "two labels: both go": ([(0, 2)], {"1": "conflicting labels", "3": "conflicting labels"}),
    "of a test image the training copy goes": ([(0, 14)], {"1": "equals PublicTest row 15"}),
    "and with another label as well": ([(0, 15)], {"1": "equals PublicTest row 16"}),
    "test images among themselves are left alone": ([(14, 15)], {}),
}


@pytest.mark.parametrize("case", GROUPS)
def test_what_is_proposed_of_equal_images(case):
    pairs, expected = GROUPS[case]

    found = propose(copied(a_dataset(Training=2, PublicTest=1), *pairs))

    assert reasons(found) == expected
    assert found.data_sha256 == DIGEST


def test_blank_images_of_training_are_proposed_and_of_the_test_are_not():
    data = a_dataset(Training=1, PublicTest=1)
    data.images[[2, 9]] = 0
    data.images[3, :40] = 255

    # Black images are copies of each other, too: the first reason counts.
    assert reasons(propose(data)) == {"3": "blank", "4": "near-blank"}


# Each case: the votes for an angry image, the reason (None: it stays).
VOTES = {
    "all agree": (votes(4, 10), None),
    "no face": (votes(NF, 10), "not-a-face (FER+)"),
    "another class, all of ten": (votes(NEUTRAL, 10), "FER+ majority is another class"),
    "another class, eight of ten": (votes(NEUTRAL, 8), "FER+ majority is another class"),
    "another class, seven of ten": (votes(NEUTRAL, 7), None),
    "contempt, which FER-2013 does not have": (votes(7, 10), None),
    "nobody voted": (votes(), None),
}


@pytest.mark.parametrize("case", VOTES)
@pytest.mark.parametrize("split", ["Training", "PublicTest", "PrivateTest", "Test"])
def test_what_is_proposed_by_votes(case, split):
    row, reason = VOTES[case]
    data = a_dataset(Training=1, **({split: 1} if split != "Training" else {}))
    table = np.zeros((len(data), 10), dtype=np.int64)
    table[0 if split == "Training" else 7] = row

    found = propose(replace(data, votes=table))

    assert reasons(found) == ({"1": reason} if reason and split == "Training" else {})


def test_kinds_of_reasons_are_counted():
    data = copied(a_dataset(Training=3, PublicTest=1), (0, 1), (0, 2), (3, 21))

    assert propose(data).reasons() == {"duplicate of training": 2, "equals PublicTest": 1}


# ---------------------------------------------------------------------------------------- files


def a_list(*origins: str, digest: str = DIGEST) -> LeaveOut:
    """The first images of each class, by their origins in a_dataset(Training=2)."""
    return LeaveOut(
        digest,
        tuple(
            LeftOut(origin, "Training", EMOTIONS[(int(origin) - 1) // 2], "blank")
            for origin in origins
        ),
    )


def test_a_list_is_a_csv_with_the_digest_in_its_first_row(tmp_path):
    write_leave_out(tmp_path / "new" / "l.csv", a_list("1", "3"))

    assert (tmp_path / "new" / "l.csv").read_text() == (
        "origin,split,class,reason\n"
        f"data,,,sha256:{DIGEST}\n"
        "1,Training,angry,blank\n"
        "3,Training,disgust,blank\n"
    )


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=20)


@settings(max_examples=50)
@given(st.dictionaries(texts, st.tuples(texts, st.sampled_from(EMOTIONS), texts), max_size=5))
def test_what_was_written_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("list") / "l.csv"
    made = LeaveOut(DIGEST, tuple(LeftOut(origin, *row) for origin, row in rows.items()))

    write_leave_out(path, made)

    assert read_leave_out(path) == made


def test_a_list_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "l.csv"
    path.write_text("precious")

    with pytest.raises(DataError, match=r"l\.csv is there already; --overwrite"):
        write_leave_out(path, a_list())
    assert path.read_text() == "precious"
    write_leave_out(path, a_list("1"), overwrite=True)
    assert read_leave_out(path) == a_list("1")


def test_a_list_that_cannot_be_written_says_why(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match=r"Cannot write .*l\.csv: "):
        write_leave_out(tmp_path / "file" / "l.csv", a_list())


HEADER = "origin,split,class,reason\n"
DATA = f"data,,,sha256:{DIGEST}\n"
# Each case: the text of the file (None: no file), what the error says.
BAD_LISTS = {
    "missing": (None, r"Cannot read the list .*l\.csv: No such file"),
    "empty": ("", "expected the header origin,split,class,reason"),
    "another csv": ("emotion,pixels,Usage\n", "got 'emotion,pixels,Usage'"),
    "no digest": (HEADER + "1,Training,angry,x\n", "does not say which data it is for"),
    "two digests": (HEADER + DATA * 2, "does not say which data it is for"),
    "half a digest row": (HEADER + "data,,,\n", "does not say which data it is for"),
    "a column too few": (HEADER + DATA + "1,Training,angry\n", "row 2: expected 4 columns, got 3"),
    "an unknown class": (HEADER + DATA + "1,Training,cross,x\n", "row 2: unknown class 'cross'"),
    "no origin": (HEADER + DATA + ",Training,angry,x\n", "row 2: expected an origin"),
    "no reason": (HEADER + DATA + "1,Training,angry,\n", "row 2: expected an origin and a reason"),
    "twice": (HEADER + DATA + "1,Training,angry,x\n" * 2, "row 3: 1 is listed twice"),
    "an open quote": (HEADER + DATA + '1,Training,angry,"x\n', "is no list of images"),
    "no text": ("\udcff", "is no list of images to leave out"),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_a_bad_list_is_refused_with_its_row(tmp_path, case):
    text, said = BAD_LISTS[case]
    if text is not None:
        (tmp_path / "l.csv").write_text(text, encoding="utf-8", errors="surrogateescape")

    with pytest.raises(DataError, match=said):
        read_leave_out(tmp_path / "l.csv")


def test_a_list_that_a_spreadsheet_saved_is_read(tmp_path):
    text = (HEADER + "1,Training,angry,blank\n" + DATA + "\n").replace("\n", "\r\n")
    (tmp_path / "l.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert read_leave_out(tmp_path / "l.csv") == a_list("1")


# -------------------------------------------------------------------------------------- leaving


def test_the_images_are_left_out_and_the_others_stay():
    data = a_dataset(Training=2, PublicTest=1)

    left = leave_out(data, a_list("1", "14"))

    assert left.origins.tolist() == [str(n) for n in range(1, 22) if n not in (1, 14)]
    np.testing.assert_array_equal(left.images[0], data.images[1])
    assert left.counts() == {"Training": 12, "PublicTest": 7}


def test_an_empty_list_changes_nothing():
    data = a_dataset(Training=1)

    assert leave_out(data, a_list()).origins.tolist() == data.origins.tolist()


# Each case: the list, what the error says.
REFUSED = {
    "for other data": (a_list("1", digest="e" * 64), "is for data with the SHA-256 eeee.*has dddd"),
    "an unknown image": (
        LeaveOut(DIGEST, (LeftOut("99", "Training", "angry", "x"),)),
        "names 1 that made does not have: 99",
    ),
    "another class": (
        LeaveOut(DIGEST, (LeftOut("1", "Training", "happy", "x"),)),
        "calls 1 Training/happy; in made it is Training/angry",
    ),
    "another split": (
        LeaveOut(DIGEST, (LeftOut("15", "Training", "angry", "x"),)),
        "calls 15 Training/angry; in made it is PublicTest/angry",
    ),
    "a test image": (
        LeaveOut(DIGEST, (LeftOut("15", "PublicTest", "angry", "x"),)),
        "names 15 of PublicTest. Only Training may be cleaned",
    ),
    "a whole class": (a_list("3", "4"), "empties these classes: disgust"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_list_that_does_not_fit_is_refused(case):
    chosen, said = REFUSED[case]

    with pytest.raises(DataError, match=said):
        leave_out(a_dataset(Training=2, PublicTest=1), chosen)


def test_many_unknown_images_are_cut_short():
    rows = tuple(LeftOut(str(n), "Training", "angry", "x") for n in range(100, 200))

    with pytest.raises(DataError, match=r"names 100 that .*: 100, 101.*109, …\."):
        leave_out(a_dataset(Training=1), LeaveOut(DIGEST, rows))


def test_the_digest_is_that_of_the_images_named_and_their_data():
    one = a_list("1", "3")

    assert len(one.digest) == 16
    assert a_list("3", "1").digest == one.digest
    assert a_list("1", "5").digest != one.digest
    assert a_list("1", "3", digest="e" * 64).digest != one.digest


@pytest.mark.slow
def test_the_real_data(real_data, tmp_path):
    data = load(real_data / "fer2013.csv.gz", votes=real_data / "fer2013new.csv")

    write_leave_out(tmp_path / "l.csv", propose(data))
    found = read_leave_out(tmp_path / "l.csv")

    assert found.reasons() == {
        "FER+ majority is another class": 2561,
        "duplicate of training": 1102,
        "equals PublicTest": 334,
        "conflicting labels": 85,
        "near-blank": 26,
        "blank": 11,
        "not-a-face (FER+)": 2,
    }
    left = leave_out(data, found)
    assert left.counts() == {"Training": 28709 - 4121, "PublicTest": 3589}
    # With these gone, no two training images are equal, nor any to one of PublicTest.
    assert propose(replace(left, votes=None)).rows == ()
