"""The only builder of interpreters: LiteRT, or its predecessor tflite-runtime.

An interpreter belongs to one thread: two that call one get ``There is at least 1 reference to
internal data``, at random.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

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
EDGETPU_OPERATION = "edgetpu-custom-op"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Shape, type and quantisation of an input or output; scale is 0 for a float tensor."""

    index: int
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Delegate:
    """A shared library that runs a model, or a part of it, elsewhere than on the CPU.

    Attributes:
        library: Its path, or a name for the dynamic loader. Loading it runs its code, which may end
            the process: only in a child (:mod:`.tpu_child`).
        options: What it understands.
    """

    library: str
    options: Mapping[str, str] = field(default_factory=dict)


class Network:
    """A loaded model with one input and any number of outputs.

    Attributes:
        runtime: ``litert`` or ``tflite``.
        input: The tensor that it takes.
        outputs: The tensors that it answers with, in the model's own order.
    """

    def __init__(self, interpreter: Any, runtime: str):
        self._interpreter = interpreter
        self.runtime = runtime
        self.input = only([_tensor(one) for one in interpreter.get_input_details()], "input")
        self.outputs = tuple(_tensor(one) for one in interpreter.get_output_details())

    @property
    def output(self) -> TensorInfo:
        """The only output.

        Raises:
            ModelError: It has another number of them.
        """
        return only(self.outputs, "output")

    def run(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """Run a model with one output once; see :meth:`run_all`."""
        return only(self.run_all(tensor), "output")

    def run_all(self, tensor: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run the model once.

        Args:
            tensor: Of the shape and type of :attr:`input`.

        Returns:
            float32, a copy of each of the outputs, dequantised where the model is int8.

        Raises:
            ModelError: The runtime refuses to run it.
        """
        try:
            self._interpreter.set_tensor(self.input.index, tensor)
            self._interpreter.invoke()
            # get_tensor copies; the view of tensor() would block the next call.
            answers = [self._interpreter.get_tensor(output.index) for output in self.outputs]
        except (ValueError, RuntimeError) as exc:
            raise ModelError(f"The model could not be run: {exc}.") from exc
        return tuple(map(_dequantised, answers, self.outputs))


def load_network(
    content: bytes, *, runtime: str = "auto", threads: int = 1, delegate: Delegate | None = None
) -> Network:
    """Build an interpreter for a model.

    Args:
        content: The bytes of a ``.tflite`` file, checked before (``contract_file.load_model``).
        runtime: ``litert``, ``tflite``, or ``auto``: the first of them that works here.
        threads: CPU threads of one call. One is fastest for nets of a few million multiply-adds.
        delegate: Runs what it can of the model. What it writes to standard error stays there.

    Raises:
        ModelError: No runtime works here, or it refuses the model or the delegate.
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
            module = import_module(RUNTIMES[name])
            options: dict[str, Any] = {"model_content": content, "num_threads": threads}
            if delegate is not None:
                options["experimental_delegates"] = [_load_delegate(module, delegate)]
            # Both tell on standard error which delegate they chose.
            with native_stderr_silenced() if delegate is None else nullcontext():
                interpreter = module.Interpreter(**options)
                interpreter.allocate_tensors()
            return Network(interpreter, name)
        except _UNUSABLE as exc:
            failures.append(f"{name}: {exc}")
        except (ValueError, RuntimeError) as exc:
            if delegate is None and EDGETPU_OPERATION in str(exc):
                raise ModelError(
                    "The model was compiled for the Edge TPU. Pass the int8 model that it was "
                    "compiled from: the compiled one beside it is found by itself."
                ) from exc
            # RuntimeError also wraps what NumPy 2 does to tflite-runtime; only the text tells.
            if "numpy" not in str(exc).lower():
                raise ModelError(f"{name} refuses the model: {exc}") from exc
            failures.append(f"{name}: {exc}")
    raise ModelError(
        f"No TFLite runtime works here ({'; '.join(failures)}). Install one: "
        f"`pip install ai-edge-litert`, or on Python 3.11 `pip install "
        f'"fer-edge[tflite-runtime]"`.'
    )


def _load_delegate(module: ModuleType, delegate: Delegate) -> Any:
    try:
        return module.load_delegate(delegate.library, dict(delegate.options))
    except (OSError, ValueError, AttributeError) as exc:
        # A library that is not there or no delegate, or one that finds no device.
        said = " ".join(str(exc).split())
        raise ModelError(f"The delegate {delegate.library} cannot be used: {said}.") from exc


def only(items: Sequence[T], what: str) -> T:
    """The item of a list of one.

    Raises:
        ModelError: There is another number of them.
    """
    if len(items) != 1:
        raise ModelError(f"The model must have one {what}, it has {len(items)}.")
    return items[0]


def _dequantised(raw: NDArray[Any], output: TensorInfo) -> NDArray[np.float32]:
    values = raw.astype(np.float32)
    return (values - output.zero_point) * output.scale if output.scale else values


def _tensor(detail: Mapping[str, Any]) -> TensorInfo:
    scale, zero_point = detail["quantization"]
    return TensorInfo(
        index=int(detail["index"]),
        shape=tuple(int(side) for side in detail["shape"]),
        dtype=np.dtype(detail["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )
