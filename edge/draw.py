"""Boxes, labels and scores drawn into a picture so that they can be read. Pure."""

from collections.abc import Sequence

import cv2
import numpy as np

from .records import Image, Reading

# Dark text on a light plate reads on any background; one colour for all emotions, because colours
# for seven of them are told apart by few people.
_PLATE_BGR, _TEXT_BGR = (80, 220, 255), (20, 20, 20)
_FONT = cv2.FONT_HERSHEY_DUPLEX


def annotate(image: Image, readings: Sequence[Reading]) -> Image:
    """Return a copy of a picture with each face boxed and named.

    Args:
        image: uint8, ``(height, width, 3)``, blue-green-red.
        readings: What was read in it.

    Returns:
        uint8 of the same shape.
    """
    canvas = image.copy()
    height, width = canvas.shape[:2]
    # Text of about 1/26 of the picture's height, but never too small for a 240-line picture.
    scale = max(0.45, height / 800)
    thickness = max(1, round(height / 480))
    for reading in readings:
        x, y, w, h = reading.box.as_ints()
        cv2.rectangle(canvas, (x, y), (x + w, y + h), _PLATE_BGR, thickness + 1)
        _plate(canvas, f"{reading.label} {reading.score:.0%}", (x, y, h), scale, thickness, width)
    return canvas


def _plate(
    canvas: np.ndarray,
    text: str,
    place: tuple[int, int, int],
    scale: float,
    thickness: int,
    width: int,
) -> None:
    """A line of text on a plate above the box, or inside it where there is no room above."""
    x, y, _ = place
    (text_w, text_h), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    pad = max(3, text_h // 3)
    plate_w, plate_h = text_w + 2 * pad, text_h + baseline + 2 * pad
    left = min(max(0, x), max(0, width - plate_w))
    top = y - plate_h if y - plate_h >= 0 else max(0, y)
    cv2.rectangle(canvas, (left, top), (left + plate_w, top + plate_h), _PLATE_BGR, cv2.FILLED)
    cv2.putText(
        canvas,
        text,
        (left + pad, top + pad + text_h),
        _FONT,
        scale,
        _TEXT_BGR,
        thickness,
        cv2.LINE_AA,
    )
