"""The frames with their readings in a window, where the installed OpenCV can open one."""

import os
import sys
from collections.abc import Callable
from typing import Self

import cv2

from ..draw import annotate
from ..errors import SinkError
from ..records import Result

TITLE = "Emotion Detector"
# Resizable, and without the toolbar of the Qt builds.
_PLAIN_WINDOW = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL


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
    """Shows each result; ``q`` or closing the window calls ``on_quit``. Main thread only."""

    def __init__(self, on_quit: Callable[[], None]):
        """Choose what to do on ``q``; the window is opened by ``with``.

        Raises:
            SinkError: No window can be opened here; the message says how to get one.
        """
        reason = why_no_window()
        if reason is not None:
            raise SinkError(f"{reason} Or leave --window out: the terminal shows what is read.")
        self._on_quit = on_quit

    def __enter__(self) -> Self:
        try:
            cv2.namedWindow(TITLE, _PLAIN_WINDOW)
        except cv2.error as exc:
            raise SinkError(f"OpenCV cannot open a window here: {exc.err}.") from exc
        self._sized = False
        return self

    def write(self, result: Result) -> None:
        """Show the frame and look at the keyboard."""
        if not self._sized:
            cv2.resizeWindow(TITLE, *result.frame.size_wh)
            self._sized = True
        cv2.imshow(TITLE, annotate(result.frame.image, result.readings))
        key = cv2.waitKey(1) & 0xFF
        if key == ord("q") or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            self._on_quit()

    def __exit__(self, *_: object) -> None:
        cv2.destroyAllWindows()


def _wheel_version() -> str:
    """The newest opencv-python of the same series: wheels carry a fourth number that cv2 hides."""
    major, minor, patch = cv2.__version__.split(".")[:3]
    return f"{major}.{minor}.{patch}.*"
