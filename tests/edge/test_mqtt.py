"""Publishing to a real mosquitto: what other clients get, and what becomes of the loop."""

import gc
import json
import threading
import weakref

import jsonschema
import numpy as np
import pytest

pytest.importorskip("paho.mqtt", reason="needs the extra [mqtt]")

from fer_edge.edge.errors import SinkError
from fer_edge.edge.mqtt import sink as sink_module
from fer_edge.edge.mqtt.sink import MOST_EVENTS
from fer_edge.edge.records import Reading

from ..conftest import EMOTIONS
from .brokers import Ear, MuteServer, listening
from .conftest import a_face_at, a_result, read_as, scores_of, wait_until
from .mqtt_sinks import AVAILABILITY, DISCOVERY, EVENT, STATE, publishing, shown

NUMBER, INTEGER = {"type": ["number", "null"]}, {"type": "integer"}
STATE_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "device", "time", "present", "faces", "emotion", "score", "scores"],
    "properties": {
        **dict.fromkeys(("score", "fps", "age_ms", "age_p95_ms", "temperature_c"), NUMBER),
        **dict.fromkeys(("faces", "dropped", "events_lost"), INTEGER),
        "schema": {"const": 1},
        "device": {"const": "Hall"},
        "time": {"type": "string", "maxLength": 24},
        "present": {"type": "boolean"},
        "emotion": {"enum": [*EMOTIONS, None]},
        "scores": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": dict.fromkeys(EMOTIONS, NUMBER),
        },
    },
}

pytestmark = pytest.mark.usefixtures("impatient_mqtt")


def states(ear: Ear) -> list[dict]:
    return [json.loads(text) for text in ear.of(STATE)]


def newest(ear: Ear) -> tuple[bool, int, str | None] | None:
    found = states(ear)
    return (found[-1]["present"], found[-1]["faces"], found[-1]["emotion"]) if found else None


# ------------------------------------------------------------------------------ what is published


def test_the_newest_state_and_all_changes_come(broker, ear, said):
    with publishing(broker.port, said) as sink:
        sink.write(shown(0, "happy"))
        wait_until(lambda: newest(ear) == (True, 1, "happy"))
        sink.write(shown(1, "sad"))
        wait_until(lambda: newest(ear) == (True, 1, "sad"))
        sink.write(shown(2, None))
        wait_until(lambda: newest(ear) == (True, 0, None))
        sink.write(shown(40, None))
        wait_until(lambda: newest(ear) == (False, 0, None))

    state = states(ear)[0]
    assert (state["fps"], state["age_ms"], state["dropped"]) == (30.0, 7.0, 1)
    assert (state["temperature_c"], state["score"], state["events_lost"]) == (51.3, 0.7, 0)
    assert set(state["scores"]) == set(EMOTIONS)
    events = [json.loads(text) for text in ear.of(EVENT)]
    assert [each["event"] for each in events] == ["appeared", "emotion", "left"]
    assert all((each["device"], each["face"]) == ("Hall", 1) for each in events)
    assert said.lines == [f"publishing to the MQTT broker at 127.0.0.1:{broker.port} as 'Hall'"]


def test_who_comes_later_finds_what_is_kept_and_hears_the_last_will(broker, said):
    with publishing(broker.port, said) as sink:
        sink.write(shown(0))
        with listening(broker) as first:
            wait_until(lambda: first.of(STATE))
    with listening(broker) as later:
        wait_until(lambda: later.of(AVAILABILITY) and later.of(STATE) and later.of(DISCOVERY))

        # Events are of one moment only; and whoever leaves is gone by what the broker says.
        assert later.of(EVENT) == []
        assert later.of(AVAILABILITY) == ["offline"]
        assert all(retained for _, _, retained in later.messages)


def test_a_device_that_is_cut_off_is_offline_for_others(broker, ear, said):
    with publishing(broker.port, said) as sink:
        sink.write(shown(0))
        # The state too, which comes after the greeting: one that is lost with the connection would
        # be told once only.
        wait_until(lambda: ear.of(AVAILABILITY) == ["online"] and ear.of(STATE))
        # As when the machine loses its power: no word of MQTT.
        sink._link._client._sock.close()
        wait_until(lambda: ear.of(AVAILABILITY)[1:2] == ["offline"])
        wait_until(lambda: ear.of(AVAILABILITY)[-1] == "online")
        wait_until(lambda: len(ear.of(STATE)) > 1)


