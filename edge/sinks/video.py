"""The frames with their readings drawn in, as an .mp4 file."""

from pathlib import Path
from typing import Self

import cv2

from ..draw import annotate
from ..errors import SinkError
from ..native_log import native_stderr_silenced
from ..records import Result
from . import refuse_to_overwrite

_FILL_LIMIT_S = 10


class VideoSink:
    """Writes a clip that plays as fast as what was seen.

    The clip grows under another name (``part-out.mp4``) and gets its own when it is closed, because
    an .mp4 that was not closed cannot be played.
    """

    def __init__(self, path: Path, *, fps: float, paced: bool, overwrite: bool = False):
        """Choose the file; it is made with the first frame.

        Args:
            path: Where to, ending in .mp4.
            fps: Frames a second of the clip; 0 or less is taken as 30.
            paced: Repeat or skip frames so that the clip keeps the time of a live camera; False
                writes one frame a result.
            overwrite: Replace a file that exists.

        Raises:
            SinkError: The file exists, its folder is missing or not writable, or it is no .mp4.
        """
        if path.suffix.lower() != ".mp4":
            raise SinkError(f"--record writes .mp4 files, got {path.name!r}.")
        refuse_to_overwrite(path, overwrite=overwrite)
        self._path, self._partial = path, path.with_name(f"part-{path.name}")
        self._fps, self._paced = (fps if fps > 0 else 30.0), paced
        self._writer: cv2.VideoWriter | None = None
        self._size_wh = (0, 0)
        self._first_ns = self._written = 0
        # Before the first frame is captured: OpenCV itself only says that it did not work.
        try:
            self._partial.touch()
            self._partial.unlink()
        except OSError as exc:
            raise SinkError(f"Cannot write {path}: {exc.strerror}.") from exc

    def __enter__(self) -> Self:
        return self

    def write(self, result: Result) -> None:
        """Draw the readings and append the frame.

        Raises:
            SinkError: The installed OpenCV cannot write .mp4.
        """
        if self._writer is None:
            self._open(result)
        image = annotate(result.frame.image, result.readings)
        if result.frame.size_wh != self._size_wh:
            # A camera may change its size; a clip cannot.
            image = cv2.resize(image, self._size_wh)
        for _ in range(self._repeats(result.frame.captured_ns)):
            self._writer.write(image)  # type: ignore[union-attr]
            self._written += 1

    def _open(self, result: Result) -> None:
        self._size_wh, self._first_ns = result.frame.size_wh, result.frame.captured_ns
        with native_stderr_silenced():
            writer = cv2.VideoWriter(
                str(self._partial), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, self._size_wh
            )
        if not writer.isOpened():
            raise SinkError(
                f"OpenCV cannot write {self._path} as mp4 of {self._size_wh[0]}x{self._size_wh[1]} "
                f"at {self._fps:g} frames/s."
            )
        self._writer = writer

    def _repeats(self, captured_ns: int) -> int:
        if not self._paced:
            return 1
        due = round((captured_ns - self._first_ns) / 1e9 * self._fps) + 1 - self._written
        # At most ten seconds are filled up: a camera that was away longer leaves a cut, and the
        # clip goes on from there.
        limit = round(_FILL_LIMIT_S * self._fps)
        if due > limit:
            self._first_ns += round((due - limit) / self._fps * 1e9)
            return limit
        return max(0, due)

    def __exit__(self, kind: object, *_: object) -> None:
        if self._writer is None:
            self._partial.unlink(missing_ok=True)
            return
        self._writer.release()
        if not _can_be_played(self._partial):
            self._partial.unlink(missing_ok=True)
            if kind is not None:
                return  # what ended the loop is the news
            raise SinkError(f"{self._path} could not be written whole: is the disk full?")
        try:
            self._partial.replace(self._path)
        except OSError as exc:
            raise SinkError(f"Cannot write {self._path}: {exc.strerror}.") from exc


def _can_be_played(path: Path) -> bool:
    """Whether a clip opens again. OpenCV's writer says nothing of a full disk."""
    with native_stderr_silenced():
        capture = cv2.VideoCapture(str(path))
        try:
            return bool(capture.isOpened() and capture.read()[0])
        finally:
            capture.release()
