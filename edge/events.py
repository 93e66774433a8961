"""What changes from result to result: a face comes, shows another emotion, goes. Pure."""

from dataclasses import dataclass, field
from typing import Literal

from .records import Reading, Result

# Longer than the tracker hides a face that it has not given up, so that nobody leaves and comes
# back with the same number.
_GONE_NS = 1_000_000_000

Kind = Literal["appeared", "emotion", "left"]


@dataclass(frozen=True, slots=True)
class Event:
    """A change.

    Attributes:
        kind: ``appeared``: a face was seen for the first time; ``emotion``: another label is said
            of it, or none any more; ``left``: it was not seen for a second, or the run ended.
        face: Its number.
        unix_s: When, on the wall clock of the capture: of ``left``, when it was seen last.
        at_s: The same in the time of the stream, in seconds from its first frame: a clip is read
            faster than it was filmed.
        label: What is said of the face now; of ``left``, what was said last; or None.
        before: Of ``emotion``: what was said until now, or None.
        duration_s: Of ``emotion``: how long that was said; of ``left``: from first to last sight;
            of ``appeared`` 0.
        seconds: Of ``left``: how long each label was said, in the order in which they were said
            first; what is missing to the duration, nothing was said.
    """

    kind: Kind
    face: int
    unix_s: float
    at_s: float
    label: str | None
    before: str | None = None
    duration_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Seen:
    """A face that is there."""

    first_ns: int
    last_ns: int
    last_unix_s: float
    label: str | None = None
    since_ns: int = 0
    said_ns: dict[str, int] = field(default_factory=dict)


class EventLog:
    """Turns results into events. It holds the faces that are there and nothing else."""

    def __init__(self) -> None:
        self._faces: dict[int, _Seen] = {}
        self._start_ns: int | None = None

    def update(self, result: Result) -> list[Event]:
        """The changes that a result brings, oldest first; faces without a number are left out."""
        now_ns, unix_s = result.frame.time_ns, result.frame.captured_unix_s
        if self._start_ns is None:
            self._start_ns = now_ns
        events = self._leave(now_ns - _GONE_NS)
        for reading in result.readings:
            if reading.face.id is not None:
                events += self._see(reading.face.id, reading, now_ns, unix_s)
        return events

    def end(self) -> list[Event]:
        """The leaving of all who are still there."""
        return self._leave(None)

    def _see(self, number: int, reading: Reading, now_ns: int, unix_s: float) -> list[Event]:
        events = []
        face = self._faces.get(number)
        if face is None:
            face = self._faces[number] = _Seen(now_ns, now_ns, unix_s, since_ns=now_ns)
            events.append(Event("appeared", number, unix_s, self._at_s(now_ns), reading.label))
            face.label = reading.label
        elif face.label is not None:
            said_ns = face.said_ns.get(face.label, 0)
            face.said_ns[face.label] = said_ns + max(0, now_ns - face.last_ns)
        face.last_ns, face.last_unix_s = now_ns, unix_s
        if reading.label != face.label:
            events.append(
                Event(
                    "emotion",
                    number,
                    unix_s,
                    self._at_s(now_ns),
                    reading.label,
                    before=face.label,
                    duration_s=_seconds(now_ns - face.since_ns),
                )
            )
            face.label, face.since_ns = reading.label, now_ns
        return events

    def _leave(self, before_ns: int | None) -> list[Event]:
        """Let those go who were seen last before a time; None: all."""
        gone = [
            number
            for number, face in self._faces.items()
            if before_ns is None or face.last_ns < before_ns
        ]
        events = []
        for number in gone:
            face = self._faces.pop(number)
            events.append(
                Event(
                    "left",
                    number,
                    face.last_unix_s,
                    self._at_s(face.last_ns),
                    face.label,
                    duration_s=_seconds(face.last_ns - face.first_ns),
                    seconds={label: _seconds(said) for label, said in face.said_ns.items()},
                )
            )
        return sorted(events, key=lambda event: event.at_s)

    def _at_s(self, now_ns: int) -> float:
        return _seconds(now_ns - (self._start_ns or 0))


def _seconds(ns: int) -> float:
    return ns / 1e9
