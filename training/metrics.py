"""How good predictions are. scikit-learn computes; knows no TensorFlow."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Figures of one emotion, 0 to 1, and its number of images."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model got right on labelled images.

    Attributes:
        count: Number of images.
        accuracy: Share named right, 0 to 1.
        macro_f1: Mean F1 of the classes, each counting the same.
        classes: Figures a class, in the order of the labels.
        confusion: ``confusion[true][predicted]``: numbers of images.
    """

    count: int
    accuracy: float
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as plain JSON values."""
        return asdict(self)


def evaluate_predictions(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], labels: tuple[str, ...]
) -> Evaluation:
    """Score predictions.

    Args:
        truth: ``(n,)``, index into ``labels``.
        predicted: ``(n,)``, likewise.
        labels: Names of the classes. One without an image has recall 0 and support 0.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    indices = np.arange(len(labels))
    # scikit-learn has no types, and what a checker guesses from its defaults is wrong.
    score: Any = precision_recall_fscore_support
    precision, recall, f1, support = score(truth, predicted, labels=indices, zero_division=0.0)
    confusion = confusion_matrix(truth, predicted, labels=indices)
    return Evaluation(
        count=len(truth),
        accuracy=float((truth == predicted).mean()),
        macro_f1=float(np.mean(f1)),
        classes=tuple(
            ClassScore(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, label in enumerate(labels)
        ),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )
