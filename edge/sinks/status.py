"""What is read right now and how the loop runs, on standard error: enough over ssh."""

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..draw import describe
from ..records import Reading, Result
from ..telemetry import Snapshot

# Four times a second is as fast as people read; a log gets a line every five seconds.
_LIVE_EVERY_S, _LINE_EVERY_S = 0.25, 5.0
# In systemd's journal a minute: it lies on an SD card, and `systemctl status` has the rates, too.
_JOURNAL_EVERY_S = 60.0
# What is said is not said again for so long.
_QUIET_S = 60.0


class _StandardError(io.TextIOBase):
    """Takes everything, and loses what cannot be written.

    rich keeps what a stream refused and tries again, more each time; and when nobody reads a pipe
    any more it ends the process.
    """

    def __init__(self, stream: TextIO | None):
        # Kept, because rich puts a stream of its own in the place of sys.stderr.
        self._stream = stream and _unbuffered(stream)

    @property
    def encoding(self) -> str:
        """Of the stream, so that rich knows what it can draw."""
        return getattr(self._stream, "encoding", "utf-8")

    def isatty(self) -> bool:
        """Whether somebody looks at it."""
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write, or not."""
        self._lossy(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        self._lossy(lambda stream: stream.flush())

    def _lossy(self, work: Callable[[TextIO], object]) -> None:
        if self._stream is not None:
            with suppress(OSError, ValueError):
                work(self._stream)


def _unbuffered(stream: TextIO) -> TextIO:
    """The same stream, which keeps nothing back.

    What a buffer keeps because it could not be written Python tries again at its end, and makes
    exit code 120 of it when that fails too.
    """
    try:
        raw = io.FileIO(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        # No file: a stand-in for one, such as that of a test.
        return stream
    return io.TextIOWrapper(
        raw, encoding=stream.encoding, errors=stream.errors, newline="\n", write_through=True
    )


class StatusSink:
    """A table that renews itself on a terminal, plain lines elsewhere, and a summary at the end.

    :meth:`say` may be called from any thread, also before and after ``with``. Nothing here raises
    because standard error cannot be written: what is meant for people is no reason to end the loop.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        *,
        camera: str,
        live: bool | None = None,
        board: Callable[[], str] | None = None,
    ):
        """Choose the form; it starts with ``with``.

        Args:
            snapshot: Where the figures come from (``Pipeline.snapshot``).
            camera: What to call the camera.
            live: Whether to redraw in place; None does so where standard error is a terminal.
            board: What to say of the machine in the summary (``BoardMonitor.summary_line``).
        """
        self._snapshot, self._camera, self._board = snapshot, camera, board
        stream = cast(TextIO, _StandardError(sys.stderr))
        self._console = Console(file=stream, highlight=False, markup=False)
        self._said_s: dict[str, float] = {}
        self._lock = threading.Lock()
        self._live = self._console.is_terminal if live is None else live
        self._screen = Live(console=self._console, auto_refresh=False, transient=True)
        self._line_every_s = _LINE_EVERY_S
        self._due_s = 0.0

    def __enter__(self) -> Self:
        journal = "JOURNAL_STREAM" in os.environ
        self._line_every_s = _JOURNAL_EVERY_S if journal else _LINE_EVERY_S
        self._print(f"fer-edge: {self._camera}" + ("" if journal else "; Ctrl-C ends it"))
        if self._live:
            with self._lock:
                self._screen.start()
        else:
            # The rates of the first moments say nothing yet.
            self._due_s = time.monotonic() + 1.0
        return self

    def write(self, result: Result) -> None:
        """Renew the status if it is time to."""
        now = time.monotonic()
        if now < self._due_s:
            return
        snapshot = self._snapshot()
        if self._live:
            self._due_s = now + _LIVE_EVERY_S
            with self._lock:
                self._screen.update(_table(result.readings, snapshot), refresh=True)
        else:
            self._due_s = now + self._line_every_s
            faces, rates = faces_line(result.readings), rates_line(snapshot)
            self._print(f"frame {result.frame.index}: {faces} | {rates}")

    def say(self, text: str) -> None:
        """Print a line above the table, unless the same was said less than a minute ago."""
        now = time.monotonic()
        with self._lock:
            self._said_s = {t: at for t, at in self._said_s.items() if now - at < _QUIET_S}
            if text in self._said_s:
                return
            self._said_s[text] = now
        self._print(f"fer-edge: {text}")

    def __exit__(self, *_: object) -> None:
        if self._live:
            with self._lock:
                self._screen.stop()
        if self._board is not None and (board := self._board()):
            self._print(f"fer-edge: {board}")
        self._print(f"fer-edge: {summary_line(self._snapshot())}")

    def _print(self, line: str) -> None:
        with self._lock:
            self._console.print(line, soft_wrap=True)


def faces_line(readings: Sequence[Reading]) -> str:
    """The faces of a result in a few words."""
    return ", ".join(_who(reading) + " " + describe(reading) for reading in readings) or "no face"


def summary_line(snapshot: Snapshot) -> str:
    """The whole run in a line; what did not happen is left out."""
    events = ((snapshot.reconnects, "reconnects"), (snapshot.abandoned, "abandoned threads"))
    told = [f"{count} {event}" for count, event in events if count]
    return ", ".join(
        (
            f"{snapshot.delivered} results of {snapshot.captured} frames "
            f"({snapshot.dropped} dropped)",
            f"{snapshot.total_fps:.1f} frames/s",
            f"age {snapshot.age_ms:.0f} ms median",
            f"{snapshot.age_p95_ms:.0f} ms p95",
            *told,
        )
    )


def _who(reading: Reading) -> str:
    """The number of a face, with a tilde where it was followed and not detected."""
    return f"{'' if reading.face.detected else '~'}#{reading.face.id}"


def rates_line(snapshot: Snapshot) -> str:
    """The figures of the loop in a line."""
    rates = ", ".join(f"{stage} {fps:.1f}" for stage, fps in snapshot.fps.items())
    line = (
        f"frames/s: {rates} | dropped {snapshot.dropped} | age {snapshot.age_ms:.0f} ms, "
        f"p95 {snapshot.age_p95_ms:.0f} ms"
    )
    return f"{line} | detections x{snapshot.stretch:.1f} apart" if snapshot.stretch > 1 else line


def _table(readings: Sequence[Reading], snapshot: Snapshot) -> Group:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for reading in readings:
        bar = "█" * round(reading.score * 20)
        score = f"{bar:<20} {reading.score:4.0%}" if reading.label is not None else ""
        table.add_row(_who(reading), reading.label or describe(reading), score)
    if not readings:
        table.add_row("", "no face", "")
    return Group(table, Text(rates_line(snapshot), style="dim"))
