"""The real FER-2013 has the published counts. It lies beside the repository, never in it."""

import numpy as np
import pytest

from fer_edge.training import datasets

# Reading the text of 32,298 images takes its time.
pytestmark = pytest.mark.slow

# The published counts of each class, in FER-2013's order.
COUNTS = {
    "Training": [3995, 436, 4097, 7215, 4830, 3171, 4965],
    "PublicTest": [467, 56, 496, 895, 653, 415, 607],
}


@pytest.fixture(scope="module")
def data(real_data) -> datasets.Dataset:
    votes = real_data / "fer2013new.csv"
    return datasets.load(real_data / "fer2013.csv.gz", votes=votes, cache=False)


@pytest.mark.parametrize("split", COUNTS)
def test_each_class_has_its_published_count(data, split):
    assert np.bincount(data.split(split).labels).tolist() == COUNTS[split]


def test_no_row_is_bad_and_no_private_row_is_there(data):
    assert data.skipped == 0
    assert data.counts() == {"Training": 28709, "PublicTest": 3589}


def test_every_row_has_the_votes_of_ten_taggers(data):
    # Not exactly ten: some rows have fewer votes after FER+'s own cleaning, none has more.
    assert data.votes.shape == (32298, 10)
    assert data.votes.sum(axis=1).max() == 10


def test_the_votes_belong_to_their_rows(data):
    """Ten taggers agree with the label for two rows in three; by chance for one in five."""
    fer_of_ferplus = np.array([6, 3, 5, 4, 0, 1, 2])
    majority = fer_of_ferplus[data.votes[:, :7].argmax(axis=1)]

    assert (majority == data.labels).mean() > 0.5
