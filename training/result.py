"""What a finished run reached and what its model costs: ``result.json``. Knows no Keras."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from .checkpoints import write_whole

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
        epochs: How many were trained; 0 for a mean of models.
        best_epoch: Which one is saved, from 1; 0 for a mean of models.
        epoch_s: Median time of an epoch with its validation, in seconds; 0 without epochs.
        backend: Of Keras.
        precision: Dtype policy of the training.
        host: Processor and operating system.
        chosen_on: The split that the model was chosen on.
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


def write_result(path: Path, result: Result) -> None:
    """Write ``result.json``."""
    text = json.dumps(dataclasses.asdict(result), indent=1) + "\n"
    write_whole(path, lambda partial: partial.write_text(text))
