"""What is in a ``.tflite`` file: its tensors and operations, read without an interpreter.

A file from outside may be damaged or hostile. A flatbuffer is read by offsets and lengths that the
file itself states, and many of its tables may point at the same bytes, so a small file can claim
more elements than memory holds. Every element that is read is therefore counted against one budget,
of which an honest one spends little.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import ModelError
from .operations import multiply_adds

# Ours are below 3 MB, the largest on Coral's list of models below 200.
MAX_MODEL_BYTES = 256 << 20
# Numbers and characters that are read in all, a second's worth, and what a table counts as.
_MAX_READ = 2_000_000
_TABLE_COST = 50
_MAX_RANK = 16
_MAX_NAME = 300
# Types of the schema that NumPy has under the same name.
_NUMPY_TYPES = frozenset(
    {"FLOAT16", "FLOAT32", "FLOAT64", "BOOL"}
    | {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
)
# What reading a damaged flatbuffer raises: offsets that point outside, lengths that lie.
_FLATBUFFER_ERRORS = (
    struct.error,
    IndexError,
    KeyError,
    ValueError,
    TypeError,
    OverflowError,
    AttributeError,
    MemoryError,
)


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One tensor of the main graph.

    Attributes:
        index: Its number in the file.
        name: Printable, shortened to 300 characters.
        shape: With 1 in place of a size that is open until the model runs.
        signature: As ``shape`` with -1 there; equal to it where every size is constant.
        dtype: As the schema names it: ``INT8``, ``FLOAT32``, …
        scales: One a tensor or one a channel; empty where it is not quantised.
        zero_points: As many.
        data: The bytes of a constant; empty for one that is computed.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    data: memoryview = field(repr=False)

    @property
    def is_constant(self) -> bool:
        """Whether its values are in the file."""
        return len(self.data) > 0

    @property
    def is_dynamic(self) -> bool:
        """Whether a size is open until the model runs."""
        return any(side < 0 for side in self.signature)

    def values(self) -> NDArray[Any] | None:
        """The values of a constant, flat; None for a computed tensor or a type NumPy lacks."""
        if not self.is_constant or self.dtype not in _NUMPY_TYPES:
            return None
        dtype = np.dtype(self.dtype.lower())
        return None if len(self.data) % dtype.itemsize else np.frombuffer(self.data, dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of the main graph, in the order in which they run.

    Attributes:
        index: Its place in that order, from 0.
        name: As the schema names it: ``CONV_2D``, …; a custom one by its own name.
        is_custom: Whether it is none of TFLite's own.
        version: Of the operation, which decides how old a runtime may be.
        inputs: Its tensors; None for an optional one that is left out.
        outputs: Its tensors.
        options: Numbers by their name in the schema, as in ``stride_w``; ``activation`` as a name.
        multiply_adds: Of one run, 0 where it multiplies nothing together.
    """

    index: int
    name: str
    is_custom: bool
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, Any]
    multiply_adds: int


@dataclass(frozen=True, slots=True, eq=False)
class TfliteModel:
    """A ``.tflite`` file as it describes itself.

    Attributes:
        size_bytes: Of the whole file.
        sha256: Digest of the whole file.
        inputs: Tensors that are given to it.
        outputs: Tensors that it answers with.
        tensors: All of the main graph.
        operations: All of the main graph, in the order in which they run.
        metadata: Names of the metadata entries.
        minimum_runtime: What the converter wrote into ``min_runtime_version``, or "".
        subgraph_count: 1 for a model without branches or loops; only the first is described.
    """

    size_bytes: int
    sha256: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    tensors: tuple[Tensor, ...] = field(repr=False)
    operations: tuple[Operation, ...] = field(repr=False)
    metadata: tuple[str, ...]
    minimum_runtime: str
    subgraph_count: int

    @property
    def multiply_adds(self) -> int:
        """Of one run."""
        return sum(operation.multiply_adds for operation in self.operations)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constants that operations use, each counted once."""
        used = {
            tensor.index: len(tensor.data)
            for operation in self.operations
            for tensor in operation.inputs
            if tensor is not None
        }
        return sum(used.values())


def read_model_file(path: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        ModelError: It cannot be read, or is larger than any model that is meant for a device.
    """
    try:
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise ModelError(
                f"{path} has {size / 1e6:.0f} MB: expected a model of at most "
                f"{MAX_MODEL_BYTES / 1e6:.0f} MB."
            )
        return path.read_bytes()
    except OSError as exc:
        raise ModelError(f"Cannot read the model {path}: {exc.strerror}.") from exc


