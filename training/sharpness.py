"""Sharpness-aware minimisation: steps towards minima in whose neighbourhood the loss is low too.

Foret, Kleiner, Mobahi and Neyshabur, ICLR 2021 (arXiv:2010.01412), algorithm 1: climb from the
weights by a distance rho along the gradient of the batch, and step from where they were by the
gradient found up there. Wrong labels are learnt by heart less (their section 3.3). Each step
goes through the network twice, forwards and backwards.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

# Where a gradient is all zeros there is no direction to climb in.
_TINY = 1e-12


class SharpnessAware(keras.Model):
    """A model, made of inputs and outputs, whose training steps are sharpness-aware.

    For TensorFlow and PyTorch. Loss and metrics of an epoch are means over both halves of its
    steps. Batch norm's moving statistics follow the weights, not the places climbed to.

    Attributes:
        radius: Rho, how far to climb: in the Euclidean norm of all weights together.
    """

    radius = 0.0

    def train_step(self, data: Any) -> Any:
        """Learn from a batch as Keras hands it over; return the metrics so far."""
        optimiser: Any = self.optimizer
        step = optimiser.apply
        before: list[Any] = []

        def climb(gradients: Sequence[Any], variables: Sequence[Any]) -> None:
            before.extend(ops.copy(variable) for variable in variables)
            squares: list[Any] = [ops.sum(ops.square(gradient)) for gradient in gradients]
            length: Any = ops.sqrt(sum(squares))
            scale = self.radius / (length + _TINY)
            for variable, gradient in zip(variables, gradients, strict=True):
                variable.assign_add(scale * gradient)

        def step_from_before(gradients: Sequence[Any], variables: Sequence[Any]) -> None:
            _assign(variables, before)
            step(gradients, variables)

        with _applying(optimiser, climb):
            super().train_step(data)
        statistics = [
            each for each in self.non_trainable_variables if each.name.startswith("moving_")
        ]
        kept = [ops.copy(each) for each in statistics]
        with _applying(optimiser, step_from_before):
            metrics = super().train_step(data)
        _assign(statistics, kept)
        return metrics


@contextmanager
def _applying(optimiser: Any, apply: Callable[..., None]) -> Iterator[None]:
    """Within the block the optimiser does something else with gradients than to step."""
    optimiser.apply = apply
    try:
        yield
    finally:
        del optimiser.apply


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
