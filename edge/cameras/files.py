"""Clips and single pictures. They are lossless unless they are played at their own rate."""

import math
import os
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from ..errors import CameraError, DataError
from ..native_log import native_stderr_silenced
from ..records import Frame, Image
from . import CameraBase, make_frame
from .capture import Capture
from .mjpeg import decode_or_raise


class Pace:
    """Holds frames back until their time, and never makes up for lost time by waiting less."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._left = threading.Event()

    def wait(self, due_s: float) -> None:
        """Return when so many seconds of the clip have passed since the first call."""
        now_s = time.monotonic()
        if self._began_s is None:
            self._began_s = now_s - due_s
        self._left.wait(max(0.0, self._began_s + due_s - now_s))

    def leave(self) -> None:
        """End every wait, in whichever thread."""
        self._left.set()


class ClipCamera(CameraBase):
    """A video file, in any format that the installed OpenCV decodes."""

    def __init__(self, path: Path, *, realtime: bool = False):
        """Open the clip and decode its first frame, so that a file that is none is refused here.

        Args:
            path: The file.
            realtime: Hand out each frame at its time, as a camera does.

        Raises:
            CameraError: OpenCV cannot read it as a video.
        """
        self.name, self.lossless = path.name, not realtime
        with native_stderr_silenced():
            self._capture = Capture(str(path), _file_backend())
            first = self._capture.read() if self._capture.opened else None
        if first is None or _is_text(path):
            self._capture.close()
            raise CameraError(
                f"{path} is no video that this OpenCV can read. Expected a clip such as .mp4, .mkv "
                f"or .gif, or a picture such as .jpg."
            )
        self.fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._pace = Pace() if realtime else None
        self._first: tuple[np.ndarray, int] | None = first
        self._index, self._last_s = 0, -math.inf

    def read(self) -> Frame | None:
        """The next frame, or None at the end of the clip."""
        picture, self._first = self._first, None
        if picture is None:
            picture = self._capture.read()
        if picture is None:
            return None
        due_s, stream_ns = self._due_s(), None
        if self._pace is None:
            stream_ns = round(due_s * 1e9)
        else:
            self._pace.wait(due_s)
        # Captured when it is handed out: nobody waits for the pictures of a clip before.
        frame = make_frame(self._index, picture[0], stream_ns=stream_ns)
        self._index += 1
        return frame

    def close(self) -> None:
        """Close the file."""
        if self._pace is not None:
            self._pace.leave()
        self._capture.close()

    def _due_s(self) -> float:
        """Place of the last frame in the clip, in seconds."""
        place_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if place_s <= self._last_s:
            # Streams without a container, such as .h264, have no times.
            place_s = self._last_s + 1 / (self.fps if self.fps > 0 else 25.0)
        self._last_s = place_s
        return place_s


class ImageCamera(CameraBase):
    """A picture, as a clip of one frame."""

    lossless = True
    fps = 0.0

    def __init__(self, path: Path):
        """Read the picture.

        Raises:
            CameraError: OpenCV cannot decode it.
        """
        self.name = path.name
        try:
            self._image: Image | None = read_image(path)
        except DataError as exc:
            raise CameraError(str(exc)) from exc

    def read(self) -> Frame | None:
        """The picture, and None after it."""
        image, self._image = self._image, None
        return None if image is None else make_frame(0, image)


def _file_backend() -> int:
    """FFmpeg where OpenCV has it: others would take ``film01.txt`` for a series of pictures."""
    has_ffmpeg = cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends()
    return cv2.CAP_FFMPEG if has_ffmpeg else cv2.CAP_ANY


def _is_text(path: Path) -> bool:
    """Whether a file begins as text. FFmpeg plays text as a film of its characters."""
    try:
        with path.open("rb") as file:
            return file.read(1024).isascii()
    except OSError:
        return False


def read_image(path: Path) -> Image:
    """Decode a picture file.

    Returns:
        uint8, ``(height, width, 3)``, blue-green-red.

    Raises:
        DataError: The file cannot be read or is no picture.
    """
    with native_stderr_silenced():
        return decode_file(path)


def decode_file(path: Path, *, colour: bool = True) -> Image:
    """:func:`read_image` for a thread beside others: what libraries print is not held back.

    Without colour the picture is grey, ``(height, width)``.
    """
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as exc:
        raise DataError(f"Cannot read the picture {path}: {exc.strerror}.") from exc
    try:
        image = decode_or_raise(encoded, colour=colour)
    except cv2.error as exc:
        if "IMAGE_PIXELS" in str(exc):
            limit = int(os.environ.get("OPENCV_IO_MAX_IMAGE_PIXELS", 2**30)) / 1e6
            raise DataError(
                f"{path} has more than {limit:.0f} megapixels: shrink it, or let OpenCV take more "
                f"with OPENCV_IO_MAX_IMAGE_PIXELS."
            ) from exc
        image = None
    if image is None:
        raise DataError(f"{path} is no picture that this OpenCV can decode.")
    return image
