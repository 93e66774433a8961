"""Accuracy by what a picture is like: how bright, how rich in contrast, how sharp.

The data says nothing of who is shown, where, or how large a face was before it became 48 pixels
wide; what can be measured in the pixels is all that accuracy can be told apart by.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..edge.records import Image
from .metrics import Share, share_of

#: Groups a property, each with as many images as the others.
PARTS = 4


@dataclass(frozen=True, slots=True)
class Group:
    """Images that are alike in one property.

    Attributes:
        low: Smallest value among them.
        high: Largest.
        accuracy: Of the model on them.
    """

    low: float
    high: float
    accuracy: Share


@dataclass(frozen=True, slots=True)
class Grouping:
    """All images parted by one property, the lowest group first.

    Attributes:
        name: Of the property.
        unit: Of its values.
        groups: At most :data:`PARTS`; fewer where there are fewer different values.
    """

    name: str
    unit: str
    groups: tuple[Group, ...]


def _sharpness(images: Image) -> NDArray[np.float64]:
    """Standard deviation of the Laplacian: low where a face was small, or out of focus.

    The measure of focus of J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy: a comparative study", ICPR 2000, as its root, divided by the contrast of the
    picture, so that a dark picture does not count as a blurred one.
    """
    spread = np.array([cv2.Laplacian(image, cv2.CV_64F).std() for image in images])
    return spread / np.maximum(_contrast(images), 1.0)


def _brightness(images: Image) -> NDArray[np.float64]:
    return images.reshape(len(images), -1).mean(axis=1, dtype=np.float64)


def _contrast(images: Image) -> NDArray[np.float64]:
    return images.reshape(len(images), -1).std(axis=1, dtype=np.float64)


_PROPERTIES: dict[str, tuple[str, Callable[[Image], NDArray[np.float64]]]] = {
    "brightness": ("mean grey value", _brightness),
    "contrast": ("standard deviation of the grey values", _contrast),
    "sharpness": ("Laplacian over contrast", _sharpness),
}


def by_picture(images: Image, right: NDArray[np.bool_]) -> tuple[Grouping, ...]:
    """Accuracy in fourths of the images by brightness, contrast and sharpness.

    Args:
        images: uint8, ``(n, height, width)``, at least one.
        right: bool, ``(n,)``: whether each was named right.
    """
    made = []
    for name, (unit, measure) in _PROPERTIES.items():
        values = measure(images)
        # Equal values stay together: what is alike is not told apart.
        edges = np.unique(np.quantile(values, np.arange(1, PARTS) / PARTS))
        place = np.digitize(values, edges, right=True)
        groups = []
        for part in range(len(edges) + 1):
            inside = place == part
            accuracy = share_of(right[inside])
            if accuracy is not None:
                among = values[inside]
                groups.append(Group(float(among.min()), float(among.max()), accuracy))
        made.append(Grouping(name, unit, tuple(groups)))
    return tuple(made)
