"""An Edge TPU (Google Coral): found, driven in a child process, left when anything about it fails.

::

    classifier = open_classifier("model.tflite", tpu="auto")

Three things are needed: libedgetpu, a device, and ``model_edgetpu.tflite`` beside the model, as
``fer-edge convert model.tflite --edgetpu`` writes it. See docs/coral.md.
"""

import json
import logging
import math
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .classifier import EmotionClassifier
from .contract_file import load_model
from .errors import ModelError, UsageError
from .models import model_path
from .runtime import TensorInfo, only
from .sandbox import end_child, how_it_ended, start_child
from .tpu_child import receive, send, serve

CHOICES = ("auto", "off", "usb", "pci")
LIBRARY = "libedgetpu.so.1"
#: An environment variable: the path of the library, where it is none of the usual ones.
LIBRARY_VARIABLE = "FER_EDGE_EDGETPU_LIB"
# Python and LiteRT need three seconds on a Raspberry Pi; a stick that was just plugged in takes its
# firmware then and comes back as another USB device.
START_S = 15.0
# Of some milliseconds for each of the faces that are sent together.
REQUEST_S, _MOST_FACES = 2.0, 32
# How long a child that was told to leave may take to release the device, in seconds.
_LEAVE_S = 0.5
_LOG_BYTES = 4096

_log = logging.getLogger(__name__)


def open_classifier(
    model: str | Path | None = None,
    *,
    contract: Path | None = None,
    runtime: str = "auto",
    threads: int = 1,
    tpu: str = "auto",
    say: Callable[[str], None] = _log.warning,
) -> EmotionClassifier:
    """Load a model, and its compiled form on an Edge TPU where there is one.

    Args:
        model: A shipped model's name or a file; None is the default.
        contract: A contract file, for a model that carries none.
        runtime: ``auto``, ``litert`` or ``tflite``, for both processes.
        threads: CPU threads of one classification.
        tpu: ``usb`` or ``pci`` for a device of that kind, ``auto`` for any, which says nothing
            where nothing hints at one, or ``off``.
        say: Takes a sentence when the CPU is used although an Edge TPU was asked for or half of
            what one needs is there, and when it is lost later.

    Raises:
        ModelError: The model itself cannot be used. Whatever is wrong with the Edge TPU or the
            compiled model is said.
        UsageError: ``tpu`` is none of the choices.
    """
    if tpu not in CHOICES:
        raise UsageError(f"There is no Edge TPU {tpu!r}: valid choices are {', '.join(CHOICES)}.")
    path = model_path(model)
    classifier = EmotionClassifier.open(path, contract=contract, runtime=runtime, threads=threads)
    if tpu != "off":
        try:
            device = _open_device(path, classifier, tpu, threads)
            if device is not None:
                classifier.accelerate(device, say)
        except ModelError as exc:
            say(f"The Edge TPU is not used, the CPU is: {exc}")
    return classifier


def edgetpu_path(model: Path) -> Path:
    """Where the compiled form of a model is: ``model_edgetpu.tflite`` for ``model.tflite``."""
    return model.with_name(f"{model.stem}_edgetpu.tflite")


def find_library() -> str | None:
    """What to load libedgetpu by, or None; told without loading it."""
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        return named
    folders = [Path(name) for name in os.environ.get("LD_LIBRARY_PATH", "").split(":") if name]
    folders += [Path("/usr/local/lib"), Path("/usr/lib"), *Path("/usr/lib").glob("*-linux-gnu*")]
    return LIBRARY if any((folder / LIBRARY).exists() for folder in folders) else None


