"""Where the cells lie, what their answers mean, and which of them is taught which face."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.detectors.fer_face_decode import (
    RAW_LIMIT,
    RAW_MIDDLE,
    STEEPNESS,
    STRIDES,
    cell_centres,
    decode,
)
from fer_edge.training.detector.targets import SIDES, assign

from .conftest import boxes_of

NONE = boxes_of()
SIZE_WH = (320, 240)

# Sizes of pictures, and how many columns and rows each grid has.
GRIDS = [
    ((320, 240), [(40, 30), (20, 15), (10, 8)]),  # 240 is 7.5 cells of 32: as many as cover it
    ((192, 144), [(24, 18), (12, 9), (6, 5)]),
    ((224, 224), [(28, 28), (14, 14), (7, 7)]),
    ((16, 16), [(2, 2), (1, 1), (1, 1)]),
]


@pytest.mark.parametrize(("size_wh", "grids"), GRIDS)
def test_the_cells_lie_row_by_row_on_three_grids(size_wh, grids):
    centres, strides = cell_centres(size_wh)

    expected = [
        ((column + 0.5) * stride, (row + 0.5) * stride, stride)
        for stride, (columns, rows) in zip(STRIDES, grids, strict=True)
        for row in range(rows)
        for column in range(columns)
    ]
    np.testing.assert_array_equal(np.hstack([centres, strides]), expected)
    assert centres.dtype == strides.dtype == np.float32


def test_the_cells_are_shared_and_cannot_be_changed():
    centres, strides = cell_centres(SIZE_WH)

    assert cell_centres(SIZE_WH)[0] is centres
    for array in (centres, strides):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_an_answer_by_hand():
    """The first cell of the second grid: centre (8, 8), stride 16."""
    raw = np.full((1580, 4), RAW_MIDDLE, np.float32)
    raw[1200] = RAW_MIDDLE + np.log([0.25, 0.5, 1.0, 2.0]) / STEEPNESS
    logits = np.zeros((1580, 1), np.float32)
    logits[1200] = math.log(3)

    boxes, scores = decode(raw, logits, SIZE_WH)

    np.testing.assert_allclose(boxes[1200], [4, 0, 20, 40], rtol=1e-6)
    np.testing.assert_allclose(boxes[0], [-4, -4, 16, 16], rtol=1e-6)
    assert scores[1200] == pytest.approx(0.75)
    assert scores[0] == 0.5
    assert (boxes.dtype, scores.dtype, scores.shape) == (np.float32, np.float32, (1580,))


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_scores_do_not_overflow(logit):
    raw = np.zeros((1580, 4), np.float32)

    with np.errstate(over="raise", invalid="raise"):
        scores = decode(raw, np.full((1580, 1), logit, np.float32), SIZE_WH)[1]

    assert set(scores.tolist()) == {float(logit > 0)}


def raw_of(targets: np.ndarray) -> np.ndarray:
    """What the network would answer to be right."""
    return np.log(np.maximum(targets[:, :4], 1e-6)) / STEEPNESS + RAW_MIDDLE


faces = st.tuples(
    st.floats(8, 230),  # side
    st.floats(0.7, 1.3),  # width to height
    st.floats(0, 1),  # place across
    st.floats(0, 1),  # place down
)


@given(faces)
def test_what_a_face_teaches_decodes_to_that_face(drawn):
    side, shape, across, down = drawn
    w, h = min(side * shape**0.5, 320), min(side / shape**0.5, 240)
    box = (across * (320 - w), down * (240 - h), w, h)

    taught = assign(boxes_of(box), NONE, SIZE_WH, 1.2)
    there = taught.boxes[:, 4] == 1
    boxes, _ = decode(raw_of(taught.boxes), np.zeros((1580, 1), np.float32), SIZE_WH)

    assert there.any()
    # The centre of a cell of a tiny face may lie outside of it: no distance is negative then.
    inside = there & (taught.boxes[:, :4] > 0).all(axis=1)
    np.testing.assert_allclose(boxes[inside], np.tile(box, (inside.sum(), 1)), atol=0.01)
    np.testing.assert_array_equal(taught.scores[:, 0], there)
    assert (taught.scores[:, 1] == 1).all()
    reach = raw_of(taught.boxes)[inside]
    # Nearly every distance that is taught can be answered, the rest are under a pixel.
    assert (reach <= RAW_LIMIT).all()
    strides = cell_centres(SIZE_WH)[1][inside]
    assert ((reach >= 0) | (taught.boxes[inside, :4] * strides < 4)).all()


# Side of a face and the grids that answer for it.
SIDES_OF = [(10, [8]), (27, [8]), (30, [8, 16]), (60, [16]), (70, [16, 32]), (200, [32])]


@pytest.mark.parametrize(("side", "strides"), SIDES_OF)
def test_each_grid_answers_for_its_sizes(side, strides):
    taught = assign(boxes_of((20, 20, side, side)), NONE, SIZE_WH, 1.0)

    there = taught.boxes[:, 4] == 1
    assert sorted(set(cell_centres(SIZE_WH)[1][there, 0])) == strides


def test_the_grids_leave_no_size_out():
    ranges = list(SIDES.values())

    assert ranges[0][0] == 0
    assert ranges[-1][1] == math.inf
    assert all(low[1] > high[0] for low, high in itertools.pairwise(ranges))


# A face of 36 by 36 px around (100, 100), the radius, and the cells of stride 8 that answer.
CENTRES = [
    (0.1, {(100, 100)}),
    (1.0, {(x, y) for x in (92, 100, 108) for y in (92, 100, 108)}),
    # Within the radius, but no longer in the face.
    (9.0, {(x, y) for x in range(84, 117, 8) for y in range(84, 117, 8)}),
]


@pytest.mark.parametrize(("radius", "expected"), CENTRES)
def test_the_cells_around_the_centre_answer(radius, expected):
    taught = assign(boxes_of((82, 82, 36, 36)), NONE, SIZE_WH, radius)

    centres, strides = cell_centres(SIZE_WH)
    mine = (taught.boxes[:, 4] == 1) & (strides[:, 0] == 8)
    assert {tuple(centre) for centre in centres[mine]} == expected


def test_a_face_between_the_cells_has_the_nearest_one():
    taught = assign(boxes_of((7, 7, 3, 3)), NONE, SIZE_WH, 0.1)

    there = np.flatnonzero(taught.boxes[:, 4])
    assert cell_centres(SIZE_WH)[0][there].tolist() == [[12, 12]]
    assert taught.scores[there, 0].tolist() == [1.0]


def test_where_two_faces_claim_a_cell_the_smaller_one_has_it():
    small, large = (90, 90, 20, 20), (82, 82, 36, 36)

    for order in ([small, large], [large, small]):
        taught = assign(boxes_of(*order), NONE, SIZE_WH, 1.5)
        cell = np.flatnonzero((cell_centres(SIZE_WH)[0] == 100).all(axis=1))[0]
        assert taught.boxes[cell, :4].tolist() == [10 / 8] * 4


def test_cells_in_what_is_ignored_are_taught_nothing_but_a_face_is():
    ignore = boxes_of((80, 80, 40, 40))
    taught = assign(boxes_of((96, 96, 9, 9)), ignore, SIZE_WH, 1.0)

    centres = cell_centres(SIZE_WH)[0]
    inside = ((centres > 80) & (centres < 120)).all(axis=1)
    there = taught.boxes[:, 4] == 1
    assert there.any()
    np.testing.assert_array_equal(taught.scores[:, 1], ~inside | there)
    assert (taught.scores[there] == 1).all()


def test_a_picture_without_a_face_teaches_that():
    taught = assign(NONE, NONE, SIZE_WH, 1.0)

    assert not taught.boxes[:, 4].any()
    assert not taught.scores[:, 0].any()
    assert taught.scores[:, 1].all()
