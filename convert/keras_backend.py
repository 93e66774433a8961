"""Loads Keras on TensorFlow, which the conversion needs whatever backend trained the model."""

import os
from pathlib import Path
from typing import Any

from ..edge.errors import FerEdgeError, ModelError
from ..edge.native_log import native_stderr_silenced


def load_keras_model(path: Path) -> Any:
    """Load a ``.keras`` file, without running code from it (``safe_mode``).

    Raises:
        ModelError: It is no single ``.keras`` file, damaged, or wants code that is not Keras's own.
        FerEdgeError: Keras runs on another backend already.
    """
    if path.suffix != ".keras" or not path.is_file():
        raise ModelError(f"Expected a single .keras file, got {path}.")
    keras, _ = import_keras()
    try:
        return keras.saving.load_model(path, safe_mode=True, compile=False)
    # Whatever a damaged or hostile file makes Keras raise, it is that file's fault.
    except Exception as exc:
        raise ModelError(f"Cannot load {path}: {exc}") from exc


def import_keras() -> tuple[Any, Any]:
    """Import ``(keras, tensorflow)`` quietly.

    Raises:
        FerEdgeError: Keras is loaded on another backend; a process can have only one.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_stderr_silenced():
        import keras
        import tensorflow
    if keras.backend.backend() != "tensorflow":
        raise FerEdgeError(
            f"Keras runs on {keras.backend.backend()} in this process; the conversion needs "
            f"TensorFlow. Start it in a process of its own, as `fer-edge convert` does."
        )
    return keras, tensorflow
