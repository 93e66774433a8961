"""A bounded hand-off between two threads that can be closed and loses nothing uncounted.

Cameras use it *newest-wins*: a full channel drops its oldest item for the new one, so that what is
looked at is never old. Files use it *lossless*: a full channel makes the sender wait.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosed(Exception):  # noqa: N818 - the end of a stream is no error
    """There is nothing more to come."""


class Channel(Generic[T]):
    """A queue of at most ``capacity`` items.

    At any moment ``offered == taken + dropped + waiting``, exactly.
    """

    def __init__(self, *, capacity: int, lossless: bool):
        """Make an open, empty channel.

        Args:
            capacity: How many items may wait, 1 or more.
            lossless: Whether a full channel makes the sender wait rather than drop its oldest item.

        Raises:
            ValueError: The capacity is below 1.
        """
        if capacity < 1:
            raise ValueError(f"A channel's capacity must be 1 or more, got {capacity}.")
        self._capacity, self._lossless = capacity, lossless
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._offered = self._taken = self._dropped = 0

    def put(self, item: T) -> bool:
        """Offer an item; False where the channel is closed, and the item is counted as dropped.

        A lossless channel that is full waits here until there is room or it is closed.
        """
        with self._changed:
            if self._lossless:
                while len(self._items) >= self._capacity and not self._closed:
                    self._changed.wait()
            # Counted only now, so that the sum holds while a sender waits.
            self._offered += 1
            if self._closed:
                self._dropped += 1
                return False
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self._dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> T:
        """Take the oldest item that waits.

        Args:
            timeout_s: How long to wait for one; None waits until one comes or the channel closes.

        Raises:
            ChannelClosed: It is closed and empty.
            TimeoutError: Nothing came in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._items:
                if self._closed:
                    raise ChannelClosed
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self._changed.wait(left)
            self._taken += 1
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def __iter__(self) -> Iterator[T]:
        """The items until the channel is closed and empty."""
        while True:
            try:
                yield self.get()
            except ChannelClosed:
                return

    def close(self, *, discard: bool = False) -> None:
        """Let nothing more in; what waits can still be taken, or is dropped and counted.

        Args:
            discard: Drop what waits, so that the receiver stops at once.
        """
        with self._changed:
            self._closed = True
            if discard:
                self._dropped += len(self._items)
                self._items.clear()
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nothing more is let in."""
        return self._closed

    def counts(self) -> dict[str, int]:
        """``offered``, ``taken``, ``dropped`` and ``waiting`` at one moment."""
        with self._changed:
            return {
                "offered": self._offered,
                "taken": self._taken,
                "dropped": self._dropped,
                "waiting": len(self._items),
            }
