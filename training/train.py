"""Train a plain convolutional net on FER-2013. Read it from top to bottom.

What goes in: raw grey pixels 0..255. What comes out: a run folder with

* ``model.keras``: the epoch that was best on PublicTest, without optimiser state,
* ``model.contract.json``: what it is, eats and answers (``fer_edge.edge.contract``),
* ``model.calibration.npz``: a few hundred balanced training faces, for the int8 conversion,
* ``recipe.json``, ``log.csv``: how it was made,
* ``checkpoints/``: the last and the best epoch, from which a killed run goes on.
"""

import csv
import dataclasses
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..edge.contract import ModelContract
from ..edge.errors import FerEdgeError, UsageError
from ..edge.files import replacing
from ..edge.framing import FER2013, to_float
from ..edge.sidecar import write_sidecar
from .architectures import plain_net
from .augment import Augmentation, augment
from .datasets import EMOTIONS, SIDE_PX, Dataset, balanced_indices
from .progress import Progress

# ---------------------------------------------------------------------------------- the recipe


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every number that shapes a run, with the reason for its default."""

    # 1.2 M parameters, 1.2 MB in int8, 96 M multiply-adds. Pooling right behind the stem halves the
    # time of an epoch against a second convolution at 48x48, where two cores wait for memory.
    stem: int = 32
    widths: tuple[int, ...] = (64, 128, 256)
    dropout: float = 0.3
    # The loss on PublicTest still falls at the end; longer gains less than a point at this size.
    epochs: int = 28
    batch: int = 128
    # The largest rate that two warm-up epochs carry without a jump in the loss; cosine down to 0.
    peak_rate: float = 0.06
    warmup_epochs: float = 2.0
    momentum: float = 0.9
    # Decoupled from the gradient in Keras, so ten times PyTorch's usual 5e-4 at momentum 0.9.
    weight_decay: float = 5e-3
    # One label in ten of FER-2013 is wrong: full confidence would be learnt from those too.
    label_smoothing: float = 0.1
    augmentation: Augmentation = field(default_factory=Augmentation)
    # 100 a class, so that the ranges of the int8 conversion do not follow the 25 % happy ones.
    calibration_per_class: int = 100
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON values."""
        return dataclasses.asdict(self)


# ------------------------------------------------------------------------------------- the data


class Batches(keras.utils.PyDataset):
    """Shuffled, augmented batches; epoch and position alone decide what each one holds."""

    def __init__(self, data: Dataset, recipe: Recipe):
        super().__init__()
        self._data, self._recipe = data, recipe
        self._targets = one_hot(data.labels)
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Shuffle for an epoch, counted from 0.

        Seeded by the epoch, so that a resumed run sees what the uninterrupted one would have.
        Called by :class:`EpochStart` and not by Keras's ``on_epoch_end``, which comes once more
        before the first epoch.
        """
        self._epoch = epoch
        generator = np.random.default_rng((self._recipe.seed, epoch))
        self._order = generator.permutation(len(self._data))

    def __len__(self) -> int:
        return math.ceil(len(self._data) / self._recipe.batch)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        size = self._recipe.batch
        rows = self._order[index * size : (index + 1) * size]
        generator = np.random.default_rng((self._recipe.seed, self._epoch, index))
        faces = augment(self._data.images[rows], self._recipe.augmentation, generator)
        return faces[..., np.newaxis], self._targets[rows]


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Labels ``(n,)`` as float32 ``(n, 7)``."""
    return np.eye(len(EMOTIONS), dtype=np.float32)[labels]


# ------------------------------------------------------------------------------------ the model


def build(recipe: Recipe, steps_per_epoch: int) -> keras.Model:
    """The untrained, compiled model of a recipe."""
    model = plain_net(stem=recipe.stem, widths=recipe.widths, dropout=recipe.dropout)
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    # Keras takes a schedule for a rate, but its annotations do not say so.
    rate: Any = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=recipe.peak_rate,
        warmup_steps=warmup,
        decay_steps=max(1, recipe.epochs * steps_per_epoch - warmup),
    )
    optimiser = keras.optimizers.SGD(
        rate, momentum=recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay
    )
    # Only the kernels: shrinking a batch norm's scale and shift regularises nothing.
    optimiser.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    model.compile(
        optimizer=optimiser,
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        metrics=["accuracy"],
    )
    return model


