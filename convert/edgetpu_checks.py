"""What the Edge TPU's limitations mean for one operation: a function each.

Each gives what it found in the operation, or None where it has no objection; the table that says
whose limitation it is stands in :mod:`.edgetpu_rules`.
"""

from .describe import Operation, Tensor

# Inputs that are parameters: everything of these operations but what they work on.
_PARAMETERS: dict[str, tuple[int, ...]] = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "EXPAND_DIMS": (1,),
    "FULLY_CONNECTED": (1, 2),
    "MEAN": (1,),
    "PAD": (1,),
    "PRELU": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SLICE": (1, 2),
    "SPLIT": (0,),
    "STRIDED_SLICE": (1, 2, 3),
    "SUM": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0, 1, 3),
}
_SOFTMAX_MOST = 16_000
# Of a mean, as pixels: 64x128 was mapped, 256x128 was not (issue 461).
_MEAN_KNOWN_PIXELS = 64 * 128
# Of a reshape: those of Coral's SSD detectors are below it. The table gives no number.
_RESHAPE_KNOWN_ELEMENTS = 100_000


def computed(operation: Operation) -> list[Tensor]:
    """The tensors that flow through an operation: all but constants."""
    tensors = [item for item in (*operation.inputs, *operation.outputs) if item is not None]
    return [tensor for tensor in tensors if not tensor.is_constant]


# ----------------------------------------------------------------------- what every operation needs


def data_type(operation: Operation) -> str | None:
    """All that flows through it must be quantised to 8 bits."""
    for tensor in computed(operation):
        if tensor.dtype not in ("INT8", "UINT8"):
            return f"{tensor.dtype.lower()} in tensor {tensor.index}"
        if not tensor.scales:
            return f"no scale for tensor {tensor.index}"
    for tensor in operation.inputs:
        # Biases, axes and sizes are integers of more bits.
        if tensor is not None and tensor.is_constant and "INT" not in tensor.dtype:
            return f"{tensor.dtype.lower()} in tensor {tensor.index}"
    return None


def dynamic(operation: Operation) -> str | None:
    """No size may be open."""
    for tensor in computed(operation):
        if tensor.is_dynamic:
            return f"{_shape(tensor.signature)} in tensor {tensor.index}"
    return None


def open_parameters(operation: Operation) -> str | None:
    """Weights, axes and sizes must be in the file."""
    for place in _PARAMETERS.get(operation.name, ()):
        tensor = _input(operation, place)
        if tensor is not None and not tensor.is_constant:
            return f"tensor {tensor.index} is computed"
    return None


def batch(operation: Operation) -> str | None:
    """One picture at a time."""
    for tensor in computed(operation):
        if len(tensor.shape) == 4 and tensor.shape[0] > 1:
            return f"batch of {tensor.shape[0]} in tensor {tensor.index}"
    return None


def rank(operation: Operation) -> str | None:
    """At most three sizes above 1."""
    for tensor in computed(operation):
        # The batch of a picture has its own rule, with a plainer word for it.
        outer = tensor.shape[1:-3] if len(tensor.shape) == 4 else tensor.shape[:-3]
        if any(side > 1 for side in outer):
            return f"{_shape(tensor.shape)} in tensor {tensor.index}"
    return None


# -------------------------------------------------------------------------- rules of one operation


def activation(operation: Operation) -> str | None:
    """No activation may be fused into it."""
    activation = operation.options.get("activation", "NONE")
    return None if activation == "NONE" else f"fused {activation}"


def constant_operand(operation: Operation) -> str | None:
    """A constant may be only the zeros that pad."""
    constants = [item for item in operation.inputs if item is not None and item.is_constant]
    if not constants:
        return None
    if len(operation.inputs) != 2:
        return f"a constant among {len(operation.inputs)} inputs"
    values = constants[0].values()
    zero = constants[0].zero_points[0] if constants[0].zero_points else 0
    if values is None or (values != zero).any():
        return f"constant tensor {constants[0].index} is not all zeros"
    return None


def dilation(operation: Operation) -> str | None:
    """The same in x and y."""
    x, y = (operation.options.get(f"dilation_{side}_factor", 1) for side in "wh")
    return None if x == y else f"dilation {x} in x, {y} in y"


def weights_format(operation: Operation) -> str | None:
    """Only the default one."""
    number = operation.options.get("weights_format", 0)
    return None if number == 0 else f"weights format {number}"


def _one_dimensional(tensor: Tensor) -> bool:
    return all(side == 1 for side in tensor.shape[:-1])


def dense_output(operation: Operation) -> str | None:
    """Only the last size of an output may be above 1."""
    for tensor in operation.outputs:
        if not _one_dimensional(tensor):
            return f"output of {_shape(tensor.shape)}"
    return None


