"""Who is who between frames, with detection and without."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.records import Box, Face
from fer_edge.edge.tracking import Tracker

from .conftest import a_face_at
from .films import FORGET_NS, FRAME_NS, a_weak_face_at, boxes, films, ids, play


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
def test_who_keeps_a_number_is_near_the_box_that_had_it(film):
    tracker, now = Tracker(), 0
    last_box: dict[int | None, Box] = {}
    for found, pause_ns in film:
        now += pause_ns
        for face in tracker.update(found, now):
            before = last_box.get(face.id, face.box)
            (x, y), (old_x, old_y) = face.box.center_px, before.center_px
            # Overlapping it, or where it would be after a step of half its size.
            step = 0.5 * max(before.w_px, before.h_px) + 1e-6
            assert abs(x - old_x) <= (face.box.w_px + before.w_px) / 2 + step
            assert abs(y - old_y) <= (face.box.h_px + before.h_px) / 2 + step
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


# ------------------------------------------------------------------------------------- properties


def mirrored_ids(film, order) -> list[dict[Box, int | None]]:
    """The number of each box in each frame, the detector's order changed by ``order``."""
    tracker, now, seen = Tracker(), 0, []
    for found, pause_ns in film:
        now += pause_ns
        seen.append({face.box: face.id for face in tracker.update(order(found), now)})
    return seen


@given(films)
def test_the_order_of_the_detector_changes_no_number(film):
    film = [(list({face.box: face for face in found}.values()), pause) for found, pause in film]

    assert mirrored_ids(film, list) == mirrored_ids(film, lambda found: found[::-1])


@given(films, st.lists(st.integers(-(10**12), 10**12), min_size=8, max_size=8))
def test_whatever_the_clock_does_numbers_are_unique_and_go_up_by_one(film, jumps_ns):
    tracker, now, known = Tracker(), 0, set()
    for (found, pause_ns), jump_ns in zip(film, jumps_ns, strict=False):
        now += pause_ns + jump_ns
        numbers = ids(tracker.update(found, now))
        assert len(set(numbers)) == len(found)
        known |= set(numbers)
    assert sorted(known) == list(range(1, len(known) + 1))


@given(boxes, st.lists(st.integers(0, FORGET_NS), min_size=1, max_size=40))
def test_a_still_face_keeps_its_number_for_ever(box, pauses_ns):
    tracker = Tracker()
    for now in itertools.accumulate(pauses_ns):
        assert ids(tracker.update([Face(box, 1.0)], now)) == [1]


@given(st.integers(1, 14), st.integers(0, 50))
def test_a_speed_in_seconds_is_followed_at_any_frame_rate(every_frames, start):
    # A face of 60 pixels that crosses the picture at 300 pixels a second, at 15 to 200 frames/s.
    tracker, step_ns = Tracker(), every_frames * 4_700_000
    for now in range(0, 1_500_000_000, step_ns):
        face = a_face_at(start + now * 300 / 1e9, 100, 60)
        assert ids(tracker.update([face], now)) == [1]


# ----------------------------------------------------------------------------------------- motion


def test_two_faces_that_cross_on_one_line_keep_their_numbers():
    # Each moves by a third of its side a frame; in between they cover each other.
    film = [[a_face_at(20 * n, 100, 60), a_face_at(410 - 20 * n, 100, 60)] for n in range(20)]

    assert play(*film) == [[1, 2]] * 20


def test_a_face_too_fast_for_any_overlap_keeps_its_number_once_its_speed_is_known():
    # From two fifths of its side a frame to its whole side.
    steps = [16, 20, 26, 32, 38, 40, 40, 40]
    film = [[a_face_at(x, 100, 40)] for x in itertools.accumulate(steps, initial=0)]

    assert play(*film) == [[1]] * len(film)


def test_who_turns_on_the_spot_is_found_where_the_face_was():
    film = [[a_face_at(x, 100, 40)] for x in (0, 18, 36, 54, 54, 54, 36)]

    assert play(*film) == [[1]] * len(film)


