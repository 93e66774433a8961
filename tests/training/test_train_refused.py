"""What no training run is begun with, and what ends one that has begun."""

import dataclasses
import json
import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.errors import (  # noqa: E402
    DataError,
    FerEdgeError,
    MissingExtraError,
    ModelError,
    UsageError,
)
from fer_edge.training import train  # noqa: E402
from fer_edge.training.recipes import Crops, with_changes  # noqa: E402

from ..conftest import a_dataset, a_recipe, files_in  # noqa: E402

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = [
    pytest.mark.usefixtures("module_undrawn"),
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

RECIPE = a_recipe()


@pytest.fixture(scope="module")
def data():
    """42 images to train on (three batches), 21 of PublicTest, 7 of PrivateTest."""
    return a_dataset(Training=6, PublicTest=3, PrivateTest=1)


# -------------------------------------------------------------------------------- what is refused


def test_a_folder_that_holds_something_is_refused(data, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")

    with pytest.raises(UsageError, match="is not empty: pass --resume to go on, or another --out"):
        train.train(data, tmp_path, RECIPE)
    assert files_in(tmp_path) == {"thesis.tex"}


def test_a_last_step_needs_something_to_go_on_from(data, tmp_path):
    with pytest.raises(UsageError, match=r"recipe tiny goes on from a trained model: pass it as"):
        train.train(data, tmp_path / "run", with_changes(RECIPE, ["needs_start=true"]))

    assert not (tmp_path / "run").exists()


def test_sharp_steps_are_refused_where_they_cannot_be_made(data, tmp_path, monkeypatch):
    monkeypatch.setattr(train.keras.backend, "backend", lambda: "jax")

    with pytest.raises(UsageError, match=r"Keras runs on jax\. Set KERAS_BACKEND to tensorflow or"):
        train.train(data, tmp_path / "run", with_changes(RECIPE, ["sam_radius=0.05"]))

    assert not (tmp_path / "run").exists()


def with_label(data, label: int):
    labels = data.labels.copy()
    labels[3] = label
    return dataclasses.replace(data, labels=labels)


# Each case: what is made of the good data, and what is said of it.
BAD_DATA = [
    (lambda d: d.split("PublicTest"), "has no split 'Training'"),
    (
        lambda d: d.take((d.splits != "Training") | (d.labels == 3)),
        r"Training of made shows no image of angry, disgust, fear, sad, surprise, neutral: a netw",
    ),
    (
        lambda d: d.take((d.splits != "Training") | (d.labels != 1)),
        "Training of made shows no image of disgust: a network cannot learn it",
    ),
    (
        lambda d: d.take((d.splits != "PublicTest") | (d.labels != 1)),
        "PublicTest of made shows no image of disgust: a model cannot be chosen on it",
    ),
    # One image of a class cannot be both learnt and chosen on.
    (
        lambda d: d.take((d.splits == "Training") & ((d.labels != 1) | (np.arange(len(d)) == 6))),
        "Validation of made shows no image of disgust",
    ),
    (lambda d: with_label(d, 7), "Training of made has labels from 0 to 7; expected 0 to 6, which"),
    (lambda d: with_label(d, -1), "Training of made has labels from -1 to 6; expected 0 to 6"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_DATA)
def test_data_that_nothing_can_be_learnt_from_are_refused_before_a_folder_is_made(
    data, tmp_path, spoil, message
):
    with pytest.raises(DataError, match=message):
        train.train(spoil(data), tmp_path / "out", RECIPE)
    assert list(tmp_path.iterdir()) == []


# Each case: a recipe, what it is run with, the error and what it says.
BAD_ARGUMENTS = [
    (a_recipe(network="vit"), {}, UsageError, r"No network 'vit'; there are: custom_cnn,"),
    (
        a_recipe(options={"stem": 4, "wings": 2}),
        {},
        UsageError,
        "The network plain has no option wings; it has: stem, widths, dropout",
    ),
    (
        a_recipe(options={"stem": 4, "widths": [4] * 7}),  # 48 can be halved five times
        {},
        UsageError,
        r"plain cannot be made with stem=4, widths=.*: .*size would be zero or negative[^\x1b]*$",
    ),
    (
        a_recipe(network="residual", options={"stem": 4, "widths": [4], "blocks": [1, 1]}),
        {},
        UsageError,
        r"widths \[4\] and blocks \[1, 1\] differ in length",
    ),
    (
        a_recipe(
            network="residual",
            options={"stem": 4, "widths": [4, 8], "blocks": [1, 1], "inner": [4]},
        ),
        {},
        UsageError,
        r"inner \[4\] and widths \[4, 8\] differ in length",
    ),
    (a_recipe(seed=-1), {}, UsageError, "seed is -1"),
    (a_recipe(share=0.0), {}, UsageError, "share"),
    (
        # It has a dense layer on all pixels.
        a_recipe(network="custom_cnn", options={}, crops=Crops(crop_share=0.5)),
        {},
        UsageError,
        "takes whole images only.*crop_share=0",
    ),
    (RECIPE, {"weights": "vgg16.h5"}, UsageError, "no base that --weights vgg16.h5 could be for"),
    (
        RECIPE,
        {"teachers": train.Teachers((train.Path("no.keras"),))},
        ModelError,
        "There is no model no.keras",
    ),
]


@pytest.mark.parametrize(("recipe", "given", "kind", "message"), BAD_ARGUMENTS)
def test_wrong_arguments_are_refused_before_a_folder_is_made(
    data, tmp_path, recipe, given, kind, message
):
    with pytest.raises(kind, match=message):
        train.train(data, tmp_path / "out", recipe, train.Run(**given))
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_that_is_not_installed_is_named_with_its_cure(data, tmp_path, monkeypatch):
    monkeypatch.setattr(train.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(MissingExtraError, match=r"not installed: `pip install tensorboard`"):
        train.train(data, tmp_path / "out", RECIPE, train.Run(tensorboard=True))
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_its_logs_where_it_is_asked_for(data, tmp_path, monkeypatch):
    """With Keras's callback in a double, as TensorBoard itself is no dependency."""
    made = []
    monkeypatch.setattr(train.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(
        keras.callbacks,
        "TensorBoard",
        lambda folder: made.append(folder) or keras.callbacks.Callback(),
    )

    train.train(
        data, tmp_path / "run", with_changes(RECIPE, ["epochs=1"]), train.Run(tensorboard=True)
    )

    assert made == [str(tmp_path / "run/tensorboard")]


# ---------------------------------------------------------------------------------- what goes wrong


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_epochs_before(
    data, tmp_path, monkeypatch
):
    real = train.Batches.__getitem__

    def spoilt(self, index):
        inputs, targets, weights = real(self, index)
        if self._epoch == 1 and index == 1:
            inputs = {"pixels": inputs["pixels"] * np.nan}
        return inputs, targets, weights

    monkeypatch.setattr(train.Batches, "__getitem__", spoilt)

    with pytest.raises(FerEdgeError, match=r"The loss became nan in epoch 2, batch 2\. Lower"):
        train.train(data, tmp_path, RECIPE)

    state = json.loads((tmp_path / "checkpoints/state.json").read_text())
    assert len(state["history"]) == 1
    with np.load(tmp_path / "checkpoints/epoch-001.npz") as kept:
        assert all(np.isfinite(kept[name]).all() for name in kept.files)
    assert not (tmp_path / "model.keras").exists()
