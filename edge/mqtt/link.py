"""A connection to a broker that is opened again whenever it goes, in MQTT 5 by paho-mqtt.

MQTT 5 and not 3.1.1, because only there a broker says that a message was not permitted (reason 135
of PUBACK) and that another client came with the same name (142 of DISCONNECT):
https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901031
"""

import random
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from .address import Broker
from .messages import OFFLINE, Topics

# A broker that returns is found again within the longest pause and the time of one attempt.
_PAUSES_S = (1.0, 2.0)
# Who was turned away is turned away again until somebody changes something.
_REFUSED_PAUSES_S = (4.0, 8.0, 15.0, 30.0)
_JITTER = 0.2
# For a connection, and then for the first word; and for the receipt of a message.
_CONNECT_S, _RECEIPT_S = 3.0, 5.0
# A broker takes a device for gone after one and a half of it.
_KEEPALIVE_S = 15
# Who is cut off so soon, twice in a row, may be so because of another of the same name: not every
# broker tells (Mosquitto 2.0.11 does not).
_BRIEF_S, _MOST_BRIEF = 5.0, 2
#: So many messages are on their way at once, and no more are kept by paho.
MOST_UNANSWERED = 16
# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_WRONG_NAME = (62, 64)


class Link:
    """One thread's way to a broker; :meth:`step` does all the work, the other calls never wait.

    What goes wrong is said in plain words once, and not again before something else happened.
    """

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        *,
        password: str | None,
        tls: ssl.SSLContext | None,
        say: Callable[[str], None],
        wait: Callable[[float], object],
    ):
        """Remember where to; nothing is opened yet.

        Args:
            broker: Where to.
            topics: Of this device; its id is the client's.
            password: Of the broker's user, or None.
            tls: Checks the broker's certificate; None is without TLS.
            say: Takes a sentence.
            wait: Waits for so many seconds, or until the end.
        """
        self._broker, self._topics, self._password = broker, topics, password
        self._tls, self._say, self._wait = tls, say, wait
        self._client: Client | None = None
        self._connected = False
        #: Topic and time of each message without a receipt, by its number.
        self._unanswered: dict[int, tuple[str, float]] = {}
        self._forbidden: set[str] = set()
        self._told = ""
        self._failures = self._brief = 0
        self._due_s = self._deadline_s = self._since_s = 0.0

    @property
    def connected(self) -> bool:
        """Whether messages can be sent."""
        return self._connected

    @property
    def idle(self) -> bool:
        """Whether the broker has acknowledged everything."""
        return not self._unanswered

    def step(self, limit_s: float) -> None:
        """Open the connection if it is time to; else read and write for at most so long."""
        now = time.monotonic()
        if self._client is None:
            if now < self._due_s:
                self._wait(min(limit_s, self._due_s - now))
            else:
                self._open()
            return
        try:
            result = self._client.loop(limit_s)
        except Exception:
            # Whatever bytes a broker sends to a parser that did not expect them.
            result = MQTTErrorCode.MQTT_ERR_PROTOCOL
        late = min((sent_s for _, sent_s in self._unanswered.values()), default=now)
        if self._client is None:
            return
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._lost("it closed the connection")
        elif not self._connected and now > self._deadline_s:
            self._lost("it accepts connections and does not answer")
        elif now > late + _RECEIPT_S:
            self._lost("it does not answer any more")

    def publish(self, topic: str, payload: str, *, retain: bool) -> bool:
        """Send a message; False where it cannot be taken now and is not kept either."""
        client = self._client
        if client is None or not self._connected or len(self._unanswered) >= MOST_UNANSWERED:
            return False
        info = client.publish(topic, payload, qos=1, retain=retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS or client is not self._client:
            return False
        self._unanswered[info.mid] = topic, time.monotonic()
        return True

    def close(self) -> None:
        """Leave; the broker sends the last will, as it does when this machine is gone."""
        self._drop()

    def _open(self) -> None:
        broker = self._broker
        # One for each attempt: nothing of an earlier one can stay in its queues.
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._topics.id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_S
        client.max_queued_messages_set(MOST_UNANSWERED)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish = self._on_publish
        client.will_set(self._topics.availability, OFFLINE, qos=1, retain=True)
        if broker.user is not None:
            client.username_pw_set(broker.user, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        self._client = client
        try:
            client.connect(broker.host, broker.port, keepalive=_KEEPALIVE_S)
        except (OSError, ValueError) as error:
            # A certificate does not change by itself, an address may.
            refused = isinstance(error, ssl.SSLCertVerificationError)
            self._lost(_why(error, broker), refused=refused)
        else:
            self._deadline_s = time.monotonic() + _CONNECT_S

    def _lost(self, why: str, *, refused: bool = False) -> None:
        """Give the connection up, say why once, and choose when to try again."""
        self._drop()
        pauses = _REFUSED_PAUSES_S if refused else _PAUSES_S
        pause_s = pauses[min(self._failures, len(pauses) - 1)]
        self._failures += 1
        self._due_s = time.monotonic() + pause_s * random.uniform(1 - _JITTER, 1 + _JITTER)
        self._tell(f"the MQTT broker at {self._broker}: {why}; the loop goes on, and tries again")

    def _drop(self) -> None:
        client, self._client, self._connected = self._client, None, False
        self._unanswered.clear()
        if client is not None:
            client.on_disconnect = client.on_publish = client.on_connect = None
            client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._say(text)

    # What paho calls, always within a call of ours ------------------------------------------------

    def _on_connect(
        self, _c: Client, _d: Any, _f: Any, reason: ReasonCode, _p: Properties | None
    ) -> None:
        if reason.is_failure:
            self._lost(_refusal(reason, self._broker), refused=reason in _FOR_GOOD)
            return
        self._connected, self._failures, self._since_s = True, 0, time.monotonic()
        self._forbidden.clear()
        self._tell(f"publishing to the MQTT broker at {self._broker} as {self._topics.device!r}")

    def _on_disconnect(
        self, _c: Client, _d: Any, flags: DisconnectFlags, reason: ReasonCode, _p: Properties | None
    ) -> None:
        name, told = self._topics.device, flags.is_disconnect_packet_from_server
        if not self._connected:
            self._lost(_HINT.format(_MAYBE_CERTIFICATE if self._tls else _MAYBE_TLS))
            return
        brief = time.monotonic() < self._since_s + _BRIEF_S
        self._brief = self._brief + 1 if brief else 0
        taken = told and reason == "Session taken over"
        if taken or self._brief >= _MOST_BRIEF:
            # Not at once, or the two would drive each other out for ever.
            self._failures = len(_REFUSED_PAUSES_S)
            why = (
                "another device came" if taken else "it cuts us off at once: another may have come"
            )
            self._lost(f"{why} as {name!r}; give each its own --device-name", refused=True)
        else:
            self._lost(f"it ended the connection: {reason}" if told else "the connection was lost")

    def _on_publish(
        self, _c: Client, _d: Any, mid: int, reason: ReasonCode, _p: Properties | None
    ) -> None:
        topic, _ = self._unanswered.pop(mid, ("", 0.0))
        if reason.is_failure and topic not in self._forbidden:
            self._forbidden.add(topic)
            self._say(
                f"the MQTT broker at {self._broker} does not take messages for {topic} "
                f"({reason}): let {self._broker.user or 'this client'} write there"
            )


_HINT = "it closes the connection without a word, and may want {}"
_MAYBE_TLS, _MAYBE_CERTIFICATE = "TLS (mqtts://)", "a certificate of ours (--mqtt-cert)"
_PORT = "is it the port for TLS?"
# MQTT 5, 3.2.2.2: what does not end by itself, other than a server that is busy.
_NAMELESS = ("Bad user name or password", "Not authorized")
_FOR_GOOD = (*_NAMELESS, "Unsupported protocol version", "Banned", "Bad authentication method")


def _why(error: Exception, broker: Broker) -> str:
    """Why a connection cannot be had, in plain words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _WRONG_NAME:
            return f"its certificate is not for {broker.host}: use the name that it is for"
        return f"its certificate is not trusted ({error.verify_message}): see --mqtt-ca"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection can be made ({error.reason or error}); {_PORT}"
    if isinstance(error, ConnectionResetError) and broker.tls:
        return f"no TLS connection can be made (it hangs up); {_PORT}"
    if isinstance(error, socket.gaierror | ValueError):
        return f"the name {broker.host} cannot be resolved"
    if isinstance(error, TimeoutError):
        return "no answer"
    return (getattr(error, "strerror", None) or str(error)).lower()


def _refusal(reason: ReasonCode, broker: Broker) -> str:
    """Why a broker does not let us in, in plain words."""
    if reason in _NAMELESS:
        user = f"the user {broker.user!r}" if broker.user else "a client without a user"
        return (
            f"it does not let {user} in ({reason}): check the user in --mqtt and the password in "
            "--mqtt-password-file or FER_EDGE_MQTT_PASSWORD"
        )
    if reason == "Unsupported protocol version":
        return "it speaks no MQTT 5, which is needed; Mosquitto does from 1.6 on"
    return f"it refuses the connection: {reason}"
