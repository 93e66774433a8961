"""Images that occur more than once: equal pixel for pixel, or nearly.

FER-2013 was collected by a search engine and cropped by machine, so the same photograph came in
many times: as the same crop, or shifted, rescaled, sharpened or with a watermark.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..edge.records import Image

#: Two images this much correlated at full size show the same photograph. Measured on FER-2013: of
#: the pairs looked at, all were from 0.93 on; at 0.90 one in ten shows two people in one pose.
NEAR_CORRELATION = 0.93
# First all pairs are compared at this size, where a shift of a pixel or two does not matter. Of the
# pairs above NEAR_CORRELATION between PublicTest and Training, none lies below this limit.
_SMALL_SIDE_PX, _SMALL_CORRELATION = 12, 0.94
_BLOCK_ROWS = 1024


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two images that are nearly the same: their positions, the lower first, and how alike."""

    first: int
    second: int
    correlation: float


def equal_groups(images: Image) -> tuple[tuple[int, ...], ...]:
    """Groups of images that are equal pixel for pixel.

    Args:
        images: uint8, ``(n, h, w)``.

    Returns:
        The positions of each group of two or more, ascending; groups in order of their first.
    """
    return tuple(tuple(group) for group in _places(images) if len(group) > 1)


def _places(images: Image) -> list[list[int]]:
    """The positions of each distinct image."""
    places: dict[bytes, list[int]] = {}
    for index, image in enumerate(images):
        places.setdefault(image.tobytes(), []).append(index)
    return list(places.values())


def near_pairs(images: Image, *, threshold: float = NEAR_CORRELATION) -> tuple[NearPair, ...]:
    """Pairs of images whose grey values correlate strongly (Pearson), but are not all equal.

    Brightness and contrast do not count. Blank images correlate with nothing. Of images that are
    equal the first stands for all.

    Args:
        images: uint8, ``(n, h, w)``. All pairs are compared: 32,000 images take a few seconds.
        threshold: From which correlation at full size on; below 0.9 many pairs would be missed.

    Returns:
        The pairs, in order of their positions.
    """
    firsts = np.array([group[0] for group in _places(images)])
    distinct = images[firsts]
    small = _normal(
        np.stack(
            [
                cv2.resize(image, (_SMALL_SIDE_PX, _SMALL_SIDE_PX), interpolation=cv2.INTER_AREA)
                for image in distinct.astype(np.float32)
            ]
        )
    )
    candidates = []
    for start in range(0, len(small), _BLOCK_ROWS):
        # Only what stands at or behind the block: each pair is met once.
        alike = small[start : start + _BLOCK_ROWS] @ small[start:].T > _SMALL_CORRELATION
        rows, columns = np.nonzero(np.triu(alike, k=1))
        candidates.append(np.stack([rows, columns], axis=1) + start)
    found = []
    for chunk in np.array_split(np.concatenate(candidates), max(1, len(firsts) // _BLOCK_ROWS)):
        found.extend(_verified(images, firsts[chunk], threshold))
    return tuple(found)


def _verified(images: Image, pairs: NDArray[np.int64], threshold: float) -> list[NearPair]:
    """Those of the candidates that hold at full size."""
    if not len(pairs):
        return []
    first, second = images[pairs[:, 0]], images[pairs[:, 1]]
    correlations = (_normal(first) * _normal(second)).sum(axis=1)
    return [
        # Rounded, so that the last digits of another machine's sums do not show.
        NearPair(int(one), int(other), round(float(correlation), 4))
        for (one, other), correlation in zip(
            pairs[correlations >= threshold],
            correlations[correlations >= threshold],
            strict=True,
        )
    ]


def _normal(images: NDArray[np.float32] | Image) -> NDArray[np.float32]:
    """Each image as a row of mean 0 and length 1, so that products are correlations."""
    rows = images.reshape(len(images), -1).astype(np.float32)
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-3)
