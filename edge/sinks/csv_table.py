"""Results as a table, a row a face and result: documented in docs/records.md."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Self

from ..records import Reading, Result
from .jsonl import utc_text
from .lines import TextOutput

_FIRST = ("time", "frame", "face", "x_px", "y_px", "w_px", "h_px", "size_px", "detected", "label")
_LAST = ("flaw",)


class CsvSink:
    """Writes a head, and a row for each face of each result; a result without faces has none."""

    def __init__(
        self,
        target: str,
        *,
        labels: Sequence[str],
        overwrite: bool = False,
        append: bool = False,
    ):
        """Choose the target; it is opened by ``with``.

        Args:
            target: A file, or ``-`` for standard output.
            labels: What the model can say: a column each, of smoothed probabilities.
            overwrite: Whether a file that exists may be replaced.
            append: Whether to go on at the end of one that exists instead; it must have the same
                columns.

        Raises:
            SinkError: As of :class:`.lines.TextOutput`.
        """
        self._output = TextOutput(target, "a table", overwrite=overwrite, append=append)
        self._labels = tuple(labels)

    def __enter__(self) -> Self:
        self._output.start(_row([*_FIRST, *self._labels, *_LAST]), once=True)
        return self

    def write(self, result: Result) -> None:
        """Write the rows of a result.

        Raises:
            SinkError: The disk is full, or the file is gone.
            BrokenPipeError: Whoever read the standard output has left.
        """
        moment = utc_text(result.frame.captured_unix_s)
        rows = (self._cells(reading) for reading in result.readings)
        self._output.write("".join(_row([moment, result.frame.index, *cells]) for cells in rows))

    def __exit__(self, *error: object) -> None:
        self._output.__exit__(*error)

    def _cells(self, reading: Reading) -> list[Any]:
        box, scores = reading.box, reading.scores
        known = scores.as_dict() if scores is not None else {}
        return [
            reading.face.id,
            *(round(side, 2) for side in (box.x_px, box.y_px, box.w_px, box.h_px)),
            round(reading.size_px, 2),
            int(reading.face.detected),
            reading.label or "",
            *(round(known[label], 5) if label in known else "" for label in self._labels),
            reading.flaw,
        ]


def _row(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
