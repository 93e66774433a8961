"""The project's own face detector: a small int8 model through LiteRT, on grey pictures.

A contract of the kind ``face-detector`` says what a model takes; one for each of two input sizes
ships with fer-edge, others come from ``fer-edge train-detector`` and ``fer-edge convert``. It gives
a box and a score for every cell of three grids, without anchors (Z. Tian et al., "FCOS: Fully
Convolutional One-Stage Object Detection", ICCV 2019); which of them are faces is decided here.
"""

import logging
import math
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..contract import DETECTOR, ModelContract
from ..contract_file import load_model
from ..errors import ModelError
from ..framing import FER_FACE, Framing, to_float, to_grey, to_int8
from ..models import shipped_detectors
from ..records import Face, Image
from ..runtime import TensorInfo, load_network
from ..trust import require_harmless
from . import DETECT_SIZE_WH, may_be_ours
from .fer_face_decode import STRIDES, cell_centres, decode
from .scaling import letterbox

# Two boxes that overlap by more are one face.
_NMS_IOU = 0.4
# Candidates before the overlapping ones are dropped: a face gives up to some tens of them.
_MOST_CANDIDATES = 1000
# Of a logit, between the threshold here and the score in float32.
_ROUNDING = 1e-3

_log = logging.getLogger(__name__)


class Runner(Protocol):
    """What can run a detector's model: a :class:`.Network`, or an Edge TPU (:class:`.EdgeTpu`)."""

    input: TensorInfo
    outputs: tuple[TensorInfo, ...]

    def run_all(self, inputs: NDArray, /) -> tuple[NDArray[np.float32], ...]:
        """Run the model on one picture; see :meth:`.Network.run_all`."""
        ...


class FerFaceDetector:
    """A loaded detector. It belongs to one thread.

    Attributes:
        contract: Of the model.
        size_wh: Width and height of the model's input in pixels, which pictures are shrunk to.
    """

    name, colour = "fer-face", False
    # The mean of both sides, as with YuNet, whose boxes most of the training data has; those of
    # people in it are tighter, and so are ours (docs/detectors.md).
    framing = Framing(side_per_w=0.566, side_per_h=0.566, shift_y=-0.003)

    def __init__(self, content: bytes, contract: ModelContract, *, runner: Runner | None = None):
        """Build the detector from a model's bytes.

        Args:
            content: Of the ``.tflite`` file.
            contract: Of the model.
            runner: Runs the model in place of this process's CPU, which goes on where it fails. It
                stays the caller's to close.

        Raises:
            ModelError: The model is not what its contract says, or no runtime loads it.
        """
        contract.require_kind(DETECTOR)
        known = contract.framing == FER_FACE and contract.strides == STRIDES
        if not known or contract.input_channels != 1:
            raise ModelError(
                f"Expected a grey detector of {FER_FACE} boxes at strides {STRIDES}, got one of "
                f"{contract.framing!r} boxes at {contract.strides} in {contract.input_channels} "
                f"channel(s) ({contract.name}). Convert it with this version of fer-edge."
            )
        self.contract, self.size_wh = contract, contract.input_size_wh
        self._content, self._network = content, load_network(content)
        self._input = self._network.input
        self._order = _box_and_score(contract, self._input, self._network.outputs)
        if runner is not None:
            _box_and_score(contract, runner.input, runner.outputs)
        self._runner: Runner = runner or self._network
        self._threshold = contract.score_threshold

    @classmethod
    def open(
        cls, model: Path | None = None, *, size_wh: tuple[int, int] = DETECT_SIZE_WH
    ) -> "FerFaceDetector":
        """Load a model file, or the one that ships whose input is nearest to a size.

        Args:
            model: A ``.tflite`` with its contract inside; its own input size counts.
            size_wh: Width and height in pixels, for those that ship.

        Raises:
            ModelError: It is missing, damaged, without a contract, or no face detector.
        """
        if model is None:
            model = nearest(shipped_detectors(), size_wh)
        if not may_be_ours(model):
            raise ModelError(
                f"{model} carries no contract of fer-edge: expected a detector that `fer-edge "
                f"convert` wrote. One from elsewhere is opened with --detector ssd."
            )
        content, contract = load_model(model)
        contract.require_kind(DETECTOR)
        require_harmless(content, str(model))
        return cls(content, contract)

    def renew(self) -> "FerFaceDetector":
        """Another one from the same bytes, sharing nothing with this one, on the CPU."""
        return FerFaceDetector(self._content, self.contract)

    def detect(self, picture: Image) -> list[Face]:
        """The faces of one picture, largest first; scores are from the contract's threshold to 1.

        Args:
            picture: uint8, ``(height, width)`` grey or ``(height, width, 3)`` blue-green-red, which
                is made grey.

        Raises:
            ModelError: The runtime refuses to run the model.
        """
        small = letterbox(to_grey(picture), self.size_wh)
        answers = self._run(small.picture)
        boxes, scores = (answers[index][0] for index in self._order)
        faces = [
            Face(small.box(*box), score)
            for box, score in find(boxes, scores, self.size_wh, self._threshold)
        ]
        return sorted(faces, key=lambda face: -face.box.area_px2)

    def _run(self, grey: Image) -> tuple[NDArray[np.float32], ...]:
        if self._input.dtype == np.int8:
            inputs = to_int8(grey[np.newaxis], self._input.scale, self._input.zero_point)
        else:
            inputs = to_float(grey[np.newaxis])
        if self._runner is not self._network:
            try:
                return self._runner.run_all(inputs)
            except ModelError as exc:
                _log.warning("The detector goes on on the CPU: %s", exc)
                self._runner = self._network
        return self._network.run_all(inputs)


