"""The statistics of batch norm, measured again for weights that no step was ever made with.

An average of weights over steps comes with the moving statistics of its last steps' own weights, of
changed images at that. Measuring them anew over whole images as they are is what Izmailov et al.
do behind stochastic weight averaging (UAI 2018, arXiv:1803.05407, section 3.1) and Wu and Johnson
advise in general ("Rethinking 'Batch' in BatchNorm", 2021, arXiv:2105.07576, section 3).
"""

from typing import Any

import keras
import numpy as np

from ..edge.framing import to_float
from ..edge.records import Image

_BATCH = 128


def norm_statistics(network: keras.Model) -> list[Any]:
    """The variables that :func:`measure_norms` sets."""
    return [value for norm in _norms(network) for value in (norm.moving_mean, norm.moving_variance)]


def measure_norms(network: keras.Model, images: Image) -> None:
    """Set each batch norm's statistics to their means over batches of images.

    Args:
        network: Of :mod:`.architectures`; nothing else of it is changed.
        images: uint8, ``(n, height, width)``, at least one. They go in batches of 128;
            what is left over is not used, unless it is all there is.
    """
    norms = _norms(network)
    before = [norm.momentum for norm in norms]
    batch = min(_BATCH, len(images))
    try:
        for count in range(1, len(images) // batch + 1):
            for norm in norms:
                # After each batch the mean of all so far: the first leaves nothing of before.
                norm.momentum = 1 - 1 / count
            network(to_float(images[(count - 1) * batch : count * batch]), training=True)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


def drawn(images: Image, count: int, seed: int) -> Image:
    """So many of the images, or all, in the order that the seed gives."""
    rows = np.random.default_rng(seed).permutation(len(images))[:count]
    return images[rows]


def _norms(network: Any) -> list[Any]:
    return [each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)]