# ----------------------------------------------------------------------------- birth and death


def strict(*frames: list[Face], pause_ns: int = FRAME_NS) -> list[list[int]]:
    tracker = Tracker(strong_score=0.7)
    return [ids(tracker.update(found, n * pause_ns)) for n, found in enumerate(frames)]


# Each case: the frames, the numbers.
BIRTHS = [
    ([[a_face_at(100)]], [[1]]),
    ([[a_weak_face_at(100)]], [[]]),  # a suspicion
    ([[a_weak_face_at(100)], [a_weak_face_at(102)]], [[], [1]]),
    ([[a_weak_face_at(100)], [a_face_at(102)]], [[], [1]]),
    ([[a_weak_face_at(100)], [a_weak_face_at(300)]], [[], []]),  # elsewhere
    ([[a_weak_face_at(100)], [], [], [a_weak_face_at(102)]], [[], [], [], [1]]),
    ([[a_face_at(100)], [a_weak_face_at(102)]], [[1], [1]]),  # known already
    ([[a_weak_face_at(100), a_face_at(300)], [a_weak_face_at(100)]], [[1], [2]]),
]


@pytest.mark.parametrize(("frames", "numbers"), BIRTHS)
def test_a_weak_detection_must_be_seen_again(frames, numbers):
    assert strict(*frames) == numbers


def test_a_weak_detection_is_forgotten_after_half_a_second():
    twice = [[a_weak_face_at(100)]] * 2

    assert strict(*twice, pause_ns=FORGET_NS) == [[], [1]]
    assert strict(*twice, pause_ns=FORGET_NS + 1) == [[], []]


def test_who_reached_over_the_border_when_missed_has_left():
    tracker, wall, both = Tracker(), np.full((240, 320), 90, np.uint8), [-10, 100]
    tracker.update([a_face_at(x) for x in both], 0, wall)
    for now in (FRAME_NS, FRAME_NS + 101_000_000):
        tracker.update([], now, wall)

    back = tracker.update([a_face_at(x) for x in both], FRAME_NS + 110_000_000, wall)

    assert ids(back) == [3, 2]


def test_the_end_of_a_camera_ends_all_tracks_and_the_numbers_go_on():
    tracker = Tracker()
    tracker.update([a_face_at(100)], 0)
    tracker.end()

    assert ids(tracker.update([a_face_at(100)], FRAME_NS)) == [2]


@given(films, st.integers(1, 10**9))
def test_numbers_go_on_from_the_first_one(film, first_id):
    usual, later, now = Tracker(), Tracker(first_id=first_id), 0
    for found, pause_ns in film:
        now += pause_ns
        numbers = ids(usual.update(found, now))

        assert ids(later.update(found, now)) == [number + first_id - 1 for number in numbers]
        assert later.next_id == usual.next_id + first_id - 1
        assert all(number < usual.next_id for number in numbers)


@given(st.lists(films, max_size=4), st.booleans())
def test_trackers_that_follow_each_other_never_give_a_number_twice(stories, strict):
    """As when the camera was away, or a stage was replaced: each goes on where one ended."""
    tracker, known, now = Tracker(), set(), 0
    for film in stories:
        score = 5.0 if strict else float("-inf")
        tracker, fresh = Tracker(strong_score=score, first_id=tracker.next_id), set()
        for found, pause_ns in film:
            now += pause_ns
            fresh |= set(ids(tracker.update(found, now)))
        assert not fresh & known
        known |= fresh
    assert known == set(range(1, tracker.next_id)), "none is left out"


@pytest.mark.parametrize("stamps", [(0, 33, 66, 50, 99), (10_000, 10_033, 5, 38, 71)])
def test_a_face_keeps_its_number_over_a_late_frame_and_a_clock_set_back(stamps):
    tracker = Tracker()

    seen = [ids(tracker.update([a_face_at(100)], stamp * 1_000_000)) for stamp in stamps]

    assert seen == [[1]] * len(stamps)
