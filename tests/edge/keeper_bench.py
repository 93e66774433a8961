"""A keeper of a camera for tests, in a time that they choose."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from fer_edge.edge import keeper as module
from fer_edge.edge.errors import CameraError
from fer_edge.edge.keeper import CameraKeeper
from fer_edge.edge.worker import Worker

from .conftest import ScriptedCamera, raising

GONE = raising(CameraError("The cable is out."))
AWAY = raising(CameraError("nobody answers"))


class Clock:
    """Time that passes by sleeping, and jitter that a test chooses."""

    def __init__(self):
        self.now_s, self.jitter, self.asked = 100.0, 1.0, set()

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += seconds
        assert self.now_s < 10_000, "it waits for ever"

    def uniform(self, low: float, high: float) -> float:
        self.asked.add((low, high))
        return self.jitter


class Bench:
    """A keeper, its thread (which is not started: the test is it), and what was said."""

    def __init__(self, clock: Clock, camera: ScriptedCamera, *, retries: bool = True):
        self.clock, self.camera, self.said = clock, camera, []
        self.worker, self.stop = Worker("capture", lambda _: None), False
        self.keeper = CameraKeeper(
            camera, retries=retries, say=self.said.append, stopping=lambda: self.stop
        )

    def indices(self, **options) -> list[int]:
        return [frame.index for frame in self.keeper.frames(self.worker, **options)]

    def give_up(self) -> None:
        """As the watchdog does it in the middle of a call."""
        assert self.worker.give_up(-1.0)


@contextmanager
def a_clock() -> Iterator[Clock]:
    made = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", made)
        patch.setattr(module, "random", made)
        yield made


def live(count: int | None = None, **options) -> ScriptedCamera:
    """A camera that says of itself that it is there, unless told otherwise."""
    return ScriptedCamera(count, lossless=False, **{"here": lambda: True, **options})


def pauses(times_s: Iterable[float], since_s: float = 100.0) -> list[float]:
    times = [since_s, *times_s]
    return [round(after - before, 6) for before, after in pairwise(times)]
