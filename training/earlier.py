"""Models of earlier runs, which teach a new one or are what it starts from."""

from pathlib import Path
from typing import Any

import keras

from ..edge.errors import ModelError
from ..edge.sidecar import read_sidecar
from .dataset_readers import EMOTIONS, SIDE_PX


def load_earlier(path: Path, role: str) -> keras.Model:
    """A ``.keras`` classifier with its contract beside it.

    Args:
        path: Of the model.
        role: What it is to the new run, for messages: ``teacher``.

    Raises:
        ModelError: It is missing or damaged, or has other labels, another order of them, another
            input or probabilities as its output.
    """
    contract = read_sidecar(path)
    if tuple(contract.labels) != EMOTIONS:
        raise ModelError(
            f"The {role} {path} names its classes {list(contract.labels)}; expected "
            f"{list(EMOTIONS)}, in this order."
        )
    if contract.input_size_wh != (SIDE_PX, SIDE_PX) or contract.output != "logits":
        raise ModelError(
            f"The {role} {path} takes {contract.input_size_wh} and gives {contract.output}; "
            f"expected {(SIDE_PX, SIDE_PX)} and logits."
        )
    try:
        model: Any = keras.saving.load_model(path, safe_mode=True, compile=False)
    # Whatever a damaged or hostile file makes Keras raise, it is that file's fault.
    except Exception as exc:
        raise ModelError(f"Cannot load the {role} {path}: {exc}") from exc
    shapes = model.input_shape, model.output_shape
    if shapes != ((None, SIDE_PX, SIDE_PX, 1), (None, len(EMOTIONS))):
        raise ModelError(f"The {role} {path} is not what its contract says: {shapes}.")
    return model


def load_same(network: keras.Model, path: Path, role: str) -> keras.Model:
    """An earlier run's model, of the same network as the recipe's.

    Args:
        network: The recipe's, untrained.
        path: A ``.keras`` model.
        role: What it is to the new run, for messages.

    Raises:
        ModelError: As :func:`load_earlier`, or it is of another network: the message names the
            first weights that differ.
    """
    earlier = load_earlier(path, role)
    theirs = [(each.path, tuple(each.shape)) for each in earlier.weights]
    ours = [(each.path, tuple(each.shape)) for each in network.weights]
    if theirs != ours:
        pairs = zip(theirs, ours, strict=False)
        name, shape = next((one for one, other in pairs if one != other), theirs[-1])
        raise ModelError(
            f"{path} is of another network than the recipe's: {len(theirs)} arrays of weights "
            f"where the recipe has {len(ours)}, and {name} of shape {shape} is the first that "
            f"fits none. Expected a model of the same network and options."
        )
    # Of the same weights, but entered by strides in the place of pooling.
    if _steps(earlier) != _steps(network):
        raise ModelError(
            f"{path} is of another network than the recipe's: its layers step over pixels "
            f"elsewhere. Expected a model of the same network and options."
        )
    return earlier


def _steps(network: Any) -> list[tuple[str, str]]:
    return [(each.name, str(each.strides)) for each in network.layers if hasattr(each, "strides")]


def start_from(network: keras.Model, path: Path) -> None:
    """Give a network the weights of an earlier run's model.

    Raises:
        ModelError: As :func:`load_same`.
    """
    network.set_weights(load_same(network, path, "start").get_weights())
