"""Boxes, labels and scores drawn into a picture so that they can be read. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from .plates import Rectangle, place
from .quality import BLURRED, CUT, SMALL
from .records import Image, Reading

# Dark text on a light plate reads on any background; one colour for all emotions, because colours
# for seven of them are told apart by few people. A grey plate where nothing is said.
_PLATE_BGR, _MUTE_BGR, _TEXT_BGR = (80, 220, 255), (205, 205, 205), (20, 20, 20)
_STRIP_BGR, _NOTICE_BGR = (45, 35, 30), (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_DUPLEX
_FLAWS = {SMALL: "too small", CUT: "cut by the border", BLURRED: "blurred"}
# More are not told apart, and the box of a wild detection has sides of any length.
_MOST_DASHES = 100


def describe(reading: Reading) -> str:
    """What is said of a face in a few words: ``happy 70%``, ``too small``, ``sad 60%, blurred``."""
    said = [f"{reading.label} {reading.score:.0%}"] if reading.label is not None else []
    if reading.flaw:
        said.append(_FLAWS.get(reading.flaw, reading.flaw))
    return ", ".join(said) or "not read yet"


def annotate(image: Image, readings: Sequence[Reading], *, notice: str = "") -> Image:
    """Return a copy of a picture with each face boxed and named.

    A whole box is a face that was detected in this frame; one with its corners only was followed
    there by its motion; a dashed one is marked as not fit to be read.

    Args:
        image: uint8, ``(height, width, 3)``, blue-green-red; or grey, ``(height, width)``.
        readings: What was read in it.
        notice: A line at the bottom, over everything; empty for none.

    Returns:
        uint8, ``(height, width, 3)``, blue-green-red.
    """
    if image.ndim == 2:
        canvas = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    else:
        canvas = image.copy()
    height = canvas.shape[0]
    # Text of about 1/26 of the picture's height, but never too small for a 240-line picture.
    scale = max(0.45, height / 800)
    thickness = max(1, round(height / 480))
    for reading in readings:
        _outline(canvas, reading, thickness)
    taken = [_strip(canvas, notice, scale, thickness)] if notice else []
    # First those who are named, and of them the larger ones: where there is no room for all, the
    # others have their boxes only.
    ordered = sorted(readings, key=lambda reading: (reading.label is None, -reading.box.area_px2))
    plates = [_fitted(describe(reading), canvas.shape[1], scale, thickness) for reading in ordered]
    spots = place(
        [plate.size_wh for plate in plates],
        [reading.box.as_ints() for reading in ordered],
        (canvas.shape[1], height),
        taken,
    )
    for reading, plate, spot in zip(ordered, plates, spots, strict=True):
        if spot is not None:
            color = _PLATE_BGR if reading.label is not None else _MUTE_BGR
            _plate(canvas, plate, spot, scale, thickness, color)
    return canvas


def _strip(canvas: np.ndarray, text: str, scale: float, thickness: int) -> Rectangle:
    """A line of light text on a dark strip along the bottom, as large as the width allows."""
    height, width = canvas.shape[:2]
    (text_w, text_h), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    pad = max(3, text_h // 3)
    if text_w + 2 * pad > width:
        scale *= max(0.0, width - 2 * pad) / text_w
        (text_w, text_h), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    top = max(0, height - text_h - baseline - 2 * pad)
    cv2.rectangle(canvas, (0, top), (width, height), _STRIP_BGR, cv2.FILLED)
    start = ((width - text_w) // 2, top + pad + text_h)
    cv2.putText(canvas, text, start, _FONT, scale, _NOTICE_BGR, thickness, cv2.LINE_AA)
    return 0, top, width, height - top


def _outline(canvas: np.ndarray, reading: Reading, thickness: int) -> None:
    """The box of a face, whole, dashed, or its corners."""
    x, y, w, h = reading.box.as_ints()
    if reading.face.detected and not reading.flaw:
        cv2.rectangle(canvas, (x, y), (x + w, y + h), _PLATE_BGR, thickness + 1)
        return
    corners = np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)])
    for start, end in pairwise(corners):
        if reading.flaw:
            dash = 6 * thickness
            count = int(np.clip(np.abs(end - start).max() // (2 * dash), 3, _MOST_DASHES))
            # From the first corner to the last, so that the corners are closed.
            steps = np.linspace(0, 1, 2 * count).reshape(-1, 2)
        else:
            steps = np.array([(0, 0.25), (0.75, 1)])
        for piece in steps:
            first, last = (np.rint(start + (end - start) * part).astype(int) for part in piece)
            weight = thickness if reading.flaw else thickness + 1
            cv2.line(canvas, first.tolist(), last.tolist(), _PLATE_BGR, weight)


@dataclass(frozen=True, slots=True)
class _Label:
    """A text with the measures of its plate, in pixels."""

    text: str
    text_h: int
    pad: int
    size_wh: tuple[int, int]


def _fitted(text: str, width: int, scale: float, thickness: int) -> _Label:
    """The text, or its beginning where that is too wide for the picture."""
    while True:
        (text_w, text_h), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
        pad = max(3, text_h // 3)
        size_wh = text_w + 2 * pad, text_h + baseline + 2 * pad
        if size_wh[0] <= width or ", " not in text:
            return _Label(text, text_h, pad, size_wh)
        # The label is worth more than why it is not a fresh one.
        text = text.rpartition(", ")[0]


def _plate(
    canvas: np.ndarray,
    label: _Label,
    spot: tuple[int, int],
    scale: float,
    thickness: int,
    color: tuple[int, int, int],
) -> None:
    """A line of text on a plate."""
    (left, top), (width, height) = spot, label.size_wh
    corner = left + width - 1, top + height - 1
    cv2.rectangle(canvas, (left, top), corner, color, cv2.FILLED)
    start = (left + label.pad, top + label.pad + label.text_h)
    cv2.putText(canvas, label.text, start, _FONT, scale, _TEXT_BGR, thickness, cv2.LINE_AA)
