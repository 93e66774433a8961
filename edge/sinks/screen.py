"""The window itself, in a process of its own; :mod:`.window` starts it and tells it what to show.

A display that vanishes ends the process that has a window there (Xlib and Qt call ``exit``), one
that cannot be reached aborts it, and one that hangs holds it for ever.
"""

import mmap
import signal
import socket
import struct

import cv2
import numpy as np

TITLE = "Emotion Detector"
#: Width and height of the picture that lies in the shared memory.
HEAD = struct.Struct("<II")
#: What this process answers: the window is open; a picture was shown; the user wants to end.
OPEN, SHOWN, QUIT = b"o", b"s", b"q"
# Resizable, and without the toolbar of the Qt builds.
_PLAIN_WINDOW = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
# So often the window redraws itself and looks at the keyboard while no picture comes.
_IDLE_S = 0.05


def serve(wire_descriptor: int, pixels_descriptor: int) -> None:
    """Show pictures until the other side closes the wire.

    Args:
        wire_descriptor: A stream socket: a :data:`HEAD` a picture comes in, one byte goes out.
        pixels_descriptor: Shared memory with a picture, uint8, ``(height, width, 3)``,
            blue-green-red, which stays as it is until the answer.
    """
    # A supervisor signals every process of the service; this one ends with the wire.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=wire_descriptor) as wire:
        cv2.namedWindow(TITLE, _PLAIN_WINDOW)
        cv2.waitKey(1)
        wire.sendall(OPEN)
        wire.settimeout(_IDLE_S)
        sized = False
        while True:
            try:
                head = wire.recv(HEAD.size)
            except TimeoutError:
                head = None
            if head == b"":
                return
            if head:
                width, height = HEAD.unpack(head)
                if not sized:
                    cv2.resizeWindow(TITLE, width, height)
                    sized = True
                cv2.imshow(TITLE, _picture(pixels_descriptor, width, height))
            key = cv2.waitKey(1) & 0xFF
            if key == ord("q") or (
                sized and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
            ):
                wire.sendall(QUIT)
                return
            if head:
                wire.sendall(SHOWN)


def _picture(descriptor: int, width: int, height: int) -> np.ndarray:
    with mmap.mmap(descriptor, height * width * 3, access=mmap.ACCESS_READ) as shared:
        # Copied, because the window keeps showing it after this memory has changed.
        return np.frombuffer(shared, np.uint8).reshape(height, width, 3).copy()
