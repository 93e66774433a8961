"""OpenCV's frontal-face Haar cascade: in every OpenCV 4, no download, no model file.

Method: P. Viola, M. Jones, "Rapid object detection using a boosted cascade of simple features",
CVPR 2001; the cascade is R. Lienhart's ``haarcascade_frontalface_default.xml``.
"""

from pathlib import Path

import cv2
import numpy as np

from ..errors import ModelError
from ..framing import Framing, to_grey
from ..pins import opencv_requirement
from ..records import Face, Image
from . import DETECT_SIZE_WH
from .scaling import shrink

# The smallest face searched for, in pixels of the shrunk picture: the cascade itself was trained at
# 24x24.
_MIN_FACE_PX = 24
# Steps of 1.25 find nearly what steps of 1.1 find on the project's clips, in 0.45 of the time.
_SCALE_STEP = 1.25
# How many neighbouring hits make a face.
_NEIGHBOURS = 3
# The cascade's own grouping leaves a second, weaker box on some faces, half over the first one.
_DOUBLE_IOU = 0.3


class HaarDetector:
    """The embedded detector. Its box is the FER-2013 training crop, a little tighter."""

    name, colour = "haar", False
    # FER-2013 was cropped around faces that a cascade of this kind found. Measured on training
    # faces pasted into frames: docs/detectors.md.
    framing = Framing(side_per_w=0.525, side_per_h=0.525)

    def __init__(self, *, size_wh: tuple[int, int] = DETECT_SIZE_WH):
        """Load the cascade.

        Args:
            size_wh: Width and height in pixels that pictures are shrunk to fit into.

        Raises:
            ModelError: This OpenCV has no cascades (5.x has none).
        """
        self._size_wh = size_wh
        folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
        path = Path(folder or "") / "haarcascade_frontalface_default.xml"
        if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
            raise ModelError(
                f"This OpenCV ({cv2.__version__}) has no Haar cascades: expected a 4.x from PyPI, "
                f"or --detector fer-face or yunet. "
                f'Install it with `pip install "{opencv_requirement(cascades=True)}"`.'
            )
        self._cascade = cv2.CascadeClassifier(str(path))

    def renew(self) -> "HaarDetector":
        """Another one like this, sharing nothing with it."""
        return HaarDetector(size_wh=self._size_wh)

    def detect(self, picture: Image) -> list[Face]:
        """The faces of one picture, largest first; the score is the cascade's last stage weight.

        Args:
            picture: uint8, ``(height, width)`` grey or ``(height, width, 3)`` blue-green-red, which
                is made grey.
        """
        small = shrink(picture, self._size_wh)
        boxes, _, weights = self._cascade.detectMultiScale3(
            to_grey(small.picture),
            scaleFactor=_SCALE_STEP,
            minNeighbors=_NEIGHBOURS,
            minSize=(_MIN_FACE_PX, _MIN_FACE_PX),
            outputRejectLevels=True,
        )
        faces = [
            Face(small.box(*(float(side) for side in box)), float(weight))
            for box, weight in zip(boxes, np.ravel(weights), strict=True)
        ]
        kept: list[Face] = []
        for face in sorted(faces, key=lambda face: -face.score):
            if all(face.box.iou(other.box) < _DOUBLE_IOU for other in kept):
                kept.append(face)
        return sorted(kept, key=lambda face: -face.box.area_px2)
