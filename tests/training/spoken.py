"""Models whose answer is written into the image: their logits are its first seven pixels."""

from pathlib import Path

import numpy as np
import pytest

from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.sidecar import write_sidecar
from fer_edge.training.datasets import Dataset

from ..conftest import a_contract, tiny_tflite, write_csv

NAMED, TRUTH = [0, 1, 2, 3, 4, 5, 6, 3, 3, 0], [0, 1, 2, 3, 4, 5, 6, 0, 4, 6]

#: Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
H5PY_WARNING = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def faces_that_say(named: list[int], truth: list[int], split: str = "PublicTest") -> Dataset:
    """A data set whose images make the models below answer with these classes.

    Each image has a number of its own in its last row, so that no two are equal.
    """
    images = np.zeros((len(named), 48, 48), np.uint8)
    images[np.arange(len(named)), 0, named] = 200
    images[:, 47, 20] = np.arange(len(named)) + 1
    return Dataset(
        name="spoken",
        digest="d" * 64,
        images=images,
        labels=np.array(truth, dtype=np.int64),
        splits=np.array([split] * len(truth)),
        origins=np.array([str(n + 1) for n in range(len(truth))]),
        votes=None,
        skipped=0,
    )


def write_spoken_csv(path: Path, *parts: Dataset) -> Path:
    """A fer2013.csv with the images of these data sets, one after the other."""
    rows = [
        [str(label), " ".join(map(str, image.ravel())), str(split)]
        for part in parts
        for image, label, split in zip(part.images, part.labels, part.splits, strict=True)
    ]
    return write_csv(path, rows)


def a_tflite(folder: Path, **changes) -> Path:
    """A model whose logits are the first seven pixels."""
    path = folder / "spoken.tflite"
    path.write_bytes(embed_contract(tiny_tflite(), a_contract(**changes)))
    return path


def a_keras(folder: Path, *, side: int = 48, **changes) -> Path:
    """The same as a Keras model."""
    keras = pytest.importorskip("keras", reason="needs the extra [train]")
    pixels = keras.Input((side, side, 1))
    row = keras.layers.Cropping2D(((0, side - 1), (0, side - 7)))(pixels)
    path = folder / "spoken.keras"
    keras.Model(pixels, keras.layers.Reshape((7,))(row)).save(path)
    write_sidecar(path, a_contract(**changes))
    return path


both_kinds = pytest.mark.parametrize("make", [a_tflite, a_keras])
