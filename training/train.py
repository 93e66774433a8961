"""Train one recipe on FER-2013. Read it from top to bottom.

What goes in: raw grey pixels 0..255. What comes out: a run folder with

* ``model.keras``: the epoch that was best on PublicTest, float32, without optimiser state,
* ``model.contract.json``: what it is, eats and answers (``fer_edge.edge.contract``),
* ``model.calibration.npz``: a few hundred balanced training faces, for the int8 conversion,
* ``result.json``: what it reached and what it costs, for ``fer-edge compare``,
* ``recipe.json``, ``log.csv``, ``history.png``: how it was made,
* ``checkpoints/``: the last state and the best epoch, from which a killed run goes on.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from ..edge.contract import ModelContract
from ..edge.errors import DataError, FerEdgeError, MissingExtraError, UsageError
from ..edge.sidecar import file_sha256
from .architectures import build_network
from .batches import Batches, EpochStart
from .callbacks import (
    EarlyStopping,
    EpochEnd,
    FiniteLoss,
    HistoryPlot,
    ReduceLROnPlateau,
    SaveState,
)
from .checkpoints import (
    RunState,
    best_path,
    checkpoint_path,
    has_state,
    open_run,
    read_arrays,
)
from .datasets import EMOTIONS, Dataset
from .distill import Teachers
from .earlier import start_from
from .finish import Words, finish, training_part
from .mirror import check_symmetric, draw_symmetric, tie
from .objective import of_side, training_model
from .progress import Progress
from .recipes import Recipe, check
from .stages import Stage, stages
from .targets import make_targets
from .torch_norm import native_batch_norm
from .transfer import is_transfer, load_base_weights, set_stage


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is given beside its data and its recipe.

    Attributes:
        teachers: For distillation.
        weights: ``imagenet``, ``none`` or a file, of the base of a transfer net.
        start: A ``.keras`` model of the same network, whose weights are gone on with.
        left_out: Digest of the list of rows that were left out, or empty.
        name: Of the model, in its contract; the recipe's if it is empty.
        licence: Terms of the weights, for the contract.
        variant: What was changed in the recipe, in words, for tables.
        tensorboard: Whether to write TensorBoard's logs.
    """

    teachers: Teachers = field(default_factory=Teachers)
    weights: str = "imagenet"
    start: Path | None = None
    left_out: str = ""
    name: str = ""
    licence: str = ""
    variant: str = ""
    tensorboard: bool = False

    @property
    def start_sha256(self) -> str | None:
        """SHA-256 of what is started from, if anything."""
        return None if self.start is None else file_sha256(self.start)


