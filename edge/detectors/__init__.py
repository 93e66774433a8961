"""Finding faces: one protocol, and the detector that is always there.

A detector states its framing, that is how its box leads to the crop the emotion model was trained
on; whoever adds one measures it (tests/edge/test_detectors.py).
"""

from typing import Protocol

from ..errors import UsageError
from ..framing import Framing
from ..records import Face, Image

__all__ = ["DETECTORS", "Detector", "open_detector"]

DETECTORS = ("haar",)


class Detector(Protocol):
    """What finds faces in a grey picture. It belongs to one thread."""

    name: str
    framing: Framing

    def detect(self, grey: Image) -> list[Face]:
        """The faces of one picture, largest first.

        Args:
            grey: uint8, ``(height, width)``.
        """
        ...


def open_detector(name: str = "haar", *, width: int = 320) -> Detector:
    """Build a detector.

    Args:
        name: One of :data:`DETECTORS`.
        width: Width in pixels that pictures are shrunk to for it, at most; smaller is faster and
            misses smaller faces.

    Raises:
        UsageError: There is no detector of that name.
    """
    if name == "haar":
        from .haar import HaarDetector

        return HaarDetector(width=width)
    raise UsageError(f"There is no detector {name!r}: valid names are {', '.join(DETECTORS)}.")
