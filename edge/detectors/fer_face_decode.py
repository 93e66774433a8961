"""What the answers of our face detector mean: the cells of its grids, and the box of each.

The network answers for every cell of three grids, of 8, 16 and 32 pixels, row by row, the finest
grid first. The cell in row i and column j of the grid with stride s has its centre at
``((j + 0.5) s, (i + 0.5) s)``; a grid has as many cells as cover the picture. ``boxes`` are the
distances of a box's left, top, right and bottom edge from that centre (Z. Tian et al., "FCOS:
Fully Convolutional One-Stage Object Detection", ICCV 2019) as ``s exp(0.7 (raw - 3))``, with raw
from 0 to 6.

The exponential gives a face of any size the same relative error, where a linear distance would
cost small ones most. The bounds are the network's own last operation, a ReLU6, so that int8 always
has the same 255 steps, of 1.7 % of a distance, whatever frames the ranges were taken from; they
reach from an eighth of a stride (1 pixel) to eight strides (261 pixels). Pure NumPy.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STRIDES = (8, 16, 32)
#: What a box's raw numbers are at most; at least they are 0.
RAW_LIMIT = 6.0
#: Distance in strides is ``exp(STEEPNESS * (raw - RAW_MIDDLE))``.
RAW_MIDDLE, STEEPNESS = 3.0, 0.7


@lru_cache(maxsize=8)
def cell_centres(size_wh: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The cells of a picture.

    Args:
        size_wh: Its width and height in pixels.

    Returns:
        Their centres ``(N, 2)``, x and y in pixels, and strides ``(N, 1)``; both read-only.
    """
    centres, strides = [], []
    for stride in STRIDES:
        columns, rows = (-(-side // stride) for side in size_wh)
        y, x = np.divmod(np.arange(rows * columns), columns)
        centres.append((np.stack([x, y], axis=1) + 0.5) * stride)
        strides.append(np.full((rows * columns, 1), stride))
    both = (np.concatenate(parts).astype(np.float32) for parts in (centres, strides))
    made, sizes = both
    made.flags.writeable = sizes.flags.writeable = False
    return made, sizes


def decode(
    boxes_raw: NDArray[np.float32], scores_raw: NDArray[np.float32], size_wh: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The boxes and scores of all cells.

    Args:
        boxes_raw: float32, ``(N, 4)``, as the network answers.
        scores_raw: float32, ``(N, 1)``, logits.
        size_wh: Width and height of the network's input in pixels, which N belongs to.

    Returns:
        Left, top, width and height in pixels, float32 ``(N, 4)``; and scores, float32 ``(N,)``,
        0 to 1.
    """
    centres, strides = cell_centres(size_wh)
    distances = np.exp(STEEPNESS * (boxes_raw - RAW_MIDDLE)) * strides
    before, behind = distances[:, :2], distances[:, 2:]
    xywh = np.concatenate([centres - before, before + behind], axis=1)
    # As tanh, which cannot overflow.
    scores = 0.5 + 0.5 * np.tanh(0.5 * scores_raw.reshape(-1))
    return xywh.astype(np.float32, copy=False), scores.astype(np.float32, copy=False)
