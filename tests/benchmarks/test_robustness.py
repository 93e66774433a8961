"""The distortions, one by one, and how a model's answers over them are collected."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.benchmarks import robustness
from fer_edge.benchmarks.robustness import DISTORTIONS, Chance, answers, strength_at_loss
from fer_edge.edge.accelerator import demo_crops
from fer_edge.edge.framing import resized
from fer_edge.training.predictions import Predictor

from ..conftest import a_contract, a_face

SIZE_WH = (48, 48)
BY_NAME = {each.name: each for each in DISTORTIONS}
FACE = demo_crops(SIZE_WH)[1]


def spoiled(name: str, strength: float, crop=FACE, share: float = 0.1, seed: int = 1):
    distortion = BY_NAME[name]
    prepared = distortion.prepare(crop)
    return distortion.distort(prepared, strength, SIZE_WH, Chance(share, seed)).astype(int)


def square(x: int, y: int, side: int = 6) -> np.ndarray:
    """A grey crop with a bright square around this point."""
    crop = np.full((48, 48), 60, np.uint8)
    crop[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2] = 220
    return crop


def where(crop) -> tuple[float, float]:
    """The middle of what is bright, x and y."""
    rows, columns = np.nonzero(crop > 140)
    return columns.mean() + 0.5, rows.mean() + 0.5


# ------------------------------------------------------------------------------ distortions


def test_each_has_five_strengths_and_none_and_its_own_name():
    assert [len(set(each.strengths)) for each in DISTORTIONS] == [6] * len(DISTORTIONS)
    assert len(BY_NAME) == len(DISTORTIONS) == 10


@pytest.mark.parametrize("name", BY_NAME)
def test_none_changes_nothing_and_more_changes_more(name):
    away = [np.abs(spoiled(name, x) - FACE).mean() for x in BY_NAME[name].strengths]

    # Into the scene and out of it costs a little.
    assert away[0] < 2
    assert away == sorted(away)
    assert away[-1] > away[0] + 2


# Each case: where the box goes, in turns from the right, clockwise; where the square then is.
SHIFTS = [
    (0.0, (12, 24)),  # to the right, so the face goes to the left
    (0.25, (24, 12)),  # downwards
    (0.5, (36, 24)),
    (0.75, (24, 36)),
]


@pytest.mark.parametrize(("share", "expected"), SHIFTS)
def test_a_box_is_shifted_by_a_share_of_its_side(share, expected):
    moved = spoiled("box shift", 25, square(24, 24), share)

    assert where(moved) == pytest.approx(expected, abs=0.6)


# Each case: name, side of the box, where a square at a quarter of the crop is then.
SIZES = [
    ("box too small", 75, 24 + (12 - 24) / 0.75),
    ("box too large", 150, 24 + (12 - 24) / 1.5),
]


@pytest.mark.parametrize(("name", "percent", "expected"), SIZES)
def test_a_box_is_scaled_about_its_centre(name, percent, expected):
    assert where(spoiled(name, percent, square(12, 12))) == pytest.approx([expected] * 2, abs=0.6)


@pytest.mark.parametrize(("share", "expected"), [(0.9, (24, 38)), (0.1, (24, 10))])
def test_a_face_is_turned_either_way(share, expected):
    """What is on the right comes to the bottom by a quarter turn clockwise."""
    assert where(spoiled("rotation", 90, square(38, 24), share)) == pytest.approx(expected, abs=0.6)


def test_a_small_face_is_enlarged_as_the_loop_does():
    small = FACE.reshape(16, 3, 16, 3).mean(axis=(1, 3))

    again = resized(np.rint(small).astype(np.uint8)[np.newaxis], SIZE_WH)[0]

    assert np.abs(spoiled("small face", 16) - again).max() <= 1


def test_light_is_a_factor_that_is_clipped():
    crop = np.array([[0, 10, 100, 200]], np.uint8)

    assert spoiled("darker", 50, crop).tolist() == [[0, 5, 50, 100]]
    assert spoiled("brighter", 200, crop).tolist() == [[0, 20, 200, 255]]


def test_noise_has_its_strength_and_is_that_of_the_seed():
    grey = np.full((48, 48), 128, np.uint8)

    first, again, other = (spoiled("noise", 10, grey, seed=seed) for seed in (1, 1, 2))
    twice = spoiled("noise", 20, grey)

    assert (first - 128).std() == pytest.approx(10, rel=0.1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.abs((twice - 128) - 2 * (first - 128)).max() <= 2


def test_blur_spreads_by_its_sigma():
    dot = np.zeros((48, 48), np.uint8)
    dot[24, 24] = 255

    spread = spoiled("blur", 2, dot)

    assert spread.max() == pytest.approx(255 / (2 * np.pi * 4), abs=1)


# ---------------------------------------------------------------------------------- answers


def reader(size_wh: tuple[int, int] = SIZE_WH, seen: list | None = None) -> Predictor:
    """Names a crop by how bright it is, in steps of 32."""

    def answer(images):
        if seen is not None:
            seen.append(images)
        means = images.mean(axis=(1, 2))
        return -np.abs(means[:, np.newaxis] - 32 * np.arange(7)).astype(np.float32)

    return Predictor(Path("bright.tflite"), a_contract(input_size_wh=size_wh), answer)


def plain(*greys: int) -> np.ndarray:
    return np.stack([np.full((48, 48), grey, np.uint8) for grey in greys])


def test_answers_are_those_at_each_strength():
    named = answers([reader(), reader()], BY_NAME["darker"], plain(192, 64))

    assert named.shape == (2, 6, 2)
    # 192 times 100, 70, 50, 30, 20 and 10 %, in steps of 32.
    assert named[0].tolist() == [[6, 2], [4, 1], [3, 1], [2, 1], [1, 0], [1, 0]]
    assert np.array_equal(named[0], named[1])


def shown(name: str, faces: np.ndarray, seed: int) -> np.ndarray:
    """What a model is shown of each face at every strength but none: ``(5, n, 48, 48)``."""
    seen: list = []
    answers([reader(seen=seen)], BY_NAME[name], faces, seed=seed)
    return np.stack(seen[1:])


@pytest.mark.parametrize("name", ["box shift", "rotation", "noise"])
def test_chance_is_of_the_face_and_the_seed(name):
    twice = np.stack([FACE] * 12)

    first, again, other = (shown(name, twice, seed) for seed in (3, 3, 4))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # Turned one way or the other; shifted and noisy as no other face.
    each = {images.tobytes() for images in first[-1]}
    assert len(each) == (2 if name == "rotation" else 12)


@pytest.mark.parametrize("name", ["box shift", "noise"])
def test_answers_do_not_depend_on_how_many_faces_are_in_memory(name, monkeypatch):
    faces = np.stack([a_face(seed) // 4 + 20 * seed for seed in range(7)]).astype(np.uint8)
    whole = answers([reader()], BY_NAME[name], faces, seed=3)

    monkeypatch.setattr(robustness, "_CHUNK", 3)

    assert np.array_equal(whole, answers([reader()], BY_NAME[name], faces, seed=3))


def test_every_model_gets_crops_of_its_size():
    seen: list = []
    models = [reader(), reader((96, 96), seen)]

    named = answers(models, BY_NAME["box too small"], plain(192))

    assert {images.shape for images in seen} == {(1, 96, 96)}
    assert np.array_equal(named[0], named[1])


# ------------------------------------------------------------------------------ the strength


# Each case: strengths, accuracies, the strength at which five points are lost.
LOSSES = [
    ((0, 1, 2), (70, 65, 60), 1),
    ((0, 1, 2), (70, 69, 61), 1.5),
    ((100, 50, 10), (70, 60, 50), 75),  # strengths that fall
    ((0, 1, 2), (70, 72, 60), 1 + 7 / 12),  # better before it is worse
    ((0, 1, 2, 3), (70, 60, 70, 50), 0.5),  # the first time counts
    ((0, 1, 2), (70, 70, 66), None),
    ((0,), (70,), None),
]


@pytest.mark.parametrize(("xs", "ys", "expected"), LOSSES)
def test_the_strength_at_which_five_points_are_lost(xs, ys, expected):
    found = strength_at_loss(xs, ys)

    assert found == (None if expected is None else pytest.approx(expected))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6), st.floats(0.5, 50))
def test_the_strength_is_on_the_curve(ys, points):
    xs = tuple(range(len(ys)))

    found = strength_at_loss(xs, ys, points)

    assert (found is None) == (min(ys) > ys[0] - points)
    if found is not None:
        assert 0 < found <= xs[-1]
        assert np.interp(found, xs, ys) == pytest.approx(ys[0] - points, abs=1e-6)
