"""The records that flow through the pipeline."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.records import Box, EmotionScores, Face, Frame, Reading, Result

from ..conftest import EMOTIONS

places = st.floats(-2000, 2000)
sides = st.floats(0.01, 2000)
boxes = st.builds(Box, places, places, sides, sides)

# Each case: two boxes, their intersection over union.
OVERLAPS = [
    (Box(0, 0, 10, 10), Box(5, 0, 10, 10), 50 / 150),
    (Box(0, 0, 10, 10), Box(0, 5, 10, 10), 50 / 150),
    (Box(0, 0, 10, 10), Box(2, 2, 5, 5), 25 / 100),  # one inside the other
    (Box(0, 0, 10, 10), Box(10, 0, 10, 10), 0),  # they share an edge only
    (Box(0, 0, 10, 10), Box(10, 10, 10, 10), 0),  # they share a corner only
    (Box(0, 0, 10, 10), Box(20, 20, 5, 5), 0),  # apart in x and in y: no product of two negatives
    (Box(-5, -5, 10, 10), Box(0, 0, 10, 10), 25 / 175),  # over the frame's border
    (Box(0, 0, 0, 0), Box(0, 0, 0, 0), 0),  # nothing shares nothing
    (Box(0, 0, 10, 0), Box(0, 0, 10, 10), 0),
]


@pytest.mark.parametrize(("one", "other", "iou"), OVERLAPS)
def test_iou_is_the_shared_part_of_the_joint_area(one, other, iou):
    assert one.iou(other) == pytest.approx(iou)


@given(boxes, boxes)
def test_iou_is_symmetric_and_between_0_and_1(one, other):
    assert one.iou(other) == other.iou(one)
    assert 0 <= one.iou(other) <= 1


@given(boxes)
def test_a_box_is_equal_to_itself(box):
    # Not exactly: far from the origin, x + w - x is not w in floats.
    assert box.iou(box) == pytest.approx(1, abs=1e-6)


@given(boxes, st.floats(0, 3), st.sampled_from("xy"))
def test_a_box_moved_by_its_whole_side_is_apart(box, more, axis):
    dx, dy = (box.w_px * (1 + more) + 0.01, 0) if axis == "x" else (0, box.h_px * (1 + more) + 0.01)

    assert box.iou(Box(box.x_px + dx, box.y_px + dy, box.w_px, box.h_px)) == 0


def test_a_box_knows_its_area_its_middle_and_its_pixels():
    box = Box(10, 20, 31, 40)

    assert box.area_px2 == 1240
    assert box.center_px == (25.5, 40)
    assert Box(0.6, -0.6, 9.4, 9.6).as_ints() == (1, -1, 9, 10)


# Each case: probabilities, the label that must win.
WINNERS = [
    ((0.1, 0.2, 0.7), "fear"),
    ((1.0, 0.0, 0.0), "angry"),
    ((0.2, 0.4, 0.4), "disgust"),  # of equals the first
    ((0.0, 0.0, 0.0), "angry"),
]


@pytest.mark.parametrize(("values", "label"), WINNERS)
def test_the_label_is_the_likeliest_and_of_equals_the_first(values, label):
    scores = EmotionScores(("angry", "disgust", "fear"), values)

    assert (scores.label, scores.score) == (label, max(values))


def test_scores_keep_the_order_of_the_contract():
    scores = EmotionScores(EMOTIONS, tuple(range(7)))

    assert list(scores.as_dict().items()) == list(zip(EMOTIONS, range(7), strict=True))


def test_scores_that_do_not_fit_their_labels_are_no_dictionary():
    with pytest.raises(ValueError, match="shorter"):
        EmotionScores(("angry", "happy"), (1.0,)).as_dict()


def a_reading(**changes) -> Reading:
    scores = EmotionScores(("sad", "happy"), (0.25, 0.75))
    fields = {"size_px": 30.0, "label": "happy", "scores": scores, "raw": scores}
    return Reading(Face(Box(10.4, 20, 30, 30), 0.9), **{**fields, **changes})


def test_a_reading_answers_for_its_face_and_its_scores():
    reading = a_reading()

    assert (reading.label, reading.score, reading.box) == ("happy", 0.75, reading.face.box)
    assert repr(reading) == "<Reading happy 0.75 at (10, 20, 30, 30)>"


def test_the_score_of_a_reading_is_that_of_the_label_that_is_held():
    assert a_reading(label="sad").score == 0.25


# Each case: what a face that was not read is, and how it shows.
UNREAD = [({}, "unread"), ({"flaw": "blurred"}, "blurred")]


@pytest.mark.parametrize(("changes", "shown"), UNREAD)
def test_a_face_that_was_not_read_has_no_label(changes, shown):
    reading = a_reading(**{"label": None, "scores": None, "raw": None, **changes})

    assert (reading.label, reading.score) == (None, 0.0)
    assert repr(reading) == f"<Reading {shown} at (10, 20, 30, 30)>"


def test_a_frame_goes_by_the_time_of_its_stream_where_it_has_one():
    frame = Frame(0, np.zeros((4, 4, 3), np.uint8), captured_ns=5, captured_unix_s=0.0)

    assert frame.time_ns == 5
    assert dataclasses.replace(frame, stream_ns=0).time_ns == 0


def test_the_age_of_a_result_runs_from_capture_to_delivery():
    frame = Frame(0, np.zeros((480, 640, 3), np.uint8), captured_ns=5_000_000, captured_unix_s=0.0)

    assert Result(frame, [], delivered_ns=47_500_000).age_ms == 42.5
    assert frame.size_wh == (640, 480)


@pytest.mark.parametrize("record", [Box(0, 0, 1, 1), a_reading(), a_reading().scores])
def test_records_cannot_be_changed(record):
    name = dataclasses.fields(record)[0].name

    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, name, None)
