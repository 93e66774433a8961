"""Pictures of another shape than the source has them: turned, mirrored, smaller, grey, fewer."""

import math
from dataclasses import dataclass, replace

import cv2

from ..framing import to_grey
from ..records import Frame, Image
from . import Camera, CameraBase

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, slots=True)
class Shape:
    """What to change, in this order; the defaults change nothing.

    Attributes:
        colour: False makes pictures grey, ``(height, width)``.
        within_wh: Pictures that are wider or higher, in pixels, are shrunk and keep their
            proportions.
        rotate: Degrees clockwise: 0, 90, 180 or 270.
        mirror: Whether left and right are swapped.
        at_most_fps: Frames beyond so many a second are left out; not of a lossless camera.
    """

    colour: bool = True
    within_wh: tuple[int, int] | None = None
    rotate: int = 0
    mirror: bool = False
    at_most_fps: float | None = None


class ShapedCamera(CameraBase):
    """A camera whose pictures are changed on their way, and ``luma`` with them."""

    def __init__(self, camera: Camera, shape: Shape):
        """Wrap an opened camera, which is closed with this one."""
        self._camera, self._shape = camera, shape
        self.name, self.lossless = camera.name, camera.lossless
        self._most_fps = None if camera.lossless else shape.at_most_fps
        self.fps = min(camera.fps, self._most_fps or math.inf)
        self._index, self._slot = 0, -1
        self._began_ns: int | None = None

    @property
    def skipped(self) -> int:
        """Damaged pictures that the camera left out."""
        return self._camera.skipped

    def read(self) -> Frame | None:
        """The next frame, changed; raises what the camera's raises."""
        frame = self._camera.read()
        while frame is not None and not self._is_due(frame.captured_ns):
            frame = self._camera.read()
        if frame is None:
            return None
        image, luma = frame.image, frame.luma
        if not self._shape.colour:
            image, luma = to_grey(image) if luma is None else luma, None
        image, luma = self._changed(image), None if luma is None else self._changed(luma)
        changed = replace(frame, index=self._index, image=image, luma=luma)
        self._index += 1
        return changed

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()

    def renew(self) -> Camera:
        """The same around another camera."""
        return ShapedCamera(self._camera.renew(), self._shape)

    def reachable(self) -> bool | None:
        """Whether the camera is."""
        return self._camera.reachable()

    def _is_due(self, captured_ns: int) -> bool:
        if self._most_fps is None:
            return True
        if self._began_ns is None:
            self._began_ns = captured_ns
        # The first frame within a slot is taken. Slots begin half a slot before the times of a
        # steady camera, so that its jitter does not put two frames into one and none into the next.
        slot = math.floor((captured_ns - self._began_ns) / 1e9 * self._most_fps + 0.5)
        due = slot > self._slot
        self._slot = max(slot, self._slot)
        return due

    def _changed(self, image: Image) -> Image:
        if self._shape.within_wh is not None:
            image = _within(image, self._shape.within_wh)
        if self._shape.rotate:
            image = cv2.rotate(image, _TURNS[self._shape.rotate])  # pyright: ignore
        return cv2.flip(image, 1) if self._shape.mirror else image  # pyright: ignore


def _within(image: Image, size_wh: tuple[int, int]) -> Image:
    height, width = image.shape[:2]
    scale = min(size_wh[0] / width, size_wh[1] / height)
    if scale >= 1:
        return image
    smaller = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)  # pyright: ignore