def _axes(operation: Operation) -> set[int]:
    """The axes that a reduction sums over, counted from the front."""
    pixels = _input(operation, 0)
    if pixels is None or not pixels.shape:
        return set()
    return {axis % len(pixels.shape) for axis in _integers(operation, 1)}


def batch_reduction(operation: Operation) -> str | None:
    """Not over the batch."""
    return "reduces axis 0" if 0 in _axes(operation) else None


def depth_reduction(operation: Operation) -> str | None:
    """Over channels only where 4 divides them."""
    pixels = _input(operation, 0)
    if pixels is None or len(pixels.shape) < 2 or len(pixels.shape) - 1 not in _axes(operation):
        return None
    depth = pixels.shape[-1]
    return None if depth % 4 == 0 else f"reduces z of {depth}"


def large_mean(operation: Operation) -> str | None:
    """Over more pixels than are known to map."""
    pixels = _input(operation, 0)
    if pixels is None or len(pixels.shape) != 4:
        return None
    height, width = pixels.shape[1:3]
    return None if height * width <= _MEAN_KNOWN_PIXELS else f"mean of {height}x{width}"


def pack_axis(operation: Operation) -> str | None:
    """Not along the batch."""
    rank = len(operation.outputs[0].shape) if operation.outputs else 0
    return "packs axis 0" if operation.options.get("axis") in (0, -rank) else None


def pad_batch(operation: Operation) -> str | None:
    """Not along the batch."""
    first = _integers(operation, 1)[:2]
    return f"pads axis 0 by {' and '.join(map(str, first))}" if any(first) else None


def alpha(operation: Operation) -> str | None:
    """One slope a channel."""
    slopes = _input(operation, 1)
    if slopes is None or _one_dimensional(slopes):
        return None
    return f"alpha of {_shape(slopes.shape)}"


def large_reshape(operation: Operation) -> str | None:
    """More elements than are known to map."""
    for tensor in operation.outputs:
        count = _count(tensor)
        if count > _RESHAPE_KNOWN_ELEMENTS:
            return f"{count:,} elements"
    return None


def resize_size(operation: Operation) -> str | None:
    """From and to which size."""
    pixels = _input(operation, 0)
    if pixels is None or not operation.outputs:
        return None
    return f"{_shape(pixels.shape)} to {_shape(operation.outputs[0].shape)}"


def resize_version(operation: Operation) -> str | None:
    """Versions since TensorFlow 2.2 were refused by compilers."""
    return f"version {operation.version}" if operation.version > 2 else None


def softmax(operation: Operation) -> str | None:
    """One row of at most 16,000."""
    for tensor in operation.inputs:
        if tensor is not None and not _one_dimensional(tensor):
            return f"input of {_shape(tensor.shape)}"
        if tensor is not None and _count(tensor) > _SOFTMAX_MOST:
            return f"{_count(tensor):,} elements"
    return None


def squeeze(operation: Operation) -> str | None:
    """Only sizes in front."""
    pixels = _input(operation, 0)
    if pixels is None or not pixels.shape:
        return None
    shape = pixels.shape
    ones = [place for place, side in enumerate(shape) if side == 1]
    for place in operation.options.get("squeeze_dims") or ones:
        if any(side > 1 for side in shape[: place % len(shape)]):
            return f"squeezes axis {place} of {_shape(shape)}"
    return None


def strides(operation: Operation) -> str | None:
    """Only steps of 1, no new axes."""
    for mask in ("ellipsis_mask", "new_axis_mask"):
        if operation.options.get(mask, 0):
            return f"{mask} {operation.options[mask]}"
    steps = _integers(operation, 3)
    if all(step == 1 for step in steps):
        return None
    return f"strides {', '.join(map(str, steps[:8]))}"


def dense_per_channel(operation: Operation) -> str | None:
    """One scale for all weights is safe."""
    weights = _input(operation, 1)
    count = 0 if weights is None else len(weights.scales)
    return f"{count} scales" if count > 1 else None


def _input(operation: Operation, place: int) -> Tensor | None:
    return operation.inputs[place] if place < len(operation.inputs) else None


def _integers(operation: Operation, place: int) -> list[int]:
    """The values of a constant input; empty for one that is computed, or no list of integers."""
    tensor = _input(operation, place)
    values = None if tensor is None or "INT" not in tensor.dtype else tensor.values()
    return [] if values is None else values.tolist()


def _count(tensor: Tensor) -> int:
    count = 1
    for side in tensor.shape:
        count *= side
    return count


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join("?" if side < 0 else str(side) for side in shape) or "a scalar"
