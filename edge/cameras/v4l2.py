"""USB and other V4L2 cameras through OpenCV."""

import cv2
import numpy as np

from ..errors import CameraError
from ..records import Frame
from . import CameraBase, make_frame


class V4l2Camera(CameraBase):
    """A camera behind ``/dev/videoN``, newest frame first."""

    lossless = False

    def __init__(self, device: str, *, name: str, size_wh: tuple[int, int], fps: float):
        """Open the device.

        Raises:
            CameraError: It cannot be opened, or another program holds it.
        """
        self.name = f"{name} ({device})"
        self._capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraError(
                f"Cannot open {self.name}: another program may hold it, or your user is not in the "
                f"group `video` (`sudo usermod -aG video $USER`, then log in again)."
            )
        # MJPEG before the size: uncompressed frames do not fit through USB 2 at 30 a second.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size_wh[0])
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size_wh[1])
        self._capture.set(cv2.CAP_PROP_FPS, fps)
        # One buffer, or the frames that wait in the driver are the oldest ones.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS)) or fps
        self._index = 0

    def read(self) -> Frame | None:
        """The next frame.

        Raises:
            CameraError: None came within OpenCV's read limit (2 s, set in ``fer_edge.edge``).
        """
        good, image = self._capture.read()
        if not good:
            raise CameraError(f"{self.name} stopped delivering frames. Is it still plugged in?")
        frame = make_frame(self._index, np.asarray(image, dtype=np.uint8))
        self._index += 1
        return frame

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


def delivers(device: str) -> bool:
    """Whether a device hands out a frame when asked; many nodes of ``/dev/video*`` never do."""
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    try:
        return bool(capture.isOpened() and capture.read()[0])
    finally:
        capture.release()
