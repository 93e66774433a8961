"""Findings for people: with colours on a terminal, plain in a pipe, plain without rich too."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import click

from .finding import STATES, Finding

_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "bold red"}
_WIDTH = max(map(len, STATES))


def lines(findings: Sequence[Finding], took_s: float) -> Iterable[tuple[str, str]]:
    """Each line as a state (or an empty text) and what follows it."""
    for finding in findings:
        yield finding.state, f"{finding.name}: {finding.found}"
        cures = finding.cure.splitlines()
        for number, cure in enumerate(cures):
            yield "", f"{'cure: ' if number == 0 else '      '}{cure}"
    counts = Counter(finding.state for finding in findings)
    told = [
        f"{counts[state]} {state}{'s' if counts[state] != 1 and state != 'ok' else ''}"
        for state in reversed(STATES)
        if counts[state]
    ]
    yield "", f"{', '.join(told)}; {took_s:.1f} s"


def show(findings: Sequence[Finding], took_s: float) -> None:
    """Print them to standard output, where there is one.

    Raises:
        OSError: They cannot be written; a BrokenPipeError where nobody reads any more.
    """
    colour = sys.stdout is not None and sys.stdout.isatty()
    for state, text in lines(findings, took_s):
        if not (colour and _in_colour(state, text)):
            click.echo(f"{state:<{_WIDTH}}  {text}".rstrip())


def _in_colour(state: str, text: str) -> bool:
    """Print with rich; False where that is missing or broken."""
    try:
        from rich.text import Text

        from ..terminal import Terminal

        # Not wrapped by rich: a cure that the terminal itself wraps can be copied as one line.
        console = Terminal(highlight=False, soft_wrap=True)
        line = Text.assemble((f"{state:<{_WIDTH}}", _STYLES.get(state, "")), "  ", text)
        console.print(line)
    except OSError:
        raise
    except Exception:
        return False
    return True