def describe(content: bytes, name: str = "The model") -> TfliteModel:
    """Read what a ``.tflite`` file holds.

    Args:
        content: The whole file, of at most :data:`MAX_MODEL_BYTES`.
        name: What error messages call it.

    Raises:
        ModelError: It is no TFLite model, or damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    if len(content) < 16 or content[4:8] != b"TFL3":
        raise ModelError(
            f"{name} is no TFLite model: expected the identifier TFL3 at byte 4, got "
            f"{bytes(content[4:8])!r} in a file of {len(content)} bytes."
        )
    if len(content) > MAX_MODEL_BYTES:
        raise ModelError(f"{name} is larger than {MAX_MODEL_BYTES / 1e6:.0f} MB.")
    try:
        return _Reader(content, name).read(schema.Model.GetRootAs(content, 0))
    except _FLATBUFFER_ERRORS as exc:
        raise ModelError(f"{name} is damaged or no TFLite model: {exc}.") from exc


class _Reader:
    """Reads one file, and counts what it reads."""

    def __init__(self, content: bytes, name: str):
        self._content = content
        self._name = name
        self._left = _MAX_READ

    def read(self, model: Any) -> TfliteModel:
        if model.SubgraphsLength() == 0:
            raise ModelError(f"{self._name} holds no graph.")
        graph = model.Subgraphs(0)
        tensors = tuple(
            self._tensor(index, item, model)
            for index, item in enumerate(self._items(graph.Tensors, graph.TensorsLength()))
        )
        codes = [
            self._code(item)
            for item in self._items(model.OperatorCodes, model.OperatorCodesLength())
        ]
        operations = tuple(
            self._operation(index, item, codes, tensors)
            for index, item in enumerate(self._items(graph.Operators, graph.OperatorsLength()))
        )
        metadata = {
            self._text(item.Name()): item.Buffer()
            for item in self._items(model.Metadata, model.MetadataLength())
        }
        runtime = b""
        if "min_runtime_version" in metadata:
            runtime = bytes(self._buffer(model, metadata["min_runtime_version"])[:16])
        return TfliteModel(
            size_bytes=len(self._content),
            sha256=hashlib.sha256(self._content).hexdigest(),
            inputs=self._chosen(graph.InputsLength(), graph.InputsAsNumpy(), tensors),
            outputs=self._chosen(graph.OutputsLength(), graph.OutputsAsNumpy(), tensors),
            tensors=tensors,
            operations=operations,
            metadata=tuple(metadata),
            minimum_runtime=self._text(runtime.rstrip(b"\0")),
            subgraph_count=model.SubgraphsLength(),
        )

    def _tensor(self, index: int, item: Any, model: Any) -> Tensor:
        shape = self._numbers(item.ShapeLength(), item.ShapeAsNumpy(), most=_MAX_RANK)
        signature = self._numbers(
            item.ShapeSignatureLength(), item.ShapeSignatureAsNumpy(), most=_MAX_RANK
        )
        quantised = item.Quantization()
        scales: tuple[Any, ...] = ()
        zero_points: tuple[Any, ...] = ()
        if quantised is not None:
            scales = self._numbers(quantised.ScaleLength(), quantised.ScaleAsNumpy())
            zero_points = self._numbers(quantised.ZeroPointLength(), quantised.ZeroPointAsNumpy())
        return Tensor(
            index=index,
            name=self._text(item.Name()),
            shape=shape,
            signature=signature or shape,
            dtype=_names("TensorType").get(item.Type(), f"type {item.Type()}"),
            scales=scales,
            zero_points=zero_points,
            data=self._buffer(model, item.Buffer()),
        )

    def _operation(
        self, index: int, item: Any, codes: list[tuple[str, bool, int]], tensors: tuple[Tensor, ...]
    ) -> Operation:
        name, is_custom, version = codes[item.OpcodeIndex()]
        numbers = self._numbers(item.InputsLength(), item.InputsAsNumpy())
        inputs = tuple(None if number == -1 else _at(tensors, number) for number in numbers)
        outputs = self._chosen(item.OutputsLength(), item.OutputsAsNumpy(), tensors)
        return Operation(
            index=index,
            name=name,
            is_custom=is_custom,
            version=version,
            inputs=inputs,
            outputs=outputs,
            options=self._options(item),
            multiply_adds=multiply_adds(
                name,
                [None if tensor is None else tensor.shape for tensor in inputs],
                [tensor.shape for tensor in outputs],
            ),
        )

    def _options(self, item: Any) -> dict[str, Any]:
        """The options of an operation, numbers and short lists of numbers."""
        from ai_edge_litert import schema_py_generated as schema

        table = item.BuiltinOptions()
        options_class = getattr(
            schema, _names("BuiltinOptions").get(item.BuiltinOptionsType(), ""), None
        )
        if table is None or options_class is None:
            return {}
        reader = options_class()
        reader.Init(table.Bytes, table.Pos)
        found: dict[str, Any] = {}
        for method, key, is_list in _accessors(options_class):
            if is_list:
                count = getattr(reader, f"{method}Length")()
                found[key] = self._numbers(count, getattr(reader, f"{method}AsNumpy")())
                continue
            value = getattr(reader, method)()
            if key == "fused_activation_function":
                key, value = "activation", _names("ActivationFunctionType").get(value, str(value))
            if isinstance(value, int | float | str):
                found[key] = value
        return found

    def _code(self, item: Any) -> tuple[str, bool, int]:
        """Name, whether custom, and version of an operator code."""
        # Numbers up to 127 stand in the older field, which is all that older files have.
        number = max(item.BuiltinCode(), item.DeprecatedBuiltinCode())
        name = _names("BuiltinOperator").get(number, f"operator {number}")
        if name == "CUSTOM":
            return self._text(item.CustomCode()) or "CUSTOM", True, item.Version()
        return name, False, item.Version()

    def _buffer(self, model: Any, index: int) -> memoryview:
        if not 0 <= index < model.BuffersLength():
            raise IndexError(f"there is no buffer {index}")
        item = model.Buffers(index)
        # The generated Buffer has no accessor for where its bytes lie, so ask its table.
        offset = item._tab.Offset(4)
        start, length = (item._tab.Vector(offset), item.DataLength()) if offset else (0, 0)
        if length == 0 and item.Offset() > 1:
            # Files over 2 GB keep their constants behind the flatbuffer; so may a smaller one.
            start, length = item.Offset(), item.Size()
        if start + length > len(self._content):
            raise IndexError(f"buffer {index} lies outside the file")
        return memoryview(self._content)[start : start + length]

    def _chosen(self, count: int, numbers: Any, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(_at(tensors, number) for number in self._numbers(count, numbers))

    def _numbers(self, count: int, numbers: Any, most: int = _MAX_READ) -> tuple[Any, ...]:
        if count > most:
            raise ValueError(f"a list of {count} numbers where at most {most} make sense")
        self._spend(count)
        # The generated accessor gives 0 where there is no list.
        return tuple(numbers.tolist()) if count else ()

    def _items(self, accessor: Any, count: int) -> Iterator[Any]:
        for index in range(count):
            self._spend(_TABLE_COST)
            yield accessor(index)

    def _text(self, raw: bytes | None) -> str:
        raw = raw or b""
        self._spend(len(raw))
        text = raw[:_MAX_NAME].decode(errors="replace")
        # Names go to terminals, where control characters do more than show.
        return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ModelError(
                f"{self._name} is damaged: its tables claim more than {_MAX_READ:,} entries."
            )


def _at(tensors: tuple[Tensor, ...], number: int) -> Tensor:
    if not 0 <= number < len(tensors):
        raise IndexError(f"there is no tensor {number}")
    return tensors[number]


@cache
def _names(enumeration: str) -> dict[int, str]:
    """The names of an enumeration of the schema by their number."""
    from ai_edge_litert import schema_py_generated as schema

    members = vars(getattr(schema, enumeration)).items()
    return {value: name for name, value in members if isinstance(value, int)}


@cache
def _accessors(options_class: type) -> tuple[tuple[str, str, bool], ...]:
    """Method, snake-case name and whether it is a list, of each option that a class has."""
    methods = [name for name, item in vars(options_class).items() if callable(item)]
    lists = {name.removesuffix("AsNumpy") for name in methods if name.endswith("AsNumpy")}
    ours = [
        name
        for name in methods
        if name != "Init" and not name.endswith(("AsNumpy", "Length", "IsNone"))
    ]
    return tuple((name, _snake(name), name in lists) for name in ours)


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
