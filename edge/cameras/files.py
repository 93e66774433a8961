"""Clips and single pictures. They are lossless: every frame is delivered."""

from pathlib import Path

import cv2
import numpy as np

from ..errors import CameraError, DataError
from ..native_log import native_stderr_silenced
from ..records import Frame, Image
from . import CameraBase, make_frame


class ClipCamera(CameraBase):
    """A video file, in any format that the installed OpenCV decodes."""

    lossless = True

    def __init__(self, path: Path):
        """Open the clip and decode its first frame, so that a file that is none is refused here.

        Raises:
            CameraError: OpenCV cannot read it as a video.
        """
        self.name = path.name
        with native_stderr_silenced():
            self._capture = cv2.VideoCapture(str(path), _file_backend())
            good, image = self._capture.read() if self._capture.isOpened() else (False, None)
        if not good or _is_text(path):
            self._capture.release()
            raise CameraError(
                f"{path} is no video that this OpenCV can read. Expected a clip such as .mp4, .mkv "
                f"or .gif, or a picture such as .jpg."
            )
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._first: Image | None = np.asarray(image, dtype=np.uint8)
        self._index = 0

    def read(self) -> Frame | None:
        """The next frame, or None at the end of the clip."""
        image, self._first = self._first, None
        if image is None:
            good, decoded = self._capture.read()
            if not good:
                return None
            image = np.asarray(decoded, dtype=np.uint8)
        frame = make_frame(self._index, image)
        self._index += 1
        return frame

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


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
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as exc:
        raise DataError(f"Cannot read the picture {path}: {exc.strerror}.") from exc
    try:
        with native_stderr_silenced():
            image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except cv2.error:
        # A header that claims more pixels than OpenCV takes.
        image = None
    if image is None:
        raise DataError(f"{path} is no picture that this OpenCV can decode.")
    return np.asarray(image, dtype=np.uint8)
