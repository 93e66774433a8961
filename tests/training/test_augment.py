"""Augmentation changes what it says, by no more than it says, and by nothing but its generator."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.training.augment import Augmentation, augment

from ..conftest import a_face

#: No change at all; each test turns one on.
OFF = Augmentation(
    flip=0.0,
    rotate_deg=0.0,
    zoom=(1.0, 1.0),
    shift=0.0,
    brightness=0.0,
    contrast=(1.0, 1.0),
    erase=0.0,
)
FACES = np.stack([a_face(seed) for seed in range(40)])
# Away from black and white, so that brightness and contrast are not clipped.
MIDDLING = (FACES // 4 + 96).astype(np.uint8)


def changed(faces: np.ndarray, seed: int = 0, **changes) -> np.ndarray:
    settings = dataclasses.replace(OFF, **changes)
    return augment(faces, settings, np.random.default_rng(seed))


def a_square(side: int, x: int = 0, y: int = 0, size: int = 48) -> np.ndarray:
    """A white square about the middle, moved by x and y, on black."""
    image = np.zeros((1, size, size), np.uint8)
    low = (size - side) // 2
    image[0, low + y : low + y + side, low + x : low + x + side] = 255
    return image


def center_xy(image: np.ndarray) -> np.ndarray:
    """The centre of mass of the light, ``(x, y)`` in pixels."""
    ys, xs = np.indices(image.shape)
    return np.array([(xs * image).sum(), (ys * image).sum()]) / image.sum()


shares = st.floats(0, 1)
strengths = st.builds(
    Augmentation,
    flip=shares,
    rotate_deg=st.floats(0, 180),
    zoom=st.tuples(st.floats(0.3, 1), st.floats(1, 3)),
    shift=shares,
    brightness=st.floats(0, 255),
    contrast=st.tuples(st.floats(0, 1), st.floats(1, 5)),
    erase=shares,
    erase_area=st.tuples(st.floats(0.001, 0.2), st.floats(0.2, 1)),
)


@settings(max_examples=50)
@given(strengths, st.integers(0, 99), st.integers(1, 4), st.integers(2, 20), st.integers(2, 20))
def test_any_strength_gives_pixels_of_the_same_shape(strength, seed, count, width, height):
    faces = np.stack([a_face(seed + index, (width, height)) for index in range(count)])

    made = augment(faces, strength, np.random.default_rng(seed))

    assert made.shape == faces.shape
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    assert made.min() >= 0
    assert made.max() <= 255


def test_the_same_generator_gives_the_same_pictures():
    first, again, other = (
        augment(FACES, Augmentation(), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_other_source_of_chance_is_used():
    np.random.seed(1)
    first = augment(FACES, Augmentation(), np.random.default_rng(1))
    np.random.seed(2)

    np.testing.assert_array_equal(augment(FACES, Augmentation(), np.random.default_rng(1)), first)


def test_the_images_that_came_in_are_left_as_they_are():
    before = FACES.copy()

    augment(FACES, Augmentation(), np.random.default_rng(1))

    np.testing.assert_array_equal(FACES, before)


def test_no_strength_changes_nothing():
    np.testing.assert_allclose(changed(FACES), FACES, atol=1e-3)


def test_a_flip_is_the_mirror_image():
    np.testing.assert_allclose(changed(FACES, flip=1.0), FACES[:, :, ::-1], atol=1e-3)


def test_a_flip_mirrors_some_images_and_leaves_the_others():
    made = changed(FACES, flip=0.5)

    mirrored = np.isclose(made, FACES[:, :, ::-1], atol=1e-3).all(axis=(1, 2))
    same = np.isclose(made, FACES, atol=1e-3).all(axis=(1, 2))
    assert (mirrored ^ same).all()
    assert 8 < mirrored.sum() < 32  # 40 draws of a half: outside of it once in 100,000


def test_each_image_draws_its_own_amounts():
    alike = np.repeat(FACES[:1], 10, axis=0)

    made = augment(alike, Augmentation(erase=0.0), np.random.default_rng(1))

    assert len({image.tobytes() for image in made}) == 10


def test_brightness_adds_one_amount_to_all_pixels():
    added = changed(MIDDLING, brightness=25.0) - MIDDLING

    assert np.ptp(added, axis=(1, 2)).max() < 1e-3
    assert np.abs(added).max() <= 25.001
    assert added.min() < -15 < 15 < added.max(), "one direction only, or hardly any change"


def test_brightness_stops_at_black_and_white():
    made = changed(FACES, brightness=200.0)

    assert (made.min(), made.max()) == (0, 255)


def test_contrast_stretches_about_the_image_s_mean():
    made = changed(MIDDLING, contrast=(0.5, 1.5))

    means = MIDDLING.mean(axis=(1, 2))
    np.testing.assert_allclose(made.mean(axis=(1, 2)), means, atol=0.01)
    factors = made.std(axis=(1, 2)) / MIDDLING.std(axis=(1, 2))
    expected = means + (MIDDLING.T - means) * factors
    np.testing.assert_allclose(made.T, expected, atol=0.01)
    assert 0.49 < factors.min() < 0.7 < 1.3 < factors.max() < 1.51


# Each case: a zoom, how many times as wide a square becomes.
@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
def test_a_zoom_above_one_magnifies_about_the_middle(zoom):
    made = changed(a_square(12), zoom=(zoom, zoom))[0]

    assert np.sqrt(made.sum() / 255) == pytest.approx(12 * zoom, rel=0.05)
    np.testing.assert_allclose(center_xy(made), (23.5, 23.5), atol=0.1)


def test_a_shift_moves_by_no_more_than_its_share_of_the_side():
    made = changed(np.repeat(a_square(8), 60, axis=0), shift=0.25)

    moves = np.array([center_xy(image) for image in made]) - 23.5
    assert np.abs(moves).max() <= 0.25 * 48 + 0.1
    for axis in (0, 1):  # to either side, and near the end of the range
        assert moves[:, axis].min() < -8 < 8 < moves[:, axis].max()


def test_a_shift_follows_width_and_height():
    wide = np.zeros((60, 20, 80), np.uint8)
    wide[:, 9:11, 39:41] = 255

    moves = np.array([center_xy(image) for image in changed(wide, shift=0.25)]) - (39.5, 9.5)

    assert 12 < np.abs(moves[:, 0]).max() <= 20.1
    assert 3 < np.abs(moves[:, 1]).max() <= 5.1


def test_a_turn_goes_about_the_middle_by_no_more_than_its_angle():
    # A spot below and right of the middle, on neither axis: a shear would change its distance.
    made = changed(np.repeat(a_square(4, x=11, y=11), 60, axis=0), rotate_deg=30.0)

    offsets = np.array([center_xy(image) for image in made]) - 23.5
    angles = np.rad2deg(np.arctan2(offsets[:, 1], offsets[:, 0])) - 45
    assert np.hypot(*offsets.T) == pytest.approx(np.full(60, np.hypot(11, 11)), abs=0.2)
    assert -31 < angles.min() < -20 < 20 < angles.max() < 31


def test_a_mirrored_and_moved_image_repeats_its_border():
    # Grey to the edge: black corners would teach the network how the data were augmented.
    grey = np.full((20, 48, 48), 77, np.uint8)

    made = changed(grey, flip=0.5, rotate_deg=45.0, zoom=(0.5, 1.5), shift=0.3)

    np.testing.assert_allclose(made, 77, atol=1e-3)


def test_an_erased_rectangle_has_the_image_s_mean_grey():
    made = changed(MIDDLING, erase=1.0, erase_area=(0.1, 0.3))

    for before, after in zip(MIDDLING, made, strict=True):
        ys, xs = np.nonzero(np.abs(after - before) > 1e-3)
        box = after[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        np.testing.assert_allclose(box, before.mean(), atol=0.01)
        # Sides are cut down to whole pixels, so a little less than the asked area.
        assert 0.07 * 48 * 48 < box.size <= 0.3 * 48 * 48


def test_erasing_spares_the_share_of_images_that_it_should():
    made = changed(MIDDLING, erase=0.3)

    touched = (np.abs(made - MIDDLING) > 1e-3).any(axis=(1, 2)).sum()
    assert 2 < touched < 24  # 40 draws of 0.3


def test_an_image_may_be_erased_wholly():
    made = changed(MIDDLING[:5], erase=1.0, erase_area=(9.0, 9.0))

    means = MIDDLING[:5].mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(made, np.broadcast_to(means, made.shape), atol=0.01)
