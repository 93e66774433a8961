"""A finding: its state, what was found, and the cure as text that a shell takes."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import EXIT_OK, FerEdgeError
from ..version import __version__

#: Of the JSON document; another number when something in it is renamed, removed or means otherwise.
VERSION = 1
OK, NOTE, WARNING, PROBLEM = STATES = ("ok", "note", "warning", "problem")
#: The cure of what time was too short for.
MORE_TIME = "# a slow or busy machine: look again with more time\nfer-edge doctor --limit 30"
# Of an exception or a log that goes into a line.
_MOST_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        state: ``ok``; ``note``: works, and there is a choice; ``warning``: works worse than it
            could, or was not looked at; ``problem``: something does not work.
        name: Of what was looked at.
        found: One line. Passwords in addresses are left out, as people publish such lines.
        cure: Lines for a shell, where the state is not ``ok``. What hands must do is a comment.
    """

    state: str
    name: str
    found: str
    cure: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "found", one_line(self.found))


def one_line(text: str, most: int = _MOST_CHARACTERS) -> str:
    """A text in one line of printable characters, without passwords, cut in the middle."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    line = re.sub(r"(\w+)://\S+", _without_password, line)
    return line if len(line) <= most else f"{line[: most // 2]} … {line[-most // 2 :]}"


def _without_password(address: re.Match[str]) -> str:
    """A network address as ``cameras.source`` shows it, which cannot be imported without OpenCV."""
    rest = re.sub(r"^.*@", "", address[0].partition("://")[2]).partition("?")[0]
    host, slash, path = rest.partition("/")
    return f"{address[1]}://{host}{slash}{'…' if '=' in path else path}"


def describe(exc: BaseException) -> str:
    """An exception in a line; its own text may fail too."""
    try:
        text = str(exc)
    except Exception:
        text = ""
    # NumPy wraps the reason in a page of advice.
    _, _, original = text.partition("Original error was:")
    said = one_line(original or text)
    return f"{type(exc).__name__}: {said}" if said else type(exc).__name__


def exit_code(findings: Iterable[Finding]) -> int:
    """What the command ends with: 1 where there is a problem."""
    bad = any(finding.state == PROBLEM for finding in findings)
    return FerEdgeError.exit_code if bad else EXIT_OK


def document(findings: Iterable[Finding], took_s: float) -> dict[str, Any]:
    """The findings as ``doctor --json`` prints them; docs/troubleshooting.md has the form."""
    listed = list(findings)
    return {
        "version": VERSION,
        "fer_edge": __version__,
        "exit_code": exit_code(listed),
        "took_s": round(took_s, 3),
        "findings": [asdict(finding) for finding in listed],
    }
