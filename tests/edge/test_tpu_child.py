"""The child process behind an Edge TPU: whatever it does, its parent hears of it and ends it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge import tpu
from fer_edge.edge.errors import ModelError
from fer_edge.edge.sandbox import end_child, start_child
from fer_edge.edge.tpu import EdgeTpu
from fer_edge.edge.tpu_child import receive, send, serve

from . import misbehaving_tpu
from .conftest import HANG_S, wait_until
from .misbehaving_tpu import TINY_INPUT, TINY_OUTPUT
from .tpu_standins import compile_standin, tiny_compiled, tiny_model

# Long enough for a child to start on a busy machine, and to notice one that never answers.
PATIENT = {"start_s": 2 * HANG_S, "request_s": 2 * HANG_S}


@pytest.fixture(scope="module")
def standin(tmp_path_factory) -> str:
    return str(compile_standin(tmp_path_factory.mktemp("standin")))


@pytest.fixture
def misbehaving(monkeypatch):
    """Start children that misbehave as told: ``misbehaving("load silent")``."""
    monkeypatch.setattr(tpu, "serve", misbehaving_tpu.misbehave)

    def start(fault: str, **limits) -> EdgeTpu:
        monkeypatch.setenv("TPU_FAULT", fault)
        return EdgeTpu(b"model", **{**PATIENT, **limits})

    return start


@pytest.fixture(autouse=True)
def nothing_left():
    """Fail where a test leaves a process, a descriptor or a thread behind."""
    process = psutil.Process()
    before = process.num_fds(), process.children(), threading.active_count()
    yield
    wait_until(lambda: threading.active_count() == before[2])
    assert (process.num_fds(), process.children()) == before[:2]


def faces(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(-128, 128, (count, 48, 48, 1)).astype(np.int8)


def expected(inputs: np.ndarray) -> list:
    """What the tiny model answers."""
    return (inputs[:, 0, :7, 0].astype(np.float32) + 128).tolist()


def the_child() -> psutil.Process:
    (child,) = psutil.Process().children()
    return child


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


# ------------------------------------------------------------------ the real child, with a delegate


@pytest.fixture
def device(standin):
    with_device = EdgeTpu(tiny_compiled(), standin, device="usb", **PATIENT)
    yield with_device
    with_device.close()


def test_a_compiled_model_runs_under_the_delegate(device):
    inputs = faces(3)

    found = device.run(inputs)

    assert (device.input, device.output) == (TINY_INPUT, TINY_OUTPUT)
    assert found.dtype == np.float32
    assert found.tolist() == expected(inputs)


@pytest.mark.parametrize("count", [0, 1, 32, 33, 100])
def test_any_number_of_faces_is_answered_in_order(device, count):
    inputs = faces(count, seed=count)

    found = device.run(inputs)

    assert found.shape == (count, 7)
    assert found.tolist() == expected(inputs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_are_meant_for_the_parent_leave_the_child_alone(device, number):
    the_child().send_signal(number)

    assert device.run(faces(2)).shape == (2, 7)


def test_the_child_is_no_member_of_the_terminal_s_group(device):
    assert os.getpgid(the_child().pid) != os.getpgid(0)


def test_it_leaves_by_itself_when_it_is_closed(device, monkeypatch):
    killed = []
    monkeypatch.setattr(os, "killpg", lambda *what: killed.append(device._child.returncode))

    device.close()

    assert killed == [0], "it was killed, not left to release the device"


def test_a_child_that_is_killed_between_requests(device):
    the_child().kill()

    with pytest.raises(ModelError, match=r"its process ended \(SIGKILL\)"):
        device.run(faces(1))


def test_a_child_that_is_killed_during_a_request(standin, monkeypatch):
    monkeypatch.setenv("TPU_STANDIN", "hang")
    device = EdgeTpu(tiny_compiled(), standin, **PATIENT)
    threading.Timer(0.3, the_child().kill).start()

    with pytest.raises(ModelError, match=r"its process ended \(SIGKILL\)"):
        device.run(faces(1))


def test_a_pulled_stick_ends_only_the_child(standin, monkeypatch, tmp_path):
    monkeypatch.setenv("TPU_STANDIN", "pulled")
    monkeypatch.setenv("TPU_STANDIN_WHEN", str(tmp_path / "pulled"))
    device = EdgeTpu(tiny_compiled(), standin, **PATIENT)
    assert device.run(faces(1)).shape == (1, 7)
    (tmp_path / "pulled").touch()
    wait_until(lambda: the_child().status() == psutil.STATUS_ZOMBIE)

    with pytest.raises(ModelError, match=r"ended \(SIGABRT\)\. It said: .*transfer on tag 2 fail"):
        device.run(faces(1))


# Each case: what is wrong with the delegate, limits, what is said.
DELEGATES = [
    ("nodevice", {}, "delegate .*libedgetpu.so.1 cannot be used: Failed to load"),
    ("hangstart", {"start_s": 1.0}, "did not answer within 1 s"),
    ("hang", {"request_s": 0.3}, "did not answer within 0.3 s"),
    ("refuse", {}, "could not be run: .*HIB Error"),
]


@pytest.mark.parametrize(("fault", "limits", "said"), DELEGATES, ids=[c[0] for c in DELEGATES])
def test_what_a_delegate_does_wrong_is_said(standin, monkeypatch, fault, limits, said):
    monkeypatch.setenv("TPU_STANDIN", fault)

    with pytest.raises(ModelError, match=said):
        EdgeTpu(tiny_compiled(), standin, **{**PATIENT, **limits}).run(faces(1))


@pytest.mark.parametrize("library", ["/no/such/lib.so", "libm.so.6", __file__])
def test_a_library_that_is_no_delegate_is_said(library):
    with pytest.raises(ModelError, match=f"delegate {library} cannot be used") as caught:
        EdgeTpu(tiny_compiled(), library, **PATIENT)

    assert "ignored" not in str(caught.value), "a traceback in a sentence for people"


def test_a_delegate_for_an_older_tensorflow_is_survived(tmp_path):
    """The struct that it hands over has grown since; LiteRT fails to run it, or crashes."""
    older = compile_standin(tmp_path, "-DFER_EDGE_BEFORE_TF_2_12")

    with pytest.raises(ModelError, match=r"SIGSEGV|could not be run|refuses"):
        EdgeTpu(tiny_compiled(), str(older), **PATIENT).run(faces(1))


def test_a_model_that_is_not_compiled_for_the_delegate_runs_too(standin):
    """On the child's CPU: whether it is worth it is not its business."""
    device = EdgeTpu(tiny_model(), standin, **PATIENT)
    inputs = faces(2)

    assert device.run(inputs).tolist() == expected(inputs)
    device.close()


