"""What shapes the training of the detector, as data: saved with the run, changed by ``--set``.

Knows no Keras. The reasons for the numbers are in docs/detector.md.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...edge.errors import UsageError
from ..augment import Augmentation
from ..limits import check_numbers
from ..recipes import Optimiser, Schedule, keys


@dataclass(frozen=True, slots=True)
class Composition:
    """Of what the training pictures are made; each draws its own amounts, evenly in each range.

    Attributes:
        crop_px: Side of the square pictures, a multiple of 32.
        negatives: Share of the pictures without any face.
        scenes: Share that are crops of labelled scenes.
        mosaics: Share that are put together from four pictures; the rest are faces that are pasted
            onto pictures without one.
        face_px: Smallest and largest face (root of its area), evenly in the logarithm.
        enlarge: Most that a scene is magnified to reach that size.
        most_pasted: Most faces that are pasted into a picture.
        distractors: Probability that patches without a face are pasted in the same manner, so that
            soft edges alone are no sign of a face.
        fer_faces: How many of FER-2013's training faces are used at most.
        flip: Probability of a left-right mirror image.
        rotate_deg: Largest turn to either side, in degrees.
        stretch: Largest change of a side alone, as a share of it.
        brightness: Largest addition to the pixels, in grey levels of 255.
        contrast: Smallest and largest factor on the distance from the picture's mean.
        camera: Probability that a picture looks as a camera would have delivered it
            (:mod:`fer_edge.training.degrade`).
        camera_blur: Smallest and largest blur, in pixels of standard deviation.
        camera_px: Smallest and largest side that it is then shrunk to and enlarged from, in pixels.
    """

    crop_px: int = 224
    negatives: float = 0.3
    scenes: float = 0.3
    mosaics: float = 0.15
    face_px: tuple[float, float] = (10.0, 130.0)
    enlarge: float = 2.0
    most_pasted: int = 6
    distractors: float = 0.4
    fer_faces: int = 8000
    flip: float = 0.5
    rotate_deg: float = 12.0
    stretch: float = 0.1
    brightness: float = 30.0
    contrast: tuple[float, float] = (0.6, 1.4)
    camera: float = 0.35
    camera_blur: tuple[float, float] = (0.3, 1.2)
    camera_px: tuple[float, float] = (110.0, 224.0)

    def as_camera(self) -> Augmentation:
        """The part of it that :func:`fer_edge.training.degrade.degrade` takes."""
        return Augmentation(
            camera=self.camera, camera_blur=self.camera_blur, camera_px=self.camera_px
        )


@dataclass(frozen=True, slots=True)
class Teaching:
    """What the cells are taught, and how mistakes count.

    Attributes:
        radius: Of the cells that answer for a face, in strides around its centre.
        focal_alpha: Weight of the cells with a face in the focal loss, 0 to 1.
        focal_gamma: Its exponent: how little easy cells count (T.-Y. Lin et al., ICCV 2017,
            arXiv:1708.02002).
        giou_weight: Weight of the boxes beside the scores (H. Rezatofighi et al., CVPR 2019,
            arXiv:1902.09630).
    """

    radius: float = 1.2
    focal_alpha: float = 0.3
    focal_gamma: float = 2.0
    giou_weight: float = 1.5


@dataclass(frozen=True, slots=True)
class Mining:
    """Looking for what the network wrongly takes for a face, to show it that more often.

    Attributes:
        after: Whole epochs after which the pictures without a face are searched; empty is never.
        score: From which score on a false box is kept, above 0 and below 1.
        share: Of the pictures without a face (and of the pasted patches), how many show one, 0 to
            1.
        per_scene: Most boxes that are kept of one picture.
    """

    after: tuple[int, ...] = (25, 55)
    score: float = 0.15
    share: float = 0.6
    per_scene: int = 4


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """Every choice that shapes a run.

    Attributes:
        name: Also the name of the model in its contract.
        summary: One line on what it is.
        options: Keyword arguments of the network's function (:mod:`.network`).
        composition: Of the training pictures.
        teaching: What is taught.
        mining: Of hard negatives.
        optimiser: How it is learnt.
        schedule: For how long; ``cosine`` or ``constant``.
        steps: Optimiser steps an epoch: pictures are composed without end.
        held_out: Share of the landscape and the tight pictures that the epoch is chosen on.
        validation_crops: Pictures composed of what is held out, beside the held-out scenes.
        calibration_frames: Training pictures kept beside the model for the int8 conversion.
        precision: Keras's dtype policy while training; the saved model is float32.
        seed: Of the weights, the pictures and their order.
    """

    name: str = "fer-face"
    summary: str = "grey, anchor-free, strides 8, 16 and 32"
    options: dict[str, Any] = field(
        default_factory=lambda: {"stem": 16, "widths": [32, 48, 64, 64], "blocks": [1, 2, 1, 1]}
    )
    composition: Composition = field(default_factory=Composition)
    teaching: Teaching = field(default_factory=Teaching)
    mining: Mining = field(default_factory=Mining)
    optimiser: Optimiser = field(
        default_factory=lambda: Optimiser(
            name="adamw", weight_decay=0.02, average=0.998, clip_norm=5.0
        )
    )
    schedule: Schedule = field(
        default_factory=lambda: Schedule(epochs=100, batch=32, peak_rate=2e-3)
    )
    steps: int = 250
    held_out: float = 0.15
    validation_crops: int = 256
    calibration_frames: int = 200
    precision: Literal["float32", "mixed_bfloat16"] = "mixed_bfloat16"
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


_SHARE = (0.0, 1.0)
_LIMITS = {
    "options.stem": (1, 256),
    "options.widths": (1, 1024),
    "options.blocks": (1, 8),
    "composition.crop_px": (64, 640),
    "composition.negatives": _SHARE,
    "composition.scenes": _SHARE,
    "composition.mosaics": _SHARE,
    "composition.face_px": (8.0, 600.0),
    "composition.enlarge": (0.1, 8.0),
    "composition.most_pasted": (1, 50),
    "composition.distractors": _SHARE,
    "composition.fer_faces": (0, 100_000),
    "composition.flip": _SHARE,
    "composition.rotate_deg": (0.0, 45.0),
    "composition.stretch": (0.0, 0.5),
    "composition.brightness": (0.0, 255.0),
    "composition.contrast": (0.0, 10.0),
    "composition.camera": _SHARE,
    "composition.camera_blur": (0.05, 24.0),
    "composition.camera_px": (16.0, 1000.0),
    "teaching.radius": (0.1, 10.0),
    "teaching.focal_alpha": _SHARE,
    "teaching.focal_gamma": (0.0, 10.0),
    "teaching.giou_weight": (0.0, 100.0),
    "mining.after": (1, 10_000),
    "mining.score": (0.001, 0.999),
    "mining.share": _SHARE,
    "mining.per_scene": (1, 1000),
    "optimiser.momentum": (0.0, 0.9999),
    "optimiser.weight_decay": (0.0, 100.0),
    "optimiser.average": (0.0, 0.99999),
    "optimiser.clip_norm": (0.0, 1e6),
    "schedule.epochs": (1, 10_000),
    "schedule.batch": (2, 10_000),
    "schedule.peak_rate": (1e-9, 100.0),
    "schedule.warmup_epochs": (0.0, 10_000.0),
    "steps": (1, 1_000_000),
    "held_out": (0.01, 0.9),
    "validation_crops": (0, 100_000),
    # A quarter of them is for the conversion's check.
    "calibration_frames": (4, 10_000),
    "seed": (0, 2**31 - 1),
}
_RANGES = (
    "composition.face_px",
    "composition.contrast",
    "composition.camera_blur",
    "composition.camera_px",
)


def check(recipe: DetectorRecipe) -> None:
    """Refuse a recipe that no run can be made with.

    Raises:
        UsageError: Names the key, its value and what is expected.
    """
    values: Mapping[str, Any] = keys(recipe)
    check_numbers(recipe.name, values, _LIMITS, _RANGES, may_be_empty=("mining.after",))
    composition, schedule = recipe.composition, recipe.schedule
    if composition.crop_px % 32:
        raise UsageError(
            f"{recipe.name}: composition.crop_px is {composition.crop_px}; expected a multiple "
            f"of 32."
        )
    shares = composition.negatives + composition.scenes + composition.mosaics
    if shares > 1 + 1e-9:
        raise UsageError(
            f"{recipe.name}: negatives, scenes and mosaics are shares of the pictures, and their "
            f"sum is {shares:g}; expected at most 1."
        )
    if schedule.shape == "plateau" or schedule.stop_patience:
        raise UsageError(
            f"{recipe.name}: expected schedule.shape cosine or constant and no stop_patience, got "
            f"{schedule.shape} and {schedule.stop_patience}."
        )
