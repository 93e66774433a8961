"""What the Edge TPU compiler maps, as one table: each limitation in its words, with its source.

The compiler is closed. What is published is the page of Coral below; what it does beyond that is
known from its logs, in issues. A limitation that is not in the published table says so.

A rule gives what it found in one operation, or None where it has no objection. ``blocks`` tells a
rule that keeps an operation off the Edge TPU from one that only may.
"""

from collections.abc import Callable
from dataclasses import dataclass

from . import edgetpu_checks as check
from .describe import Operation
from .operations import known_since, version_key

SOURCES = {
    "requirements": (
        "coral.ai/docs/edgetpu/models-intro, «Model requirements», as quoted in "
        "github.com/google-coral/edgetpu/issues/594 (2022)"
    ),
    "table": (
        "coral.ai/docs/edgetpu/models-intro, «Supported operations», runtime 13 or later; the rows "
        "up to Reshape read from Axis's copy, developer.axis.com/computer-vision/on-device/"
        "system-on-chip/artpec-7/supported-ops"
    ),
    "table-2019": (
        "the same table in a copy of 2019, github.com/dgist-datalab/Datalab_Intern, "
        "Edge_TPU/convert_model_for_Edge_TPU.md; a later runtime may have lifted it"
    ),
    "partition": (
        "coral.ai/docs/edgetpu/models-intro, «Compiling», and a maintainer in "
        "github.com/google-coral/edgetpu/issues/461"
    ),
    "issue-13": "github.com/google-coral/edgetpu/issues/13",
    "issue-187": "github.com/google-coral/edgetpu/issues/187 and 396",
    "issue-193": "github.com/google-coral/edgetpu/issues/193 and 433",
    "issue-461": "github.com/google-coral/edgetpu/issues/461 and 183",
    "issue-631": "github.com/google-coral/edgetpu/issues/631 and 845",
    "issue-684": "github.com/google-coral/edgetpu/issues/684",
    "tf-73946": "github.com/tensorflow/tensorflow/issues/73946",
    "recalled": "no copy of this row of Coral's table was at hand",
}
PUBLISHED = frozenset({"requirements", "table", "table-2019", "partition"})

