"""Transfer learning: ImageNet bases of ``keras.applications`` under a head for seven emotions.

The net takes the same raw grey pixels as every other one of ours. Enlarging them, repeating grey to
three channels and the base's own preprocessing are layers inside it, so the saved model needs no
code beside it. The base's batch norms keep their ImageNet statistics in both stages: a few thousand
small faces would spoil them.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import layers

from ..edge.errors import FerEdgeError, ModelError, UsageError
from .dataset_readers import EMOTIONS, SIDE_PX

#: Name of the base inside the whole net, as a layer.
BASE = "base"
_URLS = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True, slots=True)
class Base:
    """One of ``keras.applications``.

    Attributes:
        make: Name of its function there.
        scale: What a pixel 0..255 is multiplied with for it, in each of the three channels.
        offset: Added then.
        file: Where Keras gets its ImageNet weights (without the classifier).
    """

    make: str
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    file: str


# "caffe" preprocessing turns RGB to BGR and subtracts ImageNet's mean; on grey only the second
# makes a difference. "tf" preprocessing maps to -1..1.
_CAFFE = ((1.0, 1.0, 1.0), (-103.939, -116.779, -123.68))
_TF = ((1 / 127.5, 1 / 127.5, 1 / 127.5), (-1.0, -1.0, -1.0))
# EfficientNet subtracts ImageNet's mean m by itself, in its first layers, but divides by the root
# of its deviation s only where Keras loads the weights itself, with a layer that it leaves out
# otherwise (tensorflow issue 49930). In front of the subtraction, 255m + (x - 255m) / sqrt(s) is
# the same.
_ROOTS = (0.229**-0.5, 0.224**-0.5, 0.225**-0.5)
_EFFICIENT = (
    _ROOTS,
    (
        255 * 0.485 * (1 - _ROOTS[0]),
        255 * 0.456 * (1 - _ROOTS[1]),
        255 * 0.406 * (1 - _ROOTS[2]),
    ),
)
BASES = {
    "vgg16": Base(
        "VGG16", *_CAFFE, f"{_URLS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    ),
    "resnet50": Base(
        "ResNet50", *_CAFFE, f"{_URLS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    ),
    "resnet50v2": Base(
        "ResNet50V2", *_TF, f"{_URLS}/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
    ),
    "mobilenetv2": Base(
        "MobileNetV2",
        *_TF,
        f"{_URLS}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
    "efficientnet-b0": Base(
        "EfficientNetB0",
        *_EFFICIENT,
        "https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5",
    ),
}


def transfer_net(
    *, base: str, input_px: int = 224, dense: int = 256, dropout: float = 0.5
) -> keras.Model:
    """An ImageNet base, without weights yet, under a new head.

    Args:
        base: A key of :data:`BASES`.
        input_px: Side that the 48x48 pixels are enlarged to; 224 is what the bases were trained at,
            96 costs a fifth.
        dense: Units of the head's hidden layer; 0 leaves it out.
        dropout: Share of the pooled features that training drops.

    Raises:
        UsageError: No such base, or a size that it does not take.
    """
    if base not in BASES:
        raise UsageError(f"No base {base!r}; there are: {', '.join(BASES)}.")
    about = BASES[base]
    make: Callable[..., keras.Model] = getattr(keras.applications, about.make)
    try:
        trunk = make(
            include_top=False, weights=None, input_shape=(input_px, input_px, 3), name=BASE
        )
    except ValueError as exc:
        raise UsageError(f"{base} takes no input of {input_px} pixels: {exc}") from exc
    pixels = keras.Input((SIDE_PX, SIDE_PX, 1), name="pixels")
    x = layers.Resizing(input_px, input_px, interpolation="bilinear", name="enlarge")(pixels)
    x = layers.Concatenate(name="grey_to_rgb")([x, x, x])
    # A value a channel, which its annotations do not know.
    scale: Any = list(about.scale)
    offset: Any = list(about.offset)
    x = layers.Rescaling(scale, offset=offset, name="preprocess")(x)
    for layer in trunk.layers:
        # Only EfficientNet has some; like its batch norms they are not to change what it knows.
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    # Without this flag Keras takes a call that names none for training; with it too, it hands on
    # that of the outer model, so the batch norms and dropouts have to be still by themselves.
    x = trunk(x, training=False)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    if dense:
        x = layers.Dense(dense, activation="relu", name="dense")(x)
        x = layers.Dropout(dropout / 2, name="dropout_dense")(x)
    logits = layers.Dense(len(EMOTIONS), dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name=base.replace("-", "_"))


def load_base_weights(network: keras.Model, base: str, weights: str) -> None:
    """Give the base of a network its weights.

    Args:
        network: From :func:`transfer_net`.
        base: The same base.
        weights: ``none``, ``imagenet`` (Keras downloads them into ``~/.keras/models``), or the path
            of such a file.

    Raises:
        ModelError: The file is missing, damaged, or of another architecture.
        FerEdgeError: The download failed; the message names the file and where to put it.
    """
    if weights == "none":
        return
    about, trunk = BASES[base], network.get_layer(BASE)
    path = _download(about) if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise ModelError(
            f"There are no weights {path}. Expected `imagenet`, `none`, or a file such as "
            f"{about.file.rpartition('/')[2]} from {about.file}."
        )
    try:
        trunk.load_weights(path)
    # Whatever HDF5 and Keras raise over a file, it is that file's fault.
    except Exception as exc:
        raise ModelError(
            f"{path} does not hold the weights of {about.make} without its classifier: {exc}. "
            f"Expected the file {about.file}."
        ) from exc


def _download(about: Base) -> Path:
    name = about.file.rpartition("/")[2]
    folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
    try:
        # Keras tells of its progress on standard output, which is for data.
        with redirect_stdout(sys.stderr):
            return Path(keras.utils.get_file(name, about.file, cache_subdir="models"))
    # urllib's and the socket's errors arrive as bare Exceptions with the address in their text.
    except Exception as exc:
        raise FerEdgeError(
            f"Cannot download the ImageNet weights: {exc}. Fetch {about.file} elsewhere and put it "
            f"at {folder / name}, or pass --weights FILE, or --weights none to start from nothing."
        ) from exc


def set_stage(network: keras.Model, unfreeze: Sequence[str]) -> int:
    """Freeze the base but for the layers whose names begin with one of these prefixes.

    Args:
        network: From :func:`transfer_net`.
        unfreeze: Prefixes; none of them freezes the whole base.

    Returns:
        Number of the base's layers with weights that learn.

    Raises:
        UsageError: A prefix fits no layer.
    """
    trunk = network.get_layer(BASE)
    trunk.trainable = bool(unfreeze)
    learning = 0
    for layer in trunk.layers:
        fits = any(layer.name.startswith(prefix) for prefix in unfreeze)
        layer.trainable = fits and not isinstance(layer, layers.BatchNormalization)
        learning += bool(layer.trainable_weights)
    for prefix in unfreeze:
        if not any(layer.name.startswith(prefix) for layer in trunk.layers):
            names = ", ".join(layer.name for layer in trunk.layers[-12:])
            raise UsageError(f"No layer of {trunk.name} begins with {prefix!r}; the last: {names}.")
    return learning


def is_transfer(network: Any) -> bool:
    """Whether the network has a base."""
    return any(layer.name == BASE for layer in network.layers)
