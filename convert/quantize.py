"""From a Keras model to TFLite of four kinds, and the proof that both say the same."""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..edge.classifier import EmotionClassifier
from ..edge.contract import ModelContract
from ..edge.contract_file import embed_contract, read_contract
from ..edge.errors import GateError, ModelError, UsageError
from ..edge.files import replacing
from ..edge.native_log import native_stderr_silenced
from ..edge.records import Image
from ..edge.runtime import load_network
from .calibration import Calibration
from .keras_backend import import_keras
from .source import Source, kind_of

# Under this share of equal answers something is broken, not merely rounded. A net that is unsure of
# most faces, as the classic ones are, keeps 97 % in int8 and loses nothing: over 196 faces that is
# 95 to 99 %.
MIN_AGREEMENT = {"int8": 0.95, "float32": 0.995, "float16": 0.99, "dynamic": 0.95}
KINDS = tuple(MIN_AGREEMENT)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the converted model is from the Keras model on the same faces.

    Attributes:
        count: Number of faces compared.
        agreement: Share of faces with the same most likely emotion, 0 to 1.
        largest_difference: Largest distance between two outputs, in their own unit.
        mean_difference: Mean distance.
    """

    count: int
    agreement: float
    largest_difference: float
    mean_difference: float


@dataclass(frozen=True, slots=True)
class InMemory:
    """A converted model in memory: nothing is written until :meth:`write`.

    Attributes:
        kind: One of :data:`KINDS`.
        content: The bytes of the ``.tflite`` file.
        contract: What is inside them.
    """

    kind: str
    content: bytes
    contract: ModelContract

    def write(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the model, whole or not at all.

        Raises:
            ModelError: The file exists and may not be replaced, or cannot be written.
        """
        if path.exists() and not overwrite:
            raise ModelError(f"{path} exists. Pass --overwrite to replace it, or another --out.")
        try:
            with replacing(path) as partial:
                partial.write_bytes(self.content)
        except OSError as exc:
            raise ModelError(f"Cannot write {path}: {exc.strerror}.") from exc

    def with_metrics(self, *metrics: dict[str, Any], **fields: Any) -> Self:
        """The same model whose contract has these figures beside those of its parent.

        Args:
            metrics: As in the contract.
            fields: Other fields of the contract that were measured.
        """
        contract = dataclasses.replace(
            self.contract, metrics=(*self.contract.metrics, *metrics), **fields
        )
        content = embed_contract(self.content, contract)
        return dataclasses.replace(self, content=content, contract=read_contract(content))


@dataclass(frozen=True, slots=True)
class Converted(InMemory):
    """A converted emotion model.

    Attributes:
        parity: On the faces that it was not calibrated on.
    """

    parity: Parity


def convert(source: Source, kind: str, calibration: Calibration) -> Converted:
    """Convert a Keras model: batch 1, its contract inside, checked on real faces.

    Args:
        source: The model.
        kind: ``int8`` (full: weights, activations, input and output), ``float32``, ``float16``
            (weights), or ``dynamic`` (int8 weights, float activations; tflite-runtime 2.14 does
            not run it).
        calibration: Faces for the ranges of ``int8``, and others for the check.

    Raises:
        UsageError: There is no such kind.
        ModelError: TensorFlow cannot convert it, or it does not answer what its contract says.
        GateError: The result answers otherwise than the Keras model; it is not returned.
    """
    if kind not in KINDS:
        raise UsageError(f"There is no kind {kind!r}: valid kinds are {', '.join(KINDS)}.")
    _require_promised_output(source, calibration.check)
    bare = to_tflite(source, kind, calibration.calibrate)
    contract = dataclasses.replace(
        source.contract,
        quantisation=_describe(bare, kind),
        calibration=calibration.describe() if kind == "int8" else {},
        parent_sha256=source.contract.content_sha256,
    )
    content = embed_contract(bare, contract)
    # Read back from the bytes that will be written, exactly as the device will.
    contract = read_contract(content)
    parity = compare(source, EmotionClassifier(content, contract), calibration.check)
    if not parity.agreement >= MIN_AGREEMENT[kind]:
        raise GateError(
            f"The {kind} model agrees with {source.path} on {parity.agreement:.1%} of "
            f"{parity.count} faces, expected {MIN_AGREEMENT[kind]:.1%} or more (largest difference "
            f"{parity.largest_difference:.2f}). No file was written. Calibrate on faces like those "
            f"that it was trained on (--calibrate), or see with --debug which layer loses most."
        )
    return Converted(kind, content, contract, parity)


