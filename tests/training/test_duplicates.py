"""Copies are found, equal or nearly, and different faces are not called copies."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.training.duplicates import NearPair, equal_groups, near_pairs

from ..conftest import a_face


def a_portrait(seed: int) -> np.ndarray:
    """A smooth picture, which a shift of a pixel changes little, as with a photograph."""
    return cv2.resize(a_face(seed, (4, 4)), (48, 48), interpolation=cv2.INTER_CUBIC)


def changed(image: np.ndarray, gain: float = 1.0, offset: float = 0.0) -> np.ndarray:
    return np.clip(image * gain + offset, 0, 255).astype(np.uint8)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_equal_images_are_grouped_and_no_others(seeds):
    groups = equal_groups(np.stack([a_face(seed) for seed in seeds]))

    expected = {}
    for index, seed in enumerate(seeds):
        expected.setdefault(seed, []).append(index)
    assert groups == tuple(tuple(group) for group in expected.values() if len(group) > 1)


# Each case: what became of the second copy.
COPIES = {
    "darker": lambda image: changed(image, gain=0.5),
    "brighter and flatter": lambda image: changed(image, gain=0.4, offset=120),
    "shifted by a pixel": lambda image: np.roll(image, 1, axis=1),
    "with noise": lambda image: changed(image, 1, np.random.default_rng(9).normal(0, 6, (48, 48))),
    "with a watermark": lambda image: cv2.line(image.copy(), (0, 20), (47, 24), 220, 1),
    "one pixel differs": lambda image: np.where(
        np.arange(2304).reshape(48, 48), image, 255 - image
    ),
}


@pytest.mark.parametrize("case", COPIES)
def test_a_changed_copy_is_found(case):
    first = changed(a_portrait(1), 0.6, 40)
    second = COPIES[case](first).astype(np.uint8)
    images = np.stack([a_portrait(2), first, a_portrait(3), second])

    (pair,) = near_pairs(images)

    assert (pair.first, pair.second) == (1, 3)
    assert 0.93 <= pair.correlation <= 1.0


# Each case: the image beside a portrait, which is no near copy of it.
OTHERS = {
    "another portrait": lambda image: a_portrait(2),
    "equal: that is the other list": lambda image: image,
    "its negative": lambda image: 255 - image,
    "its mirror image": lambda image: image[:, ::-1],
    "black": lambda image: np.zeros_like(image),
    "shifted by eight pixels": lambda image: np.roll(image, 8, axis=1),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_no_near_copy_is_not_called_one(case):
    image = a_portrait(1)

    assert near_pairs(np.stack([image, OTHERS[case](image)])) == ()


def test_two_blank_images_are_no_near_copies():
    blank = np.stack([np.full((48, 48), grey, np.uint8) for grey in (0, 255)])

    assert near_pairs(blank) == ()


def test_pairs_are_found_across_blocks_and_met_once(monkeypatch):
    monkeypatch.setattr("fer_edge.training.duplicates._BLOCK_ROWS", 2)
    portrait = a_portrait(1)
    images = np.stack(
        [portrait, a_portrait(2), changed(portrait, 0.8), a_portrait(3), changed(portrait, 0.6)]
    )

    pairs = near_pairs(images)

    assert [(pair.first, pair.second) for pair in pairs] == [(0, 2), (0, 4), (2, 4)]


def test_of_equal_images_the_first_stands_for_all():
    portrait, darker = a_portrait(1), changed(a_portrait(1), 0.7)
    images = np.stack([darker, portrait, a_portrait(2), portrait, darker])

    assert [(pair.first, pair.second) for pair in near_pairs(images)] == [(0, 1)]


def test_one_image_has_no_copies():
    assert near_pairs(a_portrait(1)[None]) == equal_groups(a_portrait(1)[None]) == ()


def test_the_threshold_is_kept():
    first = changed(a_portrait(1), 0.6, 40)
    second = np.roll(first, 1, axis=0)
    (pair,) = near_pairs(np.stack([first, second]), threshold=0.5)

    assert isinstance(pair, NearPair)
    assert near_pairs(np.stack([first, second]), threshold=pair.correlation - 0.001) == (pair,)
    assert near_pairs(np.stack([first, second]), threshold=pair.correlation + 0.001) == ()
