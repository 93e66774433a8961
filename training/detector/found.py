"""What a detector finds in scenes: a Keras model, a ``.tflite``, or any other of the device's."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...edge.contract_file import load_model
from ...edge.detectors import DETECTORS, Detector, may_be_ours, open_detector
from ...edge.detectors.fer_face import FerFaceDetector, find
from ...edge.detectors.scaling import letterbox
from ...edge.errors import ModelError, UsageError
from ...edge.framing import to_float, to_grey
from ...edge.trust import require_harmless
from .scenes import Scene
from .score import Found

#: Longer side that pictures are shrunk to where a detector has no size of its own.
LONG_SIDE_PX = 320
#: Boxes that score less are not looked at: the precision there is far below what counts.
LOWEST_SCORE = 0.02
_BATCH = 32


def found_by_network(
    network: Any,
    scenes: Sequence[Scene],
    *,
    size_wh: tuple[int, int] = (LONG_SIDE_PX, LONG_SIDE_PX),
    lowest: float = LOWEST_SCORE,
) -> list[Found]:
    """What a Keras network finds.

    Args:
        network: Of :func:`.network.build_network`.
        scenes: Shrunk and padded to one size, as the device does it.
        size_wh: That size, in pixels.
        lowest: Score from which on a box counts, 0 to 1.

    Returns:
        For each scene its boxes in pixels of the scene, best first.

    Raises:
        ModelError: The network answers NaN or infinity.
    """
    found: list[Found] = []
    for start in range(0, len(scenes), _BATCH):
        part = [letterbox(to_grey(scene.image), size_wh) for scene in scenes[start:][:_BATCH]]
        pixels = to_float(np.stack([small.picture for small in part]))
        answers = network.predict(pixels, batch_size=_BATCH, verbose=0)
        boxes, scores = (np.asarray(answers[name], np.float32) for name in ("boxes", "scores"))
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ModelError("The network answers NaN or infinity: its weights are broken.")
        for small, rows, logits in zip(part, boxes, scores, strict=True):
            per = np.array([small.per_x, small.per_y] * 2)
            listed = [[*(box * per), sure] for box, sure in find(rows, logits, size_wh, lowest)]
            found.append(np.array(listed, np.float32).reshape(-1, 5))
    return found


def found_by_detector(detector: Detector, scenes: Sequence[Scene]) -> list[Found]:
    """What a detector of the device finds, as far as it tells: those below its threshold it keeps.

    Args:
        detector: Any.
        scenes: In colour if the detector wants that.

    Returns:
        For each scene its boxes in pixels of the scene.
    """
    found = []
    for scene in scenes:
        listed = [
            [face.box.x_px, face.box.y_px, face.box.w_px, face.box.h_px, face.score]
            for face in detector.detect(scene.image)
        ]
        found.append(np.array(listed, np.float32).reshape(-1, 5))
    return found


def open_judged(name: str, model: Path | None) -> Detector:
    """The detector that a name or a ``.tflite`` file means.

    Args:
        name: One of the device's detectors, or a ``.tflite`` file.
        model: The model file of a named one.

    Raises:
        UsageError: There is no such detector.
        ModelError: Its model is missing or cannot be used.
    """
    size_wh = (LONG_SIDE_PX, LONG_SIDE_PX)
    path = None if name in DETECTORS else Path(name)
    if name == "fer-face":
        path = model
    if path is None:
        return open_detector(name, size_wh=size_wh, model=model)
    if path.suffix.lower() == ".tflite" and not path.is_file():
        raise ModelError(f"There is no model {path}.")
    if path.suffix.lower() != ".tflite":
        raise UsageError(
            f"Expected a .keras or .tflite file or one of {', '.join(DETECTORS)}, got {path}."
        )
    if not may_be_ours(path):
        return open_detector("ssd", size_wh=size_wh, model=path)
    content, contract = load_model(path)
    require_harmless(content, str(path))
    # All that it finds, or the precision would end at the contract's threshold.
    return FerFaceDetector(content, dataclasses.replace(contract, score_threshold=LOWEST_SCORE))
