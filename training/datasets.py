"""FER-2013 in every shape that its users hold, as arrays.

* Kaggle's ``fer2013.csv`` (``emotion,pixels,Usage``), plain, ``.gz``, ``.xz`` or inside a ``.zip``.
* Folders ``train/<class>/*.jpg`` and ``test/<class>/*.jpg``, on disk or inside a ``.zip``.

Also the FER+ votes (``fer2013new.csv``), joined to the rows of a csv by their order. Knows no
TensorFlow. What is read once is kept in the user's cache directory, keyed by the source's digest.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DataError
from ..edge.records import Image
from . import dataset_cache
from .dataset_readers import (
    EMOTIONS,
    SIDE_PX,
    SPLITS,
    BadRow,
    RawRows,
    read_csv,
    read_ferplus,
    read_images,
)

__all__ = ["EMOTIONS", "SIDE_PX", "SPLITS", "Dataset", "balanced_indices", "load"]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images of faces with their labels.

    Attributes:
        name: What the source is called (its file name).
        digest: SHA-256 of the source, 64 hexadecimal digits.
        images: uint8, ``(n, 48, 48)``, grey.
        labels: int64, ``(n,)``, index into :data:`EMOTIONS`.
        splits: str, ``(n,)``, each one of :data:`SPLITS` (or ``Validation`` after :meth:`carved`).
        origins: str, ``(n,)``: the row number of a csv (from 1, without its header) or a file name.
        votes: FER+ votes, int64, ``(n, 10)`` in the order of ``fer2013new.csv``, or None.
        skipped: How many rows were bad and left out.
    """

    name: str
    digest: str
    images: Image
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    origins: NDArray[np.str_]
    votes: NDArray[np.int64] | None
    skipped: int

    def __len__(self) -> int:
        return len(self.labels)

    def counts(self) -> dict[str, int]:
        """How many images each split has, in a fixed order, splits without images left out."""
        found = Counter(self.splits.tolist())
        return {split: found[split] for split in (*SPLITS, "Validation") if split in found}

    def take(self, indices: NDArray[np.int64] | NDArray[np.bool_]) -> "Dataset":
        """The images at these indices (or where this mask is true), in that order."""
        return replace(
            self,
            images=self.images[indices],
            labels=self.labels[indices],
            splits=self.splits[indices],
            origins=self.origins[indices],
            votes=None if self.votes is None else self.votes[indices],
        )

    def split(self, name: str) -> "Dataset":
        """The images of one split.

        Raises:
            DataError: There is none; the message says which splits have images.
        """
        chosen = self.splits == name
        if not chosen.any():
            there = ", ".join(f"{split} ({count})" for split, count in self.counts().items())
            raise DataError(f"{self.name} has no split {name!r}; it has {there}.")
        return self.take(chosen)

    def carved(self, *, seed: int, fraction: float = 0.1) -> "Dataset":
        """Return the same data with a stratified part of Training renamed ``Validation``.

        For sources without a PublicTest split. The choice depends on ``seed`` and the data alone.
        """
        splits = self.splits.astype("<U16")
        generator = np.random.default_rng(seed)
        for label in range(len(EMOTIONS)):
            rows = np.flatnonzero((self.splits == "Training") & (self.labels == label))
            if len(rows) >= 2:
                count = max(1, round(len(rows) * fraction))
                splits[generator.permutation(rows)[:count]] = "Validation"
        return replace(self, splits=splits)

    def sampled(self, fraction: float, *, seed: int) -> "Dataset":
        """A stratified part of the images, in their order; at least one of each class there is."""
        generator = np.random.default_rng(seed)
        chosen = []
        for label in range(len(EMOTIONS)):
            rows = np.flatnonzero(self.labels == label)
            count = min(len(rows), max(1, round(len(rows) * fraction)))
            chosen.append(generator.permutation(rows)[:count])
        return self.take(np.sort(np.concatenate(chosen)))

    def with_validation(self, *, seed: int) -> tuple["Dataset", str]:
        """The data and the name of the split to choose on: PublicTest, or one that is carved.

        ``Test`` and ``PrivateTest`` are never that split.
        """
        if (self.splits == "PublicTest").any():
            return self, "PublicTest"
        return self.carved(seed=seed), "Validation"


