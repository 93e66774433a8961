"""Measures a model, ``.keras`` or ``.tflite``, on labelled faces in every way there is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.contract import ModelContract
from ..edge.errors import DataError
from ..edge.records import Image
from .datasets import EMOTIONS, Dataset
from .ferplus import ANSWER_EMOTIONS, ANSWER_NAMES, VOTE_NAMES, vote_answers
from .groups import Grouping, by_picture
from .metrics import (
    Calibration,
    Evaluation,
    RocCurve,
    Share,
    calibrate,
    evaluate_predictions,
    roc_curves,
    share_of,
)
from .predictions import Predictions, open_predictor

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Unseen:
    """The images that do not occur in Training, pixel for pixel.

    Attributes:
        left_out: How many do.
        accuracy: Over the others, or None where there is no other.
    """

    left_out: int
    accuracy: Share | None


@dataclass(frozen=True, slots=True)
class FerPlusScore:
    """Predictions against what most of the ten FER+ taggers say.

    Attributes:
        left_out: Why an image has no majority among the seven emotions, with the number of images.
        accuracy: Of the model over all others, or None where there is no other.
        agreement: Of FER-2013's own labels over the same images.
    """

    left_out: dict[str, int]
    accuracy: Share | None
    agreement: Share | None


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """All that an evaluation says; no figure in it depends on another report.

    Attributes:
        model: File name of the model.
        contract: What the model says about itself.
        data: The images that it was measured on, all of one split.
        split: Name of that split.
        predictions: One row an image.
        mirrored: Of the mirror images, or None where that was not asked for.
        scores: Accuracy, macro-F1, figures a class, confusion: the image as it is, one view.
        roc: One curve a class that has both images of its own and others.
        calibration: How far confidence and accuracy are apart.
        flipped: The scores with the probabilities of image and mirror image averaged, or None
            where that was not asked for.
        unseen: The accuracy without images that are in Training too, or None where the source has
            no Training or the split is Training.
        ferplus: The accuracy against the FER+ majority, or None without votes.
        groupings: The accuracy by what the pictures are like.
    """

    model: str
    contract: ModelContract
    data: Dataset
    split: str
    predictions: Predictions
    mirrored: Predictions | None
    scores: Evaluation
    roc: tuple[RocCurve, ...]
    calibration: Calibration
    flipped: Evaluation | None
    unseen: Unseen | None
    ferplus: FerPlusScore | None
    groupings: tuple[Grouping, ...]

    @property
    def lesson(self) -> NDArray[np.float32]:
        """The logits to teach with, float32 ``(n, 7)``: with a mirrored view, the mean of both."""
        if self.mirrored is None:
            return self.predictions.logits
        both = self.predictions.logits + self.mirrored.logits
        return (both / 2).astype(np.float32)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each image was named right: bool, ``(n,)``."""
        return self.predictions.named == self.data.labels

    def mistakes(self, limit: int) -> NDArray[np.int64]:
        """Indices of the wrong answers with the highest probability, the most confident first."""
        wrong = np.flatnonzero(~self.right)
        # Stable, so that equal probabilities stay in the order of the data.
        order = np.argsort(-self.predictions.confidence[wrong], kind="stable")
        return wrong[order][:limit]

    def beside(self) -> list[tuple[str, Share | None, str]]:
        """The accuracies beside the headline: each with its name and what to know about it."""
        rows: list[tuple[str, Share | None, str]] = []
        if self.flipped is not None:
            found = self.flipped
            hits = round(found.accuracy * found.count)
            share = Share(hits, found.count, found.accuracy, found.interval)
            rows.append(("with flip averaging", share, "mean over image and mirror image"))
        if self.unseen is not None:
            note = _left_out(self.unseen.left_out)
            rows.append(("without images that are in Training too", self.unseen.accuracy, note))
        if self.ferplus is not None:
            note = _left_out(sum(self.ferplus.left_out.values()))
            rows.append(("against the FER+ majority", self.ferplus.accuracy, note))
            agreement = self.ferplus.agreement
            rows.append(("FER-2013's own labels against it", agreement, "the same images"))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values; answers about single images are not among them."""
        rates = self.scores.rates()
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "model_sha256": self.contract.content_sha256,
            "contract": self.contract.name,
            "data": self.data.name,
            "sha256": self.data.digest,
            "split": self.split,
            "skipped": self.data.skipped,
            **self.scores.to_dict(),
            "confusion_rates": [[None if np.isnan(x) else float(x) for x in row] for row in rates],
            "absent_classes": list(self.scores.absent),
            "roc_areas": {curve.label: curve.area for curve in self.roc},
            "calibration": {
                "error": self.calibration.error,
                "mean_confidence": self.calibration.mean_confidence,
                "bins": [
                    {
                        "low": item.low,
                        "high": item.high,
                        "count": item.count,
                        "confidence": item.confidence,
                        "accuracy": item.accuracy,
                    }
                    for item in self.calibration.bins
                ],
            },
            "flip_averaged": self.flipped
            and {
                "accuracy": self.flipped.accuracy,
                "interval": self.flipped.interval,
                "macro_f1": self.flipped.macro_f1,
            },
            "without_training_duplicates": self.unseen
            and {"left_out": self.unseen.left_out, **_share(self.unseen.accuracy)},
            "ferplus_majority": self.ferplus
            and {
                "left_out": self.ferplus.left_out,
                **_share(self.ferplus.accuracy),
                "agreement_of_fer2013": self.ferplus.agreement and self.ferplus.agreement.value,
            },
            "by_picture": {
                grouping.name: [
                    {"low": group.low, "high": group.high, **_share(group.accuracy)}
                    for group in grouping.groups
                ]
                for grouping in self.groupings
            },
        }


def evaluate(model: Path, data: Dataset, *, threads: int = 1) -> Evaluation:
    """Measure a model on every image of ``data``: the headline figures alone.

    Args:
        model: A ``.keras`` file with its contract beside it, or a ``.tflite`` with one inside.
        data: Labelled images; take one split of it first.
        threads: CPU threads of a ``.tflite``.

    Raises:
        ModelError: The model cannot be used, or its labels are not those of FER-2013.
        DataError: There is no image.
    """
    predictions = open_predictor(model, threads=threads).predict(data.images)
    return evaluate_predictions(data.labels, predictions.named, EMOTIONS)


def report(
    model: Path, faces: Dataset, split: str, *, flip: bool = True, threads: int = 1
) -> Report:
    """Measure a model on one split of ``faces`` in every way there is.

    Args:
        model: As for :func:`evaluate`.
        faces: All images of a source; those of Training tell which images were seen before.
        split: The split to measure on.
        flip: Also average each image with its mirror image, which doubles the time.
        threads: CPU threads of a ``.tflite``.

    Raises:
        ModelError: As :func:`evaluate`.
        DataError: The split has no image.
    """
    data = faces.split(split)
    predictor = open_predictor(model, threads=threads)
    predictions = predictor.predict(data.images)
    mirrored = flipped = None
    if flip:
        mirrored = predictor.predict(np.ascontiguousarray(data.images[..., ::-1]))
        # The sum names the same class as the mean.
        both = predictions.probabilities + mirrored.probabilities
        flipped = evaluate_predictions(data.labels, both.argmax(axis=1), EMOTIONS)
    right = predictions.named == data.labels
    unseen = None
    if split != "Training" and (faces.splits == "Training").any():
        seen = in_training(faces, data.images)
        unseen = Unseen(int(seen.sum()), share_of(right[~seen]))
    return Report(
        model=model.name,
        contract=predictor.contract,
        data=data,
        split=split,
        predictions=predictions,
        mirrored=mirrored,
        scores=evaluate_predictions(data.labels, predictions.named, EMOTIONS),
        roc=roc_curves(data.labels, predictions.probabilities, EMOTIONS),
        calibration=calibrate(data.labels, predictions.probabilities),
        flipped=flipped,
        unseen=unseen,
        ferplus=None if data.votes is None else against_ferplus(data, predictions.named),
        groupings=by_picture(data.images, right),
    )


def in_training(faces: Dataset, images: Image) -> NDArray[np.bool_]:
    """Which images also occur in the Training rows of ``faces``, pixel for pixel.

    Args:
        faces: The source.
        images: uint8, ``(n, 48, 48)``.

    Returns:
        bool, ``(n,)``.
    """
    known = {image.tobytes() for image in faces.images[faces.splits == "Training"]}
    return np.array([image.tobytes() in known for image in images], dtype=np.bool_)


def ferplus_majority(votes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """The one emotion that more taggers of FER+ chose than any other answer.

    Contempt, unknown and not-a-face are answers like others: where one of them leads, or two
    answers share the first place, the image has no such emotion.

    Args:
        votes: ``(n, 10)`` in the order of ``fer2013new.csv``.

    Returns:
        int64 ``(n,)``, index into :data:`EMOTIONS`, or -1; and str ``(n,)``, why it is -1, or "".
    """
    answers = vote_answers(votes)
    emotions = ANSWER_EMOTIONS[answers]
    return emotions, np.where(emotions >= 0, "", np.array(ANSWER_NAMES)[answers])


def against_ferplus(data: Dataset, named: NDArray[np.int64]) -> FerPlusScore:
    """Score predictions, and FER-2013's own labels, against the majority of the FER+ taggers.

    Args:
        data: Images with votes.
        named: int64, ``(n,)``: the predictions, index into :data:`EMOTIONS`.

    Raises:
        DataError: The data has no votes.
    """
    if data.votes is None:
        raise DataError(f"{data.name} has no FER+ votes: pass fer2013new.csv with --votes.")
    majority, reasons = ferplus_majority(data.votes)
    kept = majority >= 0
    why = ("tie", *VOTE_NAMES[len(EMOTIONS) :], "no votes")
    return FerPlusScore(
        left_out={reason: int((reasons == reason).sum()) for reason in why},
        accuracy=share_of((named == majority)[kept]),
        agreement=share_of((data.labels == majority)[kept]),
    )


def _share(share: Share | None) -> dict[str, Any]:
    if share is None:
        return {"count": 0, "accuracy": None, "interval": None}
    return {"count": share.count, "accuracy": share.value, "interval": share.interval}


def _left_out(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'} left out"
