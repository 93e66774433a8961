"""What classifying does with the faces of a frame, without threads."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge import stages as module
from fer_edge.edge.stages import (
    Cut,
    EmotionStage,
    Located,
    LoopSettings,
)

from .. import conftest as builders
from .conftest import ScriptedClassifier, a_face_at, a_frame, scores_of

GREY = builders.a_face(seed=3, size_wh=(120, 90))
SIZE = (48, 48)
SECOND_NS = 1_000_000_000


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
