"""What an operation costs, counted by hand, and how old a runtime may be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.convert.describe import describe
from fer_edge.convert.operations import known_since, minimum_runtime, multiply_adds, version_key
from fer_edge.edge.models import model_path

# Name, shapes of inputs and outputs, and the products counted by hand.
COSTS = [
    # 3x3 over 4 channels for each of 8x8x16 outputs
    ("CONV_2D", [(1, 8, 8, 4), (16, 3, 3, 4), (16,)], [(1, 8, 8, 16)], 8 * 8 * 16 * 9 * 4),
    # two groups: each output sees half of the channels
    ("CONV_2D", [(1, 8, 8, 4), (16, 3, 3, 2), None], [(1, 8, 8, 16)], 8 * 8 * 16 * 9 * 2),
    # stride 2 costs a quarter
    ("CONV_2D", [(1, 8, 8, 4), (16, 3, 3, 4), None], [(1, 4, 4, 16)], 4 * 4 * 16 * 9 * 4),
    ("DEPTHWISE_CONV_2D", [(1, 8, 8, 4), (1, 3, 3, 4), None], [(1, 8, 8, 4)], 8 * 8 * 4 * 9),
    # two outputs a channel
    ("DEPTHWISE_CONV_2D", [(1, 8, 8, 4), (1, 3, 3, 8), None], [(1, 8, 8, 8)], 8 * 8 * 8 * 9),
    ("FULLY_CONNECTED", [(1, 256), (7, 256), (7,)], [(1, 7)], 7 * 256),
    ("FULLY_CONNECTED", [(1, 5, 256), (7, 256), None], [(1, 5, 7)], 5 * 7 * 256),
    # a picture that it flattens itself
    ("FULLY_CONNECTED", [(1, 4, 4, 16), (7, 256), None], [(1, 7)], 7 * 256),
    # 2x2 with stride 2: every input pixel makes 4 outputs of 2 channels out of 4
    ("TRANSPOSE_CONV", [(4,), (2, 2, 2, 4), (1, 8, 8, 4)], [(1, 16, 16, 2)], 16 * 16 * 2 * 4),
    ("BATCH_MATMUL", [(3, 5, 7), (3, 7, 2)], [(3, 5, 2)], 3 * 5 * 7 * 2),
    ("BATCH_MATMUL", [(3, 7, 5), (3, 7, 2)], [(3, 5, 2)], 3 * 5 * 7 * 2),  # the left one transposed
    ("BATCH_MATMUL", [(3, 5, 7), (1, 2, 7)], [(3, 5, 2)], 3 * 5 * 7 * 2),  # a batch spread
    ("ADD", [(1, 8), (1, 8)], [(1, 8)], 0),
    ("MAX_POOL_2D", [(1, 8, 8, 4)], [(1, 4, 4, 4)], 0),
]


@pytest.mark.parametrize(("name", "inputs", "outputs", "cost"), COSTS)
def test_the_products_are_counted(name, inputs, outputs, cost):
    assert multiply_adds(name, inputs, outputs) == cost


@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)
)
def test_a_convolution_costs_what_its_loops_count(height, width, depth, out, size):
    """Padding counts as pixels: as many windows as outputs."""
    count = 0
    for _ in np.ndindex(height, width, out, size, size, depth):
        count += 1

    found = multiply_adds(
        "CONV_2D",
        [(1, height, width, depth), (out, size, size, depth), None],
        [(1, height, width, out)],
    )

    assert found == count


# Shapes that fit no such operation, as a damaged file may have.
MISFITS = [
    ("CONV_2D", [(1, 8, 8, 4)], [(1, 8, 8, 4)]),
    ("CONV_2D", [(1, 8, 8, 4), (3, 3)], [(1, 8, 8, 4)]),
    ("CONV_2D", [(1, 8, 8, 4), (1, 3, 3, 4)], []),
    ("FULLY_CONNECTED", [None, None], [(1, 7)]),
    ("BATCH_MATMUL", [(3, 5, 7), (3, 7, 2)], [(0, 0)]),
    ("CONV_2D", [(1, 8, 8, 4), (1, 3, 3, -4)], [(1, 8, 8, 1)]),
]


@pytest.mark.parametrize(("name", "inputs", "outputs"), MISFITS)
def test_shapes_that_do_not_fit_cost_nothing(name, inputs, outputs):
    assert multiply_adds(name, inputs, outputs) == 0


def test_the_shipped_model_costs_what_its_layers_add_up_to():
    model = describe(model_path("fast").read_bytes())

    expected = 48**2 * 9 * 16 + 192 * 7
    # Channels in and out, 1x1 around the block: of two 3x3 layers.
    expected += 24**2 * (9 * 16 * 32 + 9 * 32**2 + 16 * 32)
    # Side; channels in, out and inside; blocks: of 3x3 between 1x1, and 1x1 around the first.
    for side, before, width, inner, blocks in [(12, 32, 96, 44, 3), (6, 96, 192, 64, 2)]:
        first = before * inner + 9 * inner**2 + inner * width + before * width
        others = (blocks - 1) * (2 * width * inner + 9 * inner**2)
        expected += side**2 * (first + others)
    assert model.multiply_adds == expected


def test_the_newest_operation_decides_how_old_a_runtime_may_be():
    needs = minimum_runtime([("CONV_2D", 3), ("ADD", 4), ("RELU", 1)])

    assert (needs.version, needs.due_to, needs.unlisted) == ("2.6", "ADD v4", ())
    # 2.10 is after 2.9.
    assert minimum_runtime([("CONV_2D", 6), ("RELU_0_TO_1", 1)]).version == "2.10"


def test_what_the_table_does_not_have_is_named():
    needs = minimum_runtime([("CONV_2D", 99), ("HASHTABLE", 1), ("HASHTABLE", 1), ("RELU", 1)])

    assert needs.unlisted == ("CONV_2D v99", "HASHTABLE v1")
    assert needs.version == "1.5"


def test_nothing_known_leaves_the_version_open():
    assert minimum_runtime([]).version == ""
    assert known_since("CONV_2D", 0) is None


def test_versions_are_compared_as_numbers():
    assert version_key("2.10") > version_key("2.9") > version_key("1.13.1")
