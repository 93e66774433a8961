"""Train the face detector. Read it from top to bottom.

What goes in: raw grey pixels 0..255. What comes out: a run folder with

* ``model.keras``: the epoch that was best on what was held out, float32, for pictures of any size,
* ``model.contract.json``: what it is, eats and answers,
* ``model.calibration.npz``: ``frames``, uint8 ``(n, 240, 320)``, training pictures for the int8
  conversion,
* ``detection.json``: what it reached on what was held out,
* ``recipe.json``, ``log.csv``, ``history.png``, ``checkpoints/``: as of
  :mod:`fer_edge.training.train`.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ...edge.contract import DETECTOR, ModelContract
from ...edge.detectors.fer_face_decode import STRIDES
from ...edge.detectors.scaling import letterbox
from ...edge.errors import DataError, FerEdgeError
from ...edge.framing import FER_FACE, to_float
from ...edge.sidecar import write_sidecar
from ..batches import EpochStart
from ..callbacks import AfterEpoch, FiniteLoss, HistoryPlot, SaveState
from ..card import detector_card
from ..checkpoints import (
    RunState,
    best_path,
    checkpoint_path,
    open_run,
    read_arrays,
    write_npz,
    write_whole,
)
from ..costs import multiply_adds
from ..objective import make_optimiser
from ..progress import Progress
from ..recipes import Schedule
from ..torch_norm import native_batch_norm
from ..train import precision
from .batches import DetectorBatches
from .compose import Composer, Picture, Sources
from .found import found_by_network
from .losses import FocalLoss, GIoULoss
from .mining import mine, read_spots, write_spots
from .network import build_network
from .recipe import DetectorRecipe, check
from .scenes import Scene, Scenes, held_out
from .score import Rules, Score, score
from .targets import assign

#: Of the input that is exported first, and of the calibration frames.
INPUT_WH = (320, 240)
# The figure of the history.
_MEASURE = "average_precision"
# The labels of masked faces are human, as those of bare ones, and there are more of them.
_VALIDATION = Rules(masked=True)
# Pictures of which the validation loss is.
_OF_LOSS = 128
# At the contract's threshold one held-out picture in forty has a false box: a device looks at ten
# and more a second.
_AT_THRESHOLD = dataclasses.replace(_VALIDATION, false_an_image=1 / 40)
# It may not be beyond these, however the validation turns out.
_THRESHOLDS = (0.2, 0.8)


@dataclass(frozen=True, slots=True, eq=False)
class DetectorData:
    """What a run is given.

    Attributes:
        scenes: Labelled.
        faces: Tight scenes to paste, beside those among the scenes.
        faces_about: Where those are from, for the contract.
        licence: Terms of the weights.
    """

    scenes: Scenes
    faces: Sequence[Scene] = ()
    faces_about: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The data of a run, parted.

    Attributes:
        training: To compose of.
        validation: What the epoch is chosen on: held-out scenes, and pictures composed of what was
            held out.
        scenes: How many of those are scenes.
    """

    training: Sources
    validation: list[Scene]
    scenes: int


def train_detector(
    data: DetectorData, out: Path, recipe: DetectorRecipe, *, resume: bool = False
) -> ModelContract:
    """Train, choose the best epoch on what is held out, and save it.

    Args:
        data: What to compose pictures of.
        out: The run folder; it must be new or empty, unless ``resume``.
        recipe: How.
        resume: Go on after the last whole epoch of the run in ``out``, started with the same
            arguments; where there is none yet, start.

    Returns:
        The contract of ``out/model.keras``.

    Raises:
        UsageError: ``out`` holds something else, or another run; the recipe cannot be run.
        DataError: The data lacks one of what pictures are composed of, or all of it is held out.
        FerEdgeError: The loss stopped being a number, or the disk is full.
    """
    check(recipe)
    parts = part(data, recipe)
    network = prepare_network(recipe)
    about = {
        "recipe": recipe.to_dict(),
        "data_sha256": data.scenes.sha256,
        "skipped": data.scenes.skipped,
        "faces": dict(data.faces_about),
    }
    # What earlier versions did not know stood at its default.
    unsaid = {"recipe": {"schedule": dataclasses.asdict(Schedule())}}
    state = open_run(out, about, resume=resume, unsaid=unsaid)
    batches = DetectorBatches(
        Composer(parts.training, recipe.composition, recipe.mining.share), recipe
    )
    model = teaching_model(network, recipe)
    if state.epochs_done:
        read_arrays(
            checkpoint_path(out, state.epochs_done),
            model=network.weights,
            optimiser=model.optimizer.variables,
        )
        batches.composer.hard = read_spots(out, recipe.mining.after, state.epochs_done)
    print(describe(recipe, network, parts), file=sys.stderr)
    progress = Progress(state.history, recipe.schedule.epochs, recipe.steps, _MEASURE)
    if state.epochs_done < recipe.schedule.epochs:
        with progress.on_screen(), native_batch_norm():
            model.fit(
                batches,
                initial_epoch=state.epochs_done,
                epochs=recipe.schedule.epochs,
                shuffle=False,  # every batch is drawn anew
                callbacks=[
                    FiniteLoss(out, state),
                    EpochStart(batches, network, recipe.seed),
                    DetectorEpochEnd(out, state, network, parts, recipe, batches.composer),
                    SaveState(out, state),
                    progress,
                    HistoryPlot(out, state, _MEASURE),
                ],
                verbose=0,  # type: ignore[arg-type] - annotated as str, documented as 0, 1, 2
            )
    return _finish(out, recipe, data, parts, state)


