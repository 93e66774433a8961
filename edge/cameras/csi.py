"""The Pi's own camera connector, through picamera2.

picamera2 comes with Raspberry Pi OS (``sudo apt install python3-picamera2``) and is seen from a
virtual environment made with ``--system-site-packages``. It is imported here, when it is needed.
"""

from typing import Any

import numpy as np

from ..errors import CameraError
from ..records import Frame
from . import CameraBase, make_frame

# capture_array() waits for ever by default; a camera that delivers nothing for 2 s is gone.
_READ_LIMIT_S = 2.0


class CsiCamera(CameraBase):
    """A camera on the ribbon cable, newest frame first."""

    lossless = False

    def __init__(self, number: int, *, name: str, size_wh: tuple[int, int], fps: float):
        """Open and start the camera.

        Args:
            number: Its ``Num`` in picamera2's list.
            name: Its model, for messages.
            size_wh: Size of the frames in pixels.
            fps: Frames a second to ask for.

        Raises:
            CameraError: picamera2 is missing, or the camera cannot be opened.
        """
        self.name, self.fps = f"{name} (CSI {number})", fps
        picamera2 = _import_picamera2()
        if picamera2 is None:
            raise CameraError(
                "A CSI camera needs picamera2, which comes with Raspberry Pi OS: `sudo apt install "
                "python3-picamera2`, and an environment made with `--system-site-packages`, as "
                "scripts/run makes it."
            )
        try:
            self._camera = picamera2.Picamera2(number)
            # "RGB888" is libcamera's name for what NumPy sees as blue, green, red: OpenCV's order.
            configuration = self._camera.create_video_configuration(
                main={"size": size_wh, "format": "RGB888"},
                controls={"FrameRate": fps},
                queue=False,
            )
            self._camera.configure(configuration)
            self._camera.start()
        except (RuntimeError, IndexError, OSError) as exc:
            if hasattr(self, "_camera"):
                # Left open it would block every later try, in this process and in others.
                self._camera.close()
            raise CameraError(
                f"Cannot open {self.name}: {exc}. Another program may hold it."
            ) from exc
        self._index = 0

    def read(self) -> Frame | None:
        """The next frame.

        Raises:
            CameraError: None came within 2 s.
        """
        try:
            image = self._camera.capture_array("main", wait=_READ_LIMIT_S)
        except (TimeoutError, RuntimeError) as exc:
            raise CameraError(
                f"{self.name} stopped delivering frames. Is the ribbon cable seated?"
            ) from exc
        frame = make_frame(self._index, np.asarray(image, dtype=np.uint8))
        self._index += 1
        return frame

    def close(self) -> None:
        """Stop the camera and let others have it."""
        self._camera.close()


def csi_cameras() -> list[dict[str, Any]]:
    """Picamera2's own list (``Model``, ``Num``, ``Id`` …); empty where there is no picamera2."""
    picamera2 = _import_picamera2()
    return list(picamera2.Picamera2.global_camera_info()) if picamera2 else []


def _import_picamera2() -> Any | None:
    try:
        import picamera2  # type: ignore[import-not-found]
    except (ImportError, ValueError, AttributeError, RuntimeError, OSError):
        # Not only absent: it may be there without libcamera's bindings (ImportError), or built
        # against another NumPy (ValueError: numpy.dtype size changed).
        return None
    return picamera2
