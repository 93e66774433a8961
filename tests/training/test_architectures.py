"""The networks from scratch: what goes in and comes out, their blocks, their seeds."""

import inspect
import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.training import train  # noqa: E402
from fer_edge.training.architectures import NETWORKS, build_network  # noqa: E402
from fer_edge.training.recipe_book import RECIPES  # noqa: E402

from ..conftest import a_recipe  # noqa: E402

# Keras 3.15 reads its variables through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def convolutions(*inner: int) -> dict[str, tuple[int, int, int]]:
    """Side, channels and stride of each convolution of the second of two stages."""
    options = {"stem": 4, "widths": [4, 8], "blocks": [1, 1], "inner": list(inner)}
    network = build_network(a_recipe(network="residual", options=options))
    found = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    return {
        layer.name: (layer.kernel_size[0], layer.filters, layer.strides[0])
        for layer in found
        if layer.name.startswith("stage2a")
    }


def test_a_narrow_block_has_its_3x3_between_two_of_1x1():
    around = {"stage2a_short_conv": (1, 8, 2)}
    plain = around | {"stage2a1_conv": (3, 8, 2), "stage2a2_conv": (3, 8, 1)}
    narrow = {"stage2a1_conv": (1, 2, 1), "stage2a2_conv": (3, 2, 2), "stage2a3_conv": (1, 8, 1)}

    assert convolutions() == convolutions(2, 0) == plain
    assert convolutions(0, 2) == around | narrow


#: Small options for each network.
SMALL = {
    "plain": {"stem": 4, "widths": [4], "dropout": 0.3},
    "residual": {"stem": 4, "widths": [4, 8], "blocks": [1, 2], "dropout": 0.1},
    "custom_cnn": {"widths": [4, 4], "dense": 8, "dropout": 0.25},
    "mini_xception": {"stem": 4, "widths": [4, 8]},
}


@pytest.mark.parametrize("network", SMALL)
def test_a_network_takes_raw_pixels_and_ends_in_logits(network):
    made = build_network(a_recipe(network=network, options=SMALL[network]))

    assert made.input_shape == (None, 48, 48, 1)
    assert made.output_shape == (None, 7)
    assert made.get_layer("scale").scale == pytest.approx(1 / 255)
    assert made.get_layer("logits") is made.layers[-1]
    answer = keras.ops.convert_to_numpy(made(np.full((2, 48, 48, 1), 255, np.float32)))
    assert np.isfinite(answer).all()


@pytest.mark.parametrize("network", SMALL)
def test_the_seed_decides_the_weights(network):
    def made(seed: int) -> list[np.ndarray]:
        recipe = a_recipe(network=network, options=SMALL[network], seed=seed)
        return train.prepare_network(recipe, train.Run()).get_weights()

    first, again, other = made(1), made(1), made(2)

    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(first, other, strict=True))


def test_every_recipe_names_a_network_that_takes_its_options():
    for recipe in RECIPES.values():
        inspect.signature(NETWORKS[recipe.network]).bind(**recipe.options)
