"""Runs a model, ``.keras`` or ``.tflite``, over labelled faces."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.classifier import EmotionClassifier
from ..edge.errors import ModelError
from ..edge.framing import to_float
from ..edge.native_log import native_stderr_silenced
from ..edge.records import Image
from ..edge.sidecar import read_sidecar
from .datasets import EMOTIONS, Dataset
from .metrics import Evaluation, evaluate_predictions


def evaluate(model: Path, data: Dataset, *, threads: int = 1) -> Evaluation:
    """Measure a model on every image of ``data``.

    Args:
        model: A ``.keras`` file with its contract beside it, or a ``.tflite`` with one inside.
        data: Labelled images; take one split of it first.
        threads: CPU threads of a ``.tflite``.

    Raises:
        ModelError: The model cannot be used, or its labels are not those of FER-2013.
    """
    if model.suffix == ".keras":
        labels, outputs = _run_keras(model, data.images)
    else:
        classifier = EmotionClassifier.open(model, threads=threads)
        labels, outputs = classifier.contract.labels, classifier.outputs(data.images)
    if sorted(labels) != sorted(EMOTIONS):
        raise ModelError(f"{model} names {list(labels)}, FER-2013 has {list(EMOTIONS)}.")
    # Its order may be another one: back to the order of the data.
    order = np.array([EMOTIONS.index(label) for label in labels])
    return evaluate_predictions(data.labels, order[outputs.argmax(axis=1)], EMOTIONS)


def _run_keras(path: Path, images: Image) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    contract = read_sidecar(path)
    with native_stderr_silenced():
        import keras
    try:
        model: Any = keras.saving.load_model(path, safe_mode=True, compile=False)
    # Whatever a damaged or hostile file makes Keras raise, it is that file's fault.
    except Exception as exc:
        raise ModelError(f"Cannot load {path}: {exc}") from exc
    return contract.labels, np.asarray(model.predict(to_float(images), verbose=0))
