"""What detect and classify do with one frame; no threads here.

:class:`FaceStage` finds and follows faces and cuts their crops, :class:`EmotionStage` reads them.
Each belongs to one thread. Where that thread is stuck for ever, ``renew`` makes another one that
shares nothing with it.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from .alignment import crop_aligned
from .errors import UsageError
from .framing import Framing, to_grey
from .quality import NO_LIMITS, QualityLimits, flaw
from .records import EmotionScores, Face, Frame, Image, Reading
from .schedule import DetectionSchedule
from .smoothing import DEFAULT_SECONDS, EmotionSmoother, Smoothed
from .tracking import STRONG_SCORES, Tracker

# Of a camera that does not tell its rate.
_USUAL_FPS = 30.0
# The newest call weighs so much in the mean cost of a face: a burst of ten calls shows.
_NEW_SHARE = 0.1


class Finder(Protocol):
    """What the loop needs of a detector."""

    name: str
    colour: bool
    framing: Framing

    def detect(self, picture: Image) -> list[Face]:
        """The faces of a picture, grey or blue-green-red."""
        ...

    def renew(self) -> Self:
        """Another one like this, sharing nothing with it."""
        ...


class Namer(Protocol):
    """What the loop needs of a classifier."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Size of the crops in pixels."""
        ...

    def classify(self, faces: Image) -> list[EmotionScores]:
        """The emotions of training crops ``(n, height, width)``."""
        ...

    def renew(self) -> Self:
        """Another one like this, sharing nothing with it."""
        ...


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How the loop looks at faces, and how long it waits.

    Attributes:
        align: Whether to level the eyes of faces with landmarks before they are classified.
        detect_every: The detector looks at every so many frames, or ``"auto"``: when the tracker
            has doubts.
        smooth_s: Time constant of the smoothing in seconds; 0 is raw.
        limits: What a face needs to be read; others are marked.
        max_age_ms: Live, detections are spread while results are older than this, in milliseconds.
        retry: Live, whether to open a camera again that has gone.
        stuck_s: A call that takes longer than this, in seconds, is given up.
    """

    align: bool = True
    detect_every: int | str = "auto"
    smooth_s: float = DEFAULT_SECONDS
    limits: QualityLimits = field(default_factory=QualityLimits)
    max_age_ms: float = 250.0
    retry: bool = True
    stuck_s: float = 10.0

    def __post_init__(self) -> None:
        """Check what no other class checks.

        Raises:
            UsageError: A limit is not above 0.
        """
        if not (self.max_age_ms > 0 and self.stuck_s > 0):
            raise UsageError(
                f"Expected limits above 0, got an age of {self.max_age_ms} ms and {self.stuck_s} s."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """The training crops of some faces.

    Attributes:
        crops: uint8, ``(n, height, width)``.
        sizes_px: Side of the training square of each in the frame, in pixels.
        flaws: Why each is not to be read (``"small"``, ``"cut"``, ``"blurred"``), or "".
    """

    crops: NDArray[np.uint8]
    sizes_px: Sequence[float]
    flaws: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """A frame between the stages: its faces, and what is needed to read them.

    Attributes:
        frame: The frame.
        faces: With numbers.
        cut: Their crops.
    """

    frame: Frame
    faces: Sequence[Face]
    cut: Cut


class FaceStage:
    """Detects where that is due, follows otherwise, and cuts the crops."""

    def __init__(
        self,
        detector: Finder,
        crop_wh: tuple[int, int],
        settings: LoopSettings,
        first_id: int = 1,
    ):
        """Start without faces.

        Args:
            detector: Finds the faces.
            crop_wh: Size of the crops in pixels.
            settings: Of the loop.
            first_id: The number of the first face.

        Raises:
            UsageError: ``detect_every`` is neither a number from 1 on nor ``"auto"``.
        """
        self._detector, self._crop_wh, self._settings = detector, crop_wh, settings
        self._start(first_id, epoch=0)

    def _start(self, first_id: int, epoch: int) -> None:
        self._schedule = DetectionSchedule(self._settings.detect_every)
        strong = STRONG_SCORES.get(self._detector.name, -math.inf)
        self._tracker = Tracker(strong_score=strong, first_id=first_id)
        self._epoch = epoch
        self._size_wh: tuple[int, int] | None = None

    def renew(self) -> "FaceStage":
        """Another stage with a detector of its own, which numbers new faces on."""
        first_id = self._tracker.next_id
        return FaceStage(self._detector.renew(), self._crop_wh, self._settings, first_id)

    def step(self, frame: Frame, epoch: int = 0, stretch: float = 1.0) -> Located:
        """Find the faces of one frame.

        Args:
            frame: The next one of its camera.
            epoch: Counts how often the camera was away: after that all faces are new ones.
            stretch: How much to spread detections, from 1 on.
        """
        if epoch != self._epoch or frame.size_wh != (self._size_wh or frame.size_wh):
            # Places in another picture say nothing about this one.
            self._start(self._tracker.next_id, epoch)
        self._size_wh = frame.size_wh
        grey = to_grey(frame.image) if frame.luma is None else frame.luma
        self._schedule.stretch = stretch
        if self._schedule.due(frame.time_ns, self._tracker.doubt):
            found = self._detector.detect(frame.image if self._detector.colour else grey)
            faces = self._tracker.update(found, frame.time_ns, grey)
        else:
            faces = self._tracker.follow(grey, frame.time_ns)
        framing, settings = self._detector.framing, self._settings
        cut = cut_faces(
            grey, faces, framing, self._crop_wh, align=settings.align, limits=settings.limits
        )
        return Located(frame, faces, cut)


class EmotionStage:
    """Reads the faces that can be read, as many as there is time for, and smooths."""

    def __init__(self, classifier: Namer, settings: LoopSettings, fps: float | None):
        """Start without faces.

        Args:
            classifier: Names the emotions.
            settings: Of the loop.
            fps: Rate of a live camera, of which one frame's time is there for each frame; 0 where
                it is unknown. None reads every face of every frame, however long it takes.

        Raises:
            UsageError: The smoothing is no time.
        """
        self._classifier, self._settings, self._fps = classifier, settings, fps
        self._smoother = EmotionSmoother(settings.smooth_s)
        self._face_s = 0.0

    def renew(self) -> "EmotionStage":
        """Another stage with a classifier of its own."""
        return EmotionStage(self._classifier.renew(), self._settings, self._fps)

    def step(self, item: Located) -> list[Reading]:
        """Read the faces of one frame, in their order."""
        chosen = self._choose(item)
        crops = item.cut.crops[chosen]
        for row, index in enumerate(chosen):
            if self._smoother.mirrored(_number(item.faces[index])):
                crops[row] = crops[row, :, ::-1]
        began_s = time.monotonic()
        scores = self._classifier.classify(crops)
        if chosen:
            cost_s = (time.monotonic() - began_s) / len(chosen)
            self._face_s += (cost_s - self._face_s) * (_NEW_SHARE if self._face_s else 1.0)
        numbers = [_number(item.faces[index]) for index in chosen]
        named = self._smoother.update(zip(numbers, scores, strict=True), item.frame.time_ns)
        fresh = dict(zip(chosen, named, strict=True))
        return [self._reading(item, index, fresh.get(index)) for index in range(len(item.faces))]

    def _choose(self, item: Located) -> list[int]:
        """Which faces to read: all that can be, or the largest and stalest that there is time for.

        A face that was never read is the stalest of all. Staleness grows until a face is read, so
        that a small one has its turn too.
        """
        good = [index for index, reason in enumerate(item.cut.flaws) if not reason]
        if self._fps is None or not self._face_s:
            return good
        most = max(1, int(1.0 / (self._fps or _USUAL_FPS) / self._face_s))
        if len(good) <= most:
            return good

        def urgency(index: int) -> tuple[float, float]:
            size_px = item.cut.sizes_px[index]
            return self._smoother.unread_s(_number(item.faces[index])) * size_px, size_px

        return sorted(sorted(good, key=urgency, reverse=True)[:most])

    def _reading(self, item: Located, index: int, fresh: Smoothed | None) -> Reading:
        face, size_px = item.faces[index], item.cut.sizes_px[index]
        reason = item.cut.flaws[index]
        known = fresh or self._smoother.last(_number(face))
        if known is None:
            return Reading(face, size_px, flaw=reason)
        raw = None if fresh is None else fresh.raw
        return Reading(face, size_px, known.label, known.scores, raw, reason)


def _number(face: Face) -> int:
    if face.id is None:
        raise RuntimeError("The tracker reported a face without a number.")
    return face.id


def cut_faces(
    grey: Image,
    faces: Sequence[Face],
    framing: Framing,
    size_wh: tuple[int, int],
    *,
    align: bool = True,
    limits: QualityLimits = NO_LIMITS,
) -> Cut:
    """Cut the training crops of the faces of a picture, and say which are not to be read.

    Args:
        grey: uint8, ``(height, width)``.
        faces: With boxes in the detector's framing.
        framing: Of that detector.
        size_wh: Size of a crop in pixels.
        align: Whether to level the eyes of faces with landmarks.
        limits: What a face needs to be read.
    """
    picture_wh = grey.shape[1], grey.shape[0]
    crops = np.empty((len(faces), size_wh[1], size_wh[0]), np.uint8)
    sizes_px, flaws = [], []
    for face, crop in zip(faces, crops, strict=True):
        square = framing.training_square(face.box)
        crop[:] = crop_aligned(grey, square, face.landmarks_px if align else None, size_wh)
        sizes_px.append(square.w_px)
        flaws.append(flaw(square, picture_wh, crop, limits))
    return Cut(crops, sizes_px, flaws)