def _open_device(
    model: Path, classifier: EmotionClassifier, tpu: str, threads: int
) -> "EdgeTpu | None":
    """The Edge TPU with the model's compiled form; None where nothing hints at one.

    Raises:
        ModelError: Something is missing or wrong.
    """
    compiled, library = edgetpu_path(model), find_library()
    missing = []
    if not compiled.is_file():
        missing.append(f"there is no {compiled}, which `fer-edge convert {model} --edgetpu` makes")
    if library is None:
        missing.append(
            f"{LIBRARY} is not installed (docs/coral.md), or {LIBRARY_VARIABLE} must be its path"
        )
    if library is None or missing:
        if tpu == "auto" and len(missing) == 2:
            return None
        raise ModelError("; ".join(missing) + ".")
    content, theirs = load_model(compiled)
    ours = classifier.contract
    if theirs.parent_sha256 != ours.content_sha256:
        raise ModelError(
            f"{compiled} was compiled from {theirs.parent_sha256[:12] or 'an unknown model'}, "
            f"{model} is {ours.content_sha256[:12]}. Compile it again: `fer-edge convert {model} "
            f"--edgetpu --overwrite`."
        )
    device = "" if tpu == "auto" else tpu
    try:
        return EdgeTpu(content, library, device=device, runtime=classifier.runtime, threads=threads)
    except ModelError as exc:
        raise ModelError(
            f"{exc} Look whether the device is there (`lsusb` with 1a6e:089a or 18d1:9302, or "
            f"/dev/apex_0) and whether this user may use it (docs/coral.md)."
        ) from exc


