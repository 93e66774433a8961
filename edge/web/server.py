"""The server of the page, in a thread of its own beside the loop."""

import asyncio
import socket
import threading
import time
from typing import Self

import uvicorn

from ..errors import SinkError
from ..records import Result
from .app import Parts, make_app
from .guard import Address

_START_S, _END_S = 5.0, 1.0
_MOST_HEADER_BYTES = 16 << 10
_MOST_CONNECTIONS = 32


class _Quiet(uvicorn.Server):
    """A server that leaves the signals to the loop."""

    def install_signal_handlers(self) -> None:
        """Do nothing."""


class PageSink:
    """Serves the page while the loop runs; what fails in it is no reason to end the loop."""

    def __init__(self, address: Address, parts: Parts):
        """Take the port.

        Args:
            address: Where to listen; port 0 is a free one.
            parts: What is served.

        Raises:
            SinkError: The address cannot be had.
        """
        self._parts = parts
        self._socket = _listen(address)
        port = self._socket.getsockname()[1]
        self.address = Address(address.host, port)
        config = uvicorn.Config(
            make_app(parts),
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            http="h11",
            loop="asyncio",
            h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=0,
        )
        self._server = _Quiet(config)
        self._thread = threading.Thread(target=self._serve, name="page", daemon=True)

    def _serve(self) -> None:
        async def serve() -> None:
            self._parts.news.begin()
            try:
                await self._server.serve(sockets=[self._socket])
            finally:
                self._parts.news.end()

        asyncio.run(serve())

    def __enter__(self) -> Self:
        self._parts.hub.on_result(self._parts.news.wake)
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self._server.started:
            self.__exit__()
            raise SinkError(f"The page at {self.address.url} did not start.")
        return self

    def write(self, result: Result) -> None:
        """Show a result.

        Raises:
            SinkError: The server has ended.
        """
        if not self._thread.is_alive():
            raise SinkError(f"The page at {self.address.url} has ended.")
        self._parts.hub.write(result)

    def __exit__(self, *_: object) -> None:
        self._parts.hub.on_result(lambda: None)
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_END_S)
        self._socket.close()


def _listen(address: Address) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as exc:
        raise SinkError(f"There is no address {address.host!r} to serve the page at.") from exc
    family, kind, protocol, _, place = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen(64)
    except OSError as exc:
        made.close()
        raise SinkError(
            f"The page cannot be served at {address.host}, port {address.port}: {exc.strerror}. "
            "Give another one with --serve HOST:PORT."
        ) from exc
    return made
