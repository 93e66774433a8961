"""Looking less often when the machine does not keep up: from the age of results to a factor."""

import time
from collections.abc import Callable
from statistics import median

# So long a look back, and so long in a row below half of the limit before it goes back a step.
_WINDOW_S, _CALM_S = 1.0, 5.0
_STEP, _MOST = 1.5, 8.0
# Of fewer results than these a median says nothing.
_FEWEST = 3


class LoadControl:
    """How much to spread detections so that results stay young. It belongs to one thread."""

    def __init__(
        self,
        max_age_ms: float,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        """Start without need.

        Args:
            max_age_ms: Results are to be no older than this, in milliseconds.
            say: Takes a sentence for people, at the first step away and at the last step back.
            clock: Seconds that only grow; tests bring their own.
        """
        self._max_age_ms, self._say, self._clock = max_age_ms, say, clock
        self._ages_ms: list[float] = []
        self._since_s = self._calm_since_s = clock()
        #: From 1 (as often as asked) to 8.
        self.stretch = 1.0

    def note(self, age_ms: float) -> None:
        """Take the age of a result at its delivery, in milliseconds."""
        self._ages_ms.append(age_ms)
        now_s = self._clock()
        if now_s - self._since_s < _WINDOW_S or len(self._ages_ms) < _FEWEST:
            return
        typical_ms = median(self._ages_ms)
        self._ages_ms.clear()
        self._since_s = now_s
        if typical_ms > self._max_age_ms:
            self._calm_since_s = now_s
            self._set(min(_MOST, self.stretch * _STEP), typical_ms)
        elif typical_ms > self._max_age_ms / 2:
            # Between the two it stays: a way back at once would swing to and fro.
            self._calm_since_s = now_s
        elif now_s - self._calm_since_s >= _CALM_S:
            self._calm_since_s = now_s
            self._set(max(1.0, self.stretch / _STEP), typical_ms)

    def _set(self, stretch: float, typical_ms: float) -> None:
        before, self.stretch = self.stretch, stretch
        if before == 1.0 < stretch:
            self._say(
                f"Results are {typical_ms:.0f} ms old, over the {self._max_age_ms:.0f} ms of "
                f"--max-age: faces are detected less often from here on."
            )
        elif stretch == 1.0 < before:
            self._say("Results are young again: faces are detected as often as asked.")
