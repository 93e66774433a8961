"""Undoing a face's rotation in the picture plane, so that its eyes lie level in the crop.

The training faces of FER-2013 stand nearly upright. Pure functions over arrays, beside
:mod:`.framing`, which knows only upright squares. Method: the rotation about the centre of the
training square that makes the line through the eyes level; scale and place stay those of the
square, so that a face that is upright is cut as it would be without alignment.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from .framing import crop_square
from .records import Box, Image

# Below this the rotation is noise of the landmarks, and the plain crop is sharper and cheaper.
_LEVEL_DEG = 1.0
# Eyes that are closer than this, in sides of the square, belong to a face in profile: the line
# through them says nothing about its roll. Of a frontal face they are 0.3 to 0.45 apart.
_MIN_EYES_APART = 0.15

Landmarks = Sequence[tuple[float, float]]


def roll_deg(landmarks_px: Landmarks) -> float:
    """How far a face is rotated in the picture plane.

    Args:
        landmarks_px: ``(x, y)`` of the person's right eye and left eye, then any others, as in
            ``Face.landmarks_px``.

    Returns:
        Degrees in (-180, 180], clockwise as one sees it; 0 where the eyes lie level. A face that
        stands on its head has 180.
    """
    (right_x, right_y), (left_x, left_y) = landmarks_px[:2]
    # The person's right eye is on the left of the picture.
    return math.degrees(math.atan2(left_y - right_y, left_x - right_x))


def crop_aligned(
    image: Image, square: Box, landmarks_px: Landmarks | None, size_wh: tuple[int, int]
) -> Image:
    """Cut a square out of a picture with the eyes level, and scale it.

    As :func:`.framing.crop_square`, turned about the centre of the square by the roll of the face.
    Without landmarks, for a face that is level already, and in profile it is the plain crop.

    Args:
        image: uint8, ``(height, width)`` grey.
        square: The training square of the face, in pixels; it may reach over the border.
        landmarks_px: The face's landmarks in the same pixels, or None.
        size_wh: Width and height of the result in pixels.

    Returns:
        uint8, ``(size_wh[1], size_wh[0])``.
    """
    if landmarks_px is None:
        return crop_square(image, square, size_wh)
    (right_x, right_y), (left_x, left_y) = landmarks_px[:2]
    apart = math.hypot(left_x - right_x, left_y - right_y)
    angle = roll_deg(landmarks_px)
    if abs(angle) < _LEVEL_DEG or apart < _MIN_EYES_APART * square.w_px:
        return crop_square(image, square, size_wh)
    return _crop_turned(image, square, angle, size_wh)


def _crop_turned(image: Image, square: Box, angle_deg: float, size_wh: tuple[int, int]) -> Image:
    """The square, turned clockwise by an angle about its centre, as an upright picture."""
    width, height = size_wh
    # Warping reads four pixels for each of its own and would skip some when shrinking. So it
    # samples at about the picture's own resolution, and whole blocks of samples are averaged.
    finer = max(1, round(square.w_px / min(size_wh)))
    samples_wh = width * finer, height * finer
    step_x, step_y = square.w_px / samples_wh[0], square.h_px / samples_wh[1]
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    center_x, center_y = square.center_px
    # From a sample to the picture. OpenCV counts from the middle of the first pixel, a box from
    # its corner: hence the halves.
    turn = np.array([[cos * step_x, -sin * step_y], [sin * step_x, cos * step_y]])
    first = np.array([0.5, 0.5]) - np.array(samples_wh) / 2
    offset = turn @ first + (center_x - 0.5, center_y - 0.5)
    samples = cv2.warpAffine(
        image,
        np.column_stack([turn, offset]),
        samples_wh,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        # As the plain crop does at the border.
        borderMode=cv2.BORDER_REPLICATE,
    )
    if finer > 1:
        samples = cv2.resize(samples, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(samples, dtype=np.uint8)
