"""What a V4L2 device can do, asked from its driver without starting it.

Four requests of the kernel's interface (linux/videodev2.h), because no library that fer-edge
depends on makes them. A driver that refuses one has nothing to tell.
"""

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Each request holds its number and the size of its structure.
_QUERYCAP, _ENUM_FMT, _ENUM_SIZES, _ENUM_INTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
_CAPABILITY = struct.Struct("16s32s32sIII12x")
_FORMAT = struct.Struct("III32s4sI12x")
_FRAME_SIZE = struct.Struct("I4sI6I8x")
_INTERVAL = struct.Struct("I4sIII6I8x")
_CAPTURE, _DEVICE_CAPS, _DISCRETE = 0x1, 0x80000000, 1
# No camera has more; a driver that counts for ever is not followed.
_MOST = 64

Ioctl = Callable[[int, int, bytearray], object]


@dataclass(frozen=True, slots=True)
class CameraMode:
    """A format and size that a camera offers.

    Attributes:
        format: Four letters such as ``MJPG`` or ``YUYV``.
        size_wh: In pixels; the largest where a driver gives a range.
        fps: Frames a second, highest first; empty where the driver does not say.
    """

    format: str
    size_wh: tuple[int, int]
    fps: tuple[float, ...] = ()


def ask_driver(device: str, ioctl: Ioctl | None = None) -> tuple[bool, tuple[CameraMode, ...]]:
    """Whether a device can capture video at all, and its modes.

    A device that cannot be opened or asked counts as able: trying it will tell.

    Args:
        device: Its file.
        ioctl: In place of ``fcntl.ioctl``, for a machine without such devices.
    """
    ioctl = ioctl or fcntl.ioctl
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return True, ()
    try:
        _, _, _, _, whole, own = _ask(ioctl, descriptor, _QUERYCAP, _CAPABILITY, bytes(104))
        able = bool((own if whole & _DEVICE_CAPS else whole) & _CAPTURE)
        return able, tuple(_modes(ioctl, descriptor)) if able else ()
    except OSError:
        return True, ()
    finally:
        os.close(descriptor)


def _ask(ioctl: Ioctl, descriptor: int, request: int, layout: struct.Struct, asked: bytes) -> tuple:
    answer = bytearray(asked)
    ioctl(descriptor, request, answer)
    return layout.unpack(answer)


def _modes(ioctl: Ioctl, descriptor: int) -> Iterator[CameraMode]:
    for index in range(_MOST):
        try:
            asked = _FORMAT.pack(index, _CAPTURE, 0, b"", b"", 0)
            code = _ask(ioctl, descriptor, _ENUM_FMT, _FORMAT, asked)[4]
        except OSError:
            # EINVAL: there are no more.
            return
        yield from _sizes(ioctl, descriptor, code)


def _sizes(ioctl: Ioctl, descriptor: int, code: bytes) -> Iterator[CameraMode]:
    name = code.decode("ascii", "replace").strip()
    for index in range(_MOST):
        try:
            asked = _FRAME_SIZE.pack(index, code, 0, *[0] * 6)
            _, _, kind, *sides = _ask(ioctl, descriptor, _ENUM_SIZES, _FRAME_SIZE, asked)
        except OSError:
            return
        # A range is least, most and step of the width, then of the height.
        width, height = sides[:2] if kind == _DISCRETE else (sides[1], sides[4])
        rates = sorted(set(_rates(ioctl, descriptor, code, width, height)), reverse=True)
        yield CameraMode(name, (width, height), tuple(rates))
        if kind != _DISCRETE:
            return


def _rates(ioctl: Ioctl, descriptor: int, code: bytes, width: int, height: int) -> Iterator[float]:
    for index in range(_MOST):
        try:
            asked = _INTERVAL.pack(index, code, width, height, 0, *[0] * 6)
            fields = _ask(ioctl, descriptor, _ENUM_INTERVALS, _INTERVAL, asked)
        except OSError:
            return
        kind, numerator, denominator = fields[4:7]
        # The first fraction of a range is the shortest interval.
        if numerator:
            yield round(denominator / numerator, 3)
        if kind != _DISCRETE:
            return