def part(data: DetectorData, recipe: DetectorRecipe) -> Parts:
    """Hold out what the epoch is chosen on.

    Raises:
        DataError: Too little is left to compose pictures of.
    """
    kept, held = held_out(data.scenes.scenes, recipe.held_out)
    kept_faces, held_faces = held_out(data.faces, recipe.held_out)
    training, validation = Sources.of(kept, kept_faces), Sources.of(held, held_faces)
    _require_all(training, data, "train on")
    scenes = [*validation.scenes, *validation.negatives]
    if not scenes:
        raise DataError(
            f"No scene of {data.scenes.path} was held out to choose the epoch on: expected "
            f"pictures wider than high, enough for held_out={recipe.held_out:g} of them."
        )
    composed: list[Scene] = []
    if recipe.validation_crops:
        _require_all(validation, data, "compose validation pictures of (validation_crops=0)")
        composer = Composer(validation, recipe.composition)
        generator = np.random.default_rng((recipe.seed, 1))
        composed = [_as_scene(composer.compose(generator)) for _ in range(recipe.validation_crops)]
    return Parts(training, [*scenes, *composed], len(scenes))


def _require_all(sources: Sources, data: DetectorData, use: str) -> None:
    for kind, listed in (
        ("with faces in their surroundings", sources.scenes),
        ("without any face", sources.negatives),
        ("of tight faces, to paste", sources.tight),
    ):
        if not listed:
            raise DataError(
                f"{data.scenes.path} leaves no pictures {kind} to {use}; expected some of each."
            )


def _as_scene(picture: Picture) -> Scene:
    return Scene("composed", picture.image, picture.boxes, picture.ignore, source="composed")


def prepare_network(recipe: DetectorRecipe) -> keras.Model:
    """The untrained network, seeded.

    Raises:
        UsageError: The recipe's options are not those of the network.
    """
    keras.utils.set_random_seed(recipe.seed)
    with precision(recipe.precision):
        return build_network(**recipe.options)


def teaching_model(network: keras.Model, recipe: DetectorRecipe) -> Any:
    """The network, compiled."""
    steps, teaching = recipe.schedule.epochs * recipe.steps, recipe.teaching
    with precision(recipe.precision):
        optimiser = make_optimiser(
            recipe.optimiser, recipe.schedule, steps, recipe.schedule.peak_rate
        )
        network.compile(
            optimizer=optimiser,
            loss={
                "boxes": GIoULoss(),
                "scores": FocalLoss(teaching.focal_alpha, teaching.focal_gamma),
            },
            loss_weights={"boxes": teaching.giou_weight, "scores": 1.0},
        )
        optimiser.build(network.trainable_variables)
    return network


def describe(recipe: DetectorRecipe, network: keras.Model, parts: Parts) -> str:
    """One line on a run."""
    sources = parts.training
    return (
        f"{recipe.name}: {network.count_params():,} parameters; composing of "
        f"{len(sources.scenes)} scenes with faces, {len(sources.negatives)} without, "
        f"{len(sources.tight)} tight faces; choosing on {parts.scenes} held-out scenes and "
        f"{len(parts.validation) - parts.scenes} composed pictures; backend "
        f"{keras.backend.backend()}, {recipe.precision}"
    )


class DetectorEpochEnd(AfterEpoch):
    """Validates the detector, and looks for hard negatives where the recipe asks for it."""

    best_by = f"val_{_MEASURE}"

    def __init__(
        self,
        out: Path,
        state: RunState,
        network: keras.Model,
        parts: Parts,
        recipe: DetectorRecipe,
        composer: Composer,
    ):
        average = recipe.optimiser.average > 0
        keep = recipe.schedule.keep
        super().__init__(out, state, network, network.weights, keep, average=average)
        self._parts, self._recipe, self._composer = parts, recipe, composer
        self._pixels, self._targets = _held_out_batch(parts, recipe)

    def validate(self, logs: dict[str, Any]) -> dict[str, float]:
        """Loss and score on what was held out."""
        network: Any = self._network
        answers = network.predict(self._pixels, batch_size=32, verbose=0)
        taught = self._recipe.teaching
        losses = (
            (GIoULoss(), "boxes", taught.giou_weight),
            (FocalLoss(taught.focal_alpha, taught.focal_gamma), "scores", 1.0),
        )
        loss = 0.0
        for cost, name, weight in losses:
            value: Any = keras.ops.convert_to_numpy(cost(self._targets[name], answers[name]))
            loss += weight * float(value)
        if not np.isfinite(loss):
            return {"val_loss": loss, self.best_by: 0.0}
        reached = validated(network, self._parts)
        done = self._state.epochs_done + 1
        if done in self._recipe.mining.after:
            spots = mine(network, self._parts.training.negatives, self._recipe.mining)
            write_spots(self._out, done, spots)
            self._composer.hard = spots
            print(f"{len(spots)} hard negatives after epoch {done}", file=sys.stderr)
        return {
            "val_loss": loss,
            self.best_by: reached.average_precision,
            "val_recall": reached.recall,
        }


