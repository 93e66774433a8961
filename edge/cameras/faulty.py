"""A camera that fails on purpose, around any other, to see what a program makes of it.

::

    camera = FaultyCamera(
        open_camera("demo"), {30: Fault("disconnect", failures=2), 90: Fault("hang", seconds=15)}
    )

Frames are counted over all renewals, so that a script goes on where a lost camera ended.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ..errors import CameraError
from ..records import Frame
from . import Camera, CameraBase

KINDS = ("disconnect", "hang", "truncated", "size", "burst", "clock")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens instead of, or to, one frame.

    Attributes:
        kind: ``disconnect``: the read raises CameraError, and so does every later one.
            ``hang``: the read does not come back, whatever is closed, as a native call does not.
            ``truncated``: the lower half of the picture is grey, as of a JPEG that was cut.
            ``size``: the picture has another size. ``burst``: so many copies come at once.
            ``clock``: from here on the wall clock is wrong, as when a computer learns the time.
        failures: How many renewals fail after a disconnect.
        seconds: How long a hang takes, or by how much the clock jumps, forward or (below 0) back.
        size_wh: Of the picture, in pixels.
        count: Frames of a burst.
    """

    kind: str
    failures: int = 0
    seconds: float = threading.TIMEOUT_MAX
    size_wh: tuple[int, int] = (160, 120)
    count: int = 5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"A fault is one of {', '.join(KINDS)}, got {self.kind!r}.")


Faults = Mapping[int, Fault] | Callable[[int], Fault | None]


def random_faults(seed: int, probability: float, faults: Sequence[Fault]) -> Faults:
    """Faults at random frames: each frame has one with this probability; the same for a seed."""

    def fault_of(index: int) -> Fault | None:
        chance = np.random.default_rng((seed, index))
        return faults[int(chance.integers(len(faults)))] if chance.random() < probability else None

    return fault_of


@dataclass(slots=True)
class _Script:
    """What all renewals share: the place in the script, and what it has done."""

    faults: Faults
    released: threading.Event = field(default_factory=threading.Event)
    position: int = 0
    failures: int = 0
    clock_s: float = 0.0

    def next(self) -> Fault | None:
        """The fault of the next frame."""
        position, self.position = self.position, self.position + 1
        return self.faults(position) if callable(self.faults) else self.faults.get(position)


class FaultyCamera(CameraBase):
    """Hands on the frames of a camera, with faults."""

    def __init__(self, camera: Camera, faults: Faults, *, script: _Script | None = None):
        """Wrap a camera, which is closed with this one.

        Args:
            camera: Opened; where the script disconnects or hangs, one that can be renewed.
            faults: By the index of the frame, counted over all renewals.
            script: Of the camera that this one renews.
        """
        self._camera = camera
        self._script = _Script(faults) if script is None else script
        self.name, self.lossless, self.fps = camera.name, camera.lossless, camera.fps
        self._index = self._copies = 0
        self._last: Frame | None = None
        self._gone = False

    @property
    def skipped(self) -> int:
        """Of the camera inside."""
        return self._camera.skipped

    def read(self) -> Frame | None:
        """The next frame, as the script wants it.

        Raises:
            CameraError: The script disconnected, or the camera inside failed.
        """
        if self._copies and self._last is not None:
            self._copies -= 1
            return self._numbered(self._last)
        fault = None if self._gone else self._script.next()
        if fault is not None and fault.kind == "disconnect":
            self._gone, self._script.failures = True, fault.failures
        if self._gone:
            raise CameraError(f"{self.name} was disconnected by a script.")
        if fault is not None and fault.kind == "hang":
            self._script.released.wait(fault.seconds)
        frame = self._camera.read()
        if frame is None:
            return None
        if fault is not None:
            frame = self._spoiled(frame, fault)
        self._last = frame
        return self._numbered(frame)

    def close(self) -> None:
        """Close the camera inside; a hang goes on."""
        self._camera.close()

    def release(self) -> None:
        """End all hangs, those to come too."""
        self._script.released.set()

    def renew(self) -> "FaultyCamera":
        """Renew the camera inside and go on in the script.

        Raises:
            CameraError: The script wants this one to fail.
        """
        if self._script.failures:
            self._script.failures -= 1
            raise CameraError(f"{self.name} is still disconnected by a script.")
        return FaultyCamera(self._camera.renew(), self._script.faults, script=self._script)

    def reachable(self) -> bool | None:
        """Unknown, so that every failure that a script wants is met."""
        return None

    def _spoiled(self, frame: Frame, fault: Fault) -> Frame:
        image = frame.image
        if fault.kind == "truncated":
            image = image.copy()
            image[image.shape[0] // 2 :] = 128
            return replace(frame, image=image, luma=None)
        if fault.kind == "size":
            return replace(frame, image=cv2.resize(image, fault.size_wh), luma=None)
        if fault.kind == "burst":
            self._copies = max(0, fault.count - 1)
        if fault.kind == "clock":
            self._script.clock_s += fault.seconds
        return frame

    def _numbered(self, frame: Frame) -> Frame:
        now_s = frame.captured_unix_s + self._script.clock_s
        numbered = replace(frame, index=self._index, captured_unix_s=now_s)
        self._index += 1
        return numbered
