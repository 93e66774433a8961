"""Whether a network camera is there."""

import socket
from urllib.parse import urlsplit

from .source import without_password

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
# Below a second even where a host is gone and nothing answers at all.
_LIMIT_S = 0.8


def answers(address: str) -> bool:
    """Whether the host of an address takes a connection."""
    try:
        parts = urlsplit(without_password(address))
        port = parts.port or _PORTS[parts.scheme]
        with socket.create_connection((parts.hostname or "", port), timeout=_LIMIT_S):
            return True
    except (OSError, ValueError, OverflowError):
        # ValueError: no such address, or a host name that cannot be encoded.
        return False
