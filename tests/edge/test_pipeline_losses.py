"""The loop where cameras go, come back and send strange pictures, and where it ends."""

import os
import random
import threading
import time
from collections.abc import Callable
from itertools import pairwise, repeat
from pathlib import Path

import numpy as np
import pytest

from fer_edge.edge import pipeline
from fer_edge.edge.cameras.faulty import Fault, FaultyCamera, random_faults
from fer_edge.edge.errors import CameraError, StuckError
from fer_edge.edge.quality import NO_LIMITS
from fer_edge.edge.records import Frame
from fer_edge.edge.stages import LoopSettings

from .conftest import (
    ScriptedCamera,
    ScriptedClassifier,
    ScriptedDetector,
    a_frame,
    raising,
    stage_threads,
    wait_until,
)
from .loops import GONE, Loop, live

pytestmark = pytest.mark.usefixtures("no_threads_left", "impatient_loop")


# ------------------------------------------------------------------------- cameras that come and go


class Held(ScriptedCamera):
    """A camera that holds a descriptor, as a device does."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._descriptor: int | None = os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        super().close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("cycles", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_a_camera_that_goes_again_and_again_costs_nothing(cycles):
    opened: list[Held] = []

    def opens() -> Held:
        last = len(opened) == cycles
        at = None if last else {5: GONE}
        opened.append(Held(5 if last else None, lossless=False, pause_s=0.002, at=at))
        return opened[-1]

    away = raising(CameraError("nobody answers"))
    before, threads = descriptors(), threading.active_count()
    with_thread = []
    first = opens()
    first._renews = iter([away, opens] * cycles)
    loop = Loop(first).play(lambda: with_thread.append(threading.active_count()))

    assert len(opened) == cycles + 1
    snapshot = loop.pipeline.snapshot()
    assert (snapshot.reconnects, snapshot.captured) == (cycles, 5 * (cycles + 1))
    assert all(camera.closed for camera in opened)
    # Fewer where what an earlier test left was swept up meanwhile.
    assert descriptors() <= before
    assert max(with_thread) <= threads + 5, "three stages, the watchdog and the test's own timer"
    assert threading.active_count() <= threads
    assert [text == "scripted is back." for text in loop.said] == [False, True] * cycles
    # Every five frames are another life, in which faces have other numbers.
    lives: dict[int, set] = {}
    for result in loop.results:
        life = lives.setdefault(result.frame.index // 5, set())
        life |= {reading.face.id for reading in result.readings}
    assert all(max(before) < min(after) for before, after in pairwise(lives.values()))


def test_without_retries_a_lost_camera_is_the_end():
    settings = LoopSettings(detect_every=1, limits=NO_LIMITS, retry=False)
    loop = Loop(live(at={5: GONE}, renews=[lambda: live()]), settings=settings)

    with pytest.raises(CameraError, match="The cable is out"):
        loop.play()
    assert loop.said == []


def test_a_camera_in_the_place_of_the_first_may_hang_in_its_closing(hangs, monkeypatch):
    monkeypatch.setattr(pipeline, "_JOIN_LIMIT_S", 0.3)
    second = live(on_close=hangs())
    loop = Loop(live(at={3: GONE}, renews=[lambda: second]))
    loop.play(loop.more(5, lambda: second.handed_over))

    assert loop.pipeline.abandoned == ["capture"]


def test_a_camera_that_opens_after_the_end_is_closed(hangs, monkeypatch):
    monkeypatch.setattr(pipeline, "_JOIN_LIMIT_S", 0.1)
    hang, second = hangs(), live()

    def opens() -> ScriptedCamera:
        loop.pipeline.stop()
        hang()
        return second

    loop = Loop(live(at={3: GONE}, renews=[opens]))
    loop.play()
    assert loop.pipeline.abandoned == ["capture"]

    hang.let_go()

    wait_until(lambda: stage_threads() == [])
    assert (second.closed, second.handed_over) == (True, 0)
    loop.check()


# ------------------------------------------------------------------------------ strange pictures


def strange_frames(seed: int) -> Callable[[int], Frame]:
    """Frames whose size, colour, index and clocks jump."""
    chance = random.Random(seed)
    sizes = [(64, 64), (32, 48), (1, 1), (320, 240), (3, 200)]
    state = {"size": sizes[0], "offset_ns": 0}

    def make(index: int) -> Frame:
        if chance.random() < 0.2:
            state["size"] = chance.choice(sizes)
        if chance.random() < 0.1:
            state["offset_ns"] = chance.randrange(-(10**13), 10**13)
        width, height = state["size"]
        shape = (height, width, 3)[: chance.choice([2, 3])]
        return a_frame(
            index * chance.choice([0, 1, 7]),
            image=np.full(shape, chance.randrange(256), np.uint8),
            captured_ns=time.monotonic_ns() + state["offset_ns"],
            luma=np.full((height, width), 9, np.uint8) if chance.random() < 0.3 else None,
            stream_ns=chance.choice([None, index, -index * 10**9]),
        )

    return make


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("lossless", [True, False])
def test_strange_pictures_end_nothing(lossless, seed):
    # A burst of frames as fast as they can be taken, by a camera that claims 30 a second.
    camera = ScriptedCamera(150, lossless=lossless, frames=strange_frames(seed))
    loop = Loop(camera, settings=LoopSettings()).play()

    assert loop.pipeline.snapshot().captured == 150
    assert loop.indices[-1] == 149
    assert loop.indices == list(range(150)) or not lossless
    assert loop.abandoned == 0


# ---------------------------------------------------------------------------- ends, at any moment

SEEDS = [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 100))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stop_at_any_moment_ends_the_loop(seed, hangs, monkeypatch):
    # Of what hangs nothing comes back within any limit, so that a short one will do.
    limit_s, chance = 0.2, random.Random(seed)
    monkeypatch.setattr(pipeline, "_JOIN_LIMIT_S", limit_s)
    stuck_s = 0.3
    faults = [Fault("disconnect", failures=2), Fault("hang"), Fault("size"), Fault("burst")]
    camera = FaultyCamera(live(renews=repeat(live)), random_faults(seed, 0.03, faults))
    detector = ScriptedDetector(pause_s=0.002, at={chance.randrange(60): hangs()})
    classifier = ScriptedClassifier(pause_s=0.002, at={chance.randrange(60): hangs()})
    settings = LoopSettings(limits=NO_LIMITS, stuck_s=stuck_s)
    loop, stopped_s = Loop(camera, detector, classifier, settings), []

    def stop() -> None:
        stopped_s.append(time.monotonic())
        loop.pipeline.stop()

    timer = threading.Timer(chance.uniform(0, 1.2), stop)
    timer.start()
    try:
        loop.play()
    except StuckError:
        assert loop.abandoned == 5
    finally:
        timer.cancel()
        timer.join()
        assert stage_threads() == sorted(loop.pipeline.abandoned)
        camera.release()
    # What the product documents with its limit of 2.2 s is 3 s; and room for a busy machine.
    assert not stopped_s or time.monotonic() - stopped_s[0] < limit_s + 0.5 + 2


def test_frames_that_stuck_threads_hold_at_the_end_are_dropped(hangs, monkeypatch):
    monkeypatch.setattr(pipeline, "_JOIN_LIMIT_S", 0.1)
    one, other = hangs(), hangs()
    loop = Loop(
        detector=ScriptedDetector(at={9: one}), classifier=ScriptedClassifier(at={3: other})
    )
    timer = threading.Timer(
        0, lambda: (wait_until(lambda: one.entered and other.entered), loop.pipeline.stop())
    )
    timer.start()
    loop.play()
    timer.join()
    assert loop.pipeline.abandoned == ["detect", "classify"]

    one.let_go()
    other.let_go()

    wait_until(lambda: stage_threads() == [])
    loop.check()


@pytest.mark.parametrize("error", [OSError("no terminal"), KeyboardInterrupt()])
def test_who_cannot_be_told_of_a_hang_ends_the_loop_and_does_not_stop_its_watchdog(error, hangs):
    loop = Loop(detector=ScriptedDetector(at={3: hangs()}))
    loop.pipeline._say = lambda _: raising(error)()

    with pytest.raises(type(error)) as caught:
        loop.play()
    assert caught.value is error
