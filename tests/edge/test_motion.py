"""Following a face by its looks: pure functions over made pictures."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge.motion import find_patch, take_patch
from fer_edge.edge.records import Box

SIZE_WH = (320, 240)


def a_scene(*shown: tuple[int, float, float, float, float], seed: int = 1) -> np.ndarray:
    """A soft background with soft blobs on it: ``(seed, x, y, w, h)`` each, at any fraction."""
    scene = _blobs(seed, SIZE_WH).astype(np.uint8)
    for own_seed, x, y, w, h in shown:
        face = _blobs(1000 + own_seed, (96, 96))
        matrix = np.array([[w / 96, 0, x], [0, h / 96, y]], np.float32)
        there = cv2.warpAffine(np.full((96, 96), 255, np.uint8), matrix, SIZE_WH) > 127
        moved = cv2.warpAffine(
            face.astype(np.uint8), matrix, SIZE_WH, borderMode=cv2.BORDER_REPLICATE
        )
        scene = np.where(there, moved, scene)
    return scene


def _blobs(seed: int, size_wh: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=size_wh[::-1])
    soft = cv2.GaussianBlur(noise, (0, 0), 5)
    return np.clip(128 + 50 * soft / soft.std(), 0, 255)


def found(before: np.ndarray, box: Box, after: np.ndarray, expected: Box | None = None):
    patch = take_patch(before, box)
    assert patch is not None
    match = find_patch(after, patch, expected or box)
    assert match is not None
    return match


@settings(max_examples=60)
@given(
    st.floats(60, 180), st.floats(60, 120), st.floats(24, 100), st.floats(0.8, 1.3),
    st.floats(-0.35, 0.35), st.floats(-0.35, 0.35),
)  # fmt: skip
def test_a_face_that_moved_by_a_third_of_its_size_is_found_to_a_fraction(
    x, y, w, tall, right, down
):
    h = w * tall
    moved = Box(x + right * w, y + down * h, w, h)
    before, after = a_scene((1, x, y, w, h)), a_scene((1, moved.x_px, moved.y_px, w, h))

    match = found(before, Box(x, y, w, h), after)

    assert match.score > 0.8
    # A 24th of the face is a step of the search.
    assert abs(match.box.x_px - moved.x_px) < w / 24 + 0.5
    assert abs(match.box.y_px - moved.y_px) < h / 24 + 0.5
    assert (match.box.w_px, match.box.h_px) == (w, h)


def test_what_stands_still_stays_where_it_is_even_between_pixels():
    box = Box(100.4, 80.7, 40.2, 50.3)
    scene = a_scene((1, 100.4, 80.7, 40.2, 50.3))

    match = found(scene, box, scene)

    # Not more, as both are cut at whole pixels.
    assert match.score > 0.93
    assert match.box.iou(box) > 0.97


def test_the_search_begins_where_the_face_is_expected():
    before, after = a_scene((1, 40, 80, 40, 40)), a_scene((1, 140, 80, 40, 40))
    box = Box(40, 80, 40, 40)

    assert found(before, box, after).score < 0.6
    assert found(before, box, after, Box(132, 84, 40, 40)).box.iou(Box(140, 80, 40, 40)) > 0.9


def test_brighter_and_with_more_contrast_is_the_same_face():
    before, after = a_scene((1, 100, 80, 40, 40)), a_scene((1, 106, 78, 40, 40))
    brighter = np.clip(0.6 * after.astype(float) + 70, 0, 255).astype(np.uint8)

    match = found(before, Box(100, 80, 40, 40), brighter)

    assert match.score > 0.9
    assert match.box.iou(Box(106, 78, 40, 40)) > 0.9


def test_another_face_has_a_low_score():
    before, after = a_scene((1, 100, 80, 40, 40)), a_scene((2, 100, 80, 40, 40))

    assert found(before, Box(100, 80, 40, 40), after).score < 0.5


# Each case: a box, and whether there is anything to remember.
PLACES = [
    (Box(100, 80, 40, 40), True),
    (Box(-20, 80, 40, 40), True),  # half outside
    (Box(300, 220, 40, 40), True),  # over a corner
    (Box(-38, 80, 40, 40), False),  # two columns inside
    (Box(-100, 80, 40, 40), False),
    (Box(100, 500, 40, 40), False),
    (Box(100, 80, 0.2, 0.2), False),
    (Box(-100, -100, 1000, 1000), True),  # larger than the picture
]


@pytest.mark.parametrize(("box", "there"), PLACES)
def test_a_patch_needs_some_of_the_face_inside_of_the_picture(box, there):
    assert (take_patch(a_scene(), box) is not None) == there


@pytest.mark.parametrize(("box", "there"), PLACES)
def test_a_search_needs_some_of_the_window_inside_of_the_picture(box, there):
    del there
    patch = take_patch(a_scene(), Box(100, 80, 40, 40))
    assert patch is not None

    match = find_patch(a_scene(), patch, box)

    assert match is None or (-1 <= match.score <= 1 and np.isfinite(match.box.area_px2))


def test_a_plain_wall_is_nothing_to_remember_and_nothing_to_find():
    wall = np.full(SIZE_WH[::-1], 77, np.uint8)

    assert take_patch(wall, Box(100, 80, 40, 40)) is None
    assert found(a_scene(), Box(100, 80, 40, 40), wall).score == 0
    # Nor is a trace of the face itself, which any correlation would call perfect.
    trace = (77 + (a_scene() - 128.0) * 0.02).astype(np.uint8)
    assert found(a_scene(), Box(100, 80, 40, 40), trace).score == 0


def test_a_face_that_leaves_over_the_border_is_followed_while_half_of_it_is_there():
    before, after = a_scene((1, 10, 80, 60, 60)), a_scene((1, -8, 80, 60, 60))

    match = found(before, Box(10, 80, 60, 60), after)

    assert match.box.iou(Box(-8, 80, 60, 60)) > 0.85