class EdgeTpu:
    """A compiled model on an Edge TPU, behind the pipe of a child process (:mod:`.tpu_child`).

    An :class:`~.accelerator.Accelerator`.
    """

    name = "Edge TPU"

    def __init__(
        self,
        content: bytes,
        library: str = LIBRARY,
        *,
        device: str = "",
        runtime: str = "litert",
        threads: int = 1,
        start_s: float = START_S,
        request_s: float = REQUEST_S,
    ):
        """Start the child and wait until it has the device.

        Args:
            content: The compiled ``.tflite``.
            library: Of the delegate, for the dynamic loader.
            device: ``usb``, ``pci``, those with a number (``usb:1``), or "" for any.
            runtime: ``litert`` or ``tflite``.
            threads: CPU threads for the operations that were not mapped to the Edge TPU.
            start_s: How long it may take, in seconds.
            request_s: How long the answer for up to 32 faces may take, in seconds.

        Raises:
            ModelError: There is no such library or device, the model is none for it, or it crashed
                or hung.
        """
        self._request_s = request_s
        self._number = 0
        self._log = b""
        self._in_use = threading.Lock()
        # Taken once and kept, by whoever ends the child.
        self._ended = threading.Lock()
        self._pipe, theirs = socket.socketpair()
        self._stderr, writes = os.pipe()
        # libedgetpu may write without end: what does not fit is lost, and blocks neither side.
        os.set_blocking(self._stderr, False)
        os.set_blocking(writes, False)
        try:
            self._child = start_child(serve, stdin=theirs, stdout=subprocess.DEVNULL, stderr=writes)
        except OSError as exc:
            self._pipe.close()
            os.close(self._stderr)
            raise ModelError(f"no process can be started for it: {exc.strerror}.") from exc
        finally:
            theirs.close()
            os.close(writes)
        wanted = {
            "library": library,
            "device": device,
            "runtime": runtime,
            "threads": threads,
            "alarm_s": math.ceil(start_s + request_s),
        }
        head = json.dumps(wanted).encode() + b"\n"
        told = self._ask(b"load", b"info", head, content, limit_s=start_s)
        try:
            document = json.loads(told)
            self.input = _tensor(document["input"])
            self.outputs = tuple(map(_tensor, document["outputs"]))
        except (ValueError, KeyError, TypeError, OverflowError) as exc:
            raise self._failed(f"answered nonsense ({told[:40]!r})") from exc

    @property
    def output(self) -> TensorInfo:
        """The only output; a ModelError where there are more."""
        return only(self.outputs, "output")

    def run(self, inputs: NDArray) -> NDArray[np.float32]:
        """Run the model; see :meth:`.Accelerator.run`. A failure also ends the child."""
        return only(self.run_all(inputs), "output")

    def run_all(self, inputs: NDArray) -> tuple[NDArray[np.float32], ...]:
        """Run a model with any number of outputs, such as a detector.

        Args:
            inputs: Of the input's type, ``(n, height, width, channels)``.

        Returns:
            float32, the ``n`` answers of each output, one after the other along its first axis.

        Raises:
            ModelError: As :meth:`run`.
        """
        sizes = [math.prod(output.shape) for output in self.outputs]
        rows = [np.empty((0, sum(sizes)), np.float32)]
        for start in range(0, len(inputs), _MOST_FACES):
            some = inputs[start : start + _MOST_FACES]
            answer = self._ask(b"runs", b"rows", some.tobytes(), limit_s=self._request_s)
            if len(answer) != len(some) * sum(sizes) * 4:
                raise self._failed(f"answered {len(some)} faces with {len(answer)} bytes")
            rows.append(np.frombuffer(answer, np.float32).reshape(-1, sum(sizes)))
            if not np.isfinite(rows[-1]).all():
                raise self._failed("answered with what is no number")
        parts = np.split(np.concatenate(rows), np.cumsum(sizes)[:-1], axis=1)
        return tuple(
            part.reshape(-1, *output.shape[1:])
            for part, output in zip(parts, self.outputs, strict=True)
        )

    def close(self) -> None:
        """Have the child release the device and leave, or else end it."""
        self._end(_LEAVE_S)

    def _ask(self, kind: bytes, wanted: bytes, *parts: bytes, limit_s: float) -> bytes:
        """Send a request and return what the answer carries.

        Raises:
            ModelError: There is no answer, or not the one that was asked for; the child is ended.
        """
        deadline_s = time.monotonic() + limit_s
        try:
            with self._in_use:
                if self._ended.locked():
                    raise ModelError("it was closed.")
                self._number = (self._number + 1) & 0xFFFFFFFF
                self._pipe.settimeout(limit_s)
                send(self._pipe, kind, self._number, *parts)
                got, number, content = receive(self._pipe, most=1 << 20, deadline_s=deadline_s)
                self._listen()
        except TimeoutError as exc:
            raise self._failed(f"did not answer within {limit_s:g} s") from exc
        except ValueError as exc:
            raise self._failed(f"answered nonsense ({exc})") from exc
        except (EOFError, OSError) as exc:
            raise self._failed("") from exc
        except BaseException:
            # Ctrl-C in the middle of a message: nothing that follows would fit.
            self._end(0.0)
            raise
        if got == b"fail":
            raise self._failed(_one_line(content), who="")
        if (got, number) != (wanted, self._number):
            raise self._failed(f"answered nonsense ({got!r} {number})")
        return content

    def _failed(self, what: str, who: str = "its process ") -> ModelError:
        """End the child; return the error that says why."""
        if self._ended.locked():
            return ModelError("it was closed.")
        if not what:
            # Its pipe broke, so it has ended or is about to; its return code tells how.
            try:
                what = f"ended ({how_it_ended(self._child.wait(_LEAVE_S))})"
            except subprocess.TimeoutExpired:
                what = "closed its pipe"
        self._end(0.0)
        said = _one_line(self._log)
        return ModelError(f"{who}{what}." + (f" It said: {said}." if said else ""))

    def _end(self, leave_s: float) -> None:
        if not self._ended.acquire(blocking=False):
            return
        # Wakes up a thread that waits for an answer, which then lets go of the pipe.
        with suppress(OSError):
            self._pipe.shutdown(socket.SHUT_RDWR)
        if leave_s:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(leave_s)
        end_child(self._child)
        with self._in_use:
            self._listen()
            self._pipe.close()
            os.close(self._stderr)

    def _listen(self) -> None:
        """Take what the child has written to its standard error, and keep the end of it."""
        with suppress(BlockingIOError):
            # As much as a pipe holds: a child that writes all the time must not keep us here.
            self._log = (self._log + os.read(self._stderr, 1 << 16))[-_LOG_BYTES:]


def _one_line(said: bytes) -> str:
    return " ".join(said.decode(errors="replace").split())[-300:].rstrip(".")


def _tensor(told: dict) -> TensorInfo:
    return TensorInfo(
        index=int(told["index"]),
        shape=tuple(int(side) for side in told["shape"]),
        dtype=np.dtype(str(told["dtype"])),
        scale=float(told["scale"]),
        zero_point=int(told["zero_point"]),
    )
