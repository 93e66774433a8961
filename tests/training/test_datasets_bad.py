"""Every bad input is refused with its file and its row, or left out and counted when asked."""

import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge.errors import DataError
from fer_edge.training import datasets

from ..conftest import (
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

GOOD = rows_of_each(Training=1)
TREE = image_tree("train/*/a.png")


def load(source, **options) -> datasets.Dataset:
    """Read without the user's cache."""
    return datasets.load(source, cache=False, **options)


def pixels(first: str, count: int = 2304) -> str:
    """So many pixels of value 7, the first replaced."""
    return " ".join([first, *["7"] * (count - 1)])


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises more."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


# ------------------------------------------------------------------------------------------ rows

# Each case: a row, what is said about it.
BAD_ROWS = [
    (a_row(pixels=pixels("7", 2303)), "expected 2304 pixels, got 2303"),
    (a_row(pixels=pixels("7", 2305)), "expected 2304 pixels, got 2305"),
    (a_row(pixels=""), "expected 2304 pixels, got"),
    (a_row(pixels=" "), "expected 2304 pixels, got"),
    (a_row(pixels=pixels("256")), "expected pixels from 0 to 255, got 256"),
    (a_row(pixels=pixels("9" * 30)), "expected pixels from 0 to 255, got"),
    (a_row(pixels=pixels("-1")), "expected pixels from 0 to 255, got -1"),
    (a_row(pixels=pixels("x")), "a pixel is no whole number"),
    (a_row(pixels=pixels("7.5")), "a pixel is no whole number"),
    (a_row(pixels=pixels("nan")), "a pixel is no whole number"),
    (a_row(pixels=pixels("7").replace(" ", ",")), "a pixel is no whole number"),
    (a_row(7), "unknown emotion '7'; expected 0 to 6"),
    (a_row(-1), "unknown emotion '-1'; expected 0 to 6"),
    (a_row("happy"), "unknown emotion 'happy'; expected 0 to 6"),
    (a_row(""), "unknown emotion ''; expected 0 to 6"),
    (a_row("1.0"), "unknown emotion '1.0'; expected 0 to 6"),
    (a_row(usage="training"), "unknown Usage 'training'; expected one of Training, PublicTest"),
    (a_row(usage=""), "unknown Usage ''; expected one of Training, PublicTest, PrivateTest"),
    (a_row()[:2], "expected 3 columns, got 2"),
    ([*a_row(), "1"], "expected 3 columns, got 4"),
]
ids = [said for _, said in BAD_ROWS]


@pytest.mark.parametrize(("row", "said"), BAD_ROWS, ids=ids)
def test_a_bad_row_is_named_with_its_file(tmp_path, row, said):
    path = write_csv(tmp_path / "f.csv", [*GOOD, row])

    with pytest.raises(DataError, match=re.escape(f"{path}, row 8: {said}")):
        load(path)


@pytest.mark.parametrize(("row", "said"), BAD_ROWS, ids=ids)
def test_a_bad_row_can_be_left_out_and_is_counted(tmp_path, row, said):
    data = load(write_csv(tmp_path / "f.csv", [row, *GOOD]), skip_bad=True)

    assert data.skipped == 1
    assert data.origins.tolist() == ["2", "3", "4", "5", "6", "7", "8"]
    np.testing.assert_array_equal(data.images, [a_face(seed) for seed in range(7)])


def test_all_bad_rows_are_named_at_once(tmp_path):
    path = write_csv(tmp_path / "f.csv", [a_row(9), *GOOD, a_row(usage="x")])

    with pytest.raises(DataError, match=r"(?s)^2 bad rows in .*row 1: unk.*row 9: unk") as caught:
        load(path)
    assert "--skip-bad" in str(caught.value)


def test_many_bad_rows_are_cut_short(tmp_path):
    path = write_csv(tmp_path / "f.csv", [*GOOD, *[a_row(9)] * 500])

    with pytest.raises(DataError, match=r"^500 bad rows") as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert len(lines) < 30
    assert lines[-1].endswith("and 480 more")


def test_a_file_of_bad_rows_only_is_refused_even_when_they_may_be_left_out(tmp_path):
    path = write_csv(tmp_path / "f.csv", [a_row(9)])

    with pytest.raises(DataError, match=r"(?s)row 1: unknown emotion.*no image could be read"):
        load(path, skip_bad=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


# No line ends: the csv writer of Python 3.11 leaves a lone carriage return unquoted.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)


@settings(max_examples=50)  # each writes and reads a file
@given(texts, texts, texts)
def test_a_row_of_any_text_is_a_bad_row_and_nothing_worse(folder, emotion, text, usage):
    path = write_csv(folder / "f.csv", [*GOOD, [emotion, text, usage]])

    assert load(path, skip_bad=True).skipped == 1


# --------------------------------------------------------------------------------------- classes


def test_a_class_without_a_training_image_is_named(tmp_path):
    rows = [row for row in GOOD if row[0] != "1"] + [a_row(1, "PublicTest")]
    path = write_csv(tmp_path / "f.csv", rows)

    with pytest.raises(DataError, match=r"f\.csv, split Training: class 'disgust' is empty"):
        load(path)
    assert load(path, skip_bad=True).skipped == 0, "an empty class is no row that was left out"


def test_a_class_whose_images_are_all_bad_is_empty_too(tmp_path):
    tree = {**TREE, "train/fear/a.png": b"no image"}

    with pytest.raises(DataError, match=r"(?s)fear/a\.png: unreadable.*class 'fear' is empty"):
        load(write_folder(tmp_path / "f", tree))


# ---------------------------------------------------------------------------------------- images

# Each case: an image beside seven good ones, what is said about it.
BAD_IMAGES = {
    "no image": (b"not a picture", "unreadable image"),
    "empty file": (b"", "unreadable image"),
    "cut off": (encode(a_face())[:60], "unreadable image"),
    "too small": (encode(a_face(0, (47, 48))), "expected 48x48 pixels, got 47x48"),
    "too large": (encode(a_face(0, (96, 96))), "expected 48x48 pixels, got 96x96"),
    "claims 3.6 gigapixels": (png_that_claims(60_000, 60_000), "unreadable image"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_a_bad_image_is_named_or_left_out(tmp_path, case, packed):
    content, said = BAD_IMAGES[case]
    tree = {**TREE, "train/sad/b.png": content}
    source = write_zip(tmp_path / "f.zip", tree) if packed else write_folder(tmp_path / "f", tree)

    with pytest.raises(DataError, match=re.escape(f"{source}, train/sad/b.png: {said}")):
        load(source)
    data = load(source, skip_bad=True)
    assert (len(data), data.skipped) == (7, 1)


def test_an_unknown_class_folder_is_named_beside_the_valid_ones(tmp_path):
    tree = {**TREE, "test/contempt/a.png": encode(a_face())}
    source = write_folder(tmp_path / "f", tree)

    with pytest.raises(DataError, match=r"test/contempt/a\.png: unknown emotion 'contempt'; .*sad"):
        load(source)
    assert load(source, skip_bad=True).skipped == 1


def test_a_zip_member_that_claims_megabytes_is_not_unpacked(tmp_path):
    # OpenCV would read the picture at its front and never look at the rest.
    source = write_zip(
        tmp_path / "f.zip", {**TREE, "train/sad/b.png": encode(a_face()) + bytes(5 << 20)}
    )

    with pytest.raises(DataError, match=r"train/sad/b\.png: unreadable"):
        load(source)


# ----------------------------------------------------------------------------------------- files

# Each case: the name of a file, its bytes (None: it is not there), what the error says.
BAD_FILES = {
    "missing": ("f.csv", None, r"There is no data at .*f\.csv. Expected fer2013\.csv"),
    "empty": ("f.csv", b"", r"f\.csv is no FER-2013 csv: expected the header emotion,pixels,Usage"),
    "wrong header": ("f.csv", b"emotion,Usage,pixels\n", r"got 'emotion,Usage,pixels'"),
    "no header": ("f.csv", b"0,7 7,Training\n", "expected the header"),
    "header only": ("f.csv", b"emotion,pixels,Usage\n", "no image could be read"),
    "no text": ("f.csv", b"emotion,pixels,Usage\n\xff\xfe\n", r"Cannot read .*f\.csv"),
    "no gzip": ("f.csv.gz", b"emotion,pixels,Usage\n", r"Cannot read .*f\.csv\.gz"),
    "no xz": ("f.csv.xz", b"emotion,pixels,Usage\n", r"Cannot read .*f\.csv\.xz"),
    "no zip": ("f.zip", b"emotion,pixels,Usage\n", r"f\.zip is no zip that can be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_no_fer2013_is_refused_by_its_name(tmp_path, case):
    name, content, said = BAD_FILES[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)

    for skip_bad in (False, True):
        with pytest.raises(DataError, match=said):
            load(tmp_path / name, skip_bad=skip_bad)


# Each case: the members of a zip, what the error says.
BAD_ZIPS = {
    "empty": ({}, "holds no FER-2013"),
    "two csv files": ({"a.csv": b"", "b.csv": b""}, r"holds 2 csv files, none named fer2013\.csv"),
    "no train folder": ({"angry/a.png": encode(a_face())}, "holds no FER-2013"),
    "something else": ({"README.md": b"hello"}, "holds no FER-2013"),
}


@pytest.mark.parametrize("case", BAD_ZIPS)
def test_a_zip_that_is_no_fer2013_is_refused_by_its_name(tmp_path, case):
    members, said = BAD_ZIPS[case]

    with pytest.raises(DataError, match=rf"f\.zip {said}"):
        load(write_zip(tmp_path / "f.zip", members))


def test_a_folder_without_images_says_what_was_expected(tmp_path):
    (tmp_path / "fer2013.csv").write_text("a csv must be named directly")

    with pytest.raises(DataError, match=r"expected images as train/<class>.*named directly"):
        load(tmp_path)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zip"])
def test_a_download_that_was_cut_off_is_refused(tmp_path, suffix):
    path = write_csv(tmp_path / f"f{suffix}", GOOD)
    whole = path.read_bytes()

    for length in range(0, len(whole), len(whole) // 20):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=re.escape(str(path))):
            load(path, skip_bad=True)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zip"])
def test_a_damaged_download_never_fails_otherwise(tmp_path, suffix):
    path = write_csv(tmp_path / f"f{suffix}", [a_row()])
    whole = path.read_bytes()

    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(DataError, match=re.escape(str(path))):
            load(path)  # if not for the damage, then for the classes that it does not have


def test_a_damaged_zip_of_images_names_the_image_or_itself(tmp_path):
    path = write_zip(tmp_path / "f.zip", {"train/sad/a.png": encode(np.zeros((48, 48), np.uint8))})
    whole = path.read_bytes()

    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(DataError, match=re.escape(str(path))):
            load(path)


def test_the_builders_know_the_classes_in_fer2013_s_order():
    assert EMOTIONS == datasets.EMOTIONS
