"""The clips of a measurement: what they are, and the ways to play them."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ..edge.cameras import CameraBase, make_frame
from ..edge.cameras.files import ClipCamera
from ..edge.errors import CameraError
from ..edge.framing import to_grey
from ..edge.records import Frame, Image

# Of a clip that states no rate.
_USUAL_FPS = 30.0
# So many frames make a run of a few seconds: about three of ours, twenty of the tutorial.
_ENOUGH_FRAMES = 300


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip as a report names it.

    Attributes:
        name: File name, without its folder.
        sha256: Of the file.
        frames: Number of frames that this OpenCV decodes.
        size_wh: Width and height of the first of them in pixels.
    """

    name: str
    sha256: str
    frames: int
    size_wh: tuple[int, int]

    @property
    def of(self) -> dict[str, str]:
        """As part of what a figure is of (:data:`.document.Of`)."""
        return {"clip": self.name, "clip_sha256": self.sha256[:12]}


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """A clip in memory, decoded and scaled beforehand so that neither counts.

    Attributes:
        name: Of its file.
        pictures: uint8, ``(height, width, 3)`` blue-green-red, each.
        fps: Frames a second, as the clip states.
    """

    name: str
    pictures: Sequence[Image]
    fps: float = _USUAL_FPS

    @property
    def times_ns(self) -> list[int]:
        """When each is due."""
        return [round(index * 1e9 / self.fps) for index in range(len(self.pictures))]

    @property
    def greys(self) -> list[Image]:
        """The same pictures, ``(height, width)``; made at each call."""
        return [to_grey(picture) for picture in self.pictures]


def read_film(path: Path, size_wh: tuple[int, int] | None = None) -> Film:
    """Decode a clip.

    Args:
        path: The file.
        size_wh: To scale the pictures to; None leaves them as they are.

    Raises:
        CameraError: There is no such file, or it is no video.
    """
    pictures: list[Image] = []
    with _opened(path) as camera:
        fps = camera.fps or _USUAL_FPS
        while (frame := camera.read()) is not None:
            image = frame.image if size_wh is None else cv2.resize(frame.image, size_wh)
            pictures.append(np.asarray(image, np.uint8))
    return Film(path.name, pictures, fps)


def _opened(path: Path) -> ClipCamera:
    if not path.is_file():
        raise CameraError(f"There is no clip {path}: expected a video file such as .mp4 or .mkv.")
    return ClipCamera(path)


def read_clip(path: Path) -> Clip:
    """Look at a clip, decoding all of it: what its header says of its length is often wrong.

    Raises:
        CameraError: There is no such file, or it is no video.
    """
    with _opened(path) as camera:
        frames, size_wh = 0, (0, 0)
        while (frame := camera.read()) is not None:
            size_wh = size_wh if frames else frame.size_wh
            frames += 1
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Clip(path.name, digest, frames, size_wh)


def enough_loops(frames: int) -> int:
    """How often to play a clip of so many frames so that a run lasts a few seconds."""
    return -(-_ENOUGH_FRAMES // frames)


class RepeatedClip(CameraBase):
    """A clip played several times without a pause, as one stream with one count of frames."""

    lossless = True

    def __init__(self, path: Path, loops: int):
        """Open the clip for the first time.

        Raises:
            CameraError: OpenCV cannot read it as a video.
        """
        self._path, self._left = path, loops - 1
        self._camera = ClipCamera(path)
        self.name, self.fps = self._camera.name, self._camera.fps or _USUAL_FPS
        self._index = 0

    def read(self) -> Frame | None:
        """The next frame, or None after the last one of the last repetition."""
        frame = self._camera.read()
        if frame is None and self._left > 0:
            self._left -= 1
            self._camera.close()
            self._camera = ClipCamera(self._path)
            frame = self._camera.read()
        if frame is None:
            return None
        stream_ns = round(self._index * 1e9 / self.fps)
        numbered = replace(frame, index=self._index, stream_ns=stream_ns)
        self._index += 1
        return numbered

    def close(self) -> None:
        """Close the file."""
        self._camera.close()


class FilmCamera(CameraBase):
    """A film played as fast as it is asked for; its frames keep their times in the clip."""

    lossless, fps = True, 0.0

    def __init__(self, film: Film):
        """Start before the first picture."""
        self.name, self._film, self._index = film.name, film, 0
        self._times_ns = film.times_ns

    def read(self) -> Frame | None:
        """The next frame, whose picture is the film's own; or None at the end."""
        index = self._index
        if index == len(self._film.pictures):
            return None
        self._index += 1
        frame = make_frame(index, self._film.pictures[index])
        return replace(frame, stream_ns=self._times_ns[index])


class PacedClip(CameraBase):
    """A clip played several times as a live camera of any rate.

    Each frame is decoded before it is due, and its age counts from when it was due, not from when
    the machine had time to hand it over.
    """

    lossless = False

    def __init__(self, path: Path, loops: int, fps: float, frames: int | None = None):
        """Open the clip; its time begins with the first frame.

        Args:
            path: The file.
            loops: How often it is played.
            fps: Frames a second.
            frames: After how many it ends, where that is before the end of the last turn.

        Raises:
            CameraError: OpenCV cannot read it as a video.
        """
        self.name, self.fps = path.name, fps
        # All beforehand: opening the file again takes longer than a frame.
        self._cameras = [ClipCamera(path) for _ in range(loops)]
        self._began_ns: int | None = None
        self._index = self._turn = 0
        self._frames = frames

    def read(self) -> Frame | None:
        """The next frame, at its time, or at once if that is over; None at the end."""
        if self._index == self._frames:
            return None
        while (frame := self._cameras[self._turn].read()) is None:
            # Not closed before the end: memory that it gives back would hide what others gain.
            if self._turn + 1 == len(self._cameras):
                return None
            self._turn += 1
        if self._began_ns is None:
            self._began_ns = time.monotonic_ns()
        due_ns = self._began_ns + round(self._index * 1e9 / self.fps)
        time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        frame = replace(frame, index=self._index, captured_ns=due_ns, stream_ns=None)
        self._index += 1
        return frame

    def close(self) -> None:
        """Close the files."""
        for camera in self._cameras:
            camera.close()
