"""The real child process behind an Edge TPU, with a stand-in of the library."""

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

from fer_edge.edge.errors import ModelError
from fer_edge.edge.sandbox import end_child, start_child
from fer_edge.edge.tpu import EdgeTpu
from fer_edge.edge.tpu_child import receive, send, serve

from .conftest import HANG_S, is_gone, wait_until
from .misbehaving_tpu import TINY_INPUT, TINY_OUTPUT
from .tpu_standins import PATIENT, compile_standin, faces, the_child, tiny_compiled, tiny_model

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.fixture(scope="module")
def standin(tmp_path_factory) -> str:
    return str(compile_standin(tmp_path_factory.mktemp("standin")))


def expected(inputs: np.ndarray) -> list:
    """What the tiny model answers."""
    return (inputs[:, 0, :7, 0].astype(np.float32) + 128).tolist()


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
        child = int(parent.stdout.readline())
        parent.kill()

    wait_until(lambda: is_gone(child))


@pytest.mark.parametrize(
    ("fault", "alarm_s"),
    [
        ("hangstart", 1),
        # So long that a busy machine can load the model before.
        pytest.param("hang", 10, marks=pytest.mark.slow),
    ],
)
def test_a_child_without_a_parent_ends_even_if_the_library_hangs(
    standin, monkeypatch, fault, alarm_s
):
    monkeypatch.setenv("TPU_STANDIN", fault)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = start_child(serve, stdin=theirs, stderr=subprocess.DEVNULL)
        theirs.close()
        try:
            wanted = {"library": standin, "device": "", "runtime": "litert", "threads": 1}
            head = json.dumps({**wanted, "alarm_s": alarm_s}).encode() + b"\n"
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
