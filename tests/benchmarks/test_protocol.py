"""Asking a child process: what comes back when it works, and when it does not."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest

from fer_edge.benchmarks.contenders import OURS
from fer_edge.benchmarks.protocol import (
    FilmRequest,
    Request,
    Run,
    ask,
    read_answer,
    read_request,
    write_answer,
)
from fer_edge.edge import errors
from fer_edge.edge.errors import FerEdgeError, ModelError

from .conftest import a_run


def a_request(**changes) -> Request:
    fields = {
        "contender": OURS,
        "clip": "clip.avi",
        "keras": "model.keras",
        "model": "model.tflite",
        "loops": 1,
        "cores": tuple(sorted(os.sched_getaffinity(0))),
    }
    return Request(**{**fields, **changes})


@pytest.mark.parametrize(
    "request_",
    [
        a_request(cores=(1, 3)),
        FilmRequest("fer", ("a.npy", "b.npy"), (25.0, 30.0), (1,)),
        FilmRequest("x", ("a.npy",), (25.0,), (1,), "m", "yunet", "y.onnx", 3, read_all=True),
    ],
)
def test_a_request_survives_the_way_to_the_child(request_: Request | FilmRequest) -> None:
    assert read_request(json.dumps(dataclasses.asdict(request_))) == request_


def test_a_run_survives_the_way_back(tmp_path: Path) -> None:
    run = a_run(cores=(1, 3))
    write_answer(tmp_path / "answer.json", run)

    assert read_answer(OURS, 0, "", (tmp_path / "answer.json").read_text()) == run
    # Nothing half-written is left beside it.
    assert [path.name for path in tmp_path.iterdir()] == ["answer.json"]


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        # One of ours keeps its class, and with it the exit code.
        (ModelError("It is damaged."), ModelError, "It is damaged."),
        (errors.CameraError("Gone."), errors.CameraError, "Gone."),
        (FerEdgeError("Why."), FerEdgeError, "Why."),
        # A foreign one becomes the base, and says what it was.
        (
            ValueError("bad shape"),
            FerEdgeError,
            "The process of 'fer-edge' failed: ValueError: bad shape",
        ),
        # A foreign one must not pick what `errors` happens to import or define.
        (type("EXIT_OK", (Exception,), {})("x"), FerEdgeError, "failed: EXIT_OK: x"),
    ],
)
def test_errors_come_back(tmp_path: Path, raised: Exception, expected, message: str) -> None:
    path = tmp_path / "answer.json"
    write_answer(path, raised)

    with pytest.raises(FerEdgeError) as caught:
        read_answer(OURS, 0, "", path.read_text())

    assert type(caught.value) is expected
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("code", "stderr", "expected"),
    [
        # Killed, by the kernel for want of memory say.
        (-9, "", "was ended by signal 9 without an answer: it said nothing"),
        # A native library that ends the process, and the last lines of what it said.
        (134, "a\nb\nc\nabort!\n", "ended with code 134 without an answer: b | c | abort!"),
        (0, "\n", "ended with code 0 without an answer: it said nothing"),
    ],
)
def test_no_answer(code: int, stderr: str, expected: str) -> None:
    with pytest.raises(FerEdgeError) as caught:
        read_answer("tutorial", code, stderr, None)

    assert f"The process of 'tutorial' {expected}" in str(caught.value)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import sys; sys.exit('no')", "ended with code 1 without an answer: no"),
        # Bytes that are no text.
        (r"import os; os.write(2, b'\xff\xfe'); os._exit(3)", "ended with code 3"),
    ],
)
def test_a_real_child_that_dies(program: str, expected: str) -> None:
    with pytest.raises(FerEdgeError, match=expected):
        ask(a_request(), [sys.executable, "-I", "-c", program])


def test_a_real_child_is_pinned_and_answers(clip: Path, tiny_model: Path) -> None:
    core = max(os.sched_getaffinity(0))

    run = ask(a_request(clip=str(clip), model=str(tiny_model), cores=(core,)))

    assert isinstance(run, Run)
    assert run.cores == (core,)
    assert run.frames == 10
    # It loads no more than what it measures.
    assert "tensorflow" not in run.versions


def test_an_error_of_a_real_child_keeps_its_class(clip: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(b"0000TFL3 and no more of it")

    with pytest.raises(ModelError, match=r"damaged\.tflite is damaged"):
        ask(a_request(clip=str(clip), model=str(damaged)))
