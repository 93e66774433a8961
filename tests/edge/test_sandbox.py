"""A child process that crashes, hangs or fills memory is a sentence, and soon."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from fer_edge.convert.inspection import run_once
from fer_edge.edge import sandbox
from fer_edge.edge.errors import ModelError
from fer_edge.edge.models import model_path
from fer_edge.edge.sandbox import run_in_child

from ..convert.builders import a_net
from .conftest import is_gone, wait_until

SOON_S = 8.0


# What runs in the child; it must be found by its name in this module.
def doubled(values: list[int]) -> list[int]:
    return [2 * value for value in values]


def pair(text: str) -> tuple[str, int]:
    return text, len(text)


def aborts() -> None:
    os.abort()


def reads_nowhere() -> None:
    ctypes.string_at(0)


def sleeps() -> None:
    time.sleep(60)


def hangs_deaf_to_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def fills_memory() -> int:
    return len(bytearray(3 << 30))


def fills_memory_with_arrays() -> float:
    return float(np.ones((1 << 29,), np.float64).sum())


def throws_out_of_memory() -> None:
    """As a C++ library does on its way out."""
    sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
    sys.stderr.flush()
    os.abort()


def raises(kind: str) -> None:
    if kind == "ModelError":
        raise ModelError("The weights are on the moon.")
    raise ValueError("no such weight")


def leaves(code: int) -> None:
    os._exit(code)


def chatters() -> int:
    os.write(1, b'{"result": "forged"}')
    print("and more")
    os.write(2, b"x" * 3_000_000)
    return 7


def answers_what_json_cannot() -> object:
    return object()


def answers_much() -> str:
    return "x" * (20 << 20)


def leaves_a_child(path: str) -> int:
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    Path(path).write_text(str(child))
    return child


# ------------------------------------------------------------------------------------------ good


def test_a_result_comes_back():
    assert run_in_child(doubled, [1, 2, 3]) == [2, 4, 6]


def test_a_tuple_comes_back_as_a_list():
    assert run_in_child(pair, "pixels") == ["pixels", 6]


def test_what_it_prints_is_not_its_answer():
    assert run_in_child(chatters) == 7


@pytest.mark.parametrize(
    "content", [model_path("fast").read_bytes(), a_net()], ids=["shipped", "tiny"]
)
def test_an_interpreter_has_room_within_the_limits(content):
    assert run_in_child(run_once, content, "litert", memory_mb=128) == ["runs", ""]


# -------------------------------------------------------------------------------------- going wrong

# What the child does, and what is said of it.
ENDS = [
    (aborts, (), r"The model crashed the process that loaded it \(SIGABRT\)"),
    (reads_nowhere, (), r"crashed the process that loaded it \(SIGSEGV\)"),
    (leaves, (3,), r"ended the process that loaded it \(code 3\) without an answer"),
    (leaves, (0,), r"ended the process that loaded it \(code 0\) without an answer"),
    (fills_memory, (), "The model needs more than 1024 MB of memory"),
    (fills_memory_with_arrays, (), "The model needs more than 1024 MB of memory"),
    (throws_out_of_memory, (), "The model needs more than 1024 MB of memory"),
    (raises, ("ValueError",), "^The model: ValueError: no such weight$"),
    (raises, ("ModelError",), "^The weights are on the moon.$"),
    (answers_what_json_cannot, (), "TypeError: Object of type object is not JSON serializable"),
    (answers_much, (), "without an answer"),
]


@pytest.mark.parametrize(
    ("function", "arguments", "said"), ENDS, ids=[f"{end[0].__name__}{end[1]}" for end in ENDS]
)
def test_whatever_the_child_does_is_a_model_error(function, arguments, said):
    with pytest.raises(ModelError, match=said):
        run_in_child(function, *arguments, timeout_s=60)


@pytest.mark.parametrize("function", [sleeps, hangs_deaf_to_signals])
def test_a_child_that_hangs_is_stopped_in_time(function):
    started = time.monotonic()

    with pytest.raises(ModelError, match=r"m\.tflite did not end within 1 s and was stopped"):
        run_in_child(function, timeout_s=1, what="m.tflite")

    assert time.monotonic() - started < SOON_S


def test_the_memory_is_the_one_that_was_asked_for():
    with pytest.raises(ModelError, match="needs more than 100 MB"):
        run_in_child(fills_memory, memory_mb=100)


def test_what_the_child_started_ends_with_it(tmp_path):
    path = tmp_path / "number"

    # On a busy machine the time may be up before there is one.
    for limit_s in (1, 5, 25):
        # Its child holds the pipes, so it is waited for and then ended.
        with pytest.raises(ModelError, match=f"did not end within {limit_s} s"):
            run_in_child(leaves_a_child, str(path), timeout_s=limit_s)
        if path.exists() and path.read_text():
            break

    wait_until(lambda: is_gone(int(path.read_text())))


def test_no_child_and_no_pipe_is_left_over():
    process = psutil.Process()
    before = process.num_fds(), process.children()

    for function in (doubled, sleeps):
        try:
            run_in_child(function, *([[1]] if function is doubled else []), timeout_s=1)
        except ModelError:
            continue

    assert process.num_fds() <= before[0]
    assert process.children() == before[1]


def test_an_answer_that_was_forged_is_data_and_no_more(monkeypatch):
    """Whatever a child that was taken over writes, it is parsed as JSON."""
    for answer in (b"\x80\x04N.", b"[1]", b'{"error": 1}', b"[" * 100_000, b"\xff"):
        with pytest.raises(ModelError):
            sandbox._understand(answer, b"", 0, "m", 1)
    forged = b'{"error": "x", "message": {"a": 1}}'
    with pytest.raises(ModelError, match=r"m: x: \{'a': 1\}"):
        sandbox._understand(forged, b"", 0, "m", 1)
