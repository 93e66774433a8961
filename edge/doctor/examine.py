"""All checks side by side, each with its time; whatever one does, it becomes a finding."""

import queue
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .finding import MORE_TIME, WARNING, Finding, describe

# What a child gets less than its check, so that its check can still say what became of it.
SPARE_S = 0.3


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at.

    Attributes:
        name: What its finding is called where it fails.
        look: Takes the seconds that it has, and finds.
    """

    name: str
    look: Callable[[float], Iterable[Finding]]


def examine(checks: Sequence[Check], limit_s: float) -> list[Finding]:
    """Run all checks at once, each in a thread that is left behind where it hangs.

    Returns:
        The findings in the order of the checks. A check that raised or did not end in time is a
        finding itself.
    """
    deadline_s = time.monotonic() + limit_s
    done: queue.SimpleQueue[tuple[int, list[Finding]]] = queue.SimpleQueue()

    def work(number: int, check: Check) -> None:
        # A thread may have waited for the imports of others.
        done.put((number, _look(check, deadline_s - SPARE_S - time.monotonic())))

    found: dict[int, list[Finding]] = {}
    for number, check in enumerate(checks):
        thread = threading.Thread(target=work, args=(number, check), name=check.name, daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            found[number] = [_failed(check, exc)]
    while len(found) < len(checks):
        try:
            number, findings = done.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            break
        found[number] = findings
    return [
        finding
        for number, check in enumerate(checks)
        for finding in found.get(number) or ([] if number in found else [_late(check, limit_s)])
    ]


def _look(check: Check, limit_s: float) -> list[Finding]:
    try:
        return list(check.look(limit_s))
    except BaseException as exc:
        return [_failed(check, exc)]


def _failed(check: Check, exc: BaseException) -> Finding:
    found = f"could not be looked at: {describe(exc)}"
    cure = "# a fault of the doctor: please report it with what this prints\nfer-edge doctor --json"
    if isinstance(exc, ImportError):
        name = shlex.quote((exc.name or "fer-edge").partition(".")[0])
        cure = f"{shlex.quote(sys.executable)} -m pip install --force-reinstall {name}"
    elif isinstance(exc, OSError):
        cure = "# the system refused; when it is mended:\nfer-edge doctor"
    return Finding(WARNING, check.name, found, cure)


def _late(check: Check, limit_s: float) -> Finding:
    return Finding(
        WARNING,
        check.name,
        f"was not looked at to its end within {limit_s:g} s",
        MORE_TIME,
    )
