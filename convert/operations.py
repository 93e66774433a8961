"""Facts about single TFLite operations: what they cost, and how old a runtime may be."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]

# Since which TensorFlow Lite each version of an operation is known, version 1 first; from
# `tensorflow/lite/tools/versioning/runtime_version.cc` of TensorFlow 2.18, for the operations that
# image classifiers and detectors are made of.
_SINCE: dict[str, tuple[str, ...]] = {
    "ADD": ("1.5", "1.14", "2.4", "2.6", "2.13"),
    "ARG_MAX": ("1.9", "1.14", "2.9"),
    "AVERAGE_POOL_2D": ("1.5", "1.14", "2.3"),
    "BATCH_MATMUL": ("2.3", "2.3", "2.4", "2.5"),
    "CAST": ("1.5", "2.7", "2.8", "2.9", "2.12", "2.15"),
    "CONCATENATION": ("1.5", "1.14", "2.3", "2.14"),
    "CONV_2D": ("1.5", "1.14", "1.14", "2.3", "2.4", "2.9", "2.11", "2.15"),
    "DEPTHWISE_CONV_2D": ("1.5", "1.12", "1.14", "2.2", "2.3", "2.3", "2.11"),
    "DEPTH_TO_SPACE": ("2.1", "2.5"),
    "DEQUANTIZE": ("1.13.1", "1.14", "1.15", "2.2", "2.7", "2.18"),
    "DIV": ("1.6", "2.3"),
    "ELU": ("1.14",),
    "EXP": ("1.7", "2.12"),
    "EXPAND_DIMS": ("1.10",),
    "FULLY_CONNECTED": (
        *("1.5", "1.10", "1.14", "1.14", "2.0", "2.1", "2.3", "2.3", "2.3"),
        *("2.11", "2.15", "2.17", "2.18"),
    ),
    "GATHER": ("1.6", "1.14", "1.15", "2.4", "2.5", "2.13", "2.15"),
    "GELU": ("2.9", "2.9"),
    "HARD_SWISH": ("1.15",),
    "L2_NORMALIZATION": ("1.5", "1.14"),
    "LEAKY_RELU": ("1.13.1", "2.3"),
    "LOGISTIC": ("1.14", "1.14", "2.3"),
    "LSTM": ("1.7", "1.10", "1.14", "2.3"),
    "MAXIMUM": ("1.14", "1.14", "2.3", "2.3"),
    "MAX_POOL_2D": ("1.5", "1.14", "2.3"),
    "MEAN": ("1.6", "1.14", "2.4"),
    "MINIMUM": ("1.14", "1.14", "2.3", "2.3"),
    "MIRROR_PAD": ("1.13.1", "2.3", "2.12"),
    "MUL": ("1.5", "1.14", "1.15", "2.3", "2.6", "2.11", "2.13"),
    "NEG": ("1.9",),
    "PACK": ("1.11", "1.14", "2.3", "2.13"),
    "PAD": ("1.5", "1.14", "2.4", "2.6"),
    "PADV2": ("1.9", "1.14", "2.4", "2.6"),
    "PRELU": ("1.8",),
    "QUANTIZE": ("1.14", "1.15", "2.7"),
    "REDUCE_MAX": ("1.11", "1.14", "2.5"),
    "REDUCE_MIN": ("1.11", "1.14", "2.5"),
    "RELU": ("1.5", "2.1", "2.5"),
    "RELU6": ("1.5", "1.14", "2.5"),
    "RELU_0_TO_1": ("2.10",),
    "RELU_N1_TO_1": ("1.5",),
    "RESHAPE": ("1.5",),
    "RESIZE_BILINEAR": ("1.7", "1.14", "2.2", "2.5"),
    "RESIZE_NEAREST_NEIGHBOR": ("1.13.1", "1.14", "2.3", "2.4"),
    "RSQRT": ("1.10", "2.5", "2.15"),
    "SHAPE": ("1.10",),
    "SLICE": ("1.14", "1.14", "1.14", "2.4", "2.5", "2.14"),
    "SOFTMAX": ("1.5", "1.14", "2.3"),
    "SPACE_TO_DEPTH": ("1.5", "1.14"),
    "SPLIT": ("1.5", "1.14", "1.14", "2.3"),
    "SPLIT_V": ("1.13.1", "2.3"),
    "SQRT": ("1.10",),
    "SQUARED_DIFFERENCE": ("1.13.1", "2.5"),
    "SQUEEZE": ("1.6", "2.5"),
    "STRIDED_SLICE": ("1.6", "1.14", "2.1", "2.2", "2.5", "2.6", "2.14", "2.14"),
    "SUB": ("1.6", "1.14", "2.3", "2.4", "2.4"),
    "SUM": ("1.10", "1.15"),
    "TANH": ("1.14", "1.14", "2.3"),
    "TRANSPOSE": ("1.6", "1.14", "1.15", "2.3", "2.4", "2.12"),
    "TRANSPOSE_CONV": ("1.9", "2.2", "2.3", "2.13", "2.15"),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": ("1.13.1", "1.14", "2.3", "2.12"),
    "UNPACK": ("1.11", "1.14", "2.2", "2.3"),
}


@dataclass(frozen=True, slots=True)
class MinimumRuntime:
    """How old a TensorFlow Lite may be that runs a set of operations.

    Attributes:
        version: As ``2.3``; "" where none of the operations is in TensorFlow's table.
        due_to: The operation that asks for it, as ``CONV_2D v4``.
        unlisted: Operations, or versions of them, that the table does not have.
    """

    version: str
    due_to: str
    unlisted: tuple[str, ...]


def known_since(name: str, version: int) -> str | None:
    """The first TensorFlow Lite that knows a version of an operation; None if it is not listed."""
    listed = _SINCE.get(name, ())
    return listed[version - 1] if 1 <= version <= len(listed) else None


def minimum_runtime(operations: Iterable[tuple[str, int]]) -> MinimumRuntime:
    """The oldest TensorFlow Lite that knows all of these ``(name, version)``."""
    best, due_to = "", ""
    unlisted: dict[str, None] = {}
    for name, version in operations:
        since = known_since(name, version)
        if since is None:
            unlisted[f"{name} v{version}"] = None
        elif not best or version_key(since) > version_key(best):
            best, due_to = since, f"{name} v{version}"
    return MinimumRuntime(best, due_to, tuple(unlisted))


def version_key(version: str) -> tuple[int, ...]:
    """``2.10`` after ``2.9``."""
    return tuple(int(part) for part in version.split("."))


def multiply_adds(name: str, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
    """Multiplications, each with its addition, of one run of an operation.

    Counted as in the literature: padding counts as pixels, a bias and a rescaling as nothing.

    Args:
        name: As the schema names it.
        inputs: Shapes; None for an optional tensor that is left out.
        outputs: Shapes.

    Returns:
        0 for an operation without such products, or with shapes that do not fit it.
    """
    try:
        return max(0, _count(name, inputs, outputs))
    except (ArithmeticError, IndexError, TypeError, ValueError):
        return 0


def _count(name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    if name == "CONV_2D":
        # (out, height, width, in of one group)
        _, height, width, depth = inputs[1]
        return math.prod(outputs[0]) * height * width * depth
    if name == "DEPTHWISE_CONV_2D":
        _, height, width, _ = inputs[1]
        return math.prod(outputs[0]) * height * width
    if name == "FULLY_CONNECTED":
        _, depth = inputs[1]
        return math.prod(outputs[0]) * depth
    if name == "TRANSPOSE_CONV":
        # Every input pixel is spread over the kernel, for every output channel.
        out, height, width, _ = inputs[1]
        return math.prod(inputs[2]) * height * width * out
    if name == "BATCH_MATMUL":
        # Of the last two sizes of the left one, whichever is not the rows of the output is summed
        # over; which of them depends on whether it is transposed.
        left, out = inputs[0], outputs[0]
        return math.prod(out) * (math.prod(left[-2:]) // out[-2])
    return 0
