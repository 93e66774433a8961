"""The parsers behind :mod:`.datasets`: csv rows, images in folders and zips, FER+ votes.

Each returns what it could read and a list of what it could not; nothing here decides whether a bad
row is fatal.
"""

import csv
import gzip
import io
import lzma
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DataError
from ..edge.records import Image

#: The classes in FER-2013's own order. Models carry it in their contract.
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIDE_PX = 48
#: ``Test``: images of a test folder whose names do not tell PublicTest from PrivateTest.
SPLITS = ("Training", "PublicTest", "PrivateTest", "Test")

_SPELLINGS = {
    **{name: index for index, name in enumerate(EMOTIONS)},
    **{"anger": 0, "disgusted": 1, "fearful": 2, "happiness": 3, "sadness": 4, "surprised": 5},
}
# With or without the mark that spreadsheets put in front.
_ENCODING = "utf-8-sig"
_CSV_HEADER = ["emotion", "pixels", "Usage"]
# The competition's icml_face_data.csv: the same rows.
_ICML_HEADER = ["emotion", " Usage", " pixels"]
_FERPLUS_VOTES = 10
#: The class of each of the first seven columns of FER+: neutral, happiness, surprise, sadness,
#: anger, disgust, fear. The last three are contempt, unknown and not a face.
FERPLUS_EMOTIONS = (6, 3, 5, 4, 0, 1, 2)
_ROWS_TO_JUDGE = 200
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
_SPLIT_PREFIX = re.compile(r"^(Training|PublicTest|PrivateTest)_", re.IGNORECASE)
_SPLIT_BY_LOWER = {name.lower(): name for name in SPLITS}
# What reading a damaged, encrypted or foreign file raises, packed or not.
_PACKING_ERRORS = (
    OSError,
    EOFError,
    ValueError,  # UnicodeDecodeError among them
    csv.Error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
)
# A 48x48 picture is 2-3 KB; a zip member that claims megabytes is no such picture.
_MAX_IMAGE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row or file that cannot be used: where it is, and what is wrong with it."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class RawRows:
    """What a reader found, a list entry an image; the lists of good rows are equally long."""

    images: list[Image] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)

    def add(self, image: Image, label: int, split: str, origin: str) -> None:
        """Append one good row."""
        self.images.append(image)
        self.labels.append(label)
        self.splits.append(split)
        self.origins.append(origin)


def read_csv(source: Path) -> RawRows:
    """Read Kaggle's csv, plain or packed.

    Raises:
        DataError: It is no such csv, or the packing is damaged.
    """
    rows = RawRows()
    try:
        with _open_text(source) as file:
            reader = csv.reader(file)
            header = next(reader, None)
            names = [name.strip() for name in header or []]
            if header != _CSV_HEADER and header != _ICML_HEADER:
                raise DataError(
                    f"{source} is no FER-2013 csv: expected the header {','.join(_CSV_HEADER)}, "
                    f"got {','.join(header or [])[:80]!r}."
                )
            order = [names.index(name) for name in _CSV_HEADER]
            for number, row in enumerate(reader, start=1):
                if not row:
                    continue  # a blank line, usually the last one
                try:
                    rows.add(*_parse_row(row, order), origin=str(number))
                except ValueError as exc:
                    rows.bad.append(BadRow(f"row {number}", str(exc)))
    except _PACKING_ERRORS as exc:
        raise DataError(f"Cannot read {source}: {exc}. Download it again.") from exc
    return rows


def read_images(source: Path) -> RawRows:
    """Read ``train/<class>/*`` and ``test/<class>/*`` below a folder or inside a zip.

    The prefix of a name (``PublicTest_``, ``PrivateTest_``) gives the split. Without one, images of
    ``train`` are Training and images of ``test`` are Test.

    Raises:
        DataError: No ``train`` folder with classes is there.
    """
    rows = RawRows()
    found = False
    for name, content in _walk_zip(source) if source.is_file() else _walk_folder(source):
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or parts[-3].lower() not in ("train", "test"):
            continue
        found = True
        label = _SPELLINGS.get(parts[-2].lower())
        if label is None:
            rows.bad.append(BadRow(name, f"unknown emotion {parts[-2]!r}; {_valid_emotions()}"))
            continue
        try:
            image = _decode(content)
        except ValueError as exc:
            rows.bad.append(BadRow(name, str(exc)))
            continue
        rows.add(image, label, _split_of(parts[-3], parts[-1]), name)
    if not found:
        raise DataError(
            f"{source} holds no FER-2013: expected images as train/<class>/*.jpg and "
            f"test/<class>/*.jpg, or a csv file named directly."
        )
    return rows