def test_the_last_words_are_said_and_heard(broker, ear, said):
    with publishing(broker.port, said) as sink:
        sink.write(shown(0))
        wait_until(lambda: ear.of(STATE))
    wait_until(lambda: ear.of(AVAILABILITY) == ["online", "offline"])

    assert [json.loads(text)["event"] for text in ear.of(EVENT)] == ["appeared", "left"]


def test_no_picture_leaves_and_none_is_kept(broker, ear, said):
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    with publishing(broker.port, said) as sink:
        result = shown(0, image=noise.copy())
        image = weakref.ref(result.frame.image)
        sink.write(result)
        del result
        gc.collect()
        # Neither now nor while it waits for a broker.
        assert image() is None
        wait_until(lambda: ear.of(STATE))
        sink.write(shown(1, "sad", image=noise))
        wait_until(lambda: newest(ear) == (True, 1, "sad"))
    wait_until(lambda: ear.of(AVAILABILITY)[-1] == "offline")

    assert {topic for topic, _, _ in ear.messages} == {STATE, EVENT, AVAILABILITY, DISCOVERY}
    for state in states(ear):
        jsonschema.validate(state, STATE_SCHEMA)
    for text in ear.of(EVENT):
        assert len(text) < 400
        assert set(json.loads(text)) <= {
            "schema", "event", "time", "at_s", "face", "label", "before", "duration_s", "seconds",
            "device",
        }  # fmt: skip
    # A picture of this noise, however small it is packed, has more.
    assert sum(map(len, ear.raw)) < noise.nbytes / 20


def test_changes_are_published_twice_a_second_at_most(broker, ear, said, monkeypatch):
    # So seldom that a test can see it.
    monkeypatch.setattr(sink_module, "_BETWEEN_S", 3600.0)
    with publishing(broker.port, said) as sink:
        sink.write(shown(0, "happy"))
        wait_until(lambda: ear.of(STATE))
        for index in range(1, 50):
            sink.write(shown(index, ("happy", "sad", "fear")[index % 3]))
        wait_until(lambda: len(ear.of(EVENT)) == 50)
        assert len(ear.of(STATE)) == 1
        monkeypatch.setattr(sink_module, "_BETWEEN_S", 0.0)
        wait_until(lambda: newest(ear) == (True, 1, "sad"))
        # What came between is history.
        assert len(ear.of(STATE)) == 2


def test_a_state_is_repeated_while_results_come_and_expires_when_none_do(
    broker, ear, said, monkeypatch
):
    monkeypatch.setattr(sink_module, "_HEARTBEAT_S", 0.0)
    with publishing(broker.port, said) as sink:
        for index in range(3):
            sink.write(shown(index))
            wait_until(lambda count=index + 1: len(ear.of(STATE)) == count)
        # The camera has gone: the thread goes on, and says nothing.
        sink._link.publish("fer-edge/hall/mark", "", retain=False)
        wait_until(lambda: ear.of("fer-edge/hall/mark"))
        assert len(ear.of(STATE)) == 3


# ------------------------------------------------------------------------------ a broker that fails


def test_a_broker_that_is_not_there_is_said_once(said):
    nobody = MuteServer()
    nobody.close()
    with publishing(nobody.port, said) as sink:
        wait_until(lambda: sink._link._failures > 1)
        assert said.lines == [
            f"the MQTT broker at 127.0.0.1:{nobody.port}: connection refused; "
            "the loop goes on, and tries again"
        ]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".invalid"])
