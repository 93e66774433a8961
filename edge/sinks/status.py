"""What is read right now and how the loop runs, on standard error: enough over ssh."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..records import Reading, Result
from ..telemetry import Snapshot

# Four times a second is as fast as people read; a log gets a line every five seconds.
_LIVE_EVERY_S, _LINE_EVERY_S = 0.25, 5.0


class StatusSink:
    """A table that renews itself on a terminal, plain lines elsewhere, and a summary at the end."""

    def __init__(self, snapshot: Callable[[], Snapshot], *, camera: str, live: bool | None = None):
        """Choose the form; it starts with ``with``.

        Args:
            snapshot: Where the figures come from (``Pipeline.snapshot``).
            camera: What to call the camera.
            live: Whether to redraw in place; None does so where standard error is a terminal.
        """
        self._snapshot, self._camera = snapshot, camera
        self._console = Console(file=sys.stderr, highlight=False, markup=False)
        self._live = self._console.is_terminal if live is None else live
        self._screen = Live(console=self._console, auto_refresh=False, transient=True)
        self._due_s = 0.0

    def __enter__(self) -> Self:
        self._console.print(f"fer-edge: {self._camera}; Ctrl-C ends it", soft_wrap=True)
        if self._live:
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
            self._screen.update(_table(result.readings, snapshot), refresh=True)
        else:
            self._due_s = now + _LINE_EVERY_S
            self._console.print(
                f"frame {result.frame.index}: {faces_line(result.readings)} | "
                f"{rates_line(snapshot)}",
                soft_wrap=True,
            )

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._screen.stop()
        snapshot = self._snapshot()
        self._console.print(
            f"fer-edge: {snapshot.delivered} results of {snapshot.captured} frames "
            f"({snapshot.dropped} dropped), {snapshot.total_fps:.1f} frames/s, age "
            f"{snapshot.age_ms:.0f} ms median, {snapshot.age_p95_ms:.0f} ms p95",
            soft_wrap=True,
        )


def faces_line(readings: Sequence[Reading]) -> str:
    """The faces of a result in a few words."""
    faces = (f"#{reading.face.id} {reading.label} {reading.score:.0%}" for reading in readings)
    return ", ".join(faces) or "no face"


def rates_line(snapshot: Snapshot) -> str:
    """The figures of the loop in a line."""
    rates = ", ".join(f"{stage} {fps:.1f}" for stage, fps in snapshot.fps.items())
    return (
        f"frames/s: {rates} | dropped {snapshot.dropped} | age {snapshot.age_ms:.0f} ms, "
        f"p95 {snapshot.age_p95_ms:.0f} ms"
    )


def _table(readings: Sequence[Reading], snapshot: Snapshot) -> Group:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for reading in readings:
        bar = "█" * round(reading.score * 20)
        table.add_row(f"#{reading.face.id}", reading.label, f"{bar:<20} {reading.score:4.0%}")
    if not readings:
        table.add_row("", "no face", "")
    return Group(table, Text(rates_line(snapshot), style="dim"))
