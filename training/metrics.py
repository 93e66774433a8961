"""How good predictions are. scikit-learn computes; knows no TensorFlow and draws nothing."""

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import DataError

#: Level of every interval here.
CONFIDENCE = 0.95
#: As many as Guo et al. use.
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Figures of one emotion, 0 to 1, and its number of images."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many, with a 95 % interval around the share.

    Attributes:
        hits: Number of images that were named right.
        count: Number of images.
        value: The share, 0 to 1.
        interval: Its lower and upper bound, 0 to 1 (see :func:`wilson_interval`).
    """

    hits: int
    count: int
    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model got right on labelled images.

    Attributes:
        count: Number of images.
        accuracy: Share named right, 0 to 1.
        interval: Lower and upper bound of the accuracy, 95 %.
        macro_f1: Mean F1 of the classes, each counting the same; one without an image counts as 0.
        classes: Figures a class, in the order of the labels.
        confusion: ``confusion[true][predicted]``: numbers of images.
    """

    count: int
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def absent(self) -> tuple[str, ...]:
        """Labels of the classes that no image shows."""
        return tuple(row.label for row in self.classes if row.support == 0)

    def rates(self) -> NDArray[np.float64]:
        """The confusion as shares of the true class.

        Returns:
            float64, ``(classes, classes)``, each row summing to 1; NaN in the row of an absent one.
        """
        counts = np.array(self.confusion, dtype=np.float64)
        totals = counts.sum(axis=1, keepdims=True)
        return np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class RocCurve:
    """How one class is told from all others as the threshold on its probability falls.

    Attributes:
        label: The class.
        false_positive_rate: float64, ``(points,)``, 0 to 1, rising.
        true_positive_rate: float64, ``(points,)``, 0 to 1, rising.
        area: Under the curve, 0 to 1; 0.5 is chance.
    """

    label: str
    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    area: float


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The images whose confidence lies in ``(low, high]``.

    Attributes:
        low: Lower edge, 0 to 1, outside of the bin (the first bin holds 0 as well).
        high: Upper edge, 0 to 1.
        count: Number of images.
        confidence: Their mean confidence, 0 to 1, or None without an image.
        accuracy: Share of them named right, 0 to 1, or None without an image.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether a model is right as often as it says; confidence is its largest probability.

    Attributes:
        error: Expected calibration error, 0 to 1: the mean distance between confidence and
            accuracy over the bins, each weighted by its number of images.
        mean_confidence: Over all images, 0 to 1; above the accuracy it is too sure of itself.
        bins: Of equal width from 0 to 1.
    """

    error: float
    mean_confidence: float
    bins: tuple[CalibrationBin, ...]


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share (E. B. Wilson, 1927, "Probable inference").

    Unlike the usual ± interval it stays within 0 to 1 and holds its level for shares near either
    end and for few images.

    Args:
        hits: Number of successes, 0 to ``count``.
        count: Number of trials, 1 or more.

    Returns:
        Lower and upper bound, 0 to 1.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = hits / count
    middle = share + z * z / (2 * count)
    half = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    scale = 1 + z * z / count
    # At 0 and at all hits the bound is exact, but for rounding.
    low = 0.0 if hits == 0 else max(0.0, (middle - half) / scale)
    high = 1.0 if hits == count else min(1.0, (middle + half) / scale)
    return low, high


def percent(value: float) -> str:
    """A share (0 to 1) as a text: ``65.87 %``."""
    return f"{value * 100:.2f} %"


def percent_interval(bounds: tuple[float, float]) -> str:
    """Two shares (0 to 1) as a text, with an en dash: ``64.30–67.40 %``."""
    return f"{bounds[0] * 100:.2f}–{bounds[1] * 100:.2f} %"


def share_of(right: NDArray[np.bool_]) -> Share | None:
    """Count the images that were named right; None where there is no image.

    Args:
        right: bool, ``(n,)``.
    """
    if right.size == 0:
        return None
    hits = int(np.count_nonzero(right))
    return Share(hits, right.size, hits / right.size, wilson_interval(hits, right.size))


def evaluate_predictions(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], labels: tuple[str, ...]
) -> Evaluation:
    """Score predictions.

    Args:
        truth: ``(n,)``, index into ``labels``.
        predicted: ``(n,)``, likewise.
        labels: Names of the classes. One without an image has recall 0 and support 0.

    Raises:
        DataError: There is no image, or an index names no class.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    _require_labels(truth, len(labels))
    indices = np.arange(len(labels))
    # scikit-learn has no types, and what a checker guesses from its defaults is wrong.
    score: Any = precision_recall_fscore_support
    precision, recall, f1, support = score(truth, predicted, labels=indices, zero_division=0.0)
    confusion = confusion_matrix(truth, predicted, labels=indices)
    hits = int((truth == predicted).sum())
    return Evaluation(
        count=len(truth),
        accuracy=hits / len(truth),
        interval=wilson_interval(hits, len(truth)),
        macro_f1=float(np.mean(f1)),
        classes=tuple(
            ClassScore(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, label in enumerate(labels)
        ),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def roc_curves(
    truth: NDArray[np.int64], probabilities: NDArray[np.float32], labels: tuple[str, ...]
) -> tuple[RocCurve, ...]:
    """One curve a class: this class against all others, by its probability.

    A class that no image shows, or that all images show, has no curve and is left out.

    Args:
        truth: ``(n,)``, index into ``labels``.
        probabilities: ``(n, classes)``, 0 to 1.
        labels: Names of the classes.

    Raises:
        DataError: There is no image, or an index names no class.
    """
    from sklearn.metrics import auc, roc_curve

    _require_labels(truth, len(labels))
    curves = []
    for index, label in enumerate(labels):
        positive = truth == index
        if positive.all() or not positive.any():
            continue
        false_rate, true_rate, _ = roc_curve(positive, probabilities[:, index])
        curves.append(RocCurve(label, false_rate, true_rate, float(auc(false_rate, true_rate))))
    return tuple(curves)


def calibrate(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    *,
    bins: int = CALIBRATION_BINS,
) -> Calibration:
    """Compare how sure a model is with how often it is right.

    The expected calibration error of Guo et al. (2017, "On Calibration of Modern Neural Networks"),
    equation 3: bins of equal width, an image in ``(low, high]`` by its largest probability.

    Args:
        truth: ``(n,)``, index of the true class.
        probabilities: ``(n, classes)``, 0 to 1.
        bins: How many.

    Raises:
        DataError: There is no image, or an index names no class.
    """
    _require_labels(truth, probabilities.shape[1])
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    edges = np.linspace(0.0, 1.0, bins + 1)
    # Only the inner edges: what rounding puts above 1 belongs into the last bin.
    place = np.digitize(confidence, edges[1:-1], right=True)
    found, error = [], 0.0
    for index in range(bins):
        inside = place == index
        count = int(inside.sum())
        mean = float(confidence[inside].mean()) if count else None
        accuracy = float(right[inside].mean()) if count else None
        if mean is not None and accuracy is not None:
            error += count / len(truth) * abs(accuracy - mean)
        low, high = float(edges[index]), float(edges[index + 1])
        found.append(CalibrationBin(low, high, count, mean, accuracy))
    return Calibration(error, float(confidence.mean()), tuple(found))


def _require_labels(truth: NDArray[np.int64], classes: int) -> None:
    """Refuse what no figure is defined for."""
    if len(truth) == 0:
        raise DataError("There is no image to measure on: expected one or more.")
    if truth.min() < 0 or truth.max() >= classes:
        raise DataError(
            f"Expected labels from 0 to {classes - 1}, got {truth.min()} to {truth.max()}."
        )
