"""Runs an emotion model, ``.keras`` or ``.tflite``, over the images of FER-2013.

Only a ``.keras`` file loads TensorFlow, and only when it is opened.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.classifier import EmotionClassifier, probabilities
from ..edge.contract import ModelContract
from ..edge.errors import DataError, ModelError
from ..edge.framing import FER2013, resized, to_float
from ..edge.native_log import native_stderr_silenced
from ..edge.records import Image
from ..edge.sidecar import read_sidecar
from .datasets import EMOTIONS

# Under it a probability counts as this much, so that its logarithm stays finite in float32.
_LEAST_PROBABILITY = 1e-7
_BATCH = 64
# Floats at once: images of 224x224 in three channels would fill the memory.
_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model says about images, in the order of :data:`EMOTIONS` whatever its own is.

    Attributes:
        logits: float32, ``(n, 7)``, before the temperature; of a model that answers probabilities,
            their natural logarithm (1e-7 and less as that of 1e-7).
        probabilities: float32, ``(n, 7)``, 0 to 1, each row summing to 1.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    @property
    def named(self) -> NDArray[np.int64]:
        """The most likely class of each image: int64, ``(n,)``, index into :data:`EMOTIONS`."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of that class: float32, ``(n,)``, 0 to 1."""
        return self.probabilities.max(axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """A model that is loaded once and asked many times.

    Attributes:
        path: Its file.
        contract: What it says about itself.
        answer: From uint8 ``(n, 48, 48)`` to its raw outputs, float32 ``(n, 7)``.
    """

    path: Path
    contract: ModelContract
    answer: Callable[[Image], NDArray[np.float32]]

    def predict(self, images: Image) -> Predictions:
        """What the model says about each image.

        Args:
            images: uint8, ``(n, 48, 48)``, grey.

        Raises:
            ModelError: It answers with NaN or infinity.
            DataError: There is no image.
        """
        if len(images) == 0:
            raise DataError("There is no image to measure on: expected one or more.")
        outputs = self.answer(images)
        bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
        if bad.size:
            raise ModelError(
                f"{self.path} answers NaN or infinity for {bad.size} of {len(outputs)} images, "
                f"expected finite {self.contract.output}. Its weights are broken: train or convert "
                f"it again."
            )
        # Its order may be another one: column i of the data is its output named EMOTIONS[i].
        order = [self.contract.labels.index(emotion) for emotion in EMOTIONS]
        shares = probabilities(outputs, self.contract)[:, order].astype(np.float32)
        if self.contract.output == "logits":
            logits = outputs[:, order]
        else:
            logits = np.log(np.maximum(shares, np.float32(_LEAST_PROBABILITY)))
        return Predictions(np.ascontiguousarray(logits, dtype=np.float32), shares)


def open_predictor(path: Path, *, threads: int = 1) -> Predictor:
    """Load a model.

    Args:
        path: A ``.keras`` file with its contract beside it, or a ``.tflite`` with one inside.
        threads: CPU threads of a ``.tflite``.

    Raises:
        ModelError: The model cannot be used, or its labels are not those of FER-2013.
    """
    if path.suffix == ".keras":
        contract = read_sidecar(path)
        answer = None
    else:
        classifier = EmotionClassifier.open(path, threads=threads)
        contract, answer = classifier.contract, classifier.outputs
    if sorted(contract.labels) != sorted(EMOTIONS):
        raise ModelError(f"{path} names {list(contract.labels)}, FER-2013 has {list(EMOTIONS)}.")
    if contract.framing != FER2013:
        raise ModelError(
            f"{path} takes {contract.framing!r} crops, expected {FER2013!r}: those of FER-2013 are."
        )
    return Predictor(path, contract, answer or _open_keras(path, contract))


def _open_keras(path: Path, contract: ModelContract) -> Callable[[Image], NDArray[np.float32]]:
    with native_stderr_silenced():
        import keras
    try:
        model: Any = keras.saving.load_model(path, safe_mode=True, compile=False)
    # Whatever a damaged or hostile file makes Keras raise, it is that file's fault.
    except Exception as exc:
        raise ModelError(f"Cannot load {path}: {exc}") from exc
    width, height = contract.input_size_wh
    _require_shape(path, "takes", model.input_shape, (height, width, contract.input_channels))
    _require_shape(path, "gives", model.output_shape, (len(contract.labels),))

    def answer(images: Image) -> NDArray[np.float32]:
        answers = []
        rows = max(_BATCH, _CHUNK_BYTES // (width * height * contract.input_channels * 4))
        for start in range(0, len(images), rows):
            faces = to_float(resized(images[start : start + rows], contract.input_size_wh))
            inputs = np.repeat(faces, contract.input_channels, axis=-1)
            answers.append(np.asarray(model.predict(inputs, batch_size=_BATCH, verbose=0)))
        return np.concatenate(answers).astype(np.float32)

    return answer


def _require_shape(path: Path, verb: str, found: Any, promised: tuple[int, ...]) -> None:
    """Refuse a model whose input or output is not that of its contract; None fits any size."""
    fits = (
        isinstance(found, tuple)
        and len(found) == len(promised) + 1
        and all(size in (None, due) for size, due in zip(found[1:], promised, strict=True))
    )
    if not fits:
        raise ModelError(
            f"{path} {verb} {found}, its contract promises {(None, *promised)}. Copy both again "
            f"from the run that made them."
        )
