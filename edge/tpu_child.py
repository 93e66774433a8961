"""The process that holds the Edge TPU's delegate, and the messages between it and its parent.

libedgetpu ends its whole process when the stick is pulled or a transfer fails, from a thread of its
own that no handler reaches. So it is loaded here and nowhere else.

A message is a kind of four letters, a number and the length of what follows. The parent asks, the
child answers with the same number: first ``load`` (JSON, a newline, the model) with ``info``
(JSON), then each ``runs`` (inputs) with ``rows`` (for each input all outputs, float32); or with
``fail`` (text).

A child whose parent has died reads the end of its pipe and leaves; one that is stuck in the library
then is ended by its own alarm.
"""

import json
import os
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import asdict

import numpy as np

from .errors import FerEdgeError
from .runtime import Delegate, Network, TensorInfo, load_network
from .sandbox import limit_memory

_HEAD = struct.Struct("<4sII")
# A compiled model fits into the 8 MB of an Edge TPU, or streams a few times that.
MAX_BYTES = 256 << 20


def send(pipe: socket.socket, kind: bytes, number: int, *parts: bytes) -> None:
    """Write one message.

    Raises:
        OSError: The other side is gone; a TimeoutError where it does not read in time.
    """
    size = sum(map(len, parts))
    pipe.sendall(b"".join((_HEAD.pack(kind, number, size), *parts)))


def receive(
    pipe: socket.socket, *, most: int = MAX_BYTES, deadline_s: float | None = None
) -> tuple[bytes, int, bytes]:
    """Read one message.

    Args:
        pipe: Where from.
        most: What follows the head may have so many bytes.
        deadline_s: On the monotonic clock; None waits for ever.

    Returns:
        Its kind, its number and what follows.

    Raises:
        EOFError: The other side is gone.
        OSError: Likewise; a TimeoutError at the deadline.
        ValueError: What follows is longer than allowed.
    """
    kind, number, size = _HEAD.unpack(_read(pipe, _HEAD.size, deadline_s))
    if size > most:
        raise ValueError(f"a message of {size} bytes")
    return kind, number, _read(pipe, size, deadline_s)


def _read(pipe: socket.socket, size: int, deadline_s: float | None) -> bytes:
    content = bytearray(size)
    view, have = memoryview(content), 0
    while have < size:
        if deadline_s is not None:
            # Never 0: a process that was stopped and goes on finds its answer waiting.
            pipe.settimeout(max(0.01, deadline_s - time.monotonic()))
        got = pipe.recv_into(view[have:])
        if not got:
            raise EOFError
        have += got
    return bytes(content)


def serve() -> None:
    """The child: load what the first message says, run what the others bring, until the end."""
    # A supervisor that stops a service signals all its processes. This one ends with its parent,
    # which would otherwise report a lost Edge TPU on its way out.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    limit_memory()
    # LiteRT's own clean-up after a delegate that it could not load fails, and prints that.
    sys.unraisablehook = lambda _: None
    with socket.socket(fileno=os.dup(0)) as pipe, suppress(EOFError, OSError):
        _answer(pipe)
    # Without the clean-up of libraries whose device may be gone.
    os._exit(0)


def _answer(pipe: socket.socket) -> None:
    _, number, content = receive(pipe)
    wanted, _, model = content.partition(b"\n")
    options = json.loads(wanted)
    network = None
    try:
        while True:
            # For a child without a parent, whose own limits come first.
            signal.alarm(options["alarm_s"])
            try:
                if network is None:
                    network = _load(options, model)
                    outputs = [_told(output) for output in network.outputs]
                    told = {"input": _told(network.input), "outputs": outputs}
                    answer = b"info", number, json.dumps(told).encode()
                else:
                    answer = b"rows", number, _run(network, content)
            except FerEdgeError as exc:
                answer = b"fail", number, str(exc).encode()
            except Exception as exc:
                answer = b"fail", number, f"{type(exc).__name__}: {exc}".encode()
            signal.alarm(0)
            send(pipe, *answer)
            _, number, content = receive(pipe)
    finally:
        # To release the device may hang too.
        signal.alarm(options["alarm_s"])


def _load(options: dict, model: bytes) -> Network:
    delegate = Delegate(options["library"], {"device": options["device"]})
    return load_network(
        model, runtime=options["runtime"], threads=options["threads"], delegate=delegate
    )


def _told(tensor: TensorInfo) -> dict:
    return {**asdict(tensor), "dtype": tensor.dtype.name}


def _run(network: Network, content: bytes) -> bytes:
    shape, dtype = network.input.shape, network.input.dtype
    inputs = np.frombuffer(content, dtype).reshape(-1, *shape)
    return b"".join(rows.tobytes() for tensor in inputs for rows in network.run_all(tensor))
