"""A folder of pictures, played in the order of their names."""

import re
from collections.abc import Callable
from pathlib import Path

from ..errors import CameraError, DataError
from ..records import Frame, Image
from . import CameraBase, make_frame
from .files import Pace, decode_file
from .source import PICTURE_SUFFIXES

_REALTIME_FPS = 30.0
# Pictures that are none of a film are so far apart that nothing of one is said of the next.
_APART_NS = 60e9


class FolderCamera(CameraBase):
    """The pictures of a folder, without those of its sub-folders, as a clip.

    What cannot be read is left out and counted; that is said once, at the end.
    """

    def __init__(
        self,
        path: Path,
        *,
        fps: float | None,
        colour: bool,
        realtime: bool,
        say: Callable[[str], None],
    ):
        """List the folder and read its first picture.

        Args:
            path: The folder.
            fps: Frames a second at which it is played. None: each picture stands for itself; in
                real time 30.
            colour: False decodes to grey.
            realtime: Hand out each picture at its time, as a camera does.
            say: Told how many pictures could not be read.

        Raises:
            CameraError: The folder cannot be read, or holds no picture that can be.
        """
        self.name, self.lossless = path.name or str(path), not realtime
        self.fps = fps or (_REALTIME_FPS if realtime else 0.0)
        self._path, self._colour, self._say = path, colour, say
        try:
            entries = [entry for entry in path.iterdir() if entry.is_file()]
        except OSError as exc:
            raise CameraError(f"Cannot read the folder {path}: {exc.strerror}.") from exc
        wanted = [entry for entry in entries if entry.suffix.lower() in PICTURE_SUFFIXES]
        self._waiting = sorted(wanted, key=natural_key, reverse=True)
        self._pace = Pace() if realtime else None
        self._index = 0
        self._first_bad: Path | None = None
        self._first = self._next()
        if self._first is None:
            some = f"none of its {len(wanted)} pictures can be read" if wanted else "no picture"
            raise CameraError(
                f"The folder {path} is no camera: {some}. Expected files such as "
                f"{', '.join(sorted(PICTURE_SUFFIXES)[:4])}."
            )

    def read(self) -> Frame | None:
        """The next picture that can be read, or None after the last."""
        image, self._first = self._first, None
        if image is None:
            image = self._next()
        if image is None:
            if self._first_bad is not None:
                self._say(
                    f"{self.skipped} of {self.skipped + self._index} pictures in {self._path} "
                    f"could not be read and were left out; the first is {self._first_bad.name}."
                )
                self._first_bad = None
            return None
        stream_ns = None
        if self._pace is not None:
            self._pace.wait(self._index / self.fps)
        else:
            stream_ns = round(self._index * (1e9 / self.fps if self.fps else _APART_NS))
        frame = make_frame(self._index, image, stream_ns=stream_ns)
        self._index += 1
        return frame

    def close(self) -> None:
        """End a wait."""
        if self._pace is not None:
            self._pace.leave()

    def _next(self) -> Image | None:
        while self._waiting:
            path = self._waiting.pop()
            try:
                return decode_file(path, colour=self._colour)
            except DataError:
                self._first_bad = self._first_bad or path
                self._skipped += 1
        return None


def natural_key(path: Path) -> tuple[list[str | int], str]:
    """A key to sort by that puts ``face2`` before ``face10``."""
    parts: list[str | int] = list(re.split(r"(\d+)", path.name))
    # Text and digits alternate, so that only equals are ever compared with each other.
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, path.name
