"""Fetching a file from the web so that it is whole and right, or not there at all."""

import hashlib
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import replacing

_CHUNK_BYTES = 1 << 20
# Of silence. A server that drips is ended by the other limit.
_TIMEOUT_S = 30.0
_WHOLE_S = 600.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file must be like to be kept.

    Attributes:
        max_bytes: The largest size; more is not read.
        starts: What it may begin with, after a byte order mark; empty for anything.
        sha256: The digest it must have, or "" for any.
    """

    max_bytes: int
    starts: tuple[bytes, ...] = ()
    sha256: str = ""


class UnexpectedContentError(Exception):
    """What came is not what was asked for; the text says in what, beginning with "it"."""


class UnreachableError(Exception):
    """Nothing came; the text names the address and the reason."""


def download(
    url: str,
    target: Path,
    expected: Expected,
    *,
    timeout_s: float = _TIMEOUT_S,
    whole_s: float = _WHOLE_S,
) -> str:
    """Fetch a file, whole or not at all. The caller has made sure that ``target`` is free.

    Args:
        url: http or https; it may lead on to others of the same kind.
        target: Where to put it; its folder is made.
        expected: What it must be like.
        timeout_s: How long the server may say nothing, in seconds.
        whole_s: How long all of it may take, in seconds.

    Returns:
        The file's SHA-256.

    Raises:
        UnreachableError: No answer, an error, or one that broke off on its way.
        UnexpectedContentError: What came is something else.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "fer-edge"})
    try:
        opener = urllib.request.build_opener(_NoWayOut)
        with opener.open(request, timeout=timeout_s) as answer:
            return write_checked(answer, target, expected, until=time.monotonic() + whole_s)
    except urllib.error.HTTPError as exc:
        exc.close()
        raise UnreachableError(f"{url} answered {exc.code} {exc.reason}") from exc
    except (UnexpectedContentError, UnreachableError):
        raise
    except (OSError, ssl.SSLError, ValueError) as exc:
        raise UnreachableError(f"Cannot fetch {url}: {why(exc)}") from exc
    except Exception as exc:
        # http.client has errors of its own, for answers that break off or are no HTTP at all.
        raise UnreachableError(f"Cannot fetch {url}: {type(exc).__name__}") from exc


def write_checked(
    source: Any, target: Path, expected: Expected, *, until: float | None = None
) -> str:
    """Write a binary stream to a file, whole or not at all, if it is what is expected.

    Args:
        source: An open file or an answer of a web server.
        target: Where to put it; its folder is made.
        expected: What it must be like.
        until: Monotonic time in seconds at which to give up, or None.

    Returns:
        The file's SHA-256.

    Raises:
        UnexpectedContentError: It is not.
        OSError: It cannot be read or written, or took too long.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, written = hashlib.sha256(), 0
    announced = _announced_bytes(source)
    # A server's answer is read as it comes; a file's read() fills the chunk.
    read = getattr(source, "read1", source.read)
    with replacing(target) as partial, partial.open("wb") as file:
        while chunk := read(_CHUNK_BYTES):
            _check_start(chunk, written, expected.starts)
            written += len(chunk)
            if written > expected.max_bytes:
                raise UnexpectedContentError(f"it is larger than {_size(expected.max_bytes)}")
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"it came too slowly, {written} bytes in the time that it had")
            digest.update(chunk)
            file.write(chunk)
        if not written:
            raise UnexpectedContentError("it is empty")
        if announced is not None and written < announced:
            raise UnexpectedContentError(f"it broke off after {written} of {announced} bytes")
        found = digest.hexdigest()
        if expected.sha256 not in ("", found):
            raise UnexpectedContentError(
                f"its SHA-256 is {found[:12]}…, not {expected.sha256[:12]}…"
            )
    return found


class _NoWayOut(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to the same protocol or to https, and to nothing else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        here, there = (address.partition("://")[0] for address in (req.full_url, newurl))
        if there not in (here, "https"):
            fp.close()
            raise UnreachableError(f"{req.full_url} leads away from {here}, to {there}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def why(exc: BaseException) -> str:
    """A reason without a path or an address: those are in the message already."""
    reason = getattr(exc, "reason", None)
    for cause in (exc, reason):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(reason or exc) or type(exc).__name__


def _check_start(chunk: bytes, written: int, starts: tuple[bytes, ...]) -> None:
    if starts and not written and not chunk.removeprefix(b"\xef\xbb\xbf").startswith(starts):
        raise UnexpectedContentError(f"it begins with {chunk[:24]!r}, not {starts[0].decode()!r}")


def _announced_bytes(source: Any) -> int | None:
    """The length that a web server announced; reading by pieces does not check it."""
    headers = getattr(source, "headers", None)
    length = headers.get("Content-Length") if headers is not None else None
    return int(length) if length and length.isdecimal() else None


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count} bytes"
