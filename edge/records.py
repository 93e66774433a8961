"""The data that flows through fer-edge: frozen records, with units in their names.

A box is ``(x_px, y_px, w_px, h_px)`` with the origin in the top-left corner of the frame, x to the
right and y down. Times in ``_ns`` are nanoseconds; ``captured_ns`` counts on the monotonic clock of
this machine and is only good for differences, ``captured_unix_s`` is the wall clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in a frame, in pixels; it may reach beyond the frame's border."""

    x_px: float
    y_px: float
    w_px: float
    h_px: float

    @property
    def area_px2(self) -> float:
        """Width times height, in square pixels."""
        return self.w_px * self.h_px

    @property
    def center_px(self) -> tuple[float, float]:
        """The middle of the box, ``(x, y)`` in pixels."""
        return self.x_px + self.w_px / 2, self.y_px + self.h_px / 2

    def iou(self, other: "Box") -> float:
        """Intersection over union with another box, 0 (apart) to 1 (equal)."""
        w = min(self.x_px + self.w_px, other.x_px + other.w_px) - max(self.x_px, other.x_px)
        h = min(self.y_px + self.h_px, other.y_px + other.h_px) - max(self.y_px, other.y_px)
        if w <= 0 or h <= 0:
            return 0.0
        shared = w * h
        # Clamped: for two nearly equal boxes the rounding of the sums can lead just above 1.
        return min(1.0, shared / (self.area_px2 + other.area_px2 - shared))

    def as_ints(self) -> tuple[int, int, int, int]:
        """``(x, y, w, h)`` rounded to whole pixels."""
        return round(self.x_px), round(self.y_px), round(self.w_px), round(self.h_px)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a camera.

    Attributes:
        index: Position in the stream, counted from 0 and without gaps by the camera.
        image: uint8, ``(height, width, 3)`` in OpenCV's blue-green-red order; or grey,
            ``(height, width)``, of a camera that was opened without colour.
        captured_ns: Monotonic time at which the picture was taken where the camera tells that,
            else at which it was handed over.
        captured_unix_s: The same moment on the wall clock, in seconds since 1970 (UTC).
        luma: The grey picture of the same moment and size, where the camera delivers it beside
            the colours at no cost (the Y plane of a CSI camera); else None.
        stream_ns: When the picture is due in its own stream, in nanoseconds from any start, where
            that is not when it was captured: a clip is read faster than it was filmed. Else None.
    """

    index: int
    image: Image
    captured_ns: int
    captured_unix_s: float
    luma: Image | None = None
    stream_ns: int | None = None

    @property
    def time_ns(self) -> int:
        """The time that tracking and smoothing go by, in nanoseconds from any start."""
        return self.captured_ns if self.stream_ns is None else self.stream_ns

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, slots=True)
class Face:
    """A face as a detector or the tracker reports it.

    Attributes:
        box: Where the detector says that it is, in its own framing.
        score: The detector's own confidence; its range is the detector's.
        id: The tracker's number for this face, from 1 on, or None before tracking.
        detected: False where no detector saw it in this frame and its place was followed instead.
        landmarks_px: ``(x, y)`` of the right eye, the left eye, the tip of the nose, the right and
            the left corner of the mouth, right and left being the person's own; or None.
    """

    box: Box
    score: float
    id: int | None = None
    detected: bool = True
    landmarks_px: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True, slots=True)
class EmotionScores:
    """The probabilities of one face, in the order of the labels in the model's contract."""

    labels: tuple[str, ...]
    values: tuple[float, ...]

    @property
    def label(self) -> str:
        """The most likely emotion; of equals, the first in the contract's order."""
        return self.labels[self.values.index(max(self.values))]

    @property
    def score(self) -> float:
        """The probability of :attr:`label`, 0 to 1."""
        return max(self.values)

    def as_dict(self) -> dict[str, float]:
        """Label to probability, in the contract's order."""
        return dict(zip(self.labels, self.values, strict=True))


@dataclass(frozen=True, slots=True, repr=False)
class Reading:
    """A face with what was read from it.

    Attributes:
        face: Where it is, who it is, and whether it was detected or followed.
        size_px: Side of its training square in the frame, in pixels: what there is to read from.
        label: The emotion that is said of the face, held against flicker; or None where nothing
            is known of it.
        scores: Its probabilities, smoothed over time; or None as :attr:`label`.
        raw: The probabilities of this frame alone; None where it was not read in this frame.
        flaw: Why it was not read: ``"small"``, ``"cut"`` (by the border) or ``"blurred"``; or "".
    """

    face: Face
    size_px: float
    label: str | None = None
    scores: EmotionScores | None = None
    raw: EmotionScores | None = None
    flaw: str = ""

    @property
    def score(self) -> float:
        """The smoothed probability of :attr:`label`, 0 to 1; 0 where there is none."""
        if self.scores is None or self.label is None:
            return 0.0
        return self.scores.values[self.scores.labels.index(self.label)]

    @property
    def box(self) -> Box:
        """Where the face is, in pixels."""
        return self.face.box

    def __repr__(self) -> str:
        said = f"{self.label} {self.score:.2f}" if self.label else self.flaw or "unread"
        return f"<Reading {said} at {self.box.as_ints()}>"


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A frame with the readings of its faces, as it is handed to the caller."""

    frame: Frame
    readings: Sequence[Reading]
    delivered_ns: int

    @property
    def age_ms(self) -> float:
        """Milliseconds from the capture of the frame to its delivery."""
        return (self.delivered_ns - self.frame.captured_ns) / 1e6
