"""The temperature makes a model as sure as it is right, and changes no answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge.errors import DataError
from fer_edge.training import temperature as temperatures
from fer_edge.training.temperature import fit_and_check, fit_temperature


def sampled(true_temperature: float, count: int = 20_000, seed: int = 1):
    """Labels drawn from what logits say at that temperature: with it they are as sure as right."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, (count, 7)).astype(np.float32)
    shares = np.exp(logits / true_temperature)
    shares /= shares.sum(axis=1, keepdims=True)
    drawn = generator.random((count, 1)) < shares.cumsum(axis=1)
    return drawn.argmax(axis=1), logits


@settings(max_examples=15, deadline=None)
@given(st.floats(0.3, 5.0), st.integers(0, 99))
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature: float, seed: int):
    truth, logits = sampled(temperature, 6_000, seed)

    assert fit_temperature(truth, logits) == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("temperature", [0.5, 2.5], ids=["too modest", "too sure"])
def test_what_was_wrong_is_mended_on_images_that_it_has_not_seen(temperature: float):
    truth, logits = sampled(temperature)

    fitted = fit_and_check(truth, logits)

    assert fitted.temperature == pytest.approx(temperature, rel=0.05)
    assert fitted.error_before > 0.1
    assert fitted.error < 0.015


def test_what_is_right_already_is_left_alone():
    fitted = fit_and_check(*sampled(1.0))

    assert fitted.temperature == pytest.approx(1.0, abs=0.03)
    assert fitted.error <= fitted.error_before
    assert fitted.error == pytest.approx(fitted.error_before, abs=0.01)


def test_a_temperature_that_makes_other_images_no_better_is_not_taken(monkeypatch):
    """The likelihood can ask for one: few of the images decide it where some are very unlikely."""
    monkeypatch.setattr(temperatures, "fit_temperature", lambda truth, logits: 0.8)

    fitted = fit_and_check(*sampled(1.0, 4000))

    assert fitted.temperature == 1.0
    assert fitted.error == fitted.error_before < 0.04


def test_chance_alone_makes_an_error_where_every_probability_is_right():
    few, many = (fit_and_check(*sampled(1.0, count)) for count in (1000, 9000))

    # By the square root of the number of images.
    assert few.by_chance == pytest.approx(3 * many.by_chance, rel=0.2)
    for each in (few, many):
        assert each.error == pytest.approx(each.by_chance, rel=0.3)


def test_what_no_temperature_mends_is_above_chance():
    truth, logits = sampled(1.0, 6000)
    every_fifth = np.arange(0, len(truth), 5)
    truth[every_fifth] = np.random.default_rng(2).integers(0, 7, len(every_fifth))

    fitted = fit_and_check(truth, logits)

    assert fitted.error > 2 * fitted.by_chance


@pytest.mark.parametrize(("right", "end"), [(True, 0.05), (False, 20.0)])
def test_a_model_that_is_always_right_or_always_wrong_ends_at_the_range(right: bool, end: float):
    logits = np.eye(7, dtype=np.float32)[np.arange(70) % 7]
    truth = (np.arange(70) + (not right)) % 7

    assert fit_temperature(truth, logits) == pytest.approx(end, rel=0.02)


def test_too_few_images_are_told():
    with pytest.raises(DataError, match="two images or more to fit a temperature on, got 1"):
        fit_and_check(np.array([0]), np.zeros((1, 7), np.float32))
    with pytest.raises(DataError, match="no image"):
        fit_temperature(np.array([], np.int64), np.zeros((0, 7), np.float32))
