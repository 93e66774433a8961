"""What a set of labelled faces is made of, and what is wrong with it. Pure; knows no TensorFlow.

:func:`explore` computes everything; drawing and writing are done in :mod:`.explore_plots` and
:mod:`.explore_page`.
"""

import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..edge.records import Image
from .datasets import EMOTIONS, SIDE_PX, Dataset
from .duplicates import NEAR_CORRELATION, equal_groups, near_pairs
from .ferplus import ANSWER_EMOTIONS, ANSWER_NAMES, NOT_A_FACE, VOTE_NAMES, vote_answers

#: Of the document that :meth:`Exploration.to_dict` gives; raised when a field changes its meaning.
SCHEMA_VERSION = 1
#: Of ten taggers: so many that agree are a strong majority.
STRONG_VOTES = 8

# An image whose grey values spread less than this (standard deviation) shows nothing.
BLANK_SPREAD = 2.0
# Text and signs on a plain ground: in FER-2013 28 images have so large a share of their pixels
# within so many neighbouring grey levels, "image removed" all of them. Fainter limits find faces on
# white or black ground; contrast would find dark skin and soft light before any sign.
NEAR_BLANK_SHARE, NEAR_BLANK_LEVELS = 0.75, 9
_PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True, slots=True)
class SplitClasses:
    """How many images of each class a split has, in the order of the classes."""

    split: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """All images of the split."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Pixels:
    """What the images are made of.

    Attributes:
        shape: Height and width of every image; the reader refuses any other.
        dtype: Of the arrays.
        darkest: The lowest grey value of all, 0 to 255.
        brightest: The highest.
        files: How many files of which kind the images came from; empty for a csv.
    """

    shape: tuple[int, int]
    dtype: str
    darkest: int
    brightest: int
    files: dict[str, int]


@dataclass(frozen=True, slots=True)
class Spread:
    """How one figure is distributed over the images of a split and class.

    Attributes:
        split: The split.
        label: The class, or "" for all of the split.
        images: How many there are.
        brightness: Percentiles 5, 25, 50, 75, 95 of the mean grey value of an image, 0 to 255.
        contrast: The same of the standard deviation of its grey values.
    """

    split: str
    label: str
    images: int
    brightness: tuple[float, ...]
    contrast: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Blank:
    """An image that shows nothing (``blank``) or next to nothing (``near-blank``)."""

    index: int
    kind: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many images of ``split`` have a copy (another image, equal or nearly) in ``other``."""

    split: str
    other: str
    equal: int
    near: int


@dataclass(frozen=True, slots=True)
class Copies:
    """Images that occur more than once. Positions are those in the data set.

    Attributes:
        groups: Positions of images that are equal pixel for pixel, a tuple a group.
        conflicts: Those groups whose images carry more than one label.
        pairs: ``(first, second, correlation)`` of images that are nearly the same; of a group only
            the first is named.
        overlaps: Counts by splits.
    """

    groups: tuple[tuple[int, ...], ...]
    conflicts: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, int, float], ...]
    overlaps: tuple[Overlap, ...]

    @property
    def surplus(self) -> int:
        """How many images could go without losing a picture."""
        return sum(len(group) - 1 for group in self.groups)


@dataclass(frozen=True, slots=True)
class Votes:
    """What the ten taggers of FER+ say to the labels of one split, or of all.

    Attributes:
        split: The split, or "" for all.
        counts: ``counts[label][answer]``: images of a class by the answer with most votes, in the
            order of :data:`VOTE_NAMES`, then ties, then images without votes.
        judged: Images with one answer ahead, and that one of the seven classes.
        differ: How many of those have another class than their label.
        strong: How many of those with at least :data:`STRONG_VOTES` of ten votes.
        not_a_face: Images that most taggers call no face.
    """

    split: str
    counts: tuple[tuple[int, ...], ...]
    judged: int
    differ: int
    strong: int
    not_a_face: int


