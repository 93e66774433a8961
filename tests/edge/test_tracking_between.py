"""Who is who in frames without detection, and where a new detection is in doubt."""

from dataclasses import replace

import numpy as np
import pytest

from fer_edge.edge.records import Box, Face
from fer_edge.edge.tracking import Tracker

from .conftest import a_face_at
from .films import FRAME_NS, a_weak_face_at, ids, play
from .test_motion import a_scene

# ------------------------------------------------------------------- frames without detection


def moving(n: int) -> tuple[Box, np.ndarray]:
    """Where a face is in frame ``n``, and the frame."""
    box = Box(60 + 5 * n, 80 + 2 * n, 50, 60)
    return box, a_scene((1, box.x_px, box.y_px, box.w_px, box.h_px))


def test_a_face_is_followed_between_detections():
    tracker = Tracker()
    for n in range(20):
        box, scene = moving(n)
        if n % 5 == 0:
            (face,) = tracker.update([Face(box, 0.9)], n * FRAME_NS, scene)
        else:
            (face,) = tracker.follow(scene, n * FRAME_NS)
        assert face.box.iou(box) > 0.9
        assert (face.id, face.detected, face.score) == (1, n % 5 == 0, 0.9)


def test_landmarks_move_with_the_face():
    tracker = Tracker()
    box, scene = moving(0)
    tracker.update([Face(box, 1.0, landmarks_px=((70.0, 90.0), (90.0, 90.0)))], 0, scene)

    (face,) = tracker.follow(moving(1)[1], FRAME_NS)

    assert face.landmarks_px == pytest.approx(np.array([(75.0, 92.0), (95.0, 92.0)]), abs=1.5)


def test_a_face_that_the_detector_misses_is_still_reported_for_a_quarter_of_a_second():
    tracker = Tracker()
    for n in range(3):
        tracker.update([Face(moving(n)[0], 1.0)], n * FRAME_NS, moving(n)[1])
    reported = [tracker.update([], n * FRAME_NS, moving(n)[1]) for n in range(3, 16)]

    # The first miss counts as the beginning: 250 ms are seven frames and the one of the miss.
    assert [len(faces) for faces in reported] == [1] * 8 + [0] * 5
    assert all(not face.detected and face.id == 1 for faces in reported for face in faces)
    # Seen again within half a second, it is who it was.
    assert ids(tracker.update([Face(moving(16)[0], 1.0)], 16 * FRAME_NS, moving(16)[1])) == [1]


def test_a_face_that_was_detected_only_once_is_not_reported_against_the_detector():
    tracker = Tracker()
    tracker.update([Face(moving(0)[0], 1.0)], 0, moving(0)[1])

    assert tracker.update([], FRAME_NS, moving(1)[1]) == []


def test_a_missed_face_is_not_reported_on_top_of_another_one():
    tracker, (box, scene) = Tracker(), moving(0)
    beside = replace(box, x_px=box.x_px + 25)
    for n in range(3):
        tracker.update([Face(box, 1.0), Face(beside, 1.0)], n * FRAME_NS, scene)

    assert ids(tracker.update([Face(beside, 1.0)], 3 * FRAME_NS, scene)) == [2]


def test_a_face_that_vanishes_is_held_for_a_quarter_of_a_second_and_then_not():
    tracker, (box, scene), empty = Tracker(), moving(0), a_scene(seed=5)
    tracker.update([Face(box, 1.0)], 0, scene)

    reported = [len(tracker.follow(empty, n * FRAME_NS)) for n in range(1, 12)]

    assert reported == [1] * 7 + [0] * 4


def test_a_face_that_is_followed_out_of_the_picture_ends():
    tracker = Tracker()
    for n in range(12):
        x = 44 - 10 * n
        scene = a_scene((1, x, 80, 60, 60))
        if n < 3:
            tracker.update([a_face_at(x, 80, 60)], n * FRAME_NS, scene)
            continue
        faces = tracker.follow(scene, n * FRAME_NS)
        assert len(faces) == (x + 30 >= 0)


def test_a_jump_that_the_overlap_does_not_bridge_is_bridged_by_looks():
    first, second = a_scene((1, 100, 80, 60, 60)), a_scene((1, 122, 102, 60, 60))
    tracker = Tracker()
    tracker.update([a_face_at(100, 80, 60)], 0, first)
    # What the detector draws is another third away from where it drew before: an overlap of 0.2.
    drawn = Face(Box(132, 112, 60, 60), 1.0)

    assert ids(Tracker().update([drawn], 0)) == [1]
    assert ids(tracker.update([drawn], FRAME_NS, second)) == [1]
    assert play([a_face_at(100, 80, 60)], [drawn]) == [[1], [2]]


def test_frames_without_detection_need_no_faces():
    assert Tracker().follow(a_scene(), 0) == []


# ---------------------------------------------------------------------------------- the doubts


def _still(tracker, box, scene):
    del box
    tracker.follow(scene, 2 * FRAME_NS)


def _goes(tracker, box, scene):
    del scene
    x, y = box.x_px + 14, box.y_px + 4
    tracker.follow(a_scene((1, x, y, box.w_px, box.h_px)), 2 * FRAME_NS)


def _hides(tracker, box, scene):
    del box, scene
    tracker.follow(a_scene(seed=9), 2 * FRAME_NS)


def _is_missed(tracker, box, scene):
    del box
    tracker.update([], 2 * FRAME_NS, scene)


def _gets_company(tracker, box, scene):
    tracker.update([Face(box, 1.0), a_weak_face_at(200)], 2 * FRAME_NS, scene)


def _is_long_gone(tracker, box, scene):
    del box, scene
    for n in range(2, 14):
        tracker.update([], n * FRAME_NS, a_scene(seed=9))


# Each case: what happens after two detections, the doubt.
DOUBTS = [
    (_still, ""),
    (_goes, "moved"),
    (_hides, "lost"),
    (_is_missed, "lost"),
    (_gets_company, "new"),
    (_is_long_gone, ""),
]


@pytest.mark.parametrize(("then", "doubt"), DOUBTS)
def test_what_the_tracker_has_doubts_about(then, doubt):
    tracker, (box, scene) = Tracker(strong_score=0.7), moving(0)
    for n in range(2):
        tracker.update([Face(box, 1.0)], n * FRAME_NS, scene)
    assert tracker.doubt == ""

    then(tracker, box, scene)

    assert tracker.doubt == doubt
