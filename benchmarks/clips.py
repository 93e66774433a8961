"""The clip of a measurement: what it is, and how to play it several times."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..edge.cameras import CameraBase, make_frame
from ..edge.cameras.files import ClipCamera
from ..edge.errors import CameraError
from ..edge.records import Frame

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


def read_clip(path: Path) -> Clip:
    """Look at a clip, decoding all of it: what its header says of its length is often wrong.

    Raises:
        CameraError: There is no such file, or it is no video.
    """
    if not path.is_file():
        raise CameraError(f"There is no clip {path}: expected a video file such as .mp4 or .mkv.")
    with ClipCamera(path) as camera:
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
        numbered = make_frame(self._index, frame.image)
        self._index += 1
        return numbered

    def close(self) -> None:
        """Close the file."""
        self._camera.close()
