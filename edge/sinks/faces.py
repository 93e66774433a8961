"""Crops of the faces, a picture each time that another emotion is said of one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from ..errors import SinkError
from ..records import Box, Image, Reading, Result
from .video import KEEP_FREE_BYTES, free_bytes

# The detectors' boxes end at brows and chin.
_AROUND = 1.5
_QUALITY = 90
# So many faces are remembered; who was forgotten is saved once more.
_MOST_KNOWN = 1000


class FacesSink:
    """Writes ``DIR/20261121-093000.123-face1-happy-87.jpg`` when a face is first named or changes.

    Pictures of people: made only where a folder is named for them.
    """

    def __init__(self, folder: Path, *, keep_free_bytes: int = KEEP_FREE_BYTES):
        """Choose the folder; it is made by ``with``.

        Args:
            folder: What is in it stays.
            keep_free_bytes: Of its disk; before less are free, the sink ends.
        """
        self._folder, self._keep_free = folder, keep_free_bytes
        self._said: dict[int, str] = {}

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SinkError(f"Cannot make the folder {self._folder}: {exc.strerror}.") from exc
        return self

    def write(self, result: Result) -> None:
        """Save the faces that are named for the first time, or another way than before.

        Raises:
            SinkError: The disk is full, or the folder is gone.
        """
        for reading in result.readings:
            number, label = reading.face.id, reading.label
            # Only what was read in this very frame: a held label may be of another face.
            if number is None or label is None or reading.raw is None:
                continue
            if self._said.get(number) == label:
                continue
            self._said[number] = label
            if len(self._said) > _MOST_KNOWN:
                del self._said[next(iter(self._said))]
            crop = cut_out(result.frame.image, reading.box)
            if crop.size:
                self._save(crop, self._folder / _name(result, reading))

    def _save(self, crop: Image, path: Path) -> None:
        try:
            if free_bytes(path.parent) < self._keep_free:
                raise SinkError(
                    f"Cannot write {path}: less than {self._keep_free / 1e6:.0f} MB are free on "
                    f"its disk."
                )
            good, encoded = cv2.imencode(".jpg", crop, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
            if good:
                path.write_bytes(encoded.tobytes())
        except OSError as exc:
            raise SinkError(f"Cannot write {path}: {exc.strerror}.") from exc

    def __exit__(self, *_: object) -> None:
        self._said.clear()


def cut_out(image: Image, box: Box) -> Image:
    """A face with what is around it, as far as the picture goes; empty where it is outside.

    Args:
        image: uint8, ``(height, width, 3)`` or ``(height, width)``.
        box: As the detector has it, in pixels.
    """
    (x, y), half = box.center_px, _AROUND * max(box.w_px, box.h_px) / 2
    height, width = image.shape[:2]
    left, right = (int(np.clip(round(edge), 0, width)) for edge in (x - half, x + half))
    top, bottom = (int(np.clip(round(edge), 0, height)) for edge in (y - half, y + half))
    return image[top:bottom, left:right]


def _name(result: Result, reading: Reading) -> str:
    moment = datetime.fromtimestamp(result.frame.captured_unix_s, UTC)
    millis = moment.microsecond // 1000
    return (
        f"{moment:%Y%m%d-%H%M%S}.{millis:03}-face{reading.face.id}-"
        f"{_safe(reading.label or '')}-{round(100 * reading.score)}.jpg"
    )


def _safe(label: str) -> str:
    """A label of whatever model as a part of a file's name."""
    return "".join(letter if letter.isalnum() else "_" for letter in label)
