"""What a camera does to a face: each step as far as it says, on as many images as it says."""

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.training.augment import Augmentation
from fer_edge.training.degrade import degrade

from ..conftest import a_face

FACES = np.stack([a_face(seed) for seed in range(60)]).astype(np.float32)
#: Every image is one of a camera, whose steps change nothing; each test turns one on.
STILL = Augmentation(
    camera=1.0,
    camera_gamma=(1.0, 1.0),
    camera_blur=(0.05, 0.05),
    camera_px=(48.0, 48.0),
    camera_noise=(0.0, 0.0),
    camera_jpeg=(100.0, 100.0),
)


def degraded(seed: int = 0, **changes) -> np.ndarray:
    images = FACES.copy()
    degrade(images, dataclasses.replace(STILL, **changes), np.random.default_rng(seed))
    return images


def sharpness(images: np.ndarray) -> np.ndarray:
    """Mean size of the differences to the neighbours, of each image."""
    return np.abs(np.diff(images, axis=2)).mean(axis=(1, 2))


def some_and_not_all(changed: np.ndarray) -> bool:
    """Each step is taken by about half of the images."""
    return 0.25 < changed.mean() < 0.75


@settings(max_examples=30)
@given(
    st.floats(0, 1),
    st.tuples(st.floats(0.1, 1), st.floats(1, 10)),
    st.tuples(st.floats(0.05, 1), st.floats(1, 24)),
    st.tuples(st.floats(2, 20), st.floats(20, 1000)),
    st.tuples(st.floats(0, 20), st.floats(20, 255)),
    st.tuples(st.floats(1, 50), st.floats(50, 100)),
    st.integers(0, 99),
)
def test_any_camera_gives_pixels_of_the_same_shape(share, gamma, blur, px, noise, jpeg, seed):
    images = FACES[:6].copy()
    camera = Augmentation(
        camera=share,
        camera_gamma=gamma,
        camera_blur=blur,
        camera_px=px,
        camera_noise=noise,
        camera_jpeg=jpeg,
    )

    degrade(images, camera, np.random.default_rng(seed))

    assert images.dtype == np.float32
    assert np.isfinite(images).all()
    assert images.min() >= 0
    assert images.max() <= 255


def test_without_a_camera_nothing_is_changed_and_nothing_drawn():
    generator, untouched = np.random.default_rng(1), np.random.default_rng(1)
    images = FACES.copy()

    degrade(images, Augmentation(), generator)

    np.testing.assert_array_equal(images, FACES)
    assert generator.random() == untouched.random()


def test_a_camera_that_does_nothing_changes_next_to_nothing():
    assert np.abs(degraded() - FACES).max() <= 2


def test_the_same_generator_gives_the_same_pictures():
    np.testing.assert_array_equal(
        degraded(3, camera_noise=(9, 9)), degraded(3, camera_noise=(9, 9))
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_as_many_images_as_asked_are_changed(share: float):
    images = np.full((1000, 8, 8), 100, np.float32)
    camera = dataclasses.replace(STILL, camera=share, camera_gamma=(2.0, 2.0))

    degrade(images, camera, np.random.default_rng(1))

    changed = (images != 100).any(axis=(1, 2)).mean()
    # Half of them draw the exposure.
    assert changed == pytest.approx(share / 2, abs=0.05)


@pytest.mark.parametrize(("gamma", "brighter"), [(0.5, True), (2.0, False)])
def test_exposure(gamma: float, brighter: bool):
    difference = (degraded(camera_gamma=(gamma, gamma)) - FACES).mean(axis=(1, 2))

    changed = np.abs(difference) > 2
    assert some_and_not_all(changed)
    assert ((difference[changed] > 0) == brighter).all()
    middle = np.full((40, 4, 4), 64, np.float32)
    degrade(middle, dataclasses.replace(STILL, camera_gamma=(0.5, 0.5)), np.random.default_rng(1))
    # The formula: 255 * (64 / 255) ** 0.5.
    assert middle.max() == pytest.approx(127.7, abs=1)


@pytest.mark.parametrize(
    "changes",
    [{"camera_blur": (1.5, 1.5)}, {"camera_px": (16.0, 16.0)}],
    ids=["blur", "few pixels"],
)
def test_blur_and_few_pixels_take_the_detail(changes: dict):
    lost = 1 - sharpness(degraded(**changes)) / sharpness(FACES)

    assert some_and_not_all(lost > 0.2)


def test_noise_has_the_strength_that_it_says():
    images = np.full((200, 48, 48), 128, np.float32)
    camera = dataclasses.replace(STILL, camera_noise=(10.0, 10.0))

    degrade(images, camera, np.random.default_rng(1))

    spread = images.std(axis=(1, 2))
    assert some_and_not_all(spread > 5)
    assert np.median(spread[spread > 5]) == pytest.approx(10, abs=1)


def test_jpeg_is_that_of_opencv():
    images = degraded(camera_jpeg=(10.0, 10.0))

    changed = np.abs(images - FACES).max(axis=(1, 2)) > 4
    assert some_and_not_all(changed)
    at = int(np.flatnonzero(changed)[0])
    _, packed = cv2.imencode(".jpg", FACES[at].astype(np.uint8), (cv2.IMWRITE_JPEG_QUALITY, 10))
    expected = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    assert np.abs(images[at] - expected).mean() < 1.5
