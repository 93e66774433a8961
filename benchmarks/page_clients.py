"""Readers of the live page, in a process of their own: ``python -m … ADDRESS KIND COUNT``.

Says ``ready`` when all of them are served, reads until its standard input ends, and then prints
what came as JSON. Only the standard library, so that it weighs little beside the loop.
"""

import http.client
import json
import socket
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

_LIMIT_S = 20.0
_PATHS = ("/stream.mjpg", "/api/events")
# What the kernel of a phone that went to sleep may still take.
_STALLED_BYTES = 4096


class _Readers:
    """What arrived: times and numbers of the states, and how many pictures."""

    def __init__(self, address: str):
        self._host, self._port = urlsplit(address).hostname or "", urlsplit(address).port
        self._served = threading.Semaphore(0)
        self.states: list[list[tuple[float, int]]] = []
        self.pictures: list[int] = []

    def begin(self, count: int) -> None:
        """Start so many pages, each with its two streams, and wait for their first word."""
        for _ in range(count):
            self.states.append([])
            self.pictures.append(0)
            at = len(self.states) - 1
            threading.Thread(target=self._read_states, args=(at,), daemon=True).start()
            threading.Thread(target=self._read_pictures, args=(at,), daemon=True).start()
        for _ in range(2 * count):
            if not self._served.acquire(timeout=_LIMIT_S):
                raise SystemExit("the page does not answer")

    def _open(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_LIMIT_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status}")
        return answer

    def _read_states(self, at: int) -> None:
        for line in self._open("/api/events"):
            if line.startswith(b"data: "):
                state = json.loads(line[6:])
                if not self.states[at]:
                    self._served.release()
                self.states[at].append((time.time(), state["number"]))

    def _read_pictures(self, at: int) -> None:
        answer = self._open("/stream.mjpg")
        for line in answer:
            if line.lower().startswith(b"content-length: "):
                answer.readline()
                answer.read(int(line.split()[1]))
                if not self.pictures[at]:
                    self._served.release()
                self.pictures[at] += 1


def _stalled(address: str, count: int) -> list[socket.socket]:
    """Pages that ask for both streams and never read."""
    parts, opened = urlsplit(address), []
    for path in _PATHS * count:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _STALLED_BYTES)
        connection.connect((parts.hostname, parts.port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        if not connection.recv(12, socket.MSG_PEEK).endswith(b"200"):
            raise SystemExit(f"{path} is refused")
        opened.append(connection)
    return opened


def main(address: str, kind: str, count: int) -> dict[str, Any]:
    """Be so many readers (``read``) or so many that do not read (``stall``)."""
    readers = _Readers(address)
    opened = _stalled(address, count) if kind == "stall" else []
    if kind == "read":
        readers.begin(count)
    print("ready", flush=True)
    sys.stdin.read()
    for connection in opened:
        connection.close()
    return {"states": readers.states, "pictures": readers.pictures}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))), flush=True)
