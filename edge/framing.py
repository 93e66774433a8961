"""From a face box in a frame to the numbers that the network was trained on.

The one place that does this: training, calibration, evaluation and the device all call it, so they
cannot disagree. Pure functions over arrays.

The training crop of FER-2013 (``fer2013``) is what OpenCV's frontal Haar cascade draws: a square
from the forehead to just under the chin. Each detector states by a :class:`Framing` how its own box
leads to that square.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .records import Box, Image

FER2013 = "fer2013"
#: Name of the boxes that our own detector draws; where the training crop is in them is its
#: framing, in ``detectors/fer_face.py``.
FER_FACE = "fer-face"


@dataclass(frozen=True, slots=True)
class Framing:
    """How a detector's box leads to the square training crop.

    Attributes:
        side_per_w: Share of the box's width that counts towards the side of the square.
        side_per_h: Share of the box's height that counts towards the side of the square.
        shift_x: Shift of the centre to the right, in sides.
        shift_y: Shift of the centre downwards, in sides.
    """

    side_per_w: float = 0.5
    side_per_h: float = 0.5
    shift_x: float = 0.0
    shift_y: float = 0.0

    def training_square(self, box: Box) -> Box:
        """The square around a face that matches the training crops, in pixels."""
        side = self.side_per_w * box.w_px + self.side_per_h * box.h_px
        x, y = box.center_px
        return Box(
            x + self.shift_x * side - side / 2, y + self.shift_y * side - side / 2, side, side
        )


def crop_square(image: Image, square: Box, size_wh: tuple[int, int]) -> Image:
    """Cut a square out of a picture and scale it to the network's input size.

    What lies outside of the picture repeats its border pixels, as a face at the edge would
    otherwise be squeezed out of its training shape.

    Args:
        image: uint8, ``(height, width)`` grey.
        square: Where to cut, in pixels; it may reach over the border.
        size_wh: Width and height of the result in pixels.

    Returns:
        uint8, ``(size_wh[1], size_wh[0])``.
    """
    height, width = image.shape[:2]
    side = max(1, round(square.w_px))
    left, top = round(square.x_px), round(square.y_px)
    if left >= 0 and top >= 0 and left + side <= width and top + side <= height:
        crop = image[top : top + side, left : left + side]
    else:
        rows = np.clip(np.arange(top, top + side), 0, height - 1)
        columns = np.clip(np.arange(left, left + side), 0, width - 1)
        crop = image[np.ix_(rows, columns)]
    # Area averaging when shrinking, because linear would skip pixels and alias hair and wrinkles.
    method = cv2.INTER_AREA if side > size_wh[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, size_wh, interpolation=method), dtype=np.uint8)


def to_grey(image: Image) -> Image:
    """Return a blue-green-red picture ``(h, w, 3)`` as grey ``(h, w)``; a grey one as it is."""
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def to_float(faces: Image) -> NDArray[np.float32]:
    """Training crops as a float network eats them: raw pixels, no scaling.

    Args:
        faces: uint8, ``(n, height, width)``.

    Returns:
        float32, ``(n, height, width, 1)``, 0 to 255.
    """
    return faces[..., np.newaxis].astype(np.float32)


def resized(faces: Image, size_wh: tuple[int, int]) -> Image:
    """Square training crops in another size, scaled as :func:`crop_square` scales.

    Args:
        faces: uint8, ``(n, side, side)``.
        size_wh: Width and height of the result in pixels.

    Returns:
        uint8, ``(n, size_wh[1], size_wh[0])``; the same array where it has that size already.

    Raises:
        UsageError: They are neither of that size nor square.
    """
    if faces.shape[2:0:-1] == size_wh:
        return faces
    if faces.ndim != 3 or faces.shape[1] != faces.shape[2]:
        raise UsageError(
            f"Expected square grey crops, (n, side, side), got {faces.shape}: cut them with "
            f"crop_square."
        )
    made = np.empty((len(faces), size_wh[1], size_wh[0]), np.uint8)
    for index, face in enumerate(faces):
        made[index] = crop_square(face, Box(0, 0, face.shape[1], face.shape[0]), size_wh)
    return made


def to_int8(faces: Image, scale: float = 1.0, zero_point: int = -128) -> NDArray[np.int8]:
    """Training crops as an int8 network eats them.

    Args:
        faces: uint8, ``(n, height, width)``.
        scale: Of the input tensor: pixel values a step.
        zero_point: Of the input tensor: the int8 value that stands for pixel 0.

    Returns:
        int8, ``(n, height, width, 1)``.
    """
    if scale == 1.0 and zero_point == -128:
        # The usual case of raw 0..255 pixels: flipping the top bit subtracts 128, without floats.
        return (faces ^ 0x80).view(np.int8)[..., np.newaxis]
    steps = np.rint(faces.astype(np.float32) / scale) + zero_point
    return np.clip(steps, -128, 127).astype(np.int8)[..., np.newaxis]