def test_a_library_that_chatters_does_not_stop_it(standin, monkeypatch, capfd):
    monkeypatch.setenv("TPU_STANDIN", "chatter")
    device = EdgeTpu(tiny_compiled(), standin, **PATIENT)
    inputs = faces(3)

    for _ in range(3):
        assert device.run(inputs).tolist() == expected(inputs)
    device.close()

    assert capfd.readouterr() == ("", "")


# --------------------------------------------------------------------- a parent that is gone

_PARENT = """
import sys, time
from fer_edge.edge.tpu import EdgeTpu
device = EdgeTpu(open(sys.argv[1], "rb").read(), sys.argv[2], start_s=60)
print(device._child.pid, flush=True)
time.sleep(600)
"""


def test_the_child_ends_with_a_parent_that_is_killed(standin, tmp_path):
    model = tmp_path / "m.tflite"
    model.write_bytes(tiny_compiled())
    command = [sys.executable, "-c", _PARENT, str(model), standin]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()

    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("fault", ["hangstart", "hang"])
def test_a_child_without_a_parent_ends_even_if_the_library_hangs(standin, monkeypatch, fault):
    monkeypatch.setenv("TPU_STANDIN", fault)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = start_child(serve, stdin=theirs, stderr=subprocess.DEVNULL)
        theirs.close()
        try:
            wanted = {"library": standin, "device": "", "runtime": "litert", "threads": 1}
            head = json.dumps({**wanted, "alarm_s": 3}).encode() + b"\n"
            send(ours, b"load", 1, head, tiny_compiled())
            if fault == "hang":
                assert receive(ours)[0] == b"info"
                send(ours, b"runs", 2, faces(1).tobytes())
                # Else it would end between the two messages.
                time.sleep(0.5)
            ours.close()

            assert child.wait(HANG_S) == -signal.SIGALRM
        finally:
            end_child(child)
