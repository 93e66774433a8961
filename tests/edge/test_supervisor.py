"""What the supervisor hears, on a real datagram socket as systemd opens one."""

import os
import socket
from pathlib import Path

import pytest

from fer_edge.edge.supervisor import Supervisor

from .conftest import StoppedClock


class Listener:
    """The other end: the messages that came, in their order."""

    def __init__(self, address: str):
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def heard(self) -> list[list[str]]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096, socket.MSG_DONTWAIT).decode().split("\n"))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path, monkeypatch):
    # Relative, because the path of a socket may have 107 bytes.
    monkeypatch.chdir(tmp_path)
    abstract = f"@fer-edge-test-{os.getpid()}-{tmp_path.name}"
    made = Listener(abstract if request.param == "abstract" else str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
def clock(monkeypatch) -> StoppedClock:
    return StoppedClock(monkeypatch, "fer_edge.edge.supervisor")


def named_by(listener: Listener, **others: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": listener.address, **others}


def test_ready_with_the_first_frame_and_not_before(listener):
    with Supervisor.from_environment(named_by(listener)) as supervisor:
        assert listener.heard() == []
        supervisor.delivered()
        assert listener.heard() == [["READY=1"]]
        for _ in range(100):
            supervisor.delivered()
        assert listener.heard() == []
    assert listener.heard() == [["STOPPING=1"]]


def test_signs_of_life_come_with_frames_and_four_times_a_limit(listener, clock):
    watched = named_by(listener, WATCHDOG_USEC="8000000")
    with Supervisor.from_environment(watched) as supervisor:
        supervisor.delivered()
        assert listener.heard() == [["READY=1", "WATCHDOG=1"]]
        for _ in range(320):  # ten seconds
            clock.now += 1 / 32
            supervisor.delivered()
        assert listener.heard() == [["WATCHDOG=1"]] * 5
        # No frame, no sign, however long: that is what the supervisor waits for.
        clock.now += 3600
        assert listener.heard() == []
        supervisor.delivered()
        assert listener.heard() == [["WATCHDOG=1"]]


def test_the_status_goes_along_every_five_seconds(listener, clock):
    made = []

    def status() -> str:
        made.append(clock.now)
        return f"14.6 frames/s,\nframe {len(made)}"

    with Supervisor.from_environment(named_by(listener)) as supervisor:
        for _ in range(11 * 32):
            supervisor.delivered(status)
            clock.now += 1 / 32

    # On one line each, as a line is a variable.
    assert listener.heard() == [
        ["READY=1", "STATUS=14.6 frames/s, frame 1"],
        ["STATUS=14.6 frames/s, frame 2"],
        ["STATUS=14.6 frames/s, frame 3"],
        ["STOPPING=1"],
    ]
    assert len(made) == 3, "it was made for nothing"


# Each case: what the environment says of the watchdog, whether signs of life are sent.
WATCHDOGS = [
    ({}, False),
    ({"WATCHDOG_USEC": "5000000"}, True),
    ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid())}, True),
    ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, False),  # meant for another process
    ({"WATCHDOG_USEC": "0"}, False),  # switched off
    ({"WATCHDOG_USEC": "-5"}, False),
    ({"WATCHDOG_USEC": "soon"}, False),
    ({"WATCHDOG_USEC": "9" * 5000}, False),
]


@pytest.mark.parametrize(("says", "watched"), WATCHDOGS)
def test_a_watchdog_is_fed_where_it_is_meant(listener, says, watched):
    with Supervisor.from_environment(named_by(listener, **says)) as supervisor:
        supervisor.delivered()

    assert listener.heard()[0] == (["READY=1", "WATCHDOG=1"] if watched else ["READY=1"])


# Each case: an address at which nobody listens.
NOBODY = [
    "",
    "/nowhere/at/all",
    "@fer-edge-nobody-is-here",
    "vsock:2:1234",
    "/" + "x" * 200,
    "\udcff",
]


@pytest.mark.parametrize("address", NOBODY, ids=range(len(NOBODY)))
def test_without_a_listener_nothing_happens(address):
    said = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"}
    with Supervisor.from_environment(said) as supervisor:
        supervisor.delivered(lambda: "running")
        supervisor.delivered()
    supervisor.delivered()


def test_without_a_supervisor_no_socket_is_opened():
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Supervisor.from_environment({}) as supervisor:
        supervisor.delivered()
        assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_supervisor_that_does_not_read_holds_nothing_up(listener, clock):
    """Its queue fills up; once there is room again, the next frame is told."""
    watched = named_by(listener, WATCHDOG_USEC="4000")
    with Supervisor.from_environment(watched) as supervisor:
        for _ in range(10_000):
            clock.now += 1
            supervisor.delivered()
        queued = len(listener.heard())
        assert 0 < queued < 10_000, "the queue never filled up, so nothing was tested"
        supervisor.delivered()
        assert listener.heard() == [["WATCHDOG=1"]]


def test_a_supervisor_that_went_away_and_came_back_is_told(tmp_path, clock):
    address = str(tmp_path / "notify")
    with Supervisor(address, watchdog_s=4.0) as supervisor:
        supervisor.delivered()
        listener = Listener(address)
        supervisor.delivered()
        assert listener.heard() == [["READY=1", "WATCHDOG=1"]], "ready was lost"
        listener.close()
