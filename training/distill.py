"""Teachers of a distillation: models that run beside the student, or logits from a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DataError, UsageError
from .datasets import Dataset
from .earlier import load_earlier


@dataclass(frozen=True, slots=True)
class Teachers:
    """Where the answers of the teachers come from; nothing is loaded before it is used.

    Attributes:
        models: ``.keras`` files with their contracts beside them. They see the same augmented
            images as the student, which teaches best and costs their time.
        logits: Files that ``fer-edge evaluate --logits`` wrote for the Training split, instead:
            one answer a teacher and image, whatever its augmentation.
    """

    models: tuple[Path, ...] = ()
    logits: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.models and self.logits:
            raise UsageError("Pass --teacher or --teacher-logits, not both.")

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each teacher's file."""
        from ..edge.sidecar import file_sha256

        return tuple(file_sha256(path) for path in (*self.models, *self.logits))

    def networks(self, policy: str = "float32") -> list[keras.Model]:
        """Load the teachers.

        Args:
            policy: The dtype policy that they compute in, but for their logits, whatever the one
                was that they were saved with.

        Raises:
            ModelError: One is missing or damaged, or has other labels, another order of them,
                another input or probabilities as its output.
        """
        return [_under(policy, load_earlier(path, "teacher")) for path in self.models]

    def read_logits(self, training: Dataset, data_sha256: str) -> NDArray[np.float32] | None:
        """The teachers' logits for these images, float32 ``(teachers, n, 7)``; None without a file.

        Raises:
            DataError: A file is of other data, or lacks some of the images.
        """
        if not self.logits:
            return None
        return np.stack([_read(path, training, data_sha256) for path in self.logits])


def _under(policy: str, teacher: keras.Model) -> keras.Model:
    """The same network with the same weights, which computes under a dtype policy."""
    logits = teacher.layers[-1].name

    def renewed(layer: Any) -> Any:
        config = layer.get_config()
        return layer.__class__.from_config(
            config if layer.name == logits else {**config, "dtype": policy}
        )

    copy = keras.models.clone_model(teacher, clone_function=renewed, recursive=True)
    copy.set_weights(teacher.get_weights())
    return copy


def _read(path: Path, training: Dataset, data_sha256: str) -> NDArray[np.float32]:
    from .logits_file import read_logits

    found = read_logits(path)
    if found.data_sha256 != data_sha256:
        raise DataError(
            f"{path} was written for other data (SHA-256 {found.data_sha256[:12]}…, not "
            f"{data_sha256[:12]}…): make it with fer-edge evaluate --split Training --logits on "
            f"this data."
        )
    place = {origin: index for index, origin in enumerate(found.origins.tolist())}
    missing = [origin for origin in training.origins.tolist() if origin not in place]
    if missing:
        raise DataError(
            f"{path} has no logits for {len(missing)} of {len(training)} training images, "
            f"{missing[0]!r} among them. Make it for the split Training."
        )
    return found.logits[[place[origin] for origin in training.origins.tolist()]]
