"""The model that is converted: a ``.keras`` file and what is known of it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.contract import CLASSIFIER, ModelContract
from ..edge.errors import ModelError, UsageError
from ..edge.framing import FER2013, resized
from ..edge.records import Image
from ..edge.sidecar import file_sha256, read_sidecar, sidecar_path
from .keras_backend import import_keras, load_keras_model

_RAW = (0.0, 255.0)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A loaded Keras model that eats raw pixels, 0..255.

    Attributes:
        path: Its file.
        model: The Keras model, with the scaling in front that a foreign one was trained with.
        contract: What it eats and answers; ``content_sha256`` is the digest of the file.
    """

    path: Path
    model: Any
    contract: ModelContract

    def answers(self, faces: Image) -> NDArray[np.float32]:
        """What the model says about grey training crops.

        Args:
            faces: uint8, ``(n, height, width)`` of any size.

        Returns:
            float32, ``(n, classes)``.
        """
        pixels = self.pixels(faces).astype(np.float32)
        return np.asarray(self.model.predict(pixels, verbose=0), dtype=np.float32)

    def pixels(self, faces: Image) -> Image:
        """The faces in the size and with the channels of the model: uint8 ``(n, h, w, c)``."""
        grey = resized(faces, self.contract.input_size_wh)
        return np.repeat(grey[..., np.newaxis], self.contract.input_channels, axis=-1)


def load_source(
    path: Path,
    *,
    labels: Sequence[str] = (),
    input_range: tuple[float, float] | None = None,
    faces: Image | None = None,
) -> Source:
    """Load a ``.keras`` file with the contract beside it, or with what the caller says of it.

    Args:
        path: The model: one image in, one row of answers out.
        labels: The classes in the order of its outputs, where no contract is beside it.
        input_range: What black and white are for it; the scaling goes into the converted model,
            which takes raw pixels. Where no contract is beside it; the default is 0 and 255.
        faces: Some faces, uint8 ``(n, h, w)``, to see whether it answers logits or probabilities.

    Raises:
        ModelError: The file cannot be used, or is not what its contract says.
        UsageError: Neither contract nor labels, or both.
    """
    contract = read_words(path, labels, input_range)
    if contract is not None:
        contract.require_kind(CLASSIFIER)
    model = load_keras_model(path)
    height, width, channels = _image_input(path, model)
    classes = _row_output(path, model)
    if contract is not None:
        promised = (*contract.input_size_wh, contract.input_channels)
        if promised != (width, height, channels) or len(contract.labels) != classes:
            raise ModelError(
                f"The contract of {path} promises {promised[0]}x{promised[1]} pixels in "
                f"{promised[2]} channels and {len(contract.labels)} labels, the model takes "
                f"{width}x{height} in {channels} and gives {classes} answers."
            )
        return Source(path, model, contract)
    if len(labels) != classes:
        raise UsageError(
            f"--labels names {len(labels)} classes, {path} gives {classes} answers: {list(labels)}."
        )
    scaled = _with_scaling(model, input_range or _RAW)
    made = ModelContract(
        name=path.stem,
        labels=tuple(labels),
        input_size_wh=(width, height),
        input_channels=channels,
        framing=FER2013,
        output="logits",
        content_sha256=file_sha256(path),
    )
    source = Source(path, scaled, made)
    if faces is None:
        return source
    return dataclasses.replace(
        source, contract=dataclasses.replace(made, output=kind_of(source.answers(faces)))
    )


def read_words(
    path: Path, labels: Sequence[str], input_range: tuple[float, float] | None
) -> ModelContract | None:
    """The contract beside a model, or None where the caller says the same; loads nothing.

    Raises:
        ModelError: There is no such model, neither contract nor labels, or not its own contract.
        UsageError: Both contract and labels.
    """
    if not path.is_file():
        raise ModelError(f"There is no model {path}: expected a single .keras file.")
    beside = sidecar_path(path)
    if not beside.is_file():
        if labels:
            return None
        raise ModelError(
            f"{path} has no contract beside it ({beside.name}, as `fer-edge train` writes it). Say "
            f"what it answers: --labels angry,disgust,… in the order of its outputs, and "
            f"--input-range 0,1 where it was trained on scaled pixels."
        )
    if labels or input_range:
        raise UsageError(
            f"{beside} already says what {path} eats and answers: leave --labels and "
            f"--input-range out, or move that file away."
        )
    return read_sidecar(path)


def kind_of(answers: NDArray[np.float32]) -> str:
    """Whether rows of answers are ``probabilities`` or ``logits``."""
    sums_to_one = np.allclose(answers.sum(axis=1), 1, atol=1e-3) and answers.min() >= 0
    return "probabilities" if sums_to_one else "logits"


def _image_input(path: Path, model: Any) -> tuple[int, int, int]:
    """Height, width and channels of a model's only input."""
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    fits = len(shapes) == 1 and len(shapes[0]) == 4 and None not in shapes[0][1:]
    if not fits or shapes[0][3] not in (1, 3):
        raise ModelError(
            f"{path} takes {shapes}: expected one image, (None, height, width, 1 or 3) with fixed "
            f"height and width. Set them with keras.Input and save the model again."
        )
    _, height, width, channels = shapes[0]
    return height, width, channels


def _row_output(path: Path, model: Any) -> int:
    """Number of answers of a model's only output."""
    shapes = [tuple(tensor.shape) for tensor in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] is None:
        raise ModelError(f"{path} gives {shapes}: expected one row of answers, (None, classes).")
    return shapes[0][1]


def _with_scaling(model: Any, input_range: tuple[float, float]) -> Any:
    """The model behind a layer that brings raw pixels into its own range."""
    low, high = input_range
    if not low < high:
        raise UsageError(f"--input-range {low},{high}: expected the smaller number first.")
    if input_range == _RAW:
        return model
    keras, _ = import_keras()
    pixels = keras.Input(model.input_shape[1:], name="pixels")
    x = keras.layers.Rescaling((high - low) / 255, offset=low, name="scale")(pixels)
    return keras.Model(pixels, model(x), name="scaled")
