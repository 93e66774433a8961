"""Runs a function in a child process with limits: what it loads may crash, hang or fill memory.

A model from outside is a program. Of 3,000 mutated models one ended the interpreter's process and
one kept it busy for over a minute, and Python can neither catch the one nor stop the other. The
child's answer is read as JSON and nothing else: one that was taken over may answer anything.
"""

import contextlib
import json
import os
import pickle
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from .errors import FerEdgeError, ModelError

# Loading an interpreter takes half a second, on a Raspberry Pi three.
TIMEOUT_S = 8.0
# LiteRT with a model of 1.2 MB has 55 MB of such memory; a large net needs a few hundred.
MEMORY_MB = 1024
_MAX_ANSWER_BYTES = 16 << 20
_MAX_LOG_BYTES = 64 << 10
_READ_BYTES = 1 << 16
# What is killed is gone within milliseconds.
_DEATH_S = 1.0
# What a C++ library says when the limit is reached, on its way to abort().
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "out of memory", "Cannot allocate memory")


def run_in_child(
    function: Callable[..., Any],
    *arguments: Any,
    timeout_s: float = TIMEOUT_S,
    memory_mb: int = MEMORY_MB,
    what: str = "The model",
) -> Any:
    """Call a function in a process of its own.

    Args:
        function: At the top of a module; what it returns must fit into JSON (a tuple comes back as
            a list).
        arguments: Anything that can be pickled.
        timeout_s: Of wall time, the start of Python included.
        memory_mb: Of private memory that the child may ask for.
        what: What error messages call that which is loaded there.

    Raises:
        ModelError: The function raised, or the child crashed, hung or wanted more memory; the
            message says which.
    """
    head = {"memory_mb": memory_mb, "timeout_s": timeout_s}
    # As a file, so that a child that does not read cannot block us.
    with tempfile.TemporaryFile() as letter:
        letter.write(json.dumps(head).encode() + b"\n")
        pickle.dump((function, arguments), letter)
        letter.seek(0)
        child = start_child(_serve, stdin=letter, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            answer, log, in_time = _listen(child, time.monotonic() + timeout_s)
        finally:
            end_child(child)
    if not in_time:
        raise ModelError(f"{what} did not end within {timeout_s:g} s and was stopped.")
    return _understand(answer, log, child.returncode, what, memory_mb)


def start_child(function: Callable[..., None], *numbers: int, **streams: Any) -> subprocess.Popen:
    """Start Python anew, not a fork of this process, with a function.

    Args:
        function: At the top of a module, which the child imports.
        numbers: What it is called with.
        streams: ``stdin``, ``stdout``, ``stderr`` and ``pass_fds`` as for
            :class:`subprocess.Popen`.
    """
    module, name = function.__module__, function.__name__
    start = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
        f"from {module} import {name}; {name}(*{list(numbers)})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", start, json.dumps([str(folder) for folder in sys.path])],
        # A pool of threads takes 8 MB of stack each from the limit, and is not needed.
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        # Its own group, so that what it started ends with it, and Ctrl-C reaches only us.
        start_new_session=True,
        **streams,
    )


def _listen(child: subprocess.Popen, deadline: float) -> tuple[bytes, bytes, bool]:
    """What the child answers and logs, each up to its limit, and whether it ended in time."""
    heard = {"answer": bytearray(), "log": bytearray()}
    limits = {"answer": _MAX_ANSWER_BYTES, "log": _MAX_LOG_BYTES}
    with selectors.DefaultSelector() as selector:
        for pipe, name in ((child.stdout, "answer"), (child.stderr, "log")):
            selector.register(pipe, selectors.EVENT_READ, name)  # type: ignore[arg-type]
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return bytes(heard["answer"]), bytes(heard["log"]), False
            for key, _ in selector.select(left):
                piece = os.read(key.fd, _READ_BYTES)
                if not piece:
                    selector.unregister(key.fileobj)
                # What goes beyond is read and dropped: a full pipe would stop the child.
                elif len(heard[key.data]) < limits[key.data]:
                    heard[key.data] += piece
    try:
        child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return bytes(heard["answer"]), bytes(heard["log"]), False
    return bytes(heard["answer"]), bytes(heard["log"]), True


def end_child(child: subprocess.Popen) -> None:
    """Kill a child and all that it started, and close its pipes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    try:
        child.wait(_DEATH_S)
    except subprocess.TimeoutExpired:
        # The kernel holds it in a call to a device: it dies when that ends, and we do not wait.
        threading.Thread(target=child.wait, name="reaper", daemon=True).start()
    for pipe in (child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def how_it_ended(code: int) -> str:
    """``SIGABRT`` or ``code 1``, from the return code of a child."""
    if code >= 0:
        return f"code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _understand(answer: bytes, log: bytes, code: int, what: str, memory_mb: int) -> Any:
    """The function's result, or the reason why there is none."""
    said = " ".join(log.decode(errors="replace").split())[-300:]
    if code < 0:
        if any(hint in said for hint in _OUT_OF_MEMORY):
            raise ModelError(f"{what} needs more than {memory_mb} MB of memory.")
        how = how_it_ended(code)
        raise ModelError(f"{what} crashed the process that loaded it ({how}). {said}".strip())
    try:
        document = json.loads(answer)
        if "result" in document:
            return document["result"]
        kind, message = str(document["error"]), str(document["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        reason = f"ended the process that loaded it ({how_it_ended(code)}) without an answer"
        raise ModelError(f"{what} {reason}. {said}".strip()) from None
    if kind == "MemoryError" or any(hint in message for hint in _OUT_OF_MEMORY):
        raise ModelError(f"{what} needs more than {memory_mb} MB of memory.")
    raise ModelError(message if kind == "FerEdgeError" else f"{what}: {kind}: {message}")


def _serve() -> None:
    """The child's side: take limits, then the function, then call it."""
    letter = sys.stdin.buffer
    head = json.loads(letter.readline())
    answers = os.dup(1)
    # What the function prints is not its answer.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    _limit(head["memory_mb"], head["timeout_s"])
    try:
        function, arguments = pickle.load(letter)
        text = json.dumps({"result": function(*arguments)})
    except FerEdgeError as exc:
        text = json.dumps({"error": "FerEdgeError", "message": str(exc)})
    except Exception as exc:
        text = json.dumps({"error": type(exc).__name__, "message": str(exc)[:1000]})
    with os.fdopen(answers, "wb") as pipe:
        pipe.write(text.encode())
    # Without the clean-up of a runtime that may be damaged.
    os._exit(0)


def _limit(memory_mb: int, timeout_s: float) -> None:
    limit_memory(memory_mb)
    # In case the parent is killed and nobody stops the child.
    _lower(resource.RLIMIT_CPU, int(timeout_s) + 5)
    signal.alarm(int(timeout_s) + 30)


def limit_memory(memory_mb: int = MEMORY_MB) -> None:
    """Allow this process so much private memory, and no file with its memory when it crashes."""
    # RLIMIT_DATA counts private writable memory. RLIMIT_AS also counts what is only reserved: the
    # libraries and each thread's heap take gigabytes of addresses without using them.
    _lower(resource.RLIMIT_DATA, memory_mb << 20)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(what, (limit, limit))
