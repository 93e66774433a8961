"""Network cameras that send Motion JPEG over HTTP, as most do under some path.

FFmpeg could read them too. This reader decodes to grey where nobody wants colours, skips damaged
pictures instead of showing half of them, and decodes only the newest of those that wait.
"""

import os
import re
import socket
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote

from ..errors import CameraError
from ..records import Frame, Image
from . import SILENCE_S, CameraBase, make_frame
from .mjpeg import PictureStream
from .network import answers
from .source import without_password

_PIECE_BYTES = 1 << 16
# What cameras and programs call Motion JPEG.
_TYPES = ("multipart/", "image/jpeg", "video/", "application/octet-stream")


class HttpCamera(CameraBase):
    """A stream, newest frame first."""

    lossless, fps = False, 0.0

    def __init__(self, address: str, *, colour: bool, say: Callable[[str], None]):
        """Connect and decode the first frame.

        Args:
            address: ``http://user:password@host:80/path``; Basic and Digest are understood.
            colour: False decodes to grey.
            say: Told, once, that damaged pictures are left out.

        Raises:
            CameraError: Nobody answers within 4 s, or not with Motion JPEG.
        """
        self.name = without_password(address)
        self._address, self._colour, self._say = address, colour, say
        self._response = _connect(address, self.name)
        # To end a read in another thread, which closing the response would wait for.
        self._socket = socket.socket(fileno=os.dup(self._response.fileno()))
        self._stream = PictureStream(name=self.name, newest=True, colour=colour, say=say)
        self._index = 0
        try:
            self._first: tuple[Image, int] | None = self._next()
        except CameraError:
            self.close()
            raise

    @property
    def skipped(self) -> int:
        """Pictures that were left out because they were damaged."""
        return self._stream.skipped

    def read(self) -> Frame | None:
        """The next frame.

        Raises:
            CameraError: None came within 4 s, or the camera ended the stream.
        """
        picture, self._first = self._first, None
        if picture is None:
            picture = self._next()
        frame = make_frame(self._index, *picture)
        self._index += 1
        return frame

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._response.close()

    def renew(self) -> "HttpCamera":
        """Connect again; raises what opening raises."""
        return HttpCamera(self._address, colour=self._colour, say=self._say)

    def reachable(self) -> bool | None:
        """Whether something listens at its address."""
        return answers(self._address)

    def _next(self) -> tuple[Image, int]:
        picture = self._stream.next(self._read, SILENCE_S)
        if picture is None:
            raise CameraError(f"{self.name} ended its stream.")
        return picture

    def _read(self, _limit_s: float) -> bytes:
        # The limit of the socket is as long, so that a camera that sends a byte now and then, but
        # no picture, is noticed after twice the time.
        try:
            return self._response.read1(_PIECE_BYTES)
        except (OSError, HTTPException, ValueError, AttributeError) as exc:
            # The last two: closed meanwhile.
            raise CameraError(f"{self.name} stopped delivering frames.") from exc


class _ClosesRefusal:
    """urllib asks again, with the password, and forgets the connection that was refused."""

    def http_error_401(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any) -> Any:
        fp.close()
        return super().http_error_401(req, fp, code, msg, headers)  # pyright: ignore


class _Basic(_ClosesRefusal, urllib.request.HTTPBasicAuthHandler):
    pass


class _Digest(_ClosesRefusal, urllib.request.HTTPDigestAuthHandler):
    pass


def _connect(address: str, name: str) -> HTTPResponse:
    scheme, _, tail = address.partition("://")
    host, path = tail[: (end := re.search(r"[/?#]|$", tail).start())], tail[end:]  # pyright: ignore
    secret, at, host = host.rpartition("@")
    address = f"{scheme}://{host}{path}"
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if at:
        user, _, password = secret.partition(":")
        passwords.add_password(None, address, unquote(user), unquote(password))
    opener = urllib.request.build_opener(
        _Basic(passwords),
        _Digest(passwords),
    )
    try:
        response = opener.open(address, timeout=SILENCE_S)
    except HTTPError as exc:
        exc.close()
        hint = "; are user and password right?" if exc.code in (401, 403) else "."
        raise CameraError(f"{name} answers {exc.code} {exc.reason}{hint}") from exc
    except URLError as exc:
        raise CameraError(f"Cannot open {name}: {exc.reason}. Is it switched on?") from exc
    except (OSError, HTTPException, ValueError) as exc:
        raise CameraError(f"Cannot open {name}: {type(exc).__name__}.") from exc
    kind = response.headers.get_content_type()
    if not kind.startswith(_TYPES):
        response.close()
        raise CameraError(
            f"{name} sends {kind}; expected Motion JPEG. The path of the stream is in the "
            f"camera's manual, such as /video or /?action=stream."
        )
    return response
