"""The frames with their readings in a window, where the installed OpenCV can open one."""

import mmap
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import cv2
import numpy as np

from ..draw import annotate
from ..errors import SinkError
from ..records import Result
from ..sandbox import start_child
from .screen import HEAD, QUIT, serve

# Python with OpenCV starts in half a second, on a Raspberry Pi in three.
_START_S = 20.0
# A screen over the network may be slow; one that takes no picture for so long hangs.
_STUCK_S = 10.0
_END_S = 0.5


def why_no_window() -> str | None:
    """None where a window can be opened, else the reason and the cure in a sentence."""
    built = cv2.getBuildInformation().splitlines()
    if any(line.split() == ["GUI:", "NONE"] for line in built):
        return (
            "The installed OpenCV has no window code (it is the headless one). On a desktop: "
            f"`{sys.executable} -m pip uninstall -y opencv-python-headless`, then "
            f"`{sys.executable} -m pip install opencv-python=={_wheel_version()}`."
        )
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "There is no screen here: neither DISPLAY nor WAYLAND_DISPLAY is set."
    return None


class WindowSink:
    """Shows the newest result; ``q`` or closing the window calls ``on_quit``.

    The window lives in a process of its own, as a display that vanishes ends the process that has a
    window there. It never holds the loop up: while it is busy with a picture, others are left out.
    """

    def __init__(self, on_quit: Callable[[], None], *, notice: str = ""):
        """Choose what to do on ``q``; the window is opened by ``with``.

        Args:
            on_quit: Called once, from a thread of the sink.
            notice: A line that stands in the picture.

        Raises:
            SinkError: No window can be opened here; the message says how to get one.
        """
        reason = why_no_window()
        if reason is not None:
            raise SinkError(f"{reason} Or leave --window out: the terminal shows what is read.")
        self._on_quit, self._notice = on_quit, notice
        self._ready, self._quit, self._gone = (threading.Event() for _ in range(3))
        self._sent_s = 0.0

    def __enter__(self) -> Self:
        self._wire, theirs = socket.socketpair()
        self._pixels = os.memfd_create("fer-edge-window")
        with theirs:
            descriptors = theirs.fileno(), self._pixels
            self._process = start_child(
                serve,
                *descriptors,
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._listener = threading.Thread(target=self._listen, name="window", daemon=True)
        self._listener.start()
        if not self._ready.wait(_START_S) or self._gone.is_set():
            self.__exit__()
            screen = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
            raise SinkError(f"No window opens on the screen {screen!r}: is it there, and yours?")
        return self

    def _listen(self) -> None:
        """Take the answers of the window; the wire ends with it."""
        with suppress(OSError):
            while answer := self._wire.recv(1):
                if answer == QUIT:
                    self._quit.set()
                    self._on_quit()
                self._ready.set()
        self._gone.set()
        self._ready.set()

    def write(self, result: Result) -> None:
        """Show the frame, unless the window is still busy with an earlier one.

        Raises:
            SinkError: The window is gone without the user's doing, or hangs.
        """
        if self._quit.is_set():
            return
        if self._gone.is_set():
            raise SinkError("The screen of the window has vanished.")
        if not self._ready.is_set():
            if time.monotonic() - self._sent_s > _STUCK_S:
                raise SinkError(f"The screen has not taken a picture for {_STUCK_S:g} s.")
            return
        image = annotate(result.frame.image, result.readings, notice=self._notice)
        if os.fstat(self._pixels).st_size < image.nbytes:
            os.ftruncate(self._pixels, image.nbytes)
        with mmap.mmap(self._pixels, image.nbytes) as shared:
            shared.write(np.ascontiguousarray(image).data.cast("B"))
        self._ready.clear()
        self._sent_s = time.monotonic()
        # If it has just ended, the listener knows, and the next frame is told.
        with suppress(OSError):
            self._wire.sendall(HEAD.pack(*result.frame.size_wh))

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        self._wire.close()
        os.close(self._pixels)


def _wheel_version() -> str:
    """The newest opencv-python of the same series: wheels carry a fourth number that cv2 hides."""
    major, minor, patch = cv2.__version__.split(".")[:3]
    return f"{major}.{minor}.{patch}.*"
