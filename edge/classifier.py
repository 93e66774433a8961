"""Emotions from training crops: thin over :mod:`.runtime`, ruled by the model's contract."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .contract import ModelContract, load_model
from .errors import ModelError
from .framing import FER2013, resized, to_float, to_int8
from .models import model_path
from .records import EmotionScores, Image
from .runtime import load_network
from .trust import require_harmless


def probabilities(outputs: NDArray[np.float32], contract: ModelContract) -> NDArray[np.float64]:
    """Turn what a model answers into probabilities.

    Args:
        outputs: ``(..., classes)``, logits or probabilities as the contract says.
        contract: Of the model.

    Returns:
        float64 of the same shape; the last axis sums to 1.
    """
    values = outputs.astype(np.float64)
    if contract.output == "logits":
        values = values / contract.temperature
        # The largest is subtracted so that exp() cannot overflow.
        values = np.exp(values - values.max(axis=-1, keepdims=True))
    return values / np.maximum(values.sum(axis=-1, keepdims=True), 1e-12)


class EmotionClassifier:
    """A loaded emotion model. It belongs to one thread."""

    def __init__(
        self,
        content: bytes,
        contract: ModelContract,
        *,
        runtime: str = "auto",
        threads: int = 1,
    ):
        """Build the classifier from a model's bytes.

        Raises:
            ModelError: The model is not what its contract says, or no runtime loads it.
        """
        if contract.kind != "emotion-classifier" or contract.framing != FER2013:
            raise ModelError(
                f"Expected an emotion-classifier for {FER2013} crops, got a {contract.kind} for "
                f"{contract.framing!r} crops ({contract.name})."
            )
        self.contract = contract
        self._network = load_network(content, runtime=runtime, threads=threads)
        self.runtime = self._network.runtime
        width, height = contract.input_size_wh
        expected = (1, height, width, contract.input_channels)
        found = self._network.input
        if found.shape != expected or found.dtype not in (np.int8, np.float32):
            raise ModelError(
                f"The contract promises an input of {expected} in int8 or float32, the model has "
                f"{found.shape} in {found.dtype}."
            )
        if self._network.output.shape != (1, len(contract.labels)):
            raise ModelError(
                f"The contract names {len(contract.labels)} labels, the model's output has the "
                f"shape {self._network.output.shape}."
            )

    @classmethod
    def open(
        cls,
        model: str | Path | None = None,
        *,
        contract: Path | None = None,
        runtime: str = "auto",
        threads: int = 1,
    ) -> "EmotionClassifier":
        """Load a model by the name of a shipped one or by its path; None is the default model.

        Raises:
            ModelError: It is missing, damaged, without a contract, or no emotion model.
        """
        path = model_path(model)
        content, read = load_model(path, contract)
        require_harmless(content, str(path))
        return cls(content, read, runtime=runtime, threads=threads)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the crops that it takes, in pixels."""
        return self.contract.input_size_wh

    def outputs(self, faces: Image) -> NDArray[np.float32]:
        """What the model answers, before any softmax.

        Args:
            faces: uint8, ``(n, height, width)``: grey training crops, square; those of another
                size than the model's are scaled.

        Returns:
            float32, ``(n, classes)``.
        """
        tensor = self._network.input
        faces = resized(faces, self.size_wh)
        if tensor.dtype == np.int8:
            inputs = to_int8(faces, tensor.scale, tensor.zero_point)
        else:
            inputs = to_float(faces)
        if self.contract.input_channels == 3:
            inputs = np.repeat(inputs, 3, axis=-1)
        answers = np.empty((len(faces), len(self.contract.labels)), np.float32)
        for index in range(len(faces)):
            answers[index] = self._network.run(inputs[index : index + 1])[0]
        return answers

    def classify(self, faces: Image) -> list[EmotionScores]:
        """The emotion probabilities of each face; ``faces`` as for :meth:`outputs`."""
        rows = probabilities(self.outputs(faces), self.contract)
        return [EmotionScores(self.contract.labels, tuple(map(float, row))) for row in rows]
