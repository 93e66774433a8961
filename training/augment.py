"""Random changes to training images that leave the emotion as it is. NumPy and OpenCV only."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..edge.records import Image


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far the images are changed; each image draws its own amounts, evenly in each range.

    Attributes:
        flip: Probability of a left-right mirror image.
        rotate_deg: Largest turn to either side, in degrees.
        zoom: Smallest and largest magnification.
        shift: Largest move in x and in y, as a share of the side.
        brightness: Largest addition to the pixels, in grey levels of 255.
        contrast: Smallest and largest factor on the distance from the image's mean.
        erase: Probability that a rectangle is replaced by its image's mean grey.
        erase_area: Smallest and largest area of that rectangle, as a share of the image.
        camera: Probability that an image looks as a camera would have delivered it
            (:mod:`.degrade`).
        camera_gamma: Smallest and largest exponent of its exposure curve.
        camera_blur: Smallest and largest blur, in pixels of standard deviation.
        camera_px: Smallest and largest side of the face in its picture, in pixels.
        camera_noise: Smallest and largest noise, in grey levels of standard deviation.
        camera_jpeg: Smallest and largest quality of JPEG, of 100.
        mixup: Probability that a batch is blended with itself (:mod:`.mixing`).
        cutmix: Probability that rectangles are exchanged within a batch instead.
        mix_alpha: Both shape parameters of the Beta distribution of an image's share.
    """

    flip: float = 0.5
    rotate_deg: float = 12.0
    zoom: tuple[float, float] = (0.85, 1.15)
    shift: float = 0.1
    brightness: float = 25.0
    contrast: tuple[float, float] = (0.75, 1.3)
    erase: float = 0.3
    erase_area: tuple[float, float] = (0.02, 0.15)
    camera: float = 0.0
    camera_gamma: tuple[float, float] = (0.5, 2.0)
    camera_blur: tuple[float, float] = (0.4, 1.6)
    camera_px: tuple[float, float] = (18.0, 44.0)
    camera_noise: tuple[float, float] = (2.0, 14.0)
    camera_jpeg: tuple[float, float] = (20.0, 80.0)
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_alpha: float = 0.4


def augment(
    images: Image, settings: Augmentation, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return changed copies of a batch.

    Args:
        images: uint8, ``(n, height, width)``.
        settings: How far to change them.
        generator: The only source of chance: the same state gives the same pictures.

    Returns:
        float32, ``(n, height, width)``, 0 to 255.
    """
    count, height, width = images.shape
    moved = np.empty(images.shape, np.float32)
    for index, matrix in enumerate(_affines(count, height, width, settings, generator)):
        # One warp for mirror, turn, zoom and shift together: interpolating once blurs once.
        moved[index] = cv2.warpAffine(
            images[index],
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    means = moved.mean(axis=(1, 2), keepdims=True)
    contrast = generator.uniform(*settings.contrast, (count, 1, 1)).astype(np.float32)
    added = generator.uniform(-settings.brightness, settings.brightness, (count, 1, 1))
    # In place: the network's threads wait for every new array of this size that is made meanwhile.
    moved -= means
    moved *= contrast
    moved += means
    moved += added.astype(np.float32)
    np.clip(moved, 0, 255, out=moved)
    _erase(moved, settings, generator)
    return moved


def _affines(
    count: int, height: int, width: int, settings: Augmentation, generator: np.random.Generator
) -> NDArray[np.float64]:
    """``(n, 2, 3)`` matrices from source to result, about the middle of the image."""
    angle = np.deg2rad(generator.uniform(-settings.rotate_deg, settings.rotate_deg, count))
    zoom = generator.uniform(*settings.zoom, count)
    mirror = np.where(generator.random(count) < settings.flip, -1.0, 1.0)
    shift = generator.uniform(-settings.shift, settings.shift, (count, 2)) * (width, height)
    linear = np.empty((count, 2, 2))
    linear[:, 0, 0] = linear[:, 1, 1] = zoom * np.cos(angle)
    linear[:, 0, 1] = zoom * np.sin(angle)
    linear[:, 1, 0] = -linear[:, 0, 1]
    linear[:, :, 0] *= mirror[:, np.newaxis]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = middle - linear @ middle + shift
    return np.concatenate([linear, offset[:, :, np.newaxis]], axis=2)


def _erase(
    images: NDArray[np.float32], settings: Augmentation, generator: np.random.Generator
) -> None:
    count, height, width = images.shape
    for index in np.flatnonzero(generator.random(count) < settings.erase):
        area = generator.uniform(*settings.erase_area) * height * width
        ratio = np.exp(generator.uniform(-0.7, 0.7))
        h = int(np.clip(np.sqrt(area * ratio), 1, height))
        w = int(np.clip(np.sqrt(area / ratio), 1, width))
        y, x = generator.integers(0, height - h + 1), generator.integers(0, width - w + 1)
        images[index, y : y + h, x : x + w] = images[index].mean()
