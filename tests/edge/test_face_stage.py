"""What detecting does with a frame, without threads."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge.errors import UsageError
from fer_edge.edge.framing import Framing, crop_square
from fer_edge.edge.quality import NO_LIMITS, QualityLimits
from fer_edge.edge.records import Box, Face, Frame
from fer_edge.edge.stages import (
    EmotionStage,
    FaceStage,
    Located,
    LoopSettings,
    cut_faces,
)

from .. import conftest as builders
from .conftest import ScriptedClassifier, ScriptedDetector, a_face_at, a_frame
from .test_motion import a_scene

GREY = builders.a_face(seed=3, size_wh=(120, 90))
SIZE = (48, 48)
SECOND_NS = 1_000_000_000
boxes = st.builds(Box, st.floats(-60, 150), st.floats(-60, 120), st.floats(1, 90), st.floats(1, 90))


@given(st.lists(boxes, max_size=4), st.sampled_from([(48, 48), (32, 40)]))
def test_the_crops_are_the_training_squares_of_the_faces(found, size_wh):
    framing = Framing(0.2, 0.9, shift_y=0.05)

    crops = cut_faces(GREY, [Face(box, 1.0) for box in found], framing, size_wh).crops

    assert crops.shape == (len(found), *size_wh[::-1])
    assert crops.dtype == np.uint8
    for crop, box in zip(crops, found, strict=True):
        np.testing.assert_array_equal(
            crop, crop_square(GREY, framing.training_square(box), size_wh)
        )


def test_faces_that_cannot_be_read_are_marked_and_their_sizes_told():
    picture = GREY.copy()
    picture[:, 60:] = 90
    found = [a_face_at(5, 5, 48), a_face_at(5, 5, 20), a_face_at(-20, 5, 48), a_face_at(65, 5, 48)]
    twice = Framing(2.0, 2.0)

    cut = cut_faces(picture, found, Framing(), SIZE, limits=QualityLimits())

    assert cut.flaws == ["", "small", "cut", "blurred"]
    assert cut.sizes_px == [48, 20, 48, 48]
    assert cut_faces(picture, found, Framing(), SIZE).flaws == [""] * 4
    assert cut_faces(picture, found[1:2], twice, SIZE).sizes_px == [80]


# -------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("wrong", [0, -1.0, math.nan])
@pytest.mark.parametrize("which", ["max_age_ms", "stuck_s"])
def test_a_limit_that_is_none(which, wrong):
    with pytest.raises(UsageError, match="limits above 0"):
        LoopSettings(**{which: wrong})


@pytest.mark.parametrize("every", [0, -1, "often", 1.5, None])
def test_a_rhythm_that_is_none(every):
    with pytest.raises(UsageError, match="'auto' or a number of frames from 1 on"):
        FaceStage(ScriptedDetector(), SIZE, LoopSettings(detect_every=every))


def test_a_smoothing_that_is_none():
    with pytest.raises(UsageError, match="at least 0 s"):
        EmotionStage(ScriptedClassifier(), LoopSettings(smooth_s=-1), None)


# ---------------------------------------------------------------------------------- the detector


PLACE = Box(100, 80, 60, 60)
# A face that stands still, in a picture with something to follow.
SCENE = a_scene((1, PLACE.x_px, PLACE.y_px, PLACE.w_px, PLACE.h_px))


def a_scene_frame(index: int, fps: float = 30.0, **changes) -> Frame:
    captured_ns = SECOND_NS + round(index * SECOND_NS / fps)
    return a_frame(index, image=SCENE, captured_ns=captured_ns, **changes)


def a_face_stage(every: int | str = 1, detector: ScriptedDetector | None = None) -> FaceStage:
    detector = detector or ScriptedDetector(lambda _: [Face(PLACE, 1.0)])
    return FaceStage(detector, SIZE, LoopSettings(detect_every=every, limits=NO_LIMITS))


def looks(stage: FaceStage, count: int, **options) -> list[int]:
    """In which of so many frames the detector looked, by what it says of the face there."""
    frames = [a_scene_frame(n) for n in range(count)]
    seen = [stage.step(frame, **options).faces for frame in frames]
    assert all([face.id for face in faces] == [1] for faces in seen)
    return [n for n, (face,) in enumerate(seen) if face.detected]


def ids(located: Located) -> list[int]:
    return [face.id or 0 for face in located.faces]


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_the_detector_looks_at_every_so_many_frames(every):
    detector = ScriptedDetector(lambda _: [Face(PLACE, 1.0)])

    assert looks(a_face_stage(every, detector), 30) == list(range(0, 30, every))
    assert detector.calls == len(range(0, 30, every))


# Each case: the rhythm, the stretch, every how many frames that is, at 30 a second.
STRETCHED = [(1, 1.0, 1), (1, 2.25, 3), (2, 3.0, 6), (3, 8.0, 24), ("auto", 1.0, 9)]
STRETCHED += [("auto", 2.0, 18), ("auto", 8.0, 72)]


@pytest.mark.parametrize(("every", "stretch", "frames"), STRETCHED)
def test_load_spreads_the_looks(every, stretch, frames):
    seen = looks(a_face_stage(every), 150, stretch=stretch)

    # Rounding of the frames' times may bring an automatic look one frame forward.
    assert {after - before for before, after in pairwise(seen)} <= {frames, frames - 1}
    assert seen[-1] >= 150 - frames


def test_doubts_bring_an_automatic_look_forward():
    plain, stage = np.full_like(SCENE, 90), a_face_stage("auto")
    stage.step(a_scene_frame(0))
    detected = []
    for n in range(1, 7):
        frame = replace(a_scene_frame(n), image=plain)
        detected.append([face.detected for face in stage.step(frame).faces])

    # Lost in frame 1; one in two is the most.
    assert detected[:3] == [[False], [True], [False]]


# A detector that finds no more in colour is spared the colours, which the camera's luma has not.
@pytest.mark.parametrize(("colour", "seen"), [(True, (90, 120, 3)), (False, (90, 120))])
def test_the_detector_gets_what_it_finds_most_in_and_the_rest_the_luma(colour, seen):
    luma = builders.a_face(seed=7, size_wh=(120, 90))
    image = np.zeros((90, 120, 3), np.uint8)
    detector = ScriptedDetector(lambda _: [a_face_at(20, 20)])
    detector.colour = colour

    located = a_face_stage(1, detector).step(a_frame(image=image, luma=luma))

    assert detector.seen == [seen]
    np.testing.assert_array_equal(
        located.cut.crops[0], crop_square(luma, Box(20, 20, 40, 40), SIZE)
    )


@pytest.mark.parametrize("colour", [True, False])
def test_without_luma_it_is_made_of_the_picture(colour):
    image = np.dstack([GREY] * 3) if colour else GREY
    detector = ScriptedDetector(lambda _: [a_face_at(20, 20)])
    detector.colour = colour

    located = a_face_stage(1, detector).step(a_frame(image=image))

    assert detector.seen == [image.shape]
    np.testing.assert_array_equal(
        located.cut.crops[0], crop_square(GREY, Box(20, 20, 40, 40), SIZE)
    )


def test_a_weak_detection_of_a_known_detector_is_seen_twice_first():
    weak = ScriptedDetector(lambda _: [Face(PLACE, 0.5)])
    weak.name = "yunet"
    stage = a_face_stage(1, weak)

    assert [ids(stage.step(a_scene_frame(n))) for n in range(3)] == [[], [1], [1]]


# --------------------------------------------------------------------- which time, which camera

# Each case: seconds between the two frames by the stream and by the capture, the second's number.
TIMES = [
    (0.03, 9.0, 1),  # decoded slowly
    (9.0, 0.03, 2),  # decoded fast: in the clip, nobody was seen for 9 s
    (None, 0.03, 1),
    (None, 9.0, 2),
]


@pytest.mark.parametrize(("stream_s", "capture_s", "number"), TIMES)
def test_a_clip_s_own_time_rules(stream_s, capture_s, number):
    stage = a_face_stage()
    stream_ns = None if stream_s is None else round(stream_s * SECOND_NS)
    first = replace(a_scene_frame(0), stream_ns=None if stream_s is None else 0)
    second = replace(
        first, captured_ns=first.captured_ns + round(capture_s * SECOND_NS), stream_ns=stream_ns
    )

    assert [ids(stage.step(first)), ids(stage.step(second))] == [[1], [number]]


def test_after_the_camera_was_away_all_faces_are_new_and_looked_for_at_once():
    detector = ScriptedDetector(lambda _: [Face(PLACE, 1.0)])
    stage = a_face_stage(5, detector)
    seen = [ids(stage.step(a_scene_frame(n), epoch)) for n, epoch in enumerate([0, 0, 1, 1, 2])]

    assert seen == [[1], [1], [2], [2], [3]]
    assert detector.calls == 3


def test_in_pictures_of_another_size_all_faces_are_new():
    stage = a_face_stage(5)
    half = replace(a_scene_frame(1), image=SCENE[:180].copy())
    seen = [ids(stage.step(frame)) for frame in (a_scene_frame(0), half, half, a_scene_frame(3))]

    assert seen == [[1], [2], [2], [3]]


def test_grey_and_colour_pictures_of_one_size_are_one_film():
    stage = a_face_stage(5)
    colour = replace(a_scene_frame(1), image=np.dstack([SCENE] * 3))

    assert [ids(stage.step(frame)) for frame in (a_scene_frame(0), colour)] == [[1], [1]]


chapters = st.lists(
    st.sampled_from(["frame", "away", "size", "renew", "nobody", "gap"]), max_size=25
)


@settings(max_examples=50)
@given(chapters, st.integers(1, 3))
def test_a_number_is_never_given_to_two_faces(story, every):
    """A film of one face that stands still; what ends its track makes another face of it."""
    nobody = False
    detector = ScriptedDetector(lambda _: [] if nobody else [Face(PLACE, 1.0)])
    detector.renew = lambda: detector
    stage, epoch, image, now_ns = a_face_stage(every, detector), 0, SCENE, 0
    lives: list[set[int]] = [set()]
    for chapter in ["frame", *story, "frame"]:
        nobody = chapter == "nobody"
        if chapter == "away":
            epoch += 1
        elif chapter == "size":
            image = SCENE[: 400 - len(image)]  # 240 and 160 rows by turns
        elif chapter == "renew":
            stage = stage.renew()
        elif chapter == "gap":
            now_ns += 2 * SECOND_NS
        if chapter in ("away", "size", "renew"):
            lives.append(set())
        now_ns += SECOND_NS // 30
        frame = a_frame(image=image, captured_ns=now_ns)
        lives[-1] |= set(ids(stage.step(frame, epoch)))
    numbered = [life for life in lives if life]
    assert all(max(before) < min(after) for before, after in pairwise(numbered))


def test_the_stage_in_its_place_has_another_detector_and_looks_at_once():
    first, second = (ScriptedDetector(lambda _: [Face(PLACE, 1.0)]) for _ in range(2))
    first.renew = lambda: second
    stage = a_face_stage(5, first)
    stage.step(a_scene_frame(0))

    other = stage.renew()

    assert ids(other.step(a_scene_frame(1))) == [2]
    assert (first.calls, second.calls) == (1, 1)
