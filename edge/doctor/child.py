"""A child process that looks at what may crash or hang, and tells each step as it goes.

So a process that dies or is stopped still says how far it came, and what it was busy with.
"""

import json
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..sandbox import end_child, how_it_ended, start_child
from .finding import describe, one_line

#: Takes a line for the parent.
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step.

    Attributes:
        value: What it returned.
        why: The reason where it did not come to its end; empty where it did.
        kind: The exception's name; empty where the process ended or was stopped.
        late_s: How long it had when the time was over, in seconds; 0 where that is not why.
    """

    value: Any = None
    why: str = ""
    kind: str = ""
    late_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What a child told.

    Attributes:
        steps: The steps that it began, by name.
        said: What it wrote to standard error, in one line.
        lost: Why it did not come to its end, or an empty text.
        late: Whether that is because the time was over.
    """

    steps: Mapping[str, Outcome] = field(default_factory=dict)
    said: str = ""
    lost: str = ""
    late: bool = False

    def get(self, name: str) -> Outcome | None:
        """What came of a step, or None where it was not begun."""
        return self.steps.get(name)

    def value(self, name: str) -> Any:
        """What a step returned, or None."""
        return self.steps.get(name, Outcome()).value


def ask(function: Callable[..., None], *arguments: Any, limit_s: float) -> Heard:
    """Call ``function(tell, *arguments)`` in a process of its own, and end it after its time.

    Args:
        function: At the top of a module.
        arguments: Anything that can be pickled.
        limit_s: Of wall time, the start of Python included.
    """
    child = start_child(
        _serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    late = False
    wish = pickle.dumps((limit_s, function, arguments))
    try:
        told, said = child.communicate(wish, timeout=limit_s)
        lost = "" if child.returncode == 0 else f"it ended its process ({_how(child)})"
    except subprocess.TimeoutExpired as exc:
        told, said = exc.stdout or b"", exc.stderr or b""
        lost, late = f"it did not come back within {limit_s:.1f} s", True
    finally:
        end_child(child)
    return understand(told, said, lost, late_at_s=time.monotonic() if late else None)


def _how(child: subprocess.Popen) -> str:
    return how_it_ended(child.returncode)


def understand(told: bytes, said: bytes, lost: str, *, late_at_s: float | None = None) -> Heard:
    """Turn a child's lines into outcomes. Pure.

    Args:
        told: JSON lines; what is none is left out, the last one may be cut.
        said: What it wrote to standard error.
        lost: Why it did not come to its end, or an empty text.
        late_at_s: When its time was over, on the monotonic clock; None where it was not.
    """
    log = one_line(said.decode(errors="replace"))
    reason = f"{lost}: {log}" if lost and log else lost
    steps: dict[str, Outcome] = {}
    for line in told.splitlines():
        try:
            step = json.loads(line)
            name, ended = str(step["step"]), str(step["ended"])
            late_s = 0.0 if late_at_s is None else late_at_s - float(step["at_s"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
        if ended == "no":
            steps[name] = Outcome(why=reason or "it came to no end", late_s=late_s)
        elif ended == "well":
            steps[name] = Outcome(step.get("value"))
        else:
            steps[name] = Outcome(why=str(step.get("why")), kind=str(step.get("kind")))
    return Heard(steps, log, lost, late_at_s is not None)


def attempt(tell: Tell, name: str, function: Callable[..., Any], *arguments: Any) -> Outcome:
    """Take a step in the child, and tell what came of it."""
    tell({"step": name, "ended": "no"})
    try:
        value = function(*arguments)
    except BaseException as exc:
        why, kind = describe(exc), type(exc).__name__
        tell({"step": name, "ended": "badly", "why": why, "kind": kind})
        return Outcome(why=why, kind=kind)
    tell({"step": name, "ended": "well", "value": value})
    return Outcome(value)


def _serve() -> None:
    """The child's side."""
    limit_s, function, arguments = pickle.load(sys.stdin.buffer)
    # In case the parent is killed and nobody stops the child.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(max(1, math.ceil(limit_s) + 2))
    # LiteRT's own clean-up after a delegate that it could not load fails, and prints that.
    sys.unraisablehook = lambda _: None
    wire, lock = os.dup(1), threading.Lock()
    # What a library prints is no line for the parent.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)

    def tell(step: dict[str, Any]) -> None:
        with lock:
            os.write(wire, json.dumps({**step, "at_s": time.monotonic()}).encode() + b"\n")

    function(tell, *arguments)
    # Without the clean-up of libraries that may be damaged.
    os._exit(0)
