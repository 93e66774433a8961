"""The child process behind an Edge TPU: whatever it does, its parent hears of it and ends it."""

import json
import socket
import subprocess
import threading

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge import tpu
from fer_edge.edge.errors import ModelError
from fer_edge.edge.tpu import EdgeTpu
from fer_edge.edge.tpu_child import receive, send

from . import misbehaving_tpu
from .conftest import HANG_S, wait_until
from .tpu_standins import PATIENT, faces, the_child

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.fixture
def misbehaving(monkeypatch):
    """Start children that misbehave as told: ``misbehaving("load silent")``."""
    monkeypatch.setattr(tpu, "serve", misbehaving_tpu.misbehave)

    def start(fault: str, **limits) -> EdgeTpu:
        monkeypatch.setenv("TPU_FAULT", fault)
        return EdgeTpu(b"model", **{**PATIENT, **limits})

    return start


# -------------------------------------------------------------------------------------- messages


class Cut:
    """A pipe without an end of its own that hands over so many bytes at a time."""

    def __init__(self, size: int):
        self.content, self.size = b"", size

    def sendall(self, content: bytes) -> None:
        self.content += content

    def recv_into(self, view: memoryview) -> int:
        piece = self.content[: min(self.size, len(view))]
        self.content = self.content[len(piece) :]
        view[: len(piece)] = piece
        return len(piece)


@given(
    st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.integers(0, 2**32 - 1), st.binary())),
    st.integers(1, 50),
)
def test_messages_arrive_whole_and_in_order_however_they_are_cut(messages, size):
    pipe = Cut(size)
    for message in messages:
        send(pipe, *message)

    assert [receive(pipe) for _ in messages] == messages
    with pytest.raises(EOFError):
        receive(pipe)


def test_a_message_longer_than_allowed_is_refused_before_it_is_read():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(ours, b"rows", 1, b"x" * 100)
        with pytest.raises(ValueError, match="100 bytes"):
            receive(theirs, most=99)


def test_the_end_of_the_pipe_is_an_end_and_not_a_message():
    ours, theirs = socket.socketpair()
    with theirs:
        send(ours, b"rows", 1, b"x" * 100)
        ours.close()
        receive(theirs)
        with pytest.raises(EOFError):
            receive(theirs)


# --------------------------------------------------------------------------- children that go wrong

# Each case: when and what, what is said of it.
WRONG = [
    ("load exits", r"^its process ended \(code 3\)\.$"),
    ("load crashes", r"^its process ended \(SIGABRT\)\.$"),
    ("load closes", r"^its process closed its pipe\.$"),
    ("load garbage", r"answered nonsense \(a message of \d+ bytes\)"),
    ("load empty", r"answered nonsense \(b'rows' 1\)"),
    ("load no JSON", r"answered nonsense \(b'\{'\)"),
    ("load a list", r"answered nonsense \(b'\[1\]'\)"),
    ("load half the tensors", "answered nonsense"),
    ("load no type", "answered nonsense"),
    ("load endless side", "answered nonsense"),
    ("run exits", r"^its process ended \(code 3\)\.$"),
    ("run crashes", r"^its process ended \(SIGABRT\)\.$"),
    ("run closes", r"^its process closed its pipe\.$"),
    ("run half", r"^its process ended \(code 0\)\.$"),
    ("run garbage", r"answered nonsense \(a message of \d+ bytes\)"),
    ("run text", "answered nonsense"),
    ("run short", "answered 3 faces with 80 bytes"),
    ("run long", "answered 3 faces with 168 bytes"),
    ("run empty", "answered 3 faces with 0 bytes"),
    ("run old number", r"answered nonsense \(b'rows' 1\)"),
    ("run other kind", r"answered nonsense \(b'info' 2\)"),
    ("run no number", "answered with what is no number"),
    ("run infinite", "answered with what is no number"),
]


@pytest.mark.parametrize(("fault", "said"), WRONG, ids=[fault for fault, _ in WRONG])
def test_what_a_child_does_wrong_is_said_and_ends_it(misbehaving, fault, said):
    with pytest.raises(ModelError, match=said):
        misbehaving(fault).run(faces(3))


# Each case: when and what, which limit is short, the limit that is named.
SLOW = [
    ("load silent", {"start_s": 0.3}, "0.3 s"),
    ("run silent", {"request_s": 0.3}, "0.3 s"),
    ("run dribbles", {"request_s": 0.3}, "0.3 s"),
]


@pytest.mark.parametrize(("fault", "limits", "said"), SLOW, ids=[case[0] for case in SLOW])
def test_a_child_that_takes_too_long_is_ended(misbehaving, fault, limits, said):
    with pytest.raises(ModelError, match=f"did not answer within {said}"):
        misbehaving(fault, **limits).run(faces(3))


def test_a_request_that_nobody_reads_does_not_block(misbehaving):
    device = misbehaving("run silent", request_s=0.3)
    wait_until(lambda: the_child().status() == psutil.STATUS_SLEEPING)
    the_child().suspend()

    with pytest.raises(ModelError, match=r"did not answer within 0\.3 s"):
        device.run(faces(3000))


def test_after_a_failure_it_is_closed_and_says_so(misbehaving):
    device = misbehaving("run exits")
    with pytest.raises(ModelError, match="code 3"):
        device.run(faces(1))

    with pytest.raises(ModelError, match="was closed"):
        device.run(faces(1))
    device.close()


def test_what_it_is_started_with_reaches_the_child(misbehaving):
    with pytest.raises(ModelError, match="libedgetpu") as caught:
        misbehaving("load tells", start_s=60.0, request_s=2.5)
    told = json.loads(str(caught.value).rstrip("."))

    assert told == {
        "library": "libedgetpu.so.1",
        "device": "",
        "runtime": "litert",
        "threads": 1,
        "alarm_s": 63,
    }


def test_ctrl_c_while_it_answers_leaves_no_child(misbehaving, monkeypatch):
    device = misbehaving("run silent")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tpu, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        device.run(faces(1))

    with pytest.raises(ModelError, match="was closed"):
        device.run(faces(1))


def test_it_can_be_closed_from_another_thread_while_it_waits(misbehaving):
    device = misbehaving("run silent")
    heard = []

    def run() -> None:
        try:
            device.run(faces(1))
        except ModelError as exc:
            heard.append(str(exc))

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(device._in_use.locked)
    device.close()
    thread.join(HANG_S)

    assert heard == ["it was closed."]


def test_twenty_deaths_leave_nothing_behind(misbehaving):
    """What the fixture checks after every test, after twenty of them."""
    for fault in ("exits", "crashes", "half", "garbage") * 5:
        with pytest.raises(ModelError):
            misbehaving(f"run {fault}").run(faces(1))


def test_a_child_that_the_kernel_holds_is_not_waited_for(misbehaving, monkeypatch):
    """As one in a USB call that does not come back: it dies later."""
    device = misbehaving("run silent")
    child, waited = device._child, []
    wait = child.wait

    def held(timeout: float | None = None) -> int:
        waited.append(timeout)
        if timeout is not None:
            raise subprocess.TimeoutExpired("child", timeout)
        return wait()

    monkeypatch.setattr(child, "wait", held)
    device.close()

    wait_until(lambda: child.returncode is not None)
    assert waited[-1] is None
