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


@dataclass(frozen=True, slots=True)
class Fitted:
    """A temperature, and how sure it makes the model beside how often that is right.

    Attributes:
        temperature: Fitted on all of the images.
        error_before: Expected calibration error at temperature 1, 0 to 1.
        error: The same with a temperature that was fitted on one half of the images and measured
            on the other, both ways, averaged.
    """

    temperature: float
    error_before: float
    error: float


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
    order = np.random.default_rng(_SEED).permutation(len(truth))
    halves = order[::2], order[1::2]
    errors = []
    for one, other in (halves, halves[::-1]):
        temperature = fit_temperature(truth[one], logits[one])
        errors.append(_error(truth[other], logits[other], temperature))
    return Fitted(
        temperature=fit_temperature(truth, logits),
        error_before=_error(truth, logits, 1.0),
        error=float(np.mean(errors)),
    )


def _error(truth: NDArray[np.int64], logits: NDArray[np.float32], temperature: float) -> float:
    shares = softmax(logits.astype(np.float64) / temperature, axis=1).astype(np.float32)
    return calibrate(truth, shares).error
