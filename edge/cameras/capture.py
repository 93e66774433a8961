"""OpenCV's VideoCapture, made safe to close while another thread reads."""

import threading
import time
from collections.abc import Sequence

import cv2
import numpy as np


class Capture:
    """A ``cv2.VideoCapture`` that ``close`` never frees under a reader, and never waits for."""

    def __init__(self, address: str, backend: int, options: Sequence[int] = ()):
        """Open it; whether that went well, :attr:`opened` says."""
        self._capture = cv2.VideoCapture(address, backend, list(options))
        self._lock = threading.Lock()
        self._closed = False
        #: Whether OpenCV could open the address.
        self.opened = self._capture.isOpened()

    def read(self) -> tuple[np.ndarray, int] | None:
        """The next picture and its monotonic time in ns, or None where there is none."""
        try:
            with self._lock:
                if self._closed or not self._capture.grab():
                    return None
                captured_ns = time.monotonic_ns()
                good, image = self._capture.retrieve()
                return (image, captured_ns) if good else None
        except cv2.error:
            return None
        finally:
            if self._closed:
                self.close()

    def get(self, what: int) -> float:
        """A property, by its number in ``cv2.CAP_PROP_…``; to be asked by the reading thread."""
        return float(self._capture.get(what))

    def set(self, what: int, value: float) -> bool:
        """Ask for a property; whether OpenCV says that it has it."""
        return bool(self._capture.set(what, value))

    def close(self) -> None:
        """Free the device, here or in the thread that reads, when its read comes back."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._capture.release()
            finally:
                self._lock.release()
