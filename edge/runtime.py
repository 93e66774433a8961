"""The only builder of interpreters: LiteRT, or its predecessor tflite-runtime.

An interpreter belongs to one thread: two that call one get ``There is at least 1 reference to
internal data``, at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError, UsageError
from .native_log import native_stderr_silenced

RUNTIMES = {
    "litert": "ai_edge_litert.interpreter",
    "tflite": "tflite_runtime.interpreter",
}
# How a runtime that does not fit this machine fails: not installed, no such wheel for the C
# library, or built against another NumPy, which it tells by AttributeError or SystemError and only
# when an interpreter is built.
_UNUSABLE = (ImportError, OSError, AttributeError, SystemError)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Shape, type and quantisation of an input or output; scale is 0 for a float tensor."""

    index: int
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float
    zero_point: int


class Network:
    """A loaded model with one input and one output."""

    def __init__(self, interpreter: Any, runtime: str):
        self._interpreter = interpreter
        self.runtime = runtime
        self.input = _only(interpreter.get_input_details(), "input")
        self.output = _only(interpreter.get_output_details(), "output")

    def run(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """Run the model once.

        Args:
            tensor: Of the shape and type of :attr:`input`.

        Returns:
            float32, a copy of the output, dequantised where the model is int8.

        Raises:
            ModelError: The runtime refuses to run it.
        """
        try:
            self._interpreter.set_tensor(self.input.index, tensor)
            self._interpreter.invoke()
            # get_tensor copies; the view of tensor() would block the next call.
            raw = self._interpreter.get_tensor(self.output.index)
        except (ValueError, RuntimeError) as exc:
            raise ModelError(f"The model could not be run: {exc}.") from exc
        if self.output.scale:
            return (raw.astype(np.float32) - self.output.zero_point) * self.output.scale
        return raw.astype(np.float32)


def load_network(content: bytes, *, runtime: str = "auto", threads: int = 1) -> Network:
    """Build an interpreter for a model.

    Args:
        content: The bytes of a ``.tflite`` file, checked before (``contract.load_model``).
        runtime: ``litert``, ``tflite``, or ``auto``: the first of them that works here.
        threads: CPU threads of one call. One is fastest for nets of a few million multiply-adds.

    Raises:
        ModelError: No runtime works here, or it refuses the model.
        UsageError: There is no runtime of that name.
    """
    if runtime != "auto" and runtime not in RUNTIMES:
        raise UsageError(
            f"There is no runtime {runtime!r}: valid names are auto, {', '.join(RUNTIMES)}."
        )
    wanted: Sequence[str] = list(RUNTIMES) if runtime == "auto" else [runtime]
    failures = []
    for name in wanted:
        try:
            interpreter_class = import_module(RUNTIMES[name]).Interpreter
            # Both tell on standard error which delegate they chose.
            with native_stderr_silenced():
                interpreter = interpreter_class(model_content=content, num_threads=threads)
                interpreter.allocate_tensors()
            return Network(interpreter, name)
        except _UNUSABLE as exc:
            failures.append(f"{name}: {exc}")
        except (ValueError, RuntimeError) as exc:
            # RuntimeError also wraps what NumPy 2 does to tflite-runtime; only the text tells.
            if "numpy" not in str(exc).lower():
                raise ModelError(f"{name} refuses the model: {exc}") from exc
            failures.append(f"{name}: {exc}")
    raise ModelError(
        f"No TFLite runtime works here ({'; '.join(failures)}). Install one: "
        f"`pip install ai-edge-litert`, or on Python 3.11 `pip install "
        f'"fer-edge[tflite-runtime]"`.'
    )


def _only(details: Sequence[dict], what: str) -> TensorInfo:
    if len(details) != 1:
        raise ModelError(f"The model must have one {what}, it has {len(details)}.")
    detail = details[0]
    scale, zero_point = detail["quantization"]
    return TensorInfo(
        index=int(detail["index"]),
        shape=tuple(int(side) for side in detail["shape"]),
        dtype=np.dtype(detail["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )
