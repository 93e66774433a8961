"""The outputs of a loop as one: what fails is retired and told, and the others go on."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

import cv2

from ..errors import SinkError
from ..records import Result

# What a write may fail with. A full disk, a reader that left and a screen that is gone are these;
# anything else is a fault of ours and ends the loop.
_FAILURES = (SinkError, OSError, cv2.error)


class OpenedByWith(Protocol):
    """A sink as it is added to a group: opened and closed by ``with``."""

    def __enter__(self) -> object:
        """Open it."""
        ...

    def write(self, result: Result) -> None:
        """Take one result."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> object:
        """Close it; with the error in hand that ended it."""
        ...


_Sink = TypeVar("_Sink", bound=OpenedByWith)


@dataclass(frozen=True, slots=True, eq=False)
class _Member:
    name: str
    sink: OpenedByWith
    counts: bool


class SinkGroup:
    """Hands each result to every sink that still works, and closes all of them at the end.

    ::

        with SinkGroup(say=print) as group:
            group.add("JSON lines to out.jsonl", JsonLinesSink("out.jsonl"))
            for result in pipeline.results():
                group.write(result)

    One thread adds and writes.
    """

    def __init__(self, say: Callable[[str], None]):
        """Start empty.

        Args:
            say: Takes the sentence about a sink that was retired.
        """
        self._say = say
        self._members: list[_Member] = []
        #: How many sinks were retired.
        self.retired = 0

    def __enter__(self) -> Self:
        return self

    def add(self, name: str, sink: _Sink, *, counts: bool = True) -> _Sink:
        """Open a sink and take it in.

        Args:
            name: What messages call it, such as ``"JSON lines to out.jsonl"``.
            sink: Not opened yet; the group closes it.
            counts: Whether the loop has a purpose as long as this one works; not so the status.

        Raises:
            SinkError: It cannot be opened; those before stay.
        """
        sink.__enter__()
        self._members.append(_Member(name, sink, counts))
        return sink

    def write(self, result: Result) -> None:
        """Hand a result to every sink. One that fails is closed, told of, and left out from then.

        Raises:
            SinkError: The last one that counts failed.
            BrokenPipeError: The same, and its reader had left.
        """
        for member in tuple(self._members):
            try:
                member.sink.write(result)
            except _FAILURES as error:
                self._retire(member, error)

    def _retire(self, member: _Member, error: Exception) -> None:
        self._members.remove(member)
        self.retired += 1
        # An error of closing has the same cause, which is told already.
        _close(member, error)
        if member.counts and not any(other.counts for other in self._members):
            if isinstance(error, SinkError | BrokenPipeError):
                raise error
            raise SinkError(f"{member.name} ended: {_reason(error)}.") from error
        self._say(f"{member.name} ended: {_reason(error)}; the loop goes on.")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The status last, because it sums up what the others did.
        members = sorted(self._members, key=lambda member: not member.counts)
        self._members.clear()
        for problem in [_close(member, error) for member in members]:
            if problem is not None and error is None:
                raise problem


def _close(member: _Member, error: BaseException | None) -> Exception | None:
    """Close a sink; what that raised, or None where it went well or the sink does not count."""
    kind, trace = type(error) if error else None, error.__traceback__ if error else None
    try:
        member.sink.__exit__(kind, error, trace)
    except Exception as problem:
        return problem if member.counts else None
    return None


def _reason(error: Exception) -> str:
    """Why a sink failed, without the full stop."""
    # A SinkError repeats the name of the file, its cause does not.
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, BrokenPipeError):
        return "its reader has left"
    said = (cause.strerror if isinstance(cause, OSError) else "") or str(cause)
    return " ".join(said.split()).rstrip(".") or type(error).__name__
