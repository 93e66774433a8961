"""Threads that can be given up: what each one is doing since when, and who has hung too long.

Python can neither kill nor join a thread that a native call holds. Such a thread is *given up*: its
result, should it ever come, is thrown away, and another thread takes its place.
"""

import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable

from .errors import StuckError

# So many threads given up within so long: only a new process can help.
_MOST_GIVEN_UP, _WITHIN_NS = 5, 60_000_000_000
# Weak, because a thread that has ended is nobody's concern any more.
_started: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def hung() -> list[str]:
    """Names of the threads of this process that are still in a call that may hang."""
    return [worker.name for worker in _started if worker.alive]


class Worker:
    """A daemon thread that says when it enters and leaves calls that may hang."""

    def __init__(self, name: str, work: "Callable[[Worker], None]"):
        """Make the thread; :meth:`start` starts it.

        Args:
            name: Of the stage.
            work: What it does, from its start to its end.
        """
        self.name = name
        # A daemon, because the process must be able to end while a native call holds it.
        self._thread = threading.Thread(target=work, args=(self,), name=name, daemon=True)
        self._lock = threading.Lock()
        self._since_ns: int | None = None
        self._given_up = False
        #: Whether a frame is lost with this thread if it is given up in its present call.
        self.with_frame = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        _started.add(self)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread; whether it came in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    def begin(self, *, with_frame: bool = False) -> None:
        """Say that a call follows that may hang, and whether the thread holds a frame in it."""
        with self._lock:
            self._since_ns, self.with_frame = time.monotonic_ns(), with_frame

    def end(self) -> bool:
        """Say that the call came back; False where the thread was given up meanwhile.

        It must then leave everything as it is and end: another thread is in its place.
        """
        with self._lock:
            self._since_ns = None
            return not self._given_up

    def restart(self) -> None:
        """Count a present call from now on: everything stood still, not only this thread."""
        with self._lock:
            if self._since_ns is not None:
                self._since_ns = time.monotonic_ns()

    def give_up(self, limit_s: float) -> bool:
        """Give the thread up if it hangs longer than so many seconds; whether that was so."""
        with self._lock:
            if self._given_up or self._since_ns is None:
                return False
            self._given_up = time.monotonic_ns() - self._since_ns > limit_s * 1e9
            return self._given_up


class GivenUp:
    """Counts the threads that were given up, and says when they are too many."""

    def __init__(self) -> None:
        self._times_ns: deque[int] = deque(maxlen=_MOST_GIVEN_UP)
        #: How many of each name.
        self.by_name: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many in all."""
        return self.by_name.total()

    def add(self, name: str) -> None:
        """Count one.

        Raises:
            StuckError: It is the fifth within a minute.
        """
        now_ns = time.monotonic_ns()
        self.by_name[name] += 1
        self._times_ns.append(now_ns)
        if len(self._times_ns) == _MOST_GIVEN_UP and now_ns - self._times_ns[0] <= _WITHIN_NS:
            raise StuckError(
                f"Native calls hung {_MOST_GIVEN_UP} times within a minute, the last one in "
                f"{name}. A new process is needed; a supervisor such as systemd starts one."
            )
