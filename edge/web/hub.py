"""The newest result for any number of readers in another thread; the loop never waits for them."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import cv2
import numpy as np

from ..draw import annotate
from ..records import Reading, Result
from ..telemetry import Snapshot

#: Seconds of the timeline, and of one point of it.
HISTORY_S, STEP_S = 60.0, 0.5
_JPEG_QUALITY = 80
# A face that is not seen any more keeps its timeline until it has left the page.
_MOST_FACES = 32


@dataclass(slots=True)
class _Line:
    """The last minute of a face."""

    points: deque[tuple[float, str | None, float]] = field(
        default_factory=lambda: deque(maxlen=round(HISTORY_S / STEP_S))
    )
    next_s: float = 0.0


class Hub:
    """Takes results from the loop and hands the newest one out.

    :meth:`write` belongs to the loop's thread; everything else may be called from any thread. A
    picture is drawn and encoded when the first reader wants it, once a result.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        *,
        camera: str,
        labels: tuple[str, ...],
        temperature_c: Callable[[], float | None] = lambda: None,
        notice: str = "",
    ):
        """Start without a result.

        Args:
            snapshot: State of the loop.
            camera: Its name.
            labels: What the model can say.
            temperature_c: Of the processor, where the board tells it.
            notice: A line that stands in the picture and on the page.
        """
        self._snapshot, self._temperature_c = snapshot, temperature_c
        self._camera, self._labels, self._notice = camera, labels, notice
        self._lock, self._drawing = threading.Lock(), threading.Lock()
        self._result: Result | None = None
        self._number = 0
        self._jpeg: tuple[int, bytes] | None = None
        self._lines: dict[int, _Line] = {}
        self._wake: Callable[[], None] = lambda: None
        self._last_s = 0.0
        # Each run numbers its faces from 1: a page that stays open over two must tell them apart.
        self._run = f"{time.time():.3f}"

    def on_result(self, wake: Callable[[], None]) -> None:
        """What is called, from the loop's thread, after each result; it must not wait."""
        self._wake = wake

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wake = lambda: None

    def write(self, result: Result) -> None:
        """Take the newest result."""
        now_s = time.time()
        with self._lock:
            self._result = result
            self._number += 1
            self._last_s = time.monotonic()
            for reading in result.readings:
                self._note(reading, now_s)
            self._forget(now_s)
        self._wake()

    def _note(self, reading: Reading, now_s: float) -> None:
        if reading.face.id is None:
            return
        line = self._lines.setdefault(reading.face.id, _Line())
        if now_s >= line.next_s:
            line.points.append((now_s, reading.label, reading.score))
            line.next_s = now_s + STEP_S

    def _forget(self, now_s: float) -> None:
        old = [n for n, line in self._lines.items() if line.points[-1][0] < now_s - HISTORY_S]
        # Of too many the first ones, which came first.
        old += list(self._lines)[: max(0, len(self._lines) - len(old) - _MOST_FACES)]
        for number in old:
            self._lines.pop(number, None)

    @property
    def number(self) -> int:
        """How many results there were."""
        return self._number

    @property
    def faces(self) -> int | None:
        """How many faces are in the newest result; None before the first."""
        result = self._result
        return None if result is None else len(result.readings)

    @property
    def silent_s(self) -> float | None:
        """Seconds since the last result; None before the first."""
        return time.monotonic() - self._last_s if self._number else None

    def state(self, *, history: bool = False) -> dict[str, Any]:
        """All that the page shows but the picture, as JSON values.

        Args:
            history: With the last minute of each face, for a page that has just been opened.
        """
        with self._lock:
            result, number = self._result, self._number
            lines = {
                str(face): [[round(t, 2), label, round(score, 3)] for t, label, score in one.points]
                for face, one in (self._lines.items() if history else ())
            }
        seen = self._snapshot()
        temperature_c = self._temperature_c()
        state: dict[str, Any] = {
            "run": self._run,
            "number": number,
            "camera": self._camera,
            "labels": list(self._labels),
            "notice": self._notice,
            "fps": round(seen.fps.get("deliver", 0.0), 1),
            "age_ms": round(seen.age_ms, 1),
            "age_p95_ms": round(seen.age_p95_ms, 1),
            "captured": seen.captured,
            "delivered": seen.delivered,
            "dropped": seen.dropped,
            "reconnects": seen.reconnects,
            "temperature_c": None if temperature_c is None else round(temperature_c, 1),
            "faces": [],
        }
        if result is not None:
            state["frame"] = result.frame.index
            state["unix_s"] = round(result.frame.captured_unix_s, 3)
            state["size_wh"] = list(result.frame.size_wh)
            state["faces"] = [_face(reading) for reading in result.readings]
        if history:
            state["history"] = lines
        return state

    def jpeg(self) -> tuple[int, bytes] | None:
        """The newest picture with its boxes, and the number of its result; None before the first.

        The same bytes for everybody who asks between two results.
        """
        with self._drawing:
            with self._lock:
                result, number = self._result, self._number
            if result is None:
                return None
            if self._jpeg is None or self._jpeg[0] != number:
                image = annotate(result.frame.image, result.readings, notice=self._notice)
                quality = (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY)
                good, encoded = cv2.imencode(".jpg", np.ascontiguousarray(image), quality)
                if not good:
                    return None
                self._jpeg = number, encoded.tobytes()
            return self._jpeg


def _face(reading: Reading) -> dict[str, Any]:
    box = reading.box
    scores = reading.scores
    return {
        "id": reading.face.id,
        "box_px": [round(side, 1) for side in (box.x_px, box.y_px, box.w_px, box.h_px)],
        "detected": reading.face.detected,
        "label": reading.label,
        "score": round(reading.score, 3),
        "scores": {k: round(v, 3) for k, v in scores.as_dict().items()} if scores else None,
        "flaw": reading.flaw or None,
    }
