"""The loop and its three threads: every frame is accounted for, every end is an end."""

import threading
import time

import pytest

from fer_edge.edge.errors import CameraError, ModelError, SinkError
from fer_edge.edge.pipeline import Pipeline
from fer_edge.edge.quality import NO_LIMITS
from fer_edge.edge.records import Face
from fer_edge.edge.stages import LoopSettings

from .conftest import (
    HANG_S,
    ScriptedCamera,
    ScriptedClassifier,
    ScriptedDetector,
    a_face_at,
    stage_threads,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("no_threads_left")


# The stand-ins' pictures are plain, their cameras do not come back, and every frame counts.
PLAIN = LoopSettings(detect_every=1, limits=NO_LIMITS, retry=False)


def a_pipeline(camera: ScriptedCamera | None = None, **stages) -> Pipeline:
    """A pipeline of stand-ins; a live camera without end unless told otherwise."""
    return Pipeline(
        camera or ScriptedCamera(lossless=False, pause_s=0.001),
        stages.get("detector") or ScriptedDetector(),
        stages.get("classifier") or ScriptedClassifier(),
        stages.get("settings") or PLAIN,
    )


def indices(pipeline: Pipeline, limit: int | None = None) -> list[int]:
    """The indices of the results; after ``limit`` of them the caller breaks the loop off."""
    seen = []
    for result in pipeline.results():
        seen.append(result.frame.index)
        if len(seen) == limit:
            break
    return seen


# ---------------------------------------------------------------------------------------- files

# Each case: which stages are slow. Lossless, the others wait.
SLOW = {
    "none": {},
    "detector": {"detector": 0.003},
    "classifier": {"classifier": 0.003},
    "both": {"detector": 0.001, "classifier": 0.002},
}


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_every_frame_of_a_file_comes_in_order(count, slow):
    pipeline = a_pipeline(
        ScriptedCamera(count),
        detector=ScriptedDetector(pause_s=slow.get("detector", 0)),
        classifier=ScriptedClassifier(pause_s=slow.get("classifier", 0)),
    )

    assert indices(pipeline) == list(range(count))

    snapshot = pipeline.snapshot()
    assert (snapshot.captured, snapshot.delivered, snapshot.dropped) == (count, count, 0)
    assert pipeline.abandoned == []


def test_a_slow_caller_of_a_file_misses_nothing():
    pipeline = a_pipeline(ScriptedCamera(12))
    seen = []
    for result in pipeline.results():
        time.sleep(0.005)
        seen.append(result.frame.index)

    assert seen == list(range(12))


def test_a_result_holds_what_the_stages_found():
    shapes = ScriptedClassifier()
    two = ScriptedDetector(lambda call: [a_face_at(0), a_face_at(20)][: call % 3])
    results = list(a_pipeline(ScriptedCamera(3), detector=two, classifier=shapes).results())

    assert [len(result.readings) for result in results] == [0, 1, 2]
    assert shapes.seen == [(0, 48, 48), (1, 48, 48), (2, 48, 48)]
    assert [reading.face.id for reading in results[2].readings] == [1, 2]
    assert {reading.label for result in results for reading in result.readings} == {"happy"}
    assert all(result.delivered_ns >= result.frame.captured_ns for result in results)


def test_the_age_counts_to_the_hand_over():
    pipeline = a_pipeline(ScriptedCamera(3))
    ages = []
    for result in pipeline.results():
        ages.append(result.age_ms)
        time.sleep(0.1)  # meanwhile the next result waits, and ages

    assert ages[1] >= 50


# ------------------------------------------------------------------------------------ live cameras


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_every_frame_of_a_live_camera_is_delivered_or_counted(slow):
    pipeline = a_pipeline(
        detector=ScriptedDetector(pause_s=2 * slow.get("detector", 0)),
        classifier=ScriptedClassifier(pause_s=2 * slow.get("classifier", 0)),
    )

    seen = indices(pipeline, limit=25)

    assert seen == sorted(set(seen))
    snapshot = pipeline.snapshot()
    assert snapshot.delivered == 25
    assert snapshot.captured == snapshot.delivered + snapshot.dropped
    assert snapshot.in_flight == 0


def test_of_a_live_camera_the_newest_frame_wins():
    camera = ScriptedCamera(lossless=False, pause_s=0.001)
    pipeline = a_pipeline(camera)
    results = pipeline.results()
    next(results)

    # While the caller sleeps, far more frames come than can wait between the stages.
    before = camera.handed_over
    wait_until(lambda: camera.handed_over >= before + 50)
    late = next(results)
    results.close()

    assert late.frame.index >= before + 10, "an old frame was kept for the sake of a new one"
    assert pipeline.snapshot().dropped >= 20


def test_the_end_of_a_live_camera_is_the_end():
    seen = indices(a_pipeline(ScriptedCamera(30, lossless=False, pause_s=0.002)))

    assert seen == sorted(set(seen))
    assert seen[-1] == 29, "the newest is delivered, even if the camera ends after it"


def test_a_live_camera_never_waits_and_few_frames_do():
    camera, slow = ScriptedCamera(lossless=False, pause_s=0.001), ScriptedDetector(pause_s=0.02)
    pipeline, in_flight = a_pipeline(camera, detector=slow), []
    for _ in pipeline.results():
        in_flight.append(pipeline.snapshot().in_flight)
        if len(in_flight) == 15:
            break

    assert camera.handed_over > 3 * slow.calls
    # One may wait before each stage and one be in its hands. The smallest of many, because a
    # snapshot is not taken at one instant.
    assert 0 <= min(in_flight[5:]) <= 6


# ---------------------------------------------------------------------------------------- errors

ERRORS = [CameraError("gone"), ModelError("bad"), RuntimeError("a bug"), KeyboardInterrupt()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("stage", ["camera", "detector", "classifier"])
def test_an_error_in_a_thread_is_raised_to_the_caller(stage, lossless, error):
    fails = {"fails_at": 4, "error": error}
    camera = ScriptedCamera(
        lossless=lossless, pause_s=0.001, **(fails if stage == "camera" else {})
    )
    pipeline = a_pipeline(
        camera,
        detector=ScriptedDetector(**(fails if stage == "detector" else {})),
        classifier=ScriptedClassifier(**(fails if stage == "classifier" else {})),
    )

    with pytest.raises(type(error)) as caught:
        indices(pipeline)

    assert caught.value is error
    assert pipeline.abandoned == []
    snapshot = pipeline.snapshot()
    assert snapshot.captured == snapshot.delivered + snapshot.dropped


def test_the_first_error_is_the_one_that_is_raised():
    camera = ScriptedCamera(fails_at=2, error=CameraError("first"))
    # It fails when the channels close on it, later than the camera.
    wait = threading.Event()

    def finds(call: int) -> list[Face]:
        if call == 0:
            wait.wait(HANG_S)
            raise ModelError("second")
        return []

    pipeline = a_pipeline(camera, detector=ScriptedDetector(finds))
    threading.Timer(0.1, wait.set).start()

    with pytest.raises(CameraError, match="first"):
        indices(pipeline)


def test_a_classifier_that_loses_a_face_is_an_error_not_a_shift():
    silent = ScriptedClassifier()
    silent.classify = lambda faces: []

    with pytest.raises(ValueError, match="shorter"):
        indices(a_pipeline(ScriptedCamera(2), classifier=silent))


# ------------------------------------------------------------------------------------------ ends


@pytest.mark.parametrize("lossless", [True, False])
def test_stop_from_another_thread(lossless):
    pipeline = a_pipeline(ScriptedCamera(lossless=lossless, pause_s=0.001))
    threading.Timer(0.1, pipeline.stop).start()

    assert indices(pipeline)

    assert pipeline.abandoned == []
    assert pipeline.snapshot().in_flight == 0


@pytest.mark.parametrize("lossless", [True, False])
def test_stop_from_within_the_loop(lossless):
    pipeline = a_pipeline(ScriptedCamera(lossless=lossless, pause_s=0.001))
    seen = 0
    for _ in pipeline.results():
        seen += 1
        if seen == 3:
            pipeline.stop()

    assert seen == 3, "no result comes after stop"
    assert pipeline.snapshot().in_flight == 0


def test_stop_while_no_frame_comes():
    pipeline = a_pipeline(camera := ScriptedCamera(hangs_at=0))
    threading.Timer(0.1, pipeline.stop).start()
    # Well after the caller's thread has looked whether it was asked to stop.
    threading.Timer(1.0, camera.release.set).start()

    assert indices(pipeline) == []


def test_stop_before_the_start_ends_at_once():
    pipeline = a_pipeline()
    pipeline.stop()

    assert indices(pipeline) == []


@pytest.mark.parametrize("lossless", [True, False])
def test_breaking_the_loop_off_ends_the_threads(lossless):
    pipeline = a_pipeline(ScriptedCamera(lossless=lossless, pause_s=0.001))

    assert len(indices(pipeline, limit=2)) == 2

    assert stage_threads() == []
    assert pipeline.snapshot().in_flight == 0


def test_a_caller_that_drops_the_loop_ends_the_threads():
    results = a_pipeline().results()
    next(results)
    assert stage_threads() == ["capture", "classify", "detect"]

    del results

    assert stage_threads() == []


def test_a_camera_that_hangs_is_abandoned_in_time_and_named():
    camera = ScriptedCamera(lossless=False, hangs_at=3)
    pipeline = a_pipeline(camera)
    seen = []
    threading.Timer(0.2, pipeline.stop).start()
    began = time.monotonic()
    try:
        seen = indices(pipeline)
        took = time.monotonic() - began
        assert stage_threads() == ["capture"]
    finally:
        camera.release.set()
        wait_until(lambda: stage_threads() == [])

    assert seen[-1] == 2
    assert pipeline.abandoned == ["capture"]
    # The documented limit of 3 s after stop, and some room for a busy machine.
    assert took < 0.2 + 3 + 2
    snapshot = pipeline.snapshot()
    assert snapshot.captured == snapshot.delivered + snapshot.dropped


def test_a_frame_that_comes_after_the_end_is_counted_as_dropped():
    camera = ScriptedCamera(lossless=False, hangs_at=1)
    pipeline = a_pipeline(camera)
    for _ in pipeline.results():
        pipeline.stop()
        threading.Timer(0.1, camera.release.set).start()

    snapshot = pipeline.snapshot()
    assert (snapshot.captured, snapshot.delivered, snapshot.dropped) == (2, 1, 1)


@pytest.mark.parametrize("finish", [True, False])
def test_a_pipeline_runs_once(finish):
    pipeline = a_pipeline(ScriptedCamera(3))
    first = pipeline.results()
    next(first)
    if finish:
        assert len(list(first)) == 2

    with pytest.raises(RuntimeError, match="runs once; make a new one"):
        next(pipeline.results())

    assert len(list(first)) == (0 if finish else 2), "the refusal leaves the running loop alone"


# ----------------------------------------------------------------------------------------- sinks


class Collecting:
    """A sink that keeps the indices, and fails after so many."""

    def __init__(self, fails_after: int | None = None):
        self.seen: list[int] = []
        self._fails_after = fails_after

    def write(self, result) -> None:
        if len(self.seen) == self._fails_after:
            raise SinkError("the disk is full")
        self.seen.append(result.frame.index)


def test_run_hands_every_result_to_every_sink():
    one, other = Collecting(), Collecting()

    a_pipeline(ScriptedCamera(7)).run(sink for sink in (one, other))

    assert one.seen == other.seen == list(range(7))


def test_an_error_of_a_sink_ends_the_run():
    good, full = Collecting(), Collecting(fails_after=2)
    pipeline = a_pipeline(ScriptedCamera())

    with pytest.raises(SinkError, match="full"):
        pipeline.run([good, full])

    assert (good.seen, full.seen) == ([0, 1, 2], [0, 1])
    assert stage_threads() == []
    assert pipeline.snapshot().in_flight == 0


def test_run_raises_what_the_camera_raised():
    camera = ScriptedCamera(fails_at=2, error=CameraError("unplugged"))

    with pytest.raises(CameraError, match="unplugged"):
        a_pipeline(camera).run([])


@pytest.mark.parametrize("size_wh", [(48, 48), (32, 40)])
def test_the_loop_cuts_crops_of_the_classifier_s_size(size_wh):
    classifier = ScriptedClassifier()
    classifier.size_wh = size_wh

    indices(a_pipeline(ScriptedCamera(1), classifier=classifier))

    assert classifier.seen == [(1, *size_wh[::-1])]