def test_a_name_that_cannot_be_resolved_is_said(said, host):
    with publishing(1883, said, host=host):
        wait_until(lambda: said.lines)
    assert f"the name {host} cannot be resolved" in said.lines[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        # Not MQTT at all, and CONNACK packets with nonsense in them.
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x20\x03\x00\x00\xff",
        b"\x20\xff\xff\xff\xff\xff",
        b"\xf0\x00" * 40,
        b"\x20\x02\x00\x84",
    ],
)
def test_a_broker_that_answers_nothing_or_nonsense_hinders_nobody(said, monkeypatch, answer):
    monkeypatch.setattr("fer_edge.edge.mqtt.link._CONNECT_S", 0.3)
    server = MuteServer(answer)
    try:
        with publishing(server.port, said) as sink:
            for index in range(3 * MOST_EVENTS):
                sink.write(shown(index, ("sad", "happy")[index % 2]))
            wait_until(lambda: said.lines)
            assert sink._lost > 0
            # What waits is bounded.
            assert len(sink._events) == MOST_EVENTS
            sink.write(shown(1000))
    finally:
        server.close()
    assert f"the MQTT broker at 127.0.0.1:{server.port}: " in said.lines[0]


def test_after_an_outage_the_state_is_right_and_the_newest_events_are_there(broker, said):
    with publishing(broker.port, said) as sink:
        sink.write(shown(0, "happy"))
        wait_until(lambda: said.heard("publishing to"))
        broker.kill()
        wait_until(lambda: said.heard("connection refused"))
        for index in range(1, 2 * MOST_EVENTS):
            sink.write(shown(index, ("sad", "happy")[index % 2]))
        broker.start()
        with listening(broker) as ear:
            wait_until(lambda: newest(ear) == (True, 1, "happy"))
            wait_until(lambda: ear.of(DISCOVERY) and ear.of(AVAILABILITY) == ["online"])
            # Heard by whoever was there when they came.
            sink.write(shown(1000, "fear"))
            wait_until(lambda: newest(ear) == (True, 1, "fear"))
            assert states(ear)[-1]["events_lost"] > 0
    assert len(said.lines) == 4


def test_a_broker_that_freezes_is_left_and_found_again(broker, said, monkeypatch):
    monkeypatch.setattr("fer_edge.edge.mqtt.link._RECEIPT_S", 0.2)
    monkeypatch.setattr("fer_edge.edge.mqtt.link._CONNECT_S", 0.2)
    monkeypatch.setattr(sink_module, "_HEARTBEAT_S", 0.0)
    with publishing(broker.port, said) as sink:
        sink.write(shown(0))
        wait_until(lambda: said.heard("publishing to"))
        with broker.frozen():
            sink.write(shown(1, "sad"))
            wait_until(lambda: said.heard("it does not answer any more"))
            wait_until(lambda: said.heard("it accepts connections and does not answer"))
        wait_until(lambda: sink._link.connected)
        with listening(broker) as ear:
            wait_until(lambda: newest(ear) == (True, 1, "sad"))
            wait_until(lambda: ear.of(AVAILABILITY)[-1] == "online")


def test_a_thread_that_has_died_is_told(said, broker):
    with publishing(broker.port, said) as sink:
        sink._end.set()
        wait_until(lambda: not sink._thread.is_alive())
        with pytest.raises(SinkError, match="Publishing by MQTT has ended"):
            sink.write(shown(0))


def test_no_thread_is_left(broker, said):
    with publishing(broker.port, said):
        assert "mqtt" in [thread.name for thread in threading.enumerate()]
    wait_until(lambda: "mqtt" not in [thread.name for thread in threading.enumerate()])


def test_of_several_faces_the_majority_counts(broker, ear, said):
    """Of several faces what most of them show, and the mean of their scores."""
    faces = [
        read_as(a_face_at(50 * n, id=n), scores_of(label, score))
        for n, (label, score) in enumerate((("sad", 0.9), ("happy", 0.5), ("happy", 0.4)), 1)
    ]
    with publishing(broker.port, said) as sink:
        sink.write(a_result(0, *faces, Reading(a_face_at(200, id=4), 9.0, flaw="small")))
        wait_until(lambda: newest(ear) == (True, 4, "happy"))
    (state,) = states(ear)
    assert state["score"] == pytest.approx((0.1 / 6 + 0.5 + 0.4) / 3, abs=1e-3)
