"""Where frames come from: one protocol, one way to open every source.

A camera is a context manager: leaving it releases the device. Its ``read`` is called by one thread.
"""

import time
from pathlib import Path
from typing import Protocol, Self

from ..errors import CameraError
from ..records import Frame, Image
from .listing import CameraInfo, list_cameras

__all__ = ["Camera", "CameraInfo", "list_cameras", "make_frame", "open_camera"]

_IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


class Camera(Protocol):
    """A source of frames.

    Attributes:
        name: What messages call it.
        lossless: True where every frame counts and the loop may make it wait (files); False where
            the newest counts (devices).
        fps: Its nominal rate in frames a second, or 0 where it has none.
    """

    name: str
    lossless: bool
    fps: float

    def read(self) -> Frame | None:
        """The next frame, or None at the end.

        Raises:
            CameraError: It stopped delivering.
        """
        ...

    def close(self) -> None:
        """Release the device; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class CameraBase:
    """The context manager that all cameras share."""

    def close(self) -> None:
        """Nothing to release, unless a camera says otherwise."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_frame(index: int, image: Image) -> Frame:
    """A frame that was captured now."""
    return Frame(index, image, time.monotonic_ns(), time.time())


def open_camera(
    source: str | int | Path,
    *,
    size_wh: tuple[int, int] = (640, 480),
    fps: float = 30.0,
    lossless: bool | None = None,
) -> Camera:
    """Open a camera, a clip, a picture or the demo.

    Args:
        source: A position in :func:`list_cameras` (``0``), a file, or ``demo``.
        size_wh: Size to ask a device or the demo for, in pixels; files keep their own.
        fps: Rate to ask a device or the demo for, in frames a second.
        lossless: For the demo: True hands out frames as fast as they are taken, and all of them.
            None is False for devices and the demo, True for files.

    Raises:
        CameraError: There is no such camera or file, or it delivers nothing.
    """
    text = str(source)
    if text == "demo":
        from .demo import DemoCamera

        return DemoCamera(size_wh=size_wh, fps=fps, lossless=bool(lossless))
    if text.isdecimal():
        return _open_device(int(text), size_wh, fps)
    path = Path(text)
    reason = _why_no_file(path)
    if reason is not None:
        raise CameraError(f"The camera {text!r} {reason}. {known_cameras(list_cameras())}")
    from .files import ClipCamera, ImageCamera

    return ImageCamera(path) if path.suffix.lower() in _IMAGE_SUFFIXES else ClipCamera(path)


def _why_no_file(path: Path) -> str | None:
    try:
        if path.is_file():
            return None
        if path.is_dir():
            return "is a folder, not a clip or a picture"
        return "is no clip or picture" if path.exists() else "does not exist"
    except PermissionError:
        return "cannot be read: permission denied"
    except (OSError, ValueError):
        # A name too long for any file, or with a NUL in it.
        return "does not exist"


def known_cameras(cameras: list[CameraInfo]) -> str:
    """A sentence that tells which values ``--camera`` can have here."""
    there = "; ".join(f"{camera.position} ({camera.name})" for camera in cameras)
    found = f"Cameras here: {there}." if there else "No camera was found here."
    return f"{found} A clip, a picture or `demo` can be given instead."


def _open_device(position: int, size_wh: tuple[int, int], fps: float) -> Camera:
    cameras = list_cameras()
    if position >= len(cameras):
        raise CameraError(f"There is no camera {position}. {known_cameras(cameras)}")
    chosen = cameras[position]
    if chosen.kind == "csi":
        from .csi import CsiCamera

        return CsiCamera(int(chosen.address), name=chosen.name, size_wh=size_wh, fps=fps)
    from .v4l2 import V4l2Camera

    return V4l2Camera(chosen.address, name=chosen.name, size_wh=size_wh, fps=fps)
