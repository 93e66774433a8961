"""The time of frames, and which of them the detector looks at; docs/tracking.md has the reasons."""

from .errors import UsageError

# A stamp from further back is no late frame: the clock was set.
_SET_BACK_NS = 500_000_000


class FrameClock:
    """Time that never runs backwards, from time stamps that may."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._now_ns = 0

    def tick(self, captured_ns: int) -> int:
        """Take the time stamp of a frame.

        A frame that comes a little late (out of order) takes no time. A stamp from further back
        than half a second means that the clock was set back: it counts from there.

        Returns:
            Nanoseconds since the first frame, never fewer than before.
        """
        step_ns = captured_ns - (captured_ns if self._last_ns is None else self._last_ns)
        if step_ns >= 0 or step_ns < -_SET_BACK_NS:
            self._now_ns += max(0, step_ns)
            self._last_ns = captured_ns
        return self._now_ns


class DetectionSchedule:
    """Which frames the detector looks at: every so many, or as many as the faces ask for."""

    #: ``auto`` looks at least so often, in seconds: a newcomer waits no longer.
    LONGEST_S = 0.3

    def __init__(self, every: int | str = "auto", *, fewest_frames: int = 2):
        """Plan; the first frame is always due.

        Args:
            every: The detector looks at every so many frames; or ``"auto"``: when the tracker has
                doubts, and every 0.3 s at the latest.
            fewest_frames: ``auto`` looks at one in so many frames at most, whatever the doubts.

        Raises:
            UsageError: It is neither a number from 1 on nor ``"auto"``.
        """
        if every != "auto" and (not isinstance(every, int) or every < 1):
            raise UsageError(f"Expected 'auto' or a number of frames from 1 on, got {every!r}.")
        self._every = every if isinstance(every, int) else None
        self._fewest = fewest_frames
        self._clock = FrameClock()
        self._looked_ns: int | None = None
        self._before_ns = 0
        self._frames = 0
        #: How much to spread detections because the machine does not keep up: 1 (not) and above.
        self.stretch = 1.0

    def due(self, captured_ns: int, doubt: str = "") -> bool:
        """Whether to detect in this frame. To be asked once for each frame, in their order.

        Args:
            captured_ns: Monotonic time of the frame, in nanoseconds.
            doubt: :attr:`Tracker.doubt` after the frame before.
        """
        now_ns = self._clock.tick(captured_ns)
        frame_ns, self._before_ns = now_ns - self._before_ns, now_ns
        self._frames += 1
        if self._looked_ns is None:
            due = True
        elif self._every is not None:
            due = self._frames >= self._every * self.stretch
        else:
            # The next frame would be too late.
            late = now_ns - self._looked_ns + frame_ns > self.LONGEST_S * 1e9 * self.stretch
            due = late or (bool(doubt) and self._frames >= self._fewest * self.stretch)
        if due:
            self._looked_ns, self._frames = now_ns, 0
        return due
