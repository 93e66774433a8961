"""Text that grows: whole lines into a file or to standard output, whatever happens."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Self

from ..errors import SinkError
from . import refuse_to_overwrite


class TextOutput:
    """Writes whole lines to a file, or to standard output (``-``), without a buffer."""

    def __init__(self, target: str, what: str, *, overwrite: bool = False):
        """Choose the target; it is opened by ``with``.

        Args:
            target: A file, or ``-``.
            what: What is written, for messages: ``JSON lines``.
            overwrite: Whether a file that exists may be replaced.

        Raises:
            SinkError: The file exists and ``overwrite`` is False, its folder is missing, or there
                is no standard output.
        """
        self._target, self._what, self._overwrite = target, what, overwrite
        if target != "-":
            refuse_to_overwrite(Path(target), overwrite=overwrite)
        elif sys.stdout is None:
            raise SinkError(f"Cannot write {what} to -: the standard output is closed.")
        self._file: FileIO | None = None
        self._send: Callable[[str], None] | None = None
        self._whole_bytes = 0
        self._empty = True

    def __enter__(self) -> Self:
        if self._target == "-":
            self._send = _print
            return self
        try:
            # "x" as well as the check before: another process may have made it meanwhile. No
            # buffer, so that nothing is left to be written when it is closed.
            self._file = FileIO(self._target, "w" if self._overwrite else "x")
        except OSError as exc:
            raise SinkError(f"Cannot write {self._target}: {exc.strerror}.") from exc
        self._send = self._append
        return self

    def start(self, head: str) -> None:
        """Open it with a head that alone is not worth keeping.

        Raises:
            SinkError: It cannot be opened or written; nothing stays open.
        """
        self.__enter__()
        try:
            self.write(head, counts=False)
        except Exception as exc:
            self.__exit__(type(exc))
            raise

    @property
    def open(self) -> bool:
        """Whether it takes more: not before ``with``, and not after an error."""
        return self._send is not None

    def write(self, text: str, *, counts: bool = True) -> None:
        """Write lines, each with its end; all of them or none.

        Args:
            text: The lines; nothing is done for none.
            counts: Whether the file is worth keeping for these: not so for a head.

        Raises:
            SinkError: The disk is full, or the file is gone.
            BrokenPipeError: Whoever read the standard output has left.
        """
        if self._send is None:
            raise SinkError(
                f"The output of {self._what} is opened by `with` before it is written to, and "
                f"takes no more after an error."
            )
        if not text:
            return
        try:
            self._send(text)
        except OSError as exc:
            self._forget_the_rest()
            if isinstance(exc, BrokenPipeError):
                raise
            raise SinkError(f"Cannot write {self._target}: {exc.strerror}.") from exc
        self._empty &= not counts

    def _append(self, text: str) -> None:
        encoded = text.encode()
        rest = memoryview(encoded)
        while self._file is not None and rest:
            # An unbuffered file may take less than it is given.
            rest = rest[self._file.write(rest) :]
        self._whole_bytes += len(encoded)

    def _forget_the_rest(self) -> None:
        """Take back the half of a line that was written, or never will be."""
        self._send = None
        with suppress(OSError, ValueError):
            if self._file is not None:
                self._file.truncate(self._whole_bytes)
            else:
                # Python would try again at its end to write what is left, and complain.
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())
                os.close(nowhere)

    def __exit__(self, kind: object, *_: object) -> None:
        self._send = None
        if self._file is None:
            return
        self._file.close()
        if kind is not None and self._empty and not self._overwrite:
            # Another output failed before this one got anything: no empty file is left.
            Path(self._target).unlink(missing_ok=True)


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
