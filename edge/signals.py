"""Ctrl-C and SIGTERM end the process in time, whatever it is doing.

The handlers only ask the loop to stop. A native call that does not come back (a camera driver, a
pipe that nobody reads) would keep Python from running them, so a thread of its own hears the signal
too and ends the process when the time is up, or at once at a second signal.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from .errors import EXIT_INTERRUPTED, EXIT_OK

# The documented limit is 3 s, also on a busy machine; the loop itself waits 2.2 s for its threads.
_LIMIT_S = 2.5
_EXIT_CODES = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_OK}


@dataclass(slots=True)
class Stop:
    """What was heard: the exit code of the first signal, or None while there was none."""

    exit_code: int | None = None


class Stopped(BaseException):
    """A signal came before the loop ran."""


class Stopper:
    """Ends whatever is going on: by an exception while things are opened, then by a call.

    Python may lose an exception that a handler raises (in a weak reference's callback, say, of
    which imports have many), so what was heard is remembered too.
    """

    def __init__(self) -> None:
        self._heard = False
        self._then: Callable[[], None] | None = None

    def stop(self) -> None:
        """End it; called by the handler of a signal, in the main thread.

        Raises:
            Stopped: Nothing was handed over yet.
        """
        self._heard = True
        if self._then is None:
            raise Stopped
        self._then()

    def hand_over(self, stop: Callable[[], None]) -> None:
        """Call this from here on; and at once, if a signal was heard before."""
        self._then = stop
        if self._heard:
            stop()

    @contextmanager
    def ending_quietly(self) -> Iterator[None]:
        """Leave the block without an error where a signal ended the opening.

        A native module that the exception meets while it initialises makes an ImportError of it,
        and callers may make more of that: whatever fails then failed because of the signal.
        """
        try:
            yield
        except Stopped:
            pass
        except Exception:
            if not self._heard or self._then is not None:
                raise


@contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Iterator[Stop]:
    """Within the block, SIGINT and SIGTERM call ``stop`` and, 2.5 s later, end the process.

    Outside of the main thread, where Python takes no signals, the block changes nothing.
    """
    heard = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def handle(number: int, _frame: object) -> None:
        if heard.exit_code is None:
            heard.exit_code = _EXIT_CODES[signal.Signals(number)]
        stop()

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    done = threading.Event()
    watchdog = threading.Thread(target=_watch, args=(reader, done), name="signals", daemon=True)
    watchdog.start()
    before = {number: signal.signal(number, handle) for number in _EXIT_CODES}
    # The C level writes the signal's number there at once, even while Python code cannot run.
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield heard
    finally:
        done.set()
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)
        watchdog.join(1.0)


def _watch(reader: int, done: threading.Event) -> None:
    """Wait for a signal's byte (or the end of the pipe), then for the time to be up."""
    try:
        heard = [byte for byte in os.read(reader, 1) if byte in _EXIT_CODES]
        if not heard:
            return
        again = threading.Thread(target=_leave_on_second, args=(reader, done), daemon=True)
        again.start()
        if not done.wait(_LIMIT_S):
            _leave(heard[0], "a thread did not end in time")
        again.join(1.0)
    finally:
        os.close(reader)


def _leave_on_second(reader: int, done: threading.Event) -> None:
    for byte in os.read(reader, 1):
        if byte in _EXIT_CODES and not done.is_set():
            _leave(byte, "a second signal came")


def _leave(number: int, why: str) -> None:
    # To the descriptor: the stream may be gone, or locked by the thread that is stuck.
    with suppress(OSError):
        os.write(2, f"fer-edge: ended at once, because {why}.\n".encode())
    os._exit(_EXIT_CODES[signal.Signals(number)])
