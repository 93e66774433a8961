"""The network's shapes and losses, against values by hand; under whichever backend Keras has."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.detectors.fer_face_decode import (  # noqa: E402
    RAW_LIMIT,
    RAW_MIDDLE,
    STEEPNESS,
    cell_centres,
)
from fer_edge.edge.errors import UsageError  # noqa: E402
from fer_edge.training.detector.losses import FocalLoss, GIoULoss  # noqa: E402
from fer_edge.training.detector.network import build_network  # noqa: E402
from fer_edge.training.detector.recipe import DetectorRecipe  # noqa: E402
from fer_edge.training.detector.train import cost_of  # noqa: E402

# Keras 3.15 reads its variables through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture(scope="module")
def tiny():
    keras.utils.set_random_seed(1)
    return build_network(stem=4, widths=(4, 8, 8, 8), blocks=(1, 1, 1, 1))


@pytest.mark.parametrize("size_wh", [(64, 48), (96, 80), (32, 32)])
def test_the_network_answers_for_every_cell(tiny, size_wh):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, size_wh[1], size_wh[0], 1))

    answers = tiny.predict(pixels.astype(np.float32), verbose=0)

    count = len(cell_centres(size_wh)[0])
    assert set(answers) == {"boxes", "scores"}
    assert answers["boxes"].shape == (2, count, 4)
    assert answers["scores"].shape == (2, count, 1)
    assert answers["boxes"].min() >= 0
    assert answers["boxes"].max() <= RAW_LIMIT
    # Before training next to no cell says "face", and a box is two cells wide.
    assert 1 / (1 + np.exp(-answers["scores"].mean())) == pytest.approx(0.01, rel=0.5)
    assert answers["boxes"].mean() == pytest.approx(RAW_MIDDLE, abs=0.3)


def test_the_cells_lie_alike_in_pictures_of_any_height(tiny):
    """240 is an odd number of cells at stride 16, where "same" would pad otherwise."""
    # Black, which an untrained network cannot tell from what is beyond the picture.
    picture = np.zeros((1, 128, 96, 1), np.float32)
    picture[:, 40:72, 32:64] = 255.0
    seen = []
    for rows in (112, 128):
        scores = tiny.predict(picture[:, :rows], verbose=0)["scores"][0, :, 0]
        centres, strides = cell_centres((96, rows))
        seen.append(scores[(strides[:, 0] == 32) & (centres[:, 1] < 112)])

    assert len(seen[0]) == 9
    spread = float(np.ptp(seen[0]))
    assert spread > 0
    np.testing.assert_allclose(seen[0], seen[1], rtol=0, atol=0.01 * spread)


@pytest.mark.parametrize("options", [{"widths": (4, 4, 4)}, {"blocks": (1, 1)}])
def test_widths_and_blocks_are_of_four_strides(options):
    with pytest.raises(UsageError, match="four widths and four blocks"):
        build_network(**options)


def test_what_the_recipe_costs():
    """As docs/detector.md says; counted by hand, the transposed convolution 300*4*64*48 of it."""
    recipe = DetectorRecipe()

    assert build_network(**recipe.options).count_params() == 317_967
    assert cost_of(recipe) == 203_714_560


# ----------------------------------------------------------------------------------------- losses


def loss_of(loss, true: list, predicted: list) -> float:
    arrays = (np.array([values], np.float32) for values in (true, predicted))
    return float(keras.ops.convert_to_numpy(loss(*arrays)))


def focal(alpha: float, gamma: float, cells: list[tuple[int, float]]) -> float:
    """Equation 5 of the paper, of cells with 1 or 0 and a probability."""
    costs = [
        -(alpha if there else 1 - alpha)
        * (1 - (p if there else 1 - p)) ** gamma
        * np.log(p if there else 1 - p)
        for there, p in cells
    ]
    return sum(costs) / max(1, sum(there for there, _ in cells))


# Alpha, gamma, and cells: whether a face is there, and the probability that is answered.
FOCAL = [
    (0.25, 2.0, [(1, 0.8), (0, 0.1), (0, 0.3)]),
    (0.25, 2.0, [(0, 0.1), (0, 0.3)]),  # no face: not divided by 0
    (0.25, 2.0, [(1, 0.8), (1, 0.4), (0, 0.3)]),
    (0.5, 0.0, [(1, 0.8), (0, 0.3)]),  # half the cross-entropy
    (0.9, 1.0, [(1, 0.5)]),
]


@pytest.mark.parametrize(("alpha", "gamma", "cells"), FOCAL)
def test_the_focal_loss_by_hand(alpha, gamma, cells):
    true = [(there, 1.0) for there, _ in cells]
    logits = [[np.log(p / (1 - p))] for _, p in cells]

    assert loss_of(FocalLoss(alpha, gamma), true, logits) == pytest.approx(
        focal(alpha, gamma, cells), rel=1e-5
    )


def test_cells_of_weight_0_cost_nothing_however_wrong():
    true, logits = [(1, 1.0), (0, 0.0), (0, 1.0)], [[3.0], [90.0], [-3.0]]

    without = loss_of(FocalLoss(0.25, 2.0), [true[0], true[2]], [logits[0], logits[2]])
    assert loss_of(FocalLoss(0.25, 2.0), true, logits) == pytest.approx(without)


@pytest.mark.parametrize("there", [0, 1])
@pytest.mark.parametrize("logit", [-500.0, 500.0])
def test_the_focal_loss_of_the_surest_cells_is_finite(there, logit):
    cost = loss_of(FocalLoss(0.25, 2.0), [(there, 1.0)], [[logit]])

    assert cost == pytest.approx(0.0 if (logit > 0) == bool(there) else cost)
    assert np.isfinite(cost)


def raw(*distances: float) -> list[float]:
    """What the network would answer for distances in strides."""
    return [RAW_MIDDLE + float(np.log(distance)) / STEEPNESS for distance in distances]


# True and found distances (left, top, right, bottom) and the generalised IoU by hand.
GIOU = [
    ((1, 1, 1, 1), (1, 1, 1, 1), 1.0),
    # 2x2 in 4x4: 4/16, and the box around both is the larger one.
    ((1, 1, 1, 1), (2, 2, 2, 2), 0.25),
    # 2x2 each, one to the left and one to the right by 1 of a cell's centre: shared 1x2 of 6, and
    # the box around both is 3x2.
    ((1.5, 1, 0.5, 1), (0.5, 1, 1.5, 1), 2 / 6),
    # A cross: 2x1 and 1x2, shared 1, union 3, around both 4.
    ((1, 0.5, 1, 0.5), (0.5, 1, 0.5, 1), 1 / 3 - 1 / 4),
]


@pytest.mark.parametrize(("true", "found", "expected"), GIOU)
def test_the_giou_loss_by_hand(true, found, expected):
    assert loss_of(GIoULoss(), [(*true, 1.0)], [raw(*found)]) == pytest.approx(
        1 - expected, abs=1e-5
    )


def test_only_cells_with_a_face_have_a_box():
    cells = [((1, 1, 1, 1, 1.0), raw(2, 2, 2, 2)), ((1, 1, 1, 1, 0.0), raw(5, 1, 5, 1))]
    true, found = zip(*cells, strict=True)

    assert loss_of(GIoULoss(), list(true), list(found)) == pytest.approx(0.75)
    assert loss_of(GIoULoss(), [true[1]], [found[1]]) == 0.0


def test_boxes_that_are_apart_cost_more_than_1():
    """The nearest cell of a tiny face lies outside of it: one of its distances is negative."""
    true = (-0.5, 1, 1.5, 1, 1.0)

    assert loss_of(GIoULoss(), [true], [raw(1, 1, 0.2, 1)]) > 1.0