def find(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    size_wh: tuple[int, int],
    threshold: float,
) -> list[tuple[tuple[float, float, float, float], float]]:
    """The faces among a model's cells, each once.

    Args:
        boxes: ``(cells, 4)``, as the model gives them.
        scores: ``(cells, 1)``, likewise.
        size_wh: Width and height of the model's input in pixels.
        threshold: What scores less is no face, 0 to 1.

    Returns:
        Left, top, width and height in pixels of the model's input, and the score, best first.
    """
    # Of most pictures no cell is sure enough, so none need be decoded.
    if not (scores >= math.log(threshold / (1 - threshold)) - _ROUNDING).any():
        return []
    xywh, sure = decode(boxes, scores, size_wh)
    strong = sure >= threshold
    xywh, sure = xywh[strong], sure[strong]
    good = np.isfinite(xywh).all(axis=1) & (xywh[:, 2:] > 0).all(axis=1)
    xywh, sure = xywh[good], sure[good]
    if not len(sure):
        return []
    kept = cv2.dnn.NMSBoxes(
        xywh.tolist(), sure.tolist(), threshold, _NMS_IOU, top_k=_MOST_CANDIDATES
    )
    return [(tuple(xywh[index].tolist()), float(sure[index])) for index in np.ravel(kept)]


def nearest(files: dict[tuple[int, int], Path], size_wh: tuple[int, int]) -> Path:
    """The file whose input is nearest to a size, by the number of pixels.

    Args:
        files: By width and height of the input.
        size_wh: Width and height in pixels.

    Raises:
        ModelError: There is none.
    """
    if not files:
        raise ModelError(
            "No model of the detector fer-face ships with this fer-edge. Pass one of your own with "
            "--detector-model FILE (`fer-edge train-detector` and `fer-edge convert` make it), or "
            "use --detector yunet or haar."
        )
    wanted = math.log(math.prod(size_wh))
    return files[min(files, key=lambda has_wh: abs(math.log(math.prod(has_wh)) - wanted))]


def cells(size_wh: tuple[int, int]) -> int:
    """How many boxes and scores a model with an input of that size gives."""
    return len(cell_centres(size_wh)[0])


def _box_and_score(
    contract: ModelContract, put: TensorInfo, got: tuple[TensorInfo, ...]
) -> tuple[int, int]:
    """Which output is the boxes, and which the scores; by shape, as converters name them freely."""
    width, height = contract.input_size_wh
    shapes = [output.shape for output in got]
    count = cells(contract.input_size_wh)
    wanted = [(1, count, 4), (1, count, 1)]
    if put.shape != (1, height, width, 1) or put.dtype not in (np.int8, np.float32):
        raise ModelError(
            f"The contract promises an input of {(1, height, width, 1)} in int8 or float32, the "
            f"model has {put.shape} in {put.dtype}."
        )
    if sorted(shapes) != sorted(wanted):
        raise ModelError(
            f"The contract promises boxes and scores of {wanted[0]} and {wanted[1]}, the model "
            f"gives {shapes}."
        )
    return shapes.index(wanted[0]), shapes.index(wanted[1])
