"""Emotions from training crops: thin over :mod:`.runtime`, ruled by the model's contract."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .accelerator import Accelerator, demo_crops, require_same_answers, require_same_tensors
from .contract import CLASSIFIER, ModelContract
from .contract_file import load_model
from .errors import ModelError
from .framing import FER2013, resized, to_float, to_int8
from .models import model_path
from .records import EmotionScores, Image
from .runtime import load_network
from .trust import require_harmless

_log = logging.getLogger(__name__)


def probabilities(
    outputs: NDArray[np.float32],
    contract: ModelContract,
    offset: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Turn what a model answers into probabilities.

    Args:
        outputs: ``(..., classes)``, logits or probabilities as the contract says.
        contract: Of the model.
        offset: ``(classes,)``, added to the logits after they were divided by the temperature; of
            probabilities the odds change in the same way. None adds nothing.

    Returns:
        float64 of the same shape; the last axis sums to 1.
    """
    values = outputs.astype(np.float64)
    if contract.output == "logits":
        values = values / contract.temperature
        # The largest is subtracted so that exp() cannot overflow.
        values = np.exp(values - values.max(axis=-1, keepdims=True))
    if offset is not None:
        values = values * np.exp(offset)
    return values / np.maximum(values.sum(axis=-1, keepdims=True), 1e-12)


class EmotionClassifier:
    """A loaded emotion model. It belongs to one thread, but for ``close`` and ``renew``.

    Attributes:
        contract: Of the model.
        runtime: ``litert`` or ``tflite``.
        accelerator: What answers in place of the CPU, or None.
        lost: How many accelerators were given up: 0 or 1.
        offset: Of a person's profile (:mod:`.profile`), float64 ``(classes,)``, added to the logits
            of every face; or None.
    """

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
        contract.require_kind(CLASSIFIER)
        if contract.framing != FER2013:
            raise ModelError(
                f"Expected an emotion-classifier for {FER2013} crops, got one for "
                f"{contract.framing!r} crops ({contract.name})."
            )
        self.contract = contract
        self._content, self._threads = content, threads
        self._network = load_network(content, runtime=runtime, threads=threads)
        self.runtime = self._network.runtime
        self.accelerator: Accelerator | None = None
        self.lost = 0
        self.offset: NDArray[np.float64] | None = None
        self._say: Callable[[str], None] = _log.warning
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

    @property
    def digest(self) -> str:
        """SHA-256 that tells the model from others: its contract's, or else the file's own."""
        promised = self.contract.content_sha256
        # A contract that was written by hand may be without one.
        return promised if promised.strip("0") else hashlib.sha256(self._content).hexdigest()

    def outputs(self, faces: Image) -> NDArray[np.float32]:
        """What the model answers, before any softmax.

        Args:
            faces: uint8, ``(n, height, width)``: grey training crops, square; those of another
                size than the model's are scaled.

        Returns:
            float32, ``(n, classes)``.
        """
        inputs = self._inputs(faces)
        accelerator = self.accelerator
        if accelerator is not None:
            try:
                return accelerator.run(inputs)
            except ModelError as exc:
                self._give_up(accelerator, str(exc))
        return self._on_cpu(inputs)

    def classify(self, faces: Image) -> list[EmotionScores]:
        """The emotion probabilities of each face; ``faces`` as for :meth:`outputs`."""
        rows = probabilities(self.outputs(faces), self.contract, self.offset)
        return [EmotionScores(self.contract.labels, tuple(map(float, row))) for row in rows]

    def accelerate(
        self, accelerator: Accelerator, say: Callable[[str], None] | None = None
    ) -> None:
        """Let something else answer, after it has answered for the demo faces as the CPU does.

        When it fails later, the CPU answers for the faces in hand and from then on.

        Args:
            accelerator: Becomes this classifier's to close, also where it is refused.
            say: Takes the sentence that it was given up; the log by default.

        Raises:
            ModelError: It has another input or output, other answers, or fails.
        """
        try:
            require_same_tensors(accelerator, self._network.input, self._network.output)
            inputs = self._inputs(demo_crops(self.size_wh))
            expected, found = self._on_cpu(inputs), accelerator.run(inputs)
            require_same_answers(expected, found, self._network.output.scale)
        except BaseException:
            accelerator.close()
            raise
        self._say = say or self._say
        self.accelerator = accelerator

    def renew(self) -> "EmotionClassifier":
        """Another one from the same bytes, sharing nothing with this one, on the CPU.

        An accelerator of this one is closed: two cannot hold it, and whatever made this classifier
        hang may have been its doing.
        """
        if self.accelerator is not None:
            self._give_up(self.accelerator, "the classifier that used it is being replaced.")
        made = EmotionClassifier(
            self._content, self.contract, runtime=self.runtime, threads=self._threads
        )
        made.offset = self.offset
        return made

    def close(self) -> None:
        """Release the accelerator; without one there is nothing to release."""
        accelerator, self.accelerator = self.accelerator, None
        if accelerator is not None:
            accelerator.close()

    def _inputs(self, faces: Image) -> NDArray:
        tensor = self._network.input
        faces = resized(faces, self.size_wh)
        if tensor.dtype == np.int8:
            inputs = to_int8(faces, tensor.scale, tensor.zero_point)
        else:
            inputs = to_float(faces)
        return np.repeat(inputs, 3, axis=-1) if self.contract.input_channels == 3 else inputs

    def _on_cpu(self, inputs: NDArray) -> NDArray[np.float32]:
        answers = np.empty((len(inputs), len(self.contract.labels)), np.float32)
        for index in range(len(inputs)):
            answers[index] = self._network.run(inputs[index : index + 1])[0]
        return answers

    def _give_up(self, accelerator: Accelerator, why: str) -> None:
        # None where it was closed from another thread in the middle of a call: that is no loss.
        if self.accelerator is accelerator:
            self.close()
            self.lost += 1
            self._say(f"The {accelerator.name} is given up, the CPU goes on: {why}")
