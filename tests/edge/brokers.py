"""A real mosquitto that a test starts, kills and freezes, who listens to it, and certificates."""

import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from .conftest import HANG_S, wait_until

Message = tuple[str, str, bool]


class Mosquitto:
    """A broker on a free port of this machine.

    Args:
        folder: For its files.
        users: Name to password; without any, everybody may come.
        acl: Lines of its access list.
        further: Lines of its configuration, such as those for TLS.
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: dict[str, str] | None = None,
        acl: Sequence[str] = (),
        further: Sequence[str] = (),
    ):
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.log = folder / "mosquitto.log"
        self._configuration = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"log_dest file {self.log}",
            "log_type all",
            f"allow_anonymous {'false' if users else 'true'}",
            # It would give up root, and then be unable to read what the test has written.
            "user root",
            *further,
        ]
        if users:
            passwords = folder / "passwords"
            passwords.touch(mode=0o600)
            for name, password in users.items():
                command = ["mosquitto_passwd", "-b", str(passwords), name, password]
                subprocess.run(command, check=True, capture_output=True)
            lines.append(f"password_file {passwords}")
        if acl:
            (folder / "acl").write_text("\n".join(acl) + "\n")
            lines.append(f"acl_file {folder / 'acl'}")
        self._configuration.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), HANG_S):
            return True
        return False

    def kill(self) -> None:
        """As a power failure ends it: nothing is said to anybody, and nothing kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """A broker that is there, and does nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


class Ear:
    """Another client, that hears everything from when it came."""

    def __init__(self, broker: Mosquitto, *, user: str | None = None, password: str | None = None):
        self.messages: list[Message] = []
        self.raw: list[bytes] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._ready.wait(HANG_S)

    def _hear(self, _client, _data, message) -> None:
        self.raw.append(message.payload)
        text = message.payload.decode("utf-8", "replace")
        self.messages.append((message.topic, text, message.retain))

    def of(self, topic: str) -> list[str]:
        """What was said under a topic."""
        return [text for name, text, _ in tuple(self.messages) if name == topic]

    def publish(self, topic: str, text: str) -> None:
        self._client.publish(topic, text, qos=1, retain=True).wait_for_publish(HANG_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # It closes its pair of sockets as it is deleted. In a ring with this one, which its
        # callbacks make, the garbage collector may come to the sockets first, in some other test.
        del self._client


def need_mosquitto() -> None:
    """Skip where it is not installed."""
    if shutil.which("mosquitto") is None:
        pytest.skip("needs mosquitto (.ci/run installs it)")


@contextmanager
def mosquitto(folder: Path, **options) -> Iterator[Mosquitto]:
    need_mosquitto()
    broker = Mosquitto(folder, **options)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


@contextmanager
def listening(broker: Mosquitto, **options) -> Iterator[Ear]:
    ear = Ear(broker, **options)
    try:
        yield ear
    finally:
        ear.close()


class Certificates:
    """An authority of the test and what it signs, made by openssl."""

    def __init__(self, folder: Path, name: str = "authority"):
        if shutil.which("openssl") is None:
            pytest.skip("needs openssl (.ci/run installs it)")
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.ca, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        subject = ["-subj", f"/CN={name}", "-days", "2"]
        self._call("req", "-x509", *_EC, "-keyout", self._key, "-out", self.ca, *subject)

    def sign(self, name: str, *, host: str) -> tuple[Path, Path]:
        """A certificate for a host, such as ``IP:127.0.0.1`` or ``DNS:pi``, and its key."""
        cert, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        request, further = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        further.write_text(f"subjectAltName={host}\n")
        self._call("req", *_EC, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signed_by = ["-CA", self.ca, "-CAkey", self._key, "-CAcreateserial", "-days", "2"]
        files = ["-in", request, "-out", cert, "-extfile", further]
        self._call("x509", "-req", *files, *signed_by)
        return cert, key

    def _call(self, *arguments: object) -> None:
        command = ["openssl", *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder)


_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class MuteServer:
    """Accepts connections and says nothing; or, with ``answer``, the same to everybody."""

    def __init__(self, answer: bytes = b""):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.accepted: list[socket.socket] = []
        self._answer = answer
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                guest, _ = self._socket.accept()
                self.accepted.append(guest)
                guest.sendall(self._answer)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(HANG_S)
        for guest in self.accepted:
            guest.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
