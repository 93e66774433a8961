"""What the network is taught for each training image. NumPy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DataError
from .dataset_readers import EMOTIONS, FERPLUS_EMOTIONS
from .datasets import Dataset
from .recipes import Targets

#: Of FER+'s ten columns, those that the second head learns: seven emotions and contempt.
VOTE_CLASSES = 8


@dataclass(frozen=True, slots=True, eq=False)
class TargetArrays:
    """Targets of ``n`` images, in the order of the data.

    Attributes:
        logits: float32 ``(n, 7)``, each row a distribution over :data:`EMOTIONS`.
        weights: float32 ``(n,)``: of each image in the loss, 1 in the mean.
        votes: float32 ``(n, 8)``, distributions over the first eight columns of FER+, or None.
        vote_weights: float32 ``(n,)``: 0 where an image has no such votes, or None.
        teacher: float32 ``(n, 7)``: softened probabilities of the teachers, or None.
    """

    logits: NDArray[np.float32]
    weights: NDArray[np.float32]
    votes: NDArray[np.float32] | None = None
    vote_weights: NDArray[np.float32] | None = None
    teacher: NDArray[np.float32] | None = None


def one_hot(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Labels ``(n,)`` as float32 ``(n, 7)``."""
    return np.eye(len(EMOTIONS), dtype=np.float32)[labels]


def make_targets(
    data: Dataset, settings: Targets, teacher_logits: NDArray[np.float32] | None = None
) -> TargetArrays:
    """The targets of training images.

    Args:
        data: Training images.
        settings: How they are made.
        teacher_logits: float32 ``(n, 7)`` or ``(teachers, n, 7)``, in the order of
            :data:`EMOTIONS`; several teachers' softened probabilities are averaged.

    Raises:
        DataError: FER+ is asked for and the data has no votes.
    """
    logits = one_hot(data.labels)
    votes = vote_weights = None
    if settings.ferplus != "none":
        if data.votes is None:
            raise DataError(
                "The recipe uses FER+ votes and the data came without: pass --votes "
                "fer2013new.csv (`fer-edge dataset get --votes` fetches it), or --set ferplus=none."
            )
        if settings.ferplus == "soft":
            logits = _mixed_with_votes(logits, data.votes, settings.ferplus_weight)
        else:
            chosen = data.votes[:, :VOTE_CLASSES].astype(np.float32)
            total = chosen.sum(axis=1, keepdims=True)
            votes = np.divide(
                chosen, total, out=np.full_like(chosen, 1 / VOTE_CLASSES), where=total > 0
            )
            vote_weights = (total[:, 0] > 0).astype(np.float32)
    smoothing = np.float32(settings.label_smoothing)
    logits = logits * (1 - smoothing) + smoothing / len(EMOTIONS)
    return TargetArrays(
        logits=logits.astype(np.float32),
        weights=class_weights(data.labels, settings)[data.labels],
        votes=votes,
        vote_weights=vote_weights,
        teacher=None if teacher_logits is None else soften(teacher_logits, settings.temperature),
    )


def _mixed_with_votes(
    logits: NDArray[np.float32], votes: NDArray[np.int64], weight: float
) -> NDArray[np.float32]:
    """The label with a share of the seven emotions' votes; it alone where there are none."""
    shares = np.zeros_like(logits)
    shares[:, FERPLUS_EMOTIONS] = votes[:, : len(FERPLUS_EMOTIONS)]
    total = shares.sum(axis=1, keepdims=True)
    share = np.where(total > 0, np.float32(weight), np.float32(0))
    return logits * (1 - share) + share * shares / np.maximum(total, 1)


def class_weights(labels: NDArray[np.int64], settings: Targets) -> NDArray[np.float32]:
    """Weight of each of the seven classes, float32 ``(7,)``; the mean over the images is 1.

    ``effective`` is (1 - beta) / (1 - beta ** count): Cui et al., "Class-Balanced Loss Based on
    Effective Number of Samples", CVPR 2019. A class without images has weight 0.
    """
    counts = np.bincount(labels, minlength=len(EMOTIONS)).astype(np.float64)
    present = counts > 0
    weights = present.astype(np.float64)
    if settings.class_weights == "balanced":
        weights[present] = 1 / counts[present]
    elif settings.class_weights == "effective":
        beta = settings.effective_beta
        weights[present] = (1 - beta) / (1 - beta ** counts[present])
    return (weights / (weights * counts).sum() * counts.sum()).astype(np.float32)


def soften(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Softmax at a temperature, float32 ``(n, 7)``; of ``(teachers, n, 7)``, the teachers' mean."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    shares = powers / powers.sum(axis=-1, keepdims=True)
    return (shares.mean(axis=0) if shares.ndim == 3 else shares).astype(np.float32)