# Operations in Coral's table, by the schema's names. All else stays on the CPU.
SUPPORTED = frozenset(
    {
        *("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D"),
        *("EXPAND_DIMS", "FULLY_CONNECTED", "L2_NORMALIZATION", "LOGISTIC", "LSTM"),
        *("MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PACK", "PAD", "PRELU"),
        *("QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SLICE", "SOFTMAX"),
        *("SPACE_TO_DEPTH", "SPLIT", "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB"),
        *("SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM"),
    }
)
COMPILED = "edgetpu-custom-op"
# Compiler 16 was out by 3 August 2021 (issue 433), a week before TensorFlow 2.6.
_NEWEST_TFLITE = "2.6"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table.

    Attributes:
        name: For tests and for JSON.
        limitation: In the words of the source.
        source: Key of :data:`SOURCES`.
        check: What it finds wrong with an operation, or None.
        operations: Names it applies to; empty for all.
        blocks: Whether the operation stays on the CPU, or only may.
        refuses: Whether the compiler refuses the whole file.
    """

    name: str
    limitation: str
    source: str
    check: Callable[[Operation], str | None]
    operations: tuple[str, ...] = ()
    blocks: bool = True
    refuses: bool = False

    @property
    def published(self) -> bool:
        """Whether it is in Coral's documentation."""
        return self.source in PUBLISHED


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that an operation breaks, and by what."""

    rule: Rule
    found: str


def findings(operation: Operation) -> tuple[Finding, ...]:
    """Every rule that an operation breaks, those that keep it off the Edge TPU first."""
    broken = []
    for rule in RULES:
        if not rule.operations or operation.name in rule.operations:
            found = rule.check(operation)
            if found is not None:
                broken.append(Finding(rule, found))
    return tuple(sorted(broken, key=lambda finding: not finding.rule.blocks))


def _unsupported(operation: Operation) -> str | None:
    if operation.name in SUPPORTED and not operation.is_custom:
        return None
    return f"{operation.name} is not in the table"


def _too_new(operation: Operation) -> str | None:
    if operation.is_custom:
        return None
    since = known_since(operation.name, operation.version)
    if since is None and operation.name not in SUPPORTED:
        return None
    if since is not None and version_key(since) <= version_key(_NEWEST_TFLITE):
        return None
    return f"version {operation.version} is of TensorFlow {since or 'unknown to this table'}"


def _recalled(operation: Operation) -> str | None:
    return f"{operation.name} is listed since compiler 14 or 16"


_POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")
_RESIZE = ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
_OVER_BATCH = ("REDUCE_MAX", "REDUCE_MIN")

RULES = (
    Rule(
        "operation",
        "The model uses only the operations supported by the Edge TPU.",
        "requirements",
        _unsupported,
    ),
    Rule(
        "version",
        "Didn't find op for builtin opcode: the compiler cannot read what a TensorFlow after its "
        "own time wrote, and refuses the whole file.",
        "issue-631",
        _too_new,
        refuses=True,
    ),
    Rule(
        "data-type",
        "Tensor parameters are quantized (8-bit fixed-point numbers; int8 or uint8).",
        "requirements",
        check.data_type,
    ),
    Rule(
        "dynamic-shape",
        "Tensor sizes are constant at compile-time (no dynamic sizes).",
        "requirements",
        check.dynamic,
    ),
    Rule(
        "constant-parameters",
        "Model parameters (such as bias tensors) are constant at compile-time.",
        "requirements",
        check.open_parameters,
    ),
    Rule(
        "batch",
        "If a tensor has more than 3 dimensions, then only the 3 innermost dimensions may have a "
        "size greater than 1: a batch of pictures is the fourth.",
        "requirements",
        check.batch,
    ),
    Rule(
        "rank",
        "Tensors are either 1-, 2-, or 3-dimensional. If a tensor has more than 3 dimensions, then "
        "only the 3 innermost dimensions may have a size greater than 1.",
        "requirements",
        check.rank,
    ),
    Rule("pool-activation", "No fused activation function.", "table", check.activation, _POOLS),
    Rule(
        "concatenation-activation",
        "No fused activation function.",
        "table",
        check.activation,
        ("CONCATENATION",),
    ),
    Rule(
        "concatenation-constant",
        "If any input is a compile-time constant tensor, there must be only 2 inputs, and this "
        "constant tensor must be all zeros (effectively, a zero-padding op).",
        "table",
        check.constant_operand,
        ("CONCATENATION",),
    ),
    Rule(
        "dilation",
        "Must use the same dilation in x and y dimensions.",
        "table",
        check.dilation,
        ("CONV_2D", "DEPTHWISE_CONV_2D"),
    ),
    Rule(
        "dense-format",
        "Only the default format is supported for fully-connected weights.",
        "table",
        check.weights_format,
        ("FULLY_CONNECTED",),
    ),
    Rule(
        "dense-output",
        "Output tensor is one-dimensional.",
        "table",
        check.dense_output,
        ("FULLY_CONNECTED",),
    ),
    Rule(
        "dense-per-channel",
        "Per-channel weights of a dense layer, which converters write since TensorFlow 2.17, are "
        "the suspect where compilation fails.",
        "tf-73946",
        check.dense_per_channel,
        ("FULLY_CONNECTED",),
        blocks=False,
    ),
    Rule(
        "mean-batch", "No reduction in batch dimension.", "table", check.batch_reduction, ("MEAN",)
    ),
    Rule(
        "mean-depth",
        "If a z-reduction, the z-dimension must be multiple of 4.",
        "table",
        check.depth_reduction,
        ("MEAN",),
    ),
    Rule(
        "mean-size",
        "A mean over 256x128 pixels was not mapped, over 64x128 it was.",
        "issue-461",
        check.large_mean,
        ("MEAN",),
        blocks=False,
    ),
    Rule(
        "reduce-batch",
        "Cannot operate on the batch dimension.",
        "table",
        check.batch_reduction,
        _OVER_BATCH,
    ),
    Rule(
        "sum-batch",
        "Cannot operate on the batch dimension.",
        "recalled",
        check.batch_reduction,
        ("SUM",),
    ),
    Rule("pack-batch", "No packing in batch dimension.", "table", check.pack_axis, ("PACK",)),
    Rule("pad-batch", "No padding in batch dimension.", "table", check.pad_batch, ("PAD",)),
    Rule(
        "prelu-alpha",
        "Alpha must be 1-dimensional (only the innermost dimension can be >1 size).",
        "table",
        check.alpha,
        ("PRELU",),
    ),
    Rule(
        "reshape-size",
        "Certain reshapes might not be mapped for large tensor sizes.",
        "table",
        check.large_reshape,
        ("RESHAPE",),
        blocks=False,
    ),
    Rule(
        "resize-size",
        "Input/output is a 3-dimensional tensor. Depending on input/output size, this operation "
        "might not be mapped to the Edge TPU to avoid loss in precision.",
        "table",
        check.resize_size,
        _RESIZE,
        blocks=False,
    ),
    Rule(
        "resize-version",
        "Operation version not supported.",
        "issue-187",
        check.resize_version,
        _RESIZE,
        blocks=False,
    ),
    Rule(
        "softmax",
        "Supports only 1-D input tensor with a max of 16,000 elements.",
        "table-2019",
        check.softmax,
        ("SOFTMAX",),
    ),
    Rule(
        "squeeze",
        "Supported only when input tensor dimensions that have leading 1s (that is, no relayout "
        "needed).",
        "table-2019",
        check.squeeze,
        ("SQUEEZE",),
        blocks=False,
    ),
    Rule(
        "strided-slice",
        "Supported only when all strides are equal to 1 (that is, effectively a Stride op), and "
        "with ellipsis-axis-mask == 0, and new-axis-max == 0.",
        "table-2019",
        check.strides,
        ("STRIDED_SLICE",),
    ),
    Rule(
        "transpose",
        "Supported since compiler 16, but reported as not mapped due to some unspecified "
        "limitation.",
        "issue-193",
        lambda operation: "a transposition",
        ("TRANSPOSE",),
        blocks=False,
    ),
    Rule(
        "transpose-conv",
        "Listed as supported, and reported as not mapped for a large one.",
        "issue-684",
        lambda operation: "a transposed convolution",
        ("TRANSPOSE_CONV",),
        blocks=False,
    ),
    Rule(
        "recalled",
        "Believed to be in Coral's table.",
        "recalled",
        _recalled,
        ("RSQRT", "SQUARED_DIFFERENCE", "SUM"),
        blocks=False,
    ),
)
