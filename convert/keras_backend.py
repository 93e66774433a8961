"""Loads Keras on TensorFlow, which the conversion needs whatever backend trained the model."""

import os
import zipfile
from pathlib import Path
from typing import Any

from ..edge.errors import FerEdgeError, ModelError
from ..edge.native_log import native_stderr_silenced
from ..edge.sidecar import file_sha256
from ..edge.trust import try_once

_MEMBERS = {"metadata.json", "config.json", "model.weights.h5", "model.weights.json"}
# VGG16 with its classifier has 550 MB. Keras stores its members as they are; weights of one value
# packed by somebody else shrink a hundredfold at most before they are suspicious.
_MAX_BYTES = 1 << 30
_MAX_RATIO = 100
_SMALL_BYTES = 1 << 20
# TensorFlow alone takes up to 20 s on a busy machine and 600 MB.
_TRIAL_S = 120.0
_TRIAL_MB = 4096


def load_keras_model(path: Path) -> Any:
    """Load a ``.keras`` file, without running code from it (``safe_mode``).

    Raises:
        ModelError: It is no single ``.keras`` file, damaged, or wants code that is not Keras's own.
        FerEdgeError: Keras runs on another backend already.
    """
    check_archive(path)
    keras, _ = import_keras()
    try:
        return keras.saving.load_model(path, safe_mode=True, compile=False)
    # Whatever a damaged or hostile file makes Keras raise, it is that file's fault.
    except Exception as exc:
        raise ModelError(f"Cannot load {path}: {exc}") from exc


def check_archive(path: Path) -> None:
    """Look at a ``.keras`` file without unpacking it: what is in it, and how large it would become.

    Raises:
        ModelError: It is no single ``.keras`` file, holds what Keras does not write, or is a zip
            bomb.
    """
    if path.suffix != ".keras" or not path.is_file():
        raise ModelError(f"Expected a single .keras file, got {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
        raise ModelError(f"{path} is no .keras file, or damaged: {exc}.") from exc
    for member in members:
        name = member.filename
        if name not in _MEMBERS and not (name.startswith("assets/") and ".." not in name):
            raise ModelError(
                f"{path} holds {name!r}, which Keras does not write: expected "
                f"{', '.join(sorted(_MEMBERS))}. Do not load it."
            )
    whole = sum(member.file_size for member in members)
    packed = max(1, sum(member.compress_size for member in members))
    if whole > _MAX_BYTES or whole > _MAX_RATIO * packed + _SMALL_BYTES:
        raise ModelError(
            f"{path} would become {whole / 1e6:.0f} MB from {packed / 1e6:.1f} MB, expected at "
            f"most {_MAX_BYTES >> 20} MB and no more than {_MAX_RATIO} times. Do not load it."
        )


def require_harmless(path: Path) -> None:
    """Load an unknown ``.keras`` file in a child process first, and remember it where that went.

    Raises:
        ModelError: It cannot be loaded, crashes, hangs or fills the memory.
    """
    import_keras()  # a missing extra is told before anything else
    check_archive(path)
    limits = {"timeout_s": _TRIAL_S, "memory_mb": _TRIAL_MB}
    try_once(file_sha256(path), _load_once, path, what=str(path), **limits)


def _load_once(path: Path) -> None:
    # The model itself is no answer that a child may give.
    load_keras_model(path)


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
