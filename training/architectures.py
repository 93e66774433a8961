"""Networks, as functions of their options. Only ``keras.*``: any backend trains them.

Each maps raw pixels, float32 ``(n, 48, 48, 1)``, 0..255, to float32 logits ``(n, 7)``: the scaling
is the first layer, so that training, conversion and the device cannot scale differently, and there
is no softmax at the end, because that would be quantised at the fixed step of 1/256. The last
layer is called ``logits``.

``plain`` and ``residual`` hold only what maps to the Edge TPU and quantises well: 3x3 convolutions,
batch norm (folded into them by the converter), ReLU, max pooling, a global average, one dense
layer; no depthwise convolutions, swish or squeeze-and-excite, which lose points in int8.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from ..edge.errors import UsageError
from .dataset_readers import EMOTIONS, SIDE_PX
from .recipes import Recipe
from .transfer import transfer_net

# Keras sets parts of its messages in bold.
_COLOURS = re.compile(r"\x1b\[\d+m")


def build_network(recipe: Recipe) -> keras.Model:
    """The untrained network of a recipe.

    Raises:
        UsageError: The recipe names no network of ours, or options that its network has not or
            cannot be made with.
    """
    if recipe.network not in NETWORKS:
        raise UsageError(f"No network {recipe.network!r}; there are: {', '.join(NETWORKS)}.")
    make = NETWORKS[recipe.network]
    known = list(inspect.signature(make).parameters)
    unknown = sorted(set(recipe.options) - set(known))
    if unknown:
        raise UsageError(
            f"The network {recipe.network} has no option {', '.join(unknown)}; it has: "
            f"{', '.join(known)}."
        )
    try:
        return make(**recipe.options)
    # Keras's answers to a width of 0 or to more pooling than there are pixels.
    except (TypeError, ValueError) as exc:
        options = ", ".join(f"{name}={value}" for name, value in recipe.options.items())
        said = _COLOURS.sub("", str(exc)).partition("Arguments received")[0]
        raise UsageError(
            f"The network {recipe.network} cannot be made with {options}: {' '.join(said.split())}"
        ) from exc


def plain_net(
    *, stem: int = 32, widths: Sequence[int] = (64, 128, 256), dropout: float = 0.3
) -> keras.Model:
    """A VGG-like net: a stem, then two 3x3 convolutions a stage with pooling in front.

    After Simonyan and Zisserman, ICLR 2015 (arXiv:1409.1556), with batch norm and a global average.

    Args:
        stem: Channels of the first convolution. Pooling right behind it halves the time of an epoch
            against a second convolution at 48x48, where two cores wait for memory.
        widths: Channels of each stage.
        dropout: Share of the pooled features that training drops.
    """
    pixels, x = _scaled_pixels()
    x = conv_block(x, stem, "stem")
    for stage, width in enumerate(widths, start=1):
        x = layers.MaxPooling2D(name=f"pool{stage}")(x)
        x = conv_block(x, width, f"stage{stage}a")
        x = conv_block(x, width, f"stage{stage}b")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return _finish(pixels, layers.Dropout(dropout, name="dropout")(x), "plain_net")


def residual_net(
    *,
    stem: int = 32,
    widths: Sequence[int] = (64, 128, 192),
    blocks: Sequence[int] = (2, 2, 2),
    dropout: float = 0.3,
    inner: Sequence[int] = (),
    pool: bool = False,
) -> keras.Model:
    """A residual net: a stem, then stages of basic blocks, each entered with stride 2.

    After He et al., CVPR 2016 (arXiv:1512.03385), figure 5, left.

    Args:
        stem: Channels of the first convolution, at 48x48.
        widths: Channels of each stage.
        blocks: Blocks of each stage.
        dropout: Share of the pooled features that training drops.
        inner: Channels of the 3x3 convolutions of each stage, between two of 1x1 (the same paper,
            figure 5, right); 0 for two of 3x3, as in all stages unless given.
        pool: Enter the stages by 2x2 max pooling instead, for as many multiply-adds: it lies on the
            same grid for a mirror image, which stride 2 does not (:mod:`.mirror`).

    Raises:
        UsageError: ``blocks``, or ``inner`` if given, is not as long as ``widths``.
    """
    if len(widths) != len(blocks):
        raise UsageError(f"widths {list(widths)} and blocks {list(blocks)} differ in length.")
    inner = inner or (0,) * len(widths)
    if len(inner) != len(widths):
        raise UsageError(f"inner {list(inner)} and widths {list(widths)} differ in length.")
    pixels, x = _scaled_pixels()
    x = conv_block(x, stem, "stem")
    stages = zip(widths, blocks, inner, strict=True)
    for stage, (width, count, middle) in enumerate(stages, start=1):
        if pool:
            x = layers.MaxPooling2D(name=f"pool{stage}")(x)
        for block in range(count):
            stride = 2 if block == 0 and not pool else 1
            x = _residual_block(x, width, stride, middle, f"stage{stage}{'abcdefgh'[block]}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return _finish(pixels, layers.Dropout(dropout, name="dropout")(x), "residual_net")


def custom_cnn(
    *, widths: Sequence[int] = (32, 64, 128), dense: int = 256, dropout: float = 0.25
) -> keras.Model:
    """The classic of FER-2013 notebooks: convolutions with pooling and dropout, then two dense.

    Its softmax is part of the loss, as everywhere here.

    Args:
        widths: Channels of each 3x3 convolution; each is followed by pooling and dropout.
        dense: Units of the hidden dense layer, behind which dropout is twice as large.
        dropout: Share that training drops.
    """
    pixels, x = _scaled_pixels()
    for stage, width in enumerate(widths, start=1):
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv{stage}")(x)
        x = layers.MaxPooling2D(name=f"pool{stage}")(x)
        x = layers.Dropout(dropout, name=f"dropout{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(dense, activation="relu", name="dense")(x)
    x = layers.Dropout(min(0.9, 2 * dropout), name="dropout_dense")(x)
    return _finish(pixels, x, "custom_cnn")


def mini_xception(*, stem: int = 8, widths: Sequence[int] = (16, 32, 64, 128)) -> keras.Model:
    """The net of the best-known packages: residual blocks of separable convolutions, 58k weights.

    Arriaga, Valdenegro-Toro and Plöger, "Real-time Convolutional Neural Networks for Emotion and
    Gender Classification", 2017 (arXiv:1710.07557): two plain convolutions, four blocks, and a
    convolution to the classes in front of the global average instead of a dense layer.

    Args:
        stem: Channels of the first two convolutions (``valid`` padding).
        widths: Channels of each block.
    """
    pixels, x = _scaled_pixels()
    for place in "ab":
        x = conv_block(x, stem, f"stem_{place}", padding="valid")
    for stage, width in enumerate(widths, start=1):
        short = conv_block(x, width, f"block{stage}_short", size=1, stride=2, relu=False)
        for place, relu in (("a", True), ("b", False)):
            name = f"block{stage}{place}"
            x = layers.SeparableConv2D(
                width, 3, padding="same", use_bias=False, name=f"{name}_conv"
            )(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
            x = layers.ReLU(name=f"{name}_relu")(x) if relu else x
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"block{stage}_pool")(x)
        x = layers.Add(name=f"block{stage}_add")([x, short])
    x = layers.Conv2D(len(EMOTIONS), 3, padding="same", name="classes")(x)
    logits = layers.GlobalAveragePooling2D(name="logits", dtype="float32")(x)
    return keras.Model(pixels, logits, name="mini_xception")


#: What a recipe may name, with the function that makes it.
NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "custom_cnn": custom_cnn,
    "mini_xception": mini_xception,
    "plain": plain_net,
    "residual": residual_net,
    "transfer": transfer_net,
}


def _scaled_pixels() -> tuple[Any, Any]:
    pixels = keras.Input((SIDE_PX, SIDE_PX, 1), name="pixels")
    return pixels, layers.Rescaling(1 / 255, name="scale")(pixels)


def _finish(pixels: Any, features: Any, name: str) -> keras.Model:
    # In float32 even where a mixed-precision policy computes the rest in less.
    logits = layers.Dense(len(EMOTIONS), dtype="float32", name="logits")(features)
    return keras.Model(pixels, logits, name=name)


def conv_block(
    x: Any,
    width: int,
    name: str,
    *,
    size: int = 3,
    stride: int = 1,
    relu: bool = True,
    padding: str = "same",
) -> Any:
    """A convolution and batch norm, and unless told otherwise ReLU: what the Edge TPU fuses."""
    x = layers.Conv2D(
        width,
        size,
        strides=stride,
        padding=padding,
        use_bias=False,  # the batch norm behind it has one
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _residual_block(x: Any, width: int, stride: int, middle: int, name: str) -> Any:
    if middle:
        y = conv_block(x, middle, f"{name}1", size=1)
        y = conv_block(y, middle, f"{name}2", stride=stride)
        y = conv_block(y, width, f"{name}3", size=1, relu=False)
    else:
        y = conv_block(x, width, f"{name}1", stride=stride)
        y = conv_block(y, width, f"{name}2", relu=False)
    if stride != 1 or x.shape[-1] != width:
        x = conv_block(x, width, f"{name}_short", size=1, stride=stride, relu=False)
    x = layers.Add(name=f"{name}_add")([y, x])
    return layers.ReLU(name=f"{name}_relu")(x)