def _held_out_batch(
    parts: Parts, recipe: DetectorRecipe
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Held-out pictures as a batch, the composed ones where there are any."""
    side = recipe.composition.crop_px
    pictures, boxes, scores = [], [], []
    for scene in (parts.validation[parts.scenes :] or parts.validation)[:_OF_LOSS]:
        small = letterbox(scene.image, (side, side))
        per = np.array([small.per_x, small.per_y] * 2, np.float32)
        taught = assign(scene.boxes / per, scene.ignore / per, (side, side), recipe.teaching.radius)
        pictures.append(small.picture)
        boxes.append(taught.boxes)
        scores.append(taught.scores)
    return to_float(np.stack(pictures)), {"boxes": np.stack(boxes), "scores": np.stack(scores)}


def validated(network: Any, parts: Parts) -> Score:
    """The score of a network on what was held out, at intersection over union 0.5."""
    found = found_by_network(network, parts.validation)
    return score(found, parts.validation, _VALIDATION)


def _finish(
    out: Path, recipe: DetectorRecipe, data: DetectorData, parts: Parts, state: RunState
) -> ModelContract:
    """Save the best epoch as the model of the run, with what it reached and its frames."""
    if not state.best_epoch:
        raise FerEdgeError(f"No epoch of {out} was finished; there is nothing to save.")
    network = build_network(**recipe.options)  # in float32
    read_arrays(best_path(out, state.best_epoch), network=network.weights)
    target = out / "model.keras"
    write_whole(target, lambda path: network.save(path))
    write_frames(out / "model.calibration.npz", parts.training, recipe)
    found = found_by_network(network, parts.validation)
    reached = score(found, parts.validation, _VALIDATION)
    threshold = score(found, parts.validation, _AT_THRESHOLD).threshold
    metric = {
        "name": _MEASURE,
        "value": round(reached.average_precision, 5),
        "split": "held out",
        "count": reached.faces,
        "of": "float",
    }
    costs = {"parameters": network.count_params(), "multiply_adds": cost_of(recipe)}
    contract = ModelContract(
        name=recipe.name,
        kind=DETECTOR,
        labels=("face",),
        input_size_wh=INPUT_WH,
        framing=FER_FACE,
        output="logits",
        strides=STRIDES,
        score_threshold=round(float(np.clip(threshold, *_THRESHOLDS)), 3),
        training_data={
            "name": data.scenes.path.name,
            "sha256": data.scenes.sha256,
            "counts": {"scenes": len(data.scenes.scenes), "faces": data.scenes.faces},
            "skipped": data.scenes.skipped,
            "sources": sorted({scene.source for scene in data.scenes.scenes if scene.source}),
            "pasted": dict(data.faces_about),
            "chosen_on": f"{parts.scenes} held-out scenes, "
            f"{len(parts.validation) - parts.scenes} composed",
        },
        recipe={**recipe.to_dict(), "best_epoch": state.best_epoch},
        metrics=(metric,),
        card=detector_card(**costs),
        licence=data.licence,
    )
    written = write_sidecar(target, contract)
    document = {
        "held_out": dataclasses.asdict(reached),
        "best_epoch": state.best_epoch,
        **costs,
    }
    # Last, because it says that the run is finished.
    text = json.dumps(document, indent=1) + "\n"
    write_whole(out / "detection.json", lambda path: path.write_text(text))
    return written


def cost_of(recipe: DetectorRecipe) -> int:
    """Multiply-adds of one picture of :data:`INPUT_WH`."""
    return multiply_adds(build_network(**recipe.options, size_wh=INPUT_WH))


def write_frames(path: Path, sources: Sources, recipe: DetectorRecipe) -> None:
    """Write training pictures as the device would see them: half with faces, half without."""
    generator = np.random.default_rng((recipe.seed, 3))
    half = recipe.calibration_frames // 2
    frames = []
    for listed, count in (
        (sources.scenes, recipe.calibration_frames - half),
        (sources.negatives, half),
    ):
        for index in generator.integers(len(listed), size=count):
            frames.append(letterbox(listed[index].image, INPUT_WH).picture)
    # Mixed, as the conversion takes some for the ranges and some for its check.
    mixed = np.stack(frames)[generator.permutation(len(frames))]
    write_npz(path, {"frames": mixed}, compressed=True)