class EpochStart(keras.callbacks.Callback):
    """Sets all chance of an epoch from the seed, because no checkpoint holds its state."""

    def __init__(self, batches: Batches, seed: int):
        super().__init__()
        self._batches, self._seed, self._steps = batches, seed, len(batches)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Shuffle the images, and put every dropout where an uninterrupted run would have it."""
        self._batches.begin(epoch)
        model: Any = self.model
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                layer.seed_generator.state.assign([self._seed, epoch * self._steps])


# ------------------------------------------------------------------------------------ the state


@dataclass(slots=True)
class RunState:
    """What is known of a run after its last whole epoch; ``checkpoints/state.json`` on disk."""

    history: list[dict[str, float]]
    best_epoch: int = 0

    @property
    def epochs_done(self) -> int:
        """Number of whole epochs."""
        return len(self.history)


class Checkpoint(keras.callbacks.Callback):
    """Writes the model after each epoch, so that the run can be killed at any moment.

    The state file names whole checkpoints only and is replaced in one step after them; a kill in
    between leaves the one before. Best and last are kept, the others deleted.
    """

    def __init__(self, out: Path, state: RunState):
        super().__init__()
        self._out, self._state = out, state

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Stop at the first batch whose loss is no number."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise FerEdgeError(
                f"The loss became {loss} in epoch {self._state.epochs_done + 1}, batch {batch + 1}."
                f" Lower the learning rate. Epochs before it are kept in {self._out}/checkpoints."
            )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Save the model, then the state, then the log."""
        state, done = self._state, epoch + 1
        state.history.append({"epoch": done, **{k: float(v) for k, v in (logs or {}).items()}})
        scores = [entry["val_accuracy"] for entry in state.history]
        state.best_epoch = scores.index(max(scores)) + 1
        model: Any = self.model
        _write_whole(checkpoint_path(self._out, done), model.save)
        _write_whole(
            self._out / "checkpoints" / "state.json",
            lambda path: Path(path).write_text(json.dumps(dataclasses.asdict(state), indent=1)),
        )
        keep = {checkpoint_path(self._out, done), checkpoint_path(self._out, state.best_epoch)}
        for old in set((self._out / "checkpoints").glob("epoch-*.keras")) - keep:
            old.unlink()
        _write_whole(self._out / "log.csv", lambda path: _write_log(Path(path), state.history))


def checkpoint_path(out: Path, epoch: int) -> Path:
    """Where the model after an epoch (counted from 1) lies."""
    return out / "checkpoints" / f"epoch-{epoch:03d}.keras"


def load_checkpoint(out: Path, epoch: int) -> Any:
    """The compiled model after an epoch, with its optimiser's state."""
    return keras.saving.load_model(checkpoint_path(out, epoch), safe_mode=True)


def _restore(model: keras.Model, saved: Any) -> None:
    """Give a fresh model the weights and the optimiser's state of a saved one.

    The saved one itself cannot go on: which weights are left out of the decay is not saved with it.
    """
    optimiser: Any = model.optimizer
    optimiser.build(model.trainable_variables)
    for new, old in zip(model.variables, saved.variables, strict=True):
        new.assign(old)
    for new, old in zip(optimiser.variables, saved.optimizer.variables, strict=True):
        new.assign(old)


def _write_whole(path: Path, write: Callable[[str], object]) -> None:
    """Write a file by way of another name, so that it is whole or as it was before."""
    try:
        with replacing(path) as partial:
            write(str(partial))
    except OSError as exc:
        raise FerEdgeError(
            f"Cannot write {path}: {exc.strerror}. What was there before is kept; make room and "
            f"go on with --resume."
        ) from exc


