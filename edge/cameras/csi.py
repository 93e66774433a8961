"""The Pi's own camera connector, through picamera2.

picamera2 comes with Raspberry Pi OS (``sudo apt install python3-picamera2``) and is seen from a
virtual environment made with ``--system-site-packages``. It is imported here, when it is needed.
docs/cameras-csi.md tells what was run against it, and its traps.
"""

import gc
import logging
import os
import threading
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from typing import Any

import cv2

from ..errors import CameraError
from ..records import Frame, Image
from . import CameraBase, make_frame

# picamera2 waits for ever by default; a camera that delivers nothing for 2 s is gone.
_READ_LIMIT_S = 2.0
# Closing a camera that works takes 0.5 s. With a loose ribbon, Pi kernels have been seen to hang
# in it for good (picamera2's issues 1065, 1264 and 1275).
_CLOSE_LIMIT_S = 2.0
# An older time of capture is none.
_OLDEST_NS = 10_000_000_000

# What picamera2 and libcamera were seen to raise: beside what they raise on purpose, whatever
# their own code trips over when the hardware answers with nothing.
_FAILURES = (
    CancelledError,
    RuntimeError,
    OSError,  # TimeoutError too
    ImportError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
)

# picamera2's selectors, and the allocator that its close() opens, lie in reference cycles with a
# descriptor each. Python finds such only now and then; a camera that comes and goes, tried every
# 30 s, would have used up the descriptors of the process by then. Hence gc.collect() below.

# A second Picamera2(n) fails while the first is open, and takes the first with it: the thread that
# serves both dies. So each number is handed out once, and comes back when its camera is closed.
_held: set[int] = set()
_held_lock = threading.Lock()


