"""What the loop measures of itself: rates a stage, drops, and the age of results."""

import threading
import time
from collections import deque
from dataclasses import dataclass

STAGES = ("capture", "detect", "classify", "deliver")
# A rate is over the last two seconds: long enough to stand still, short enough to show a change.
_WINDOW_NS = 2_000_000_000
_AGES_KEPT = 512


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

    @property
    def in_flight(self) -> int:
        """Frames that are captured and neither delivered nor dropped yet."""
        return self.captured - self.delivered - self.dropped


class Telemetry:
    """Counters that every thread of the loop may write and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, deque[int]] = {stage: deque() for stage in STAGES}
        self._counts: dict[str, int] = dict.fromkeys(STAGES, 0)
        self._ages_ms: deque[float] = deque(maxlen=_AGES_KEPT)
        self._began_ns: int | None = None

    def passed(self, stage: str, age_ms: float | None = None) -> None:
        """Note that a frame has passed a stage just now; the last one says how old it is."""
        now = time.monotonic_ns()
        with self._lock:
            if self._began_ns is None:
                self._began_ns = now
            times = self._times[stage]
            times.append(now)
            while times[0] < now - _WINDOW_NS:
                times.popleft()
            self._counts[stage] += 1
            if age_ms is not None:
                self._ages_ms.append(age_ms)

    def snapshot(self, dropped: int) -> Snapshot:
        """The state now; the channels know how much was dropped."""
        now = time.monotonic_ns()
        with self._lock:
            ages = sorted(self._ages_ms) or [0.0]
            elapsed_ns = now - (self._began_ns or now)
            fps = {}
            for stage, times in self._times.items():
                while times and times[0] < now - _WINDOW_NS:
                    times.popleft()
                # At the start the window is not full yet, and dividing by all of it would lie.
                fps[stage] = len(times) * 1e9 / max(min(elapsed_ns, _WINDOW_NS), 1)
            return Snapshot(
                fps=fps,
                total_fps=self._counts["deliver"] * 1e9 / max(elapsed_ns, 1),
                captured=self._counts["capture"],
                delivered=self._counts["deliver"],
                dropped=dropped,
                age_ms=ages[len(ages) // 2],
                age_p95_ms=ages[int(len(ages) * 0.95)],
            )