@dataclass(frozen=True, slots=True)
class Exploration:
    """All that :func:`explore` finds; positions are those in the data set that it was given."""

    name: str
    sha256: str
    images: int
    skipped: int
    splits: tuple[SplitClasses, ...]
    pixels: Pixels
    spreads: tuple[Spread, ...]
    blanks: tuple[Blank, ...]
    copies: Copies
    votes: tuple[Votes, ...]

    def to_dict(self, data: Dataset) -> dict[str, Any]:
        """The exploration as plain JSON values; images are named by their origin in ``data``."""
        names = data.origins.tolist()
        document = asdict(self)
        for blank in document["blanks"]:
            blank["origin"] = names[blank.pop("index")]
        copies = document["copies"]
        for key in ("groups", "conflicts"):
            copies[key] = [[names[index] for index in group] for group in copies[key]]
        copies["pairs"] = [[names[a], names[b], value] for a, b, value in copies["pairs"]]
        return {
            "schema_version": SCHEMA_VERSION,
            "labels": list(EMOTIONS),
            "vote_names": list(ANSWER_NAMES),
            "percentiles": list(_PERCENTILES),
            "limits": {
                "blank_spread": BLANK_SPREAD,
                "near_blank_share": NEAR_BLANK_SHARE,
                "near_blank_levels": NEAR_BLANK_LEVELS,
                "near_correlation": NEAR_CORRELATION,
                "strong_votes": STRONG_VOTES,
            },
            **document,
        }


def explore(data: Dataset, source: Path | None = None) -> Exploration:
    """Look at everything that can be counted.

    Args:
        data: Labelled images, with FER+ votes or without.
        source: The folder or zip they were read from, to look at the channels of its files.
    """
    present = tuple(data.counts())
    return Exploration(
        name=data.name,
        sha256=data.digest,
        images=len(data),
        skipped=data.skipped,
        splits=tuple(SplitClasses(split, _class_counts(data, split)) for split in present),
        pixels=Pixels(
            shape=(SIDE_PX, SIDE_PX),
            dtype=str(data.images.dtype),
            darkest=int(data.images.min()),
            brightest=int(data.images.max()),
            files=_file_kinds(source, data.origins.tolist()) if source else {},
        ),
        spreads=_spreads(data, present),
        blanks=find_blanks(data.images),
        copies=_copies(data, present),
        votes=() if data.votes is None else _votes(data, present),
    )


def mean_faces(data: Dataset) -> NDArray[np.float64]:
    """The mean image of each class.

    Returns:
        float64, ``(7, 48, 48)``, 0 to 255; NaN for a class without images.
    """
    faces = np.full((len(EMOTIONS), SIDE_PX, SIDE_PX), np.nan)
    for label in np.unique(data.labels):
        faces[label] = data.images[data.labels == label].mean(axis=0)
    return faces


def find_blanks(images: Image) -> tuple[Blank, ...]:
    """Images that show nothing, or only text or a sign on a plain ground.

    Args:
        images: uint8, ``(n, h, w)``.
    """
    found = []
    for index, image in enumerate(images):
        levels = np.bincount(image.ravel(), minlength=256)
        if image.std() < BLANK_SPREAD:
            found.append(Blank(index, "blank"))
            continue
        below = np.concatenate([[0], levels.cumsum()])
        most = (below[NEAR_BLANK_LEVELS:] - below[:-NEAR_BLANK_LEVELS]).max()
        if most >= NEAR_BLANK_SHARE * image.size:
            found.append(Blank(index, "near-blank"))
    return tuple(found)


