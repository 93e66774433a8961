"""Lists of images to leave out of training, with a reason each.

A list is a csv ``origin,split,class,reason``. Its first row, ``data,,,sha256:<digest>``, names the
data that it was made for: applied to any other, a list is refused. Only images of Training may be
left out; what a model is measured on stays as it is (docs/decisions/0007-leave-out.md).
"""

import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..edge.errors import DataError
from ..edge.files import replacing
from .datasets import EMOTIONS, Dataset
from .duplicates import equal_groups
from .explore import STRONG_VOTES, find_blanks, other_class
from .ferplus import NOT_A_FACE, vote_answers

HEADER = ("origin", "split", "class", "reason")
NOT_A_FACE_REASON = "not-a-face (FER+)"
CONFLICT_REASON = "conflicting labels"
OTHER_CLASS_REASON = "FER+ majority is another class"
_TRAINING = "Training"
_DATA_ROW, _DIGEST_PREFIX = "data", "sha256:"
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One image to leave out: its origin in the data, its split, its class, and why."""

    origin: str
    split: str
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """Images to leave out of the data with this digest."""

    data_sha256: str
    rows: tuple[LeftOut, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over the data and the images named, whatever order and reason."""
        named = sorted({row.origin for row in self.rows})
        return hashlib.sha256("\n".join([self.data_sha256, *named]).encode()).hexdigest()[:16]

    def reasons(self) -> dict[str, int]:
        """How many images each kind of reason names, the most frequent first."""
        # "duplicate of training row 17" is one of a kind.
        kinds = Counter(row.reason.partition(" row ")[0] for row in self.rows)
        return dict(kinds.most_common())


def propose(data: Dataset) -> LeaveOut:
    """Name the images of Training that would better not be trained on, each with one reason.

    The first of these that applies: it is blank or near-blank; most FER+ taggers call it no face;
    it equals an image of another split pixel for pixel (training on it would spoil the
    measurement); it equals another training image with another label (all of them go, since
    nothing says which is right); it equals an earlier training image; at least
    :data:`.explore.STRONG_VOTES` of ten taggers agree on another class.
    """
    training = data.splits == _TRAINING
    reasons: dict[int, str] = {}
    for blank in find_blanks(data.images):
        reasons.setdefault(blank.index, blank.kind)
    if data.votes is not None:
        for index in np.flatnonzero(vote_answers(data.votes) == NOT_A_FACE):
            reasons.setdefault(int(index), NOT_A_FACE_REASON)
    for group in equal_groups(data.images):
        for index, reason in _reasons_of_group(data, group).items():
            reasons.setdefault(index, reason)
    if data.votes is not None:
        strong = other_class(data)[1] & (data.votes.max(axis=1) >= STRONG_VOTES)
        for index in np.flatnonzero(strong):
            reasons.setdefault(int(index), OTHER_CLASS_REASON)
    return LeaveOut(
        data.digest,
        tuple(
            LeftOut(
                str(data.origins[index]), _TRAINING, EMOTIONS[data.labels[index]], reasons[index]
            )
            for index in sorted(reasons)
            if training[index]
        ),
    )


def _reasons_of_group(data: Dataset, group: tuple[int, ...]) -> dict[int, str]:
    """Why which training images of a group of equal ones should go."""
    inside = [index for index in group if data.splits[index] == _TRAINING]
    outside = [index for index in group if data.splits[index] != _TRAINING]
    if outside:
        reason = f"equals {data.splits[outside[0]]} row {data.origins[outside[0]]}"
        return dict.fromkeys(inside, reason)
    if len({int(data.labels[index]) for index in inside}) > 1:
        return dict.fromkeys(inside, CONFLICT_REASON)
    return dict.fromkeys(inside[1:], f"duplicate of training row {data.origins[inside[0]]}")


