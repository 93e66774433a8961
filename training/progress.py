"""How far a training run is, for somebody who watches or who reads the log later."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import keras
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress(keras.callbacks.Callback):
    """A line an epoch on standard error, and on a terminal a bar with the time left below it."""

    def __init__(
        self,
        history: list[dict[str, float]],
        epochs: int,
        steps: int,
        measure: str = "accuracy",
    ):
        """Take what is told.

        Args:
            history: Of the run; the callback that validates appends to it before this one.
            epochs: Of the whole run.
            steps: Of an epoch.
            measure: The figure beside the loss, as ``val_`` and this and, if there is one, as this.
        """
        super().__init__()
        self._measure = measure
        self._history, self._epochs, self._steps = history, epochs, steps
        self._first, self._began = len(history), time.monotonic()
        self._console = Console(file=sys.stderr, markup=False)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar by a batch."""
        loss = (logs or {}).get("loss", 0.0)
        epoch = len(self._history) + 1
        self._bar.update(
            self._task,
            advance=1,
            description=f"epoch {epoch}/{self._epochs} loss {loss:.3f}",
        )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Print the epoch's line."""
        entry, epochs = self._history[-1], self._epochs
        measure = self._measure
        best = max(item[f"val_{measure}"] for item in self._history)
        own = f"{measure} {entry[measure]:.4f}  " if measure in entry else ""
        taken = (time.monotonic() - self._began) / (epoch + 1 - self._first)
        left = round(taken * (epochs - epoch - 1))
        self._console.print(
            f"epoch {epoch + 1:3}/{epochs}  loss {entry['loss']:.4f}  "
            f"{own}validation {entry[f'val_{measure}']:.4f} "
            f"(best {best:.4f})  {taken:.0f} s an epoch, left {left // 60} min {left % 60:02} s",
            highlight=False,
            soft_wrap=True,
        )

    @contextmanager
    def on_screen(self) -> Iterator[None]:
        """Show the bar within the block; however the run ends, the terminal is left in order."""
        total = (self._epochs - self._first) * self._steps
        self._task = self._bar.add_task("training", total=total)
        with self._bar:
            yield
