"""Where frames come from: one protocol, one way to open every source.

A camera is a context manager: leaving it releases the device. Its ``read`` is called by one thread.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

import cv2
import numpy as np

from ..errors import CameraEndedError, CameraError
from ..records import Frame, Image
from .listing import CameraInfo, list_cameras
from .source import FORMS, Source, parse_source

__all__ = ["Camera", "CameraInfo", "list_cameras", "make_frame", "open_camera"]

#: A stream that delivers nothing for so long has gone. Noticed, with the end of what waits in
#: buffers, within 5 s.
SILENCE_S = 4.0
#: Degrees clockwise that pictures can be turned by.
ROTATIONS = (0, 90, 180, 270)


class Camera(Protocol):
    """A source of frames.

    Attributes:
        name: What messages call it; never with a password.
        lossless: True where every frame counts and the loop may make it wait (files); False where
            the newest counts (devices).
        fps: Its nominal rate in frames a second, or 0 where it has none.
    """

    name: str
    lossless: bool
    fps: float

    @property
    def skipped(self) -> int:
        """Pictures that it left out because they were damaged."""
        ...

    def read(self) -> Frame | None:
        """The next frame, or None at the end.

        Raises:
            CameraError: It stopped delivering.
        """
        ...

    def close(self) -> None:
        """Release the device; a second call does nothing, and any thread may call it."""
        ...

    def renew(self) -> "Camera":
        """Open another camera like this one, which shares nothing with it.

        To be called when this one was lost and closed, or when a thread hangs in it.

        Raises:
            CameraError: It cannot be opened at present.
            CameraEndedError: It never can be again.
        """
        ...

    def reachable(self) -> bool | None:
        """Whether it is there, told within a second; None where only opening it can tell."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class CameraBase:
    """What all cameras share: the context manager, and the answers of one that ends for good."""

    name = ""
    _skipped = 0

    @property
    def skipped(self) -> int:
        """Pictures that were left out because they were damaged."""
        return self._skipped

    def close(self) -> None:
        """Nothing to release, unless a camera says otherwise."""

    def renew(self) -> Camera:
        """Refuse, unless a camera says otherwise.

        Raises:
            CameraEndedError: Always.
        """
        raise CameraEndedError(f"{self.name} cannot be opened again.")

    def reachable(self) -> bool | None:
        """None: unknown."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_frame(
    index: int,
    image: np.ndarray,
    captured_ns: int | None = None,
    luma: Image | None = None,
    stream_ns: int | None = None,
) -> Frame:
    """A frame in the form that the loop expects.

    Args:
        index: Its position in the stream.
        image: What a library decoded: uint8 or uint16, ``(height, width)`` or with 1, 3 or 4
            channels, blue-green-red.
        captured_ns: Monotonic time of its capture; None is now.
        luma: Its grey picture, where it comes for free.
        stream_ns: When it is due in its stream, where that is not when it is captured.

    Raises:
        CameraError: It is no picture of that form.
    """
    now_ns = time.monotonic_ns()
    captured_ns = now_ns if captured_ns is None else captured_ns
    unix_s = time.time() - (now_ns - captured_ns) / 1e9
    return Frame(index, _as_image(image), captured_ns, unix_s, luma, stream_ns)


def _as_image(image: np.ndarray) -> Image:
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 3 and image.shape[2] == 4:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    good_shape = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not good_shape or image.size == 0:
        raise CameraError(
            f"The camera delivered {image.dtype} of {image.shape}; expected uint8 pictures of "
            f"(height, width, 3) or (height, width)."
        )
    return image


def _silent(_sentence: str) -> None:
    """Where what a camera has to say goes by default."""


def open_camera(
    source: str | int | Path,
    *,
    size_wh: tuple[int, int] | None = None,
    fps: float | None = None,
    lossless: bool | None = None,
    colour: bool = True,
    rotate: int = 0,
    mirror: bool = False,
    realtime: bool = False,
    say: Callable[[str], None] = _silent,
) -> Camera:
    """Open a camera, a stream, a clip, pictures or the demo.

    Args:
        source: What ``--camera`` takes; the forms are in docs/cameras.md.
        size_wh: Size in pixels. Devices and the demo are asked for it (None: 640x480); raw frames
            on standard input have it; pictures of all others are shrunk to fit into it.
        fps: Frames a second. Devices and the demo are asked for it (None: 30); a folder is played
            at it (None: each picture stands for itself, and no face is followed from one to the
            next); of live streams, frames beyond it are left out. Clips keep their own.
        lossless: For the demo: True hands out frames as fast as they are taken, and all of them.
        colour: False where nobody looks at the colours: frames may then be grey, ``(height,
            width)``, which is cheaper to decode.
        rotate: Turn pictures clockwise by 0, 90, 180 or 270 degrees.
        mirror: Swap left and right, after turning.
        realtime: Play a clip or a folder like a camera, at its rate, and take standard input for
            live: what nobody has time for is dropped, where otherwise every frame counts.
        say: Takes a sentence for people, such as that pictures were left out.

    Raises:
        CameraError: There is no such camera or file, it delivers nothing, or it cannot have this
            size or rate.
    """
    if rotate not in ROTATIONS:
        raise CameraError(f"Pictures can be turned by {ROTATIONS} degrees, got {rotate}.")
    try:
        parsed = parse_source(str(source))
    except CameraError as exc:
        raise CameraError(f"{exc} {known_cameras(list_cameras())}") from None
    device = _find_device(parsed)
    path = Path(parsed.address)
    camera: Camera
    asked_wh, asked_fps = size_wh or (640, 480), 30.0 if fps is None else fps
    if device is not None and device.kind == "csi":
        from .csi import CsiCamera

        # It mirrors and turns by 180 degrees itself, some of it at no cost.
        at_no_cost = rotate in (0, 180)
        camera = CsiCamera(
            int(device.address),
            name=device.name,
            size_wh=asked_wh,
            fps=asked_fps,
            colour=colour,
            rotate=rotate if at_no_cost else 0,
            mirror=mirror and at_no_cost,
        )
        if at_no_cost:
            return camera
    elif device is not None:
        from .v4l2 import V4l2Camera

        camera = V4l2Camera(
            device.address,
            name=device.name,
            size_wh=asked_wh,
            fps=asked_fps,
            colour=colour,
            say=say,
        )
    elif parsed.kind == "demo":
        from .demo import DemoCamera

        camera = DemoCamera(size_wh=asked_wh, fps=asked_fps, lossless=bool(lossless), colour=colour)
    elif parsed.kind == "rtsp":
        from .rtsp import RtspCamera

        camera = RtspCamera(parsed.address)
    elif parsed.kind == "http":
        from .http_mjpeg import HttpCamera

        camera = HttpCamera(parsed.address, colour=colour, say=say)
    elif parsed.kind == "stdin":
        from .stdin import StdinCamera

        camera = StdinCamera(
            parsed.address, size_wh=asked_wh, fps=asked_fps, colour=colour, live=realtime, say=say
        )
    elif parsed.kind == "folder":
        from .folder import FolderCamera

        camera = FolderCamera(path, fps=fps, colour=colour, realtime=realtime, say=say)
    elif parsed.kind == "picture":
        from .files import ImageCamera

        camera = ImageCamera(path)
    else:
        from .files import ClipCamera

        camera = ClipCamera(path, realtime=realtime)
    from .shape import Shape, ShapedCamera

    is_raw = parsed.kind == "stdin" and parsed.address != ""
    has_size = device is not None or parsed.kind == "demo" or is_raw
    is_stream = parsed.kind in ("rtsp", "http", "stdin")
    shape = Shape(
        colour=colour,
        within_wh=None if has_size else size_wh,
        rotate=rotate,
        mirror=mirror,
        at_most_fps=fps if is_stream else None,
    )
    return camera if shape == Shape() else ShapedCamera(camera, shape)


def known_cameras(cameras: list[CameraInfo]) -> str:
    """A sentence that tells which values ``--camera`` can have here."""
    there = "; ".join(f"{camera.position} ({camera.name})" for camera in cameras)
    found = f"Cameras here: {there}." if there else "No camera was found here."
    return f"{found} --camera takes {FORMS}."


def _find_device(source: Source) -> CameraInfo | None:
    """The device that a source means, or None where it means something else."""
    if source.kind == "device":
        return CameraInfo(-1, "usb", source.address, "camera")
    if source.kind not in ("position", "csi", "usb"):
        return None
    cameras = list_cameras()
    fitting = [camera for camera in cameras if source.kind in ("position", camera.kind)]
    # Not int() of the whole: it refuses more than some thousand digits.
    number = int(source.address[-18:]) if len(source.address) < 19 else len(fitting)
    if number >= len(fitting):
        kind = "" if source.kind == "position" else f"{source.kind}:"
        raise CameraError(
            f"There is no camera {kind}{source.address[:20]}. {known_cameras(cameras)}"
        )
    return fitting[number]
