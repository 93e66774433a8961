"""Networks that answer a face and its mirror image alike: before, after and without training."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.convert.calibration import load_calibration  # noqa: E402
from fer_edge.convert.quantize import convert  # noqa: E402
from fer_edge.convert.source import load_source  # noqa: E402
from fer_edge.edge.errors import ModelError, UsageError  # noqa: E402
from fer_edge.edge.framing import to_float  # noqa: E402
from fer_edge.edge.runtime import load_network  # noqa: E402
from fer_edge.training import train  # noqa: E402
from fer_edge.training.architectures import build_network  # noqa: E402
from fer_edge.training.average import average  # noqa: E402
from fer_edge.training.mirror import Symmetric, draw_symmetric, tie  # noqa: E402
from fer_edge.training.recipe_book import find_recipe  # noqa: E402
from fer_edge.training.recipes import with_changes  # noqa: E402

from ..conftest import a_dataset, a_recipe  # noqa: E402
from ..convert.conftest import patterned_faces, write_faces  # noqa: E402
from .torch_process import needs_torch, run_on_torch  # noqa: E402

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = [
    pytest.mark.usefixtures("module_undrawn"),
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

OPTIONS = {
    "stem": 4,
    "widths": [4, 6],
    "blocks": [1, 2],
    "inner": [0, 4],
    "dropout": 0.3,
    "pool": True,
}
#: All that learns or is averaged on the way: momentum, decay, a second head, averages of steps.
RECIPE = with_changes(
    a_recipe(network="residual", options=OPTIONS, mirror=True),
    ["average=0.5", "ferplus=head", "norm_images=20", "sam_radius=0.05", "weight_decay=0.1"],
)
FACES = np.random.default_rng(5).integers(0, 256, (9, 48, 48), dtype=np.uint8)


#: What a run of those needs.
VOTES = np.random.default_rng(0).integers(0, 5, (42, 10))


def some_data():
    return dataclasses.replace(a_dataset(Training=4, PublicTest=2), votes=VOTES)


def answers(network, images=FACES) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(network(to_float(images))))


def assert_alike(network) -> None:
    """Alike for mirror images, and not alike for everything."""
    found = answers(network)
    np.testing.assert_allclose(answers(network, FACES[:, :, ::-1]), found, rtol=1e-4, atol=1e-4)
    assert np.ptp(found, axis=0).max() > 1e-3
    assert np.abs(answers(network, FACES[:, ::-1]) - found).max() > 1e-3, "upside down"


def a_run(out: Path, *changes: str, start: Path | None = None) -> Path:
    train.train(some_data(), out, with_changes(RECIPE, list(changes)), train.Run(start=start))
    return out / "model.keras"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return a_run(tmp_path_factory.mktemp("mirror") / "run")


def load(path: Path):
    return keras.saving.load_model(path, compile=False)


# ------------------------------------------------------------------------------- the projection


@given(
    shape=st.sampled_from([(3, 3, 4, 6), (1, 1, 2, 2), (5, 3, 2, 4)]),
    seed=st.integers(0, 99),
)
def test_what_is_projected_is_its_own_projection(shape, seed):
    symmetric = Symmetric([2, 3], [1])
    value = np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    once = np.asarray(symmetric(value))

    np.testing.assert_array_equal(np.asarray(symmetric(once)), once)
    half = shape[3] // 2
    swapped = np.roll(np.roll(once, half, 3), shape[2] // 2, 2)[:, ::-1]
    np.testing.assert_array_equal(swapped, once)
    # The nearest one: what is taken away is at a right angle to it.
    assert float(np.sum((value - once) * once)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", ["residual", "plain"])
def test_fresh_networks_are_alike_and_spread_as_others(name):
    options = {"stem": 32, "widths": [64]}
    if name == "residual":
        options |= {"blocks": [2], "pool": True}
    networks = []
    for tied in (True, False):
        keras.utils.set_random_seed(1)
        networks.append(build_network(a_recipe(network=name, options=options)))
        if tied:
            tie(networks[0].layers)
            draw_symmetric(networks[0])

    assert_alike(networks[0])
    kernels = [
        [float(np.std(v.numpy())) for v in each.trainable_variables if len(v.shape) == 4]
        for each in networks
    ]
    np.testing.assert_allclose(*kernels, rtol=0.15)


# --------------------------------------------------------------------------------------- a run


def test_what_is_trained_is_alike(trained):
    assert_alike(load(trained))


def test_the_network_learns_something(trained, tmp_path):
    """The projection takes nothing away but what is not symmetric."""
    fresh = a_run(tmp_path / "run", "epochs=1", "peak_rate=1e-9")

    before, after = load(fresh).get_weights(), load(trained).get_weights()

    assert max(np.abs(a - b).max() for a, b in zip(before, after, strict=True)) > 1e-3


def test_without_it_a_run_is_not_alike(tmp_path):
    network = load(a_run(tmp_path / "run", "mirror=false"))

    apart = np.abs(answers(network) - answers(network, FACES[:, :, ::-1])).max()

    assert apart > 1e-3


def test_int8_is_alike_to_the_last_bit(trained, tmp_path):
    calibration = load_calibration(write_faces(tmp_path / "faces.npz", *patterned_faces()))
    network = load_network(convert(load_source(trained), "int8", calibration).content)
    faces = (FACES.astype(np.int16) - 128).astype(np.int8)[..., np.newaxis]

    found, mirrored = (
        np.concatenate([network.run(face[np.newaxis]) for face in each])
        for each in (faces, faces[:, :, ::-1])
    )

    np.testing.assert_array_equal(found, mirrored)
    assert len(np.unique(found, axis=0)) > 1


def check_going_on(folder: Path, trained: Path) -> None:
    again = a_run(folder / "again", "seed=2", start=trained)

    average(some_data(), folder / "mean", RECIPE, [trained, again])

    assert_alike(load(again))
    assert_alike(load(folder / "mean/model.keras"))


def test_going_on_and_the_mean_stay_alike(trained, tmp_path):
    check_going_on(tmp_path, trained)


@needs_torch
def test_pytorch_runs_stay_alike(tmp_path):
    folder = f"Path({str(tmp_path)!r})"
    run_on_torch(f"from {__name__} import *\ncheck_going_on({folder}, a_run({folder} / 'run'))")


# --------------------------------------------------------------------------------------- refused


def test_weights_that_are_not_symmetric_are_neither_gone_on_from_nor_averaged(trained, tmp_path):
    other = a_run(tmp_path / "other", "mirror=false")

    with pytest.raises(UsageError, match=r"The start .* was not trained with mirror=true"):
        a_run(tmp_path / "run", start=other)
    with pytest.raises(UsageError, match=r"The model .*other.* was not trained with mirror=true"):
        average(some_data(), tmp_path / "run", RECIPE, [trained, other])

    assert not (tmp_path / "run").exists()


def test_a_network_that_steps_elsewhere_is_another_one_though_its_weights_fit(tmp_path):
    changes = ("mirror=false", "options.stem=2")
    pooled = a_run(tmp_path / "pooled", *changes)

    with pytest.raises(ModelError, match=r"its layers step over pixels elsewhere"):
        a_run(tmp_path / "run", *changes, "options.pool=false", start=pooled)


REFUSED = [
    ({**OPTIONS, "stem": 5}, "makes pairs of channels, and stem_conv has 5; expected even"),
    ({**OPTIONS, "pool": False}, "cannot tie the layer stage1a1_conv .*the recipe accurate"),
    (
        {**OPTIONS, "widths": [2] * 5, "blocks": [1] * 5, "inner": [0] * 5},
        r"cannot tie the layer pool5 \(MaxPooling2D\).*of even sides",
    ),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_networks_that_cannot_be_tied_are_refused_before_a_folder_is_made(
    tmp_path, options, message
):
    recipe = dataclasses.replace(RECIPE, options=options)

    with pytest.raises(UsageError, match=message):
        train.train(some_data(), tmp_path / "run", recipe)

    assert not (tmp_path / "run").exists()


def test_the_recipe_is_one_that_can_be_tied():
    recipe = find_recipe("accurate")

    tie(build_network(recipe).layers)

    assert recipe.mirror
    assert recipe.augmentation.flip == 0, "a mirror image teaches it nothing new"
