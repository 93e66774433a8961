"""Faces of FER-2013 to paste: its training crops, in the boxes that YuNet draws on them."""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...edge.detectors.yunet import YuNetDetector
from ...edge.models.catalogue import YUNET, checked_place
from ..datasets import load
from .scenes import Scene

# YuNet draws steadier boxes on a face twice as large, with something around it.
_ENLARGE = 2
_AROUND_PX = 32


def read_fer_faces(
    path: Path, yunet: Path | None, count: int, seed: int
) -> tuple[list[Scene], dict[str, Any]]:
    """The training crops on which YuNet sees one face.

    The crops are FER-2013's own, and its boxes, such as they are, would be the whole crop: faces in
    it differ by a third in size. One crop in eight is none that YuNet is sure of (turned away, a
    drawing, text), and is not used.

    Args:
        path: As for ``fer-edge train --data``. Only Training rows are read.
        yunet: YuNet's file; None is the one that ``fer-edge models get yunet`` fetched.
        count: How many crops to look at, drawn evenly.
        seed: Of the draw.

    Returns:
        A tight scene for each face, and what a contract says about where they are from.

    Raises:
        DataError: The data cannot be read or has no Training rows.
        ModelError: There is no YuNet, or OpenCV cannot run it.
    """
    data = load(path).split("Training")
    model = checked_place(YUNET) if yunet is None else yunet
    around = _AROUND_PX
    side = data.images.shape[1] * _ENLARGE + 2 * around
    detector = YuNetDetector(model, size_wh=(side, side))
    rows = np.random.default_rng(seed).permutation(len(data))[:count]
    scenes = []
    for row in np.sort(rows):
        crop = data.images[row]
        large = cv2.resize(crop, None, fx=_ENLARGE, fy=_ENLARGE, interpolation=cv2.INTER_LINEAR)
        framed = cv2.copyMakeBorder(large, around, around, around, around, cv2.BORDER_REPLICATE)
        faces = detector.detect(np.asarray(framed, np.uint8))
        if len(faces) != 1:
            continue
        box = faces[0].box
        left, top = (box.x_px - around) / _ENLARGE, (box.y_px - around) / _ENLARGE
        right, bottom = left + box.w_px / _ENLARGE, top + box.h_px / _ENLARGE
        height, width = crop.shape
        # What of the box is not in the crop cannot be pasted.
        left, top = max(0.0, left), max(0.0, top)
        sides = min(width, right) - left, min(height, bottom) - top
        if min(sides) > 0:
            scenes.append(
                Scene(
                    name=f"fer2013/{data.origins[row]}",
                    image=crop,
                    boxes=np.array([[left, top, *sides]], np.float32),
                    ignore=np.empty((0, 4), np.float32),
                    source="fer2013",
                    tight=True,
                )
            )
    about = {
        "name": data.name,
        "sha256": data.digest,
        "split": "Training",
        "looked_at": len(rows),
        "used": len(scenes),
        "yunet_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    return scenes, about
