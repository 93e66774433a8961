"""Who may publish to a broker, and the way there: passwords, access lists and TLS."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt", reason="needs the extra [mqtt]")

from fer_edge.edge.mqtt import sink as sink_module

from ..conftest import write_folder
from .brokers import Certificates, Mosquitto, listening, mosquitto
from .conftest import wait_until
from .mqtt_sinks import DISCOVERY, STATE, publishing, shown

pytestmark = pytest.mark.usefixtures("impatient_mqtt")


# --------------------------------------------------------------------------- who comes, and who not


def test_a_password_from_a_file_lets_in(tmp_path, said):
    files = write_folder(tmp_path, {"password": b"p\xc3\xa4ss word\n"})
    (files / "password").chmod(0o600)
    with (
        mosquitto(tmp_path / "b", users={"cam": "päss word"}) as broker,
        listening(broker, user="cam", password="päss word") as ear,
        publishing(broker.port, said, user="cam", password_file=files / "password") as sink,
    ):
        sink.write(shown(0))
        wait_until(lambda: ear.of(STATE))
        assert len(said.lines) == 1


@pytest.mark.parametrize("user", ["cam", None])
def test_who_is_turned_away_is_told_once_and_the_loop_goes_on(tmp_path, said, monkeypatch, user):
    if user:
        monkeypatch.setenv("FER_EDGE_MQTT_PASSWORD", "a wrong secret")
    with mosquitto(tmp_path / "b", users={"cam": "right"}) as broker:
        with publishing(broker.port, said, user=user) as sink:
            wait_until(lambda: said.lines)
            sink.write(shown(0))
        log = broker.log.read_text()

    (line,) = said.lines
    assert ("the user 'cam'" if user else "a client without a user") in line
    assert "does not let" in line
    assert "--mqtt-password-file" in line
    assert "a wrong secret" not in line + log


def test_what_may_not_be_written_is_named_once_and_the_rest_goes_on(tmp_path, said, monkeypatch):
    monkeypatch.setenv("FER_EDGE_MQTT_PASSWORD", "secret")
    monkeypatch.setattr(sink_module, "_HEARTBEAT_S", 0.0)
    acl = ["user cam", "topic write fer-edge/hall/#", "user ear", "topic read #"]
    users = {"cam": "secret", "ear": "secret"}
    with (
        mosquitto(tmp_path / "b", users=users, acl=acl) as broker,
        listening(broker, user="ear", password="secret") as ear,
        publishing(broker.port, said, user="cam") as sink,
    ):
        for index in range(3):
            sink.write(shown(index))
            wait_until(lambda count=index + 1: len(ear.of(STATE)) == count)
        wait_until(lambda: said.heard(DISCOVERY))

    forbidden = [line for line in said.lines if "does not take messages" in line]
    assert len(forbidden) == 1
    assert f"for {DISCOVERY} (Not authorized): let cam write there" in forbidden[0]
    assert ear.of(DISCOVERY) == []


def test_two_devices_of_one_name_are_noticed(broker, ear, said):
    with publishing(broker.port, said) as first:
        first.write(shown(0))
        wait_until(lambda: ear.of(STATE))
        with publishing(broker.port, said, name="HALL"):
            wait_until(lambda: said.heard("give each its own --device-name"))


# --------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def tls_lines(certificates: Certificates, host: str, name: str) -> list[str]:
    cert, key = certificates.sign(name, host=host)
    return [f"cafile {certificates.ca}", f"certfile {cert}", f"keyfile {key}"]


@contextmanager
def tls_broker(
    folder: Path, certificates: Certificates, host: str = "IP:127.0.0.1", *further: str
) -> Iterator[Mosquitto]:
    lines = [*tls_lines(certificates, host, f"broker-{folder.name}"), *further]
    with mosquitto(folder / "b", further=lines) as broker:
        yield broker


def test_the_way_is_encrypted_where_the_certificate_is_good(tmp_path, said, certificates):
    with tls_broker(tmp_path, certificates) as broker:
        with publishing(broker.port, said, tls=True, ca=certificates.ca) as sink:
            sink.write(shown(0))
            wait_until(lambda: sink._link.connected or len(said.lines) > 1)
            client = sink._link._client
            assert client is not None
            assert isinstance(client.socket(), ssl.SSLSocket)
        assert said.heard("publishing to")


@pytest.mark.parametrize(
    ("host", "trusted", "words"),
    [
        # Signed by the right authority for another machine.
        ("DNS:elsewhere.example", True, "its certificate is not for 127.0.0.1"),
        # An authority of the system's, or none: not --mqtt-ca's.
        ("IP:127.0.0.1", False, "its certificate is not trusted"),
    ],
)
def test_a_certificate_that_does_not_match_is_refused(
    tmp_path, said, certificates, host, trusted, words
):
    others = Certificates(tmp_path / "others", "others")
    ca = certificates.ca if trusted else others.ca
    with (
        tls_broker(tmp_path, certificates, host) as broker,
        publishing(broker.port, said, tls=True, ca=ca) as sink,
    ):
        wait_until(lambda: said.lines)
        sink.write(shown(0))

        assert words in said.lines[0]
        assert not sink._link.connected


def test_without_mqtt_ca_the_systems_authorities_count(tmp_path, said, certificates):
    with tls_broker(tmp_path, certificates) as broker, publishing(broker.port, said, tls=True):
        wait_until(lambda: said.heard("its certificate is not trusted"))
        assert "see --mqtt-ca" in said.lines[0]


def test_a_certificate_of_ours_lets_in_where_one_is_asked_for(tmp_path, said, certificates):
    cert, key = certificates.sign("device", host="DNS:device")
    wants = "require_certificate true"
    with tls_broker(tmp_path, certificates, "IP:127.0.0.1", wants) as broker:
        with publishing(broker.port, said, tls=True, ca=certificates.ca):
            wait_until(lambda: said.heard("may want a certificate of ours (--mqtt-cert)"))
        files = {"ca": certificates.ca, "cert": cert, "key": key}
        with publishing(broker.port, said, tls=True, **files):
            wait_until(lambda: said.heard("publishing to"))


def test_tls_and_none_meet(tmp_path, said, certificates, broker):
    with tls_broker(tmp_path, certificates) as encrypted, publishing(encrypted.port, said):
        wait_until(lambda: said.heard("may want TLS (mqtts://)"))
    with publishing(broker.port, said, tls=True, ca=certificates.ca):
        wait_until(lambda: said.heard("is it the port for TLS?"))
