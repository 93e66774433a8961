"""NumPy, OpenCV and the USB cameras: the child that loads them, and the check.

One child for all three, because a Raspberry Pi takes seconds to load OpenCV.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import cameras
from .child import Tell, ask, attempt
from .finding import Finding
from .interpreter import Interpreter
from .packages import judge_native, opencv_twins


def look(python: Interpreter, root: Path, source: str, limit_s: float) -> Iterator[Finding]:
    """The check.

    Args:
        python: Where the packages are installed.
        root: Where /dev, /sys and /proc are.
        source: What ``--camera`` said; empty for all cameras that are plugged in.
        limit_s: The time it has.
    """
    began_s = time.monotonic()
    twins = opencv_twins()
    left_s = limit_s - (time.monotonic() - began_s)
    heard = ask(in_child, str(root), source, limit_s=left_s)
    yield from judge_native(heard, python, twins)
    yield from cameras.judge_usb(
        heard, lambda device: cameras.holders(root, device), cameras.video_group(), source
    )


def in_child(tell: Tell, root: str, source: str) -> None:
    """Load NumPy and OpenCV, then try the cameras side by side."""
    if attempt(tell, "numpy", _numpy).why or attempt(tell, "OpenCV", _opencv).why:
        return
    attempt(tell, "window", _window)
    if source:
        attempt(tell, f"camera {source}", _source, source)
        return
    listed = attempt(tell, "devices", _devices, Path(root))
    threads = [
        threading.Thread(
            target=attempt,
            args=(tell, f"camera {device['address']}", _frame, device["address"]),
            daemon=True,
        )
        for device in listed.value or ()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _numpy() -> dict[str, Any]:
    import numpy

    # A namespace package is what is left of one that was removed in part.
    return {
        "version": numpy.__version__,
        "path": str(numpy.__file__),
        "sum": int(numpy.ones(3).sum()),
    }


def _opencv() -> dict[str, Any]:
    import cv2

    numbers = [int(part) for part in cv2.__version__.split(".")[:3] if part.isdecimal()]
    return {
        "version": cv2.__version__,
        "path": str(cv2.__file__),
        "cascade": hasattr(cv2, "CascadeClassifier"),
        "yunet": hasattr(cv2, "FaceDetectorYN") and numbers >= [4, 8, 1],
    }


def _window() -> str | None:
    from ..sinks.window import why_no_window

    return why_no_window()


def _devices(root: Path) -> list[dict[str, Any]]:
    from ..cameras.listing import list_cameras

    names = root / "sys/class/video4linux"
    # Only by their names: one whose driver hangs must not hold up the others.
    found = list_cameras(
        csi=list,
        devices=root / "dev",
        names=names,
        ask=lambda _: (True, ()),
        delivers=lambda _: True,
    )
    return [
        {
            "address": camera.address,
            "name": camera.name,
            "usb": "/usb" in str((names / Path(camera.address).name / "device").resolve()),
        }
        for camera in found
    ]


def _frame(device: str) -> dict[str, Any]:
    import os

    import cv2

    from ..cameras.capture import Capture
    from ..cameras.v4l2_modes import ask_driver

    if not os.access(device, os.R_OK | os.W_OK):
        return {"allowed": False}
    if not ask_driver(device)[0]:
        return {"captures": False}
    capture = Capture(device, cv2.CAP_V4L2)
    try:
        picture = capture.read() if capture.opened else None
    finally:
        capture.close()
    return {"size_wh": None if picture is None else picture[0].shape[1::-1]}


def _source(source: str) -> dict[str, Any]:
    from ..cameras import open_camera

    with open_camera(source) as camera:
        frame = camera.read()
        return {"name": camera.name, "size_wh": None if frame is None else frame.size_wh}
