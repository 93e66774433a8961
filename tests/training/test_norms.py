"""The statistics of batch norm, measured again over whole images before a validation."""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.framing import to_float  # noqa: E402
from fer_edge.training import train  # noqa: E402
from fer_edge.training.architectures import build_network  # noqa: E402
from fer_edge.training.norms import drawn, measure_norms, norm_statistics  # noqa: E402
from fer_edge.training.recipes import with_changes  # noqa: E402

from ..conftest import a_dataset, a_recipe  # noqa: E402

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = [
    pytest.mark.usefixtures("module_undrawn"),
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

RECIPE = with_changes(a_recipe(), ["epochs=2", "average=0.9"])


def statistics(network) -> list[np.ndarray]:
    return [np.asarray(value).copy() for value in norm_statistics(network)]


def a_spoilt_network():
    """Whose statistics are those of no image."""
    keras.utils.set_random_seed(3)
    network = build_network(RECIPE)
    for value in norm_statistics(network):
        value.assign(np.full(value.shape, 7.0, np.float32))
    return network


def test_the_statistics_are_those_of_the_images(monkeypatch):
    """Of the first norm by hand: mean and variance of what its convolution answers."""
    monkeypatch.setattr("fer_edge.training.norms._BATCH", 10)
    network = a_spoilt_network()
    images = a_dataset(Training=5).images  # 35: three batches, and five that are left over

    measure_norms(network, images)

    conv = keras.Model(network.input, network.get_layer("stem_conv").output)
    answers = np.asarray(conv(to_float(images[:30]))).reshape(3, -1, 4)
    mean, variance = statistics(network)[:2]
    np.testing.assert_allclose(mean, answers.mean((0, 1)), atol=1e-4)
    np.testing.assert_allclose(variance, answers.var(axis=1).mean(axis=0), rtol=1e-3)


def test_what_they_were_before_leaves_no_trace():
    images = a_dataset(Training=3).images
    once, twice = a_spoilt_network(), a_spoilt_network()

    measure_norms(once, images)
    for _ in range(2):
        measure_norms(twice, images)

    for one, other in zip(statistics(once), statistics(twice), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_nothing_else_is_changed():
    network = a_spoilt_network()
    norms = [layer for layer in network.layers if "_norm" in layer.name]
    weights = [np.asarray(value).copy() for value in network.trainable_variables]

    measure_norms(network, a_dataset(Training=1).images)

    assert [norm.momentum for norm in norms] == [0.9] * len(norms)
    for one, other in zip(network.trainable_variables, weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), other)


def test_an_interruption_leaves_the_momentum_as_it_was(monkeypatch):
    network = a_spoilt_network()

    with pytest.raises(ValueError):
        measure_norms(network, np.zeros((4, 3, 3, 3), np.uint8))

    assert network.get_layer("stem_norm").momentum == 0.9


def test_a_net_without_norms_is_left_alone():
    network = build_network(
        with_changes(
            a_recipe(network="custom_cnn", options={"widths": [4], "dense": 4, "dropout": 0.1}), []
        )
    )

    measure_norms(network, a_dataset(Training=1).images)

    assert norm_statistics(network) == []


@pytest.mark.parametrize(("count", "found"), [(5, 5), (100, 21)])
def test_the_images_are_drawn_by_the_seed(count, found):
    images = a_dataset(Training=3).images

    one, again, other = (drawn(images, count, seed) for seed in (1, 1, 2))

    assert len(one) == found
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert len({image.tobytes() for image in one}) == found, "none twice"


def test_a_run_saves_them_and_learns_on_with_its_own(tmp_path: Path):
    data = a_dataset(Training=6, PublicTest=3)
    measured = with_changes(RECIPE, ["norm_images=20"])

    train.train(data, tmp_path / "plain", RECIPE)
    train.train(data, tmp_path / "measured", measured)

    last = [
        dict(np.load(tmp_path / name / "checkpoints/epoch-002.npz"))
        for name in ("plain", "measured")
    ]
    for name in last[0]:
        np.testing.assert_array_equal(last[0][name], last[1][name], err_msg=name)
    saved = keras.saving.load_model(tmp_path / "measured/model.keras", compile=False)
    found = statistics(saved)
    measure_norms(saved, drawn(data.split("Training").images, 20, measured.seed))
    for one, other in zip(found, statistics(saved), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
