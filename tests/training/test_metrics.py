"""The figures of an evaluation, against values worked out by hand and against their definitions."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import DataError
from fer_edge.training.metrics import (
    calibrate,
    evaluate_predictions,
    percent,
    percent_interval,
    roc_curves,
    share_of,
    wilson_interval,
)

from ..conftest import EMOTIONS

pytest.importorskip("sklearn", reason="needs the extra [report]")

ABC = ("a", "b", "c")


def rows(*values: tuple[float, ...]) -> np.ndarray:
    """Probabilities, a row an image."""
    return np.array(values, dtype=np.float32)


# ---------------------------------------------------------------------------------------- figures


def test_figures_by_hand():
    #           a  a  a  a  b  b  c
    truth = np.array([0, 0, 0, 0, 1, 1, 2])
    named = np.array([0, 0, 0, 1, 1, 0, 1])

    found = evaluate_predictions(truth, named, ABC)

    assert found.count == 7
    assert found.accuracy == pytest.approx(4 / 7)
    assert found.interval == wilson_interval(4, 7)
    assert found.confusion == ((3, 1, 0), (1, 1, 0), (0, 1, 0))  # rows: what is true
    assert found.rates().tolist() == [[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 1, 0]]
    a, b, c = found.classes
    assert (a.label, a.precision, a.recall, a.f1, a.support) == ("a", 3 / 4, 3 / 4, 3 / 4, 4)
    assert (b.label, b.support) == ("b", 2)
    assert (b.precision, b.recall, b.f1) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert (c.precision, c.recall, c.f1, c.support) == (0, 0, 0, 1)
    # Each class counts the same, however many images it has.
    assert found.macro_f1 == pytest.approx((3 / 4 + 2 / 5 + 0) / 3)
    assert found.absent == ()


# Each case: what is true, what was named, accuracy, macro-F1.
CASES = [
    ([0, 1, 2], [0, 1, 2], 1.0, 1.0),
    ([0, 1, 2], [1, 2, 0], 0.0, 0.0),
    ([0, 0, 0], [0, 0, 0], 1.0, 1 / 3),  # classes without an image count as 0, and no warning
    ([1], [2], 0.0, 0.0),
    ([0, 0, 1, 1], [0, 0, 0, 0], 0.5, (2 / 3) / 3),
]


@pytest.mark.parametrize(("truth", "named", "accuracy", "macro_f1"), CASES)
def test_more_figures_by_hand(truth, named, accuracy, macro_f1):
    found = evaluate_predictions(np.array(truth), np.array(named), ABC)

    assert found.accuracy == pytest.approx(accuracy)
    assert found.macro_f1 == pytest.approx(macro_f1)
    assert [row.label for row in found.classes] == list(ABC)


def test_a_class_without_images_is_absent_and_has_no_rates():
    found = evaluate_predictions(np.array([0, 0, 2]), np.array([0, 1, 2]), ABC)

    assert found.absent == ("b",)
    assert np.isnan(found.rates()[1]).all()
    assert found.rates()[0].tolist() == [0.5, 0.5, 0]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60))
def test_the_confusion_holds_every_image_once(pairs):
    truth, named = np.array(pairs).T

    found = evaluate_predictions(truth, named, EMOTIONS)

    confusion = np.array(found.confusion)
    assert confusion.shape == (7, 7)
    assert confusion.sum() == found.count == len(pairs)
    assert found.accuracy == pytest.approx(np.trace(confusion) / len(pairs))
    assert confusion.sum(axis=1).tolist() == [row.support for row in found.classes]
    assert np.nansum(found.rates(), axis=1).round(9).tolist() == [
        float(row.support > 0) for row in found.classes
    ]
    assert json.loads(json.dumps(found.to_dict()))["count"] == len(pairs)


# Each case: the labels, what is said.
BAD_LABELS = [
    ([], "There is no image"),
    ([0, 3], "labels from 0 to 2, got 0 to 3"),
    ([-1, 1], "labels from 0 to 2, got -1 to 1"),
]


@pytest.mark.parametrize(("truth", "said"), BAD_LABELS)
def test_labels_that_no_figure_is_defined_for_are_refused(truth, said):
    truth = np.array(truth, dtype=np.int64)
    probabilities = np.full((len(truth), 3), 1 / 3, np.float32)

    with pytest.raises(DataError, match=said):
        evaluate_predictions(truth, truth, ABC)
    with pytest.raises(DataError, match=said):
        roc_curves(truth, probabilities, ABC)
    with pytest.raises(DataError, match=said):
        calibrate(truth, probabilities)


# --------------------------------------------------------------------------------------- interval

# Each case: hits, images, bounds: of the usual tables, to four digits.
WILSON = [
    (0, 10, 0.0, 0.2775),
    (10, 10, 0.7225, 1.0),
    (5, 10, 0.2366, 0.7634),
    (15, 50, 0.1910, 0.4375),
    (1, 1, 0.2065, 1.0),
]


@pytest.mark.parametrize(("hits", "count", "low", "high"), WILSON)
def test_the_interval_of_a_share(hits, count, low, high):
    assert wilson_interval(hits, count) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_within_0_and_1(case):
    hits, count = case

    low, high = wilson_interval(hits, count)

    assert 0 <= low <= hits / count <= high <= 1
    # Mirrored shares have mirrored intervals.
    assert wilson_interval(count - hits, count) == pytest.approx((1 - high, 1 - low))


def test_a_share_counts():
    found = share_of(np.array([True, True, False, False]))

    assert (found.hits, found.count, found.value) == (2, 4, 0.5)
    assert found.interval == wilson_interval(2, 4)
    assert share_of(np.array([], dtype=bool)) is None


def test_shares_as_texts():
    assert percent(0.65868) == "65.87 %"
    assert percent_interval((0.643, 0.674)) == "64.30–67.40 %"


# -------------------------------------------------------------------------------------------- ROC


def test_curves_by_hand():
    truth = np.array([0, 0, 1, 1])
    # a: one of its own images below one of the others; b: all of its own above the others; c: none.
    probabilities = rows((0.9, 0.1, 0), (0.3, 0.2, 0.5), (0.4, 0.6, 0), (0.1, 0.9, 0))

    found = {curve.label: curve for curve in roc_curves(truth, probabilities, ABC)}

    assert found.keys() == {"a", "b"}, "a class without images has no curve"
    assert found["a"].area == pytest.approx(0.75)  # 3 of 4 pairs are in order
    assert found["b"].area == pytest.approx(1.0)
    assert found["a"].false_positive_rate.tolist() == [0, 0, 0.5, 0.5, 1]
    assert found["a"].true_positive_rate.tolist() == [0, 0.5, 0.5, 1, 1]


def test_a_split_of_one_class_has_no_curve():
    assert roc_curves(np.array([1, 1]), rows((0.1, 0.8, 0.1), (0.3, 0.4, 0.3)), ABC) == ()


# ------------------------------------------------------------------------------------ calibration


def test_calibration_by_hand():
    truth = np.array([0, 0, 1, 2])
    # Confidences .9 (right), .8 (wrong), .5 (right), .5 (wrong).
    probabilities = rows((0.9, 0.1, 0), (0.1, 0.8, 0.1), (0.2, 0.5, 0.3), (0.5, 0.3, 0.2))

    found = calibrate(truth, probabilities, bins=2)

    low, high = found.bins
    # 0.5 is the upper edge of the lower bin, and belongs to it.
    assert (low.count, low.confidence, low.accuracy) == (2, pytest.approx(0.5), 0.5)
    assert (high.count, high.confidence, high.accuracy) == (2, pytest.approx(0.85), 0.5)
    assert (low.low, low.high, high.high) == (0, 0.5, 1)
    assert found.error == pytest.approx(0.5 * 0 + 0.5 * 0.35)
    assert found.mean_confidence == pytest.approx(0.675)


def test_a_bin_without_images_has_no_accuracy():
    found = calibrate(np.array([0]), rows((1.0, 0.0)), bins=3)

    assert [item.count for item in found.bins] == [0, 0, 1]
    assert (found.bins[0].accuracy, found.bins[0].confidence) == (None, None)
    assert found.error == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(1, 20))
def test_the_bins_hold_every_image_once(seed, count, bins):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(7), count).astype(np.float32)
    truth = generator.integers(0, 7, count)

    found = calibrate(truth, probabilities, bins=bins)

    right = probabilities.argmax(axis=1) == truth
    assert len(found.bins) == bins
    assert sum(item.count for item in found.bins) == count
    assert sum(item.count * (item.accuracy or 0) for item in found.bins) == pytest.approx(
        right.sum()
    )
    for item in found.bins:
        if item.confidence is not None:
            assert item.low - 1e-6 <= item.confidence <= item.high + 1e-6
    # No binning can hide the distance of the means.
    assert abs(found.mean_confidence - right.mean()) - 1e-9 <= found.error <= 1
