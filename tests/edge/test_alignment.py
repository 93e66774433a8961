"""Undoing the roll of a face: nothing for a level one, and the same crop whatever the roll was."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge import alignment
from fer_edge.edge.alignment import crop_aligned, roll_deg
from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.framing import Framing, crop_square, to_grey
from fer_edge.edge.records import Box, Face
from fer_edge.edge.stages import cut_faces

from ..conftest import a_face

SIZE = (48, 48)
PICTURE = to_grey(DemoCamera(size_wh=(320, 240), lossless=True).image(5))
SQUARE = DemoCamera(size_wh=(320, 240), lossless=True).truth(5).box

angles = st.floats(-179, 179)
sizes = st.tuples(st.integers(8, 64), st.integers(8, 64))


def turned_points(
    angle_deg: float, about: tuple[float, float], apart: float = 40.0
) -> tuple[tuple[float, float], ...]:
    """The eyes of a face at this place, and three points below, turned clockwise."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    level = [(-apart / 2, -8), (apart / 2, -8), (0, 5), (-12, 20), (12, 20)]
    return tuple((about[0] + cos * x - sin * y, about[1] + sin * x + cos * y) for x, y in level)


def turned(picture: np.ndarray, angle_deg: float, about: tuple[float, float]) -> np.ndarray:
    """The picture turned clockwise about a place; what comes in from outside repeats the border."""
    # OpenCV's angles are counter-clockwise, and its pixels are counted from their middles.
    center = about[0] - 0.5, about[1] - 0.5
    matrix = cv2.getRotationMatrix2D(center, -angle_deg, 1.0)
    return cv2.warpAffine(
        picture, matrix, picture.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


# ------------------------------------------------------------------------------------ the roll


@given(angles, st.floats(1, 200))
def test_the_roll_is_that_of_the_line_through_the_eyes(angle, apart):
    assert roll_deg(turned_points(angle, (100, 80), apart)) == pytest.approx(angle, abs=1e-6)


# Each case: right eye, left eye (the person's own), the roll as one sees it.
ROLLS = [
    ((10, 10), (20, 10), 0),
    ((10, 10), (20, 20), 45),  # y is down: the head leans to the right of the picture
    ((10, 10), (20, 0), -45),
    ((20, 10), (10, 10), 180),  # on its head
    ((10, 10), (10, 10), 0),  # nothing is known
]


@pytest.mark.parametrize(("right", "left", "expected"), ROLLS)
def test_the_roll_is_clockwise(right, left, expected):
    assert roll_deg([right, left]) == pytest.approx(expected)


# ----------------------------------------------------------------------------------- the crop


@given(st.floats(-60, 300), st.floats(-60, 200), st.floats(1, 300), sizes)
def test_a_level_face_is_cut_as_without_alignment(x, y, side, size_wh):
    square = Box(x, y, side, side)
    plain = crop_square(PICTURE, square, size_wh)
    level = turned_points(0, square.center_px)

    np.testing.assert_array_equal(crop_aligned(PICTURE, square, level, size_wh), plain)
    np.testing.assert_array_equal(crop_aligned(PICTURE, square, None, size_wh), plain)


@given(angles)
def test_turning_picture_and_landmarks_together_gives_nearly_the_same_crop(angle):
    center = SQUARE.center_px
    upright = crop_square(PICTURE, SQUARE, SIZE).astype(float)

    crop = crop_aligned(
        turned(PICTURE, angle, center), SQUARE, turned_points(angle, center, SQUARE.w_px / 2), SIZE
    )

    # Two interpolations in place of one, and a crop that is not rounded to whole pixels.
    assert np.abs(crop - upright)[4:-4, 4:-4].mean() < 4
    # Without alignment it is another picture; where the angle is small it is nearly the same.
    if abs(angle) > 15:
        plain = crop_square(turned(PICTURE, angle, center), SQUARE, SIZE)
        assert np.abs(plain - upright)[4:-4, 4:-4].mean() > 8


@given(st.floats(-60, 300), st.floats(-60, 200), st.floats(1, 300), angles, sizes)
def test_every_face_gives_a_picture_of_the_asked_size(x, y, side, angle, size_wh):
    square = Box(x, y, side, side)
    points = turned_points(angle, square.center_px, max(1.0, side / 2))

    crop = crop_aligned(PICTURE, square, points, size_wh)

    assert crop.shape == size_wh[::-1]
    assert crop.dtype == np.uint8
    assert PICTURE.min() <= crop.min()
    assert crop.max() <= PICTURE.max()


@given(st.integers(1, 5), st.sampled_from([-90, 90, 180]))
def test_quarter_turns_are_exact(finer, angle):
    """No interpolation is needed, so none may show: the half pixels are right."""
    side = 8 * finer
    picture = a_face(3, (side, side))
    square = Box(0, 0, side, side)
    points = turned_points(angle, square.center_px, side / 2)

    crop = crop_aligned(np.rot90(picture, -angle // 90), square, points, (8, 8))

    expected = crop_square(picture, square, (8, 8))
    assert np.abs(crop.astype(int) - expected).max() <= 1


def test_shrinking_averages_and_does_not_skip_pixels():
    """Fine stripes become grey, not stripes of another width."""
    stripes = np.tile(np.array([0, 255], np.uint8), (400, 200))
    square = Box(50, 50, 300, 300)

    crop = crop_aligned(stripes, square, turned_points(20, square.center_px, 150), SIZE)

    assert np.abs(crop.astype(int) - 127).max() < 40


def test_a_face_in_profile_is_cut_as_it_is():
    """Its eyes lie nearly behind each other, so the line through them says nothing."""
    profile = turned_points(60, SQUARE.center_px, apart=0.1 * SQUARE.w_px)

    crop = crop_aligned(PICTURE, SQUARE, profile, SIZE)

    np.testing.assert_array_equal(crop, crop_square(PICTURE, SQUARE, SIZE))


def test_the_picture_is_read_once(monkeypatch):
    """One warp with the scaling: a second interpolation would blur."""
    calls = []
    real = cv2.warpAffine
    monkeypatch.setattr(
        alignment.cv2, "warpAffine", lambda *a, **k: (calls.append(a[2]), real(*a, **k))[1]
    )

    crop_aligned(PICTURE, SQUARE, turned_points(20, SQUARE.center_px, 60), SIZE)

    assert len(calls) == 1


# ------------------------------------------------------------------------------- in the loop


def test_cut_faces_aligns_the_faces_with_landmarks_where_it_is_asked_to():
    points = turned_points(25, SQUARE.center_px, 60)
    faces = [Face(SQUARE, 1.0, landmarks_px=points), Face(SQUARE, 1.0)]

    plain = cut_faces(PICTURE, faces, Framing(), SIZE, align=False).crops
    aligned = cut_faces(PICTURE, faces, Framing(), SIZE).crops

    np.testing.assert_array_equal(plain[0], plain[1])
    np.testing.assert_array_equal(aligned[1], plain[1])
    np.testing.assert_array_equal(aligned[0], crop_aligned(PICTURE, SQUARE, points, SIZE))
    assert np.abs(aligned[0].astype(int) - plain[0]).mean() > 8
