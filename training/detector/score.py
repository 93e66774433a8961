"""How well a detector finds the faces of labelled scenes. NumPy only, for any detector.

The rules are those of PASCAL VOC (M. Everingham et al., "The PASCAL Visual Object Classes
Challenge", IJCV 88, 2010) with the regions to be ignored of MS COCO: detections are taken in the
order of their scores; each takes the face that it overlaps most, of those that no better one took,
and is right where that overlap is large enough. One that is wrong and lies by half or more inside
an ignored region counts neither as right nor as wrong. Ignored are what the labels say, faces that
are smaller than ``min_px``, and masked ones where ``masked`` is false.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .scenes import Boxes, Scene

#: What is found in one picture: float32 ``(k, 5)``, left, top, width, height in pixels, and score.
Found = NDArray[np.float32]
#: False boxes an image at which the recall is told.
FALSE_AN_IMAGE = 0.1
# A detection of which so much is inside an ignored region is none of ours to judge.
_INSIDE = 0.5
#: Shorter sides of faces in pixels, from and below, for the figures by size.
SIZES = ((8, 16), (16, 32), (32, 64), (64, 128), (128, 10_000))


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as a face, and as found.

    Attributes:
        iou: Intersection over union from which on a face is found, 0 to 1.
        min_px: Shorter side of the faces that count, from this on.
        max_px: … and below this.
        masked: Whether faces whose ``kind`` is ``mask`` count.
        false_an_image: False boxes an image at which recall and threshold are told.
    """

    iou: float = 0.5
    min_px: float = 16.0
    max_px: float = float("inf")
    masked: bool = False
    false_an_image: float = FALSE_AN_IMAGE


@dataclass(frozen=True, slots=True)
class Score:
    """What a detector reached.

    Attributes:
        average_precision: Area under precision over recall, every point of it, the precision made
            falling; 0 to 1.
        recall: Share of the faces that are found with at most so many false boxes an image; 0 to 1.
        threshold: Score at which that is; infinity where the best box of all is false already.
        faces: That count.
        images: Number of scenes.
    """

    average_precision: float
    recall: float
    threshold: float
    faces: int
    images: int


def score(found: Sequence[Found], scenes: Sequence[Scene], rules: Rules | None = None) -> Score:
    """Score what was found in each scene.

    Args:
        found: For each scene its detections.
        scenes: With what is there.
        rules: What counts.

    Returns:
        With 0 for both figures where no face counts.
    """
    rules = rules or Rules()
    outcomes, faces = [np.empty((0, 2))], 0
    for detections, scene in zip(found, scenes, strict=True):
        counting = _counting(scene, rules)
        faces += int(counting.sum())
        ignored = np.concatenate([scene.ignore, scene.boxes[~counting]])
        outcomes.append(_judge(detections, scene.boxes[counting], ignored, rules.iou))
    judged = np.concatenate(outcomes)
    judged = judged[np.argsort(-judged[:, 0], kind="stable")]
    right, wrong = np.cumsum(judged[:, 1]), np.cumsum(1 - judged[:, 1])
    if not faces or not len(judged):
        return Score(0.0, 0.0, float("inf"), faces, len(scenes))
    # Equal scores stand and fall together: a threshold cannot part them.
    ends = np.append(judged[1:, 0] != judged[:-1, 0], True)
    scores, right, wrong = judged[ends, 0], right[ends], wrong[ends]
    recalls, precisions = right / faces, right / (right + wrong)
    falling = np.maximum.accumulate(precisions[::-1])[::-1]
    area = float((np.diff(recalls, prepend=0.0) * falling).sum())
    few = np.flatnonzero(wrong <= rules.false_an_image * len(scenes))
    if not len(few):
        return Score(area, 0.0, float("inf"), faces, len(scenes))
    return Score(area, float(recalls[few[-1]]), float(scores[few[-1]]), faces, len(scenes))


def _counting(scene: Scene, rules: Rules) -> NDArray[np.bool_]:
    sides = scene.boxes[:, 2:].min(axis=1)
    good = (sides >= rules.min_px) & (sides < rules.max_px)
    if not rules.masked and scene.kinds:
        good &= np.array([kind != "mask" for kind in scene.kinds], bool)
    return good


def _judge(found: Found, faces: Boxes, ignored: Boxes, iou: float) -> NDArray[np.float64]:
    """Score and 1 (right) or 0 (wrong) of each detection that counts, ``(k, 2)``."""
    ordered: Found = found[np.argsort(-found[:, 4], kind="stable")]
    overlaps = overlap(ordered[:, :4], faces)
    enough = _INSIDE * _areas(ordered)[:, None]
    inside = np.any(intersection(ordered[:, :4], ignored) >= enough, axis=1)
    judged = []
    for row, certainty in enumerate(ordered[:, 4]):
        best = int(overlaps[row].argmax()) if len(faces) else -1
        if best >= 0 and overlaps[row, best] >= iou:
            overlaps[:, best] = -1.0  # taken
            judged.append((certainty, 1.0))
        elif not inside[row]:
            judged.append((certainty, 0.0))
    return np.array(judged, np.float64).reshape(-1, 2)


def intersection(boxes: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Shared square pixels of boxes ``(n, 4)`` and others ``(m, 4)``, ``(n, m)``."""
    ends = np.minimum(_ends(boxes)[:, None], _ends(others)[None])
    starts = np.maximum(boxes[:, None, :2], others[None, :, :2])
    return np.clip(ends - starts, 0, None).prod(axis=2)


def overlap(boxes: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Intersection over union of boxes ``(n, 4)`` and others ``(m, 4)``, ``(n, m)``."""
    shared = intersection(boxes, others)
    union = _areas(boxes)[:, None] + _areas(others)[None] - shared
    return np.divide(shared, np.maximum(union, 1e-9), dtype=np.float32)


def _ends(boxes: Boxes) -> Boxes:
    return boxes[:, :2] + boxes[:, 2:4]


def _areas(boxes: Boxes) -> NDArray[np.float32]:
    return boxes[:, 2:4].prod(axis=1)
