"""What happens around the epochs of a run: validation, checkpoints, the rate, the end, the plot.

EarlyStopping and ReduceLROnPlateau are Keras's own, told the history of a resumed run; TensorBoard
is Keras's too. ModelCheckpoint's and CSVLogger's work is done by :class:`AfterEpoch` and
:class:`SaveState`, because theirs is not whole after a kill (docs/decisions/0008-checkpoints.md).
"""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..edge.errors import FerEdgeError
from ..edge.framing import to_float
from ..edge.records import Image
from .checkpoints import RunState, best_path, checkpoint_path, write_arrays, write_state
from .datasets import Dataset
from .mirror import settle
from .norms import drawn, measure_norms, norm_statistics
from .recipes import Recipe, Schedule


class FiniteLoss(keras.callbacks.Callback):
    """Stops at the first batch whose loss is no number."""

    def __init__(self, out: Path, state: RunState):
        super().__init__()
        self._out, self._state = out, state

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Look at the loss, which is the epoch's mean so far: once NaN, always NaN."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            when = f"epoch {self._state.epochs_done + 1}, batch {batch + 1}"
            raise _not_finite("loss", loss, when, self._out)


class AfterEpoch(keras.callbacks.Callback):
    """Validates after each epoch and saves the weights; :class:`SaveState` then names them.

    ``logs`` gets the figures of :meth:`validate`, ``learning_rate`` and ``seconds``, for this
    history and for the callbacks behind this one.
    """

    #: The figure of :meth:`validate` by which the best epoch is chosen; the larger the better.
    best_by = "val_accuracy"

    def __init__(
        self,
        out: Path,
        state: RunState,
        network: keras.Model,
        learnt: Sequence[Any],
        keep: str,
        *,
        average: bool,
        normed_by: Image | None = None,
    ):
        """Take what is validated and saved.

        Args:
            out: The run folder.
            state: Of the run; it gets the figures.
            network: Whose weights the best epoch's file holds.
            learnt: All weights that a checkpoint holds.
            keep: ``best`` or ``last``, of :class:`.recipes.Schedule`.
            average: Whether the optimiser averages the weights, which are then what is validated.
            normed_by: Images over which batch norm's statistics are measured before; uint8,
                ``(n, height, width)``. None leaves those of the last steps.
        """
        super().__init__()
        self._out, self._state, self._network = out, state, network
        self._learnt, self._keep = learnt, keep
        self._average, self._normed_by = average, normed_by

    def validate(self, logs: dict[str, Any]) -> dict[str, float]:
        """The figures of the network as it is, ``val_loss`` and :attr:`best_by` among them."""
        raise NotImplementedError

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Validate (the averaged weights, if any), save what is kept and all that is learnt."""
        state, done = self._state, epoch + 1
        model: Any = self.model
        logs = {} if logs is None else logs
        with self._as_saved():
            rate: Any = keras.ops.convert_to_numpy(model.optimizer.learning_rate)
            figures = {
                "loss": logs["loss"],
                **self.validate(logs),
                "learning_rate": float(rate),
                "seconds": round(time.monotonic() - self._began, 2),
            }
            if not math.isfinite(figures["val_loss"]):
                # The last step of an epoch can spoil the weights after its loss was looked at.
                raise _not_finite(
                    "validation loss", figures["val_loss"], f"epoch {done}", self._out
                )
            scores = [*(entry[self.best_by] for entry in state.history), figures[self.best_by]]
            best = done if self._keep == "last" else scores.index(max(scores)) + 1
            if best == done:
                write_arrays(best_path(self._out, done), network=self._network.weights)
        write_arrays(
            checkpoint_path(self._out, done),
            model=self._learnt,
            optimiser=model.optimizer.variables,
        )
        logs.update(figures)
        state.history.append({"epoch": done, **{k: float(v) for k, v in figures.items()}})
        state.best_epoch = best

    @contextmanager
    def _as_saved(self) -> Iterator[None]:
        """Within the block the model is what is saved: averaged, normed, as the recipe asks."""
        model: Any = self.model
        averaged = model.trainable_variables if self._average else []
        changed = [*averaged, *norm_statistics(self._network)]
        # Copies: PyTorch's batch norm changes its statistics in place.
        own = [np.array(keras.ops.convert_to_numpy(variable)) for variable in changed]
        if self._average:
            model.optimizer.finalize_variable_values(averaged)
        if self._normed_by is not None:
            measure_norms(self._network, self._normed_by)
        settle(self._network)
        yield
        for variable, value in zip(changed, own, strict=True):
            variable.assign(value)


class EpochEnd(AfterEpoch):
    """Validates a classifier: ``val_loss`` (of the labels alone) and ``val_accuracy``."""

    def __init__(
        self,
        out: Path,
        state: RunState,
        network: keras.Model,
        learnt: Sequence[Any],
        training: Dataset,
        validation: Dataset,
        recipe: Recipe,
    ):
        """As :class:`AfterEpoch`, which ``training`` gives the images for the statistics."""
        count = recipe.norm_images
        super().__init__(
            out,
            state,
            network,
            learnt,
            recipe.schedule.keep,
            average=recipe.optimiser.average > 0,
            normed_by=drawn(training.images, count, recipe.seed) if count else None,
        )
        self._faces, self._labels = to_float(validation.images), validation.labels

    def validate(self, logs: dict[str, Any]) -> dict[str, float]:
        """The training accuracy, and loss and accuracy on the validation images."""
        answers = self._network.predict(self._faces, batch_size=256, verbose=0)  # type: ignore[arg-type]
        return {
            "accuracy": logs.get("accuracy", logs.get("logits_accuracy", math.nan)),
            **_scores(np.asarray(answers, np.float64), self._labels),
        }


class SaveState(keras.callbacks.Callback):
    """Writes what the callbacks before it have made of an epoch, in one step."""

    def __init__(self, out: Path, state: RunState):
        super().__init__()
        self._out, self._state = out, state

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write ``state.json`` and the log."""
        write_state(self._out, self._state)


