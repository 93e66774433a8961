"""Tells a supervisor (systemd) that frames are delivered; by the protocol of sd_notify(3).

A service of ``Type=notify`` with ``WatchdogSec=`` is ready with its first frame, and is started
anew when no frame was delivered for that long. The protocol is a datagram a message, so that no
library is needed: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self

# sd_watchdog_enabled(3) advises half of the limit; at a quarter a message may be lost.
_SIGNS_A_LIMIT = 4
_STATUS_EVERY_S = 5.0


class Supervisor:
    """Sends what the supervisor wants to know; without one it does nothing.

    ::

        with Supervisor.from_environment() as supervisor:
            for result in pipeline.results():
                supervisor.delivered()

    It belongs to one thread, never waits and never raises.
    """

    def __init__(self, address: str | None = None, *, watchdog_s: float | None = None):
        """Choose whom to tell.

        Args:
            address: Of a unix datagram socket: a path, or a name after ``@``; None is nobody.
            watchdog_s: How long the supervisor waits for a sign of life, in seconds; or None.
        """
        self._socket: socket.socket | None = None
        self._address = f"\0{address[1:]}" if address and address[0] == "@" else address
        if address and address[0] in "/@":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        self._watched = bool(watchdog_s)
        self._every_s = min(_STATUS_EVERY_S, (watchdog_s or 1e9) / _SIGNS_A_LIMIT)
        self._ready = False
        self._due_s = 0.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Supervisor":
        """The one that systemd names: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.

        A watchdog that is meant for another process (sd_watchdog_enabled(3)), or whose figure is
        none, is left alone.
        """
        meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit = re.fullmatch("[0-9]{1,18}", environment.get("WATCHDOG_USEC", ""))
        watchdog_s = int(limit[0]) / 1e6 if meant and limit else None
        return cls(environment.get("NOTIFY_SOCKET"), watchdog_s=watchdog_s)

    def delivered(self, status: Callable[[], str] | None = None) -> None:
        """Say that a frame was delivered: ready with the first, alive with the others.

        It may be called with every frame; a message goes off every five seconds, or as often as
        the watchdog needs it.

        Args:
            status: Makes the line for people (``systemctl status``) that goes with it.
        """
        now = time.monotonic()
        if self._socket is None or now < self._due_s:
            return
        lines = [] if self._ready else ["READY=1"]
        if self._watched:
            lines.append("WATCHDOG=1")
        if status is not None:
            lines.append("STATUS=" + " ".join(status().split()))
        if not lines or self._send(lines):
            self._ready = True
            self._due_s = now + self._every_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Say that the end has begun, and send nothing more."""
        self._send(["STOPPING=1"])
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, lines: list[str]) -> bool:
        """Whether the message went off; if the supervisor's queue is full, the next one may."""
        if self._socket is None:
            return False
        with suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(errors="replace"), self._address or "")
            return True
        return False
