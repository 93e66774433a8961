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

    def __init__(self, history: list[dict[str, float]]):
        """Take the run's history, which the checkpoint callback appends to before this one."""
        super().__init__()
        self._history = history
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

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start the bar where the run starts."""
        self._first, self._began = len(self._history), time.monotonic()
        params = self.params or {}
        steps, self._epochs = params["steps"], params["epochs"]
        self._task = self._bar.add_task("training", total=(self._epochs - self._first) * steps)

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
        best = max(item["val_accuracy"] for item in self._history)
        taken = (time.monotonic() - self._began) / (epoch + 1 - self._first)
        left = round(taken * (epochs - epoch - 1))
        self._console.print(
            f"epoch {epoch + 1:3}/{epochs}  loss {entry['loss']:.4f}  "
            f"accuracy {entry['accuracy']:.4f}  validation {entry['val_accuracy']:.4f} "
            f"(best {best:.4f})  {taken:.0f} s an epoch, left {left // 60} min {left % 60:02} s",
            highlight=False,
            soft_wrap=True,
        )

    @contextmanager
    def on_screen(self) -> Iterator[None]:
        """Show the bar within the block; however the run ends, the terminal is left in order."""
        with self._bar:
            yield