class CsiCamera(CameraBase):
    """A camera on the ribbon cable, newest frame first.

    With colour, ``Frame.image`` is the main stream and ``Frame.luma`` the Y plane of the ``lores``
    stream: the grey picture that the image processor makes beside it at no cost to the CPU.
    Without colour the main stream itself is YUV420 and its Y plane is ``Frame.image``; the chip
    then makes no colours and nothing but that plane is copied.
    """

    lossless = False

    def __init__(
        self,
        number: int,
        *,
        name: str,
        size_wh: tuple[int, int],
        fps: float,
        colour: bool = True,
        rotate: int = 0,
        mirror: bool = False,
    ):
        """Open and start the camera.

        Args:
            number: Its ``Num`` in :func:`csi_cameras`.
            name: Its model, for messages.
            size_wh: Size of the frames in pixels. libcamera makes it even, and adjusts one that
                the camera cannot have; :attr:`size_wh` is what came of it.
            fps: Frames a second to ask for.
            colour: Whether somebody looks at the colours; False gives grey frames.
            rotate: 0 or 180 degrees; others are not to be had from the camera.
            mirror: Whether to swap left and right, after the rotation.

        Raises:
            CameraError: picamera2 is missing, or the camera cannot be opened, or is open already.
        """
        if rotate not in (0, 180) or not fps > 0:
            raise CameraError(
                f"A CSI camera turns by 0 or 180 degrees at a rate above 0, got {rotate} degrees "
                f"at {fps} frames/s."
            )
        self.name, self.fps, self.size_wh = f"{name} (CSI {number})", fps, size_wh
        self._number, self._colour = number, colour
        self._again = partial(
            CsiCamera,
            number,
            name=name,
            size_wh=size_wh,
            fps=fps,
            colour=colour,
            rotate=rotate,
            mirror=mirror,
        )
        self._flips = (mirror != (rotate == 180), rotate == 180)
        self._index = 0
        self._picamera2 = _import_picamera2()
        if self._picamera2 is None:
            raise CameraError(
                "A CSI camera needs picamera2, which comes with Raspberry Pi OS: `sudo apt install "
                "python3-picamera2`, and an environment made with `--system-site-packages`, as "
                "scripts/run makes it."
            )
        self._camera: Any = None
        with _held_lock:
            if number in _held:
                raise CameraError(
                    f"{self.name} is open in this program already. Close it first; if that was "
                    f"done, its driver hangs: check the ribbon cable, then start anew."
                )
            _held.add(number)
        try:
            self._camera = _construct(self._picamera2.Picamera2, number)
            self._start()
        except BaseException as exc:
            if self._camera is None:
                _give_back(number)
            self.close()
            if not isinstance(exc, _FAILURES):
                raise
            raise CameraError(
                f"Cannot open {self.name}: {_cause(exc)}. Another program may hold it, "
                f"or its ribbon cable is loose; `rpicam-hello --list-cameras` tells what is there."
            ) from exc

    def _start(self) -> None:
        """Configure and start the camera, and read back what libcamera made of the wishes."""
        if not hasattr(self._camera, "cancel_all_and_flush"):
            # It takes `wait=2.0` for "wait", and a frozen camera would stop the program for ever.
            raise RuntimeError(
                "picamera2 is from before July 2024 and cannot limit a wait; "
                "`sudo apt full-upgrade` brings a newer one"
            )
        from libcamera import ColorSpace, Transform  # type: ignore[import-not-found]

        wish = {"size": self.size_wh, "format": "YUV420"}
        if self._colour:
            # "RGB888" is libcamera's name for what NumPy sees as blue, green, red: OpenCV's order.
            streams = {"main": {"size": self.size_wh, "format": "RGB888"}, "lores": wish}
        else:
            streams = {"main": wish}
        hflip, vflip = self._flips
        configuration = self._camera.create_video_configuration(
            **streams,
            transform=Transform(hflip=hflip, vflip=vflip),
            # The default for films leaves Y only 16 to 235; a grey picture has 0 to 255.
            colour_space=ColorSpace.Sycc(),
            controls={"FrameRate": self.fps},
            # A queue hands out a frame that has waited.
            queue=False,
        )
        self._camera.configure(configuration)
        made = self._camera.camera_configuration()
        self.size_wh = tuple(made["main"]["size"])
        luma = made["lores" if self._colour else "main"]
        # Seldom, libcamera adjusts the two streams to different sizes; then there is no luma.
        self._luma_stride = luma["stride"] if tuple(luma["size"]) == self.size_wh else 0
        # A sensor that cannot turn its picture leaves it to the pixels.
        turned = made["transform"]
        self._flips = (hflip != bool(turned.hflip), vflip != bool(turned.vflip))
        limits_us = self._camera.camera_controls.get("FrameDurationLimits")
        if limits_us and limits_us[0]:
            self.fps = min(self.fps, 1e6 / limits_us[0])
        self._camera.start()

    def read(self) -> Frame | None:
        """The next frame; both of its pictures are of the same moment.

        Raises:
            CameraError: None came within 2 s, or the camera is closed.
        """
        camera = self._camera
        if camera is None:
            raise CameraError(f"{self.name} is closed.")
        try:
            request = camera.capture_request(wait=_READ_LIMIT_S)
            try:
                captured_ns = capture_time_ns(
                    request.get_metadata().get("SensorTimestamp"),
                    time.monotonic_ns(),
                    time.clock_gettime_ns(time.CLOCK_BOOTTIME),
                )
                luma = self._turn(self._copy_luma(request)) if self._luma_stride else None
                image: Any = self._turn(request.make_array("main")) if self._colour else luma
            finally:
                # At once: the camera has six buffers, and stops when all are out.
                request.release()
        except _FAILURES as exc:
            with suppress(*_FAILURES):
                # The wish that was not met would take a later frame, which nobody gives back.
                camera.cancel_all_and_flush()
            raise CameraError(
                f"{self.name} stopped delivering frames: {_cause(exc)}. Is the ribbon cable seated?"
            ) from exc
        frame = make_frame(self._index, image, captured_ns, luma if self._colour else None)
        self._index += 1
        return frame

    def _copy_luma(self, request: Any) -> Image:
        stream = "lores" if self._colour else "main"
        # As plain bytes: picamera2's own view of YUV420 needs an even height and no padding below.
        with self._picamera2.MappedArray(request, stream, reshape=False, write=False) as mapped:
            return y_plane(mapped.array, self.size_wh, self._luma_stride)

    def _turn(self, image: Any) -> Any:
        horizontal, vertical = self._flips
        if not (horizontal or vertical):
            return image
        # OpenCV's code: below 0 is both, 0 top and bottom, above 0 left and right.
        return cv2.flip(image, horizontal - 2 * (horizontal and vertical))

    def close(self) -> None:
        """Stop the camera and let others have it.

        A camera whose driver hangs is left to a thread after 2 s; until that comes to an end, the
        camera cannot be opened again.
        """
        with _held_lock:
            camera, self._camera = self._camera, None
        if camera is None:
            return

        def release() -> None:
            with suppress(*_FAILURES):
                # A read that still waits ends with it.
                camera.cancel_all_and_flush()
            with suppress(*_FAILURES):
                camera.close()
                camera.allocator = None
            gc.collect()
            _give_back(self._number)

        thread = threading.Thread(target=release, name="close CSI camera", daemon=True)
        thread.start()
        thread.join(_CLOSE_LIMIT_S)

    def renew(self) -> "CsiCamera":
        """Open the camera anew; this one is closed first if it was not.

        Raises:
            CameraError: It cannot be opened, or its driver still hangs in the closing.
        """
        self.close()
        return self._again()


def _give_back(number: int) -> None:
    with _held_lock:
        _held.discard(number)