def train(
    data: Dataset, out: Path, recipe: Recipe, run: Run | None = None, *, resume: bool = False
) -> ModelContract:
    """Train, choose the best epoch on PublicTest (or on a carved validation split), and save it.

    Args:
        data: With Training rows.
        out: The run folder; it must be new or empty, unless ``resume``.
        recipe: What to train and how.
        run: Teachers, weights and words.
        resume: Go on after the last whole epoch of the run in ``out``, started with the same
            arguments; where there is none yet, start.

    Returns:
        The contract of ``out/model.keras``.

    Raises:
        UsageError: ``out`` holds something else, or another run; the recipe cannot be run.
        MissingExtraError: TensorBoard is asked for and not installed.
        DataError: The data has no Training rows, or a split without one of the classes.
        ModelError: A teacher or the weights of a base do not fit.
        FerEdgeError: The loss stopped being a number, or the disk is full.
    """
    run = run or Run()
    data, choose_on = data.with_validation(seed=recipe.seed)
    # All that can be wrong with the arguments is found before the folder is made.
    training, validation = check_arguments(data, choose_on, recipe, run)
    lessons = prepare_lessons(training, recipe, run, data.digest)
    network = prepare_network(recipe, run, fresh=not (resume and has_state(out)))
    for stage in stages(recipe):
        for each in (network, *lessons.teachers):
            of_side(each, stage.side_px)
    about = {
        "recipe": recipe.to_dict(),
        "data_sha256": data.digest,
        "left_out_sha256": run.left_out,
        "teachers": list(run.teachers.digests),
        "weights": run.weights if recipe.transfer else "none",
        "start": run.start_sha256,
    }
    # Networks whose options came later are others; all else stood at its default before.
    unsaid = {"recipe": Recipe(name="", summary="", network="").to_dict(), "start": None}
    state = open_run(out, about, resume=resume, unsaid=unsaid)
    steps = len(lessons.batches)
    print(
        f"{recipe.name}: {network.count_params():,} parameters; {len(training)} images to "
        f"train on, choosing on {len(validation)} of {choose_on}; backend "
        f"{keras.backend.backend()}, {recipe.precision}",
        file=sys.stderr,
    )
    progress = Progress(state.history, recipe.schedule.epochs, steps)
    with progress.on_screen(), native_batch_norm():
        for stage in stages(recipe):
            if state.epochs_done < stage.end and not state.stopped:
                model = prepare_stage(network, recipe, stage, lessons)
                resume_stage(model, network, stage, state, out)
                # Keras looks at the first batch before it begins the epoch.
                lessons.batches.begin(state.epochs_done)
                callbacks = [
                    FiniteLoss(out, state),
                    EpochStart(lessons.batches, network, recipe.seed),
                    EpochEnd(
                        out,
                        state,
                        network,
                        learnt_by(model, network),
                        training,
                        validation,
                        recipe,
                    ),
                    *scheduling(recipe, stage, state),
                    SaveState(out, state),
                    progress,
                    HistoryPlot(out, state),
                ]
                if run.tensorboard:
                    callbacks.append(keras.callbacks.TensorBoard(str(out / "tensorboard")))
                model.fit(
                    lessons.batches,
                    initial_epoch=state.epochs_done,
                    epochs=stage.end,
                    shuffle=False,  # Batches does it; Keras would do it again, not by the seed
                    callbacks=callbacks,
                    verbose=0,  # type: ignore[arg-type] - annotated as str, documented as 0, 1, 2
                )
    return _finish(out, recipe, run, state, data, choose_on)


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a network is taught with: the batches, and the teachers that run beside it."""

    batches: Batches
    teachers: tuple[keras.Model, ...]
    teacher_logits: bool


def prepare_lessons(training: Dataset, recipe: Recipe, run: Run, data_sha256: str) -> Lessons:
    """The batches and the teachers of a run."""
    teachers = tuple(run.teachers.networks(recipe.precision))
    logits = run.teachers.read_logits(training, data_sha256)
    targets = make_targets(training, recipe.targets, logits)
    return Lessons(Batches(training, targets, recipe), teachers, logits is not None)


def prepare_network(recipe: Recipe, run: Run, *, fresh: bool = True) -> keras.Model:
    """The untrained network, seeded; the base of a transfer net with its weights if ``fresh``."""
    keras.utils.set_random_seed(recipe.seed)
    with precision(recipe.precision):
        network = build_network(recipe)
    if is_transfer(network):
        for stage in stages(recipe):
            set_stage(network, stage.unfreeze)  # refuses a layer that is not there
        if fresh and run.start is None:
            load_base_weights(network, recipe.options["base"], run.weights)
    elif run.weights not in ("imagenet", "none"):
        raise UsageError(
            f"The recipe {recipe.name} has no base that --weights {run.weights} could be for."
        )
    if recipe.mirror:
        tie(network.layers)
        draw_symmetric(network)
    if run.start is not None and fresh:
        start_from(network, run.start)
        check_symmetric(network, f"The start {run.start}")
    return network


def prepare_stage(
    network: keras.Model, recipe: Recipe, stage: Stage, lessons: Lessons
) -> keras.Model:
    """The compiled model that teaches the network in a stage."""
    if is_transfer(network):
        set_stage(network, stage.unfreeze)
    with precision(recipe.precision):
        return training_model(
            network,
            recipe,
            (stage.span[1] - stage.span[0]) * len(lessons.batches),
            stage.rate,
            side_px=stage.side_px,
            teachers=lessons.teachers,
            teacher_logits=lessons.teacher_logits,
        )


def learnt_by(model: keras.Model, network: keras.Model) -> list[Any]:
    """The weights that a checkpoint holds: the network's, and those that only teach it."""
    heads = [w for layer in model.layers if layer.name == "votes" for w in layer.weights]
    return [*network.weights, *heads]


