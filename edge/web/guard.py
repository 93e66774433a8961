"""Who may look: the address in the request, the token, and how many at once. Pure."""

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

COOKIE = "fer_edge_token"
_TOKEN_BYTES = 18


@dataclass(frozen=True, slots=True)
class Address:
    """Where a page is served: host as given, and port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """As typed into a browser."""
        host = "localhost" if self.is_loopback else self.host
        if host in ("0.0.0.0", "::"):
            host = f"{socket.gethostname()}.local"
        if ":" in host:
            host = f"[{host}]"
        return f"http://{host}:{self.port}/"


def parse_address(text: str, *, default_port: int = 8420) -> Address:
    """``HOST:PORT``, ``:PORT``, ``PORT``, ``HOST`` or nothing, which is this machine only.

    Raises:
        ValueError: It is none of these.
    """
    host, port = text, ""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(f"expected HOST:PORT, got {text!r}")
        port = port[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    elif text.isdecimal():
        host, port = "", text
    host = host or "127.0.0.1"
    if not port:
        return Address(host, default_port)
    if not (port.isascii() and port.isdecimal() and 0 <= int(port) <= 65535):
        raise ValueError(f"expected a port from 0 to 65535, got {port!r}")
    return Address(host, int(port))


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


class Guard:
    """Decides about requests.

    Host: a page on the internet may point its own name at this machine ("DNS rebinding") and read
    what a browser here sees, so only names that are ours are answered: IP addresses, localhost,
    and this machine's own names.
    """

    def __init__(self, address: Address, token: str | None, *, most_streams: int = 16):
        """Set the rules.

        Args:
            address: Where it listens.
            token: What a request must bring; None lets everybody in.
            most_streams: How many pictures and event streams are open at once; a page has one of
                each.
        """
        self._token = token
        name = socket.gethostname().lower()
        self._names = {"localhost", name, f"{name}.local", address.host.lower()}
        self._most_streams, self._streams = most_streams, 0

    def knows_host(self, host: str | None) -> bool:
        """Whether the ``Host`` of a request is one of ours, with whatever port."""
        if not host:
            return False
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        name = name.strip("[]").lower().rstrip(".")
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def admits(self, headers: Mapping[str, str], query_token: str | None) -> bool:
        """Whether a request brings the token: in its address, its header or its cookie."""
        if self._token is None:
            return True
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        brought = [query_token, bearer if kind.lower() == "bearer" else None]
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        brought.append(cookie.value if cookie else None)
        wanted = self._token.encode()
        # All of them, so that the time tells nothing of which was right.
        right = [hmac.compare_digest(each.encode(), wanted) for each in brought if each]
        return any(right)

    @contextmanager
    def stream(self) -> Iterator[bool]:
        """Take a place for a stream; False where there is none."""
        if self._streams >= self._most_streams:
            yield False
            return
        self._streams += 1
        try:
            yield True
        finally:
            self._streams -= 1
