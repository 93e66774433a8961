"""Following a face from one frame to the next without a detector: a small picture of it, searched.

The face as it was last detected is scaled to 24x24 pixels and searched for around its expected
place by normalised cross-correlation (OpenCV's ``TM_CCOEFF_NORMED``; J. P. Lewis, "Fast normalized
cross-correlation", Vision Interface 1995), with a parabola through the peak for the fraction of a
pixel. docs/tracking.md has what else was measured. Pure functions.

The picture is that of the last detection and not of the last frame: errors do not add up.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .records import Box, Image

_SIDE = 24
# Steps of a 24th of the face: it may be off by 0.4 of its size from where it is expected.
_REACH = 10
_WINDOW = _SIDE + 2 * _REACH
# A patch with less contrast (standard deviation in grey levels) matches anywhere.
_FLAT = 3.0
# Below so many pixels of the face inside of the picture there is nothing to compare.
_MIN_VISIBLE_PX = 4


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A face as it looked when it was detected.

    Attributes:
        image: uint8, ``(24, 24)`` grey: the box, whatever its shape, scaled to a square.
        offset_px: From the patch's corner, on whole pixels, to that of the box: ``(x, y)``.
    """

    image: Image
    offset_px: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Match:
    """Where a patch was found.

    Attributes:
        box: Of the size of the box that was expected.
        score: Normalised cross-correlation, -1 to 1; 1 is the patch itself.
    """

    box: Box
    score: float


def take_patch(grey: Image, box: Box) -> Patch | None:
    """Remember a face.

    Args:
        grey: uint8, ``(height, width)``.
        box: Where the face is, in pixels; it may reach over the border.

    Returns:
        None where nothing of it is in the picture or the place has no texture.
    """
    x, y, w, h = box.as_ints()
    image = _scaled(grey, (x, y, w, h), _SIDE)
    if image is None or _contrast(image) < _FLAT:
        return None
    return Patch(image, (box.x_px - x, box.y_px - y))


def find_patch(grey: Image, patch: Patch, expected: Box) -> Match | None:
    """Search for a face around the place where it is expected.

    Args:
        grey: uint8, ``(height, width)``.
        patch: The face.
        expected: Where it should be, in pixels, in the size that it has.

    Returns:
        The best place within 0.4 of the size in each direction, however bad; None where the place
        is outside of the picture.
    """
    step_x, step_y = expected.w_px / _SIDE, expected.h_px / _SIDE
    x, y = round(expected.x_px - _REACH * step_x), round(expected.y_px - _REACH * step_y)
    w, h = round(_WINDOW * step_x), round(_WINDOW * step_y)
    window = _scaled(grey, (x, y, w, h), _WINDOW)
    if window is None:
        return None
    scores = np.asarray(
        cv2.matchTemplate(window, patch.image, cv2.TM_CCOEFF_NORMED), dtype=np.float32
    )
    _, score, _, (column, row) = cv2.minMaxLoc(scores)
    # A window of one grey level has no correlation, which OpenCV answers with 1 or infinity.
    if not -1.0 <= score <= 1.0 + 1e-6 or _contrast(window) < _FLAT:
        score = 0.0
    found_x = x + (column + _peak(scores[row], column)) * w / _WINDOW
    found_y = y + (row + _peak(scores[:, column], row)) * h / _WINDOW
    dx, dy = patch.offset_px
    box = replace(expected, x_px=found_x + dx, y_px=found_y + dy)
    return Match(box, min(1.0, float(score)))


def _peak(line: NDArray[np.float32], at: int) -> float:
    """Where the parabola through a maximum and its neighbours has its top, -0.5 to 0.5."""
    if not 0 < at < len(line) - 1:
        return 0.0
    before, middle, after = (float(line[at + step]) for step in (-1, 0, 1))
    bend = before - 2 * middle + after
    return 0.5 * (before - after) / bend if bend < -1e-9 else 0.0


def _contrast(image: Image) -> float:
    """Standard deviation in grey levels."""
    _, deviation = cv2.meanStdDev(image)
    return float(deviation[0, 0])


def _scaled(grey: Image, place: tuple[int, int, int, int], side: int) -> Image | None:
    """A part of a picture, ``(x, y, w, h)`` in pixels, as a square; border pixels repeat."""
    x, y, w, h = place
    height, width = grey.shape
    left, top, right, bottom = max(0, x), max(0, y), min(width, x + w), min(height, y + h)
    if right - left < _MIN_VISIBLE_PX or bottom - top < _MIN_VISIBLE_PX:
        return None
    part = grey[top:bottom, left:right]
    if (right - left, bottom - top) != (w, h):
        borders = (top - y, y + h - bottom, left - x, x + w - right)
        part = cv2.copyMakeBorder(part, *borders, cv2.BORDER_REPLICATE)
    # Area averaging when shrinking, because linear would skip pixels and make the patch flicker.
    method = cv2.INTER_AREA if w > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (side, side), interpolation=method), dtype=np.uint8)
