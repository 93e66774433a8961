"""OpenCV's frontal-face Haar cascade: in every OpenCV 4, no download, no model file.

Method: P. Viola, M. Jones, "Rapid object detection using a boosted cascade of simple features",
CVPR 2001; the cascade is R. Lienhart's ``haarcascade_frontalface_default.xml``.
"""

from pathlib import Path

import cv2
import numpy as np

from ..errors import ModelError
from ..framing import Framing
from ..records import Box, Face, Image

# The smallest face searched for, in pixels of the shrunk picture: the cascade itself was trained at
# 24x24.
_MIN_FACE_PX = 24
# Steps of 1.2 find nearly what steps of 1.1 find on the project's clips, in 0.6 of the time.
_SCALE_STEP = 1.2
# How many neighbouring hits make a face.
_NEIGHBOURS = 3
# The cascade's own grouping leaves a second, weaker box on some faces, half over the first one.
_DOUBLE_IOU = 0.3


class HaarDetector:
    """The embedded detector. Its box is the FER-2013 training crop as it is."""

    name = "haar"
    # FER-2013 was cropped by a cascade of this kind, so nothing is to be added or moved.
    framing = Framing()

    def __init__(self, *, width: int = 320):
        """Load the cascade.

        Args:
            width: Width in pixels that pictures are shrunk to, at most.

        Raises:
            ModelError: This OpenCV has no cascades (5.x has none).
        """
        self._width = width
        folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
        path = Path(folder or "") / "haarcascade_frontalface_default.xml"
        if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
            raise ModelError(
                f"This OpenCV ({cv2.__version__}) has no Haar cascades: expected a 4.x from PyPI. "
                f'Install it with `pip install "opencv-python-headless>=4.8.1,<5"`.'
            )
        self._cascade = cv2.CascadeClassifier(str(path))

    def detect(self, grey: Image) -> list[Face]:
        """The faces of one picture, largest first; the score is the cascade's last stage weight."""
        factor = max(1.0, grey.shape[1] / self._width)
        if factor > 1:
            size = (round(grey.shape[1] / factor), max(1, round(grey.shape[0] / factor)))
            grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey,
            scaleFactor=_SCALE_STEP,
            minNeighbors=_NEIGHBOURS,
            minSize=(_MIN_FACE_PX, _MIN_FACE_PX),
            outputRejectLevels=True,
        )
        faces = [
            Face(Box(*(float(side) * factor for side in box)), float(weight))
            for box, weight in zip(boxes, np.ravel(weights), strict=True)
        ]
        kept: list[Face] = []
        for face in sorted(faces, key=lambda face: -face.score):
            if all(face.box.iou(other.box) < _DOUBLE_IOU for other in kept):
                kept.append(face)
        return sorted(kept, key=lambda face: -face.box.area_px2)
