"""The detector's network. Only ``keras.*``: any backend trains it.

It takes raw grey pixels, float32 ``(n, h, w, 1)``, 0..255, with h and w multiples of 16, and
answers a dict: ``boxes`` ``(n, N, 4)``, 0..6, and ``scores`` ``(n, N, 1)``, logits, float32, for
the N cells of the grids of :mod:`fer_edge.edge.detectors.fer_face_decode`. The scaling is the first
layer. A picture of 320x240 has 40x30 + 20x15 + 10x8 cells.

It holds what maps to the Edge TPU and quantises well: 3x3 convolutions, batch norm (folded into
them by the converter), ReLU, one transposed convolution and one addition. Boxes and scores have a
1x1 convolution each, so that the converter gives each its own scale.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from ...edge.detectors.fer_face_decode import RAW_LIMIT, RAW_MIDDLE, STRIDES
from ...edge.errors import UsageError
from ..architectures import conv_block

# Of the cells before training, those that say "face": so few that the many cells without one do not
# decide the first steps (T.-Y. Lin et al., ICCV 2017, arXiv:1708.02002, section 4.1).
_PRIOR = 0.01


def build_network(
    *,
    stem: int = 16,
    widths: Sequence[int] = (32, 48, 64, 64),
    blocks: Sequence[int] = (1, 2, 1, 1),
    size_wh: tuple[int | None, int | None] = (None, None),
) -> keras.Model:
    """The untrained network.

    Args:
        stem: Channels at stride 2.
        widths: Channels at strides 4, 8, 16 and 32.
        blocks: Convolutions at each of these, beside the one that leads there.
        size_wh: Width and height of the pictures in pixels; None takes any.

    Raises:
        UsageError: Not four of each.
    """
    if len(widths) != len(STRIDES) + 1 or len(blocks) != len(widths):
        raise UsageError(
            f"Expected four widths and four blocks, for strides 4, 8, 16 and 32; got "
            f"{list(widths)} and {list(blocks)}."
        )
    pixels = keras.Input((*size_wh[::-1], 1), name="pixels")
    x = layers.Rescaling(1 / 255, name="scale")(pixels)
    x = conv_block(x, stem, "stem", stride=2)
    stages = []
    for place, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        stride = 4 << place
        if stride == STRIDES[-1]:
            # 240 and 144 pixels are an odd number of cells at stride 16. There "same" would pad on
            # both sides, and for an even number on one: the cells would lie elsewhere than in
            # training.
            x = layers.ZeroPadding2D(1, name="pad32")(x)
        padding = "valid" if stride == STRIDES[-1] else "same"
        x = conv_block(x, width, f"down{stride}", stride=2, padding=padding)
        for block in range(count):
            x = conv_block(x, width, f"conv{stride}{'abcdefgh'[block]}")
        stages.append(x)
    fine, middle, coarse = stages[1:]
    # What the finest cells see of their surroundings would else end 27 pixels from their centre.
    up = layers.Conv2DTranspose(
        widths[1], 2, strides=2, use_bias=False, kernel_initializer="he_normal", name="up8"
    )(middle)
    fine = layers.Add(name="merge8")(
        [fine, layers.BatchNormalization(momentum=0.9, name="up8_norm")(up)]
    )
    boxes, scores = [], []
    for stride, features in zip(STRIDES, (fine, middle, coarse), strict=True):
        features = conv_block(features, int(features.shape[-1]), f"head{stride}")
        near = _answer(features, 4, RAW_MIDDLE, f"boxes{stride}_raw")
        near = layers.ReLU(RAW_LIMIT, dtype="float32", name=f"boxes{stride}_limit")(near)
        sure = _answer(features, 1, float(np.log(_PRIOR / (1 - _PRIOR))), f"scores{stride}_raw")
        boxes.append(layers.Reshape((-1, 4), name=f"boxes{stride}")(near))
        scores.append(layers.Reshape((-1, 1), name=f"scores{stride}")(sure))
    answers = {
        "boxes": layers.Concatenate(axis=1, dtype="float32", name="boxes")(boxes),
        "scores": layers.Concatenate(axis=1, dtype="float32", name="scores")(scores),
    }
    return keras.Model(pixels, answers, name="detector")


def _answer(x: Any, width: int, bias: float, name: str) -> Any:
    # In float32 even where a mixed-precision policy computes the rest in less.
    return layers.Conv2D(
        width,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),  # type: ignore[arg-type]
        bias_initializer=keras.initializers.Constant(bias),  # type: ignore[arg-type]
        dtype="float32",
        name=name,
    )(x)
