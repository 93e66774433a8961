"""A pipeline of stand-ins for the tests of what hangs, goes away and comes back."""

import threading
from collections.abc import Callable
from itertools import pairwise

from fer_edge.edge.errors import CameraError
from fer_edge.edge.pipeline import Pipeline
from fer_edge.edge.quality import NO_LIMITS
from fer_edge.edge.stages import LoopSettings

from .conftest import (
    HANG_S,
    ScriptedCamera,
    ScriptedClassifier,
    ScriptedDetector,
    raising,
)

# Well above what a call of the stand-ins takes on a busy machine.
STUCK_S = 0.4
FAULTS = LoopSettings(detect_every=1, limits=NO_LIMITS, stuck_s=STUCK_S)
GONE = raising(CameraError("The cable is out."))


def live(count: int | None = None, **options) -> ScriptedCamera:
    return ScriptedCamera(count, lossless=False, **{"pause_s": 0.001, **options})


class Loop:
    """A pipeline of stand-ins, what it said and what came of it."""

    def __init__(self, camera=None, detector=None, classifier=None, settings=FAULTS):
        self.said: list[str] = []
        self.camera = camera or live()
        self.pipeline = Pipeline(
            self.camera,
            detector or ScriptedDetector(),
            classifier or ScriptedClassifier(),
            settings,
            say=self.said.append,
        )
        self.results = []

    def play(self, until: Callable[[], object] = lambda: False) -> "Loop":
        """Run to the end, or until something is so; a loop that stands still fails."""
        late = threading.Timer(HANG_S, self.pipeline.stop)
        late.start()
        try:
            for result in self.pipeline.results():
                self.results.append(result)
                if until():
                    self.pipeline.stop()
            assert late.is_alive(), "the loop stood still"
        finally:
            late.cancel()
            late.join()
            self.check()
        return self

    def check(self) -> None:
        """What holds whatever happens."""
        snapshot = self.pipeline.snapshot()
        assert snapshot.captured == snapshot.delivered + snapshot.dropped
        assert snapshot.delivered == len(self.results)
        indices = self.indices
        assert all(before < after for before, after in pairwise(indices)), "their order"
        assert not indices or indices[-1] < snapshot.captured, "no index is left out"

    @property
    def indices(self) -> list[int]:
        return [result.frame.index for result in self.results]

    @property
    def abandoned(self) -> int:
        """How many threads were given up."""
        return self.pipeline.snapshot().abandoned

    def more(self, count: int, since: Callable[[], object]) -> Callable[[], bool]:
        """Whether so many results came since something is so."""
        begin: list[int] = []

        def enough() -> bool:
            if not begin and since():
                begin.append(len(self.results))
            return bool(begin) and len(self.results) >= begin[0] + count

        return enough
