"""What a conversion cost a detector: Keras and the converted model on the same labelled images."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.detectors.fer_face import FerFaceDetector
from ..edge.errors import DataError
from ..training import pages
from ..training.detector.found import LOWEST_SCORE, found_by_detector, found_by_network
from ..training.detector.scenes import Scenes, read_scenes
from ..training.detector.score import Rules, Score, score
from .detector import ConvertedDetector
from .source import Source

_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Judged:
    """One converted detector beside the Keras model.

    Attributes:
        data: Name of the file of images.
        keras: What the Keras model reached at the same size.
        found: What this one did.
        max_loss: Points (hundredths) of average precision that it may lose.
        mean_ms: Of one detection on this machine with one thread, shrinking included.
    """

    data: str
    keras: Score
    found: Score
    max_loss: float
    mean_ms: float

    @property
    def loss(self) -> float:
        """Points of average precision lost; below 0 it gained."""
        return 100 * (self.keras.average_precision - self.found.average_precision)

    @property
    def passed(self) -> bool:
        """Whether the loss is within the limit."""
        return self.loss <= self.max_loss + 1e-9

    def metrics(self, kind: str) -> list[dict[str, Any]]:
        """Its figures for the contract.

        Args:
            kind: Of the model, such as ``int8``.
        """
        common = {"split": self.data, "count": self.found.faces, "images": self.found.images}
        common |= {"iou": _RULES.iou, "min_px": _RULES.min_px, "of": kind}
        figures = {
            "average_precision": self.found.average_precision,
            "recall_at_0.1_false_an_image": self.found.recall,
        }
        return [
            {"name": name, "value": round(value, 4), **common} for name, value in figures.items()
        ]

    def __str__(self) -> str:
        return (
            f"on {self.found.faces} faces in {self.found.images} images of {self.data}: average "
            f"precision {self.found.average_precision:.3f} (Keras "
            f"{self.keras.average_precision:.3f}, lost {self.loss:.1f} points), recall at 0.1 "
            f"false boxes an image {self.found.recall:.3f}, {self.mean_ms:.1f} ms an image here"
        )


def load_images(path: Path, *, skip_bad: bool = False) -> Scenes:
    """Read labelled images: JSON lines as ``fer-edge train-detector`` reads them.

    Raises:
        DataError: They cannot be read, or no face in them counts.
    """
    images = read_scenes(path, skip_bad=skip_bad)
    if not score([np.empty((0, 5), np.float32)] * len(images.scenes), images.scenes, _RULES).faces:
        raise DataError(
            f"{path} has no face to measure on: expected boxes of {_RULES.min_px:g} pixels or more "
            f"that are not of masked faces."
        )
    return images


def judge(source: Source, model: ConvertedDetector, images: Scenes, *, max_loss: float) -> Judged:
    """Measure a converted detector and the Keras model on labelled images.

    Args:
        source: The Keras model at the size of the converted one.
        model: The converted one.
        images: With their boxes.
        max_loss: Points of average precision that it may lose.

    Raises:
        ModelError: One of them cannot be run.
    """
    contract = dataclasses.replace(model.contract, score_threshold=LOWEST_SCORE)
    detector = FerFaceDetector(model.content, contract)
    expected = found_by_network(source.model, images.scenes, size_wh=contract.input_size_wh)
    began = time.perf_counter()
    found = found_by_detector(detector, images.scenes)
    took_ms = 1000 * (time.perf_counter() - began)
    return Judged(
        images.path.name,
        score(expected, images.scenes, _RULES),
        score(found, images.scenes, _RULES),
        max_loss,
        took_ms / len(images.scenes),
    )


def measured(judged: Mapping[Path, Judged]) -> pages.Section:
    """The figures as a section of the report, a row for each file."""
    rows = [
        [
            path.name,
            f"{one.keras.average_precision:.3f}",
            f"{one.found.average_precision:.3f}",
            f"{one.loss:.1f}",
            f"{one.found.recall:.3f}",
            f"{one.mean_ms:.1f}",
            "passed" if one.passed else "refused",
        ]
        for path, one in judged.items()
    ]
    some = next(iter(judged.values()))
    columns = (
        "model",
        "average precision, Keras",
        "this one",
        "lost, points",
        "recall at 0.1 false boxes an image",
        "ms an image",
        f"limit {some.max_loss:g}",
    )
    text = (
        f"{some.data}, {some.found.images} images with {some.found.faces} faces of "
        f"{_RULES.min_px:g} pixels or more that are not masked; found is a face at an intersection "
        f"over union of {_RULES.iou:g}. Milliseconds are of this machine with one thread, at this "
        f"moment."
    )
    return pages.Section("Average precision", [text], [pages.Table(columns, rows)])
