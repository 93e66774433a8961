"""Which faces are marked instead of read."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import UsageError
from fer_edge.edge.quality import NO_LIMITS, QualityLimits, cut_share, flaw, sharpness
from fer_edge.edge.records import Box

from ..conftest import a_face

FRAME_WH = (320, 240)
SHARP, PLAIN = a_face(), np.full((48, 48), 90, np.uint8)


def blurred(sigma_x: float, sigma_y: float, seed: int = 0) -> np.ndarray:
    """Noise of the spectrum of a face (its edges are a few pixels apart), blurred."""
    soft = cv2.GaussianBlur(a_face(seed).astype(np.float32), (0, 0), 0.7)
    face = cv2.GaussianBlur(soft, (0, 0), sigma_x, sigmaY=sigma_y)
    return np.clip(128 + 40 * (face - face.mean()) / face.std(), 0, 255).astype(np.uint8)


# Each case: the training square, the crop, the reason.
FLAWS = [
    (Box(100, 100, 60, 60), SHARP, ""),
    (Box(100, 100, 24, 24), SHARP, ""),
    (Box(100, 100, 23.9, 23.9), SHARP, "small"),
    (Box(-12, 100, 60, 60), SHARP, ""),  # a fifth outside
    (Box(-13, 100, 60, 60), SHARP, "cut"),
    (Box(300, 220, 60, 60), SHARP, "cut"),  # over a corner
    (Box(400, 100, 60, 60), SHARP, "cut"),  # not in the picture
    (Box(-60, -60, 600, 600), SHARP, "cut"),  # larger than the picture
    (Box(100, 100, 60, 60), PLAIN, "blurred"),
    (Box(100, 100, 60, 60), blurred(4, 4), "blurred"),
    (Box(100, 100, 60, 60), blurred(5, 0.1), "blurred"),  # in one direction
    (Box(100, 100, 60, 60), blurred(0.1, 5), "blurred"),
    (Box(-30, 100, 20, 20), PLAIN, "small"),  # everything wrong: the first reason
    (Box(-30, 100, 60, 60), PLAIN, "cut"),
]


@pytest.mark.parametrize(("square", "crop", "reason"), FLAWS)
def test_the_first_reason_that_applies(square, crop, reason):
    assert flaw(square, FRAME_WH, crop, QualityLimits()) == reason


@pytest.mark.parametrize(("square", "crop", "reason"), FLAWS)
def test_without_limits_every_face_is_read(square, crop, reason):
    del reason
    assert flaw(square, FRAME_WH, crop, NO_LIMITS) == ""


# Each case: a box in a frame of 320x240, the share of it that is outside.
CUTS = [
    (Box(10, 10, 50, 50), 0.0),
    (Box(0, 0, 320, 240), 0.0),
    (Box(-10, 10, 40, 40), 0.25),
    (Box(10, 220, 40, 40), 0.5),
    (Box(300, 220, 40, 40), 0.75),
    (Box(320, 10, 40, 40), 1.0),
    (Box(10, 10, 0, 0), 1.0),
]


@pytest.mark.parametrize(("box", "share"), CUTS)
def test_the_share_outside_of_the_frame(box, share):
    assert cut_share(box, FRAME_WH) == pytest.approx(share)


@given(
    st.builds(Box, st.floats(-900, 900), st.floats(-900, 900), st.floats(0, 900), st.floats(0, 900))
)
def test_the_share_is_one(box):
    assert 0 <= cut_share(box, FRAME_WH) <= 1


@given(st.integers(0, 200), st.floats(0.3, 3), st.floats(0.3, 3))
def test_more_blur_is_less_sharp_in_either_direction(seed, sigma_x, sigma_y):
    before = sharpness(blurred(sigma_x, sigma_y, seed))

    assert 0 < sharpness(blurred(1.6 * sigma_x + 1, 1.6 * sigma_y + 1, seed)) < before <= 4
    assert sharpness(blurred(sigma_x, sigma_y + 6, seed)) < before


@given(st.integers(0, 200), st.floats(0.3, 1), st.integers(0, 60))
def test_neither_contrast_nor_brightness_counts(seed, contrast, brighter):
    face = blurred(1, 1, seed)
    other = (0.7 * face * contrast + brighter).astype(np.uint8)

    assert sharpness(other) == pytest.approx(sharpness(face), rel=0.1)


def test_crops_of_another_size_are_judged_alike():
    face = blurred(1.5, 1.5)
    large = cv2.resize(face, (96, 96), interpolation=cv2.INTER_NEAREST)

    assert sharpness(large) == pytest.approx(sharpness(face), rel=0.05)


def test_one_grey_level_is_not_sharp():
    assert sharpness(PLAIN) == 0


@pytest.mark.parametrize(
    "wrong", [{"min_face_px": -1}, {"max_cut": 1.1}, {"max_cut": -0.1}, {"min_sharpness": -1}]
)
def test_limits_that_are_none(wrong):
    with pytest.raises(UsageError, match="share from 0 to 1"):
        QualityLimits(**wrong)
