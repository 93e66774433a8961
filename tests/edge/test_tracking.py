"""Who is who between frames."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.records import Box, Face
from fer_edge.edge.tracking import Tracker

from .conftest import a_face_at

FRAME_NS = 33_000_000
FORGET_NS = 500_000_000

boxes = st.builds(
    Box, st.floats(-50, 600), st.floats(-50, 400), st.floats(10, 200), st.floats(10, 200)
)
faces = st.builds(Face, boxes, st.floats(0, 10))
# Frames of up to five faces, with the pause before each: from the same moment to long gone.
films = st.lists(st.tuples(st.lists(faces, max_size=5), st.integers(0, 2 * FORGET_NS)), max_size=8)


def ids(numbered: list[Face]) -> list[int | None]:
    return [face.id for face in numbered]


def play(*frames: list[Face], pause_ns: int = FRAME_NS) -> list[list[int | None]]:
    """The numbers that a new tracker gives to the faces of a film."""
    tracker = Tracker()
    return [ids(tracker.update(found, n * pause_ns)) for n, found in enumerate(frames)]


@given(films)
def test_numbers_are_unique_within_a_frame_and_the_order_is_kept(film):
    tracker, now = Tracker(), 0
    for found, pause_ns in film:
        now += pause_ns
        numbered = tracker.update(found, now)

        assert len(set(ids(numbered))) == len(found)
        assert all(isinstance(number, int) and number >= 1 for number in ids(numbered))
        assert [replace(face, id=None) for face in numbered] == found


@given(films)
def test_a_number_that_was_not_seen_for_long_never_comes_back(film):
    tracker, now = Tracker(), 0
    last_seen: dict[int, int] = {}
    for found, pause_ns in film:
        now += pause_ns
        for number in ids(tracker.update(found, now)):
            assert now - last_seen.get(number, now) <= FORGET_NS
            last_seen[number] = now
    assert sorted(last_seen) == list(range(1, len(last_seen) + 1)), "numbers go up by one"


@given(films)
def test_who_keeps_a_number_overlaps_the_box_that_had_it(film):
    tracker, now = Tracker(), 0
    last_box: dict[int, Box] = {}
    for found, pause_ns in film:
        now += pause_ns
        for face in tracker.update(found, now):
            if face.id in last_box:
                assert face.box.iou(last_box[face.id]) >= 0.3
            last_box[face.id] = face.box


@given(boxes, st.floats(-0.25, 0.25), st.floats(-0.25, 0.25), st.integers(0, FORGET_NS))
def test_a_face_that_overlaps_itself_keeps_its_number(box, right, down, pause_ns):
    # A quarter of a side in both directions leaves an overlap of 0.39.
    moved = replace(box, x_px=box.x_px + right * box.w_px, y_px=box.y_px + down * box.h_px)

    assert play([Face(box, 1.0)], [Face(moved, 1.0)], pause_ns=pause_ns) == [[1], [1]]


# Each case: how long nobody was seen, the number that the same place then gets.
GAPS = [
    (0, 1),  # two frames with one time stamp
    (FORGET_NS - 1, 1),
    (FORGET_NS, 1),
    (FORGET_NS + 1, 2),
    (60 * 60 * 1_000_000_000, 2),
]


@pytest.mark.parametrize(("gap_ns", "number"), GAPS)
def test_half_a_second_without_being_seen_ends_a_number(gap_ns, number):
    assert play([a_face_at(100)], [a_face_at(100)], pause_ns=gap_ns) == [[1], [number]]


def test_a_gap_counts_from_when_the_face_was_seen_last_not_first():
    tracker = Tracker()
    step = FORGET_NS - 1
    seen = [ids(tracker.update([a_face_at(100)], n * step)) for n in range(5)]

    assert seen == [[1]] * 5


def test_frames_without_a_face_do_not_end_a_number_before_its_time():
    empty = [[]] * 10  # 0.33 s

    assert play([a_face_at(100)], *empty, [a_face_at(105)])[-1] == [1]


def test_two_faces_that_cross_keep_their_numbers():
    # One above the other by a third of a side, each moving by a twelfth of a side a frame.
    film = [[a_face_at(60 + 5 * n, 100, 60), a_face_at(240 - 5 * n, 130, 60)] for n in range(37)]
    assert film[0][0].box.x_px < film[0][1].box.x_px
    assert film[-1][0].box.x_px > film[-1][1].box.x_px

    assert play(*film) == [[1, 2]] * 37


def test_the_order_of_the_detector_does_not_matter():
    left, right = a_face_at(100), a_face_at(300)

    assert play([left, right], [right, left], [left, right]) == [[1, 2], [2, 1], [1, 2]]


def test_of_two_that_overlap_a_track_the_nearer_one_gets_its_number():
    assert play([a_face_at(100)], [a_face_at(115), a_face_at(102)]) == [[1], [2, 1]]


def test_a_face_between_two_tracks_gets_the_number_of_the_nearer():
    first = [a_face_at(100), a_face_at(130)]

    assert play(first, [a_face_at(125)])[1] == [2]


def test_who_is_covered_for_a_moment_gets_the_own_number_back():
    both = [a_face_at(100), a_face_at(300)]

    assert play(both, both[:1], both[:1], both)[-1] == [1, 2]


def test_somebody_new_gets_a_new_number_and_a_known_face_keeps_its_own():
    assert play([a_face_at(100)], [a_face_at(300), a_face_at(100)]) == [[1], [2, 1]]


def test_a_face_of_another_size_at_the_same_place_is_somebody_else():
    # A quarter of the side: an overlap of 1/16.
    assert play([a_face_at(100, side=80)], [a_face_at(130, 30, side=20)]) == [[1], [2]]


def test_the_same_box_twice_in_a_frame_is_two_faces():
    twice = [a_face_at(100), a_face_at(100)]

    first, second = play(twice, twice)

    assert sorted(first) == sorted(second) == [1, 2]


def test_a_frame_without_faces_has_no_numbers():
    assert play([], []) == [[], []]
