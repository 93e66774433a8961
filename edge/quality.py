"""Which faces are marked instead of read: too small, cut by the border, blurred.

Pure functions. The limits are where the shipped model is right for no more than about half of the
faces of PublicTest; docs/tracking.md has the tables.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .records import Box, Image

SMALL, CUT, BLURRED = "small", "cut", "blurred"
# Half the resolution of the training crops: it halves the noise of the camera, which is as fine as
# a pixel, and leaves the edges of a face that is sharp enough to be read.
_SHARPNESS_SIDE = 24


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """What a face needs to be read.

    Attributes:
        min_face_px: Side of its training square in the frame, in pixels.
        max_cut: Share of the training square that may lie outside of the picture, 0 to 1.
        min_sharpness: Of :func:`sharpness`.
    """

    min_face_px: float = 24.0
    max_cut: float = 0.2
    min_sharpness: float = 0.65

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            UsageError: A limit is out of its range.
        """
        if not (self.min_face_px >= 0 and 0 <= self.max_cut <= 1 and self.min_sharpness >= 0):
            raise UsageError(
                f"Expected a size and a sharpness of at least 0 and a share from 0 to 1, got "
                f"{self.min_face_px} px, {self.min_sharpness} and {self.max_cut}."
            )


#: Every face is read.
NO_LIMITS = QualityLimits(min_face_px=0.0, max_cut=1.0, min_sharpness=0.0)


def flaw(square: Box, frame_size_wh: tuple[int, int], crop: Image, limits: QualityLimits) -> str:
    """Why a face is not to be read.

    Args:
        square: Its training square in the frame, in pixels.
        frame_size_wh: Width and height of the frame in pixels.
        crop: uint8, ``(height, width)``: the training crop.
        limits: What is asked of it.

    Returns:
        ``"small"``, ``"cut"`` or ``"blurred"``, the first that applies; "" for a good face.
    """
    if square.w_px < limits.min_face_px:
        return SMALL
    if cut_share(square, frame_size_wh) > limits.max_cut:
        return CUT
    if limits.min_sharpness > 0 and sharpness(crop) < limits.min_sharpness:
        return BLURRED
    return ""


def cut_share(square: Box, frame_size_wh: tuple[int, int]) -> float:
    """The share of a box that lies outside of the frame, 0 to 1."""
    width, height = frame_size_wh
    w = min(square.x_px + square.w_px, width) - max(square.x_px, 0.0)
    h = min(square.y_px + square.h_px, height) - max(square.y_px, 0.0)
    if square.area_px2 <= 0 or w <= 0 or h <= 0:
        return 1.0
    return max(0.0, 1.0 - w * h / square.area_px2)


def sharpness(crop: Image) -> float:
    """How much of a crop's change from pixel to pixel is fine, in its blurrier direction.

    The mean square of the second differences over that of the first, along the rows and along the
    columns of the crop at 24x24; the smaller of the two, as a face that moves is blurred in one
    direction only. A ratio of derivatives as in the variance of the Laplacian (J. L. Pech-Pacheco
    et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000), but free of contrast and
    not blind to motion.

    Args:
        crop: uint8, ``(height, width)``.

    Returns:
        0 (one grey level) to 4 (every pixel turns); 3 for pure noise, about 1.2 for a sharp face.
    """
    size = (_SHARPNESS_SIDE, _SHARPNESS_SIDE)
    small = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    return min(_fineness(small), _fineness(np.ascontiguousarray(small.T)))


def _fineness(rows: NDArray[np.float32]) -> float:
    """Mean square of the second differences between rows over that of the first."""
    first = np.diff(rows, axis=0)
    second = np.diff(first, axis=0)
    energy = float(np.vdot(first, first)) / first.size
    return float(np.vdot(second, second)) / second.size / energy if energy > 0 else 0.0
