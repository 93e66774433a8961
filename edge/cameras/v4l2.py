"""USB and other V4L2 cameras through OpenCV."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ..errors import CameraError
from ..records import Frame, Image
from . import SILENCE_S, CameraBase, make_frame
from .capture import Capture
from .mjpeg import decode_picture, whole_jpeg

_MJPEG = cv2.VideoWriter.fourcc(*"MJPG")
#: Where udev keeps names that stay: by maker and serial number, and by socket.
LINKS = Path("/dev/v4l")


class V4l2Camera(CameraBase):
    """A camera behind ``/dev/videoN``, newest frame first."""

    lossless = False

    def __init__(
        self,
        device: str,
        *,
        name: str,
        size_wh: tuple[int, int],
        fps: float,
        colour: bool,
        say: Callable[[str], None],
    ):
        """Open the device.

        Args:
            device: Its file, or a link to it.
            name: Its model, for messages.
            size_wh: Size to ask for in pixels; the camera takes the nearest that it has.
            fps: Frames a second to ask for.
            colour: False decodes to grey.
            say: Told, once, that damaged pictures are left out.

        Raises:
            CameraError: It is not there, cannot be opened, or another program holds it.
        """
        self.name = f"{name} ({device})"
        self._model, self._size, self._asked_fps = name, size_wh, fps
        self._colour, self._say = colour, say
        # Numbers move when a camera is plugged in again; these names do not.
        self._device = stable_name(device)
        self._capture = Capture(os.path.realpath(device), cv2.CAP_V4L2)
        if not self._capture.opened:
            self._capture.close()
            raise CameraError(f"Cannot open {self.name}: {_why_not(device)}")
        # MJPEG before the size: uncompressed frames do not fit through USB 2 at 30 a second.
        self._capture.set(cv2.CAP_PROP_FOURCC, _MJPEG)
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size_wh[0])
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size_wh[1])
        self._capture.set(cv2.CAP_PROP_FPS, fps)
        # One buffer, or the frames that wait in the driver are the oldest ones.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if self._capture.get(cv2.CAP_PROP_FOURCC) == _MJPEG:
            # The JPEG as it came: OpenCV would show a damaged one in part, or the one before.
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or fps
        self._index = 0

    def read(self) -> Frame | None:
        """The next frame that is whole.

        Raises:
            CameraError: None came within OpenCV's read limit (2 s, set in ``fer_edge.edge``).
        """
        deadline_s = time.monotonic() + SILENCE_S
        while (picture := self._capture.read()) is not None and time.monotonic() < deadline_s:
            image = self._decoded(picture[0])
            if image is not None:
                frame = make_frame(self._index, image, picture[1])
                self._index += 1
                return frame
            self._skipped += 1
            if self._skipped == 1:
                self._say(f"{self.name} sent a damaged picture; such are left out and counted.")
        raise CameraError(f"{self.name} stopped delivering frames. Is it still plugged in?")

    def close(self) -> None:
        """Release the device."""
        self._capture.close()

    def renew(self) -> "V4l2Camera":
        """Open the same camera, where it is plugged in by now; raises what opening raises."""
        return V4l2Camera(
            self._device,
            name=self._model,
            size_wh=self._size,
            fps=self._asked_fps,
            colour=self._colour,
            say=self._say,
        )

    def reachable(self) -> bool | None:
        """Whether it is plugged in."""
        return Path(self._device).exists()

    def _decoded(self, picture: np.ndarray) -> Image | np.ndarray | None:
        """The picture, decoded where it is a JPEG, or None where that is damaged."""
        if picture.ndim == 3 and picture.shape[-1] == 3:
            return picture
        jpeg = whole_jpeg(picture.tobytes())
        return None if jpeg is None else decode_picture(jpeg, colour=self._colour)


def stable_name(device: str, links: Path | None = None) -> str:
    """A name of a device that stays when it is plugged in again, or the device itself.

    By maker and serial number where that means this one; two cameras without a serial number share
    such a name, and are told apart by the socket.
    """
    links = LINKS if links is None else links
    if Path(device).is_symlink():
        return device
    for kind in ("by-id", "by-path"):
        for link in sorted((links / kind).glob("*")):
            if os.path.realpath(link) == os.path.realpath(device):
                return str(link)
    return device


def _why_not(device: str) -> str:
    if not Path(device).exists():
        return "it is not plugged in, or has another name by now."
    if not os.access(device, os.R_OK | os.W_OK):
        return (
            "your user is not in the group `video` (`sudo usermod -aG video $USER`, then log in "
            "again)."
        )
    return "it is no camera, or another program holds it."


def delivers(device: str) -> bool:
    """Whether a device hands out a frame when asked; many nodes of ``/dev/video*`` never do."""
    capture = Capture(device, cv2.CAP_V4L2)
    try:
        return capture.opened and capture.read() is not None
    finally:
        capture.close()
