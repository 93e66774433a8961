"""What a conversion cost: the Keras model and the converted ones on the same labelled images."""

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.classifier import EmotionClassifier
from ..edge.contract import ModelContract
from ..edge.errors import UsageError
from ..edge.profile import NEUTRAL
from ..training.datasets import EMOTIONS, Dataset
from ..training.metrics import Evaluation, evaluate_predictions
from ..training.temperature import Fitted, fit_and_check
from .quantize import Converted
from .source import Source

# Single faces, as on the device; enough for a tenth and a ninth decile that hold still.
_TIMED = 200
# Faces differ by 1.6 in such a gap (standard deviation): of so many, the mean is good to 0.23.
_NEUTRAL_FACES = 50


@dataclass(frozen=True, slots=True)
class Loss:
    """A difference of two accuracies on the same images, in points (hundredths).

    Attributes:
        points: Accuracy lost by the conversion; below 0 it gained.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    points: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds to classify one face on this machine with one thread."""

    median_ms: float
    p90_ms: float


@dataclass(frozen=True, slots=True)
class Judged:
    """One converted model beside the Keras model.

    Attributes:
        kind: int8, float32, ...
        size_bytes: Of its file.
        scores: On the split.
        loss: Against Keras.
        agreement: Share of images with the same most likely class, 0 to 1.
        changed: ``changed[a][b]``: images that Keras names ``a`` and this model ``b``; 0 where a
            is b.
        latency: On this machine.
        passed: Whether the loss is within the limit.
        fitted: Its temperature and calibration error; None of a model that answers probabilities.
        neutral_gaps: As in its contract; empty where too few neutral faces are named so.
    """

    kind: str
    size_bytes: int
    scores: Evaluation
    loss: Loss
    agreement: float
    changed: tuple[tuple[int, ...], ...]
    latency: Latency
    passed: bool
    fitted: Fitted | None
    neutral_gaps: dict[str, float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer.

    Attributes:
        data: Name of the data.
        data_sha256: Its digest.
        split: Which rows.
        count: How many images.
        max_loss: Points that a model may lose.
        keras: Scores of the Keras model.
        models: The converted ones.
    """

    data: str
    data_sha256: str
    split: str
    count: int
    max_loss: float
    keras: Evaluation
    models: tuple[Judged, ...]

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain JSON values."""
        return asdict(self)


def judge(
    source: Source, models: Sequence[Converted], data: Dataset, split: str, *, max_loss: float
) -> Verdict:
    """Measure every model on every image of a split.

    Args:
        source: The Keras model.
        models: What it was converted to.
        data: Labelled images.
        split: Which of them.
        max_loss: Points of accuracy that a converted model may lose.

    Raises:
        UsageError: The model does not name the seven emotions of the data.
        DataError: There is no such split.
    """
    labels = source.contract.labels
    if sorted(labels) != sorted(EMOTIONS):
        raise UsageError(
            f"{source.path} names {list(labels)}, the data has {list(EMOTIONS)}: leave --data out."
        )
    images = data.split(split)
    order = np.array([EMOTIONS.index(label) for label in labels])
    expected = order[source.answers(images.images).argmax(axis=1)]
    judged = []
    for model in models:
        classifier = EmotionClassifier(model.content, model.contract)
        outputs = classifier.outputs(images.images)
        found = order[outputs.argmax(axis=1)]
        loss = paired_loss(expected == images.labels, found == images.labels)
        contract, fitted = model.contract, None
        if contract.output == "logits":
            fitted = fit_and_check(np.argsort(order)[images.labels], outputs)
            contract = dataclasses.replace(contract, temperature=fitted.temperature)
        known = (images.labels == found) & (images.labels == EMOTIONS.index(NEUTRAL))
        judged.append(
            Judged(
                kind=model.kind,
                size_bytes=len(model.content),
                scores=evaluate_predictions(images.labels, found, EMOTIONS),
                loss=loss,
                agreement=float((expected == found).mean()),
                changed=_changes(expected, found),
                latency=_time(classifier, images.images[:_TIMED]),
                # The measured loss, and not its interval: on 3,589 images that is half a point
                # wide, and a limit on its upper end would refuse models that lose nothing.
                passed=loss.points <= max_loss + 1e-9,
                fitted=fitted,
                neutral_gaps=_neutral_gaps(outputs[known], contract),
            )
        )
    return Verdict(
        data=data.name,
        data_sha256=data.digest,
        split=split,
        count=len(images),
        max_loss=max_loss,
        keras=evaluate_predictions(images.labels, expected, EMOTIONS),
        models=tuple(judged),
    )


def paired_loss(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Loss:
    """The accuracy lost between two models on the same images, with its 95 % interval.

    The interval is that of Agresti and Min, "Simple improved confidence intervals for comparing
    matched proportions", Statistics in Medicine 24 (2005): Wald's, after half an observation is
    added to each of the four cells.

    Args:
        before: ``(n,)``: which images the first model names right.
        after: The same of the second.
    """
    count = len(before)
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    b, c, n = lost + 0.5, gained + 0.5, count + 2
    middle = (b - c) / n
    spread = 1.959964 * math.sqrt(max(0.0, (b + c) - (b - c) ** 2 / n)) / n
    ends = [100 * min(1.0, max(-1.0, end)) for end in (middle - spread, middle + spread)]
    return Loss(100 * (lost - gained) / count, *ends)


def _changes(expected: NDArray[np.int64], found: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    table = np.zeros((len(EMOTIONS), len(EMOTIONS)), np.int64)
    np.add.at(table, (expected, found), 1)
    np.fill_diagonal(table, 0)
    return tuple(tuple(int(n) for n in row) for row in table)


def _neutral_gaps(outputs: NDArray[np.float32], contract: ModelContract) -> dict[str, float]:
    """The mean gaps to "neutral" of faces that show it, from ``(n, classes)``."""
    if len(outputs) < _NEUTRAL_FACES:
        return {}
    logits = outputs.astype(np.float64)
    if contract.output == "logits":
        logits /= contract.temperature
    else:
        logits = np.log(np.maximum(logits, 1e-12))
    gaps = logits[:, [contract.labels.index(NEUTRAL)]] - logits
    return dict(zip(contract.labels, gaps.mean(axis=0).round(3).tolist(), strict=True))


def _time(classifier: EmotionClassifier, faces: NDArray[np.uint8]) -> Latency:
    classifier.outputs(faces[:10])  # the first calls allocate
    took = []
    for index in range(len(faces)):
        began = time.perf_counter()
        classifier.outputs(faces[index : index + 1])
        took.append(1000 * (time.perf_counter() - began))
    return Latency(float(np.median(took)), float(np.quantile(took, 0.9)))
