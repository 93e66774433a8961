"""What ``--record`` writes: one clip of all, or one after the other for as long as it runs."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from ..errors import SinkError
from ..records import Result
from .video import VideoSink

# How often a recording that could not go on tries again, and says that it still cannot.
_RETRY_NS = 60_000_000_000


class Recording:
    """A :class:`.video.VideoSink`, or a new one every so many minutes.

    Clips that follow each other are named by the time of their first frame (UTC), so that a program
    that is started anew goes on beside what is there. One that cannot go on, because its disk is
    full, is told; a minute later it is tried again, and the loop goes on meanwhile.
    """

    def __init__(
        self, path: Path, *, minutes: float | None, say: Callable[[str], None], **options: Any
    ):
        """Choose where to.

        Args:
            path: An .mp4 file; with ``minutes`` the beginning of the clips' names.
            minutes: Length of a clip; None makes one of all.
            say: Told when a clip of several could not go on.
            options: Of :class:`.video.VideoSink`.

        Raises:
            SinkError: As of :class:`.video.VideoSink`.
        """
        self._path, self._minutes, self._say, self._options = path, minutes, say, options
        # Of several clips the first one's name is not known yet, but what is wrong with it is.
        first = VideoSink(path, **(options if minutes is None else {**options, "overwrite": True}))
        self._clip: VideoSink | None = first if minutes is None else None
        self._began_ns = 0
        self._wait_until_ns: int | None = None

    def __enter__(self) -> Self:
        return self

    def write(self, result: Result) -> None:
        """Draw the readings and append the frame.

        Raises:
            SinkError: As of :class:`.video.VideoSink`, where there is one clip of all.
        """
        if self._minutes is None:
            if self._clip is not None:
                self._clip.write(result)
            return
        now_ns = result.frame.captured_ns
        if self._wait_until_ns is not None and now_ns < self._wait_until_ns:
            return
        try:
            if self._clip is not None and now_ns - self._began_ns >= self._minutes * 60e9:
                self._end()
            if self._clip is None:
                self._clip, self._began_ns = VideoSink(self._name(result), **self._options), now_ns
            self._clip.write(result)
        except SinkError as error:
            # The clip has closed itself, as far as it could.
            self._clip, self._wait_until_ns = None, now_ns + _RETRY_NS
            self._say(f"{str(error).rstrip('.')}; the recording is tried again in a minute.")
        else:
            self._wait_until_ns = None

    def __exit__(self, *error: object) -> None:
        if self._clip is not None:
            self._clip.__exit__(*error)

    def _end(self) -> None:
        clip, self._clip = self._clip, None
        if clip is not None:
            clip.__exit__(None)

    def _name(self, result: Result) -> Path:
        began = datetime.fromtimestamp(result.frame.captured_unix_s, UTC)
        name = self._path.with_stem(f"{self._path.stem}-{began:%Y%m%d-%H%M%S}")
        number = 1
        path = name
        # Two of a second, or the clock was set back: nothing is replaced for that.
        while path.exists():
            number += 1
            path = name.with_stem(f"{name.stem}-{number}")
        return path
