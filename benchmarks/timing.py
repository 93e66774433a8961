"""How long parts of the loop take, from outside: methods that note the time of each call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2


@contextmanager
def timed(owner: Any, name: str, clock: Callable[[], float]) -> Iterator[list[float]]:
    """Let a method, or a function of a module, note how long each call takes.

    Args:
        owner: The class or module.
        name: Of the method or function.
        clock: In seconds, such as ``time.thread_time``.

    Yields:
        A list that grows by a time in seconds at each call.
    """
    real, times = getattr(owner, name), []
    setattr(owner, name, _noting(real, times, clock))
    try:
        yield times
    finally:
        setattr(owner, name, real)


@contextmanager
def timed_detection(clock: Callable[[], float]) -> Iterator[list[float]]:
    """Let the native detectors that are opened meanwhile note how long each detection takes.

    Their classes cannot be changed, so OpenCV hands out stand-ins.

    Yields:
        As :func:`timed`.
    """
    times: list[float] = []
    cascade, network = cv2.CascadeClassifier, cv2.FaceDetectorYN

    class Network:
        @staticmethod
        def create(*arguments: Any) -> "_Native":
            return _Native(network.create(*arguments), "detect", times, clock)

    def open_cascade(path: str) -> "_Native":
        return _Native(cascade(path), "detectMultiScale3", times, clock)

    stand_ins = {"CascadeClassifier": open_cascade, "FaceDetectorYN": Network}
    for name, stand_in in stand_ins.items():
        setattr(cv2, name, stand_in)
    try:
        yield times
    finally:
        cv2.CascadeClassifier, cv2.FaceDetectorYN = cascade, network


class _Native:
    """A native object, one method of which notes its time."""

    def __init__(self, real: Any, name: str, times: list[float], clock: Callable[[], float]):
        self._real = real
        setattr(self, name, _noting(getattr(real, name), times, clock))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _noting(
    real: Callable[..., Any], times: list[float], clock: Callable[[], float]
) -> Callable[..., Any]:
    def noting(*arguments: Any, **keywords: Any) -> Any:
        began = clock()
        try:
            return real(*arguments, **keywords)
        finally:
            times.append(clock() - began)

    return noting
