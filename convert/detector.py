"""Face detectors: from Keras to TFLite at fixed input sizes, and the proof that both find the same.

Boxes and scores stay two outputs, so that each has its own int8 scale: one that has room for boxes
of 300 pixels leaves no steps to scores.
"""

import dataclasses
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.contract import DETECTOR, ModelContract
from ..edge.contract_file import embed_contract, read_contract
from ..edge.detectors.fer_face import FerFaceDetector, cells
from ..edge.detectors.scaling import letterbox
from ..edge.errors import DataError, GateError, ModelError
from ..edge.records import Image
from ..edge.runtime import load_network
from ..edge.sidecar import read_sidecar
from ..training.detector.found import found_by_detector, found_by_network
from ..training.detector.scenes import Scene
from ..training.detector.score import Found, overlap
from .describe import describe
from .edgetpu import preflight
from .keras_backend import import_keras, load_keras_model
from .quantize import InMemory, to_tflite
from .source import Source

# Under this share of faces that both find something is broken, not merely rounded.
MIN_AGREEMENT = {"int8": 0.9, "float32": 0.99, "float16": 0.98, "dynamic": 0.9}
# What one finds the other may score so much lower, or rounding at the threshold would count.
_SCORE_MARGIN = 0.15
_SAME_IOU = 0.5
# Every so many-th frame is for the check, the others for the ranges.
_CHECK_EVERY = 4


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Pictures that int8 ranges are taken from, and others that the result is checked on.

    Attributes:
        source: The file they came from.
        sha256: Its digest.
        calibrate: uint8, ``(n, h, w)``, grey.
        check: uint8, ``(m, h, w)``, grey.
    """

    source: str
    sha256: str
    calibrate: Image
    check: Image

    def describe(self) -> dict[str, Any]:
        """What the contract of a model says about the frames of its ranges."""
        return {"source": self.source, "sha256": self.sha256, "count": len(self.calibrate)}


@dataclass(frozen=True, slots=True)
class FaceParity:
    """How far the converted model is from the Keras model on the same frames.

    Attributes:
        count: Number of frames compared.
        faces: Faces found, those of one model and those of the other.
        agreement: Share of them that the other model finds too, 0 to 1.
        largest_difference: Largest distance between two scores of one face.
        mean_difference: Mean distance.
    """

    count: int
    faces: int
    agreement: float
    largest_difference: float
    mean_difference: float


@dataclass(frozen=True, slots=True)
class ConvertedDetector(InMemory):
    """A converted detector in memory: nothing is written until :meth:`write`.

    Attributes:
        parity: On the frames that it was not calibrated on.
        tpu_share: Of its multiply-adds, what the Edge TPU compiler maps by the published rules, 0
            to 1.
    """

    parity: FaceParity
    tpu_share: float


def load_frames(source: Path) -> Frames:
    """Read the frames that training left: an ``.npz`` with ``frames``, uint8 ``(n, h, w)``.

    Raises:
        DataError: There is nothing there, or it holds no such frames, or too few.
    """
    try:
        content = source.read_bytes()
        # From memory: NumPy leaves a damaged file open.
        frames = np.load(io.BytesIO(content), allow_pickle=False)["frames"]
    except FileNotFoundError as exc:
        raise DataError(
            f"There are no calibration frames at {source}, where training leaves them. Name others "
            f"with --calibrate: an .npz of `frames`, uint8 (n, height, width)."
        ) from exc
    # Damage surfaces as whatever zipfile, zlib or NumPy's header parser trips over.
    except Exception as exc:
        raise DataError(f"{source} holds no calibration frames: {exc}.") from exc
    if frames.dtype != np.uint8 or frames.ndim != 3 or len(frames) < _CHECK_EVERY:
        raise DataError(
            f"{source}: expected {_CHECK_EVERY} or more uint8 frames of (n, height, width), got "
            f"{frames.dtype} of {frames.shape}."
        )
    checked = np.arange(len(frames)) % _CHECK_EVERY == _CHECK_EVERY - 1
    digest = hashlib.sha256(content).hexdigest()
    return Frames(source.name, digest, frames[~checked], frames[checked])


def load_detector(path: Path) -> Source:
    """Load the ``.keras`` file of a detector with the contract beside it.

    Raises:
        ModelError: The file cannot be used, or is no face detector.
    """
    contract = read_sidecar(path)
    contract.require_kind(DETECTOR)
    return Source(path, load_keras_model(path), contract)


def at_size(source: Source, size_wh: tuple[int, int]) -> Source:
    """The same weights for an input of one size, in the model and in its contract.

    Raises:
        ModelError: The model does not take that size, or gives no boxes and scores there.
    """
    keras, _ = import_keras()
    width, height = size_wh
    pixels = keras.Input((height, width, source.contract.input_channels), name="pixels")
    try:
        # In the structure that the model was built with.
        taken = [pixels] if isinstance(source.model.input, list | tuple) else pixels
        model = keras.models.clone_model(source.model, input_tensors=taken)
        model.set_weights(source.model.get_weights())
    # Layers refuse a size in many ways.
    except Exception as exc:
        raise ModelError(
            f"{source.path} cannot take {width}x{height}: {exc}. Choose another --size; sides that "
            f"{max(source.contract.strides)} divides always fit."
        ) from exc
    found = sorted(tuple(tensor.shape[1:]) for tensor in model.outputs)
    wanted = [(cells(size_wh), 1), (cells(size_wh), 4)]
    if found != wanted:
        raise ModelError(
            f"{source.path} gives {found} at {width}x{height}, its contract promises scores and "
            f"boxes of {wanted}."
        )
    contract = dataclasses.replace(source.contract, input_size_wh=size_wh)
    return Source(source.path, model, contract)


def convert_detector(source: Source, kind: str, frames: Frames) -> ConvertedDetector:
    """Convert a detector: batch 1, one size, its contract inside, checked on real frames.

    Args:
        source: Of :func:`at_size`.
        kind: One of ``quantize.KINDS``.
        frames: For the ranges of ``int8``, and others for the check.

    Raises:
        ModelError: TensorFlow cannot convert it, or the result is not what its contract says.
        GateError: The result finds other faces than the Keras model; it is not returned.
    """
    size_wh = source.contract.input_size_wh
    calibrate = fitted(frames.calibrate, size_wh)
    # Shrinking averages the ends away, and an input scale of 1 saves the device a multiplication
    # of every pixel (framing.to_int8).
    calibrate[0, 0, :2] = 0, 255
    bare = to_tflite(source, kind, calibrate)
    contract = dataclasses.replace(
        source.contract,
        quantisation=_quantisation(bare, kind),
        calibration=frames.describe() if kind == "int8" else {},
        parent_sha256=source.contract.content_sha256,
    )
    content = embed_contract(bare, contract)
    # Read back from the bytes that will be written, exactly as the device will.
    contract = read_contract(content)
    parity = compare(source, content, contract, fitted(frames.check, size_wh))
    if not parity.faces:
        raise GateError(
            f"Neither {source.path} nor its {kind} model finds a face in {parity.count} frames of "
            f"{frames.source}: nothing shows that they agree. Calibrate on frames with faces "
            f"(--calibrate), or train longer."
        )
    if not parity.agreement >= MIN_AGREEMENT[kind]:
        raise GateError(
            f"The {kind} model of {size_wh[0]}x{size_wh[1]} and {source.path} both find "
            f"{parity.agreement:.1%} of {parity.faces} faces in {parity.count} frames, expected "
            f"{MIN_AGREEMENT[kind]:.0%} or more. No file was written. Calibrate on frames like "
            f"those that it was trained on (--calibrate), or see with --debug which layer loses "
            f"most."
        )
    share = preflight(describe(content)).share
    return ConvertedDetector(kind, content, contract, parity, share)


def fitted(frames: Image, size_wh: tuple[int, int]) -> Image:
    """Frames as the detector sees them: shrunk and padded to a size, uint8 ``(n, h, w)``."""
    return np.stack([letterbox(frame, size_wh).picture for frame in frames])


def compare(source: Source, content: bytes, contract: ModelContract, frames: Image) -> FaceParity:
    """Run both models on the same frames.

    Args:
        source: The Keras model.
        content: The converted one.
        contract: Of it.
        frames: uint8, ``(n, h, w)``, of the model's size.

    Raises:
        ModelError: One of them cannot be run.
    """
    low = max(contract.score_threshold - _SCORE_MARGIN, contract.score_threshold / 2)
    weak = dataclasses.replace(contract, score_threshold=low)
    nobody = np.empty((0, 4), np.float32)
    scenes = [Scene(str(index), frame, nobody, nobody) for index, frame in enumerate(frames)]
    expected = found_by_network(source.model, scenes, size_wh=contract.input_size_wh, lowest=low)
    found = found_by_detector(FerFaceDetector(content, weak), scenes)
    return parity_of(expected, found, contract.score_threshold)


def parity_of(expected: Sequence[Found], found: Sequence[Found], threshold: float) -> FaceParity:
    """Compare what two models find.

    Args:
        expected: For each frame float32 ``(k, 5)``: left, top, width, height in pixels, and score;
            boxes that score a little less than the threshold among them.
        found: The same of the other model.
        threshold: From which score on a box is a face.
    """
    faces, differences = 0, []
    for pair in zip(expected, found, strict=True):
        for mine, theirs in (pair, pair[::-1]):
            strong = mine[mine[:, 4] >= threshold]
            faces += len(strong)
            same = overlap(strong[:, :4], theirs[:, :4]) >= _SAME_IOU
            for score, row in zip(strong[:, 4], same, strict=True):
                if row.any():
                    differences.append(float(abs(score - theirs[row, 4].max())))
    return FaceParity(
        count=len(expected),
        faces=faces,
        agreement=len(differences) / faces if faces else 0.0,
        largest_difference=max(differences, default=0.0),
        mean_difference=float(np.mean(differences or [0.0])),
    )


def _quantisation(content: bytes, kind: str) -> dict[str, Any]:
    """Types and scales of a bare model's input and outputs, for its contract."""
    if kind != "int8":
        return {"type": kind}
    network = load_network(content)
    boxes, scores = sorted(network.outputs, key=lambda output: -output.shape[-1])
    ends = {"input": network.input, "boxes": boxes, "scores": scores}
    return {"type": "int8"} | {
        name: {"scale": tensor.scale, "zero_point": tensor.zero_point}
        for name, tensor in ends.items()
    }
