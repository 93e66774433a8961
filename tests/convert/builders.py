"""Makes small ``.tflite`` files, good ones and such as break a rule."""

from dataclasses import dataclass, field

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

DTYPES = {"INT8": "i1", "UINT8": "u1", "INT16": "<i2", "INT32": "<i4", "FLOAT32": "<f4"}
# The union of option tables has one number a table, named like it.
OPTION_TYPES = {
    name: number for name, number in vars(schema.BuiltinOptions).items() if isinstance(number, int)
}


@dataclass
class Graph:
    """A model to be: add tensors and operations, then :meth:`build`."""

    tensors: list = field(default_factory=list)
    operations: list = field(default_factory=list)
    codes: list = field(default_factory=list)
    buffers: list = field(default_factory=lambda: [schema.BufferT()])
    metadata: dict[str, bytes] = field(default_factory=dict)

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: str = "INT8",
        *,
        values=None,
        scales: tuple[float, ...] = (0.5,),
        signature: tuple[int, ...] | None = None,
        name: str = "",
        zero_point: int = 0,
    ) -> int:
        """Add a tensor, a constant where it has values, and return its number."""
        made = schema.TensorT()
        made.name = name or f"t{len(self.tensors)}"
        made.shape = list(shape)
        made.shapeSignature = None if signature is None else list(signature)
        made.type = getattr(schema.TensorType, dtype)
        made.buffer = 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = (
                np.broadcast_to(values, shape).astype(DTYPES[dtype]).ravel().view(np.uint8)
            )
            made.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if scales and dtype in ("INT8", "UINT8", "INT16"):
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = list(scales)
            made.quantization.zeroPoint = [zero_point] * len(scales)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def operation(
        self,
        name: str,
        inputs: list[int],
        outputs: list[int],
        *,
        version: int = 1,
        options: str = "",
        **values,
    ) -> None:
        """Add an operation; ``options`` names its table, ``values`` are fields of it."""
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        number = getattr(schema.BuiltinOperator, name, schema.BuiltinOperator.CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.version = version
        if number == schema.BuiltinOperator.CUSTOM:
            code.customCode = name
        made.opcodeIndex, made.inputs, made.outputs = len(self.codes), inputs, outputs
        if options:
            made.builtinOptionsType = OPTION_TYPES[options]
            made.builtinOptions = getattr(schema, f"{options}T")()
            for key, value in values.items():
                assert hasattr(made.builtinOptions, key), key
                setattr(made.builtinOptions, key, value)
        self.codes.append(code)
        self.operations.append(made)

    def build(self, inputs: list[int], outputs: list[int], subgraphs: int = 1) -> bytes:
        """The file's bytes."""
        model, graph = schema.ModelT(), schema.SubGraphT()
        model.version = 3
        graph.tensors, graph.operators = self.tensors, self.operations
        graph.inputs, graph.outputs = inputs, outputs
        model.subgraphs = [graph] * subgraphs
        model.operatorCodes = self.codes
        model.buffers, model.metadata = list(self.buffers), []
        for name, content in self.metadata.items():
            entry = schema.MetadataT()
            entry.name, entry.buffer = name, len(model.buffers)
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = list(content)
            model.metadata.append(entry)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def one_operation(
    name: str,
    shape: tuple[int, ...],
    output: tuple[int, ...],
    *parameters: tuple,
    before: bool = False,
    dtype: str = "INT8",
    output_dtype: str | None = None,
    scales: tuple[float, ...] = (0.5,),
    signature: tuple[int, ...] | None = None,
    **options,
) -> bytes:
    """A model of one operation, from a computed input to a computed output.

    Args:
        name: Of the operation.
        shape: Of the input.
        output: Shape of the output.
        parameters: ``(shape, dtype, values)`` or with scales as a fourth: the further inputs;
            values None for one that is computed.
        before: Whether the parameters come before the input.
        dtype: Of input and output.
        output_dtype: Where it is another.
        scales: Of input and output.
        signature: Of the input, with -1 for an open size.
        options: As for :meth:`Graph.operation`.
    """
    graph = Graph()
    source = graph.tensor(shape, dtype, scales=scales, signature=signature, name="source")
    further = []
    for sides, kind, values, *rest in parameters:
        made = graph.tensor(sides, kind, values=values, scales=rest[0] if rest else (0.5,))
        further.append(made)
    target = graph.tensor(output, output_dtype or dtype, scales=scales, name="target")
    inputs = [*further, source] if before else [source, *further]
    graph.operation(name, inputs, [target], **options)
    computed = [number for number in inputs if graph.tensors[number].buffer == 0]
    return graph.build(computed, [target])


def conv_weights(out: int, depth: int, size: int = 3) -> tuple:
    """Weights of a convolution as a parameter, one scale a channel."""
    return (out, size, size, depth), "INT8", 1, (0.5,) * out


def ints(*values: int) -> tuple:
    """A list of int32 as a parameter."""
    return (len(values),), "INT32", np.array(values)


def a_net(*, head: str = "", tail: str = "", after: str = "", pool_activation: int = 0) -> bytes:
    """CONV_2D, MAX_POOL_2D, MEAN, FULLY_CONNECTED: what our nets are made of, 8x8 to 7 logits.

    Args:
        head: Of ``float``: float in, with its QUANTIZE.
        tail: Of ``float``: float out, with its DEQUANTIZE.
        after: Name of an operation without parameters put behind the convolution.
        pool_activation: Number of the activation fused into the pool.
    """
    graph = Graph()
    source = pixels = graph.tensor((1, 8, 8, 4), name="pixels", scales=(1.0,), zero_point=-128)
    if head == "float":
        source = graph.tensor((1, 8, 8, 4), "FLOAT32", name="float pixels")
        graph.operation("QUANTIZE", [source], [pixels], options="QuantizeOptions")
    weights = graph.tensor((8, 3, 3, 4), values=1, scales=(0.5,) * 8)
    bias = graph.tensor((8,), "INT32", values=0)
    features = graph.tensor((1, 8, 8, 8))
    graph.operation(
        "CONV_2D",
        [pixels, weights, bias],
        [features],
        version=3,
        options="Conv2DOptions",
        strideW=1,
        strideH=1,
        fusedActivationFunction=schema.ActivationFunctionType.RELU,
    )
    if after:
        changed = graph.tensor((1, 8, 8, 8))
        graph.operation(after, [features], [changed])
        features = changed
    pooled = graph.tensor((1, 4, 4, 8))
    graph.operation(
        "MAX_POOL_2D",
        [features],
        [pooled],
        version=2,
        options="Pool2DOptions",
        padding=1,
        strideW=2,
        strideH=2,
        filterWidth=2,
        filterHeight=2,
        fusedActivationFunction=pool_activation,
    )
    axes = graph.tensor((2,), "INT32", values=np.array([1, 2]))
    means = graph.tensor((1, 8))
    graph.operation("MEAN", [pooled, axes], [means], version=2, options="ReducerOptions")
    dense = graph.tensor((7, 8), values=1)
    answers = logits = graph.tensor((1, 7), name="logits")
    graph.operation(
        "FULLY_CONNECTED", [means, dense, -1], [logits], version=4, options="FullyConnectedOptions"
    )
    if tail == "float":
        answers = graph.tensor((1, 7), "FLOAT32", name="float logits")
        graph.operation("DEQUANTIZE", [logits], [answers], version=2, options="DequantizeOptions")
    return graph.build([source], [answers])
