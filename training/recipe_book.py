"""The recipes by name, with the reasons for their numbers. Data only; knows no Keras."""

import difflib
from dataclasses import replace

from ..edge.errors import UsageError
from .augment import Augmentation
from .recipes import Crops, Optimiser, Recipe, Schedule, Targets, Transfer

DEFAULT = "accurate"

_NOTHING = Augmentation(
    flip=0.0,
    rotate_deg=0.0,
    zoom=(1.0, 1.0),
    shift=0.0,
    brightness=0.0,
    contrast=(1.0, 1.0),
    erase=0.0,
)
_LABELS_ONLY = Targets(label_smoothing=0.0)
_ADAM = Optimiser(name="adam", weight_decay=0.0)
# One label in ten of FER-2013 is wrong: full confidence would be learnt from those too. The votes
# of ten taggers an image, as a second task, are worth about a point.
_VOTES = Targets(label_smoothing=0.1, ferplus="head", ferplus_weight=0.5)
_STRONG = Augmentation(rotate_deg=15.0, zoom=(0.8, 1.1), shift=0.15, erase=0.5)

_MILD = Augmentation(
    rotate_deg=8.0,
    zoom=(0.92, 1.08),
    shift=0.06,
    brightness=15.0,
    contrast=(0.85, 1.2),
    erase=0.0,
    camera=0.25,
)
# Turned heads, wide boxes and odd light, too; for networks that answer mirror images alike.
_FULLER_TIED = replace(
    _MILD,
    flip=0.0,
    rotate_deg=15.0,
    zoom=(0.8, 1.1),
    brightness=25.0,
    contrast=(0.75, 1.3),
    erase=0.1,
)

_RESIDUAL = {"stem": 32, "widths": [64, 128, 192], "blocks": [2, 2, 2], "dropout": 0.3}
_MILD_RESIDUAL = {**_RESIDUAL, "dropout": 0.2}
_SYMMETRIC_RESIDUAL = {**_MILD_RESIDUAL, "pool": True}
# Most of the multiply-adds at 12x12, where a channel costs a quarter of what it does at 24x24 and
# still sees mouth and eyes apart.
_SMALL_RESIDUAL = {"stem": 16, "widths": [32, 48, 96], "blocks": [1, 2, 1], "dropout": 0.1}
# Twice as wide and deeper for the same cost, as most of its convolutions are narrow.
_SYMMETRIC_SMALL = {
    "stem": 16,
    "widths": [32, 96, 192],
    "blocks": [1, 3, 2],
    "inner": [0, 44, 64],
    "dropout": 0.0,
    "pool": True,
}

