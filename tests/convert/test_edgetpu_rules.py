"""Every line of the Edge TPU's table: a model that breaks it, and one that keeps it."""

import numpy as np
import pytest

from fer_edge.convert.describe import describe
from fer_edge.convert.edgetpu_rules import RULES, SOURCES, SUPPORTED, findings

from .builders import conv_weights, ints, one_operation

RELU = 1  # number of the activation in the schema
PIXELS = (1, 8, 8, 4)
POOL = {"options": "Pool2DOptions", "filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2}
CONV = {"options": "Conv2DOptions", "strideW": 1, "strideH": 1, "version": 3}
DENSE = {"options": "FullyConnectedOptions", "version": 4}
SLICED = {"options": "StridedSliceOptions", "version": 2}


def conv(**changes) -> bytes:
    return one_operation(
        "CONV_2D", PIXELS, (1, 8, 8, 8), conv_weights(8, 4), ints(*[0] * 8), **{**CONV, **changes}
    )


def dense(shape=(1, 8), output=(1, 7), weights=((7, 8), "INT8", 1), **changes) -> bytes:
    return one_operation("FULLY_CONNECTED", shape, output, weights, **{**DENSE, **changes})


def mean(shape, *axes: int, name: str = "MEAN", output=(1, 4)) -> bytes:
    return one_operation(name, shape, output, ints(*axes), version=2, options="ReducerOptions")


def pad(*rows: tuple[int, int]) -> bytes:
    values = np.array(rows)
    return one_operation("PAD", PIXELS, PIXELS, (values.shape, "INT32", values), version=2)


def sliced(*strides: int, **options) -> bytes:
    lists = (ints(0, 0, 0, 0), ints(1, 8, 8, 4), ints(*strides))
    return one_operation("STRIDED_SLICE", PIXELS, PIXELS, *lists, **{**SLICED, **options})


def concat(*parameters: tuple, **options) -> bytes:
    table = {"options": "ConcatenationOptions", "axis": 3, "version": 2}
    return one_operation("CONCATENATION", PIXELS, (1, 8, 8, 8), *parameters, **{**table, **options})


def resize(name: str, version: int = 2) -> bytes:
    size = ints(16, 16)
    table = name.title().replace("_", "")
    table = {"ResizeBilinear": "ResizeBilinearOptions"}.get(table, "ResizeNearestNeighborOptions")
    return one_operation(name, PIXELS, (1, 16, 16, 4), size, version=version, options=table)


# The rule, and a model of one operation that breaks it; each differs in one thing from a good one.
BREAKING = [
    ("operation", one_operation("HARD_SWISH", PIXELS, PIXELS)),
    ("operation", one_operation("LEAKY_RELU", PIXELS, PIXELS)),
    ("operation", one_operation("SOME_CUSTOM_OP", PIXELS, PIXELS)),
    ("version", conv(version=6)),  # TensorFlow 2.9: issue 631
    ("version", dense(version=12)),  # what TensorFlow 2.17 and later write
    ("version", dense(version=99)),  # later than the table
    ("version", one_operation("GELU", PIXELS, PIXELS)),  # not supported, and not even read
    ("data-type", one_operation("RELU", PIXELS, PIXELS, dtype="FLOAT32")),
    ("data-type", one_operation("RELU", PIXELS, PIXELS, dtype="INT16")),
    ("data-type", one_operation("RELU", PIXELS, PIXELS, scales=())),  # int8, but of what size
    ("data-type", one_operation("QUANTIZE", PIXELS, PIXELS, dtype="FLOAT32", output_dtype="INT8")),
    ("data-type", dense(weights=((7, 8), "FLOAT32", 1))),
    ("dynamic-shape", one_operation("RELU", PIXELS, PIXELS, signature=(-1, 8, 8, 4))),
    ("dynamic-shape", one_operation("RELU", PIXELS, PIXELS, signature=(1, -1, -1, 4))),
    ("constant-parameters", dense(weights=((7, 8), "INT8", None))),
    ("batch", one_operation("RELU", (8, 8, 8, 4), (8, 8, 8, 4))),
    ("rank", one_operation("RELU", (1, 2, 8, 8, 4), (1, 2, 8, 8, 4))),
    ("rank", one_operation("RELU", (2, 1, 8, 8, 4), (2, 1, 8, 8, 4))),
    (
        "pool-activation",
        one_operation(
            "MAX_POOL_2D", PIXELS, (1, 4, 4, 4), **POOL, fusedActivationFunction=RELU, version=2
        ),
    ),
    (
        "pool-activation",
        one_operation("AVERAGE_POOL_2D", PIXELS, (1, 4, 4, 4), **POOL, fusedActivationFunction=3),
    ),
    ("concatenation-activation", concat((PIXELS, "INT8", None), fusedActivationFunction=RELU)),
    ("concatenation-constant", concat((PIXELS, "INT8", 1))),  # not zeros
    ("concatenation-constant", concat((PIXELS, "INT8", 0), (PIXELS, "INT8", None))),  # of three
    ("dilation", conv(dilationWFactor=2, dilationHFactor=1)),
    ("dense-format", dense(weightsFormat=1)),
    ("dense-output", dense((8, 8), (8, 7))),  # a batch of eight
    ("dense-output", dense((1, 6, 8), (1, 6, 7), keepNumDims=True)),
    ("dense-per-channel", dense(weights=((7, 8), "INT8", 1, (0.5,) * 7))),
    ("mean-batch", mean(PIXELS, 0, 1, 2)),
    ("mean-batch", mean(PIXELS, -4)),
    ("mean-depth", mean((1, 8, 8, 6), 3, output=(1, 8, 8))),
    ("mean-depth", mean((1, 8, 8, 6), -1, output=(1, 8, 8))),
    ("mean-size", mean((1, 256, 128, 4), 1, 2)),
    ("reduce-batch", mean(PIXELS, 0, name="REDUCE_MAX")),
    ("reduce-batch", mean(PIXELS, 0, name="REDUCE_MIN")),
    ("sum-batch", mean(PIXELS, 0, name="SUM")),
    (
        "pack-batch",
        one_operation(
            "PACK", (8, 4), (1, 8, 4), options="PackOptions", axis=0, valuesCount=1, version=2
        ),
    ),
    (
        "pack-batch",
        one_operation(
            "PACK", (8, 4), (1, 8, 4), options="PackOptions", axis=-3, valuesCount=1, version=2
        ),
    ),
    ("pad-batch", pad((1, 0), (0, 0), (0, 0), (0, 0))),
    ("pad-batch", pad((0, 1), (0, 0), (0, 0), (0, 0))),
    ("prelu-alpha", one_operation("PRELU", PIXELS, PIXELS, ((8, 8, 4), "INT8", 1))),
    ("reshape-size", one_operation("RESHAPE", (1, 256, 128, 4), (1, 131072), ints(1, 131072))),
    ("resize-size", resize("RESIZE_BILINEAR")),
    ("resize-size", resize("RESIZE_NEAREST_NEIGHBOR")),
    ("resize-version", resize("RESIZE_NEAREST_NEIGHBOR", version=3)),
    ("softmax", one_operation("SOFTMAX", (1, 16_001), (1, 16_001), version=2)),
    ("softmax", one_operation("SOFTMAX", (1, 4, 7), (1, 4, 7), version=2)),
    ("squeeze", one_operation("SQUEEZE", (5, 1, 10), (5, 10))),  # the example of the table
    ("squeeze", one_operation("SQUEEZE", (1, 5, 1, 10), (5, 10))),
    ("strided-slice", sliced(1, 2, 2, 1)),
    ("strided-slice", sliced(1, 1, 1, 1, ellipsisMask=1)),
    ("strided-slice", sliced(1, 1, 1, 1, newAxisMask=2)),
    ("transpose", one_operation("TRANSPOSE", PIXELS, (1, 4, 8, 8), ints(0, 3, 1, 2), version=2)),
    (
        "transpose-conv",
        one_operation(
            "TRANSPOSE_CONV",
            PIXELS,
            (1, 16, 16, 2),
            ints(1, 16, 16, 2),
            ((2, 2, 2, 4), "INT8", 1),
            before=True,
            version=3,
        ),
    ),
    ("recalled", one_operation("RSQRT", PIXELS, PIXELS)),
]


def broken_rules(content: bytes) -> dict[str, str]:
    """The names of the broken rules with what was found."""
    (operation,) = describe(content).operations
    return {finding.rule.name: finding.found for finding in findings(operation)}


@pytest.mark.parametrize(
    ("rule", "content"), BREAKING, ids=[f"{i}-{rule}" for i, (rule, _) in enumerate(BREAKING)]
)
def test_a_model_that_breaks_a_rule_is_told_so(rule, content):
    broken = broken_rules(content)

    assert rule in broken
    # What is a matter of another rule must not be said too, but for these neighbours.
    beside = {"data-type", "operation", "recalled", "resize-size", "version"}
    assert set(broken) - {rule} <= beside


def test_every_rule_has_a_model_that_breaks_it():
    assert {rule.name for rule in RULES} == {rule for rule, _ in BREAKING}


def test_every_source_is_used_and_known():
    assert {rule.source for rule in RULES} | {"partition", "issue-13"} == set(SOURCES)


# A model that breaks nothing, for each operation that is supported; with what only may be.
GOOD = {
    "ADD": one_operation("ADD", PIXELS, PIXELS, (PIXELS, "INT8", None), version=2),
    "AVERAGE_POOL_2D": one_operation("AVERAGE_POOL_2D", PIXELS, (1, 4, 4, 4), **POOL, version=2),
    "CONCATENATION": concat((PIXELS, "INT8", None)),
    "CONV_2D": conv(),
    "DEPTHWISE_CONV_2D": one_operation(
        "DEPTHWISE_CONV_2D", PIXELS, PIXELS, ((1, 3, 3, 4), "INT8", 1), ints(0, 0, 0, 0), version=3
    ),
    "EXPAND_DIMS": one_operation("EXPAND_DIMS", (8, 4), (1, 8, 4), ints(0)),
    "FULLY_CONNECTED": dense(),
    "L2_NORMALIZATION": one_operation("L2_NORMALIZATION", (1, 8), (1, 8), version=2),
    "LOGISTIC": one_operation("LOGISTIC", PIXELS, PIXELS, version=2),
    "LSTM": one_operation("LSTM", (1, 8), (1, 8)),
    "MAXIMUM": one_operation("MAXIMUM", PIXELS, PIXELS, (PIXELS, "INT8", 1), version=2),
    "MAX_POOL_2D": one_operation("MAX_POOL_2D", PIXELS, (1, 4, 4, 4), **POOL, version=2),
    "MEAN": mean(PIXELS, 1, 2),
    "MINIMUM": one_operation("MINIMUM", PIXELS, PIXELS, (PIXELS, "INT8", 1), version=2),
    "MUL": one_operation("MUL", PIXELS, PIXELS, (PIXELS, "INT8", None), version=2),
    "PACK": one_operation("PACK", (8, 4), (8, 1, 4), options="PackOptions", axis=1, version=2),
    "PAD": pad((0, 0), (1, 1), (1, 1), (0, 4)),
    "PRELU": one_operation("PRELU", PIXELS, PIXELS, ((1, 1, 4), "INT8", 1)),
    "QUANTIZE": one_operation("QUANTIZE", PIXELS, PIXELS, dtype="UINT8", output_dtype="INT8"),
    "REDUCE_MAX": mean(PIXELS, 1, 2, name="REDUCE_MAX"),
    "REDUCE_MIN": mean(PIXELS, 1, 2, name="REDUCE_MIN"),
    "RELU": one_operation("RELU", PIXELS, PIXELS, version=2),
    "RELU6": one_operation("RELU6", PIXELS, PIXELS, version=2),
    "RELU_N1_TO_1": one_operation("RELU_N1_TO_1", PIXELS, PIXELS),
    "RESHAPE": one_operation("RESHAPE", PIXELS, (1, 256), ints(1, 256)),
    "SLICE": one_operation("SLICE", PIXELS, PIXELS, ints(0, 0, 0, 0), ints(1, 8, 8, 4), version=2),
    "SOFTMAX": one_operation("SOFTMAX", (1, 16_000), (1, 16_000), version=2),
    "SPACE_TO_DEPTH": one_operation("SPACE_TO_DEPTH", PIXELS, (1, 4, 4, 16), version=2),
    "SPLIT": one_operation("SPLIT", PIXELS, PIXELS, ints(3), before=True, version=2),
    "SQUEEZE": one_operation("SQUEEZE", (1, 5, 10), (5, 10)),
    "STRIDED_SLICE": sliced(1, 1, 1, 1),
    "SUB": one_operation("SUB", PIXELS, PIXELS, (PIXELS, "INT8", None), version=2),
    "TANH": one_operation("TANH", PIXELS, PIXELS, version=2),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": one_operation(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", (1, 3, 8), (1, 3, 8)
    ),
}
# Those that no model is sure to be mapped with.
NEVER_SURE = {
    *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SQUARED_DIFFERENCE", "SUM"),
    *("TRANSPOSE", "TRANSPOSE_CONV"),
}