def _not_finite(what: str, value: float, when: str, out: Path) -> FerEdgeError:
    return FerEdgeError(
        f"The {what} became {value} in {when}. Lower the rate (--set peak_rate=…) or limit the "
        f"gradient (--set clip_norm=1). The epochs before it are kept in {out}/checkpoints."
    )


def _scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Cross-entropy and accuracy of logits ``(n, 7)``."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    loss = (log_sum - shifted[np.arange(len(labels)), labels]).mean()
    return {"val_loss": float(loss), "val_accuracy": float((logits.argmax(1) == labels).mean())}


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's, on the validation accuracy; a resumed run goes through its history first."""

    def __init__(self, schedule: Schedule, history: list[dict[str, float]], state: RunState):
        super().__init__(monitor="val_accuracy", mode="max", patience=schedule.stop_patience)
        self._history, self._state = list(history), state

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Count as the uninterrupted run had."""
        super().on_train_begin(logs)
        for entry in self._history:
            super().on_epoch_end(int(entry["epoch"]) - 1, dict(entry))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Note in the state that the run has ended, so that it is not gone on with."""
        super().on_epoch_end(epoch, logs)
        model: Any = self.model
        if model.stop_training:
            self._state.stopped = True
            print(f"stopped early after epoch {epoch + 1}", file=sys.stderr)


class ReduceLROnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras's, on the validation loss; a resumed run goes through its history first."""

    def __init__(self, schedule: Schedule, rate: float, history: list[dict[str, float]]):
        super().__init__(
            monitor="val_loss",
            mode="min",
            factor=schedule.plateau_factor,
            patience=schedule.plateau_patience,
        )
        self._rate, self._history = rate, list(history)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Lower the rate as often as the uninterrupted run had."""
        super().on_train_begin(logs)
        model: Any = self.model
        model.optimizer.learning_rate = self._rate
        for entry in self._history:
            super().on_epoch_end(int(entry["epoch"]) - 1, dict(entry))


class HistoryPlot(keras.callbacks.Callback):
    """Renews ``history.png`` after each epoch."""

    def __init__(self, out: Path, state: RunState, measure: str = "accuracy"):
        """Take the run's folder and state, and the figure to draw beside the loss."""
        super().__init__()
        self._out, self._state, self._measure = out, state, measure

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Draw; a picture that cannot be written ends no run."""
        from .history_plot import draw_history
        from .plots import save_png

        try:
            made = draw_history(self._state.history, self._state.best_epoch, self._measure)
            save_png(made, self._out / "history.png")
        except OSError as exc:
            print(f"history.png not written: {exc.strerror}", file=sys.stderr)
