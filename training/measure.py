"""Measures the model of a finished run: on the images as they are, in float32."""

import platform
import time
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np

from ..edge.framing import to_float
from .checkpoints import RunState
from .costs import multiply_adds
from .datasets import EMOTIONS, Dataset
from .metrics import evaluate_predictions
from .recipes import Recipe
from .result import SCHEMA_VERSION, Result


def measure(
    network: keras.Model,
    saved: Path,
    recipe: Recipe,
    variant: str,
    state: RunState,
    training: Dataset,
    validation: Dataset,
    choose_on: str,
) -> Result:
    """Run the saved network over the images it was trained and chosen on, as they are."""
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
        epoch_s=round(median([entry["seconds"] for entry in state.history] or [0.0]), 1),
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
