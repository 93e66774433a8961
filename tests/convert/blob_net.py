"""A face detector in Keras whose weights were set by hand to find bright blobs."""

from pathlib import Path

import keras
import numpy as np

from fer_edge.edge.detectors.fer_face_decode import RAW_MIDDLE, STRIDES
from fer_edge.edge.sidecar import write_sidecar

from ..conftest import a_contract
from ..edge.blob_finder import blobs

FIRING = 16


def blob_net(width: int | None = None, height: int | None = None, blind: bool = False):
    """As the hand-made model of the edge's tests, for any size of input.

    A convolution as large as its stride, so that each cell sees its own pixels; the boxes grow a
    little with the light, so that they have a range.
    """
    pixels = keras.Input((height, width, 1), name="pixels")
    boxes, scores = [], []
    for stride in STRIDES:
        for channels, parts in ((4, boxes), (1, scores)):
            layer = keras.layers.Conv2D(
                channels, stride, strides=stride, padding="same", name=f"at{stride}_{channels}"
            )
            parts.append(keras.layers.Reshape((-1, channels))(layer(pixels)))
            fires = channels == 4 or (stride == FIRING and not blind)
            weight = (1 / 16 if channels == 1 else 1 / 5000) / stride**2 if fires else 0
            bias = -8.0 if channels == 1 else RAW_MIDDLE
            layer.set_weights(
                [np.full((stride, stride, 1, channels), weight), np.full(channels, bias)]
            )
    outputs = {
        "boxes": keras.layers.Concatenate(axis=1, name="boxes")(boxes),
        "scores": keras.layers.Concatenate(axis=1, name="scores")(scores),
    }
    return keras.Model(pixels, outputs)


def frames_of(count: int = 16, seed: int = 1) -> np.ndarray:
    """Frames with a blob of four by four cells, which is over two of 192x144, under some noise."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        column, row = int(generator.integers(0, 16)), int(generator.integers(0, 11))
        chosen = [(column + i, row + j) for i in range(4) for j in range(4)]
        picture = blobs(*chosen, value=int(generator.integers(180, 230)))
        noisy = picture + generator.normal(0, 4, picture.shape)
        made.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return np.stack(made)


def saved(path: Path, net, frames: np.ndarray | None = None, **changes) -> Path:
    """A detector as training leaves it: model, contract, calibration frames."""
    net.save(path)
    write_sidecar(path, a_contract(kind="face-detector", name="blobs", **changes))
    np.savez_compressed(
        path.with_suffix(".calibration.npz"), frames=frames_of() if frames is None else frames
    )
    return path
