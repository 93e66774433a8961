"""Results as JSON lines, schema version 2: documented in docs/json-lines.md."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, Self

from ..errors import SinkError
from ..records import EmotionScores, Reading, Result
from . import refuse_to_overwrite

SCHEMA_VERSION = 2


def result_document(result: Result) -> dict[str, Any]:
    """A result as the object of one line."""
    frame = result.frame
    moment = datetime.fromtimestamp(frame.captured_unix_s, UTC)
    return {
        "schema": SCHEMA_VERSION,
        "frame": frame.index,
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "monotonic_ns": frame.captured_ns,
        "age_ms": round(result.age_ms, 3),
        "size_wh": list(frame.size_wh),
        "faces": [{"id": reading.face.id, **face_document(reading)} for reading in result.readings],
    }


def face_document(reading: Reading) -> dict[str, Any]:
    """What was read of a face, without its number, as JSON values."""
    box = reading.box
    return {
        "box_px": [round(side, 2) for side in (box.x_px, box.y_px, box.w_px, box.h_px)],
        "size_px": round(reading.size_px, 2),
        "detected": reading.face.detected,
        "detector_score": round(reading.face.score, 4),
        "label": reading.label,
        "scores": _probabilities(reading.scores),
        "raw_scores": _probabilities(reading.raw),
        "flaw": reading.flaw or None,
    }


def _probabilities(scores: EmotionScores | None) -> dict[str, float] | None:
    if scores is None:
        return None
    return {label: round(p, 5) for label, p in scores.as_dict().items()}


class JsonLinesSink:
    """Writes a line a result to a file, or to standard output (``-``), without a buffer."""

    def __init__(self, target: str, *, overwrite: bool = False):
        """Choose the target; it is opened by ``with``.

        Raises:
            SinkError: The file exists and ``overwrite`` is False, its folder is missing, or there
                is no standard output.
        """
        self._target, self._overwrite = target, overwrite
        if target != "-":
            refuse_to_overwrite(Path(target), overwrite=overwrite)
        elif sys.stdout is None:
            raise SinkError("Cannot write JSON lines to -: the standard output is closed.")
        self._file: FileIO | None = None
        self._send: Callable[[str], None] | None = None
        self._lines = self._whole_bytes = 0

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

    def write(self, result: Result) -> None:
        """Write one line.

        Raises:
            SinkError: The disk is full, or the file is gone.
            BrokenPipeError: Whoever read the standard output has left.
        """
        if self._send is None:
            raise SinkError(
                "A JsonLinesSink is opened by `with` before it is written to, and takes no more "
                "after an error."
            )
        try:
            self._send(json.dumps(result_document(result), separators=(",", ":")) + "\n")
        except OSError as exc:
            self._forget_the_rest()
            if isinstance(exc, BrokenPipeError):
                raise
            raise SinkError(f"Cannot write {self._target}: {exc.strerror}.") from exc
        self._lines += 1

    def _append(self, line: str) -> None:
        encoded = line.encode()
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
        if kind is not None and self._lines == 0 and not self._overwrite:
            # Another output failed before this one got anything: no empty file is left.
            Path(self._target).unlink(missing_ok=True)


def _print(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()