def read_ferplus(votes: Path, rows: RawRows) -> NDArray[np.int64]:
    """Read the FER+ votes and join them to the rows of a csv.

    By their order, as their authors say. Copies of the csv that were rebuilt from the numbered
    FER+ images (``fer0000059.png``) follow those numbers instead; where the order gives no more
    agreement with the labels than chance, the numbers are tried, and rows without an image get no
    votes (docs/decisions/0006-ferplus-join.md).

    Returns:
        int64, ``(n, 10)``: the votes of each good row.

    Raises:
        DataError: The file is no ``fer2013new.csv``, or its rows do not follow those of the csv.
    """
    try:
        with _open_text(votes) as file:
            lines = list(csv.reader(file))
    except _PACKING_ERRORS as exc:
        raise DataError(f"Cannot read the FER+ votes {votes}: {exc}.") from exc
    if not lines or lines[0][:1] != ["Usage"] or len(lines[0]) != 2 + _FERPLUS_VOTES:
        raise DataError(
            f"{votes} is no fer2013new.csv: expected a header Usage,Image name and "
            f"{_FERPLUS_VOTES} votes, got {','.join(lines[0] if lines else [])[:80]!r}."
        )
    table = _parse_votes(votes, lines)
    numbers = _row_numbers(rows)
    for number, split in zip(numbers, rows.splits, strict=True):
        if number >= len(lines) or lines[number][0] != split:
            there = lines[number][0] if number < len(lines) else "missing"
            raise DataError(
                f"{votes} does not follow the csv: row {number} there is {split}, here {there}. "
                f"Use the files of the same release."
            )
    by_order = table[numbers - 1]
    if _belong(by_order, rows.labels):
        return by_order
    by_image = np.zeros_like(by_order)
    places = {line[1]: index for index, line in enumerate(lines[1:]) if line[1]}
    for index, number in enumerate(numbers):
        place = places.get(f"fer{number - 1:07d}.png")
        if place is not None:
            by_image[index] = table[place]
    if _belong(by_image, rows.labels):
        return by_image
    raise DataError(
        f"{votes} does not belong to this csv: neither by the order of the rows nor by the numbers "
        f"of the images do the votes agree with the labels more often than by chance."
    )


def _parse_votes(votes: Path, lines: list[list[str]]) -> NDArray[np.int64]:
    """The votes of every line behind the header: int64, ``(n, 10)``."""
    table = np.zeros((len(lines) - 1, _FERPLUS_VOTES), dtype=np.int64)
    for number, line in enumerate(lines[1:], start=1):
        cells = line[2:]
        if len(cells) != _FERPLUS_VOTES or not all(c.isdecimal() and len(c) <= 3 for c in cells):
            raise DataError(
                f"{votes}, row {number}: votes must be {_FERPLUS_VOTES} whole numbers, got "
                f"{','.join(cells)[:80]!r}."
            )
        table[number - 1] = [int(cell) for cell in cells]
    return table


def _row_numbers(rows: RawRows) -> NDArray[np.int64]:
    """The csv row of each good image, from 1 on."""
    if not all(origin.isdigit() for origin in rows.origins):
        raise DataError("FER+ votes can be joined to a csv only: they go by its row order.")
    return np.array(rows.origins, dtype=np.int64)


def _belong(votes: NDArray[np.int64], labels: list[int]) -> bool:
    """Whether the majority of the taggers names the label much more often than by chance.

    They do for 63 % of FER-2013, against 18 % where the rows are shifted. Few rows prove nothing.
    """
    named = votes[:, : len(FERPLUS_EMOTIONS)].argmax(axis=1)
    voted = votes.sum(axis=1) > 0
    agree = np.array(FERPLUS_EMOTIONS)[named][voted] == np.array(labels)[voted]
    return len(labels) < _ROWS_TO_JUDGE or (len(agree) > 0 and float(agree.mean()) > 0.4)


def zip_holds_images(source: Path) -> bool:
    """Whether a zip holds folders of images (True) or a csv (False)."""
    try:
        with zipfile.ZipFile(source) as archive:
            return not any(name.lower().endswith(".csv") for name in archive.namelist())
    except _PACKING_ERRORS as exc:
        raise DataError(f"{source} is no zip that can be read: {exc}.") from exc


