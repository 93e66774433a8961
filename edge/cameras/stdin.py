"""Frames on standard input, as rpicam-vid and ffmpeg write them.

Every frame counts by default, and the program that writes waits when the loop is slow: right for
ffmpeg with a file. A camera program cannot wait; with ``live`` the input is always emptied at once
and the loop drops what it has no time for.
"""

import copy
import os
import select
import time
from collections.abc import Callable

import cv2
import numpy as np

from ..errors import CameraError
from ..records import Frame, Image
from . import SILENCE_S, CameraBase, make_frame
from .mjpeg import PictureStream
from .source import RAW_FORMATS

# The other program may have to find its camera first.
_FIRST_S = 30.0
# How often a read looks whether it was closed meanwhile: a pipe that stays silent cannot tell.
_POLL_S = 0.2
_PIECE_BYTES = 1 << 16


class StdinCamera(CameraBase):
    """Motion JPEG or raw frames from a file descriptor."""

    def __init__(
        self,
        raw: str,
        *,
        size_wh: tuple[int, int],
        fps: float,
        colour: bool,
        live: bool,
        say: Callable[[str], None],
        descriptor: int = 0,
    ):
        """Wait for the first frame.

        Args:
            raw: ``""`` for Motion JPEG, else one of the raw formats of ``source``.
            size_wh: Size of raw frames in pixels; those of ``yuv420`` are even.
            fps: Frames a second of what comes.
            colour: False decodes to grey.
            live: Whether the newest frame counts, not every one.
            say: Told, once each, of damaged pictures and of a last frame that is cut.
            descriptor: What to read from; it stays open.

        Raises:
            CameraError: No frame comes within 30 s, or what comes is none.
        """
        self.name, self.lossless, self.fps = "standard input", not live, fps
        self._raw, self._size, self._colour, self._say = raw, size_wh, colour, say
        if raw == "yuv420" and (size_wh[0] % 2 or size_wh[1] % 2):
            raise CameraError(f"yuv420 frames have even sides, got {size_wh[0]}x{size_wh[1]}.")
        self._descriptor, self._closed = descriptor, False
        self._stream = PictureStream(name=self.name, newest=live, colour=colour, say=say)
        # A raw frame, and how much of it has come.
        self._bytes = np.empty(size_wh[0] * size_wh[1] * RAW_FORMATS.get(raw, 0) // 2, np.uint8)
        self._filled = self._cut = self._index = 0
        if os.isatty(descriptor):
            raise CameraError(
                "Standard input is a terminal: pipe frames into it, such as `rpicam-vid -t 0 "
                "--codec mjpeg -o - | fer-edge run --camera -`."
            )
        self._first = self._next(_FIRST_S)
        if self._first is None:
            came = f" ({self._filled} of {self._bytes.size} bytes came)" if raw else ""
            raise CameraError(f"Standard input ended before the first frame was whole{came}.")

    @property
    def skipped(self) -> int:
        """Pictures that were left out because they were damaged."""
        return self._stream.skipped + self._cut

    def read(self) -> Frame | None:
        """The next frame, or None at the end of the input.

        Raises:
            CameraError: None came within 4 s, or what came is no Motion JPEG.
        """
        frame, self._first = self._first, None
        return frame or self._next(SILENCE_S)

    def close(self) -> None:
        """End a read within 0.2 s; standard input itself stays open."""
        self._closed = True

    def renew(self) -> "StdinCamera":
        """Another one, which goes on in the input where this one stopped."""
        renewed = copy.copy(self)
        renewed._closed = False
        return renewed

    def reachable(self) -> bool | None:
        """Whether something waits to be read, be it the end."""
        return bool(_readable(self._descriptor, 0.0))

    def _next(self, limit_s: float) -> Frame | None:
        if self._raw:
            image, luma = self._next_raw(limit_s)
            arrived_ns = None
        else:
            image, arrived_ns = self._stream.next(self._piece, limit_s) or (None, None)
            luma = None
        if image is None:
            return None
        # Of a film that is piped, time goes by its rate and not by how fast it comes.
        stream_ns = round(self._index * 1e9 / self.fps) if self.lossless else None
        frame = make_frame(self._index, image, arrived_ns, luma, stream_ns)
        self._index += 1
        return frame

    def _piece(self, limit_s: float) -> bytes:
        """The next bytes, or none at the end of the input or of this camera."""
        return os.read(self._descriptor, _PIECE_BYTES) if self._wait(limit_s) else b""

    def _next_raw(self, limit_s: float) -> tuple[Image | None, Image | None]:
        """The next picture and its luma, or two of None at the end."""
        deadline_s = time.monotonic() + limit_s
        while self._filled < self._bytes.size:
            if not self._wait(deadline_s - time.monotonic()):
                return None, None
            got = os.readv(self._descriptor, [self._bytes[self._filled :].data])
            if not got:
                if self._filled and self._index:
                    filled, self._filled, self._cut = self._filled, 0, 1
                    self._say(
                        f"Standard input ended within a frame: {filled} of its "
                        f"{self._bytes.size} bytes came. Is --size right?"
                    )
                return None, None
            self._filled += got
        self._filled = 0
        return _unpacked(self._bytes, self._raw, self._size, self._colour)

    def _wait(self, limit_s: float) -> bool:
        """Wait for input; False where this camera was closed.

        Raises:
            CameraError: None came in time.
        """
        deadline_s = time.monotonic() + limit_s
        while not self._closed:
            left_s = deadline_s - time.monotonic()
            if _readable(self._descriptor, max(0.0, min(_POLL_S, left_s))):
                return True
            if left_s <= 0:
                raise CameraError(f"No frame came on {self.name} for {limit_s:.0f} s.")
        return False


def _readable(descriptor: int, limit_s: float) -> bool:
    """Whether a read would come back at once, with bytes, the end or an error."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(limit_s * 1000))


def _unpacked(
    data: Image, raw: str, size_wh: tuple[int, int], colour: bool
) -> tuple[Image, Image | None]:
    """A picture of its own and, of yuv420 in colour, its luma, from the bytes of a raw frame."""
    width, height = size_wh
    if raw == "bgr24":
        return data.reshape(height, width, 3).copy(), None
    grey = data[: width * height].reshape(height, width).copy()
    if raw == "gray" or not colour:
        return grey, None
    planes = data.reshape(height * 3 // 2, width)
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8), grey
