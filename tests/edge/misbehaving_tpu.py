"""Children that answer as one behind an Edge TPU should not. They import little and start fast."""

import json
import math
import os
import socket
import struct
import time

import numpy as np

from fer_edge.edge.runtime import TensorInfo
from fer_edge.edge.tpu_child import receive, send

TINY_INPUT = TensorInfo(0, (1, 48, 48, 1), np.dtype(np.int8), 1.0, -128)
TINY_OUTPUT = TensorInfo(5, (1, 7), np.dtype(np.int8), 1.0, -128)


def misbehave() -> None:
    """A child that does what ``TPU_FAULT`` says: in place of ``info``, or of the first ``rows``."""
    when, _, fault = os.environ["TPU_FAULT"].partition(" ")
    with socket.socket(fileno=os.dup(0)) as pipe:
        _, number, content = receive(pipe)
        if when == "load":
            _FAULTS[fault](pipe, number, content)
        tensors = {"input": _told(TINY_INPUT), "outputs": [_told(TINY_OUTPUT)]}
        send(pipe, b"info", number, json.dumps(tensors).encode())
        _, number, content = receive(pipe)
        _FAULTS[fault](pipe, number, content)
        # Whoever is still here is to be stopped by the parent.
        time.sleep(600)


def _told(tensor: TensorInfo) -> dict:
    return {
        "index": tensor.index,
        "shape": tensor.shape,
        "dtype": tensor.dtype.name,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def _rows(content: bytes, value: float = 1.0) -> bytes:
    return np.full((len(content) // 48**2, 7), value, np.float32).tobytes()


def _dribbles(pipe: socket.socket, number: int, content: bytes) -> None:
    for byte in struct.pack("<4sII", b"rows", number, 1000) + b"x" * 1000:
        pipe.sendall(bytes([byte]))
        time.sleep(0.05)


def _closes_its_pipe(pipe: socket.socket, number: int, content: bytes) -> None:
    pipe.shutdown(socket.SHUT_RDWR)
    time.sleep(600)


def _half_an_answer(pipe: socket.socket, number: int, content: bytes) -> None:
    pipe.sendall(struct.pack("<4sII", b"rows", number, 28) + b"x" * 5)
    os._exit(0)


def _swapped(old: str, new: str) -> bytes:
    good = {"input": _told(TINY_INPUT), "outputs": [_told(TINY_OUTPUT)]}
    return json.dumps(good).replace(old, new).encode()


_FAULTS = {
    "silent": lambda pipe, number, content: time.sleep(600),
    "garbage": lambda pipe, number, content: pipe.sendall(b"\xff" * 5000),
    "text": lambda pipe, number, content: pipe.sendall(b"I driver/usb/usb_driver.cc:1322] hello\n"),
    "short": lambda pipe, number, content: send(pipe, b"rows", number, _rows(content)[:-4]),
    "long": lambda pipe, number, content: send(pipe, b"rows", number, _rows(content) * 2),
    "empty": lambda pipe, number, content: send(pipe, b"rows", number),
    "old number": lambda pipe, number, content: send(pipe, b"rows", number - 1, _rows(content)),
    "other kind": lambda pipe, number, content: send(pipe, b"info", number, _rows(content)),
    "no number": lambda pipe, number, content: send(
        pipe, b"rows", number, _rows(content, math.nan)
    ),
    "infinite": lambda pipe, number, content: send(pipe, b"rows", number, _rows(content, math.inf)),
    "exits": lambda pipe, number, content: os._exit(3),
    "crashes": lambda pipe, number, content: os.abort(),
    "dribbles": _dribbles,
    "closes": _closes_its_pipe,
    "half": _half_an_answer,
    "tells": lambda pipe, number, content: send(pipe, b"fail", number, content.split(b"\n")[0]),
    "no JSON": lambda pipe, number, content: send(pipe, b"info", number, b"{"),
    "a list": lambda pipe, number, content: send(pipe, b"info", number, b"[1]"),
    "half the tensors": lambda pipe, number, content: send(pipe, b"info", number, b'{"input": {}}'),
    "no type": lambda pipe, number, content: send(pipe, b"info", number, _swapped("int8", "int0")),
    "endless side": lambda pipe, number, content: send(
        pipe, b"info", number, _swapped("48", "Infinity")
    ),
}