def _require_promised_output(source: Source, faces: Image) -> None:
    """Refuse a model whose answers are not of the kind that its contract says."""
    answers = source.answers(faces)
    if not np.isfinite(answers).all():
        raise ModelError(f"{source.path} answers NaN or infinity: its weights are broken.")
    found = kind_of(answers)
    if found != source.contract.output:
        raise ModelError(
            f"The contract promises {source.contract.output}, but the model answers {found}. "
            f"Correct `output` in the contract, or train again."
        )


def compare(source: Source, classifier: EmotionClassifier, faces: Image) -> Parity:
    """Run both models on the same faces.

    Args:
        source: The Keras model.
        classifier: The converted one.
        faces: uint8, ``(n, height, width)``.
    """
    return parity_of(source.answers(faces), classifier.outputs(faces))


def parity_of(expected: NDArray[np.float32], found: NDArray[np.float32]) -> Parity:
    """Compare two models' outputs, both ``(n, classes)``."""
    difference = np.abs(expected - found)
    return Parity(
        count=len(expected),
        agreement=float((expected.argmax(axis=1) == found.argmax(axis=1)).mean()),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
    )


def to_tflite(source: Source, kind: str, faces: Image) -> bytes:
    """The bare flatbuffer of a Keras model, without a contract.

    Args:
        source: The model.
        kind: One of :data:`KINDS`.
        faces: uint8 ``(n, height, width)``, for the ranges of ``int8``.

    Raises:
        ModelError: TensorFlow cannot convert it.
    """
    inputs = source.pixels(faces).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        # The converter raises whatever its passes raise; all of it means that this model does
        # not convert.
        try:
            with native_stderr_silenced():
                return make_converter(source, kind, inputs, folder).convert()
        except Exception as exc:
            raise ModelError(f"TensorFlow cannot convert the model to {kind}: {exc}") from exc


def make_converter(source: Source, kind: str, inputs: NDArray[np.float32], folder: str) -> Any:
    """TensorFlow's converter of a model, set up for a kind; ``folder`` gets the SavedModel."""
    keras, tensorflow = import_keras()
    # By way of a SavedModel with batch 1: from_concrete_functions() loses the weights without
    # a word, and a free batch dimension cannot go onto an Edge TPU.
    signature = [keras.InputSpec(shape=(1, *inputs.shape[1:]), dtype="float32")]
    source.model.export(folder, input_signature=signature, verbose=False)
    converter = tensorflow.lite.TFLiteConverter.from_saved_model(folder)
    if kind != "float32":
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tensorflow.float16]
    if kind == "int8":
        converter.representative_dataset = lambda: ([face[None]] for face in inputs)
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tensorflow.int8
        converter.inference_output_type = tensorflow.int8
        # Per-channel dense weights, new in TF 2.17, are the suspect where the Edge TPU compiler
        # fails (tensorflow issue 73946); for 7 outputs they gain nothing.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return converter


def _describe(content: bytes, kind: str) -> dict[str, Any]:
    """Types and scales of a bare model's input and output, for its contract."""
    if kind != "int8":
        return {"type": kind}
    network = load_network(content)
    return {
        "type": "int8",
        "input": {"scale": network.input.scale, "zero_point": network.input.zero_point},
        "output": {"scale": network.output.scale, "zero_point": network.output.zero_point},
    }
