"""From a Keras model to full int8, and the proof that both say the same about real faces."""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..edge.classifier import EmotionClassifier
from ..edge.contract import ModelContract, embed_contract, read_contract
from ..edge.errors import GateError, ModelError
from ..edge.files import replacing
from ..edge.framing import to_float
from ..edge.native_log import native_stderr_silenced
from ..edge.records import Image
from ..edge.runtime import load_network
from ..edge.sidecar import read_sidecar
from .calibration import Calibration
from .keras_backend import import_keras, load_keras_model

# Under this share of equal answers something is broken, not merely rounded.
MIN_AGREEMENT = 0.97


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the converted model is from the Keras model on the same faces.

    Attributes:
        count: Number of faces compared.
        agreement: Share of faces with the same most likely emotion, 0 to 1.
        largest_difference: Largest distance between two outputs, in logits.
        mean_difference: Mean distance, in logits.
    """

    count: int
    agreement: float
    largest_difference: float
    mean_difference: float


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted model in memory: nothing is written until :meth:`write`."""

    content: bytes
    contract: ModelContract
    parity: Parity

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


def convert(keras_path: Path, calibration: Calibration) -> Converted:
    """Quantise a Keras model to full int8: int8 in, int8 out, batch 1, its contract inside.

    Args:
        keras_path: A ``.keras`` file with its contract beside it.
        calibration: Faces for the ranges, and others for the check.

    Raises:
        ModelError: No model, no contract, or one that TensorFlow cannot convert.
        GateError: The result answers otherwise than the Keras model; it is not returned.
    """
    parent = read_sidecar(keras_path)
    model = load_keras_model(keras_path)
    width, height = parent.input_size_wh
    if calibration.calibrate.shape[1:] != (height, width) or parent.input_channels != 1:
        raise ModelError(
            f"{keras_path} takes {width}x{height} pixels in {parent.input_channels} channels, the "
            f"calibration faces have {calibration.calibrate.shape[1:]} in 1."
        )
    bare = _quantise(model, calibration.calibrate)
    _require_promised_output(model, parent, calibration.check)
    contract = dataclasses.replace(
        parent,
        quantisation=_describe(bare),
        calibration={
            "source": calibration.source,
            "sha256": calibration.sha256,
            "count": len(calibration.calibrate),
        },
        parent_sha256=parent.content_sha256,
    )
    content = embed_contract(bare, contract)
    # Read back from the bytes that will be written, exactly as the device will.
    contract = read_contract(content)
    parity = compare(model, EmotionClassifier(content, contract), calibration.check)
    if parity.agreement < MIN_AGREEMENT:
        raise GateError(
            f"The int8 model agrees with {keras_path} on {parity.agreement:.1%} of {parity.count} "
            f"faces, expected {MIN_AGREEMENT:.0%} or more (largest difference "
            f"{parity.largest_difference:.2f} logits). No file was written. Calibrate on faces "
            f"like those that it was trained on: --calibrate."
        )
    return Converted(content, contract, parity)


def _require_promised_output(model: Any, contract: ModelContract, faces: Image) -> None:
    """Refuse a model whose answers are not of the kind that its contract says."""
    answers = np.asarray(model.predict(to_float(faces), verbose=0))
    sums_to_one = np.allclose(answers.sum(axis=1), 1, atol=1e-3) and answers.min() >= 0
    found = "probabilities" if sums_to_one else "logits"
    if found != contract.output:
        raise ModelError(
            f"The contract promises {contract.output}, but the model answers {found}. Correct "
            f"`output` in the contract, or train again."
        )


def compare(model: Any, classifier: EmotionClassifier, faces: Image) -> Parity:
    """Run both models on the same faces.

    Args:
        model: The Keras model.
        classifier: The converted one.
        faces: uint8, ``(n, height, width)``.
    """
    expected: NDArray[np.float32] = np.asarray(model.predict(to_float(faces), verbose=0))
    found = classifier.outputs(faces)
    difference = np.abs(expected - found)
    return Parity(
        count=len(faces),
        agreement=float((expected.argmax(axis=1) == found.argmax(axis=1)).mean()),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
    )


def _quantise(model: Any, faces: Image) -> bytes:
    """The bare int8 flatbuffer of a Keras model."""
    keras, tensorflow = import_keras()
    inputs = to_float(faces)
    with tempfile.TemporaryDirectory() as folder:
        # By way of a SavedModel with batch 1: from_concrete_functions() loses the weights without
        # a word, and a free batch dimension cannot go onto an Edge TPU.
        signature = [keras.InputSpec(shape=(1, *inputs.shape[1:]), dtype="float32")]
        try:
            with native_stderr_silenced():
                model.export(folder, input_signature=signature, verbose=False)
                converter = tensorflow.lite.TFLiteConverter.from_saved_model(folder)
                converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda: ([face[None]] for face in inputs)
                converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
                converter.inference_input_type = tensorflow.int8
                converter.inference_output_type = tensorflow.int8
                # Per-channel dense weights, new in TF 2.17, are the suspect where the Edge TPU
                # compiler fails (tensorflow issue 73946); for 7 outputs they gain nothing.
                converter._experimental_disable_per_channel_quantization_for_dense_layers = True
                return converter.convert()
        # The converter raises whatever its passes raise; all of it means that this model does
        # not convert.
        except Exception as exc:
            raise ModelError(f"TensorFlow cannot convert the model to int8: {exc}") from exc


def _describe(content: bytes) -> dict[str, Any]:
    """Types and scales of a bare model's input and output, for its contract."""
    network = load_network(content)
    return {
        "type": "int8",
        "input": {"scale": network.input.scale, "zero_point": network.input.zero_point},
        "output": {"scale": network.output.scale, "zero_point": network.output.zero_point},
    }
