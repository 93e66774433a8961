"""Multiply-adds, against sums done by hand, and the published figures of the recipes."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")
from keras import layers  # noqa: E402

from fer_edge.training.architectures import build_network  # noqa: E402
from fer_edge.training.costs import multiply_adds  # noqa: E402
from fer_edge.training.measured import read_measured  # noqa: E402
from fer_edge.training.recipe_book import RECIPES  # noqa: E402

from ..conftest import a_recipe  # noqa: E402


def of(*made, side: int = 10, channels: int = 3) -> int:
    return multiply_adds(keras.Sequential([keras.Input((side, side, channels)), *made]))


# Each case: layers on 10x10x3, and the multiply-adds: positions, times the kernel, times channels.
CASES = [
    ((layers.Conv2D(8, 3, padding="same"),), 10 * 10 * 3 * 3 * 3 * 8),
    ((layers.Conv2D(8, 3, padding="valid"),), 8 * 8 * 3 * 3 * 3 * 8),
    ((layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),), 5 * 5 * 3 * 3 * 3 * 8),
    ((layers.Conv2D(8, 1),), 10 * 10 * 3 * 8),
    ((layers.Conv2D(6, 3, padding="same", groups=3),), 10 * 10 * 3 * 3 * 1 * 6),
    ((layers.DepthwiseConv2D(3, padding="same"),), 10 * 10 * 3 * 3 * 3),
    ((layers.DepthwiseConv2D(5, depth_multiplier=2),), 6 * 6 * 5 * 5 * 3 * 2),
    ((layers.SeparableConv2D(8, 3, padding="same"),), 10 * 10 * (3 * 3 * 3 + 3 * 8)),
    ((layers.Flatten(), layers.Dense(4)), 300 * 4),
    ((layers.Dense(4),), 10 * 10 * 3 * 4),  # at each position
    # What is folded away or does not multiply by weights costs nothing.
    (
        (
            layers.Rescaling(1 / 255),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
        ),
        0,
    ),
    ((layers.MaxPooling2D(), layers.Conv2D(2, 3, padding="same")), 5 * 5 * 3 * 3 * 3 * 2),
]


@pytest.mark.parametrize(("made", "expected"), CASES)
def test_a_layer_costs_its_kernel_at_each_position(made, expected):
    assert of(*made) == expected


def test_a_net_inside_a_net_is_counted_once():
    inner = keras.Sequential([keras.Input((10, 10, 3)), layers.Conv2D(8, 1)])

    assert of(inner, layers.Conv2D(2, 1)) == 100 * (3 * 8 + 8 * 2)


def test_a_layer_is_counted_as_at_its_first_use():
    """The training model calls the layers of the network once more."""
    network = build_network(a_recipe())
    before = multiply_adds(network)

    keras.Model(network.inputs, network(network.inputs))

    # Stem 48x48, then two convolutions at 24x24, then the classes.
    assert before == 48**2 * 9 * 4 + 2 * 24**2 * 9 * 4 * 4 + 4 * 7
    assert multiply_adds(network) == before


def published(name: str) -> None:
    network, about = build_network(RECIPES[name]), read_measured()[name]

    assert network.count_params() == about.parameters
    assert multiply_adds(network) == about.multiply_adds
    assert network.input_shape == (None, 48, 48, 1)
    assert network.output_shape == (None, 7)


@pytest.mark.parametrize("name", [name for name, r in RECIPES.items() if r.transfer is None])
def test_the_published_cost_of_a_recipe_is_its_own(name):
    published(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, r in RECIPES.items() if r.transfer])
def test_the_published_cost_of_a_transfer_recipe_is_its_own(name):
    published(name)