def _write_log(path: Path, history: list[dict[str, float]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


# -------------------------------------------------------------------------------------- the run


def train(
    data: Dataset, out: Path, recipe: Recipe, *, resume: bool = False, licence: str = ""
) -> ModelContract:
    """Train, choose the best epoch on PublicTest (or on a carved validation split), and save it.

    Args:
        data: With Training rows.
        out: The run folder; it must be new or empty, unless ``resume``.
        recipe: The hyper-parameters; a resumed run must have been started with the same.
        resume: Go on after the last whole epoch of the run in ``out``.
        licence: Terms of the weights, for the contract.

    Returns:
        The contract of ``out/model.keras``.

    Raises:
        UsageError: ``out`` holds something else, or nothing to resume, or another recipe's run.
        DataError: The data has no Training rows.
        FerEdgeError: The loss stopped being a number, or the disk is full.
    """
    data, choose_on = data.with_validation(seed=recipe.seed)
    training, validation = data.split("Training"), data.split(choose_on)
    state = _open_run(out, recipe, data.digest, resume=resume)
    keras.utils.set_random_seed(recipe.seed)
    batches = Batches(training, recipe)
    model = build(recipe, len(batches))
    if state.epochs_done:
        _restore(model, load_checkpoint(out, state.epochs_done))
    print(
        f"{model.count_params():,} parameters; {len(training)} images to train on, choosing on "
        f"{len(validation)} of {choose_on}; backend {keras.backend.backend()}",
        file=sys.stderr,
    )
    progress = Progress(state.history)
    with progress.on_screen():
        model.fit(
            batches,
            validation_data=(to_float(validation.images), one_hot(validation.labels)),
            initial_epoch=state.epochs_done,
            epochs=recipe.epochs,
            shuffle=False,  # Batches does it; Keras would do it again, and not by the seed
            callbacks=[
                EpochStart(batches, recipe.seed),
                Checkpoint(out, state),
                progress,
            ],
            verbose=0,  # type: ignore[arg-type] - annotated as str, documented as 0, 1 or 2
        )
    return _finish(out, recipe, state, data, choose_on, licence)


def _open_run(out: Path, recipe: Recipe, data_sha256: str, *, resume: bool) -> RunState:
    """Make the run folder, or read back the state of the run in it."""
    text = json.dumps({**recipe.to_dict(), "data_sha256": data_sha256}, indent=1)
    saved = out / "recipe.json"
    if resume:
        if not saved.is_file():
            raise UsageError(f"There is no run to resume in {out}: it has no recipe.json.")
        if json.loads(saved.read_text()) != json.loads(text):
            raise UsageError(
                f"{saved} is of another recipe or other data than asked for; start a new --out."
            )
        state = out / "checkpoints" / "state.json"
        return RunState(**json.loads(state.read_text())) if state.is_file() else RunState([])
    try:
        if out.exists() and any(out.iterdir()):
            raise UsageError(f"{out} is not empty: pass --resume to go on, or another --out.")
        (out / "checkpoints").mkdir(parents=True)
        saved.write_text(text + "\n")
    except OSError as exc:
        raise UsageError(f"Cannot make the run folder {out}: {exc.strerror}.") from exc
    return RunState([])


def _finish(
    out: Path, recipe: Recipe, state: RunState, data: Dataset, choose_on: str, licence: str
) -> ModelContract:
    """Save the best epoch as the model of the run, with its contract and calibration faces."""
    best = load_checkpoint(out, state.best_epoch)
    # A fresh copy, because a loaded model would be saved with its optimiser's state.
    model = plain_net(stem=recipe.stem, widths=recipe.widths, dropout=recipe.dropout)
    model.set_weights(best.get_weights())
    target = out / "model.keras"
    _write_whole(target, model.save)
    training = data.split("Training")
    rows = balanced_indices(
        training.labels, per_class=recipe.calibration_per_class, seed=recipe.seed
    )
    faces = training.take(rows)
    _write_whole(
        out / "model.calibration.npz",
        lambda path: np.savez_compressed(path, images=faces.images, labels=faces.labels),
    )
    contract = ModelContract(
        name="plain",
        labels=EMOTIONS,
        input_size_wh=(SIDE_PX, SIDE_PX),
        framing=FER2013,
        output="logits",
        training_data={
            "name": data.name,
            "sha256": data.digest,
            "counts": data.counts(),
            "skipped": data.skipped,
            "chosen_on": choose_on,
        },
        recipe={**recipe.to_dict(), "best_epoch": state.best_epoch},
        metrics=(
            {
                "name": "accuracy",
                "value": round(state.history[state.best_epoch - 1]["val_accuracy"], 5),
                "split": choose_on,
                "count": data.counts()[choose_on],
                "of": "float",
            },
        ),
        licence=licence,
    )
    return write_sidecar(target, contract)
