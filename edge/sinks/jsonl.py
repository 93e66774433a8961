"""Results as JSON lines, schema version 2: documented in docs/json-lines.md."""

import json
from datetime import UTC, datetime
from typing import Any, Self

from ..records import EmotionScores, Reading, Result
from .lines import TextOutput

SCHEMA_VERSION = 2


def result_document(result: Result) -> dict[str, Any]:
    """A result as the object of one line."""
    frame = result.frame
    return {
        "schema": SCHEMA_VERSION,
        "frame": frame.index,
        "time": utc_text(frame.captured_unix_s),
        "monotonic_ns": frame.captured_ns,
        "age_ms": round(result.age_ms, 3),
        "size_wh": list(frame.size_wh),
        "faces": [{"id": reading.face.id, **face_document(reading)} for reading in result.readings],
    }


def utc_text(unix_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_line(document: dict[str, Any]) -> str:
    """A document as a line, with its end."""
    return json.dumps(document, separators=(",", ":")) + "\n"


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
    """Writes a line a result to a file, or to standard output (``-``)."""

    def __init__(self, target: str, *, overwrite: bool = False, append: bool = False):
        """Choose the target; it is opened by ``with``.

        Args:
            target: A file, or ``-`` for standard output.
            overwrite: Whether a file that exists may be replaced.
            append: Whether to go on at the end of one that exists instead.

        Raises:
            SinkError: As of :class:`.lines.TextOutput`.
        """
        self._output = TextOutput(target, "JSON lines", overwrite=overwrite, append=append)

    def __enter__(self) -> Self:
        self._output.__enter__()
        return self

    def write(self, result: Result) -> None:
        """Write one line.

        Raises:
            SinkError: The disk is full, or the file is gone.
            BrokenPipeError: Whoever read the standard output has left.
        """
        self._output.write(json_line(result_document(result)))

    def __exit__(self, *error: object) -> None:
        self._output.__exit__(*error)
