"""PyTorch's own batch norm in training, where Keras runs on PyTorch.

Keras composes its batch norm of some ten passes over float32 copies of the activations; on PyTorch,
which fuses nothing by itself, they take longer than the convolutions. PyTorch's kernel does the
same in two, in the type that the activations have. Nothing of it is in the saved model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def native_batch_norm() -> Iterator[None]:
    """Train within the block with PyTorch's batch norm; of another backend nothing is changed.

    The moving variance is then the unbiased one, which differs from Keras's by one part in as many
    as there are values a channel: some ten thousand.
    """
    if keras.backend.backend() != "torch":
        yield
        return
    from torch.nn.functional import batch_norm

    composed = keras.layers.BatchNormalization.call

    def call(self: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        last = self.axis in (-1, len(inputs.shape) - 1)
        affine = self.scale and self.center and self.trainable
        if not (training and last and affine and mask is None) or self.renorm:
            return composed(self, inputs, training=training, mask=mask)
        # A view: PyTorch keeps such memory as its channels_last.
        normed = batch_norm(
            inputs.movedim(-1, 1),
            self.moving_mean.value.data,
            self.moving_variance.value.data,
            self.gamma.value,
            self.beta.value,
            training=True,
            momentum=1 - self.momentum,
            eps=self.epsilon,
        )
        return normed.movedim(1, -1)

    setattr(keras.layers.BatchNormalization, "call", call)  # noqa: B010 - a method is no variable
    try:
        yield
    finally:
        setattr(keras.layers.BatchNormalization, "call", composed)  # noqa: B010
