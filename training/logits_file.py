"""The answers of a model to one split, kept for the training of another one (distillation)."""

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DataError
from ..edge.files import replacing
from .datasets import EMOTIONS

_TEXTS = ("labels_order", "data_sha256", "split", "model_sha256")
_ARRAYS = ("logits", "origins", *_TEXTS)
_LABELS_ORDER = ",".join(EMOTIONS)
# What NumPy and zipfile answer a damaged, cut or foreign file with.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class LogitsFile:
    """What a model answered to the images of one split.

    Attributes:
        logits: float32, ``(n, 7)``, in the order of :data:`EMOTIONS`, before any temperature;
            logarithms of the probabilities where that is what the model answers.
        origins: str, ``(n,)``: the row or file name of each image, as :class:`Dataset` has it.
        data_sha256: Digest of the source of the images, 64 hexadecimal digits.
        split: Name of the split.
        model_sha256: Digest of the model as its contract has it, 64 hexadecimal digits.
    """

    logits: NDArray[np.float32]
    origins: NDArray[np.str_]
    data_sha256: str
    split: str
    model_sha256: str

    def __post_init__(self) -> None:
        """Check the arrays.

        Raises:
            DataError: Says what was expected and what came.
        """
        logits, origins = self.logits, self.origins
        if logits.ndim != 2 or logits.shape[1] != len(EMOTIONS) or logits.dtype != np.float32:
            raise DataError(
                f"Expected logits as float32 (n, {len(EMOTIONS)}), got {logits.dtype} "
                f"{logits.shape}."
            )
        if origins.shape != (len(logits),) or origins.dtype.kind != "U":
            raise DataError(
                f"Expected one origin a row of logits, as texts ({len(logits)},), got "
                f"{origins.dtype} {origins.shape}."
            )
        if len(logits) == 0 or not np.isfinite(logits).all():
            raise DataError("Expected one row of logits or more, all of them finite numbers.")
        if len(np.unique(origins)) != len(origins):
            raise DataError("Expected each origin once: two rows of logits are of one image.")


def write_logits(path: Path, answers: LogitsFile, *, overwrite: bool = False) -> None:
    """Write a ``.npz`` file, whole or not at all.

    Args:
        path: Where to; it must end in ``.npz``.
        answers: What to write.
        overwrite: Replace a file that is there.

    Raises:
        DataError: It exists and may not be replaced, has another suffix, or cannot be written.
    """
    require_writable(path, overwrite=overwrite)
    try:
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(
                file,
                logits=answers.logits,
                origins=answers.origins,
                labels_order=np.array(_LABELS_ORDER),
                data_sha256=np.array(answers.data_sha256),
                split=np.array(answers.split),
                model_sha256=np.array(answers.model_sha256),
            )
    except OSError as exc:
        raise DataError(f"Cannot write {path}: {exc.strerror}.") from exc


def require_writable(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a path that :func:`write_logits` would refuse, before the work is done.

    Raises:
        DataError: As :func:`write_logits`.
    """
    if path.suffix != ".npz":
        raise DataError(f"Logits are written to a .npz file, got {str(path)!r}.")
    if path.exists() and not overwrite:
        raise DataError(f"{path} exists. Pass --overwrite to replace it, or another name.")
    if not path.parent.is_dir():
        raise DataError(f"Cannot write {path}: the folder {path.parent} does not exist.")


def read_logits(path: Path) -> LogitsFile:
    """Read what :func:`write_logits` wrote.

    Raises:
        DataError: The file is missing or damaged, lacks an array, has one of another shape, or was
            written with the classes in another order.
    """
    if not path.is_file():
        raise DataError(
            f"There is no file of logits at {path}: `fer-edge evaluate MODEL --split Training "
            f"--logits {path}` writes one."
        )
    try:
        # From memory, as NumPy leaves the file of a damaged archive open.
        loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        # A plain .npy is a single array, which has no names.
        names = loaded.files if isinstance(loaded, np.lib.npyio.NpzFile) else ()
        found: dict[str, Any] = {name: loaded[name] for name in _ARRAYS if name in names}
    except _DAMAGE as exc:
        raise DataError(f"{path} cannot be read as logits ({exc}). Write it again.") from exc
    missing = [name for name in _ARRAYS if name not in found]
    if missing:
        raise DataError(f"{path} is no file of logits: it lacks {', '.join(missing)}.")
    texts = {name: found[name] for name in _TEXTS}
    for name, text in texts.items():
        if text.shape != () or text.dtype.kind != "U":
            raise DataError(
                f"{path}: expected a text as {name}, got an array of {text.dtype} {text.shape}."
            )
    if str(texts["labels_order"]) != _LABELS_ORDER:
        raise DataError(
            f"{path} has the classes in the order {texts['labels_order']}, expected "
            f"{_LABELS_ORDER}. Write it again with `fer-edge evaluate --logits`."
        )
    try:
        return LogitsFile(
            logits=found["logits"],
            origins=found["origins"],
            data_sha256=str(texts["data_sha256"]),
            split=str(texts["split"]),
            model_sha256=str(texts["model_sha256"]),
        )
    except DataError as exc:
        raise DataError(f"{path}: {exc}") from exc
