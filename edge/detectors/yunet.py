"""YuNet through OpenCV: small, turned and half-hidden faces, with five landmarks each.

Method: W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence
Research 20, 2023. The model is the file of OpenCV zoo (MIT) that ``fer-edge models get yunet``
fetches.
"""

import math
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import ModelError
from ..framing import Framing
from ..models.catalogue import YUNET, checked_place
from ..native_log import native_stderr_silenced
from ..pins import opencv_requirement
from ..records import Face, Image
from . import DETECT_SIZE_WH
from .scaling import Shrunk, shrink

# Measured on the project's clips (docs/detectors.md): .8 loses 40 of 64 small faces at 320x240, .4
# doubles the boxes on the printed face of a shirt, from .5 to .6 there is little between them.
_MIN_SCORE = 0.6
# OpenCV's own value: two boxes that overlap by more are one face.
_NMS_IOU = 0.3
# Candidates before the overlapping ones are dropped: a face gives up to some tens of them.
_MOST_CANDIDATES = 1000
# The network pads a picture to a multiple of 32. In one that is thinner than its smallest face it
# finds nothing but infinities.
_MIN_SIDE_PX = 8
_OLDEST = (4, 8, 1)


class YuNetDetector:
    """A small convolutional detector. Its box is tight: hairline to chin, cheek to cheek."""

    name, colour = "yunet", True
    # Measured on training faces pasted into frames: docs/detectors.md. The mean of both sides,
    # because an open mouth lengthens the box and a turned head narrows it.
    framing = Framing(side_per_w=0.535, side_per_h=0.535, shift_y=-0.013)

    def __init__(self, model: Path | None = None, *, size_wh: tuple[int, int] = DETECT_SIZE_WH):
        """Load the model and run it once, so that one that does not fit is told at once.

        Args:
            model: An ONNX file that is taken as it is; None is the one that ``fer-edge models get
                yunet`` fetched, whose digest is checked.
            size_wh: Width and height in pixels that pictures are shrunk to fit into.

        Raises:
            ModelError: This OpenCV is too old, or the file is missing, damaged or no YuNet.
        """
        if not hasattr(cv2, "FaceDetectorYN") or _version() < _OLDEST:
            raise ModelError(
                f"This OpenCV ({cv2.__version__}) does not run YuNet: expected 4.8.1 or later. "
                f'Install it with `pip install "{opencv_requirement()}"`, or use --detector '
                f"haar."
            )
        self._path = checked_place(YUNET) if model is None else model
        if not self._path.is_file():
            raise ModelError(f"There is no model file {self._path} for the detector yunet.")
        self._size_wh = size_wh
        self._input_wh = (0, 0)
        try:
            with native_stderr_silenced():
                self._network: Any = cv2.FaceDetectorYN.create(
                    str(self._path), "", DETECT_SIZE_WH, _MIN_SCORE, _NMS_IOU, _MOST_CANDIDATES
                )
                self._rows(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as exc:
            raise ModelError(
                f"{self._path} is no YuNet that OpenCV {cv2.__version__} can run "
                f"({_reason(exc)}). `fer-edge models get yunet` fetches one."
            ) from exc

    def renew(self) -> "YuNetDetector":
        """Another one like this, sharing nothing with it."""
        return YuNetDetector(self._path, size_wh=self._size_wh)

    def detect(self, picture: Image) -> list[Face]:
        """The faces of one picture, largest first, with landmarks; scores are 0 to 1.

        Args:
            picture: uint8, ``(height, width, 3)`` blue-green-red, or ``(height, width)`` grey, in
                which it finds fewer faces below 15 pixels.

        Raises:
            ModelError: OpenCV could not run the model.
        """
        small = shrink(picture, self._size_wh)
        height, width = small.picture.shape[:2]
        if min(height, width) < _MIN_SIDE_PX:
            return []
        pixels = small.picture
        if pixels.ndim == 2:
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
        try:
            rows = self._rows(pixels)
        except cv2.error as exc:
            self._input_wh = (0, 0)
            raise ModelError(
                f"OpenCV {cv2.__version__} cannot run {self._path} on a picture of "
                f"{width}x{height} ({_reason(exc)})."
            ) from exc
        faces = [_face(row, small) for row in _usable(rows)]
        return sorted(faces, key=lambda face: -face.box.area_px2)

    def _rows(self, pixels: Image) -> Any:
        """What OpenCV answers for a blue-green-red picture; raises its errors."""
        size_wh = pixels.shape[1], pixels.shape[0]
        # It rebuilds the network's buffers, so not for every frame.
        if size_wh != self._input_wh:
            self._network.setInputSize(size_wh)
            self._input_wh = size_wh
        return self._network.detect(pixels)[1]


def _usable(rows: Any) -> list[list[float]]:
    """The rows that can be boxes: OpenCV gives None for none, and a strange picture infinities."""
    if rows is None:
        return []
    listed = np.asarray(rows, np.float64).reshape(len(rows), -1).tolist()
    return [row for row in listed if all(map(math.isfinite, row)) and min(row[2:4]) > 0]


def _face(row: list[float], small: Shrunk) -> Face:
    """A row of OpenCV's answer: box, five points, score."""
    points = list(zip(row[4:14:2], row[5:14:2], strict=True))
    return Face(small.box(*row[:4]), row[14], landmarks_px=small.points(points))


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in cv2.__version__.split(".")[:3] if part.isdecimal())


def _reason(exc: cv2.error) -> str:
    """OpenCV's message without its file names, line numbers and numbers of functions."""
    # Not exc.err: OpenCV keeps it on the class, so it may be of an earlier error.
    text = re.sub(r"^.*?error: \(-?\d+:[^)]*\)\s*", "", " ".join(str(exc).split()))
    return re.sub(r"\s*in function '.*", "", text)[:160] or "no reason given"