def resume_stage(
    model: keras.Model, network: keras.Model, stage: Stage, state: RunState, out: Path
) -> None:
    """Put the model where the run was after its last whole epoch."""
    optimiser: Any = model.optimizer
    optimiser.build(model.trainable_variables)
    learnt, path = learnt_by(model, network), checkpoint_path(out, state.epochs_done)
    if state.epochs_done > stage.span[0]:
        read_arrays(path, model=learnt, optimiser=optimiser.variables)
    elif state.epochs_done:  # the end of the stage before, whose optimiser is gone
        read_arrays(path, model=learnt)


def scheduling(recipe: Recipe, stage: Stage, state: RunState) -> list[Any]:
    """The callbacks that lower the rate and end the run, as the recipe asks."""
    schedule = recipe.schedule
    callbacks: list[Any] = []
    if schedule.shape == "plateau":
        taught = [entry for entry in state.history if entry["epoch"] > stage.span[0]]
        callbacks.append(ReduceLROnPlateau(schedule, stage.rate, taught))
    if schedule.stop_patience and stage.end == schedule.epochs:
        # Patience with whole images begins with them, whatever pieces brought.
        in_stage = [entry for entry in state.history if entry["epoch"] > stage.first]
        callbacks.append(EarlyStopping(schedule, in_stage, state))
    return callbacks


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Build and train within the block under a dtype policy of Keras."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def check_arguments(
    data: Dataset, choose_on: str, recipe: Recipe, run: Run
) -> tuple[Dataset, Dataset]:
    """The images to train and to choose on, once recipe and data are found fit for a run.

    Raises:
        FerEdgeError: As :func:`train` says.
    """
    check(recipe)
    if recipe.needs_start and run.start is None:
        raise UsageError(
            f"The recipe {recipe.name} goes on from a trained model: pass it as --start "
            f"MODEL.keras, or take a recipe that begins from nothing."
        )
    if recipe.sam_radius and keras.backend.backend() == "jax":
        raise UsageError(
            "Sharpness-aware steps (sam_radius) are made for TensorFlow and PyTorch; Keras runs on "
            "jax. Set KERAS_BACKEND to tensorflow or torch, or pass --set sam_radius=0."
        )
    if run.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError(
            "--tensorboard needs TensorBoard, which is not installed: `pip install tensorboard`."
        )
    training, validation = training_part(data, recipe), data.split(choose_on)
    _check_classes(training, "Training", "a network cannot learn it")
    _check_classes(validation, choose_on, "a model cannot be chosen on it")
    return training, validation


def _check_classes(part: Dataset, split: str, consequence: str) -> None:
    low, high, last = int(part.labels.min()), int(part.labels.max()), len(EMOTIONS) - 1
    if low < 0 or high > last:
        raise DataError(
            f"{split} of {part.name} has labels from {low} to {high}; expected 0 to {last}, which "
            f"are {', '.join(EMOTIONS)}."
        )
    missing = [name for i, name in enumerate(EMOTIONS) if not (part.labels == i).any()]
    if missing:
        raise DataError(
            f"{split} of {part.name} shows no image of {', '.join(missing)}: {consequence}. "
            f"Expected all of: {', '.join(EMOTIONS)}."
        )


def _finish(
    out: Path, recipe: Recipe, run: Run, state: RunState, data: Dataset, choose_on: str
) -> ModelContract:
    """Save the epoch that is kept as the model of the run, with what it reached and its faces."""
    if not state.best_epoch:
        raise FerEdgeError(f"No epoch of {out} was finished; there is nothing to save.")
    # In float32, and without what was only there to teach it.
    network = build_network(recipe)
    read_arrays(best_path(out, state.best_epoch), network=network.weights)
    made_from = {
        "left_out_sha256": run.left_out,
        "teachers": list(run.teachers.digests),
        "start_sha256": run.start_sha256 or "",
    }
    words = Words(run.name, run.variant, run.licence)
    return finish(out, network, recipe, state, data, choose_on, made_from, words)
