"""The loop: capture, detect and classify, each on a thread of its own, for one caller.

::

    with open_camera("demo") as camera:
        for result in Pipeline(camera, open_detector(), EmotionClassifier.open()).results():
            print(result.frame.index, result.readings)

Files are lossless: a slow stage makes the others wait. Cameras are newest-wins: a slow stage skips
frames, which are counted. At any moment ``captured = delivered + dropped + in flight``.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .alignment import crop_aligned
from .channel import Channel, ChannelClosed
from .framing import Framing, to_grey
from .records import EmotionScores, Face, Frame, Image, Reading, Result
from .telemetry import Snapshot, Telemetry
from .tracking import Tracker

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# A device read may block for its 2 s limit; SIGTERM has to be done in 3.
_JOIN_LIMIT_S = 2.5
# How often the caller's thread looks whether it was asked to stop.
_POLL_S = 0.1


class Source(Protocol):
    """What the loop needs of a camera (``fer_edge.edge.Camera`` is one)."""

    lossless: bool

    def read(self) -> Frame | None:
        """The next frame, or None at the end."""
        ...


class Finder(Protocol):
    """What the loop needs of a detector."""

    framing: Framing

    def detect(self, picture: Image) -> list[Face]:
        """The faces of a picture, grey or blue-green-red."""
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


class Sink(Protocol):
    """Where results go; called in the caller's thread."""

    def write(self, result: Result) -> None:
        """Take one result."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Detected:
    """A frame between the detector and the classifier, with its crops already cut."""

    frame: Frame
    faces: Sequence[Face]
    crops: NDArray[np.uint8]


class Pipeline:
    """Owns the threads between a camera and the caller. It runs once."""

    def __init__(self, camera: Source, detector: Finder, classifier: Namer, *, align: bool = True):
        """Wire the stages together; nothing starts yet.

        Args:
            camera: Where the frames come from.
            detector: Finds the faces.
            classifier: Names their emotions.
            align: Whether to level the eyes of faces with landmarks before they are classified.
        """
        self._camera, self._detector, self._classifier = camera, detector, classifier
        self._align = align
        self._tracker = Tracker()
        self._telemetry = Telemetry()
        # One frame waits for each stage: more would make live results older and files no faster.
        self._frames: Channel[Frame] = Channel(capacity=1, lossless=camera.lossless)
        self._detected: Channel[_Detected] = Channel(capacity=1, lossless=camera.lossless)
        self._results: Channel[Result] = Channel(capacity=1, lossless=camera.lossless)
        self._channels = (self._frames, self._detected, self._results)
        self._stopping = False
        self._lost_lock = threading.Lock()
        self._lost = 0
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []
        #: Names of threads that did not end in time; a native call holds each of them.
        self.abandoned: list[str] = []

    # ------------------------------------------------------------------------ for the caller

    def results(self) -> Iterator[Result]:
        """The results, in the order of their frames, until the end of the camera or :meth:`stop`.

        Raises:
            CameraError: The camera stopped delivering.
            ModelError: The model could not be run.
        """
        self._start()
        try:
            while not self._stopping:
                try:
                    result = self._results.get(timeout_s=_POLL_S)
                except TimeoutError:
                    continue
                except ChannelClosed:
                    break
                # The age that counts is the one at the hand-over, not when the stage was done.
                result = Result(result.frame, result.readings, time.monotonic_ns())
                self._telemetry.passed("deliver", result.age_ms)
                yield result
        finally:
            self._end()
        if self._error is not None:
            raise self._error

    def run(self, sinks: Iterable[Sink]) -> None:
        """Hand every result to every sink, until the end. Raises what :meth:`results` raises."""
        sinks = list(sinks)
        for result in self.results():
            for sink in sinks:
                sink.write(result)

    def stop(self) -> None:
        """Ask the loop to end; it does so within 3 s. Safe in a signal handler and any thread."""
        # Only a flag: a handler that took a lock could find it held by the thread it interrupts.
        self._stopping = True

    def snapshot(self) -> Snapshot:
        """Rates, counts and ages at this moment."""
        dropped = self._lost + sum(channel.counts()["dropped"] for channel in self._channels)
        return self._telemetry.snapshot(dropped)

    # --------------------------------------------------------------------------- the threads

    def _start(self) -> None:
        if self._threads:
            raise RuntimeError("A Pipeline runs once; make a new one for another run.")
        stages: dict[str, Callable[[], None]] = {
            "capture": self._capture,
            "detect": lambda: self._stage(self._frames, self._detected, self._detect),
            "classify": lambda: self._stage(self._detected, self._results, self._classify),
        }
        for name, work in stages.items():
            # Daemons, because Python can neither kill nor join a thread stuck in native code.
            thread = threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            # Whatever it is, the caller's thread must hear of it: it is raised there.
            self._error = self._error or error
            for channel in self._channels:
                channel.close(discard=True)

    def _capture(self) -> None:
        while not self._stopping:
            frame = self._camera.read()
            if frame is None:
                break
            self._telemetry.passed("capture")
            if not self._frames.put(frame):
                break
        self._frames.close()

    def _stage(
        self, source: Channel[_In], target: Channel[_Out], work: Callable[[_In], _Out]
    ) -> None:
        for item in source:
            try:
                done = work(item)
            except BaseException:
                with self._lost_lock:
                    self._lost += 1
                raise
            if not target.put(done):
                break
        target.close()

    def _detect(self, frame: Frame) -> _Detected:
        grey = to_grey(frame.image)
        faces = self._tracker.update(self._detector.detect(frame.image), frame.captured_ns)
        framing, size_wh = self._detector.framing, self._classifier.size_wh
        crops = crop_faces(grey, faces, framing, size_wh, align=self._align)
        self._telemetry.passed("detect")
        return _Detected(frame, faces, crops)

    def _classify(self, item: _Detected) -> Result:
        scores = self._classifier.classify(item.crops)
        readings = [Reading(*pair) for pair in zip(item.faces, scores, strict=True)]
        self._telemetry.passed("classify")
        return Result(item.frame, readings, time.monotonic_ns())

    def _end(self) -> None:
        """Close everything and wait for the threads, but not for ever."""
        self._stopping = True
        for channel in self._channels:
            channel.close(discard=True)
        deadline = time.monotonic() + _JOIN_LIMIT_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.abandoned = [thread.name for thread in self._threads if thread.is_alive()]


def crop_faces(
    grey: Image,
    faces: Sequence[Face],
    framing: Framing,
    size_wh: tuple[int, int],
    *,
    align: bool = True,
) -> NDArray[np.uint8]:
    """The training crops of the faces of a picture.

    Args:
        grey: uint8, ``(height, width)``.
        faces: With boxes in the detector's framing.
        framing: Of that detector.
        size_wh: Size of a crop in pixels.
        align: Whether to level the eyes of faces with landmarks.

    Returns:
        uint8, ``(len(faces), size_wh[1], size_wh[0])``.
    """
    crops = np.empty((len(faces), size_wh[1], size_wh[0]), np.uint8)
    for index, face in enumerate(faces):
        landmarks = face.landmarks_px if align else None
        crops[index] = crop_aligned(grey, framing.training_square(face.box), landmarks, size_wh)
    return crops
