"""Shrinking a picture for a detector, and bringing what it found back to the picture's pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..records import Box, Image


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A picture as a detector sees it.

    Attributes:
        picture: uint8, ``(height, width)`` or ``(height, width, 3)``, perhaps with padding to the
            right and at the bottom.
        per_x: Pixels of the original for one of the shrunk picture, across.
        per_y: The same, down. The two differ by the rounding to whole pixels.
    """

    picture: Image
    per_x: float
    per_y: float

    def box(self, x: float, y: float, w: float, h: float) -> Box:
        """A box of the shrunk picture in pixels of the original."""
        return Box(x * self.per_x, y * self.per_y, w * self.per_x, h * self.per_y)

    def points(self, points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
        """Points of the shrunk picture in pixels of the original."""
        return tuple((x * self.per_x, y * self.per_y) for x, y in points)


def shrunk_size(size_wh: tuple[int, int], limit_wh: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same shape that fits into a limit; never more than it is."""
    factor = max(1.0, size_wh[0] / limit_wh[0], size_wh[1] / limit_wh[1])
    # At least a pixel, because a thin strip would vanish.
    return max(1, round(size_wh[0] / factor)), max(1, round(size_wh[1] / factor))


def shrink(picture: Image, limit_wh: tuple[int, int]) -> Shrunk:
    """Shrink a picture so that it fits into a size; one that does stays as it is.

    Args:
        picture: uint8, ``(height, width)`` or ``(height, width, 3)``.
        limit_wh: Width and height in pixels.
    """
    height, width = picture.shape[:2]
    size_wh = shrunk_size((width, height), limit_wh)
    if size_wh != (width, height):
        # Area averaging: linear would skip pixels, and small faces need every one of them.
        picture = np.asarray(
            cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    return Shrunk(picture, width / size_wh[0], height / size_wh[1])


def letterbox(picture: Image, size_wh: tuple[int, int]) -> Shrunk:
    """Shrink a picture as :func:`shrink` does and pad it with black to exactly that size.

    It stays in the upper left corner, so that its own pixels keep their numbers.

    Args:
        picture: uint8, ``(height, width)`` or ``(height, width, 3)``.
        size_wh: Width and height in pixels.
    """
    small = shrink(picture, size_wh)
    height, width = small.picture.shape[:2]
    below, right = size_wh[1] - height, size_wh[0] - width
    if not below and not right:
        return small
    padded = cv2.copyMakeBorder(small.picture, 0, below, 0, right, cv2.BORDER_CONSTANT)
    return replace(small, picture=np.asarray(padded, dtype=np.uint8))
