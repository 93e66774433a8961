"""Reads what ``run --events`` wrote: who was there when, and what was said of them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..edge.errors import DataError
from ..edge.sinks.events import SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which one label was said of a face, in seconds since 1970; None: nothing was."""

    label: str | None
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Visit:
    """A face from its first to its last sight.

    Attributes:
        run: Number of the run, from 1 on.
        face: Its number in that run.
        spans: What was said of it, in order, without gaps; of no length where it was seen once.
        told: Whether the end was told; not so where the record was cut off.
    """

    run: int
    face: int
    spans: tuple[Span, ...]
    told: bool

    @property
    def from_s(self) -> float:
        """First sight, in seconds since 1970."""
        return self.spans[0].from_s

    @property
    def duration_s(self) -> float:
        """Seconds from first to last sight."""
        return self.spans[-1].to_s - self.spans[0].from_s

    def seconds(self) -> dict[str, float]:
        """How long each label was said."""
        return seconds_of([self])


@dataclass(frozen=True, slots=True)
class Diary:
    """All that some files of events tell.

    Attributes:
        labels: All that could be said, in the order of the model's contract.
        runs: How many runs.
        watched_s: Seconds of all runs together, by their ends or the last event of each.
        visits: By their begin.
        notes: What was missing or left out, in sentences.
    """

    labels: tuple[str, ...]
    runs: int
    watched_s: float
    visits: tuple[Visit, ...]
    notes: tuple[str, ...] = ()


def seconds_of(visits: Iterable[Visit]) -> dict[str, float]:
    """How long each label was said, of all visits together."""
    whole: dict[str, float] = {}
    for visit in visits:
        for span in visit.spans:
            if span.label is not None:
                whole[span.label] = whole.get(span.label, 0.0) + span.to_s - span.from_s
    return whole


@dataclass(slots=True)
class _Run:
    """What is known of a run while its lines are read. Times are those of the stream."""

    number: int
    began_s: float
    watched_s: float = 0.0
    ended: bool = False
    #: Of each face that is there: when it came on the wall clock and in the stream, and its spans.
    faces: dict[int, tuple[float, float, list[Span]]] = field(default_factory=dict)


def read_diary(paths: Iterable[Path]) -> Diary:
    """Read files of events, each of one run or of several one after the other.

    A line that is cut, as a power failure leaves the last one, is left out and noted; a face whose
    leaving is not told is taken to have left at the last event of its run.

    Raises:
        DataError: A file cannot be read, holds no event, or is of another schema version.
    """
    labels: dict[str, None] = {}
    visits: list[Visit] = []
    runs: list[_Run] = []
    notes: list[str] = []
    for path in paths:
        run: _Run | None = None
        for event in _events(path, notes):
            if event["event"] == "started":
                _close(run, visits, notes, path)
                labels |= dict.fromkeys(event["labels"])
                run = _Run(len(runs) + 1, _unix_s(event["time"]))
                runs.append(run)
            elif run is None:
                raise DataError(
                    f"{path} does not begin with a `started` line: is its head cut off?"
                )
            elif event["event"] == "ended":
                run.ended, run.watched_s = True, max(run.watched_s, event["duration_s"])
            else:
                visits += _take(run, event)
        _close(run, visits, notes, path)
    return Diary(
        tuple(labels),
        len(runs),
        sum(run.watched_s for run in runs),
        tuple(sorted(visits, key=lambda visit: visit.from_s)),
        tuple(notes),
    )


def _events(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """The whole and sound lines of a file."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as exc:
        raise DataError(f"Cannot read {path}: {exc.strerror}.") from exc
    bad: list[int] = []
    good = 0
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            version = event["schema"]
        except (ValueError, TypeError, KeyError):
            bad.append(number)
            continue
        if version != SCHEMA_VERSION:
            raise DataError(
                f"{path}, line {number}: schema {version!r}; this fer-edge reads {SCHEMA_VERSION}."
            )
        if not _is_sound(event):
            bad.append(number)
            continue
        good += 1
        yield event
    if not good:
        raise DataError(f"{path} holds no event. Expected what `fer-edge run --events` writes.")
    if bad == [len(lines)]:
        notes.append(f"The last line of {path.name} is cut and was left out.")
    elif bad:
        shown = ", ".join(map(str, bad[:3])) + (", …" if len(bad) > 3 else "")
        notes.append(f"{len(bad)} lines of {path.name} are damaged and were left out: {shown}.")


_KINDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "started": {"labels": list},
    "appeared": {"face": int, "at_s": (int, float)},
    "emotion": {"face": int, "at_s": (int, float)},
    "left": {"face": int, "at_s": (int, float)},
    "ended": {"duration_s": (int, float)},
}


def _is_sound(event: dict[str, Any]) -> bool:
    """Whether an event has what is read of it."""
    wanted = _KINDS.get(str(event.get("event")))
    if wanted is None or not all(isinstance(event.get(key), kind) for key, kind in wanted.items()):
        return False
    if "face" in wanted and not isinstance(event.get("label"), str | None):
        return False
    try:
        _unix_s(event["time"])
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _unix_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _take(run: _Run, event: dict[str, Any]) -> list[Visit]:
    """Follow one face by one event; its visit when it leaves."""
    number, at_s = event["face"], float(event["at_s"])
    run.watched_s = max(run.watched_s, at_s)
    if event["event"] == "appeared" or number not in run.faces:
        unix_s = _unix_s(event["time"])
        run.faces[number] = (unix_s, at_s, [Span(event["label"], unix_s, unix_s)])
    else:
        _go_on(run.faces[number], at_s)
        if event["event"] == "emotion":
            spans = run.faces[number][2]
            spans.append(Span(event["label"], spans[-1].to_s, spans[-1].to_s))
    if event["event"] != "left":
        return []
    return [Visit(run.number, number, tuple(run.faces.pop(number)[2]), told=True)]


def _go_on(face: tuple[float, float, list[Span]], at_s: float) -> None:
    """Lengthen the last span of a face to a time of the stream."""
    came_s, came_at_s, spans = face
    last = spans[-1]
    spans[-1] = Span(last.label, last.from_s, max(last.from_s, came_s + at_s - came_at_s))


def _close(run: _Run | None, visits: list[Visit], notes: list[str], path: Path) -> None:
    """End the visits of a run whose record was cut off."""
    if run is None:
        return
    for number, face in run.faces.items():
        _go_on(face, run.watched_s)
        visits.append(Visit(run.number, number, tuple(face[2]), told=False))
    run.faces.clear()
    if not run.ended:
        notes.append(f"The end of run {run.number} in {path.name} was not recorded.")
