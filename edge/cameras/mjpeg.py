"""JPEG pictures in a stream of bytes, one after the other: where each begins and ends.

The markers are followed as ITU-T T.81 (the JPEG standard), annex B, lays them out: a segment is
skipped by its length, so that a thumbnail inside one is not taken for a picture. What lies between
pictures, such as the headers of a multipart stream, is skipped.
"""

import re
import time
from collections import deque
from collections.abc import Callable

import cv2
import numpy as np

from ..errors import CameraError
from ..records import Image

# More than a picture of 8192x8192 px takes at usual qualities, and than any header between two.
_MAX_PICTURE_BYTES = 64 << 20
_MAX_BETWEEN_BYTES = 1 << 20
_START = b"\xff\xd8\xff"
_START_OF_SCAN, _END, _BEGIN, _TEMPORARY = 0xDA, 0xD9, 0xD8, 0x01
_RESTARTS = range(0xD0, 0xD8)
# What may hold anything, other pictures too: application data and comments.
_FREE_TEXT = (*range(0xE0, 0xF0), 0xFE)
# In coded data a stuffed zero follows each 0xFF, or the number of a restart; else it is a marker.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


class JpegSplitter:
    """Cuts whole pictures out of bytes that come in pieces of any size.

    Attributes:
        damaged: Pictures that were begun and not ended as the standard wants; they are left out.
    """

    def __init__(
        self,
        max_picture_bytes: int = _MAX_PICTURE_BYTES,
        max_between_bytes: int = _MAX_BETWEEN_BYTES,
    ):
        self.damaged = 0
        self._max_picture, self._max_between = max_picture_bytes, max_between_bytes
        self._bytes = bytearray()
        self._between = 0
        self._inside = self._in_scan = self._scanned = False
        self._at = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes; return the pictures that they complete.

        Raises:
            CameraError: A picture, or what lies between two, is larger than the limit.
        """
        self._bytes += piece
        pictures = []
        while self._find_start():
            end = self._find_end()
            if end is None:
                if len(self._bytes) > self._max_picture:
                    raise CameraError(
                        f"a JPEG picture of over {self._max_picture >> 20} MiB came: that is no "
                        f"camera's"
                    )
                break
            if end:
                pictures.append(bytes(self._bytes[:end]))
            else:
                self.damaged += 1
            del self._bytes[: end or self._at]
            self._inside = False
        return pictures

    def end(self) -> None:
        """Count a picture that the end of the stream cut."""
        self.damaged += self._inside
        self._inside = False
        self._bytes.clear()

    def _find_start(self) -> bool:
        if self._inside:
            return True
        start = self._bytes.find(_START)
        # The first two bytes of a start may be the last two that came.
        passed = start if start >= 0 else max(0, len(self._bytes) - 2)
        self._between += passed
        del self._bytes[:passed]
        if self._between > self._max_between:
            raise CameraError(
                f"no JPEG picture in {self._max_between >> 10} KiB; expected Motion JPEG"
            )
        if start < 0:
            return False
        self._inside, self._in_scan, self._scanned, self._at = True, False, False, 2
        self._between = 0
        return True

    def _find_end(self) -> int | None:
        """Length of the picture, 0 where it is damaged at ``_at``, None where more must come."""
        data = self._bytes
        while True:
            if self._in_scan:
                marker = _MARKER.search(data, self._at)
                if marker is None:
                    self._at = max(self._at, len(data) - 1)
                    return None
                self._at, self._in_scan = marker.start(), False
            if len(data) < self._at + 2:
                return None
            if data[self._at] != 0xFF:
                return 0
            code = data[self._at + 1]
            if code == 0xFF:
                # Any number of these may stand before a marker.
                self._at += 1
            elif code == _END:
                self._at += 2
                return self._at if self._scanned else 0
            elif code in (0, _BEGIN):
                return 0
            elif code == _TEMPORARY or code in _RESTARTS:
                self._at += 2
            elif len(data) < self._at + 4:
                return None
            else:
                after = self._at + 2 + int.from_bytes(data[self._at + 2 : self._at + 4])
                if code not in _FREE_TEXT:
                    # Where a start lies in it, a table was cut, and would take what it lacks from
                    # the next picture. The start may begin with the table's last byte.
                    start = data.find(_START, self._at + 2, after + 2)
                    if start >= 0:
                        self._at = start
                        return 0
                    if len(data) < after + 2:
                        return None
                if after < self._at + 4:
                    return 0
                self._at = after
                self._in_scan = code == _START_OF_SCAN
                self._scanned |= self._in_scan


def whole_jpeg(encoded: bytes) -> bytes | None:
    """The picture at the start of some bytes, without the padding after it; None if it is cut."""
    splitter = JpegSplitter()
    pictures = splitter.feed(encoded) if encoded.startswith(_START) else []
    return pictures[0] if pictures and not splitter.damaged else None


def decode_picture(encoded: bytes | np.ndarray, *, colour: bool = True) -> Image | None:
    """Decode a picture of any format that OpenCV knows; None where it cannot.

    Args:
        encoded: The bytes of its file.
        colour: Whether to decode to blue-green-red, ``(height, width, 3)``, or at less cost to
            grey, ``(height, width)``; uint8 either way.
    """
    try:
        return decode_or_raise(encoded, colour=colour)
    except cv2.error:
        return None


def decode_or_raise(encoded: bytes | np.ndarray, *, colour: bool = True) -> Image | None:
    """:func:`decode_picture` that tells why OpenCV refuses.

    Raises:
        cv2.error: There are no bytes, or their header claims more pixels than OpenCV takes.
    """
    data = np.frombuffer(encoded, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)
    return None if image is None else np.asarray(image, np.uint8)


class PictureStream:
    """Decoded pictures from a source of bytes."""

    def __init__(
        self,
        *,
        name: str,
        newest: bool,
        colour: bool,
        say: Callable[[str], None],
    ):
        """Begin at the next byte.

        Args:
            name: Of the source, for messages.
            newest: Whether only the newest of the pictures that wait is decoded.
            colour: Whether to decode to blue-green-red or to grey.
            say: Told, once, that damaged pictures are left out.
        """
        self._name, self._newest, self._colour, self._say = name, newest, colour, say
        self._splitter = JpegSplitter()
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._undecodable = 0

    @property
    def skipped(self) -> int:
        """Pictures that were left out because they were damaged."""
        return self._splitter.damaged + self._undecodable

    def next(self, read: Callable[[float], bytes], limit_s: float) -> tuple[Image, int] | None:
        """The next picture and its monotonic time of arrival in ns, or None at the end.

        Args:
            read: Takes the seconds it may wait; returns the next bytes, or none at the end.
            limit_s: Seconds that a picture may take to come.

        Raises:
            CameraError: None came within so many seconds, or what came is no Motion JPEG.
        """
        deadline_s = time.monotonic() + limit_s
        before = self.skipped
        try:
            while self._waiting or self._fill(read, deadline_s):
                if self._newest:
                    self._waiting = deque([self._waiting[-1]])
                encoded, arrived_ns = self._waiting.popleft()
                image = decode_picture(encoded, colour=self._colour)
                if image is not None:
                    return image, arrived_ns
                self._undecodable += 1
            return None
        finally:
            if before == 0 and self.skipped:
                self._say(f"{self._name} sent a damaged picture; such are left out and counted.")

    def _fill(self, read: Callable[[float], bytes], deadline_s: float) -> bool:
        """Read until a picture is whole; False at the end."""
        while not self._waiting:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise CameraError(f"{self._name} stopped delivering frames.")
            piece = read(left_s)
            if not piece:
                self._splitter.end()
                return False
            arrived_ns = time.monotonic_ns()
            try:
                pictures = self._splitter.feed(piece)
            except CameraError as exc:
                raise CameraError(f"{self._name}: {exc}.") from None
            self._waiting.extend((picture, arrived_ns) for picture in pictures)
        return True
