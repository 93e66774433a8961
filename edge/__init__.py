"""Read emotions from faces on the device: cameras, detection, classification, and what comes out.

::

    from fer_edge.edge import EmotionReader
    reader = EmotionReader()
    print(reader.read("face.jpg"))

The names below are loaded when they are first used, so that ``fer-edge --help`` does not wait for
OpenCV.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .cameras import Camera, list_cameras, open_camera
    from .classifier import EmotionClassifier
    from .contract import ModelContract
    from .detectors import Detector, open_detector
    from .errors import CameraError, FerEdgeError, ModelError
    from .pipeline import Pipeline
    from .quality import QualityLimits
    from .reader import EmotionReader
    from .records import Box, EmotionScores, Face, Frame, Reading, Result
    from .stages import LoopSettings

# OpenCV reads these when it is loaded, so they are set before anything here can import it. A V4L2
# read would wait 10 s for a camera that is gone; FFmpeg's own complaints would mix with ours.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
# 2**26, which takes 200 MB decoded: photographs from strangers must not take all memory of a Pi.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "67108864")

_HOME = {
    "Box": "records",
    "Camera": "cameras",
    "CameraError": "errors",
    "Detector": "detectors",
    "EmotionClassifier": "classifier",
    "EmotionReader": "reader",
    "EmotionScores": "records",
    "Face": "records",
    "FerEdgeError": "errors",
    "Frame": "records",
    "LoopSettings": "stages",
    "ModelContract": "contract",
    "ModelError": "errors",
    "Pipeline": "pipeline",
    "QualityLimits": "quality",
    "Reading": "records",
    "Result": "records",
    "list_cameras": "cameras",
    "open_camera": "cameras",
    "open_detector": "detectors",
}

__all__ = [  # noqa: RUF022 - the order in which a reader meets them
    "EmotionReader",
    "open_camera",
    "list_cameras",
    "open_detector",
    "EmotionClassifier",
    "Pipeline",
    "LoopSettings",
    "QualityLimits",
    "Camera",
    "Detector",
    "ModelContract",
    "Frame",
    "Box",
    "Face",
    "EmotionScores",
    "Reading",
    "Result",
    "FerEdgeError",
    "CameraError",
    "ModelError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module that owns it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value
