"""Keeps the chatter of native libraries off the terminal."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Within the block, what C and C++ code writes to standard error goes nowhere.

    For short calls at the start, such as importing TensorFlow or building an interpreter, which log
    on file descriptor 2 whatever Python's own settings say. Their errors come as exceptions.
    """
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, ValueError):
        # Standard error is closed: nothing to silence.
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
