"""The sink: takes results from the loop and hands the newest state to a thread that publishes it.

The loop never waits: a result becomes a few figures under a lock. What the broker does not take is
replaced by the next state; of the events that wait the newest are kept, and those given up counted.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

from ..errors import SinkError
from ..events import Event, EventLog
from ..records import Result
from ..sinks.events import event_document
from ..telemetry import Snapshot
from .address import MqttChoice, device_name, read_password, tls_context
from .link import Link
from .messages import (
    ONLINE,
    Scene,
    Topics,
    discovery_payload,
    event_payload,
    scene_of,
    state_payload,
)

#: Seconds between two states at least; and at most while results come, a third of what expires.
_BETWEEN_S, _HEARTBEAT_S = 0.5, 10.0
#: Events that wait for a broker; an hour of a busy room.
MOST_EVENTS = 200
# How long the thread looks at the connection before it looks at the state again.
_STEP_S = 0.1
# For the last words, and for the thread to end; a broker that is gone is not waited for.
_LAST_S, _END_S = 1.0, 1.5


class MqttSink:
    """Publishes state and events of the loop; everything that can wait does so in its thread."""

    def __init__(
        self,
        link: Callable[[Callable[[float], object]], Link],
        topics: Topics,
        *,
        labels: Sequence[str],
        snapshot: Callable[[], Snapshot],
        temperature_c: Callable[[], float | None],
    ):
        """Prepare; the connection is made by ``with``, in the background.

        Args:
            link: Makes the connection, from what waits until the end of the sink.
            topics: Of this device.
            labels: What the model can say.
            snapshot: State of the loop.
            temperature_c: Of the processor, where it is known.
        """
        self._topics, self._labels = topics, tuple(labels)
        self._snapshot, self._temperature_c = snapshot, temperature_c
        self._log = EventLog()
        self._here: set[int] = set()
        self._lock, self._end = threading.Lock(), threading.Event()
        # Of both threads, under the lock: figures and no frame.
        self._scene: Scene | None = None
        self._events: deque[str] = deque(maxlen=MOST_EVENTS)
        self._lost = 0
        # Of the thread alone.
        self._link = link(self._end.wait)
        self._greeted = False
        self._sent: Scene | None = None
        self._sent_s = 0.0
        self._thread = threading.Thread(target=self._work, name="mqtt", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def write(self, result: Result) -> None:
        """Take what a result says.

        Raises:
            SinkError: The thread has ended, which it does on no account that is known.
        """
        if not self._thread.is_alive():
            raise SinkError("Publishing by MQTT has ended.")
        events = self._log.update(result)
        for event in events:
            (self._here.discard if event.kind == "left" else self._here.add)(event.face)
        unix_s = result.frame.captured_unix_s
        scene = scene_of(result.readings, unix_s=unix_s, present=bool(self._here))
        self._keep(events, scene)

    def __exit__(self, *_: object) -> None:
        self._keep(self._log.end(), None)
        self._end.set()
        self._thread.join(_END_S)

    def _keep(self, events: list[Event], scene: Scene | None) -> None:
        texts = [event_payload(self._topics.device, event_document(each)) for each in events]
        with self._lock:
            for text in texts:
                self._lost += len(self._events) == MOST_EVENTS
                self._events.append(text)
            self._scene = scene or self._scene

    # In the thread --------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._end.is_set():
            self._link.step(_STEP_S)
            self._publish()
        deadline = time.monotonic() + _LAST_S
        self._publish()
        while self._link.connected and not self._done() and time.monotonic() < deadline:
            self._link.step(_STEP_S)
            self._publish()
        self._link.close()

    def _done(self) -> bool:
        with self._lock:
            return self._link.idle and not self._events

    def _publish(self) -> None:
        """Send what is due, as far as the connection takes it."""
        if not self._link.connected:
            self._greeted = False
            return
        if not self._greeted:
            # With each connection: a broker that has lost its memory is told everything again.
            self._sent = None
            self._greeted = self._link.publish(
                self._topics.discovery,
                discovery_payload(self._topics, self._labels),
                retain=True,
            ) and self._link.publish(self._topics.availability, ONLINE, retain=True)
        self._publish_state()
        self._publish_events()

    def _publish_state(self) -> None:
        now = time.monotonic()
        with self._lock:
            scene, lost = self._scene, self._lost
        # Without results nothing is repeated, so that an old state expires.
        if scene is None or scene is self._sent:
            return
        if self._sent is not None:
            changed = scene.key != self._sent.key
            if now < self._sent_s + (_BETWEEN_S if changed else _HEARTBEAT_S):
                return
        payload = state_payload(
            self._topics.device, scene, self._snapshot(), self._temperature_c(), lost
        )
        if self._link.publish(self._topics.state, payload, retain=True):
            self._sent, self._sent_s = scene, now

    def _publish_events(self) -> None:
        while True:
            with self._lock:
                if not self._events:
                    return
                text = self._events.popleft()
            if not self._link.publish(self._topics.event, text, retain=False):
                with self._lock:
                    # Unless newer ones have taken the place meanwhile.
                    if len(self._events) < MOST_EVENTS:
                        self._events.appendleft(text)
                    else:
                        self._lost += 1
                return


def open_mqtt(
    choice: MqttChoice,
    *,
    labels: Sequence[str],
    snapshot: Callable[[], Snapshot],
    temperature_c: Callable[[], float | None],
    say: Callable[[str], None],
) -> MqttSink:
    """The sink for a broker. Whether the broker is there shows later, and is said then.

    Args:
        choice: The broker and what it takes to get in.
        labels: What the model can say.
        snapshot: State of the loop.
        temperature_c: Of the processor, where it is known.
        say: Takes a sentence, from the sink's thread.

    Raises:
        UsageError: A file of password or certificates is not what it should be, or they do not go
            together with the address, or the device's name has no letter and no digit.
    """
    topics = Topics(device_name(choice.device_name))
    password, tls = read_password(choice, say), tls_context(choice)

    def link(wait: Callable[[float], object]) -> Link:
        return Link(choice.broker, topics, password=password, tls=tls, say=say, wait=wait)

    return MqttSink(link, topics, labels=labels, snapshot=snapshot, temperature_c=temperature_c)
