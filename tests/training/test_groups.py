"""Accuracy by what pictures are like: who is in which group, and what does not depend on light."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.training.groups import PARTS, by_picture


def pictures(*levels: int, contrast: float = 20.0) -> np.ndarray:
    """Noise of one pattern around each grey value."""
    noise = np.random.default_rng(1).normal(0, contrast, (48, 48))
    return np.stack([(level + noise).clip(0, 255) for level in levels]).astype(np.uint8)


def named(images: np.ndarray, right: np.ndarray) -> dict:
    return {grouping.name: grouping.groups for grouping in by_picture(images, right)}


def test_dark_pictures_are_told_apart_from_bright_ones() -> None:
    images = pictures(*range(80, 180, 5))
    right = np.arange(20) >= 5

    groups = named(images, right)["brightness"]

    assert [group.accuracy.count for group in groups] == [5] * PARTS
    assert [group.accuracy.value for group in groups] == [0, 1, 1, 1]
    assert groups[0].low == pytest.approx(80, abs=1)
    assert groups[0].high == pytest.approx(100, abs=1)


def test_blurred_pictures_are_the_least_sharp_however_dark() -> None:
    sharp, dark = pictures(120, 125, 130, 135), pictures(60, 64, 68, 72, contrast=8.0)
    box = np.ones(5) / 5
    blurred = np.apply_along_axis(np.convolve, 2, sharp.astype(float), box, "same").astype(np.uint8)
    right = np.repeat([True, True, False], 4)

    groups = named(np.concatenate([sharp, dark, blurred]), right)["sharpness"]

    assert groups[0].accuracy.value == 0
    assert groups[-1].accuracy.value == 1


def test_pictures_that_are_alike_stay_together() -> None:
    groups = named(pictures(100, 100, 100, 100, 100, 200), np.ones(6, bool))["brightness"]

    assert [group.accuracy.count for group in groups] == [5, 1]


@given(st.integers(1, 40), st.integers(0, 99))
def test_every_picture_is_in_one_group_of_each(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, 12, 12), dtype=np.uint8)
    right = generator.random(count) < 0.5

    for groups in named(images, right).values():
        assert sum(group.accuracy.count for group in groups) == count
        assert sum(group.accuracy.hits for group in groups) == right.sum()
        assert len(groups) <= PARTS
        assert all(one.high <= two.low for one, two in pairwise(groups))


def test_one_grey_picture() -> None:
    (group,) = named(np.full((1, 48, 48), 90, np.uint8), np.array([True]))["sharpness"]

    assert (group.low, group.high, group.accuracy.value) == (0, 0, 1)
