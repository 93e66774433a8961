"""Whether levelling the eyes pays: labelled faces in turned frames, classified with and without.

Each face is pasted into a frame (:mod:`.scenes`) turned by each angle, the detector looks for it,
and what it finds is cropped twice, as it is and aligned. The faces that it finds are the same for
both, so the two are compared face by face.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.alignment import crop_aligned
from ..edge.classifier import EmotionClassifier
from ..edge.detectors import Detector, open_detector
from ..edge.errors import DataError
from ..edge.framing import crop_square
from ..edge.records import Box, Face, Image
from ..training.datasets import EMOTIONS, Dataset
from .scenes import paste, place

ANGLES_DEG = (-30.0, -20.0, -10.0, -5.0, 0.0, 5.0, 10.0, 20.0, 30.0)
_SIZE_WH = (320, 240)
# Of the frame's height: people at a desk or a door, not in the distance.
_SIDES = (0.45, 0.75)
# A box that overlaps the face by less is something else.
_MIN_IOU = 0.3


@dataclass(frozen=True, slots=True)
class AngleScore:
    """How the two ways of cropping fared at one angle.

    Attributes:
        roll_deg: By how much the faces were turned, clockwise.
        faces: How many were shown.
        found: How many the detector found, which are those that count below.
        plain_right: How many were named right without alignment.
        aligned_right: How many with it.
        gained: How many only with it.
        lost: How many only without it.
    """

    roll_deg: float
    faces: int
    found: int
    plain_right: int
    aligned_right: int
    gained: int
    lost: int

    @property
    def gain(self) -> float:
        """Difference in accuracy, aligned minus plain, -1 to 1."""
        return (self.gained - self.lost) / max(1, self.found)

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of :attr:`gain`, for paired answers (normal approximation)."""
        count = max(1, self.found)
        spread = self.gained + self.lost - (self.gained - self.lost) ** 2 / count
        return 1.96 * math.sqrt(max(0.0, spread)) / count


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """What was measured, and on what.

    Attributes:
        data: Name of the data set.
        split: Its split.
        detector: Name of the detector.
        model: Digest of the emotion model.
        seed: Of the places and sizes.
        angles: A score for each angle.
    """

    data: str
    split: str
    detector: str
    model: str
    seed: int
    angles: tuple[AngleScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON document."""
        return asdict(self)


def measure_alignment(
    data: Dataset,
    detector: Detector,
    classifier: EmotionClassifier,
    *,
    angles_deg: Sequence[float] = ANGLES_DEG,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> AlignmentReport:
    """Show every face at every angle, and crop what is found in both ways.

    Args:
        data: The faces, all of one split.
        detector: One that gives landmarks.
        classifier: Names the emotions.
        angles_deg: By how much to turn the faces, clockwise.
        seed: Of the places and sizes; a face has the same at every angle.
        progress: Told a line after each angle.

    Raises:
        DataError: The model's labels are others than the data's.
    """
    labels = classifier.contract.labels
    if set(labels) != set(EMOTIONS):
        raise DataError(
            f"The model names {', '.join(labels)}; the data has {', '.join(EMOTIONS)}: expected "
            f"the same emotions."
        )
    truth = np.array([labels.index(EMOTIONS[label]) for label in data.labels])
    scores = []
    for angle in angles_deg:
        crops = _crops(data.images, detector, classifier.size_wh, angle, seed)
        kept = np.array([pair is not None for pair in crops], bool)
        right = []
        for which in range(2):
            faces = np.array([pair[which] for pair in crops if pair is not None], np.uint8)
            shape = (-1, *classifier.size_wh[::-1])
            answers = classifier.outputs(faces.reshape(shape)).argmax(axis=1)
            right.append(answers == truth[kept])
        plain, aligned = right
        scores.append(
            AngleScore(
                roll_deg=float(angle),
                faces=len(data),
                found=int(kept.sum()),
                plain_right=int(plain.sum()),
                aligned_right=int(aligned.sum()),
                gained=int((aligned & ~plain).sum()),
                lost=int((plain & ~aligned).sum()),
            )
        )
        progress(f"{angle:+.0f} degrees: {scores[-1].gain:+.3f} +- {scores[-1].half_width:.3f}")
    return AlignmentReport(
        data=data.name,
        split=", ".join(sorted(set(data.splits.tolist()))),
        detector=detector.name,
        model=classifier.contract.content_sha256,
        seed=seed,
        angles=tuple(scores),
    )


def measure(
    source: Path,
    *,
    split: str = "PublicTest",
    faces: int | None = None,
    model: str | None = None,
    detector: str = "yunet",
    detector_model: Path | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> AlignmentReport:
    """Read everything from files and measure; of the split a sample of ``faces``, or all.

    Raises:
        FerEdgeError: The data, the model or the detector cannot be used.
    """
    from ..training.datasets import load

    classifier = EmotionClassifier.open(model)
    finder = open_detector(detector, model=detector_model)
    data = load(source).split(split)
    if faces is not None and faces < len(data):
        data = data.sampled(faces / len(data), seed=seed)
    return measure_alignment(data, finder, classifier, seed=seed, progress=progress)


def found_at(
    faces: Sequence[Face], framing_square: Callable[[Box], Box], truth: Box
) -> Face | None:
    """The face whose training square overlaps the true one most, or None where none does."""
    best = max(faces, key=lambda face: framing_square(face.box).iou(truth), default=None)
    if best is None or framing_square(best.box).iou(truth) < _MIN_IOU:
        return None
    return best


def _crops(
    images: Image, detector: Detector, size_wh: tuple[int, int], angle_deg: float, seed: int
) -> list[tuple[Image, Image] | None]:
    """For each face its crop as it is and aligned, or None where the detector did not find it."""
    generator = np.random.default_rng(seed)
    pairs: list[tuple[Image, Image] | None] = []
    for image in images:
        scene = paste(image, _SIZE_WH, place(_SIZE_WH, _SIDES, generator), angle_deg)
        to_square = detector.framing.training_square
        face = found_at(detector.detect(scene.picture), to_square, scene.square)
        if face is None:
            pairs.append(None)
            continue
        square = to_square(face.box)
        plain = crop_square(scene.picture, square, size_wh)
        pairs.append((plain, crop_aligned(scene.picture, square, face.landmarks_px, size_wh)))
    return pairs
