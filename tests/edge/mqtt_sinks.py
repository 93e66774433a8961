"""A sink that publishes to a broker of the tests, what it says, and what it is shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fer_edge.edge.mqtt.address import Broker, MqttChoice
from fer_edge.edge.mqtt.sink import MqttSink, open_mqtt
from fer_edge.edge.records import Result
from fer_edge.edge.telemetry import Snapshot

from ..conftest import EMOTIONS
from .conftest import a_face_at, a_result, read_as, scores_of, wait_until

SNAPSHOT = Snapshot({"deliver": 29.96}, 30.0, 5, 4, 1, 7.04, 9.0)
STATE, EVENT, AVAILABILITY = (
    f"fer-edge/hall/{each}" for each in ("state", "event", "availability")
)
DISCOVERY = "homeassistant/device/fer-edge-hall/config"


class Said:
    """Where sentences go."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(text)

    def heard(self, words: str) -> bool:
        return any(words in line for line in self.lines)


@contextmanager
def publishing(
    port: int,
    said: Callable[[str], None],
    *,
    host: str = "127.0.0.1",
    user: str | None = None,
    tls: bool = False,
    name: str = "Hall",
    **files,
) -> Iterator[MqttSink]:
    choice = MqttChoice(Broker(host, port, tls, user), device_name=name, **files)
    made = open_mqtt(
        choice,
        labels=EMOTIONS,
        snapshot=lambda: SNAPSHOT,
        temperature_c=lambda: 51.26,
        say=said,
    )
    with made as sink:
        yield sink
    wait_until(lambda: not made._thread.is_alive())


def shown(index: int = 0, label: str | None = "happy", **changes) -> Result:
    """A frame with one face, or with none."""
    readings = [read_as(a_face_at(10, 10, id=1), scores_of(label))] if label else []
    return a_result(index, *readings, **changes)
