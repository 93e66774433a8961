"""Standard output and standard error: open when a program begins, and a good end of what they keep.

No more than the standard library, as every command begins with it.
"""

import os
import sys
from contextlib import suppress
from typing import TextIO

from .errors import SinkError


def open_standard_streams() -> None:
    """Give 0, 1 and 2 a place if the caller closed them.

    Otherwise the next file that is opened becomes number 2, and libraries log into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        # What is meant for people goes nowhere then, rather than among the data.
        sys.stderr = os.fdopen(2, "w", closefd=False)


def point_nowhere(stream: TextIO) -> None:
    """Let what a stream could not write go nowhere: Python tries again at its end.

    When that fails too it complains, and its exit code is 120 whatever the program's is.
    """
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def flush_standard_output() -> None:
    """Write what is still kept back.

    Raises:
        SinkError: It cannot be written, as on a full disk. A pipe that nobody reads is no error.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        point_nowhere(sys.stdout)
    except (OSError, ValueError) as exc:
        point_nowhere(sys.stdout)
        why = getattr(exc, "strerror", None) or exc
        raise SinkError(f"Cannot write to the standard output: {why}.") from exc


def tell(text: str = "", *, end: str = "\n") -> None:
    """Print a line on standard error; where nobody can be told, go on."""
    try:
        print(text, file=sys.stderr, end=end, flush=True)
    except (OSError, ValueError):
        point_nowhere(sys.stderr)
