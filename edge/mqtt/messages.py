"""Topics and payloads: labels, scores and figures, and nothing that a picture could be in. Pure.

Home Assistant's discovery, a device with its components in one message:
https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (from 2024.12 on); what a
component may hold: https://www.home-assistant.io/integrations/sensor.mqtt/ and
https://www.home-assistant.io/integrations/binary_sensor.mqtt/
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..records import Reading
from ..sinks.jsonl import utc_text
from ..telemetry import Snapshot
from ..version import __version__
from .address import slug

SCHEMA_VERSION = 1
ONLINE, OFFLINE = "online", "offline"
#: What Home Assistant shows where nothing is said of anybody.
NOTHING = "none"
#: A state without a successor for so many seconds is no longer known in Home Assistant.
EXPIRE_AFTER_S = 30


@dataclass(frozen=True, slots=True)
class Topics:
    """Where a device publishes; see docs/mqtt.md."""

    device: str

    @property
    def id(self) -> str:
        """Of the device, on the broker and in Home Assistant."""
        return f"fer-edge-{slug(self.device)}"

    @property
    def availability(self) -> str:
        """``online`` or ``offline``, retained; the broker itself says the latter."""
        return f"fer-edge/{slug(self.device)}/availability"

    @property
    def state(self) -> str:
        """The newest state, retained."""
        return f"fer-edge/{slug(self.device)}/state"

    @property
    def event(self) -> str:
        """What changes, each once."""
        return f"fer-edge/{slug(self.device)}/event"

    @property
    def discovery(self) -> str:
        """Where Home Assistant looks by default, retained."""
        return f"homeassistant/device/{self.id}/config"


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is there, in figures.

    Attributes:
        unix_s: When, on the wall clock of the capture.
        present: Whether a face was seen within the last second.
        faces: How many are in view.
        emotion: What is said of most of them; of equals that with the higher scores; or None.
        scores: The mean of their smoothed scores, 0 to 1, by label; or None.
    """

    unix_s: float
    present: bool
    faces: int
    emotion: str | None
    scores: dict[str, float] | None

    @property
    def key(self) -> tuple[object, ...]:
        """What is worth a message when it changes; scores change with every frame."""
        return self.present, self.faces, self.emotion


def scene_of(readings: Sequence[Reading], *, unix_s: float, present: bool) -> Scene:
    """A result in figures."""
    read = [(each.label, each.scores.as_dict()) for each in readings if each.label and each.scores]
    if not read:
        return Scene(unix_s, present, len(readings), None, None)
    scores = {key: sum(one[key] for _, one in read) / len(read) for key in read[0][1]}
    said = [label for label, _ in read]
    emotion = max(said, key=lambda label: (said.count(label), scores[label]))
    return Scene(unix_s, present, len(readings), emotion, scores)


def state_payload(
    device: str, scene: Scene, seen: Snapshot, temperature_c: float | None, lost: int
) -> str:
    """The state as JSON.

    Args:
        device: Its name.
        scene: Who is there.
        seen: How the loop runs.
        temperature_c: Of the processor, or None.
        lost: Events that were given up since the start because the broker took none.
    """
    scores = scene.scores
    return _json(
        {
            "schema": SCHEMA_VERSION,
            "device": device,
            "time": utc_text(scene.unix_s),
            "present": scene.present,
            "faces": scene.faces,
            "emotion": scene.emotion,
            "score": None if scores is None else round(scores[scene.emotion or ""], 3),
            "scores": None if scores is None else {k: round(v, 3) for k, v in scores.items()},
            "fps": round(seen.fps.get("deliver", 0.0), 1),
            "age_ms": round(seen.age_ms, 1),
            "age_p95_ms": round(seen.age_p95_ms, 1),
            "dropped": seen.dropped,
            "temperature_c": None if temperature_c is None else round(temperature_c, 1),
            "events_lost": lost,
        }
    )


def event_payload(device: str, document: dict[str, Any]) -> str:
    """An event as JSON: that of ``run --events`` (docs/records.md) with the device's name."""
    return _json({**document, "device": device})


def discovery_payload(topics: Topics, labels: Sequence[str]) -> str:
    """What Home Assistant makes a device with seven entities of.

    Args:
        topics: Of the device.
        labels: What the model can say.
    """
    diagnostic = {"entity_category": "diagnostic", "state_class": "measurement"}
    components: dict[str, dict[str, Any]] = {
        "emotion": {
            "platform": "sensor",
            "name": "Emotion",
            "device_class": "enum",
            "options": list(dict.fromkeys([*labels, NOTHING])),
            "value_template": f"{{{{ value_json.emotion or '{NOTHING}' }}}}",
            "json_attributes_topic": topics.state,
            "json_attributes_template": "{{ (value_json.scores or {}) | tojson }}",
            "icon": "mdi:emoticon-outline",
        },
        "faces": {
            "platform": "sensor",
            "name": "Faces in view",
            "value_template": "{{ value_json.faces }}",
            "state_class": "measurement",
            "icon": "mdi:account-group",
        },
        "presence": {
            "platform": "binary_sensor",
            "name": "Presence",
            "device_class": "occupancy",
            "value_template": "{{ 'ON' if value_json.present else 'OFF' }}",
        },
        "fps": {
            "platform": "sensor",
            "name": "Frames a second",
            "value_template": "{{ value_json.fps }}",
            "unit_of_measurement": "frames/s",
            "icon": "mdi:speedometer",
            **diagnostic,
        },
        "age": {
            "platform": "sensor",
            "name": "Age of results",
            "device_class": "duration",
            "value_template": "{{ value_json.age_ms }}",
            "unit_of_measurement": "ms",
            **diagnostic,
        },
        "temperature": {
            "platform": "sensor",
            "name": "Processor temperature",
            "device_class": "temperature",
            "value_template": "{{ value_json.temperature_c }}",
            "unit_of_measurement": "°C",
            **diagnostic,
        },
        "dropped": {
            "platform": "sensor",
            "name": "Dropped frames",
            "value_template": "{{ value_json.dropped }}",
            "entity_category": "diagnostic",
            "state_class": "total_increasing",
            "icon": "mdi:filmstrip-off",
        },
    }
    for key, component in components.items():
        component["unique_id"] = f"{topics.id}-{key}"
        component["expire_after"] = EXPIRE_AFTER_S
    return _json(
        {
            "device": {
                "identifiers": [topics.id],
                "name": topics.device,
                "manufacturer": "fer-edge",
                "model": "Emotion camera",
                "sw_version": __version__,
            },
            "origin": {"name": "fer-edge", "sw_version": __version__},
            "availability_topic": topics.availability,
            "payload_available": ONLINE,
            "payload_not_available": OFFLINE,
            "state_topic": topics.state,
            "qos": 1,
            "components": components,
        }
    )


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
