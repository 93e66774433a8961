"""Addresses, secrets and payloads of MQTT, without a broker; and the options of the command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.cli import cli
from fer_edge.edge.errors import UsageError
from fer_edge.edge.mqtt.address import (
    Broker,
    MqttChoice,
    device_name,
    parse_broker,
    read_password,
    slug,
    tls_context,
)
from fer_edge.edge.mqtt.messages import (
    EXPIRE_AFTER_S,
    Topics,
    discovery_payload,
    scene_of,
    state_payload,
)
from fer_edge.edge.telemetry import Snapshot

from ..conftest import EMOTIONS
from .conftest import a_face_at, read_as, scores_of

PI, TLS = Broker("pi", 1883, False, "cam"), Broker("pi", 8883, True)

# -------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://pi", Broker("pi", 1883, False)),
        ("mqtts://pi", Broker("pi", 8883, True)),
        ("mqtt://pi:1884/", Broker("pi", 1884, False)),
        ("MQTT://Pi.local", Broker("pi.local", 1883, False)),
        ("mqtt://cam@pi", Broker("pi", 1883, False, "cam")),
        # What has a meaning in addresses is written with a percent sign.
        ("mqtt://a%40b@pi", Broker("pi", 1883, False, "a@b")),
        ("mqtts://cam@[::1]:1", Broker("::1", 1, True, "cam")),
    ],
)
def test_an_address_is_read(url: str, expected: Broker) -> None:
    assert parse_broker(url) == expected
    assert str(expected).endswith(f":{expected.port}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pi",
        "pi:1883",
        "http://pi",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://pi:0",
        "mqtt://pi:65536",
        "mqtt://pi:x",
        "mqtt://[::1",
        "mqtt://pi/topic",
        "mqtt://pi?x=1",
        "mqtt://cam@",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=re.escape("expected mqtt://[user@]host[:port]")):
        parse_broker(url)


@pytest.mark.parametrize("url", ["mqtt://u:s3cret@pi", "mqtts://:s3cret@pi:1", "mqtt://u:s3cret@"])
def test_a_password_in_the_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(
        ValueError, match="--mqtt-password-file, or into FER_EDGE_MQTT_PASS"
    ) as told:
        parse_broker(url)
    assert "s3cret" not in str(told.value)


@given(st.text(max_size=80))
def test_a_topic_holds_nothing_that_brokers_read(name: str) -> None:
    assert re.fullmatch("([a-z0-9]+(-[a-z0-9]+)*)?", slug(name))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Hall", "hall"), ("Küche 2", "kuche-2"), ("a/b/#+", "a-b"), ("-x-", "x"), ("廊下", "")],
)
def test_a_name_becomes_a_part_of_topics(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_without_a_name_the_machines_is_taken(monkeypatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "raspberrypi")
    assert device_name(None) == "raspberrypi"
    for bad in ("", "廊下", "x" * 64):
        with pytest.raises(UsageError, match="--device-name: expected a name of at most 63"):
            device_name(bad)


# ---------------------------------------------------------------------------------------- secrets


def test_a_password_comes_from_its_file_before_the_environment(tmp_path: Path) -> None:
    path, said = tmp_path / "password", []
    path.write_text(" s p\n")
    path.chmod(0o600)
    environment = {"FER_EDGE_MQTT_PASSWORD": "other"}

    assert read_password(MqttChoice(PI, path), said.append, environment) == " s p"
    assert read_password(MqttChoice(PI), said.append, environment) == "other"
    assert read_password(MqttChoice(PI), said.append, {}) is None
    assert said == []
    path.chmod(0o644)
    read_password(MqttChoice(PI, path), said.append, {})
    assert said == [f"every user of this machine can read the password: `chmod 600 {path}`"]


@pytest.mark.parametrize(
    ("content", "broker", "words"),
    [
        (None, PI, "cannot read .*: No such file"),
        (b"", PI, "is empty; expected the password"),
        (b"\n", PI, "is empty; expected the password"),
        (b"\xff\xfe", PI, "is no text in UTF-8"),
        (b"secret", TLS, "gives a password and --mqtt no user"),
    ],
)
def test_a_password_that_cannot_be_had_is_said(tmp_path: Path, content, broker, words) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"--mqtt-password-file.*{words}") as told:
        read_password(MqttChoice(broker, path), print, {})
    assert "secret" not in str(told.value)


def test_files_for_tls_that_are_wrong_are_said(tmp_path: Path) -> None:
    text, missing = tmp_path / "text.pem", tmp_path / "missing.pem"
    text.write_text("no certificate\n")
    for files, words in (
        ({"ca": missing}, "--mqtt-ca: cannot read .*missing.pem: No such file"),
        ({"ca": text}, "--mqtt-ca: .*text.pem is not what is expected, a certificate"),
        ({"cert": missing}, "--mqtt-cert: cannot read .*missing.pem"),
        ({"cert": text}, "--mqtt-cert: .*text.pem is not what is expected"),
        ({"key": text}, "--mqtt-key is the key of a certificate: give --mqtt-cert too"),
    ):
        with pytest.raises(UsageError, match=words):
            tls_context(MqttChoice(TLS, **files))
        with pytest.raises(UsageError, match="is for TLS: write mqtts:// instead"):
            tls_context(MqttChoice(PI, **files))
    assert tls_context(MqttChoice(PI)) is None


def test_nobody_is_asked_for_the_password_of_a_key(tmp_path: Path) -> None:
    brokers = pytest.importorskip("tests.edge.brokers", reason="needs the extra [mqtt]")
    cert, key = brokers.Certificates(tmp_path).sign("device", host="DNS:device")
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:secret", "-in", key, "-out", locked]
    subprocess.run(command, check=True, capture_output=True)

    with pytest.raises(UsageError, match="with its unencrypted key"):
        tls_context(MqttChoice(TLS, cert=cert, key=locked))
    context = tls_context(MqttChoice(TLS, cert=cert, key=key))
    assert context is not None
    assert context.check_hostname


# --------------------------------------------------------------------------------------- payloads

TEXT = {"type": "string", "minLength": 1}
# After DEVICE_DISCOVERY_SCHEMA and the schemas of sensors and binary sensors of Home Assistant
# (homeassistant/components/mqtt/schemas.py, sensor.py and binary_sensor.py of home-assistant/core),
# as far as it is used here.
COMMON = {
    "platform": {"enum": ["sensor", "binary_sensor"]},
    "name": TEXT,
    "unique_id": {"type": "string", "pattern": "^fer-edge-hall-[a-z]+$"},
    "value_template": TEXT,
    "icon": {"type": "string", "pattern": "^mdi:"},
    "expire_after": {"type": "integer", "minimum": 1},
    "entity_category": {"const": "diagnostic"},
    "device_class": {"enum": ["enum", "occupancy", "duration", "temperature"]},
    "state_class": {"enum": ["measurement", "total_increasing"]},
    "unit_of_measurement": TEXT,
    "options": {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True},
    "json_attributes_topic": TEXT,
    "json_attributes_template": TEXT,
}
DISCOVERY_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["device", "origin", "components"],
    "properties": {
        "device": {
            "type": "object",
            "additionalProperties": False,
            "required": ["identifiers"],
            "properties": {
                "identifiers": {"type": "array", "items": TEXT, "minItems": 1},
                **dict.fromkeys(("name", "manufacturer", "model", "sw_version"), TEXT),
            },
        },
        "origin": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name"],
            "properties": {"name": TEXT, "sw_version": TEXT},
        },
        "availability_topic": TEXT,
        "payload_available": {"const": "online"},
        "payload_not_available": {"const": "offline"},
        "state_topic": TEXT,
        "qos": {"enum": [0, 1, 2]},
        "components": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["platform", "unique_id", "name", "value_template", "expire_after"],
                "properties": COMMON,
            },
        },
    },
}


def test_home_assistant_gets_what_it_expects() -> None:
    topics = Topics("Hall")
    document = json.loads(discovery_payload(topics, [*EMOTIONS, "none"]))

    jsonschema.validate(document, DISCOVERY_SCHEMA)
    # Its own pattern of discovery topics.
    assert re.fullmatch(
        r"(?P<component>\w+)/(?:(?P<node_id>[a-zA-Z0-9_-]+)/)?(?P<object_id>[a-zA-Z0-9_-]+)/config",
        topics.discovery.removeprefix("homeassistant/"),
    )
    components = document["components"]
    assert set(components) >= {"emotion", "faces", "presence", "fps", "age", "temperature"}
    ids = [each["unique_id"] for each in components.values()]
    assert len(set(ids)) == len(ids)
    # Sensors of a choice have neither unit nor statistics.
    assert not {"state_class", "unit_of_measurement"} & set(components["emotion"])
    assert components["emotion"]["options"].count("none") == 1
    assert all(each["expire_after"] == EXPIRE_AFTER_S for each in components.values())
    assert document["state_topic"] == topics.state == "fer-edge/hall/state"


def test_every_key_that_a_template_names_is_in_the_state() -> None:
    document = json.loads(discovery_payload(Topics("Hall"), EMOTIONS))
    snapshot = Snapshot({}, 0.0, 0, 0, 0, 0.0, 0.0)
    scene = scene_of([], unix_s=0.0, present=False)
    state = json.loads(state_payload("Hall", scene, snapshot, None, 0))

    named = set(re.findall(r"value_json\.(\w+)", json.dumps(document)))
    assert named <= set(state)
    assert len(named) >= 7


@given(
    st.lists(
        st.none() | st.tuples(st.sampled_from(EMOTIONS), st.floats(0.2, 1.0)),
        min_size=0,
        max_size=6,
    )
)
def test_what_most_faces_show_is_what_is_said(faces) -> None:
    readings = [
        read_as(a_face_at(0), scores_of(*face))
        if face
        else read_as(a_face_at(0), label=None, scores=None)
        for face in faces
    ]
    scene = scene_of(readings, unix_s=1.0, present=True)

    said = [face[0] for face in faces if face]
    assert scene.faces == len(faces)
    assert (scene.emotion is None) == (not said)
    if scene.emotion and scene.scores:
        assert said.count(scene.emotion) == max(map(said.count, said))
        assert sum(scene.scores.values()) == pytest.approx(1.0)


# ------------------------------------------------------------------------------------ the command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mqtt", "mqtt://u:s3cret@pi"], "a password does not belong into the address"),
        (["--mqtt", "http://u:s3cret@pi"], "a password does not belong into the address"),
        (["--mqtt", "pi s3cret"], "expected mqtt://[user@]host[:port]"),
        (["--mqtt", "mqtt://pi", "--mqtt-ca", "none.pem"], "write mqtts:// instead of mqtt://"),
        (["--mqtt", "mqtts://pi", "--mqtt-ca", "none.pem"], "cannot read none.pem: No such file"),
        (["--mqtt", "mqtt://u@pi", "--mqtt-password-file", "none"], "cannot read none: No such"),
        (["--mqtt", "mqtt://pi", "--device-name", "!"], "--device-name: expected a name"),
        (["--mqtt-ca", "none.pem"], "--mqtt-ca belongs to --mqtt: pass both"),
    ],
)
def test_a_mistake_ends_the_command_with_2(arguments, words) -> None:
    pytest.importorskip("paho.mqtt", reason="needs the extra [mqtt]")
    done = CliRunner().invoke(cli, ["run", "--camera", "demo", "--frames", "1", *arguments])

    assert done.exit_code == 2, done.output
    assert words in done.output
    assert "s3cret" not in done.output


@pytest.mark.parametrize("where", ["file", "environment"])
def test_a_password_in_the_configuration_is_refused_and_not_repeated(tmp_path: Path, where) -> None:
    value, environment = "mqtt://u:s3cret@pi", {}
    path = tmp_path / "c.toml"
    path.write_text(f'[run]\nmqtt = "{value}"\n' if where == "file" else "")
    if where == "environment":
        environment["FER_EDGE_RUN_MQTT"] = value
    for words in (["config", "show"], ["config", "check"], ["run", "--camera", "demo"]):
        done = CliRunner().invoke(cli, ["--config", str(path), *words], env=environment)
        assert done.exit_code == 2
        assert "a password does not belong into the address" in done.output
        assert "s3cret" not in done.output


def test_the_passwords_variable_is_no_option_and_never_shown() -> None:
    environment = {"FER_EDGE_MQTT_PASSWORD": "s3cret"}
    for words in (["config", "check"], ["config", "show"]):
        done = CliRunner().invoke(cli, words, env=environment)
        assert done.exit_code == 0, done.output
        assert "s3cret" not in done.output
    # The guess that one would make is answered with what there is.
    guess = CliRunner().invoke(
        cli, ["config", "check"], env={"FER_EDGE_RUN_MQTT_PASSWORD": "s3cret"}
    )
    assert guess.exit_code == 2
    assert "did you mean FER_EDGE_RUN_MQTT_PASSWORD_FILE?" in guess.output
    assert "s3cret" not in guess.output


def test_without_the_extra_its_pip_line_is_told(tmp_path: Path) -> None:
    script = (
        "import sys\nsys.modules['paho'] = None\n"
        "sys.argv = 'fer-edge run --camera demo --frames 1 --mqtt mqtt://127.0.0.1:1'.split()\n"
        "from fer_edge.edge.cli import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert 'pip install "fer-edge[mqtt]"' in done.stderr
