"""Which cell of the detector's grids answers for which face. NumPy only.

Without anchors and with centre sampling, after Z. Tian et al., "FCOS: Fully Convolutional One-Stage
Object Detection", ICCV 2019: the cells around a face's centre answer for it, on the grids that its
size belongs to; where two faces claim a cell, the smaller one has it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...edge.detectors.fer_face_decode import STRIDES, cell_centres
from .scenes import Boxes

#: Sides of the faces (root of the area, in pixels) that each stride's grid answers for. They
#: overlap: a face at a border is learnt on both sides of it, rather than on neither.
SIDES = {8: (0.0, 40.0), 16: (28.0, 90.0), 32: (64.0, float("inf"))}


@dataclass(frozen=True, slots=True, eq=False)
class CellTargets:
    """What the N cells of one picture are taught, as the losses take it.

    Attributes:
        boxes: float32, ``(N, 5)``: distances of the left, top, right and bottom edge from the
            cell's centre in strides, and 1 where a face is, else 0 (and distances of 1).
        scores: float32, ``(N, 2)``: 1 where a face is, else 0; and the weight, 0 where nobody
            knows.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


def assign(faces: Boxes, ignore: Boxes, size_wh: tuple[int, int], radius: float) -> CellTargets:
    """Teach the cells of a picture its faces.

    Args:
        faces: float32, ``(n, 4)``: left, top, width, height in pixels.
        ignore: float32, ``(m, 4)``, likewise: cells with their centre in one of them, and without a
            face, are taught nothing.
        size_wh: Width and height of the picture in pixels.
        radius: How far from a face's centre a cell's may be, in strides across and down; it must
            also lie in the face. The cell nearest to a face's centre answers in any case.
    """
    centres, strides = cell_centres(size_wh)
    stride = strides[:, 0]
    boxes = np.ones((len(centres), 5), np.float32)
    boxes[:, 4] = 0.0
    scores = np.zeros((len(centres), 2), np.float32)
    starts, ends = ignore[:, :2], ignore[:, :2] + ignore[:, 2:]
    inside = (centres[:, None] > starts) & (centres[:, None] < ends)
    unknown = np.any(inside.all(axis=2), axis=1)
    scores[:, 1] = ~unknown
    # Large ones first, so that a smaller one takes the cells that both claim.
    for x, y, w, h in faces[np.argsort(-faces[:, 2] * faces[:, 3], kind="stable")]:
        middle = np.array([x + w / 2, y + h / 2], np.float32)
        away = np.abs(centres - middle)
        near = (away <= radius * strides).all(axis=1) & (away < (w / 2, h / 2)).all(axis=1)
        side = float(np.sqrt(w * h))
        grids = [size for size in STRIDES if SIDES[size][0] <= side < SIDES[size][1]]
        mine = near & np.isin(stride, grids)
        for size in grids:
            grid = np.flatnonzero(stride == size)
            mine[grid[away[grid].max(axis=1).argmin()]] = True
        edges = np.array([x, y, x + w, y + h], np.float32)
        both = np.concatenate([centres[mine], centres[mine]], axis=1)
        boxes[mine, :4] = (edges - both) * (-1, -1, 1, 1) / strides[mine]
        boxes[mine, 4] = 1.0
        scores[mine] = 1.0
    return CellTargets(boxes, scores)
