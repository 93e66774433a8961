"""Sharpness-aware steps: those of NumPy where the gradient is known, and what they leave alone."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.training.sharpness import SharpnessAware  # noqa: E402

from .torch_process import needs_torch, run_on_torch  # noqa: E402

RADIUS, RATE = 0.3, 0.1
RNG = np.random.default_rng(1)
FEATURES = RNG.normal(size=(8, 3)).astype(np.float32)
WANTED = RNG.normal(size=(8, 2)).astype(np.float32)


def gradient(kernel: np.ndarray) -> np.ndarray:
    """Of the mean squared error of ``FEATURES @ kernel``."""
    return 2 * FEATURES.T @ (FEATURES @ kernel - WANTED) / WANTED.size


def linear(radius: float):
    inputs = keras.Input((3,))
    model = SharpnessAware(inputs, keras.layers.Dense(2, use_bias=False)(inputs))
    model.radius = radius
    model.compile(optimizer=keras.optimizers.SGD(RATE), loss="mse")
    return model


def check_the_step() -> None:
    """Two steps of Keras's model against two of NumPy."""
    model = linear(RADIUS)
    kernel = np.array(model.get_weights()[0])
    for _ in range(2):
        slope = gradient(kernel)
        above = kernel + RADIUS * slope / np.linalg.norm(slope)
        kernel = kernel - RATE * gradient(above)
        model.train_on_batch(FEATURES, WANTED)

    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-4, atol=1e-6)


def check_the_statistics() -> None:
    """Batch norm's are those of a plain step's forward pass."""

    def trained(cls, radius):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((3,))
        inner = keras.Sequential([keras.layers.Dense(4), keras.layers.BatchNormalization()])
        model = cls(inputs, keras.layers.Dense(2)(inner(inputs)))
        model.radius = radius
        model.compile(optimizer=keras.optimizers.SGD(RATE), loss="mse")
        model.train_on_batch(FEATURES, WANTED)
        return [np.array(each) for each in model.layers[1].layers[1].get_weights()[2:]]

    for mine, plain in zip(trained(SharpnessAware, RADIUS), trained(keras.Model, 0), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-5)


def test_a_step_is_that_of_the_paper():
    check_the_step()


def test_statistics_follow_the_weights_and_not_the_climb():
    check_the_statistics()


def test_without_a_radius_it_is_a_plain_step():
    model = linear(0.0)
    kernel = np.array(model.get_weights()[0])

    model.train_on_batch(FEATURES, WANTED)

    np.testing.assert_allclose(
        model.get_weights()[0], kernel - RATE * gradient(kernel), rtol=1e-4, atol=1e-6
    )


def test_where_there_is_no_slope_it_stays():
    model = linear(RADIUS)
    model.set_weights([np.zeros((3, 2), np.float32)])

    model.train_on_batch(FEATURES, np.zeros_like(WANTED))

    assert np.all(model.get_weights()[0] == 0)


@needs_torch
def test_pytorch_steps_alike():
    run_on_torch(f"from {__name__} import *\ncheck_the_step()\ncheck_the_statistics()")
