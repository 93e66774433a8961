"""Keeps a live camera going: one that has gone is opened again until it is back."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from .errors import CameraEndedError, CameraError
from .records import Frame
from .worker import Worker

# A camera that has gone is tried after 1 s, 2 s, 4 s … 30 s, each a fifth more or less, so that
# many devices do not come back to their server in the same moment.
_FIRST_S, _LONGEST_S, _JITTER = 1.0, 30.0, 0.2
# One that cannot tell whether it is there is tried so often at least: it is to be back in 10 s.
_LONGEST_BLIND_S = 8.0
# How often it is asked meanwhile, where that is cheap, whether it is there again.
_LOOK_S = 2.0
# How often a thread that waits looks whether it was asked to stop.
_POLL_S = 0.1
# So many frames a camera may be late before it counts as hanging.
_LATE_FRAMES = 3


class Source(Protocol):
    """What the loop needs of a camera (``fer_edge.edge.Camera`` is one)."""

    name: str
    lossless: bool
    fps: float

    def read(self) -> Frame | None:
        """The next frame, or None at the end; raises CameraError where it stopped delivering."""
        ...

    def close(self) -> None:
        """Release the device."""
        ...

    def renew(self) -> "Source":
        """Another one like this, sharing nothing with it.

        Raises CameraError where it cannot be opened at present, CameraEndedError where it never
        can be again.
        """
        ...

    def reachable(self) -> bool | None:
        """Whether it is there, told at little cost; None where that cannot be told."""
        ...


class CameraKeeper:
    """Reads a camera, and opens it again when it goes."""

    def __init__(
        self,
        camera: Source,
        *,
        retries: bool,
        say: Callable[[str], None],
        stopping: Callable[[], bool],
    ):
        """Take a camera over.

        Args:
            camera: Opened. It stays the caller's to close; those in its place are closed here.
            retries: Whether to open it again; otherwise its loss is the end.
            say: Takes a sentence for people when the camera goes and when it is back.
            stopping: Whether the loop is to end.
        """
        self._camera = self._first = camera
        self._retries, self._say, self._stopping = retries, say, stopping
        self._has_come()
        #: How often the camera has gone: the faces before and after are others.
        self.epoch = 0
        #: How often it has come back.
        self.reconnects = 0

    @property
    def slowest_s(self) -> float:
        """Seconds that a read may take at the camera's own rate."""
        return _LATE_FRAMES / self._camera.fps if self._camera.fps > 0 else 0.0

    def give_up(self) -> None:
        """Note that the thread that read is stuck in the camera.

        Raises:
            CameraError: The camera is not to be opened again.
        """
        if not self._retries:
            raise CameraError(f"{self._camera.name} hangs: a read did not come back.")

    def frames(self, worker: Worker, *, renew: bool = False) -> Iterator[Frame]:
        """The frames of the camera, and of those in its place.

        They end with the camera, when the loop is to end, and when the thread was given up.

        Args:
            worker: The thread that this runs on.
            renew: Begin with another camera, because a thread is stuck in this one.

        Raises:
            CameraError: The camera has gone, and is not to be or cannot be opened again.
        """
        camera = self._reopen(worker) if renew else self._camera
        while camera is not None and not self._stopping():
            worker.begin()
            try:
                frame = camera.read()
            except CameraError as error:
                if not worker.end():
                    camera.close()
                    return
                if not self._retries:
                    raise
                camera = self._replace(worker, camera, error)
                continue
            if not worker.end():
                # Nobody waits for this thread any more; it must not hold the device.
                camera.close()
                return
            if frame is None:
                return
            if self._away:
                self._has_come()
                self.reconnects += 1
                self._say(f"{camera.name} is back.")
            yield frame

    def close(self) -> None:
        """Close the camera, if it is not the caller's own."""
        if self._camera is not self._first:
            self._camera.close()

    def _has_come(self) -> None:
        self._away, self._pause_s = False, _FIRST_S
        # Whether it was not there when it was asked last, and whether to ask it.
        self._missing, self._asks = False, True
        # Whether it cannot tell.
        self._blind = False

    def _replace(self, worker: Worker, camera: Source, error: CameraError) -> Source | None:
        if not self._away:
            self._say(f"{error} It is tried again until it is back; its faces have ended.")
        worker.begin()
        camera.close()
        return self._reopen(worker) if worker.end() else None

    def _reopen(self, worker: Worker) -> Source | None:
        """Try until a camera opens, and return it; None where the loop ends before."""
        self._away = True
        self.epoch += 1
        while self._wait(worker):
            worker.begin()
            try:
                camera = self._camera.renew()
            except CameraError as error:
                if not worker.end():
                    return None
                if isinstance(error, CameraEndedError):
                    raise
                continue
            if not worker.end():
                camera.close()
                return None
            self._camera = camera
            return camera
        return None

    def _wait(self, worker: Worker) -> bool:
        """Wait for the next try, but not beyond the return of the camera; False at the end."""
        now_s = time.monotonic()
        end_s = now_s + self._pause_s * random.uniform(1 - _JITTER, 1 + _JITTER)
        look_s = now_s + _LOOK_S
        # Back to the first only when it is there: one that opens and fails is still away.
        longest_s = _LONGEST_BLIND_S if self._blind else _LONGEST_S
        self._pause_s = min(2 * self._pause_s, longest_s)
        while now_s < end_s:
            if self._stopping():
                return False
            if now_s >= look_s and self._asks:
                # Once it hangs in the answer, it is not asked again.
                self._asks = False
                worker.begin()
                here = self._camera.reachable()
                if not worker.end():
                    return False
                self._asks = True
                came, self._missing = self._missing and bool(here), here is False
                self._blind = here is None
                if came:
                    # It may answer some time before it can be opened.
                    self._pause_s = _FIRST_S
                    break
                look_s = time.monotonic() + _LOOK_S
            time.sleep(max(0.0, min(_POLL_S, end_s - now_s)))
            now_s = time.monotonic()
        return not self._stopping()
