"""Fixtures of packages that are not on every machine: imported when a test asks for them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def picamera2(monkeypatch) -> Any:
    """A made-up picamera2 that can be imported here: its class."""
    from .fake_picamera2 import install

    return install(monkeypatch)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Any]:
    """An MQTT broker to which everybody may come."""
    from .brokers import mosquitto

    with mosquitto(tmp_path / "broker") as made:
        yield made


@pytest.fixture
def ear(broker) -> Iterator[Any]:
    """Who hears all that the broker hands on."""
    from .brokers import listening

    with listening(broker) as made:
        yield made


@pytest.fixture
def said() -> Any:
    """What a sink said."""
    from .mqtt_sinks import Said

    return Said()


@pytest.fixture
def impatient_mqtt(monkeypatch) -> None:
    """A sink that tries again within a fifth of a second where its broker is gone."""
    monkeypatch.setattr("fer_edge.edge.mqtt.link._PAUSES_S", (0.1, 0.2))