@pytest.mark.parametrize(("name", "content"), GOOD.items(), ids=GOOD)
def test_a_model_within_the_rules_breaks_none(name, content):
    assert broken_rules(content) == {}


def test_every_supported_operation_has_a_model_within_the_rules():
    assert set(GOOD) | NEVER_SURE == SUPPORTED


# Models just within a limit, that a rule drawn too wide would catch.
WITHIN = [
    mean((1, 8, 8, 8), 3, output=(1, 8, 8)),  # channels, a multiple of 4
    mean((1, 64, 128, 4), 1, 2),  # the largest known to be mapped
    concat((PIXELS, "INT8", 0)),  # zeros that pad
    conv(dilationWFactor=2, dilationHFactor=2),
    one_operation("RELU", (1, 1, 8, 8, 4), (1, 1, 8, 8, 4), version=2),  # five sizes, three above 1
    one_operation("RELU", (8, 8, 4), (8, 8, 4), version=2),
    one_operation("RELU", PIXELS, PIXELS, version=2, signature=PIXELS),
    one_operation("SQUEEZE", (1, 1, 10), (10,)),
    conv(version=5),  # TensorFlow 2.4
    one_operation("ADD", PIXELS, PIXELS, (PIXELS, "INT8", None), version=4),  # 2.6, the newest read
]


