"""Other people's TFLite detectors that end in the standard SSD post-processing.

That is the operation ``TFLite_Detection_PostProcess`` of TensorFlow's object detection API, which
drops overlapping boxes itself and answers with boxes, classes, scores and their number. Coral's
face models end in it, ``ssd_mobilenet_v2_face_quant_postprocess.tflite`` among them.

Method: W. Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..framing import Framing, to_grey
from ..records import Face, Image
from ..runtime import TensorInfo, load_network
from ..trust import require_harmless
from .scaling import Shrunk, letterbox

_OPERATION = b"TFLite_Detection_PostProcess"
_MIN_SCORE = 0.5
# A face model has this one class. What others call their first one, they know.
_FACE = 0


class SsdDetector:
    """A detector from elsewhere. Its box is taken to hug the face.

    Attributes:
        colour: Whether the model takes three channels.
        size_wh: Width and height of the model's input in pixels, which pictures are shrunk to.
    """

    name = "ssd"
    # Not measured: each model draws its boxes in its own way. YuNet's, whose box hugs the face.
    framing = Framing(side_per_w=0.535, side_per_h=0.535, shift_y=-0.013)

    def __init__(self, model: Path):
        """Load a model; one that was not loaded here before, in a child process first.

        Args:
            model: A ``.tflite`` without a contract: one picture in, grey or red-green-blue, uint8,
                int8, or float32 from -1 to 1; boxes, classes, scores and their number out.

        Raises:
            ModelError: It is missing, does harm, or takes or gives something else.
        """
        try:
            self._content = model.read_bytes()
        except OSError as exc:
            raise ModelError(f"Cannot read the model {model}: {exc.strerror}.") from exc
        require_harmless(self._content, str(model))
        self._path = model
        self._network = load_network(self._content)
        self._roles = _roles(self._content, self._network.outputs, str(model))
        tensor = self._network.input
        fits = len(tensor.shape) == 4 and tensor.shape[0] == 1 and tensor.shape[3] in (1, 3)
        if not fits or tensor.dtype not in (np.uint8, np.int8, np.float32):
            raise ModelError(
                f"{model} takes {tensor.shape} in {tensor.dtype}: expected one picture, "
                f"(1, height, width, 1 or 3) in uint8, int8 or float32."
            )
        self.size_wh, self.colour = (tensor.shape[2], tensor.shape[1]), tensor.shape[3] == 3

    def renew(self) -> "SsdDetector":
        """Another one from the same file, sharing nothing with this one."""
        return SsdDetector(self._path)

    def detect(self, picture: Image) -> list[Face]:
        """The faces of one picture, largest first; scores are 0.5 to 1.

        Args:
            picture: uint8, ``(height, width)`` grey or ``(height, width, 3)`` blue-green-red.

        Raises:
            ModelError: The runtime refuses to run the model.
        """
        small = letterbox(picture if self.colour else to_grey(picture), self.size_wh)
        answers = self._network.run_all(self._inputs(small.picture))
        boxes, classes, scores, count = (answers[index] for index in self._roles)
        number = min(int(count.flat[0]), scores.size)
        rows = np.column_stack([boxes.reshape(-1, 4), classes.flat, scores.flat])[:number]
        faces = [_face(row, small, self.size_wh) for row in rows.tolist() if _is_face(row)]
        return sorted(faces, key=lambda face: -face.box.area_px2)

    def _inputs(self, picture: Image) -> NDArray:
        if not self.colour:
            pixels = picture[..., np.newaxis]
        else:
            code = cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB
            pixels = np.asarray(cv2.cvtColor(picture, code), dtype=np.uint8)
        dtype = self._network.input.dtype
        if dtype == np.int8:
            pixels = (pixels ^ 0x80).view(np.int8)
        elif dtype == np.float32:
            pixels = pixels.astype(np.float32) / 127.5 - 1
        return pixels[np.newaxis]


def _is_face(row: list[float]) -> bool:
    """Whether a row of the answer is a face and its box one: models pad with what they like."""
    top, left, bottom, right, kind, score = row
    return (
        all(map(math.isfinite, row))
        and score >= _MIN_SCORE
        and kind == _FACE
        and right > left
        and bottom > top
    )


def _face(row: list[float], small: Shrunk, size_wh: tuple[int, int]) -> Face:
    """A row of the answer: top, left, bottom and right in shares of the input, class, score."""
    top, left, bottom, right, _, score = row
    width, height = size_wh
    box = small.box(left * width, top * height, (right - left) * width, (bottom - top) * height)
    return Face(box, score)


def _roles(content: bytes, outputs: Sequence[TensorInfo], path: str) -> tuple[int, ...]:
    """Which outputs are the boxes, classes, scores and their number.

    By the operation that makes them, whose order is fixed; models list them in several. A model
    that brings an operation of its own for it is understood by shapes and names.

    Raises:
        ModelError: These are not its outputs.
    """
    from ai_edge_litert import schema_py_generated as schema

    # The interpreter has read it, so what it consists of is there.
    model: Any = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    places = {output.index: place for place, output in enumerate(outputs)}
    for index in range(graph.OperatorsLength()):
        operation = graph.Operators(index)
        if model.OperatorCodes(operation.OpcodeIndex()).CustomCode() == _OPERATION:
            made = [int(number) for number in operation.OutputsAsNumpy()]
            if len(made) == 4 and set(made) <= set(places):
                return tuple(places[number] for number in made)
    names = [(graph.Tensors(output.index).Name() or b"").lower() for output in outputs]
    roles: dict[str, int] = {}
    for place, (output, name) in enumerate(zip(outputs, names, strict=True)):
        if len(output.shape) == 3 and output.shape[2] == 4:
            roles["boxes"] = place
        elif len(output.shape) < 2:
            roles["count"] = place
        elif len(output.shape) == 2 and b"score" in name:
            roles["scores"] = place
        elif len(output.shape) == 2 and b"class" in name:
            roles["classes"] = place
    if len(outputs) != 4 or len(roles) != 4:
        shapes = [output.shape for output in outputs]
        raise ModelError(
            f"{path} gives {shapes}: expected the four outputs of {_OPERATION.decode()}, which are "
            f"boxes (1, n, 4), classes (1, n), scores (1, n) and their number (1). A detector of "
            f"fer-edge's own is opened with --detector fer-face."
        )
    return tuple(roles[name] for name in ("boxes", "classes", "scores", "count"))
