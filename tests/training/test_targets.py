"""What the network is taught for each image, against sums done by hand."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import DataError
from fer_edge.training.recipes import Targets
from fer_edge.training.targets import class_weights, make_targets, one_hot, soften

from ..conftest import EMOTIONS, a_dataset

PLAIN = Targets(label_smoothing=0.0)
# Of fer2013new.csv: neutral, happiness, surprise, sadness, anger, disgust, fear, contempt,
# unknown, not a face. Where each stands among our seven classes:
OURS = [6, 3, 5, 4, 0, 1, 2]


def voted(*rows: list[int]):
    """A data set of angry faces with these votes."""
    data = a_dataset(Training=len(rows))
    first = data.take(data.labels == 0)
    return dataclasses.replace(first, votes=np.array(rows))


def test_the_columns_of_fer_plus_are_put_in_our_order():
    names = ["neutral", "happy", "surprise", "sad", "angry", "disgust", "fear"]

    assert [EMOTIONS[index] for index in OURS] == names


def test_a_label_is_one_of_seven():
    made = one_hot(np.array([0, 6]))

    assert made.dtype == np.float32
    assert made.tolist() == [[1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1]]


def test_nothing_but_the_label_is_taught_where_nothing_is_asked_for():
    data = a_dataset(Training=2)

    made = make_targets(data, PLAIN)

    np.testing.assert_array_equal(made.logits, one_hot(data.labels))
    np.testing.assert_array_equal(made.weights, np.ones(14, np.float32))
    assert (made.votes, made.vote_weights, made.teacher) == (None, None, None)


def test_smoothing_spreads_a_share_over_all_seven():
    made = make_targets(a_dataset(Training=1), Targets(label_smoothing=0.07))

    assert made.logits[0] == pytest.approx([0.94, *[0.01] * 6])
    assert made.logits.dtype == np.float32


def test_votes_are_mixed_into_the_target_by_their_share():
    #              neu hap sur sad ang dis fea con unk nof
    data = voted([4, 0, 0, 0, 1, 0, 0, 3, 2, 0])

    made = make_targets(data, Targets(0.0, ferplus="soft", ferplus_weight=0.5))

    # Half the label (angry), half the five votes that are for one of our seven.
    expected = np.zeros(7)
    expected[0] = 0.5 + 0.5 * 1 / 5
    expected[6] = 0.5 * 4 / 5
    np.testing.assert_allclose(made.logits[0], expected, rtol=1e-6)
    assert made.votes is None


def test_each_column_of_votes_reaches_its_own_class():
    data = voted(*np.eye(10, dtype=int)[:7].tolist())

    made = make_targets(data, Targets(0.0, ferplus="soft", ferplus_weight=1.0))

    assert made.logits.argmax(axis=1).tolist() == OURS


def test_an_image_without_a_vote_for_our_classes_keeps_its_label():
    data = voted([0, 0, 0, 0, 0, 0, 0, 4, 5, 1])

    made = make_targets(data, Targets(0.0, ferplus="soft", ferplus_weight=1.0))

    assert made.logits[0].tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_smoothing_comes_behind_the_votes():
    data = voted([10, 0, 0, 0, 0, 0, 0, 0, 0, 0])

    made = make_targets(data, Targets(0.7, ferplus="soft", ferplus_weight=0.5))

    np.testing.assert_allclose(made.logits[0], [0.25, 0.1, 0.1, 0.1, 0.1, 0.1, 0.25], atol=1e-7)


def test_the_second_head_learns_eight_columns_and_nothing_of_an_image_without_them():
    data = voted([4, 0, 0, 0, 1, 0, 0, 3, 2, 0], [0, 0, 0, 0, 0, 0, 0, 0, 9, 1])

    made = make_targets(data, Targets(0.0, ferplus="head"))

    assert made.votes is not None
    assert made.vote_weights is not None
    np.testing.assert_allclose(made.votes[0], [0.5, 0, 0, 0, 0.125, 0, 0, 0.375])
    np.testing.assert_allclose(made.votes[1], np.full(8, 0.125))
    assert made.vote_weights.tolist() == [1.0, 0.0]
    np.testing.assert_array_equal(made.logits, one_hot(data.labels))  # the label stays itself


@pytest.mark.parametrize("ferplus", ["soft", "head"])
def test_votes_that_did_not_come_are_asked_for(ferplus):
    with pytest.raises(DataError, match=r"uses FER\+ votes .*--votes fer2013new\.csv.*ferplus=non"):
        make_targets(a_dataset(Training=1), Targets(ferplus=ferplus))


# ---------------------------------------------------------------------------------- class weights

COUNTS = [8, 1, 4, 16, 2, 2, 7]
LABELS = np.repeat(np.arange(7), COUNTS)


def test_without_weights_every_image_counts_the_same():
    np.testing.assert_array_equal(class_weights(LABELS, PLAIN), np.ones(7))


def test_balanced_weights_give_every_class_the_same_say():
    weights = class_weights(LABELS, Targets(class_weights="balanced"))

    # scikit-learn's and Keras's convention: n / (classes * count).
    np.testing.assert_allclose(weights, 40 / (7 * np.array(COUNTS)), rtol=1e-6)


def test_effective_weights_are_those_of_the_paper():
    """Cui et al., equation 4: (1 - beta) / (1 - beta^n), scaled."""
    weights = class_weights(LABELS, Targets(class_weights="effective", effective_beta=0.9))

    raw = np.array([0.1 / (1 - 0.9**count) for count in COUNTS])
    np.testing.assert_allclose(weights, raw * 40 / (raw * COUNTS).sum(), rtol=1e-6)


@given(
    st.lists(st.integers(0, 500), min_size=7, max_size=7).filter(any),
    st.sampled_from(["none", "balanced", "effective"]),
    st.floats(0.0, 0.9999),
)
def test_the_mean_weight_of_an_image_is_1(counts, kind, beta):
    labels = np.repeat(np.arange(7), counts)

    weights = class_weights(labels, Targets(class_weights=kind, effective_beta=beta))

    assert weights[labels].mean() == pytest.approx(1, rel=1e-5)
    assert ((weights > 0) == (np.array(counts) > 0)).all()


def test_the_rarer_a_class_the_more_its_image_counts():
    for kind in ("balanced", "effective"):
        weights = class_weights(LABELS, Targets(class_weights=kind))
        assert weights[1] > weights[4] > weights[2] > weights[0] > weights[3]


def test_the_weights_of_images_are_those_of_their_class():
    data = a_dataset(Training=2)
    uneven = data.take(np.arange(14) != 0)  # one angry face less

    made = make_targets(uneven, Targets(0.0, class_weights="balanced"))

    assert made.weights.dtype == np.float32
    assert made.weights.tolist() == pytest.approx([13 / 7, *[13 / 14] * 12])


# ------------------------------------------------------------------------------------ distillation


def test_logits_are_softened_by_the_temperature():
    logits = np.log([[1.0, 2, 4, 8, 16, 32, 64]]).astype(np.float32)

    cold, warm = soften(logits, 1.0), soften(logits, 2.0)

    roots = np.sqrt([1, 2, 4, 8, 16, 32, 64])
    np.testing.assert_allclose(cold[0], np.array([1, 2, 4, 8, 16, 32, 64]) / 127, rtol=1e-6)
    np.testing.assert_allclose(warm[0], roots / roots.sum(), rtol=1e-6)


def test_several_teachers_are_averaged_behind_the_softmax():
    one = np.log([[1.0, 1, 1, 1, 1, 1, 94]]).astype(np.float32)
    other = np.log([[94.0, 1, 1, 1, 1, 1, 1]]).astype(np.float32)

    made = soften(np.stack([one, other]), 1.0)

    assert made.shape == (1, 7)
    assert made[0] == pytest.approx([0.475, *[0.01] * 5, 0.475], rel=1e-5)


def test_large_logits_overflow_nothing():
    made = soften(np.array([[1e4, -1e4, 0, 0, 0, 0, 0]], np.float32), 1.0)

    assert made[0].tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_the_answers_of_a_teacher_become_targets_at_the_recipe_s_temperature():
    data = a_dataset(Training=1)
    logits = np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32)

    made = make_targets(data, Targets(temperature=4.0), logits)

    np.testing.assert_array_equal(made.teacher, soften(logits, 4.0))
