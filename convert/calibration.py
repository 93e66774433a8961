"""The real faces that int8 ranges are taken from, and others that the result is checked on."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DataError
from ..edge.records import Image
from ..training import datasets

# 504 faces, 72 a class, gave no less than more did; 28 a class stay to check on.
_CALIBRATE_PER_CLASS = 72
_FROM_DATA_PER_CLASS = 100
_SEED = 1


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Two sets of faces that share none.

    Attributes:
        source: What they were taken from.
        sha256: Digest of that file, or of the data set.
        per_class: How many of each class are for the ranges, where there are so many.
        seed: Of the choice.
        calibrate: uint8, ``(n, 48, 48)``: for the ranges.
        check: uint8, ``(m, 48, 48)``: to compare the converted model on.
    """

    source: str
    sha256: str
    per_class: int
    seed: int
    calibrate: Image
    check: Image

    def describe(self) -> dict[str, Any]:
        """What the contract of a model says about the faces of its ranges."""
        return {
            "source": self.source,
            "sha256": self.sha256,
            "count": len(self.calibrate),
            "per_class": self.per_class,
            "seed": self.seed,
        }


def faces_beside(keras_path: Path) -> Path:
    """Where training leaves the faces of a model: ``model.keras`` -> ``model.calibration.npz``."""
    return keras_path.with_suffix(".calibration.npz")


def load_calibration(source: Path) -> Calibration:
    """Read faces from an ``.npz`` that training left, or from FER-2013 in any of its shapes.

    Raises:
        DataError: There is nothing there, or it holds no such faces, or too few.
    """
    if source.suffix == ".npz":
        images, labels = _read_npz(source)
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
    else:
        data = datasets.load(source)
        training = data.split("Training")
        rows = datasets.balanced_indices(
            training.labels, per_class=_FROM_DATA_PER_CLASS, seed=_SEED
        )
        images, labels, digest = training.images[rows], training.labels[rows], data.digest
    chosen = datasets.balanced_indices(labels, per_class=_CALIBRATE_PER_CLASS, seed=_SEED)
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    if len(rest) < len(datasets.EMOTIONS):
        raise DataError(
            f"{source} has {len(labels)} faces: expected over {_CALIBRATE_PER_CLASS} of a class, "
            f"so that some are left to check the converted model on."
        )
    return Calibration(
        source.name, digest, _CALIBRATE_PER_CLASS, _SEED, images[chosen], images[rest]
    )


def _read_npz(source: Path) -> tuple[Image, NDArray[np.int64]]:
    try:
        # From memory: NumPy leaves a damaged file open.
        file = np.load(io.BytesIO(source.read_bytes()), allow_pickle=False)
        images, labels = file["images"], file["labels"]
    except FileNotFoundError as exc:
        raise DataError(
            f"There are no calibration faces at {source}, where training leaves them. Name others "
            f"with --calibrate: an .npz of that kind, or FER-2013."
        ) from exc
    # Damage surfaces as whatever zipfile, zlib or NumPy's header parser trips over.
    except Exception as exc:
        raise DataError(f"{source} holds no calibration faces: {exc}.") from exc
    side = datasets.SIDE_PX
    if images.dtype != np.uint8 or images.shape[1:] != (side, side) or len(images) != len(labels):
        raise DataError(
            f"{source}: expected uint8 images of (n, {side}, {side}) and n labels, got "
            f"{images.dtype} of {images.shape} and {len(labels)}."
        )
    return images, labels.astype(np.int64)
