"""The loop where things hang, go away and come back: it goes on, and every frame is accounted for.

The limits here are short; those of the product are 10 s for a call and 2.2 s for the end.
"""

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from fer_edge.edge import load, pipeline, worker
from fer_edge.edge.errors import CameraError, ModelError, StuckError
from fer_edge.edge.quality import NO_LIMITS
from fer_edge.edge.stages import LoopSettings

from .conftest import (
    HANG_S,
    ScriptedCamera,
    ScriptedClassifier,
    ScriptedDetector,
    a_frame,
    raising,
    stage_threads,
)
from .loops import STUCK_S, Loop, live

pytestmark = pytest.mark.usefixtures("no_threads_left", "impatient_loop")


def hanging(stage: str, hang: Callable[[], object], call: int, **options) -> dict:
    """The stand-in of a stage that hangs in a call, as an argument of :class:`Loop`."""
    made = {"camera": live, "detector": ScriptedDetector, "classifier": ScriptedClassifier}[stage]
    return {stage: made(at={call: hang}, **options)}


NAMES = {"camera": "capture", "detector": "detect", "classifier": "classify"}
MODELS = ("detector", "classifier")


# --------------------------------------------------------------------------------- hangs, replaced


@pytest.mark.parametrize("stage", NAMES)
def test_a_stage_that_hangs_is_replaced_and_the_loop_goes_on(stage, hangs):
    options = {"renews": [lambda: live()]} if stage == "camera" else {}
    loop = Loop(**hanging(stage, hangs(), 3, **options))
    loop.play(loop.more(10, lambda: loop.abandoned))

    said = [text for text in loop.said if "hung" in text]
    assert len(said) == loop.abandoned == 1
    assert said[0].startswith(f"The stage {NAMES[stage]} hung for more than {STUCK_S:g} s")
    assert loop.pipeline.abandoned == stage_threads() == [NAMES[stage]], "still stuck, and named"


@pytest.mark.parametrize("stage", MODELS)
def test_of_a_file_only_the_frame_that_hung_is_lost(stage, hangs):
    loop = Loop(ScriptedCamera(20), **hanging(stage, hangs(), 3)).play()

    assert loop.indices == [n for n in range(20) if n != 3]
    snapshot = loop.pipeline.snapshot()
    assert (snapshot.captured, snapshot.delivered, snapshot.dropped) == (20, 19, 1)


def test_after_each_hang_of_the_detector_faces_have_new_numbers(hangs):
    # With times of its own, so that the half second of the hang ends no track.
    clip = ScriptedCamera(20, frames=lambda n: a_frame(n, stream_ns=n * 33_000_000))
    second = ScriptedDetector(at={5: hangs()})
    loop = Loop(clip, ScriptedDetector(at={3: hangs()}, renews=[lambda: second])).play()

    numbers = [result.readings[0].face.id for result in loop.results]
    assert numbers == [1] * 3 + [2] * 5 + [3] * 10


@pytest.mark.parametrize("stage", MODELS)
def test_what_hangs_in_turn_is_asked_for_the_next_one(stage, hangs):
    (third,) = hanging(stage, hangs(), 99).values()
    (second,) = hanging(stage, hangs(), 5, renews=[lambda: third]).values()
    Loop(ScriptedCamera(20), **hanging(stage, hangs(), 3, renews=[lambda: second])).play()

    assert (second.calls, third.calls) == (6, 10)


def test_after_a_hang_of_the_camera_faces_have_new_numbers_and_the_count_goes_on(hangs):
    second = live()
    loop = Loop(live(at={3: hangs()}, renews=[lambda: second]))
    loop.play(loop.more(10, lambda: second.handed_over))

    assert loop.pipeline.snapshot().captured == 3 + second.handed_over
    for result in loop.results:
        assert result.readings[0].face.id == (1 if result.frame.index < 3 else 2)
    assert loop.said[-1] == "scripted is back."
    assert second.closed
    assert not loop.camera.closed, "it is stuck, and the caller's"


@pytest.mark.parametrize("stage", NAMES)
def test_a_stuck_thread_that_comes_back_changes_nothing(stage, hangs):
    hang = hangs()
    options = {"renews": [lambda: live()]} if stage == "camera" else {}
    loop = Loop(**hanging(stage, hang, 3, **options))
    names = sorted(NAMES.values())

    def back() -> bool:
        if loop.abandoned:
            hang.let_go()
        return bool(loop.abandoned) and stage_threads() == names

    loop.play(loop.more(20, back))

    assert loop.abandoned == 1
    assert loop.pipeline.abandoned == [], "it has ended since"
    if stage == "camera":
        assert loop.camera.closed, "nobody else would let go of the device"
        numbers = {result.readings[0].face.id for result in loop.results}
        assert numbers <= {1, 2}


@pytest.mark.parametrize("stage", NAMES)
def test_a_renewal_that_hangs_is_given_up_as_well(stage, hangs):
    hang, second = hangs(), hangs()
    third = live() if stage == "camera" else None
    loop = Loop(**hanging(stage, hang, 3, renews=[second, lambda: third]))
    loop.play(loop.more(10, lambda: loop.abandoned == 2))

    assert (hang.entered, second.entered) == (1, 1)
    assert loop.pipeline.abandoned == [NAMES[stage]] * 2


