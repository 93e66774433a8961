"""Mixup and cutmix, on images whose every pixel says whose it is."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.training.augment import Augmentation
from fer_edge.training.mixing import mix

MIXUP = Augmentation(mixup=1.0)
CUTMIX = Augmentation(cutmix=1.0)


def a_batch(count: int = 8, side: int = 12):
    """Images of one grey each, their number; targets that name it; weights of their own."""
    faces = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None], (count, side, side))
    targets = {"logits": np.eye(count, dtype=np.float32)}
    weights = {"logits": np.arange(1, count + 1, dtype=np.float32)}
    return faces.copy(), targets, weights


def mixed(settings: Augmentation, seed: int = 0, batch=None):
    return mix(*(batch or a_batch()), settings, np.random.default_rng(seed))


def test_nothing_is_drawn_where_nothing_is_mixed():
    batch, generator = a_batch(), np.random.default_rng(0)

    faces, targets, weights = mix(*batch, Augmentation(), generator)

    assert (faces is batch[0], targets is batch[1], weights is batch[2]) == (True, True, True)
    assert generator.random() == np.random.default_rng(0).random()


@given(st.integers(0, 1000))
def test_mixup_blends_pixels_targets_and_weights_by_one_share(seed):
    batch = a_batch()
    before = [batch[0].copy(), batch[1]["logits"].copy(), batch[2]["logits"].copy()]

    faces, targets, weights = mixed(MIXUP, seed, batch)

    assert (faces == faces[:, :1, :1]).all(), "a blend of two even greys is even"
    numbers = np.arange(8)
    np.testing.assert_allclose(faces[:, 0, 0], targets["logits"] @ numbers, atol=1e-5)
    np.testing.assert_allclose(weights["logits"], targets["logits"] @ (numbers + 1), atol=1e-5)
    np.testing.assert_allclose(targets["logits"].sum(axis=1), 1, rtol=1e-6)
    assert ((targets["logits"] > 0).sum(axis=1) <= 2).all(), "an image has one partner"
    for changed, kept in zip(
        (batch[0], *batch[1].values(), *batch[2].values()), before, strict=True
    ):
        np.testing.assert_array_equal(changed, kept)


@given(st.integers(0, 1000), st.sampled_from([0.2, 1.0, 3.0]))
def test_cutmix_pastes_a_rectangle_and_counts_its_pixels(seed, alpha):
    faces, targets, _ = mixed(dataclasses.replace(CUTMIX, mix_alpha=alpha), seed)

    for number, face in enumerate(faces):
        own = face == number
        assert targets["logits"][number, number] == pytest.approx(own.mean(), abs=1e-6) or own.all()
        others = np.unique(face[~own])
        assert len(others) <= 1
        if len(others):
            assert targets["logits"][number, int(others[0])] == pytest.approx(
                1 - own.mean(), abs=1e-6
            )
            rows, columns = np.flatnonzero((~own).any(1)), np.flatnonzero((~own).any(0))
            box = ~own[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert box.all(), "the pasted pixels are one rectangle"


def test_every_image_draws_a_share_of_its_own():
    _, targets, _ = mixed(MIXUP, 3, a_batch(64))

    assert len(np.unique(targets["logits"].max(axis=1).round(6))) > 32


def test_a_small_alpha_leaves_most_images_nearly_alone():
    """Beta(0.2, 0.2) has its weight at 0 and 1; Beta(8, 8) at a half."""
    strong = mixed(dataclasses.replace(MIXUP, mix_alpha=8.0), 0, a_batch(256))[1]["logits"]
    mild = mixed(dataclasses.replace(MIXUP, mix_alpha=0.2), 0, a_batch(256))[1]["logits"]

    assert np.median(strong.max(axis=1)) < 0.75
    assert np.median(mild.max(axis=1)) > 0.9


def test_a_batch_gets_one_of_them_or_neither_as_often_as_asked():
    settings, kinds = Augmentation(mixup=0.3, cutmix=0.5), []
    for seed in range(400):
        faces, _, _ = mixed(settings, seed)
        if (faces == a_batch()[0]).all():
            kinds.append("neither")
        elif (faces == faces[:, :1, :1]).all():
            kinds.append("mixup")
        else:
            kinds.append("cutmix")

    shares = {kind: kinds.count(kind) / 400 for kind in kinds}
    assert shares == pytest.approx({"mixup": 0.3, "cutmix": 0.5, "neither": 0.2}, abs=0.06)


def test_the_same_state_mixes_the_same():
    for one, other in zip(mixed(CUTMIX, 5)[0], mixed(CUTMIX, 5)[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(mixed(CUTMIX, 5)[0], mixed(CUTMIX, 6)[0])


def test_everything_stays_float32_and_in_range():
    generator = np.random.default_rng(0)
    faces = generator.uniform(0, 255, (16, 48, 48)).astype(np.float32)
    _, targets, weights = a_batch(16)

    for settings in (MIXUP, CUTMIX):
        made = mix(faces, targets, weights, settings, generator)
        for array in (made[0], *made[1].values(), *made[2].values()):
            assert array.dtype == np.float32
        assert 0 <= made[0].min() <= made[0].max() <= 255


def test_a_batch_of_one_is_its_own_partner():
    batch = a_batch(1)

    for settings in (MIXUP, CUTMIX):
        faces, targets, _ = mixed(settings, 0, batch)
        np.testing.assert_allclose(faces, batch[0])
        np.testing.assert_allclose(targets["logits"], [[1.0]])
