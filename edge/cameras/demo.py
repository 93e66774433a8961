"""A camera that needs no camera and shows nobody: seven averaged faces that move and change.

Every frame is a pure function of its index, so a demo runs the same everywhere, for ever, and its
truth is known (:meth:`DemoCamera.truth`).
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import CameraError
from ..framing import to_grey
from ..records import Box, Frame, Image
from . import CameraBase, make_frame

_ASSETS = Path(__file__).parent.parent / "assets"
# Each emotion stands still for 28 frames, then moves and turns into the next one in 14: a whole
# round of seven takes 294 frames, a little under 10 s at 30 a second.
_STILL_FRAMES, _MOVING_FRAMES = 28, 14
# Skin and wall, blue-green-red. The faces are grey averages; a tint makes them easier to look at.
_SKIN_BGR = np.array([0.86, 0.95, 1.06], np.float32)
_WALL_BGR = (118.0, 108.0, 96.0)


@dataclass(frozen=True, slots=True)
class DemoTruth:
    """What a demo frame shows.

    Attributes:
        box: The pasted face, framed as the training images are.
        label: The emotion, or None while one turns into the next.
    """

    box: Box
    label: str | None


class DemoCamera(CameraBase):
    """An endless film of averaged faces, at a set rate."""

    name = "demo"

    def __init__(
        self,
        *,
        size_wh: tuple[int, int] = (640, 480),
        fps: float = 30.0,
        lossless: bool = False,
        colour: bool = True,
    ):
        """Load the seven faces.

        Args:
            size_wh: Size of the frames in pixels, 64x64 or more.
            fps: Frames a second; what a reader that is too slow misses is skipped, as by a camera.
            lossless: Hand out every frame as soon as it is asked for, without a clock.
            colour: False hands out grey frames.

        Raises:
            CameraError: The size or the rate cannot be had, or the package is incomplete.
        """
        if min(size_wh) < 64 or not 0 < fps < math.inf:
            raise CameraError(
                f"The demo needs a size of 64x64 or more and a rate above 0, got "
                f"{size_wh[0]}x{size_wh[1]} at {fps} frames/s."
            )
        self.size_wh, self.fps, self.lossless = size_wh, fps, lossless
        self._colour = colour
        strip = cv2.imread(str(_ASSETS / "demo_faces.png"), cv2.IMREAD_GRAYSCALE)
        if strip is None:
            raise CameraError("The demo's faces are missing: fer-edge is not installed whole.")
        self.labels = tuple(json.loads((_ASSETS / "demo_faces.json").read_text())["labels"])
        self._faces = np.stack(np.split(strip, len(self.labels), axis=1)).astype(np.float32)
        self._wall = _wall(size_wh)
        self._index = 0
        self._began_s: float | None = None

    def read(self) -> Frame | None:
        """The next frame, at its time; never None."""
        if not self.lossless:
            now = time.monotonic()
            if self._began_s is None:
                self._began_s = now - self._index / self.fps
            wait = self._began_s + self._index / self.fps - now
            if wait > 0:
                time.sleep(wait)
        image = self.image(self._index)
        stream_ns = round(self._index * 1e9 / self.fps) if self.lossless else None
        image = image if self._colour else to_grey(image)
        frame = make_frame(self._index, image, stream_ns=stream_ns)
        self._index += 1
        return frame

    def renew(self) -> "DemoCamera":
        """The film from its beginning."""
        return DemoCamera(
            size_wh=self.size_wh, fps=self.fps, lossless=self.lossless, colour=self._colour
        )

    def image(self, index: int) -> Image:
        """The picture with this index: uint8, ``(height, width, 3)``, blue-green-red."""
        box, first, second, share = self._pose(index)
        face = self._faces[first] * (1 - share) + self._faces[second] * share
        x, y, side, _ = box.as_ints()
        face = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
        mask = _soft_frame(side)[..., np.newaxis]
        image = self._wall.copy()
        wall = image[y : y + side, x : x + side]
        area = wall * (1 - mask) + mask * face[..., np.newaxis] * _SKIN_BGR
        wall[:] = np.clip(area, 0, 255)
        return image

    def truth(self, index: int) -> DemoTruth:
        """What the picture with this index shows."""
        box, first, _, share = self._pose(index)
        return DemoTruth(box, self.labels[first] if share == 0 else None)

    def _pose(self, index: int) -> tuple[Box, int, int, float]:
        """Box, the two faces that are mixed, and the share of the second."""
        step, within = divmod(index, _STILL_FRAMES + _MOVING_FRAMES)
        moved = max(0, within - _STILL_FRAMES + 1) / (_MOVING_FRAMES + 1)
        # Slow, fast, slow: the face glides from one place to the next.
        share = 0.5 - 0.5 * math.cos(math.pi * moved)
        here, there = self._place(step), self._place(step + 1)
        x, y, side = (a * (1 - share) + b * share for a, b in zip(here, there, strict=True))
        count = len(self.labels)
        return Box(x, y, side, side), step % count, (step + 1) % count, share

    def _place(self, step: int) -> tuple[float, float, float]:
        """Left, top and side of the face while it stands still the ``step``-th time, in pixels."""
        width, height = self.size_wh
        # Steps of the golden ratio spread the places evenly and never repeat in a short cycle.
        across, down, size = ((step + 1) * ratio % 1 for ratio in (0.618034, 0.754878, 0.569840))
        side = (0.42 + 0.24 * size) * min(width, height)
        return across * (width - side), down * (height - side), side


def _wall(size_wh: tuple[int, int]) -> Image:
    """A background with light from the upper left: uint8, ``(height, width, 3)``."""
    width, height = size_wh
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    light = 1.05 - 0.18 * x - 0.22 * y
    return (light[..., np.newaxis] * np.array(_WALL_BGR)).astype(np.uint8)


def _soft_frame(side: int) -> NDArray[np.float32]:
    """How much of the face shows at each pixel, 0 to 1: a rounded square with a soft edge.

    Rounder, an oval say, would cut away hair and jaw, and Haar then misses the surprised face at
    some sizes.
    """
    axis = np.abs(np.linspace(-1, 1, side, dtype=np.float32)) ** 4
    radius = (axis[np.newaxis, :] + axis[:, np.newaxis]) ** (1 / 4)
    return np.clip((1.0 - radius) / 0.14, 0, 1).astype(np.float32)