_BOOK = (
    Recipe(
        name="accurate",
        summary="ours, the default: residual, under 2 MB",
        network="residual",
        options=_SYMMETRIC_RESIDUAL,
        # From nothing, as its weights have to be symmetric; mirrored images would teach it nothing.
        augmentation=_FULLER_TIED,
        targets=replace(_VOTES, label_smoothing=0.05, teacher_weight=0.4),
        optimiser=Optimiser(average=0.998),
        schedule=Schedule(epochs=80, peak_rate=0.1, keep="last"),
        crops=Crops(crop_share=0.75),
        norm_images=6400,
        mirror=True,
    ),
    Recipe(
        name="accurate-last",
        summary="the last step of ours, from accurate",
        network="residual",
        options=_SYMMETRIC_RESIDUAL,
        augmentation=_FULLER_TIED,
        targets=replace(_VOTES, label_smoothing=0.05, teacher_weight=0.4),
        optimiser=Optimiser(average=0.998),
        # At a low rate, so that nothing that it knows is lost and several runs end in one valley.
        # The last epoch: the first is hardly changed, and as likely to be the luckiest.
        schedule=Schedule(epochs=12, peak_rate=0.02, warmup_epochs=0.5, keep="last"),
        crops=Crops(crop_share=0.5),
        norm_images=6400,
        needs_start=True,
        mirror=True,
    ),
    Recipe(
        name="teacher-pieces",
        summary="a teacher of ours, from teacher-mild",
        network="residual",
        options=_MILD_RESIDUAL,
        # The steps before knew but three of four Training images: held back too much, not too
        # little. What turns and shifts did before, the place of a piece mostly does now.
        augmentation=replace(_MILD, rotate_deg=10.0, zoom=(0.9, 1.1), erase=0.1, camera=0.2),
        # Its teachers are hardly better than what it starts from: the labels have most of the say.
        targets=replace(_VOTES, teacher_weight=0.3),
        optimiser=Optimiser(average=0.998),
        schedule=Schedule(epochs=80, peak_rate=0.06, warmup_epochs=1.0),
        crops=Crops(crop_share=0.75),
        needs_start=True,
    ),
    Recipe(
        name="teacher-mild",
        summary="what teacher-pieces starts from: residual",
        network="residual",
        options=_MILD_RESIDUAL,
        # The last epochs see faces nearly as they are: what held the network back from learning
        # by heart has done its work (He et al., 2019, arXiv:1909.09148). What a camera does stays.
        augmentation=_MILD,
        targets=replace(_VOTES, teacher_weight=0.5),
        optimiser=Optimiser(average=0.995),
        schedule=Schedule(epochs=8, peak_rate=0.012, warmup_epochs=0.5),
        needs_start=True,
    ),
    Recipe(
        name="teacher-camera",
        summary="what teacher-mild starts from: residual",
        network="residual",
        options=_RESIDUAL,
        augmentation=replace(_STRONG, camera=0.3, mixup=0.3),
        targets=replace(_VOTES, teacher_weight=0.6),
        # Average over some two epochs: at a high rate it is points better than the weights.
        optimiser=Optimiser(average=0.998),
        # From a trained network on, a higher rate would only undo more of it first.
        schedule=Schedule(epochs=72, peak_rate=0.06),
        crops=Crops(crop_share=0.7),
        needs_start=True,
    ),
    Recipe(
        name="teacher-residual",
        summary="what teacher-camera starts from: residual",
        network="residual",
        options=_RESIDUAL,
        augmentation=_STRONG,
        targets=_VOTES,
        # The largest rate that two warm-up epochs carry without a jump in the loss.
        schedule=Schedule(epochs=40, peak_rate=0.1),
    ),
    Recipe(
        name="fast",
        summary="ours, small: residual, under 0.3 MB",
        network="residual",
        options=_SYMMETRIC_SMALL,
        # Too small to learn much by heart: little holds it back, its schedule is long, and its
        # teachers, which know much more, have most of the say.
        augmentation=replace(_FULLER_TIED, brightness=35.0, contrast=(0.6, 1.3), erase=0.0),
        targets=replace(_VOTES, label_smoothing=0.05, teacher_weight=0.6),
        optimiser=Optimiser(average=0.998),
        schedule=Schedule(epochs=160, peak_rate=0.1, keep="last"),
        crops=Crops(crop_share=0.7),
        norm_images=6400,
        mirror=True,
    ),
    Recipe(
        name="teacher-fast",
        summary="small, a teacher of teacher-camera",
        network="residual",
        options=_SMALL_RESIDUAL,
        augmentation=Augmentation(rotate_deg=12.0, zoom=(0.85, 1.1), shift=0.1, erase=0.25),
        targets=_VOTES,
        schedule=Schedule(epochs=80, peak_rate=0.1),
    ),
    Recipe(
        name="vgg-small",
        summary="VGG-inspired, 3x3, from scratch",
        network="plain",
        options={"stem": 32, "widths": [64, 128, 256], "dropout": 0.3},
        augmentation=Augmentation(),
        targets=Targets(label_smoothing=0.1),
        schedule=Schedule(epochs=36, peak_rate=0.06),
    ),
    Recipe(
        name="custom-cnn",
        summary="the classic of notebooks: overfits",
        network="custom_cnn",
        options={"widths": [32, 64, 128], "dense": 256, "dropout": 0.25},
        augmentation=_NOTHING,
        targets=_LABELS_ONLY,
        optimiser=_ADAM,
        schedule=Schedule(epochs=30, batch=64, peak_rate=1e-3, shape="constant"),
    ),
    Recipe(
        name="custom-cnn-aug",
        summary="the same, augmented",
        network="custom_cnn",
        options={"widths": [32, 64, 128], "dense": 256, "dropout": 0.25},
        augmentation=Augmentation(
            flip=0.5,
            rotate_deg=20.0,
            zoom=(0.85, 1.15),
            shift=0.0,
            brightness=0.0,
            contrast=(1.0, 1.0),
            erase=0.0,
        ),
        targets=_LABELS_ONLY,
        optimiser=_ADAM,
        schedule=Schedule(epochs=50, batch=64, peak_rate=1e-3, shape="plateau"),
    ),
    Recipe(
        name="mini-xception",
        summary="the net of well-known packages",
        network="mini_xception",
        options={"stem": 8, "widths": [16, 32, 64, 128]},
        # Its authors' own: rotation 10, shift 0.1, zoom 0.1, flips.
        augmentation=Augmentation(
            flip=0.5,
            rotate_deg=10.0,
            zoom=(0.9, 1.1),
            shift=0.1,
            brightness=0.0,
            contrast=(1.0, 1.0),
            erase=0.0,
        ),
        targets=_LABELS_ONLY,
        optimiser=_ADAM,
        schedule=Schedule(epochs=60, batch=64, peak_rate=2e-3, warmup_epochs=1.0),
    ),
)


def _transfer(name: str, summary: str, unfreeze: tuple[str, ...]) -> Recipe:
    """The classic of transfer learning, the same for every base."""
    return Recipe(
        name=name,
        summary=summary,
        network="transfer",
        options={"base": name, "input_px": 224, "dense": 256, "dropout": 0.5},
        augmentation=Augmentation(rotate_deg=10.0, zoom=(0.9, 1.1), shift=0.1, erase=0.0),
        # 436 of 28,709 images show disgust: a head on a frozen base would never name it.
        targets=Targets(label_smoothing=0.0, class_weights="balanced"),
        optimiser=_ADAM,
        schedule=Schedule(epochs=20, batch=64, peak_rate=1e-3, shape="plateau", stop_patience=6),
        transfer=Transfer(head_epochs=6, unfreeze=unfreeze, fine_tune_rate=1e-4),
    )


_BOOK += (
    _transfer("vgg16", "VGG16 from ImageNet, last block tuned", ("block5",)),
    _transfer("resnet50", "ResNet50 from ImageNet, last stage tuned", ("conv5",)),
    _transfer("resnet50v2", "ResNet50V2 from ImageNet, last stage tuned", ("conv5", "post")),
    _transfer(
        "mobilenetv2",
        "MobileNetV2 from ImageNet, last blocks tuned",
        ("block_14", "block_15", "block_16", "Conv_1"),
    ),
    _transfer(
        "efficientnet-b0",
        "EfficientNet-B0 from ImageNet, last blocks tuned",
        ("block6", "block7", "top"),
    ),
)

#: Every recipe by name, ours first.
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _BOOK}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: There is none; the nearest is named.
    """
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"There is no recipe {name!r}.{hint} There are: {', '.join(RECIPES)}.")
