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

    def __init__(self, target: str, what: str, *, overwrite: bool = False, append: bool = False):
        """Choose the target; it is opened by ``with``.

        Args:
            target: A file, or ``-``.
            what: What is written, for messages: ``JSON lines``.
            overwrite: Whether a file that exists may be replaced.
            append: Whether to go on at the end of one that exists instead.

        Raises:
            SinkError: The file exists and neither is True, its folder is missing, or there is no
                standard output.
        """
        self._target, self._what = target, what
        self._overwrite, self._appends = overwrite, append
        if target != "-":
            refuse_to_overwrite(Path(target), overwrite=overwrite or append)
        elif sys.stdout is None:
            raise SinkError(f"Cannot write {what} to -: the standard output is closed.")
        self._file: FileIO | None = None
        self._send: Callable[[str], None] | None = None
        self._whole_bytes = 0
        self._empty, self._found = True, False

    def __enter__(self) -> Self:
        if self._target == "-":
            self._send = _print
            return self
        try:
            # "x" as well as the check before: another process may have made it meanwhile. No
            # buffer, so that nothing is left to be written when it is closed.
            self._file = FileIO(self._target, self._mode)
            self._send = self._append
            if self._appends:
                self._go_on()
        except OSError as exc:
            raise SinkError(f"Cannot write {self._target}: {exc.strerror}.") from exc
        return self

    @property
    def _mode(self) -> str:
        if self._appends:
            # Both ways: the end is looked at first.
            return "a+"
        return "w" if self._overwrite else "x"

    def _go_on(self) -> None:
        """Begin a line of its own after what is there, which may have been cut off."""
        if self._file is None or not self._file.seekable():
            return
        self._whole_bytes = self._file.seek(0, os.SEEK_END)
        self._found = self._whole_bytes > 0
        if self._found:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._append("\n")

    def start(self, head: str, *, once: bool = False) -> None:
        """Open it with a head that alone is not worth keeping.

        Args:
            head: One line, with its end.
            once: Whether a file that is gone on with has it already.

        Raises:
            SinkError: It cannot be opened or written, or what is there has another head; nothing
                stays open.
        """
        self.__enter__()
        try:
            if once and self._found:
                self._require(head)
            else:
                self.write(head, counts=False)
        except Exception as exc:
            self.__exit__(type(exc))
            raise

    def _require(self, head: str) -> None:
        """Refuse to go on with what began otherwise."""
        with open(self._target, encoding="utf-8", errors="replace") as file:
            found = file.readline(2 * len(head))
        if found != head:
            raise SinkError(
                f"{self._target} does not begin as {self._what} of this model does: expected "
                f"{head.strip()[:60]}…, found {found.strip()[:60]!r}. Give another name."
            )

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
        if kind is not None and self._empty and not self._overwrite and not self._found:
            # Another output failed before this one got anything: no empty file is left.
            Path(self._target).unlink(missing_ok=True)


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
