"""What a camera does to a face: light, blur, few pixels, noise, JPEG. NumPy and OpenCV only."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .augment import Augmentation

# Of each of the five, in an image that is degraded at all.
_EACH = 0.5


def degrade(
    images: NDArray[np.float32], settings: Augmentation, generator: np.random.Generator
) -> None:
    """Change some images of a batch as cameras do, in place.

    In the order in which it happens: exposure (a gamma curve), blur of focus or motion (Gaussian),
    a face of few pixels (averaged down), the sensor's noise (Gaussian), JPEG; then up to the
    crop's size again, linearly as the device does it (:mod:`fer_edge.edge.framing`).

    Args:
        images: float32, ``(n, height, width)``, 0 to 255.
        settings: ``camera`` is the share of the images; nothing is drawn where that is 0.
        generator: The only source of chance.
    """
    if settings.camera == 0:
        return
    count, height, width = images.shape
    for index in np.flatnonzero(generator.random(count) < settings.camera):
        gamma, blur, few, noise, jpeg = generator.random(5) < _EACH
        picture = images[index]
        if gamma:
            # Evenly in the logarithm: half and double are as likely.
            power = np.exp(generator.uniform(*np.log(settings.camera_gamma)))
            picture = 255 * (picture / 255) ** np.float32(power)
        if blur:
            sigma = generator.uniform(*settings.camera_blur)
            picture = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        if few:
            side = round(generator.uniform(*settings.camera_px))
            size_wh = min(side, width), min(side, height)
            picture = cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)
        if noise:
            strength = generator.uniform(*settings.camera_noise)
            picture = picture + generator.normal(0, strength, picture.shape).astype(np.float32)
        picture = np.clip(picture, 0, 255)
        if jpeg:
            quality = round(generator.uniform(*settings.camera_jpeg))
            grey = np.rint(picture).astype(np.uint8)
            _, packed = cv2.imencode(".jpg", grey, (cv2.IMWRITE_JPEG_QUALITY, quality))
            picture = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE).astype(np.float32)
        images[index] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
