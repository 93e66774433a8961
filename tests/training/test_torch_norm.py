"""PyTorch's own batch norm: the same answers, gradients and moving statistics as Keras's."""

import keras

from fer_edge.training.torch_norm import native_batch_norm

from .torch_process import needs_torch, run_on_torch

COMPARE = """
import keras, numpy as np, torch
from fer_edge.training.torch_norm import native_batch_norm

def run(native):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((12, 12, 3)),
        keras.layers.Conv2D(5, 3),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.BatchNormalization(scale=False),
    ])
    pixels = np.random.default_rng(1).normal(3, 2, (16, 12, 12, 3)).astype("float32")
    def step():
        answer = model(pixels, training=True)
        (answer ** 3).mean().backward()
        return answer
    if native:
        with native_batch_norm():
            answer = step()
    else:
        answer = step()
    grads = [v.value.grad for v in model.trainable_variables]
    rest = [v.value for v in model.non_trainable_variables]
    return [x.detach().numpy() for x in (answer, *grads, *rest)]

for mine, theirs in zip(run(True), run(False), strict=True):
    assert np.allclose(mine, theirs, rtol=2e-3, atol=2e-4), np.abs(mine - theirs).max()
"""


@needs_torch
def test_it_does_what_keras_does():
    run_on_torch(COMPARE)


def test_another_backend_is_left_alone():
    before = keras.layers.BatchNormalization.call

    with native_batch_norm():
        assert keras.layers.BatchNormalization.call is before