def balanced_indices(labels: NDArray[np.int64], *, per_class: int, seed: int) -> NDArray[np.int64]:
    """Choose the same number of images of each class, or all where a class has fewer.

    Returns:
        int64 indices, sorted; the same for the same labels and seed.
    """
    generator = np.random.default_rng(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:per_class]
        for label in range(len(EMOTIONS))
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def load(
    source: Path,
    *,
    votes: Path | None = None,
    skip_bad: bool = False,
    cache: Path | bool | None = None,
) -> Dataset:
    """Read FER-2013 from a csv (``.gz``, ``.xz``, ``.zip``) or a folder of images.

    Args:
        source: The file or folder.
        votes: FER+'s ``fer2013new.csv``, for a csv source.
        skip_bad: Leave bad rows out and count them, instead of refusing the whole.
        cache: Folder of the cache; None is the user's own, False none at all.

    Raises:
        DataError: The source is missing or of no known shape, or holds bad rows: each is named with
            its file and row.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(
            f"There is no data at {source}. Expected fer2013.csv (also .gz, .xz, .zip) or a folder "
            f"with train/<class> and test/<class>."
        )
    digest = dataset_cache.source_digest(source)
    key = dataset_cache.cache_key(digest, votes, skip_bad=skip_bad)
    folder = dataset_cache.cache_folder(cache)
    kept = dataset_cache.read(folder, key) if folder else None
    if kept is None:
        kept = _read(source, votes, skip_bad=skip_bad)
        if folder:
            dataset_cache.write(folder, key, kept)
    return Dataset(name=source.name, digest=digest, **kept)


def _read(source: Path, votes: Path | None, *, skip_bad: bool) -> dict:
    """Parse a source into the fields of a :class:`Dataset`, without name and digest."""
    rows = read_images(source) if _holds_images(source) else read_csv(source)
    if not rows.labels:
        _report_bad(source, [*rows.bad, BadRow("", "no image could be read")])
    joined = read_ferplus(votes, rows) if votes is not None else None
    bad = rows.bad + _empty_classes(rows)
    if bad and not skip_bad:
        _report_bad(source, bad)
    return {
        "images": np.stack(rows.images),
        "labels": np.array(rows.labels, dtype=np.int64),
        "splits": np.array(rows.splits),
        "origins": np.array(rows.origins),
        "votes": joined,
        "skipped": len(rows.bad),
    }


def _holds_images(source: Path) -> bool:
    from .dataset_readers import zip_holds_images

    return source.is_dir() or (source.suffix.lower() == ".zip" and zip_holds_images(source))


def _empty_classes(rows: RawRows) -> list[BadRow]:
    """Classes that no training image shows: a network could not learn them.

    Data without any training image is for evaluation, where a class may be absent.
    """
    found = {
        label for label, split in zip(rows.labels, rows.splits, strict=True) if split == "Training"
    }
    if not found:
        return []
    return [
        BadRow("split Training", f"class {name!r} is empty: no image shows it")
        for index, name in enumerate(EMOTIONS)
        if index not in found
    ]


def _report_bad(source: Path, bad: list[BadRow]) -> None:
    shown = 20
    lines = [f"  {source}{', ' if item.where else ''}{item.where}: {item.what}" for item in bad]
    if len(lines) > shown:
        lines[shown:] = [f"  … and {len(bad) - shown} more"]
    raise DataError(
        f"{len(bad)} bad rows in {source}; mend them, or go on without them with --skip-bad:\n"
        + "\n".join(lines)
    )
