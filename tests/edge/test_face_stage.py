"""What detect and classify do with a frame, without threads."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge import stages as module
from fer_edge.edge.errors import UsageError
from fer_edge.edge.framing import Framing, crop_square
from fer_edge.edge.quality import NO_LIMITS, QualityLimits
from fer_edge.edge.records import Box, Face, Frame
from fer_edge.edge.stages import (
    Cut,
    EmotionStage,
    FaceStage,
    Located,
    LoopSettings,
    cut_faces,
)

from .. import conftest as builders
from .conftest import ScriptedClassifier, ScriptedDetector, a_face_at, a_frame, scores_of
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


# --------------------------------------------------------------------------------- the emotions


def a_located(
    index: int, sizes_px: dict[int, float], flaws: dict[int, str] | None = None, fps: float = 10.0
) -> Located:
    """A frame with these faces by number, each crop its number on the left and black beside."""
    crops = np.zeros((len(sizes_px), *SIZE), np.uint8)
    crops[:, :, :24] = np.array(list(sizes_px), np.uint8)[:, None, None]
    faces = [a_face_at(10 * number, id=number) for number in sizes_px]
    reasons = [(flaws or {}).get(number, "") for number in sizes_px]
    frame = a_frame(captured_ns=SECOND_NS + round(index * SECOND_NS / fps))
    return Located(frame, faces, Cut(crops, list(sizes_px.values()), reasons))


class Costly:
    """A classifier whose faces take their time on a clock of its own."""

    size_wh = SIZE

    def __init__(self, face_s: float = 0.0, label: str = "happy"):
        self.face_s, self.label, self.now_s = face_s, label, 0.0
        self.crops = np.empty((0, *SIZE), np.uint8)

    def monotonic(self) -> float:
        return self.now_s

    def renew(self) -> "Costly":
        return Costly(self.face_s, self.label)

    def classify(self, faces: np.ndarray) -> list:
        self.now_s += self.face_s * len(faces)
        self.crops = faces
        return [scores_of(self.label) for _ in faces]

    @property
    def read(self) -> list[int]:
        """The numbers of the faces that were read last."""
        return [int(crop.max()) for crop in self.crops]


@pytest.fixture
def costly(monkeypatch) -> Costly:
    made = Costly(face_s=0.010)
    monkeypatch.setattr(module, "time", made)
    return made


def an_emotion_stage(
    classifier: Costly | ScriptedClassifier, fps: float | None = None, **changes
) -> EmotionStage:
    return EmotionStage(classifier, LoopSettings(**changes), fps)


FIVE = {1: 40.0, 2: 100.0, 3: 30.0, 4: 80.0, 5: 60.0}


def test_of_a_file_every_face_is_read_however_long_it_takes(costly):
    costly.face_s = 10.0
    stage = an_emotion_stage(costly)

    for n in range(3):
        readings = stage.step(a_located(n, FIVE))
        assert costly.read == [1, 2, 3, 4, 5]
        assert [reading.face.id for reading in readings] == [1, 2, 3, 4, 5]
        assert [reading.size_px for reading in readings] == list(FIVE.values())
        assert all(reading.raw is not None for reading in readings)


def test_live_the_largest_and_stalest_are_read(costly):
    stage, seen = an_emotion_stage(costly, fps=30.0), []
    for n in range(5):
        stage.step(a_located(n, FIVE))
        seen.append(costly.read)

    # Three of 10 ms fit into a frame; what a face costs is not known before the first.
    assert seen == [
        [1, 2, 3, 4, 5],
        [2, 4, 5],  # all as stale: the largest
        [1, 2, 3],  # those that were left out, and the largest
        [2, 4, 5],
        [1, 2, 3],
    ]


# Each case: frames a second, cost of a face in seconds, how many of 40 are read in a frame.
BUDGETS = [
    (30.0, 0.010, 3),
    (30.0, 0.0004, 40),
    (8.0, 0.010, 12),
    (0.0, 0.010, 3),  # a camera that does not tell its rate
    (30.0, 5.0, 1),  # never none
    (30.0, 0.0, 40),  # faster than the clock
]


@pytest.mark.parametrize(("fps", "face_s", "count"), BUDGETS)
def test_as_many_as_fit_into_the_time_of_a_frame(costly, fps, face_s, count):
    costly.face_s = face_s
    stage = an_emotion_stage(costly, fps=fps)
    stage.step(a_located(0, FIVE))

    stage.step(a_located(1, dict.fromkeys(range(1, 41), 50.0)))

    assert len(costly.read) == count


def test_what_a_face_costs_is_learnt_anew(costly):
    stage = an_emotion_stage(costly, fps=30.0)
    costly.face_s = 1.0  # the first call loads things
    stage.step(a_located(0, FIVE))
    costly.face_s = 0.001
    counts = []
    for n in range(1, 80):
        stage.step(a_located(n, FIVE))
        counts.append(len(costly.read))

    assert counts[:10] == [1] * 10, "a single call says little"
    assert counts[-1] == 5
    assert counts == sorted(counts)


def test_frames_without_faces_cost_nothing_and_teach_nothing(costly):
    stage = an_emotion_stage(costly, fps=30.0)
    assert stage.step(a_located(0, {})) == []
    stage.step(a_located(1, FIVE))
    for n in range(2, 60):
        stage.step(a_located(n, {}))
    stage.step(a_located(60, FIVE))

    assert len(costly.read) == 3


@settings(max_examples=25)
@given(st.lists(st.floats(40, 160), min_size=1, max_size=6), st.integers(1, 3))
def test_no_face_starves(sizes, budget):
    # Between two readings of the smallest face, each other one is read at most about once in
    # the quotient of the sizes as many frames as it was left out.
    bound = 4 * (len(sizes) - 1) * (1 + max(sizes) / min(sizes)) / budget + 4
    costly, faces = Costly(face_s=1 / 30 / (budget + 0.5)), dict(enumerate(sizes, start=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", costly)
        stage = an_emotion_stage(costly, fps=30.0)
        last = dict.fromkeys(faces, 0)
        for n in range(250):
            stage.step(a_located(n, faces, fps=30.0))
            assert n == 0 or len(costly.read) == min(budget, len(faces))
            last.update(dict.fromkeys(costly.read, n))
            assert min(last.values()) >= n - bound


def test_a_face_of_four_times_the_size_is_read_more_often(costly):
    stage, read = an_emotion_stage(costly, fps=80.0), []
    for n in range(100):
        stage.step(a_located(n, {1: 40.0, 2: 160.0, 3: 160.0}, fps=80.0))
        read += costly.read

    assert read.count(2) == pytest.approx(read.count(3), abs=2)
    assert 2 * read.count(1) < read.count(2)


def test_a_newcomer_is_read_at_once(costly):
    stage = an_emotion_stage(costly, fps=30.0)
    for n in range(4):
        stage.step(a_located(n, FIVE))

    stage.step(a_located(4, {**FIVE, 6: 25.0}))

    assert 6 in costly.read


# --------------------------------------------------------------------------------------- mirrored


def test_every_other_crop_of_a_face_is_mirrored_for_the_classifier(costly):
    stage, seen = an_emotion_stage(costly), []
    for n in range(6):
        located = a_located(n, {1: 40.0, 2: 40.0} if n % 2 else {1: 40.0})
        before = located.cut.crops.copy()
        stage.step(located)
        seen.append([bool(crop[0, 0]) for crop in costly.crops])
        np.testing.assert_array_equal(located.cut.crops, before)
        assert all(len(np.unique(crop[:, :24])) == 1 for crop in costly.crops)

    # Whether the number is on the left; face 2 is in every other frame only.
    assert seen == [[True], [False, True], [True], [False, False], [True], [False, True]]


def test_a_face_that_was_left_out_is_mirrored_the_next_time_it_is_read(costly):
    stage, sides = an_emotion_stage(costly), []
    for n in range(5):
        stage.step(a_located(n, {1: 40.0}, {1: "blurred"} if n in (1, 2) else None))
        sides += [bool(crop[0, 0]) for crop in costly.crops]

    assert sides == [True, False, True]


# --------------------------------------------------------------------------------- what is said


def test_a_flawed_face_is_not_read_and_stays_marked(costly):
    first, second = an_emotion_stage(costly).step(a_located(0, {1: 40.0, 2: 9.0}, {2: "small"}))

    assert costly.read == [1]
    assert (first.label, first.flaw, first.raw) == ("happy", "", first.scores)
    assert (second.label, second.scores, second.raw, second.flaw) == (None, None, None, "small")
    assert second.size_px == 9


def test_what_was_read_of_a_face_is_said_for_a_second_more(costly):
    stage, said = an_emotion_stage(costly), []
    for n in range(14):
        (reading,) = stage.step(a_located(n, {1: 40.0}, {1: "blurred"} if n else None))
        said.append(reading.label)
        assert reading.flaw == ("blurred" if n else "")
        assert (reading.raw is None) == bool(n), "it was not read in this frame"
        assert (reading.scores is None) == (reading.label is None)

    assert said == ["happy"] * 11 + [None] * 3


def test_so_is_it_of_one_that_there_is_no_time_for(costly):
    stage = an_emotion_stage(costly, fps=30.0)
    stage.step(a_located(0, FIVE))
    readings = stage.step(a_located(1, FIVE))

    assert {reading.label for reading in readings} == {"happy"}
    assert [reading.raw is None for reading in readings] == [True, False, True, False, False]
    assert {reading.flaw for reading in readings} == {""}


def test_the_second_is_one_of_the_frames_own_time(costly):
    stage = an_emotion_stage(costly)
    clip = [replace(a_located(0, {1: 40.0}).frame, stream_ns=n * SECOND_NS) for n in range(3)]
    said = []
    for n, frame in enumerate(clip):
        located = replace(a_located(0, {1: 40.0}, {1: "cut"} if n else None), frame=frame)
        said.append(stage.step(located)[0].label)

    assert said == ["happy", "happy", None]


def test_without_smoothing_it_is_the_frame_alone(costly):
    stage, sides = an_emotion_stage(costly, smooth_s=0.0), []
    for n, label in enumerate(["happy", "sad", "happy", "fear"]):
        costly.label = label
        (reading,) = stage.step(a_located(n, {1: 40.0}))
        assert reading.label == label
        assert reading.scores == reading.raw == scores_of(label)
        sides.append(bool(costly.crops[0, 0, 0]))

    assert all(sides), "no view is mirrored where there is no mean over both"


def test_with_smoothing_a_single_frame_changes_little(costly):
    stage = an_emotion_stage(costly)
    for n in range(9):
        stage.step(a_located(n, {1: 40.0}, fps=30.0))
    costly.label = "sad"

    (reading,) = stage.step(a_located(9, {1: 40.0}, fps=30.0))

    assert (reading.label, reading.raw) == ("happy", scores_of("sad"))


def test_the_stage_in_its_place_has_another_classifier_and_knows_nobody(costly):
    stage = an_emotion_stage(costly, fps=30.0)
    stage.step(a_located(0, {1: 40.0}))

    other = stage.renew()
    (reading,) = other.step(a_located(1, {1: 40.0}, {1: "blurred"}))

    assert reading.label is None
    assert len(costly.crops) == 1, "the one that hangs was not asked"


def test_a_face_without_a_number_is_a_bug_that_is_named():
    located = a_located(0, {1: 40.0})
    nobody = replace(located, faces=[a_face_at(0)])

    with pytest.raises(RuntimeError, match="without a number"):
        an_emotion_stage(ScriptedClassifier()).step(nobody)
