"""Photographs that are dropped on the page: read one at a time, never stored."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import cv2

from ..cameras.mjpeg import decode_or_raise
from ..reader import EmotionReader
from ..sinks.jsonl import face_document

_WAIT_S = 5.0


class PictureError(Exception):
    """A photograph that is not read, with the status of the answer."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


class Photographs:
    """Reads pictures for the page. The reader is opened with the first one: it takes memory."""

    def __init__(self, open_reader: Callable[[], EmotionReader]):
        """Remember how to open a reader."""
        self._open, self._reader = open_reader, None
        self._busy = threading.Lock()

    async def read(self, encoded: bytes) -> dict[str, Any]:
        """The faces of a picture as JSON values.

        Raises:
            PictureError: It is no picture, or another one is being read.
        """
        return await asyncio.to_thread(self._read, encoded)

    def _read(self, encoded: bytes) -> dict[str, Any]:
        if not self._busy.acquire(timeout=_WAIT_S):
            raise PictureError(503, "Another photograph is being read; try again.")
        try:
            try:
                image = decode_or_raise(encoded) if encoded else None
            except cv2.error as exc:
                raise PictureError(413, "The photograph has too many pixels.") from exc
            if image is None:
                raise PictureError(415, "This is no picture that can be read here.")
            if self._reader is None:
                self._reader = self._open()
            readings = self._reader.read(image)
        finally:
            self._busy.release()
        height, width = image.shape[:2]
        return {"size_wh": [width, height], "faces": [face_document(each) for each in readings]}
