"""The temperature that makes a model as sure as it is right, and its worth on other images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from ..edge.errors import DataError
from .metrics import calibrate

# Beyond these the answers of a classifier of faces would be noise, or certain whatever it sees.
_RANGE = (0.05, 20.0)
_SEED = 1
# One way of halving 3,589 images moves the error by 0.007; the mean of so many by 0.001.
_HALVINGS = 20


@dataclass(frozen=True, slots=True)
class Fitted:
    """A temperature, and how sure it makes the model beside how often that is right.

    Attributes:
        temperature: Fitted on all of the images; 1 where what is fitted on one half makes the other
            no better. The likelihood, which is what is fitted, can gain from more certainty where
            the calibration error loses by it.
        error_before: Expected calibration error at temperature 1, 0 to 1, of half of the images, in
            the mean over 20 random halvings.
        error: The same with a temperature that was fitted on the other half; ``error_before`` where
            that is no better.
        by_chance: What a model measures whose probabilities are exactly right, on half of the
            images: with few in a bin, the share that is right is off by chance, and every such
            difference counts. No model can be told from it that measures as little.
    """

    temperature: float
    error_before: float
    error: float
    by_chance: float


def fit_temperature(truth: NDArray[np.int64], logits: NDArray[np.float32]) -> float:
    """The temperature with the smallest mean negative log-likelihood.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (arXiv:1706.04599), 4.2. It
    changes no answer, only how sure each is.

    Args:
        truth: ``(n,)``, index of the true class.
        logits: ``(n, classes)``.

    Returns:
        0.05 to 20, with three decimals.

    Raises:
        DataError: There is no image.
    """
    if len(truth) == 0:
        raise DataError("There is no image to fit a temperature on: expected one or more.")
    rows, wide = np.arange(len(truth)), logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(wide / np.exp(log_temperature), axis=1)[rows, truth].mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded")
    return round(float(np.exp(found.x)), 3)


def fit_and_check(truth: NDArray[np.int64], logits: NDArray[np.float32]) -> Fitted:
    """Fit a temperature, and say what such a one is worth on images that it has not seen.

    Args:
        truth: ``(n,)``, index of the true class.
        logits: ``(n, classes)``.

    Raises:
        DataError: There are fewer than two images.
    """
    if len(truth) < 2:
        raise DataError(f"Expected two images or more to fit a temperature on, got {len(truth)}.")
    generator = np.random.default_rng(_SEED)
    orders = [generator.permutation(len(truth)) for _ in range(_HALVINGS)]
    halves = [pair for order in orders for pair in _both_ways(order[::2], order[1::2])]
    fitted = [
        _error(truth[other], logits[other], fit_temperature(truth[one], logits[one]))
        for one, other in halves
    ]
    plain = [_error(truth[other], logits[other], 1.0) for _, other in halves]
    before, error = float(np.mean(plain)), float(np.mean(fitted))
    temperature = fit_temperature(truth, logits) if error < before else 1.0
    chances = [
        _error(_draw(logits[half], temperature, generator), logits[half], temperature)
        for _, half in halves
    ]
    return Fitted(temperature, before, min(before, error), by_chance=float(np.mean(chances)))


def _both_ways(
    one: NDArray[np.int64], other: NDArray[np.int64]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    return (one, other), (other, one)


def _draw(
    logits: NDArray[np.float32], temperature: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """A class for each image, drawn with the probabilities that the model gives."""
    below = _shares(logits, temperature).cumsum(axis=1)[:, :-1]
    return (generator.random((len(logits), 1)) >= below).sum(axis=1)


def _error(truth: NDArray[np.int64], logits: NDArray[np.float32], temperature: float) -> float:
    return calibrate(truth, _shares(logits, temperature)).error


def _shares(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    return softmax(logits.astype(np.float64) / temperature, axis=1).astype(np.float32)
