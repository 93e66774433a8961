"""Events as JSON lines, schema version 1: documented in docs/records.md."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Self

from ..events import Event, EventLog
from ..records import Result
from .jsonl import json_line, utc_text
from .lines import TextOutput

SCHEMA_VERSION = 1


def event_document(event: Event) -> dict[str, Any]:
    """An event as the object of one line."""
    document: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "event": event.kind,
        "time": utc_text(event.unix_s),
        "at_s": round(event.at_s, 3),
        "face": event.face,
        "label": event.label,
    }
    if event.kind == "emotion":
        document |= {"before": event.before, "duration_s": round(event.duration_s, 3)}
    elif event.kind == "left":
        document["duration_s"] = round(event.duration_s, 3)
        document["seconds"] = {label: round(s, 3) for label, s in event.seconds.items()}
    return document


class EventsSink:
    """Writes a line a change, and one at the beginning and at the end of the run."""

    def __init__(
        self,
        target: str,
        *,
        camera: str,
        labels: Sequence[str],
        overwrite: bool = False,
        append: bool = False,
    ):
        """Choose the target; it is opened by ``with``.

        Args:
            target: A file, or ``-`` for standard output.
            camera: Its name, for the first line.
            labels: What the model can say.
            overwrite: Whether a file that exists may be replaced.
            append: Whether to go on at the end of one that exists instead.

        Raises:
            SinkError: As of :class:`.lines.TextOutput`.
        """
        self._output = TextOutput(target, "events", overwrite=overwrite, append=append)
        self._log = EventLog()
        self._camera, self._labels = camera, list(labels)
        self._results = self._last_ns = 0
        self._first_ns: int | None = None

    def __enter__(self) -> Self:
        begin = {"camera": self._camera, "labels": self._labels}
        self._output.start(self._frame("started", begin))
        return self

    def write(self, result: Result) -> None:
        """Write what the result changes; mostly nothing.

        Raises:
            SinkError: The disk is full, or the file is gone.
            BrokenPipeError: Whoever read the standard output has left.
        """
        self._results += 1
        self._last_ns = result.frame.time_ns
        if self._first_ns is None:
            self._first_ns = self._last_ns
        self._output.write(_lines(self._log.update(result)))

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if self._output.open:
                first_ns = self._last_ns if self._first_ns is None else self._first_ns
                watched_s = (self._last_ns - first_ns) / 1e9
                end = {"results": self._results, "duration_s": round(watched_s, 3)}
                self._output.write(_lines(self._log.end()))
                self._output.write(self._frame("ended", end), counts=False)
        finally:
            self._output.__exit__(kind, *rest)

    def _frame(self, name: str, said: dict[str, Any]) -> str:
        head = {"schema": SCHEMA_VERSION, "event": name, "time": utc_text(time.time())}
        return json_line({**head, **said})


def _lines(events: Iterable[Event]) -> str:
    return "".join(json_line(event_document(event)) for event in events)