def y_plane(buffer: Image, size_wh: tuple[int, int], stride: int) -> Image:
    """The grey picture at the start of a YUV420 buffer, copied.

    Args:
        buffer: uint8, one-dimensional: Y in full size, then U and V in half.
        size_wh: Size of the picture in pixels.
        stride: Bytes from row to row of Y, not below the width; what is beyond that is padding.

    Returns:
        uint8, ``(height, width)``.
    """
    width, height = size_wh
    return buffer[: stride * height].reshape(height, stride)[:, :width].copy()


def capture_time_ns(stamp_ns: int | None, monotonic_ns: int, boottime_ns: int) -> int:
    """When a frame was captured, on the monotonic clock.

    libcamera documents ``SensorTimestamp`` as CLOCK_BOOTTIME, but the drivers of the Pi stamp with
    CLOCK_MONOTONIC (libcamera's bug 254). The two differ by the time that the machine slept, so at
    most one of them gives an age that can be, unless it slept for less than 10 s in all.

    Args:
        stamp_ns: The time stamp, or None.
        monotonic_ns: The monotonic clock at the hand-over.
        boottime_ns: CLOCK_BOOTTIME at the hand-over.

    Returns:
        The time of capture; that of the hand-over where the stamp is missing, lies ahead or is
        more than 10 s old on both clocks.
    """
    if stamp_ns:
        for now_ns in (monotonic_ns, boottime_ns):
            if 0 <= now_ns - stamp_ns <= _OLDEST_NS:
                return monotonic_ns - (now_ns - stamp_ns)
    return monotonic_ns


def csi_cameras() -> list[dict[str, Any]]:
    """The cameras that libcamera knows; opens none, so one that is in use is not disturbed.

    Returns:
        picamera2's description of each (``Model``, ``Id``, ``Location`` …), with two changes:
        ``Num`` is its position in this list, which is what ``Picamera2()`` takes (picamera2's own
        is libcamera's, in another order), and ``Modes`` are formats and sizes of its sensor, such
        as ``SRGGB10 1640x1232``. Empty where there is no picamera2, or libcamera does not start.
    """
    picamera2 = _import_picamera2()
    if picamera2 is None:
        return []
    try:
        infos = picamera2.Picamera2.global_camera_info()
    except _FAILURES:
        return []
    return [
        {**info, "Num": position, "Modes": _modes(info.get("Id", ""))}
        for position, info in enumerate(infos)
    ]


def _modes(camera_id: str) -> tuple[str, ...]:
    """Formats and sizes of a sensor, without picamera2's ``sensor_modes``, which opens it."""
    with suppress(*_FAILURES):
        from libcamera import CameraManager, StreamRole  # type: ignore[import-not-found]

        camera = CameraManager.singleton().get(camera_id)
        formats = camera.generate_configuration([StreamRole.Raw]).at(0).formats
        return tuple(
            f"{pixel} {size.width}x{size.height}"
            for pixel in formats.pixel_formats
            for size in formats.sizes(pixel)
        )
    return ()


def _construct(picamera2_class: Any, number: int) -> Any:
    """A ``Picamera2(number)`` that leaves nothing behind where it fails.

    Raises:
        IndexError: There is no camera of this number.
        RuntimeError: The rest of the program has it open, or it does not open.
    """
    infos = picamera2_class.global_camera_info()
    if not 0 <= number < len(infos):
        raise IndexError(f"picamera2 finds {len(infos)} of them, counted from 0")
    manager: Any = getattr(picamera2_class, "_cm", None)
    if infos[number].get("Num", number) in getattr(manager, "cameras", ()):
        raise RuntimeError("the rest of this program has it open")
    camera = picamera2_class.__new__(picamera2_class)
    try:
        camera.__init__(number)
    except _FAILURES:
        # A constructor that fails leaves its pipe open, and itself in picamera2's table, whose
        # thread then never ends.
        with suppress(*_FAILURES):
            camera.close()
        with suppress(*_FAILURES):
            # Unless close() did it: the number may be another file's by now.
            if not camera.notifymeread.closed:
                camera.notifymeread.close()
                os.close(camera.notifyme_w)
        with suppress(*_FAILURES):
            manager.cleanup(camera.camera_idx)
        gc.collect()
        raise
    return camera


def _cause(exc: BaseException) -> str:
    """What the first of a chain of errors says; picamera2 wraps it in "did not complete"."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    silent = "none for 2 s" if isinstance(exc, TimeoutError) else type(exc).__name__
    return str(exc).rstrip(".") or silent


def _import_picamera2() -> Any:
    """picamera2, or None."""
    # Both tell on every opening, in the middle of the status line, what the errors tell as well.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    log = logging.getLogger("picamera2")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)
    try:
        import picamera2  # type: ignore[import-not-found]
    except (ImportError, ValueError, AttributeError, RuntimeError, OSError):
        # Not only absent: it may be there without libcamera's bindings (ImportError), or built
        # against another NumPy (ValueError: numpy.dtype size changed).
        return None
    return picamera2
