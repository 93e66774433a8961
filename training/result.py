"""What a finished run reached and what its model costs: ``result.json``."""

import dataclasses
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np

from ..edge.framing import to_float
from .checkpoints import RunState, write_whole
from .costs import multiply_adds
from .datasets import EMOTIONS, Dataset
from .metrics import evaluate_predictions
from .recipes import Recipe

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Result:
    """Figures of one run; shares are 0 to 1.

    Attributes:
        schema_version: Of this document.
        recipe: Its name.
        variant: What was changed in it, or empty.
        seed: Of the run.
        parameters: Of the saved network.
        multiply_adds: Of one image.
        keras_bytes: Size of ``model.keras``.
        tflite_bytes: None; for those who convert it.
        epochs: How many were trained.
        best_epoch: Which one is saved, from 1.
        epoch_s: Median time of an epoch with its validation, in seconds.
        backend: Of Keras.
        precision: Dtype policy of the training.
        host: Processor and operating system.
        chosen_on: The split that the best epoch was chosen on.
        training_accuracy: On the training images, not augmented.
        accuracy: On ``chosen_on``.
        macro_f1: Likewise.
        count: Images of ``chosen_on``.
        finished: Date, ``YYYY-MM-DD``.
    """

    schema_version: int
    recipe: str
    variant: str
    seed: int
    parameters: int
    multiply_adds: int
    keras_bytes: int
    tflite_bytes: int | None
    epochs: int
    best_epoch: int
    epoch_s: float
    backend: str
    precision: str
    host: str
    chosen_on: str
    training_accuracy: float
    accuracy: float
    macro_f1: float
    count: int
    finished: str


def measure(
    network: keras.Model,
    saved: Path,
    recipe: Recipe,
    variant: str,
    state: RunState,
    data: Dataset,
    choose_on: str,
) -> Result:
    """Run the saved network over the training and validation images as they are."""
    training, validation = data.split("Training"), data.split(choose_on)
    figures = evaluate_predictions(validation.labels, _named(network, validation), EMOTIONS)
    return Result(
        schema_version=SCHEMA_VERSION,
        recipe=recipe.name,
        variant=variant,
        seed=recipe.seed,
        parameters=network.count_params(),
        multiply_adds=multiply_adds(network),
        keras_bytes=saved.stat().st_size,
        tflite_bytes=None,
        epochs=state.epochs_done,
        best_epoch=state.best_epoch,
        epoch_s=round(median(entry["seconds"] for entry in state.history), 1),
        backend=keras.backend.backend(),
        precision=recipe.precision,
        host=f"{platform.machine()}, {platform.system()} {platform.release()}",
        chosen_on=choose_on,
        training_accuracy=round(float((_named(network, training) == training.labels).mean()), 5),
        accuracy=round(figures.accuracy, 5),
        macro_f1=round(figures.macro_f1, 5),
        count=figures.count,
        finished=time.strftime("%Y-%m-%d"),
    )


def _named(network: Any, data: Dataset) -> np.ndarray:
    """The class that the network names for each image, int64 ``(n,)``."""
    logits = network.predict(to_float(data.images), batch_size=256, verbose=0)
    return np.asarray(logits).argmax(axis=1)


def write_result(path: Path, result: Result) -> None:
    """Write ``result.json``."""
    text = json.dumps(dataclasses.asdict(result), indent=1) + "\n"
    write_whole(path, lambda partial: partial.write_text(text))
