"""What a network costs: parameters and multiply-adds."""

import math
from typing import Any

import keras
from keras import layers

_COUNTED = (
    layers.Dense,
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
)


def multiply_adds(network: keras.Model) -> int:
    """Multiply-adds of one image through the convolutions and dense layers.

    Batch norms are left out, as the conversion folds them into the convolutions; so are additions,
    pooling and activations.
    """
    return sum(_of_layer(layer) for layer in network.layers)


def _of_layer(layer: Any) -> int:
    if isinstance(layer, keras.Model):
        return multiply_adds(layer)
    if not isinstance(layer, _COUNTED):
        return 0
    # What is used at each position of the output; a dense layer has one position.
    kernels = sum(math.prod(w.shape) for w in layer.weights if "kernel" in w.name)
    # A transposed convolution uses its kernel at each position of the input.
    side: Any = layer.input if isinstance(layer, layers.Conv2DTranspose) else layer.output
    return kernels * math.prod(side.shape[1:-1])