def other_class(data: Dataset) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images FER+ judges (one of the seven classes ahead), and which it puts elsewhere.

    Returns:
        Two masks, ``(n,)``. Without votes both are false throughout.
    """
    if data.votes is None:
        return np.zeros(len(data), dtype=bool), np.zeros(len(data), dtype=bool)
    classes = ANSWER_EMOTIONS[vote_answers(data.votes)]
    return classes >= 0, (classes >= 0) & (classes != data.labels)


def _class_counts(data: Dataset, split: str) -> tuple[int, ...]:
    labels = data.labels[data.splits == split]
    return tuple(int(n) for n in np.bincount(labels, minlength=len(EMOTIONS)))


def _spreads(data: Dataset, splits: Sequence[str]) -> tuple[Spread, ...]:
    flat = data.images.reshape(len(data), -1)
    brightness, contrast = flat.mean(axis=1), flat.std(axis=1)
    found = []
    for split in splits:
        for label in ("", *EMOTIONS):
            chosen = data.splits == split
            if label:
                chosen = chosen & (data.labels == EMOTIONS.index(label))
            if chosen.any():
                figures = (
                    tuple(round(float(v), 2) for v in np.percentile(values[chosen], _PERCENTILES))
                    for values in (brightness, contrast)
                )
                found.append(Spread(split, label, int(chosen.sum()), *figures))
    return tuple(found)


def _copies(data: Dataset, splits: Sequence[str]) -> Copies:
    groups = equal_groups(data.images)
    pairs = near_pairs(data.images)
    # For every image the splits in which another image is equal to it, or nearly.
    equal: dict[int, set[str]] = {}
    near: dict[int, set[str]] = {}
    names = data.splits.tolist()
    for group in groups:
        there = Counter(names[index] for index in group)
        for index in group:
            own = names[index]
            equal[index] = {split for split in there if split != own or there[split] > 1}
    group_of = {group[0]: group for group in groups}
    for pair in pairs:
        first, second = (group_of.get(p, (p,)) for p in (pair.first, pair.second))
        for some, others in ((first, second), (second, first)):
            for index in some:
                near.setdefault(index, set()).update(names[other] for other in others)
    overlaps = [
        Overlap(
            split,
            other,
            sum(other in found for index, found in equal.items() if names[index] == split),
            sum(other in found for index, found in near.items() if names[index] == split),
        )
        for split in splits
        for other in splits
    ]
    labels = data.labels.tolist()
    return Copies(
        groups=groups,
        conflicts=tuple(g for g in groups if len({labels[index] for index in g}) > 1),
        pairs=tuple((pair.first, pair.second, pair.correlation) for pair in pairs),
        overlaps=tuple(overlaps),
    )


def _votes(data: Dataset, splits: Sequence[str]) -> tuple[Votes, ...]:
    votes = np.zeros((len(data), len(VOTE_NAMES)), np.int64) if data.votes is None else data.votes
    answers, strongest = vote_answers(votes), votes.max(axis=1)
    judged, differ = other_class(data)
    found = []
    for split in ("", *splits):
        chosen = (data.splits == split) if split else np.ones(len(data), dtype=bool)
        counts = np.zeros((len(EMOTIONS), len(ANSWER_NAMES)), dtype=int)
        np.add.at(counts, (data.labels[chosen], answers[chosen]), 1)
        found.append(
            Votes(
                split=split,
                counts=tuple(tuple(int(n) for n in row) for row in counts),
                judged=int((chosen & judged).sum()),
                differ=int((chosen & differ).sum()),
                strong=int((chosen & differ & (strongest >= STRONG_VOTES)).sum()),
                not_a_face=int((chosen & (answers == NOT_A_FACE)).sum()),
            )
        )
    return tuple(found)


def _file_kinds(source: Path, names: list[str]) -> dict[str, int]:
    """The kinds of files behind the images (``grey``, ``colour``, …), the most frequent first.

    The reader turns all of them to grey; here they are decoded as they are.
    """
    kinds: Counter[str] = Counter()
    if source.is_dir():
        kinds.update(_file_kind((source / name).read_bytes()) for name in names)
    elif zipfile.is_zipfile(source) and not all(name.isdigit() for name in names):
        with zipfile.ZipFile(source) as archive:
            kinds.update(_file_kind(archive.read(name)) for name in names)
    return dict(kinds.most_common())


def _file_kind(content: bytes) -> str:
    image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        return "unreadable"
    depth = "" if image.dtype == np.uint8 else f", {image.dtype}"
    if image.ndim == 2:
        return f"grey{depth}"
    if image.shape[2] == 4:
        return f"colour with transparency{depth}"
    same = (image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all()
    return f"{'grey stored as colour' if same else 'colour'}{depth}"
