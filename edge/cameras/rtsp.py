"""Network cameras that speak RTSP, through OpenCV's FFmpeg."""

import os
import time

import cv2

from ..errors import CameraError
from ..records import Frame
from . import SILENCE_S, CameraBase, make_frame
from .capture import Capture
from .network import answers
from .source import without_password

# Read by OpenCV whenever it opens something; only RTSP knows the option. Over UDP, FFmpeg's first
# choice, a lost packet is a grey smear in the picture, and a firewall ends in a time-out.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")

# Each thread that decodes beyond the second makes a frame wait for one more to come (measured:
# docs/cameras.md).
_THREADS = 2


class RtspCamera(CameraBase):
    """A stream, newest frame first: the loop drops what it has no time for."""

    lossless = False

    def __init__(self, address: str):
        """Connect and decode the first frame.

        Args:
            address: ``rtsp://user:password@host:554/path``.

        Raises:
            CameraError: Nobody answers within 4 s, or there is no video.
        """
        self.name, self._address = without_password(address), address
        limit_ms = round(1000 * SILENCE_S)
        options = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms)
        options += (cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_N_THREADS, _THREADS)
        self._capture = Capture(address, cv2.CAP_FFMPEG, options)
        self._first = self._capture.read() if self._capture.opened else None
        if self._first is None:
            self._capture.close()
            raise CameraError(
                f"Cannot open {self.name}: is it switched on, and are the path, the user and the "
                f"password right? `ffplay -rtsp_transport tcp ADDRESS` says more."
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        # Where a stream does not say, FFmpeg answers with its clock's rate, such as 90000.
        self.fps = fps if 0 < fps <= 240 else 0.0
        self._index = 0

    def read(self) -> Frame | None:
        """The next frame.

        Raises:
            CameraError: None came within 4 s, or the camera ended the stream.
        """
        began_s = time.monotonic()
        picture, self._first = self._first, None
        if picture is None:
            picture = self._capture.read()
        # When its time is up, FFmpeg first hands out what it held back, as if all were well.
        if picture is None or time.monotonic() - began_s >= SILENCE_S:
            raise CameraError(f"{self.name} stopped delivering frames.")
        frame = make_frame(self._index, *picture)
        self._index += 1
        return frame

    def close(self) -> None:
        """End the session."""
        self._capture.close()

    def renew(self) -> "RtspCamera":
        """Connect again; raises what opening raises."""
        return RtspCamera(self._address)

    def reachable(self) -> bool | None:
        """Whether something listens at its address."""
        return answers(self._address)