def write_leave_out(path: Path, found: LeaveOut, *, overwrite: bool = False) -> None:
    """Write a list, whole or not at all.

    Raises:
        DataError: The file is there already, or cannot be written.
    """
    if path.exists() and not overwrite:
        raise DataError(f"{path} is there already; --overwrite replaces it.")
    text = io.StringIO()
    rows = [(row.origin, row.split, row.label, row.reason) for row in found.rows]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerow((_DATA_ROW, "", "", _DIGEST_PREFIX + found.data_sha256))
    writer.writerows(rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(text.getvalue(), encoding="utf-8")
    except OSError as exc:
        raise DataError(f"Cannot write {path}: {exc.strerror}.") from exc


def read_leave_out(path: Path) -> LeaveOut:
    """Read a list that :func:`write_leave_out` or a person wrote.

    Raises:
        DataError: It cannot be read, or is no such list; a bad row is named.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path} is too large for a list of images to leave out.")
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(file, strict=True))
    except OSError as exc:
        raise DataError(f"Cannot read the list {path}: {exc.strerror}.") from exc
    except (ValueError, csv.Error) as exc:
        raise DataError(f"{path} is no list of images to leave out: {exc}.") from exc
    if not lines or tuple(lines[0]) != HEADER:
        raise DataError(
            f"{path} is no list of images to leave out: expected the header {','.join(HEADER)}, "
            f"got {','.join(lines[0] if lines else [])[:80]!r}. `fer-edge dataset explore --clean` "
            f"writes one."
        )
    digests: list[str] = []
    rows: dict[str, LeftOut] = {}
    for number, line in enumerate(lines[1:], start=1):
        if not line:
            continue
        where = f"{path}, row {number}"
        if len(line) != len(HEADER):
            raise DataError(f"{where}: expected {len(HEADER)} columns, got {len(line)}.")
        row = LeftOut(*line)
        if row.origin == _DATA_ROW and not row.split:
            digests.append(row.reason)
            continue
        if row.label not in EMOTIONS:
            raise DataError(f"{where}: unknown class {row.label!r}; valid: {', '.join(EMOTIONS)}.")
        if not row.origin or not row.reason:
            raise DataError(f"{where}: expected an origin and a reason.")
        if row.origin in rows:
            raise DataError(f"{where}: {row.origin} is listed twice.")
        rows[row.origin] = row
    if len(digests) != 1 or not digests[0].startswith(_DIGEST_PREFIX):
        raise DataError(
            f"{path} does not say which data it is for: expected one row "
            f"{_DATA_ROW},,,{_DIGEST_PREFIX}<digest>, got {len(digests)}."
        )
    return LeaveOut(digests[0].removeprefix(_DIGEST_PREFIX), tuple(rows.values()))


def leave_out(data: Dataset, chosen: LeaveOut) -> Dataset:
    """The data without the images of a list.

    Apply it before a validation split is carved out of Training.

    Raises:
        DataError: The list is for other data, names an image that is not there or not in Training,
            or would leave no training image, or none of a class.
    """
    if chosen.data_sha256 != data.digest:
        raise DataError(
            f"The list of images to leave out is for data with the SHA-256 "
            f"{chosen.data_sha256[:16]}…, {data.name} has {data.digest[:16]}…. Make one for it: "
            f"`fer-edge dataset explore --data … --out … --clean FILE`."
        )
    places = {origin: index for index, origin in enumerate(data.origins.tolist())}
    unknown = [row.origin for row in chosen.rows if row.origin not in places]
    if unknown:
        raise DataError(
            f"The list of images to leave out names {len(unknown)} that {data.name} does not have: "
            f"{', '.join(unknown[:10])}{', …' if len(unknown) > 10 else ''}."
        )
    for row in chosen.rows:
        index = places[row.origin]
        split, label = str(data.splits[index]), EMOTIONS[data.labels[index]]
        if (split, label) != (row.split, row.label):
            raise DataError(
                f"The list of images to leave out calls {row.origin} {row.split}/{row.label}; in "
                f"{data.name} it is {split}/{label}."
            )
        if split != _TRAINING:
            raise DataError(
                f"The list of images to leave out names {row.origin} of {split}. Only Training "
                f"may be cleaned: figures on a changed {split} compare with nobody's."
            )
    kept = np.ones(len(data), dtype=bool)
    kept[[places[row.origin] for row in chosen.rows]] = False
    before = set(data.labels[data.splits == _TRAINING].tolist())
    after = set(data.labels[kept & (data.splits == _TRAINING)].tolist())
    if before - after:
        lost = ", ".join(EMOTIONS[label] for label in sorted(before - after))
        raise DataError(f"The list of images to leave out empties these classes: {lost}.")
    return data.take(kept)