@pytest.mark.parametrize("content", WITHIN, ids=range(len(WITHIN)))
def test_a_model_just_within_a_limit_breaks_nothing(content):
    assert broken_rules(content) == {}


# Rules of which one only may keep an operation off, and one that the whole file is refused for.
def test_what_only_may_happen_does_not_block():
    blocks = {rule.name: rule.blocks for rule in RULES}

    assert not blocks["reshape-size"]
    assert not blocks["resize-size"]
    assert blocks["softmax"]
    assert [rule.name for rule in RULES if rule.refuses] == ["version"]


def test_findings_name_the_tensor_and_what_is_wrong_with_it():
    assert broken_rules(dense((8, 8), (8, 7)))["dense-output"] == "output of 8x7"
    batch = next(content for rule, content in BREAKING if rule == "batch")
    assert broken_rules(batch)["batch"] == "batch of 8 in tensor 0"
    assert broken_rules(mean((1, 8, 8, 6), 3, output=(1, 8, 8)))["mean-depth"] == "reduces z of 6"
    assert broken_rules(sliced(1, 2, 2, 1))["strided-slice"] == "strides 1, 2, 2, 1"
    assert broken_rules(one_operation("HARD_SWISH", PIXELS, PIXELS)) == {
        "operation": "HARD_SWISH is not in the table"
    }


def test_the_gravest_finding_comes_first():
    (operation,) = describe(resize("RESIZE_BILINEAR", version=99)).operations

    assert [item.rule.blocks for item in findings(operation)] == [True, False, False]
