"""The loop: capture, detect and classify, each on a thread of its own, for one caller.

::

    with open_camera("demo") as camera:
        for result in Pipeline(camera, open_detector(), EmotionClassifier.open()).results():
            print(result.frame.index, result.readings)

Files are lossless: a slow stage makes the others wait. Cameras are newest-wins: a slow stage skips
frames, which are counted. At any moment ``captured = delivered + dropped + in flight``. A live
camera that goes is opened again, and a thread that hangs in a native call is replaced.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from .channel import Channel, ChannelClosed
from .errors import StuckError
from .keeper import CameraKeeper, Source
from .load import LoadControl
from .records import Frame, Result
from .stages import EmotionStage, FaceStage, Finder, Located, LoopSettings, Namer
from .telemetry import Snapshot, Telemetry
from .worker import GivenUp, Worker

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# Of the stages, those that have one.
_THREADS = ("capture", "detect", "classify")
# A device read may block for its 2 s limit; SIGTERM has to be done in 3.
_JOIN_LIMIT_S = 2.2
# How often a thread that waits looks whether it was asked to stop.
_POLL_S = 0.1
# Threads that hang at the same time: each holds memory, and often a device.
_MOST_STUCK = 50
# How often the watchdog looks at the stages, in seconds.
_WATCH_S = 0.25

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where results go; called in the caller's thread."""

    def write(self, result: Result) -> None:
        """Take one result."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Captured:
    """A frame, and how often its camera had gone before."""

    frame: Frame
    epoch: int


class Pipeline:
    """Owns the threads between a camera and the caller. It runs once."""

    def __init__(
        self,
        camera: Source,
        detector: Finder,
        classifier: Namer,
        settings: LoopSettings | None = None,
        *,
        say: Callable[[str], None] = _log.warning,
    ):
        """Wire the stages together; nothing starts yet.

        Args:
            camera: Where the frames come from. It stays the caller's to close; those that take its
                place are closed here.
            detector: Finds the faces.
            classifier: Names their emotions.
            settings: How; None is the default of each.
            say: Takes a sentence for people when something happens that they should know, from any
                thread.

        Raises:
            UsageError: A setting is out of its range.
        """
        self._settings = settings or LoopSettings()
        self._live = not camera.lossless
        self._say = say
        retries = self._live and self._settings.retry
        self._keeper = CameraKeeper(
            camera, retries=retries, say=say, stopping=lambda: self._stopping
        )
        self._faces = FaceStage(detector, classifier.size_wh, self._settings)
        fps = camera.fps if self._live else None
        self._emotions = EmotionStage(classifier, self._settings, fps)
        self._load = LoadControl(self._settings.max_age_ms, say)
        self._telemetry = Telemetry()
        # One frame waits for each stage: more would make live results older and files no faster.
        self._frames: Channel[_Captured] = Channel(capacity=1, lossless=camera.lossless)
        self._located: Channel[Located] = Channel(capacity=1, lossless=camera.lossless)
        self._results: Channel[Result] = Channel(capacity=1, lossless=camera.lossless)
        # By the stage that takes from it.
        self._waiting: dict[str, Channel] = {
            "detect": self._frames,
            "classify": self._located,
            "deliver": self._results,
        }
        self._stopping = False
        self._lock = threading.Lock()
        self._lost: Counter[str] = Counter()
        self._captured = 0
        self._given_up = GivenUp()
        self._error: BaseException | None = None
        self._workers: dict[str, Worker] = {}
        self._stuck: list[Worker] = []
        self._done = threading.Event()
        #: Names of threads that have not ended with the loop; a native call holds each of them.
        self.abandoned: list[str] = []

    # ------------------------------------------------------------------------ for the caller

    def results(self) -> Generator[Result, None, None]:
        """The results, in the order of their frames, until the end of the camera or :meth:`stop`.

        Raises:
            CameraError: The camera stopped delivering, and is not to be opened again.
            ModelError: The model could not be run.
            StuckError: Native calls hung too often.
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
                if self._live:
                    self._load.note(result.age_ms)
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
        dropped_at = {
            stage: self._lost[stage] + channel.counts()["dropped"]
            for stage, channel in self._waiting.items()
        }
        return replace(
            self._telemetry.snapshot(sum(dropped_at.values())),
            reconnects=self._keeper.reconnects,
            abandoned=self._given_up.count,
            stretch=self._load.stretch,
            dropped_at=dropped_at,
            abandoned_at={stage: self._given_up.by_name[stage] for stage in _THREADS},
        )

    # --------------------------------------------------------------------------- the threads

    def _start(self) -> None:
        if self._workers:
            raise RuntimeError("A Pipeline runs once; make a new one for another run.")
        for name in _THREADS:
            self._work(name, renew=False)
        self._watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._watchdog.start()

    def _work(self, name: str, *, renew: bool) -> None:
        """Start the thread of a stage; with ``renew``, on another camera, detector or model."""
        stage = {"capture": self._capture, "detect": self._detect, "classify": self._classify}[name]

        def work(worker: Worker) -> None:
            try:
                stage(worker, renew)
            except BaseException as error:
                if worker.end():
                    self._fail(error)
            # Here, not in the caller's thread: a device may hang in its closing too.
            if name == "capture" and worker.end():
                self._keeper.close()

        worker = Worker(name, work)
        worker.start()
        self._workers[name] = worker

    def _fail(self, error: BaseException) -> None:
        # Whatever it is, the caller's thread must hear of it: it is raised there.
        self._error = self._error or error
        for channel in self._waiting.values():
            channel.close(discard=True)

    def _watch(self) -> None:
        """Replace the threads that hang, until the loop ends."""
        try:
            began_s = time.monotonic()
            while not self._done.wait(_WATCH_S):
                late_s = time.monotonic() - began_s - _WATCH_S
                for name, worker in list(self._workers.items()):
                    if late_s > self._settings.stuck_s / 2:
                        # All stood still: Ctrl-Z, or a machine that swaps.
                        worker.restart()
                    else:
                        self._watch_one(name, worker)
                began_s = time.monotonic()
        except BaseException as error:
            # Without a watchdog the loop could stand still for ever.
            self._fail(error)

    def _watch_one(self, name: str, worker: Worker) -> None:
        limit_s = self._settings.stuck_s
        if name == "capture":
            # A slow camera may take its time between two frames.
            limit_s = max(limit_s, self._keeper.slowest_s)
        if not worker.give_up(limit_s):
            return
        self._leave(worker)
        self._given_up.add(name)
        if name == "capture":
            self._keeper.give_up()
        self._work(name, renew=True)
        self._say(
            f"The stage {name} hung for more than {limit_s:g} s: its thread was given up, "
            f"and another one is in its place."
        )

    def _leave(self, worker: Worker) -> None:
        """Account for a thread that was given up."""
        if worker.with_frame:
            self._lose(worker.name)
        # Those that came back meanwhile have ended.
        self._stuck = [*(other for other in self._stuck if other.alive), worker]
        if len(self._stuck) > _MOST_STUCK:
            raise StuckError(
                f"{len(self._stuck)} threads hang in native calls. A new process is needed; a "
                f"supervisor such as systemd starts one."
            )

    def _lose(self, stage: str) -> None:
        with self._lock:
            self._lost[stage] += 1

    def _capture(self, worker: Worker, renew: bool) -> None:
        for frame in self._keeper.frames(worker, renew=renew):
            self._telemetry.passed("capture")
            # A camera that was opened again counts from 0 again; the loop goes on.
            numbered = replace(frame, index=self._captured)
            self._captured += 1
            if not self._frames.put(_Captured(numbered, self._keeper.epoch)):
                break
        if worker.end():
            self._frames.close()

    def _detect(self, worker: Worker, renew: bool) -> None:
        worker.begin()
        stage = self._faces.renew() if renew else self._faces
        if not worker.end():
            return
        self._faces = stage

        def step(item: _Captured) -> Located:
            return stage.step(item.frame, item.epoch, self._load.stretch)

        self._stage(worker, self._frames, self._located, step)

    def _classify(self, worker: Worker, renew: bool) -> None:
        worker.begin()
        stage = self._emotions.renew() if renew else self._emotions
        if not worker.end():
            return
        self._emotions = stage

        def step(item: Located) -> Result:
            return Result(item.frame, stage.step(item), time.monotonic_ns())

        self._stage(worker, self._located, self._results, step)

    def _stage(
        self,
        worker: Worker,
        source: Channel[_In],
        target: Channel[_Out],
        step: Callable[[_In], _Out],
    ) -> None:
        for item in source:
            worker.begin(with_frame=True)
            began_ns = time.monotonic_ns()
            try:
                done = step(item)
            except BaseException:
                if not worker.end():
                    return
                self._lose(worker.name)
                raise
            if not worker.end():
                return
            took_s = (time.monotonic_ns() - began_ns) / 1e9
            self._telemetry.passed(worker.name, took_s=took_s)
            if not target.put(done):
                break
        target.close()

    def _end(self) -> None:
        """Close everything and wait for the threads, but not for ever."""
        self._stopping = True
        self._done.set()
        for channel in self._waiting.values():
            channel.close(discard=True)
        deadline = time.monotonic() + _JOIN_LIMIT_S
        self._watchdog.join(_JOIN_LIMIT_S)
        for worker in self._workers.values():
            if worker in self._stuck or worker.join(max(0.0, deadline - time.monotonic())):
                continue
            if worker.give_up(0.0):
                self._leave(worker)
            else:
                self._stuck.append(worker)
        self.abandoned = [worker.name for worker in self._stuck if worker.alive]
