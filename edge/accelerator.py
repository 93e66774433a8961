"""What can run a model instead of the CPU, and whether it answers as the CPU does.

The seam for hardware: an Edge TPU (:mod:`.tpu`) is one; another one, such as a Hailo, needs a class
with these few members and a function that opens it.
"""

from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .framing import crop_square, to_grey
from .records import Image
from .runtime import TensorInfo

# Hardware rounds after each layer in its own way. LiteRT's own int8 implementations differ by up to
# 4 steps on these faces, another model of ours is off by 47 (docs/coral.md).
TOLERANCE_STEPS = 16
# Twice round the seven demo faces; a step is the time that one of them stands still and moves on.
_FACES, _STEP = 14, 42


class Accelerator(Protocol):
    """Something that runs the model of a classifier. It belongs to one thread, but for ``close``.

    Attributes:
        name: What messages call it.
        input: The tensor that it takes.
    """

    name: str
    input: TensorInfo

    @property
    def output(self) -> TensorInfo:
        """The tensor that it answers with; raises ModelError where there are several."""
        ...

    def run(self, inputs: NDArray) -> NDArray[np.float32]:
        """Run the model.

        Args:
            inputs: Of the input's type, ``(n, height, width, channels)``.

        Returns:
            float32, ``(n, classes)``, dequantised.

        Raises:
            ModelError: It is gone, hangs or answers nonsense. It is not to be called again.
        """
        ...

    def close(self) -> None:
        """Release it; from any thread, as often as one likes."""
        ...


def require_same_tensors(accelerator: Accelerator, put: TensorInfo, got: TensorInfo) -> None:
    """Check that an accelerator's input and output are those of the CPU's model.

    Raises:
        ModelError: They are not.
    """
    for name, ours, theirs in (
        ("input", put, accelerator.input),
        ("output", got, accelerator.output),
    ):
        if replace(theirs, index=ours.index) != ours:
            raise ModelError(
                f"its {name} is {_tensor(theirs)}, the CPU model's is {_tensor(ours)}: it was "
                f"compiled from another model."
            )


def require_same_answers(
    expected: NDArray[np.float32], found: NDArray[np.float32], scale: float
) -> None:
    """Check the answers of an accelerator against the CPU's.

    Args:
        expected: The CPU's, ``(n, classes)``.
        found: The accelerator's.
        scale: Of the output tensor; 0 for a float one, whose steps are 1/256 of its range.

    Raises:
        ModelError: An output is off by more than :data:`TOLERANCE_STEPS`, or another emotion wins
            for a face of which the CPU is surer than that.
    """
    step = scale or float(np.ptp(expected)) / 256 or 1.0
    off = float(np.abs(expected - found).max()) / step
    second, first = np.sort(expected, axis=1)[:, -2:].T
    sure = first - second > TOLERANCE_STEPS * step
    other = sure & (expected.argmax(axis=1) != found.argmax(axis=1))
    if other.any() or not off <= TOLERANCE_STEPS:
        raise ModelError(
            f"it is off by up to {off:.0f} steps of the output (expected at most "
            f"{TOLERANCE_STEPS}) and names {other.sum()} of {len(other)} demo faces otherwise."
        )


def demo_crops(size_wh: tuple[int, int]) -> Image:
    """The faces of the demo as training crops: uint8, ``(14, size_wh[1], size_wh[0])``."""
    # Here, because most classifiers have no accelerator, and those in conversion no cameras.
    from .cameras.demo import DemoCamera

    demo = DemoCamera(size_wh=(320, 240), lossless=True)
    crops = [
        crop_square(to_grey(demo.image(index)), demo.truth(index).box, size_wh)
        for index in range(0, _FACES * _STEP, _STEP)
    ]
    return np.stack(crops)


def _tensor(tensor: TensorInfo) -> str:
    return f"{tensor.dtype}{tensor.shape} x {tensor.scale:g} from {tensor.zero_point}"
