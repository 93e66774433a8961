"""What a mistake of the detector costs. Only ``keras.*``."""

from typing import Any

import keras
from keras import ops

from ...edge.detectors.fer_face_decode import RAW_MIDDLE, STEEPNESS


class FocalLoss(keras.losses.Loss):
    """Binary cross-entropy in which easy cells count little, summed over the cells.

    T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017 (arXiv:1708.02002),
    equation 5, divided by the number of cells with a face in the batch (at least 1).
    """

    def __init__(self, alpha: float, gamma: float):
        super().__init__(name="focal")
        self._alpha, self._gamma = alpha, gamma

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Take ``(n, N, 2)``, 1 or 0 and a weight, and logits ``(n, N, 1)``; return one number."""
        wanted, weight, logits = y_true[..., 0], y_true[..., 1], y_pred[..., 0]
        # -log of the probability of what is right, without the probability itself, which can be 0.
        cost: Any = ops.softplus(ops.where(wanted > 0, -logits, logits))
        alpha: Any = ops.where(wanted > 0, self._alpha, 1 - self._alpha)
        right: Any = ops.exp(-cost)
        easy = (1 - right) ** self._gamma
        return _mean(alpha * easy * cost * weight, wanted)


class GIoULoss(keras.losses.Loss):
    """One less the generalised intersection over union, the mean over the cells with a face.

    H. Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019 (arXiv:1902.09630). Both
    boxes are distances from one cell's centre, which is in the true one, so it needs no positions.
    """

    def __init__(self):
        super().__init__(name="giou")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Take ``(n, N, 5)``, four distances in strides and 1 or 0, and raw ``(n, N, 4)``."""
        there, true = y_true[..., 4], y_true[..., :4]
        found: Any = ops.exp(STEEPNESS * (y_pred - RAW_MIDDLE))
        small: Any = ops.minimum(true, found)
        large: Any = ops.maximum(true, found)
        # Where the centre lies outside of the true box (the nearest cell of a tiny face), a
        # distance is negative, and boxes that are apart share nothing.
        shared = _area(ops.maximum(small[..., :2] + small[..., 2:], 0.0))
        union = _area(true[..., :2] + true[..., 2:]) + _area(found[..., :2] + found[..., 2:])
        union = union - shared
        around = _area(large[..., :2] + large[..., 2:])
        giou = shared / union - (around - union) / around
        return _mean((1 - giou) * there, there)


def _mean(costs: Any, there: Any) -> Any:
    """The sum of what the cells cost over the number of those with a face, which may be none."""
    total: Any = ops.sum(costs)
    return total / ops.maximum(ops.sum(there), 1.0)


def _area(size: Any) -> Any:
    return size[..., 0] * size[..., 1]
