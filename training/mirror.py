"""Networks that answer a face and its mirror image alike, whatever they learn.

Each channel has a partner that sees the mirrored world: its kernels are the partner's, mirrored.
Behind the global average both count alike, so that the answer to a mirror image is the same, and
averaging the two gains nothing more. It is the group of mirror images of Cohen and Welling, "Group
Equivariant Convolutional Networks", ICML 2016 (arXiv:1602.07576), in plain layers: the first half
of the channels are the partners of the second, and after each step the weights are projected onto
what is symmetric so. Of linear steps (SGD's) that makes the same as sharing the weights. What is
saved is an ordinary network, as large as without; half of its weights follow from the others.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..edge.errors import UsageError

# They treat every channel and both sides alike.
_SYMMETRIC = (
    layers.Add,
    layers.Dropout,
    layers.GlobalAveragePooling2D,
    layers.InputLayer,
    layers.ReLU,
    layers.Rescaling,
)
# Beyond rounding.
_EQUAL = 1e-5


class Symmetric:
    """What a tied variable is projected with: the mean of itself and of how its partner sees it.

    Attributes:
        partners: Axes of channels, whose halves change places.
        mirrored: Axes along the width, which are reversed.
    """

    def __init__(self, partners: Sequence[int], mirrored: Sequence[int] = ()):
        self.partners, self.mirrored = tuple(partners), tuple(mirrored)

    def __call__(self, value: Any) -> Any:
        """Take and return an array or tensor of any shape."""
        tensor: Any = ops.convert_to_tensor(value)
        other: Any = tensor
        for axis in self.partners:
            other = ops.roll(other, other.shape[axis] // 2, axis)
        for axis in self.mirrored:
            other = ops.flip(other, axis)
        return (tensor + other) / 2


def tie(network_layers: Iterable[Any]) -> None:
    """Keep what these layers learn symmetric from now on, after each step of an optimiser.

    Args:
        network_layers: Of a network, or some that stand behind its global average.

    Raises:
        UsageError: One cannot be tied: it is of another kind than ours, has an odd number of
            channels, or steps over pixels, which ends on another grid for the mirror image.
    """
    for layer in network_layers:
        for variable, symmetric in _variables(layer):
            odd = [axis for axis in symmetric.partners if variable.shape[axis] % 2]
            if odd:
                raise UsageError(
                    f"mirror=true makes pairs of channels, and {layer.name} has "
                    f"{variable.shape[odd[0]]}; expected even numbers."
                )
            variable.constraint = symmetric


def draw_symmetric(network: keras.Model) -> None:
    """Make fresh weights of a tied network symmetric, with the spread that they were drawn with."""
    for variable in network.trainable_variables:
        if variable.constraint is not None and len(variable.shape) > 1:
            # The mean of two draws spreads less by the root of two.
            variable.assign(np.sqrt(2) * variable.constraint(variable))


def settle(network: keras.Model) -> None:
    """Make all that is tied exactly symmetric: averages over steps, and batch norm's statistics."""
    for variable in network.weights:
        if variable.constraint is not None:
            variable.assign(variable.constraint(variable))


def check_symmetric(network: keras.Model, what: str) -> None:
    """Refuse weights that are not symmetric, in a network that is tied.

    Args:
        network: With the weights to look at.
        what: Where they come from, for the message.

    Raises:
        UsageError: A variable is not.
    """
    for variable in network.weights:
        if variable.constraint is not None:
            value = np.asarray(ops.convert_to_numpy(variable))
            apart = np.abs(ops.convert_to_numpy(variable.constraint(value)) - value).max()
            if apart > _EQUAL * max(1.0, float(np.abs(value).max())):
                raise UsageError(
                    f"{what} was not trained with mirror=true ({variable.path} is not symmetric); "
                    f"expected one that was, or --set mirror=false."
                )


def _variables(layer: Any) -> list[tuple[Any, Symmetric]]:
    """The variables of a layer, each with what it is projected with."""
    if isinstance(layer, layers.Conv2D) and tuple(layer.strides) == (1, 1):
        kernel: Any = layer.kernel
        bias = layer.bias
        # Grey pixels have no partner.
        symmetric = Symmetric([3] if kernel.shape[2] == 1 else [2, 3], [1])
        return [(kernel, symmetric), *([] if bias is None else [(bias, Symmetric([0]))])]
    if isinstance(layer, layers.BatchNormalization):
        return [(each, Symmetric([0])) for each in layer.weights]
    if isinstance(layer, layers.Dense):
        return [(layer.kernel, Symmetric([0]))]
    if isinstance(layer, _SYMMETRIC) or _pools_evenly(layer):
        return []
    raise UsageError(
        f"mirror=true cannot tie the layer {layer.name} ({type(layer).__name__}): expected a "
        f"network that enters its stages by pooling of even sides, as the recipe accurate."
    )


def _pools_evenly(layer: Any) -> bool:
    """Whether it pools all columns: one left out is on the other side of the mirror image."""
    if not isinstance(layer, layers.MaxPooling2D) or layer.pool_size != layer.strides:
        return False
    pixels: Any = layer.input
    return pixels.shape[2] % layer.pool_size[1] == 0
