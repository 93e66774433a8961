"""What ``--camera`` can say, without opening anything."""

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import CameraError

PICTURE_SUFFIXES = frozenset(
    {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
#: Pixel formats of raw frames on standard input, by their name in a source, with the bytes that
#: two pixels take. ffmpeg calls the first one yuv420p, rpicam-vid yuv420.
RAW_FORMATS = {"yuv420": 3, "bgr24": 6, "gray": 2}
_ALIASES = {"yuv420p": "yuv420", "i420": "yuv420", "grey": "gray"}
FORMS = (
    "a number from `fer-edge cameras`, csi:N, usb:N, usb:/dev/…, rtsp://…, http://… (Motion JPEG), "
    "a clip, a picture, a folder of pictures, - (Motion JPEG on standard input), "
    + ", ".join(f"-:{name}" for name in RAW_FORMATS)
    + " (raw frames of --size on standard input), or demo"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A source, taken apart.

    Attributes:
        kind: ``demo``, ``position``, ``csi``, ``usb`` (both by position among their kind),
            ``device``, ``rtsp``, ``http``, ``stdin``, ``clip``, ``picture`` or ``folder``.
        address: What follows the kind: digits, a path, an address with its password, a raw format.
    """

    kind: str
    address: str = ""


def parse_source(text: str) -> Source:
    """Take a source apart.

    Raises:
        CameraError: It has none of the forms, or there is no such file.
    """
    scheme, colon, rest = text.partition(":")
    if text == "demo":
        return Source("demo")
    if text.isdecimal():
        return Source("position", text)
    if text == "-" or (scheme == "-" and colon):
        return Source("stdin", _raw_format(rest) if colon else "")
    if colon and scheme in ("csi", "usb") and rest.isdecimal():
        return Source(scheme, rest)
    if colon and scheme == "usb" and rest.startswith("/"):
        return Source("device", rest)
    if "://" in text:
        kind = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http"}.get(scheme)
        if kind is None:
            raise CameraError(f"There is no camera {without_password(text)!r}.")
        return Source(kind, text)
    return _file(text)


def without_password(address: str) -> str:
    """A network address without user, password and query, for messages.

    Some cameras want the password in the path (``/user=…&password=…``): such a path is left out.
    """
    # Up to the last @: a password may hold any character, though it should be escaped.
    address = re.sub(r"://.*@", "://", address, flags=re.DOTALL).partition("?")[0]
    head, slashes, tail = address.partition("://")
    host, slash, path = tail.partition("/")
    return f"{head}{slashes}{host}{slash}{'…' if '=' in path else path}"


def _raw_format(name: str) -> str:
    known = _ALIASES.get(name, name)
    if known not in RAW_FORMATS:
        raise CameraError(
            f"Raw frames on standard input can be {', '.join(f'-:{raw}' for raw in RAW_FORMATS)}, "
            f"got '-:{name}'. Motion JPEG is a plain -."
        )
    return known


def _file(text: str) -> Source:
    path = Path(text)
    try:
        if path.is_char_device():
            return Source("device", text)
        if path.is_dir() and text:
            return Source("folder", text)
        if path.is_file():
            return Source("picture" if path.suffix.lower() in PICTURE_SUFFIXES else "clip", text)
        why = "is no clip, picture or folder" if text and path.exists() else "does not exist"
    except PermissionError:
        why = "cannot be read: permission denied"
    except (OSError, ValueError):
        # A name too long for any file, or with a NUL in it.
        why = "does not exist"
    raise CameraError(f"The camera {text[:200]!r} {why}.")