def _parse_row(row: list[str], order: list[int]) -> tuple[Image, int, str]:
    """One csv row, its columns in this order; ValueError says what is wrong with it."""
    if len(row) != len(_CSV_HEADER):
        raise ValueError(f"expected {len(_CSV_HEADER)} columns, got {len(row)}")
    emotion, pixels, usage = (row[column] for column in order)
    if emotion not in {str(index) for index in range(len(EMOTIONS))}:
        raise ValueError(f"unknown emotion {emotion!r}; expected 0 to {len(EMOTIONS) - 1}")
    if usage not in SPLITS:
        raise ValueError(f"unknown Usage {usage!r}; expected one of {', '.join(SPLITS[:3])}")
    with warnings.catch_warnings():
        # NumPy warns, and stops reading, where a pixel is no number.
        warnings.simplefilter("error")
        try:
            values = np.fromstring(pixels, dtype=np.int64, sep=" ")
        except (DeprecationWarning, ValueError) as exc:
            raise ValueError("a pixel is no whole number") from exc
    if values.size != SIDE_PX * SIDE_PX:
        raise ValueError(f"expected {SIDE_PX * SIDE_PX} pixels, got {values.size}")
    if values.min() < 0 or values.max() > 255:
        wrong = values[(values < 0) | (values > 255)][0]
        raise ValueError(f"expected pixels from 0 to 255, got {wrong}")
    return values.astype(np.uint8).reshape(SIDE_PX, SIDE_PX), int(emotion), usage


def _decode(content: bytes | None) -> Image:
    """One image file; ValueError says what is wrong with it."""
    if content is None:
        raise ValueError("unreadable file")
    encoded = np.frombuffer(content, dtype=np.uint8)
    try:
        image = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE) if encoded.size else None
    except cv2.error:
        # A header that claims more pixels than OpenCV takes.
        image = None
    if image is None:
        raise ValueError("unreadable image")
    if image.shape != (SIDE_PX, SIDE_PX):
        raise ValueError(
            f"expected {SIDE_PX}x{SIDE_PX} pixels, got {image.shape[1]}x{image.shape[0]}"
        )
    return np.asarray(image, dtype=np.uint8)


def _split_of(folder: str, file_name: str) -> str:
    prefix = _SPLIT_PREFIX.match(file_name)
    if prefix:
        return _SPLIT_BY_LOWER[prefix.group(1).lower()]
    return "Training" if folder.lower() == "train" else "Test"


def _valid_emotions() -> str:
    return f"valid are {', '.join(sorted(_SPELLINGS))}"


def _walk_folder(source: Path) -> Iterator[tuple[str, bytes | None]]:
    """Names (relative, with ``/``) and bytes of the images below a folder, in a stable order."""
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in _IMAGE_SUFFIXES and path.is_file():
            try:
                content = path.read_bytes()
            except OSError:
                content = None
            yield path.relative_to(source).as_posix(), content


def _walk_zip(source: Path) -> Iterator[tuple[str, bytes | None]]:
    with zipfile.ZipFile(source) as archive:
        for info in sorted(archive.infolist(), key=lambda item: item.filename):
            if PurePosixPath(info.filename).suffix.lower() not in _IMAGE_SUFFIXES:
                continue
            try:
                content = archive.read(info) if info.file_size <= _MAX_IMAGE_BYTES else None
            except _PACKING_ERRORS:
                content = None
            yield info.filename, content


@contextmanager
def _open_text(source: Path) -> Iterator[TextIO]:
    """Open a csv, unpacking it by its suffix."""
    suffix = source.suffix.lower()
    if suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            # Kaggle's archive holds other files too; the csv of the images is the one by this name.
            wanted = ("fer2013.csv", "icml_face_data.csv")
            name = next((n for w in wanted for n in names if n.lower().endswith(w)), None)
            if name is None and len(names) != 1:
                raise DataError(f"{source} holds {len(names)} csv files, none named fer2013.csv.")
            with (
                archive.open(name or names[0]) as raw,
                io.TextIOWrapper(raw, newline="", encoding=_ENCODING) as file,
            ):
                yield file
    else:
        opener = {".gz": gzip.open, ".xz": lzma.open}.get(suffix, open)
        with opener(source, "rt", newline="", encoding=_ENCODING) as file:
            yield file
