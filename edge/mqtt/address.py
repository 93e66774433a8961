"""Which broker, as whom, and under what name: read from options, files and the environment."""

import os
import re
import socket
import ssl
import stat
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import UsageError

PASSWORD_VARIABLE = "FER_EDGE_MQTT_PASSWORD"
#: By the scheme of the address: https://www.iana.org/assignments/service-names-port-numbers
PORTS = {"mqtt": 1883, "mqtts": 8883}
_EXPECTED = "expected mqtt://[user@]host[:port], or mqtts:// for TLS"
# As long as a name in the DNS may be; topics could be longer.
_LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is: host, port, whether it speaks TLS, and the user's name or None."""

    host: str
    port: int
    tls: bool
    user: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class MqttChoice:
    """What the user asked for; see :func:`.sink.open_mqtt`.

    Attributes:
        broker: Where to.
        password_file: Holds the user's password; None looks into ``FER_EDGE_MQTT_PASSWORD``.
        ca: Certificates that the broker's must be signed by; None takes those of the system.
        cert: Our own certificate, where the broker asks for one.
        key: Its key; None where that is in the same file.
        device_name: What tells this device from others; None takes the name of the machine.
    """

    broker: Broker
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    device_name: str | None = None


def parse_broker(url: str) -> Broker:
    """``mqtt[s]://[user@]host[:port]``.

    Raises:
        ValueError: It is none, or holds a password. The text is not repeated: it may hold one.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if parts.password is not None:
        raise ValueError(
            "a password does not belong into the address, which every user of the machine can "
            f"read: write it into a file for --mqtt-password-file, or into {PASSWORD_VARIABLE}"
        )
    rest = (parts.path.strip("/"), parts.query, parts.fragment)
    if parts.scheme not in PORTS or not parts.hostname or any(rest) or port == 0:
        raise ValueError(_EXPECTED)
    user = unquote(parts.username) if parts.username else None
    return Broker(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "mqtts", user)


def slug(name: str) -> str:
    """A device's name as a part of topics and ids: ``a-z``, ``0-9`` and ``-``; it may be empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")


def device_name(given: str | None) -> str:
    """The name of this device: as given, or of the machine.

    Raises:
        UsageError: There is no letter and no digit in it that topics could be made of.
    """
    name = socket.gethostname() if given is None else given
    if not slug(name) or len(name) > _LONGEST_NAME:
        raise UsageError(
            f"--device-name: expected a name of at most {_LONGEST_NAME} characters with a letter "
            f"from a to z or a digit, got {name[: _LONGEST_NAME + 1]!r}."
        )
    return name


def read_password(
    choice: MqttChoice, say: Callable[[str], None], environment: Mapping[str, str] = os.environ
) -> str | None:
    """The password from its file, or else from ``FER_EDGE_MQTT_PASSWORD``; None without one.

    Args:
        choice: Names the file.
        say: Is told when others can read it.
        environment: Of the process.

    Raises:
        UsageError: The file cannot be read or is empty, or there is no user that it belongs to.
    """
    path = choice.password_file
    password = environment.get(PASSWORD_VARIABLE) or None
    source = PASSWORD_VARIABLE
    if path is not None:
        source = "--mqtt-password-file"
        try:
            # Editors end a file with a new line.
            password = path.read_text(encoding="utf-8").rstrip("\r\n")
            others = path.stat().st_mode & stat.S_IROTH
        except OSError as exc:
            raise UsageError(f"{source}: cannot read {path}: {exc.strerror}.") from exc
        except UnicodeDecodeError as exc:
            raise UsageError(f"{source}: {path} is no text in UTF-8.") from exc
        if not password:
            raise UsageError(f"{source}: {path} is empty; expected the password in it.")
        if others:
            say(f"every user of this machine can read the password: `chmod 600 {path}`")
    if password is not None and choice.broker.user is None:
        raise UsageError(f"{source} gives a password and --mqtt no user: mqtt://USER@HOST.")
    return password


def tls_context(choice: MqttChoice) -> ssl.SSLContext | None:
    """What checks the broker's certificate and its name, from TLS 1.2 on; None for ``mqtt://``.

    Raises:
        UsageError: A file cannot be read or holds no certificate or no key, or there is no TLS that
            it could be for.
    """
    if not choice.broker.tls:
        for name, path in (("ca", choice.ca), ("cert", choice.cert), ("key", choice.key)):
            if path is not None:
                raise UsageError(f"--mqtt-{name} is for TLS: write mqtts:// instead of mqtt://.")
        return None
    if choice.key is not None and choice.cert is None:
        raise UsageError("--mqtt-key is the key of a certificate: give --mqtt-cert too.")
    context = ssl.create_default_context()
    if choice.ca is not None:
        # A context of its own: with the system's authorities in it, --mqtt-ca would bar nobody.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load("--mqtt-ca", choice.ca, lambda: context.load_verify_locations(choice.ca))
    context.sslsocket_class = _TlsSocket
    if choice.cert is not None:
        cert, key = choice.cert, choice.key or choice.cert
        # Without a password OpenSSL would ask for one on the terminal.
        _load("--mqtt-cert", cert, lambda: context.load_cert_chain(cert, key, password=""))
    return context


class _TlsSocket(ssl.SSLSocket):
    """Closed when its handshake fails; paho-mqtt leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands, or close."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _load(option: str, path: Path, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as exc:
        raise UsageError(
            f"{option}: {path} is not what is expected, a certificate in PEM form, with its "
            f"unencrypted key where it is our own ({exc.reason or 'nothing of that in it'})."
        ) from exc
    except OSError as exc:
        raise UsageError(f"{option}: cannot read {exc.filename or path}: {exc.strerror}.") from exc
