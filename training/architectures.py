"""Networks, as functions of their hyper-parameters. Only ``keras.*``: any backend trains them.

Every operation here maps to the Edge TPU and quantises well: 3x3 convolutions, batch norm (folded
into them by the converter), ReLU, max pooling, a global average, one dense layer. No depthwise
convolutions, swish or squeeze-and-excite, which lose points in int8.
"""

from collections.abc import Sequence

import keras
from keras import layers

from .dataset_readers import EMOTIONS, SIDE_PX


def plain_net(*, stem: int, widths: Sequence[int], dropout: float) -> keras.Model:
    """A VGG-like net: a stem, then two 3x3 convolutions a stage with pooling in between.

    Args:
        stem: Channels of the first convolution.
        widths: Channels of each stage.
        dropout: Share of the pooled features that training drops.

    Returns:
        A model from float32 ``(n, 48, 48, 1)``, raw pixels 0..255, to float32 logits ``(n, 7)``.
    """
    pixels = keras.Input((SIDE_PX, SIDE_PX, 1), name="pixels")
    # Inside the net, so that training, conversion and the device cannot scale differently.
    x = layers.Rescaling(1 / 255, name="scale")(pixels)
    x = _conv_block(x, stem, "stem")
    for stage, width in enumerate(widths, start=1):
        x = layers.MaxPooling2D(name=f"pool{stage}")(x)
        x = _conv_block(x, width, f"stage{stage}a")
        x = _conv_block(x, width, f"stage{stage}b")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    # Logits: a softmax output would be quantised at the fixed step of 1/256. In float32 even where
    # a mixed-precision policy computes the rest in bfloat16.
    logits = layers.Dense(len(EMOTIONS), dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="plain_net")


def _conv_block(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(
        width,
        3,
        padding="same",
        use_bias=False,  # the batch norm behind it has one
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