@pytest.mark.parametrize("stage", MODELS)
def test_a_renewal_that_fails_ends_the_loop_with_its_error(stage, hangs):
    gone = raising(ModelError("The model's file is not there any more."))
    loop = Loop(**hanging(stage, hangs(), 3, renews=[gone]))

    with pytest.raises(ModelError, match="not there any more"):
        loop.play()
    assert loop.pipeline.abandoned == [NAMES[stage]]


@pytest.mark.parametrize("stage", NAMES)
def test_five_hangs_within_a_minute_end_the_loop(stage, hangs, monkeypatch):
    monkeypatch.setattr(pipeline, "_JOIN_LIMIT_S", HANG_S)
    again = [lambda: next(iter(hanging(stage, hangs(), 0).values())) for _ in range(9)]
    settings = LoopSettings(detect_every=1, limits=NO_LIMITS, stuck_s=0.2)
    loop = Loop(**hanging(stage, hangs(), 3, renews=again), settings=settings)
    began_s = time.monotonic()

    with pytest.raises(
        StuckError, match=f"5 times within a minute, the last one in {NAMES[stage]}"
    ):
        loop.play()

    assert time.monotonic() - began_s < HANG_S, "who is known to be stuck is not waited for"
    assert loop.abandoned == 5
    assert loop.pipeline.abandoned == [NAMES[stage]] * 5


@pytest.mark.parametrize(("lossless", "retry"), [(True, True), (True, False), (False, False)])
def test_where_a_camera_is_not_opened_again_its_hang_is_the_end(lossless, retry, hangs):
    settings = LoopSettings(detect_every=1, limits=NO_LIMITS, stuck_s=STUCK_S, retry=retry)
    camera = ScriptedCamera(lossless=lossless, at={3: hangs()}, renews=[lambda: live()])
    loop = Loop(camera, settings=settings)

    with pytest.raises(CameraError, match="scripted hangs: a read did not come back"):
        loop.play()
    assert loop.pipeline.abandoned == ["capture"]


def test_a_slow_camera_is_not_taken_for_a_stuck_one():
    camera = live(2, pause_s=1.5 * STUCK_S)
    camera.fps = 1.0
    loop = Loop(camera).play()

    assert (loop.indices, loop.said) == ([0, 1], [])


def test_a_caller_that_takes_its_time_is_not_taken_for_a_hang():
    loop = Loop(ScriptedCamera(6))
    loop.play(lambda: time.sleep(1.5 * STUCK_S if len(loop.results) == 2 else 0))

    assert (loop.indices, loop.said) == (list(range(6)), [])


@pytest.mark.parametrize("lossless", [True, False])
def test_a_process_that_stood_still_has_no_stuck_threads(lossless, monkeypatch):
    # As after Ctrl-Z and fg: the clock went on, and no thread did.
    slept_s = [0.0]
    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() + slept_s[0],
        monotonic_ns=lambda: time.monotonic_ns() + round(slept_s[0] * 1e9),
    )
    for module in (pipeline, worker):
        monkeypatch.setattr(module, "time", clock)

    def sleeps() -> None:
        # In the middle of a call, with looks of the watchdog before and after.
        time.sleep(0.05)
        slept_s[0] += 3600
        time.sleep(0.2)

    loop = Loop(
        ScriptedCamera(8, lossless=lossless, pause_s=0.01, at={2: sleeps}),
        detector=ScriptedDetector(pause_s=0.05, at={4: sleeps}),
    ).play()

    assert slept_s[0] >= 3600
    assert loop.abandoned == 0
    assert not any("hung" in text for text in loop.said)


# --------------------------------------------------------------------------------------- slowness


def test_results_of_a_slow_classifier_are_no_older_than_its_stages():
    """It takes ten times as long as the camera needs for a frame."""
    took_ms: list[float] = []

    class Timed(ScriptedClassifier):
        def classify(self, faces):
            began_s = time.monotonic()
            named = super().classify(faces)
            took_ms.append((time.monotonic() - began_s) * 1000)
            return named

    loop = Loop(live(pause_s=0.005), classifier=Timed(pause_s=0.05))
    loop.play(lambda: len(loop.results) == 20)

    ages_ms = sorted(result.age_ms for result in loop.results)
    assert ages_ms[18] < 4 * max(took_ms), "a queue has built up"
    assert loop.pipeline.snapshot().dropped > 20


def test_where_results_are_too_old_detections_are_spread_and_people_are_told(monkeypatch):
    monkeypatch.setattr(load, "_WINDOW_S", 0.1)
    settings = LoopSettings(detect_every=1, limits=NO_LIMITS, max_age_ms=5.0)
    detector, slow = ScriptedDetector(), ScriptedClassifier(pause_s=0.01)
    loop = Loop(live(), detector, slow, settings)
    # Until faces are followed, which no result is while each frame is looked at.
    loop.play(lambda: not all(result.readings[0].face.detected for result in loop.results))

    assert "over the 5 ms of --max-age" in loop.said[0]
    assert loop.pipeline.snapshot().stretch > 1
    assert detector.calls < len(loop.results) + loop.pipeline.snapshot().dropped
