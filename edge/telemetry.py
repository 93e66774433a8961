"""What the loop measures of itself: rates and times a stage, drops, and the age of results."""

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

STAGES = ("capture", "detect", "classify", "deliver")
# A rate is over the last two seconds: long enough to stand still, short enough to show a change.
_WINDOW_NS = 2_000_000_000
# Ages, and moments at which a frame passed a stage; where more of these fall into the window, the
# rate is over those that are kept.
_KEPT = 512
#: Upper bounds of the buckets of a :class:`Histogram`, in seconds: fixed, so that histograms of
#: several devices can be added. From a stage of a desktop to a result that is of no use any more.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often something took how long, since the start.

    Attributes:
        counts: How many fell into each of :data:`BUCKETS_S`, and in the end how many took longer.
        sum_s: All of it together, in seconds.
    """

    counts: tuple[int, ...] = (0,) * (len(BUCKETS_S) + 1)
    sum_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a running loop at one moment.

    Attributes:
        fps: Frames a second of each stage over the last two seconds.
        total_fps: Delivered frames a second since the start.
        captured: Frames that the camera handed over.
        delivered: Results that the caller got.
        dropped: Frames that a newer one replaced, or that the end of the loop overtook.
        age_ms: Median age of the last 512 results when they were delivered.
        age_p95_ms: Their 95th percentile.
        reconnects: How often a camera that had gone came back.
        abandoned: Threads that were given up because a native call did not come back.
        stretch: How much detections are spread because the machine does not keep up, from 1 on.
        dropped_at: Of the dropped ones, how many waited for a stage or were lost in it.
        abandoned_at: Of the threads that were given up, how many were of each stage.
        took: How long each stage worked on a frame; of "deliver" how old the results were.
    """

    fps: dict[str, float]
    total_fps: float
    captured: int
    delivered: int
    dropped: int
    age_ms: float
    age_p95_ms: float
    reconnects: int = 0
    abandoned: int = 0
    stretch: float = 1.0
    dropped_at: Mapping[str, int] = field(default_factory=dict)
    abandoned_at: Mapping[str, int] = field(default_factory=dict)
    took: Mapping[str, Histogram] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        """Frames that are captured and neither delivered nor dropped yet."""
        return self.captured - self.delivered - self.dropped


@dataclass(slots=True)
class _Counts:
    """What is counted of one stage: the last moments, and all since the start."""

    times: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    passed: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_s: float = 0.0


class Telemetry:
    """Counters that every thread of the loop may write and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of = {stage: _Counts() for stage in STAGES}
        self._ages_ms: deque[float] = deque(maxlen=_KEPT)
        self._began_ns: int | None = None

    def passed(
        self, stage: str, age_ms: float | None = None, *, took_s: float | None = None
    ) -> None:
        """Note that a frame has passed a stage just now.

        Args:
            stage: One of :data:`STAGES`.
            age_ms: How old the frame is, which the last stage says.
            took_s: How long the stage worked on it, in seconds, which those between say.
        """
        now, counts = time.monotonic_ns(), self._of[stage]
        with self._lock:
            if self._began_ns is None:
                self._began_ns = now
            counts.passed += 1
            counts.times.append(now)
            if age_ms is not None:
                self._ages_ms.append(age_ms)
                took_s = age_ms / 1e3
            if took_s is not None:
                counts.buckets[bisect_left(BUCKETS_S, took_s)] += 1
                counts.sum_s += took_s

    def snapshot(self, dropped: int) -> Snapshot:
        """The state now; the channels know how much was dropped."""
        now = time.monotonic_ns()
        with self._lock:
            ages = sorted(self._ages_ms) or [0.0]
            began = self._began_ns or now
            fps = {}
            for stage, counts in self._of.items():
                times = counts.times
                # At the start the window is not full yet, and dividing by all of it would lie.
                since = max(now - _WINDOW_NS, began, times[0] if len(times) == _KEPT else 0)
                fps[stage] = sum(then >= since for then in times) * 1e9 / max(now - since, 1)
            return Snapshot(
                fps=fps,
                total_fps=self._of["deliver"].passed * 1e9 / max(now - began, 1),
                captured=self._of["capture"].passed,
                delivered=self._of["deliver"].passed,
                dropped=dropped,
                age_ms=ages[len(ages) // 2],
                age_p95_ms=ages[int(len(ages) * 0.95)],
                took={
                    stage: Histogram(tuple(counts.buckets), counts.sum_s)
                    for stage, counts in self._of.items()
                },
            )
