"""Mixup and cutmix: training images made of two, with the targets of both. NumPy only."""

import numpy as np
from numpy.typing import NDArray

from .augment import Augmentation

Arrays = dict[str, NDArray[np.float32]]


def mix(
    faces: NDArray[np.float32],
    targets: Arrays,
    weights: Arrays,
    settings: Augmentation,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], Arrays, Arrays]:
    """Blend a batch with a shuffled copy of itself, or paste a rectangle of one into the other.

    Mixup is by Zhang et al., ICLR 2018 (arXiv:1710.09412), cutmix by Yun et al., ICCV 2019
    (arXiv:1905.04899). A batch gets one of them or neither; each image draws its own share from
    Beta(alpha, alpha). Targets and weights are blended by the same share.

    Args:
        faces: float32 ``(n, height, width)``.
        targets: Distributions, each float32 ``(n, classes)``.
        weights: float32 ``(n,)`` each.
        settings: ``mixup`` and ``cutmix`` are the probabilities of each, their sum at most 1.
        generator: The only source of chance; nothing is drawn where both are 0.

    Returns:
        The three, as new arrays where anything was mixed.
    """
    if settings.mixup + settings.cutmix == 0:
        return faces, targets, weights
    draw = generator.random()
    if draw >= settings.mixup + settings.cutmix:
        return faces, targets, weights
    count = len(faces)
    partner = generator.permutation(count)
    share = generator.beta(settings.mix_alpha, settings.mix_alpha, count).astype(np.float32)
    if draw < settings.mixup:
        faces = _blend(faces, partner, share)
    else:
        faces, share = _cutmix(faces, partner, share, generator)
    targets = {name: _blend(values, partner, share) for name, values in targets.items()}
    weights = {name: _blend(values, partner, share) for name, values in weights.items()}
    return faces, targets, weights


def _blend(
    values: NDArray[np.float32], partner: NDArray[np.int64], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return (values * share + values[partner] * (1 - share)).astype(np.float32)


def _cutmix(
    faces: NDArray[np.float32],
    partner: NDArray[np.int64],
    share: NDArray[np.float32],
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Images with a rectangle of their partner, and the share of each that is still its own."""
    count, height, width = faces.shape
    mixed, kept = faces.copy(), np.empty(count, np.float32)
    side = np.sqrt(1 - share)
    rows, columns = generator.integers(0, height, count), generator.integers(0, width, count)
    for index in range(count):
        half_h, half_w = side[index] * height / 2, side[index] * width / 2
        top, left = max(0, round(rows[index] - half_h)), max(0, round(columns[index] - half_w))
        bottom = min(height, round(rows[index] + half_h))
        right = min(width, round(columns[index] + half_w))
        mixed[index, top:bottom, left:right] = faces[partner[index], top:bottom, left:right]
        kept[index] = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, kept
