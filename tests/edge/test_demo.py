"""The camera that needs no camera: the same film everywhere, and its truth."""

import hashlib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.detectors import open_detector
from fer_edge.edge.errors import CameraError
from fer_edge.edge.framing import to_grey

from ..conftest import EMOTIONS, needs_cascades

STILL, ROUND = 28, 294
sizes = st.tuples(st.integers(64, 700), st.integers(64, 700))


def lossless(size_wh: tuple[int, int] = (320, 240)) -> DemoCamera:
    return DemoCamera(size_wh=size_wh, lossless=True)


@pytest.mark.parametrize("index", [0, 27, 35, 293, 10_000])
def test_a_picture_depends_on_its_index_alone(index):
    one, other = lossless(), lossless()
    other.image(3)

    first, second = one.image(index), other.image(index)

    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert first is not second, "a caller may draw into it"


def test_reading_plays_the_pictures_in_order():
    demo = lossless()
    for index in range(60):
        frame = demo.read()
        assert frame.index == index
        if index % 20 == 0:
            np.testing.assert_array_equal(frame.image, demo.image(index))


def test_a_live_demo_shows_the_same_pictures():
    np.testing.assert_array_equal(DemoCamera(size_wh=(320, 240)).read().image, lossless().image(0))


def test_it_never_ends():
    demo = lossless((64, 64))

    # Weeks of film: no place or emotion runs out.
    for index in (10**6, 10**9, 10**9 + 30):
        assert demo.image(index).shape == (64, 64, 3)
        assert demo.truth(index).box.w_px >= 0.4 * 64


@given(sizes, st.integers(0, 10**7))
def test_the_face_lies_inside_the_frame(size_wh, index):
    demo = lossless(size_wh)
    box = demo.truth(index).box

    assert box.w_px == box.h_px
    assert 0.4 * min(size_wh) <= box.w_px <= 0.7 * min(size_wh)
    x, y, side, _ = box.as_ints()
    assert x >= 0
    assert y >= 0
    assert x + side <= size_wh[0]
    assert y + side <= size_wh[1]


@settings(max_examples=25)
@given(sizes, st.integers(0, 2 * ROUND))
def test_every_size_has_a_picture_with_a_face_at_its_place(size_wh, index):
    demo = lossless(size_wh)
    image, box = demo.image(index), demo.truth(index).box

    assert image.shape == (size_wh[1], size_wh[0], 3)
    assert image.dtype == np.uint8
    x, y, side, _ = box.as_ints()
    wall = np.clip(demo._wall, 0, 255).astype(np.uint8)
    changed = (image != wall).any(axis=2)
    assert changed[y : y + side, x : x + side].mean() > 0.6, "the face is not where it should be"
    changed[y : y + side, x : x + side] = False
    assert not changed.any(), "something beside the face changed"


@pytest.mark.parametrize("size_wh", [(64, 64), (65, 99), (101, 67), (641, 481), (1920, 1080)])
def test_odd_sizes_are_kept(size_wh):
    assert lossless(size_wh).read().size_wh == size_wh


def test_every_emotion_stands_still_and_is_known():
    demo = lossless()
    truths = [demo.truth(index) for index in range(ROUND)]

    still = [truth for truth in truths if truth.label is not None]
    assert [truth.label for truth in still[::STILL]] == list(EMOTIONS)
    assert len(still) == 7 * STILL
    assert len({truth.box for truth in still}) == 7, "it stands still while its label is known"
    assert demo.labels == EMOTIONS


def test_between_two_emotions_it_glides_and_its_label_is_unknown():
    demo = lossless()
    path = [demo.truth(index) for index in range(STILL - 1, STILL + 15)]

    assert [truth.label is None for truth in path] == [False, *[True] * 14, False]
    assert path[-1].label == EMOTIONS[1]
    steps = np.diff([truth.box.center_px for truth in path], axis=0)
    whole = np.array(path[-1].box.center_px) - path[0].box.center_px
    # In the right direction all the way, slow at both ends, and never in one jump.
    assert (steps @ whole > 0).all()
    lengths = np.linalg.norm(steps, axis=1)
    assert lengths[0] < lengths.max() / 3
    assert lengths[-1] < lengths.max() / 3
    assert lengths.max() < np.linalg.norm(whole) / 7


def test_the_second_round_shows_the_emotions_at_other_places():
    demo = lossless()

    first, second = demo.truth(0), demo.truth(ROUND)

    assert first.label == second.label
    assert first.box != second.box


# --------------------------------------------------------------------------------------- the rate


@pytest.mark.parametrize("fps", [50.0, 400.0])
def test_frames_never_come_ahead_of_the_clock(fps):
    demo = DemoCamera(size_wh=(64, 64), fps=fps)
    # Not the first frame's own time, which is late where the machine is busy.
    began_ns = time.monotonic_ns()
    frames = [demo.read() for _ in range(20)]

    assert [frame.index for frame in frames] == list(range(20))
    for frame in frames:
        # The first one comes at once, each further one 1/fps later or more.
        due_ns = began_ns + (frame.index - 0.5) / fps * 1e9
        assert frame.captured_ns >= due_ns


def test_a_lossless_demo_has_no_clock():
    demo = DemoCamera(size_wh=(64, 64), fps=0.01, lossless=True)
    began = time.monotonic()

    frames = [demo.read() for _ in range(5)]

    assert frames[-1].index == 4
    assert time.monotonic() - began < 60, "at its rate they would take 400 s"


# Each case: a size, a rate.
IMPOSSIBLE = [
    ((63, 480), 30),
    ((640, 10), 30),
    ((0, 0), 30),
    ((640, 480), 0),
    ((640, 480), -5),
    ((640, 480), float("nan")),  # no comparison with it is true
    ((640, 480), float("inf")),
]


@pytest.mark.parametrize(("size_wh", "fps"), IMPOSSIBLE)
def test_an_impossible_size_or_rate_is_refused(size_wh, fps):
    with pytest.raises(CameraError, match=f"64x64 or more.*got {size_wh[0]}x{size_wh[1]} at"):
        DemoCamera(size_wh=size_wh, fps=fps)


# ------------------------------------------------------------------------------------- the faces


@needs_cascades
@pytest.mark.parametrize("size_wh", [(640, 480), (321, 243)])
def test_haar_finds_the_face_where_it_is(size_wh):
    demo, detector = lossless(size_wh), open_detector("haar")
    found = 0
    for index in range(0, 9 * 100, 9):  # all emotions at three places, still and moving
        faces = detector.detect(to_grey(demo.image(index)))
        truth = demo.truth(index).box
        found += any(face.box.iou(truth) >= 0.5 for face in faces)

    assert found >= 95
