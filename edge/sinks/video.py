"""The frames with their readings drawn in, as an .mp4 file."""

import os
from pathlib import Path
from typing import Self

import cv2

from ..draw import annotate
from ..errors import SinkError
from ..native_log import native_stderr_silenced
from ..records import Result
from . import refuse_to_overwrite

_FILL_LIMIT_S = 10
#: So much of the disk is left free at least: for everything else.
KEEP_FREE_BYTES = 34_000_000
# Of the index, a frame; measured were 16.
_INDEX_BYTES = 32
# What FFmpeg collects before it writes. It was seen to be half of this.
_BUFFER_BYTES = 512 << 10


class VideoSink:
    """Writes a clip that plays as fast as what was seen.

    The clip grows under another name (``part-out.mp4``) and gets its own when it is closed, because
    an .mp4 that was not closed cannot be played. OpenCV does not say when nothing more can be
    written, so the disk and the size of the file are looked at with each frame.

    The index of the clip stays in memory until then: 60 bytes a frame, 160 MB a day at 30 frames/s.
    """

    def __init__(
        self,
        path: Path,
        *,
        fps: float,
        paced: bool,
        overwrite: bool = False,
        keep_free_bytes: int = KEEP_FREE_BYTES,
        notice: str = "",
    ):
        """Choose the file; it is made with the first frame.

        Args:
            path: Where to, ending in .mp4.
            fps: Frames a second of the clip; 0 or less is taken as 30.
            paced: Repeat or skip frames so that the clip keeps the time of a live camera; False
                writes one frame a result.
            overwrite: Replace a file that exists.
            keep_free_bytes: Of its disk; the clip ends before less are free.
            notice: A line that stands in the picture.

        Raises:
            SinkError: The file exists, its folder is missing, not writable or on a full disk, or it
                is no .mp4.
        """
        if path.suffix.lower() != ".mp4":
            raise SinkError(f"--record writes .mp4 files, got {path.name!r}.")
        refuse_to_overwrite(path, overwrite=overwrite)
        self._path, self._partial = path, path.with_name(f"part-{path.name}")
        self._fps, self._paced = (fps if fps > 0 else 30.0), paced
        self._keep_free, self._notice = keep_free_bytes, notice
        self._writer: cv2.VideoWriter | None = None
        self._size_wh = (0, 0)
        self._first_ns = self._written = 0
        self._size_bytes = self._grew_at = 0
        # Before the first frame is captured: OpenCV itself only says that it did not work.
        try:
            self._partial.touch()
            full = self._is_full()
            self._partial.unlink()
        except OSError as exc:
            raise SinkError(f"Cannot write {path}: {exc.strerror}.") from exc
        if full:
            raise SinkError(f"Cannot write {path}: {full}.")

    def __enter__(self) -> Self:
        return self

    def write(self, result: Result) -> None:
        """Draw the readings and append the frame.

        Raises:
            SinkError: The installed OpenCV cannot write .mp4, or the disk takes no more. The clip
                is closed then, and the message says whether it can be played.
        """
        if self._writer is None and self._written:
            raise SinkError(f"{self._path} has ended; record to another file.")
        writer = self._writer or self._open(result)
        image = annotate(result.frame.image, result.readings, notice=self._notice)
        if result.frame.size_wh != self._size_wh:
            # A camera may change its size; a clip cannot.
            image = cv2.resize(image, self._size_wh)
        for _ in range(self._repeats(result.frame.captured_ns)):
            writer.write(image)
            self._written += 1
            problem = self._is_full() or self._is_stuck()
            if problem:
                whole = self._finish()
                left = "what came before is in it" if whole else self._remains()
                raise SinkError(
                    f"{self._path} ends after {self._written} frames: {problem}; {left}."
                )

    def _is_full(self) -> str:
        """Why the disk takes no more, or an empty text."""
        try:
            free = free_bytes(self._path.parent)
        except OSError as exc:
            return f"its disk is gone ({exc.strerror})"
        # The index is written last.
        needed = self._keep_free + self._written * _INDEX_BYTES
        if free >= needed:
            return ""
        return f"less than {needed / 1e6:.0f} MB are free on its disk"

    def _is_stuck(self) -> str:
        """Why the file does not grow any more, or an empty text.

        A quota, a broken disk or one that was pulled: what the free space does not tell. Even a
        black picture that does not change takes 10 bytes and a third of one for each block of 16
        pixels a side, so that it is known when the buffer must have been written.
        """
        try:
            size_bytes = self._partial.stat().st_size
        except OSError as exc:
            return f"{self._partial} is gone ({exc.strerror})"
        if size_bytes > self._size_bytes:
            self._size_bytes, self._grew_at = size_bytes, self._written
        least = 10 + self._size_wh[0] * self._size_wh[1] // (16 * 16 * 4)
        if (self._written - self._grew_at) * least <= _BUFFER_BYTES:
            return ""
        return "nothing more is written to its disk"

    def _open(self, result: Result) -> cv2.VideoWriter:
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
        return writer

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

    def _finish(self) -> bool:
        """Close the clip and give it its name; whether it can be played.

        Raises:
            SinkError: It can, and cannot be given its name.
        """
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        if not _can_be_played(self._partial):
            return False
        try:
            self._partial.replace(self._path)
        except OSError as exc:
            raise SinkError(f"Cannot write {self._path}: {exc.strerror}.") from exc
        return True

    def _remains(self) -> str:
        """What is said of a clip that cannot be played."""
        return f"what there is of it cannot be played, and stays as {self._partial.name}"

    def __exit__(self, kind: object, *_: object) -> None:
        if self._writer is None:
            if self._written == 0:
                self._partial.unlink(missing_ok=True)
        # If another error ended the loop, that one is the news.
        elif not self._finish() and kind is None:
            raise SinkError(
                f"{self._path} is not whole, is the disk full? In any case {self._remains()}."
            )


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write there."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _can_be_played(path: Path) -> bool:
    """Whether a clip opens again. OpenCV's writer says nothing of a full disk."""
    with native_stderr_silenced():
        capture = cv2.VideoCapture(str(path))
        try:
            return bool(capture.isOpened() and capture.read()[0])
        finally:
            capture.release()
