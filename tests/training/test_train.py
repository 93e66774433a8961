"""A training run, small enough to make in seconds: what it leaves, and how it goes on."""

import csv
import dataclasses
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.errors import DataError, FerEdgeError, UsageError  # noqa: E402
from fer_edge.edge.framing import to_float  # noqa: E402
from fer_edge.edge.sidecar import read_sidecar  # noqa: E402
from fer_edge.training import train  # noqa: E402
from fer_edge.training.progress import Progress  # noqa: E402

from ..conftest import EMOTIONS, a_dataset, a_recipe  # noqa: E402

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

RECIPE = a_recipe()


@pytest.fixture(scope="module")
def data():
    """42 images to train on (three batches), 21 of PublicTest, 7 of PrivateTest."""
    return a_dataset(Training=6, PublicTest=3, PrivateTest=1)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """An uninterrupted run: its folder and the contract that it returned."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, train.train(data, out, RECIPE, licence="Apache-2.0")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def history(out: Path) -> list[dict]:
    return json.loads((out / "checkpoints/state.json").read_text())["history"]


def weights(path: Path) -> list[np.ndarray]:
    return keras.saving.load_model(path, safe_mode=True).get_weights()


# ------------------------------------------------------------------------------- what a run leaves


def test_a_run_leaves_its_files_and_nothing_half_written(run):
    out, _ = run
    best = json.loads((out / "checkpoints/state.json").read_text())["best_epoch"]

    assert names(out) == {
        "model.keras",
        "model.contract.json",
        "model.calibration.npz",
        "recipe.json",
        "log.csv",
        "checkpoints/state.json",
        "checkpoints/epoch-002.keras",
        f"checkpoints/epoch-{best:03d}.keras",
    }


def test_the_contract_beside_the_model_says_what_was_trained(run, data):
    out, returned = run

    contract = read_sidecar(out / "model.keras")

    assert contract.content_sha256 == returned.content_sha256
    assert (contract.labels, contract.input_size_wh) == (EMOTIONS, (48, 48))
    assert (contract.framing, contract.output) == ("fer2013", "logits")
    assert (contract.input_channels, contract.input_range) == (1, (0, 255))
    assert contract.licence == "Apache-2.0"
    assert contract.training_data == {
        "name": "made",
        "sha256": data.digest,
        "counts": {"Training": 42, "PublicTest": 21, "PrivateTest": 7},
        "skipped": 0,
        "chosen_on": "PublicTest",
    }


def test_the_recipe_is_kept_in_the_contract_and_beside_it(run):
    out, _ = run
    asked = json.loads(json.dumps(dataclasses.asdict(RECIPE)))
    kept = dict(read_sidecar(out / "model.keras").recipe)

    assert kept.pop("best_epoch") in (1, 2)
    assert kept == asked
    beside = json.loads((out / "recipe.json").read_text())
    assert beside.pop("data_sha256") == read_sidecar(out / "model.keras").training_data["sha256"]
    assert beside == asked


def test_the_accuracy_in_the_contract_is_the_model_s_own(run, data):
    out, contract = run
    public = data.split("PublicTest")
    model = keras.saving.load_model(out / "model.keras", safe_mode=True)

    right = model.predict(to_float(public.images), verbose=0).argmax(axis=1) == public.labels

    assert contract.metrics == (
        {
            "name": "accuracy",
            "value": pytest.approx(right.mean(), abs=1e-4),
            "split": "PublicTest",
            "count": 21,
            "of": "float",
        },
    )


def test_the_log_has_a_row_an_epoch(run):
    out, _ = run
    with (out / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert rows[0].keys() == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert [{key: float(value) for key, value in row.items()} for row in rows] == history(out)


def test_the_model_is_its_best_checkpoint_without_the_optimiser(run):
    out, contract = run
    best = train.checkpoint_path(out, contract.recipe["best_epoch"])

    model = keras.saving.load_model(out / "model.keras", safe_mode=True)

    assert getattr(model, "optimizer", None) is None
    for kept, made in zip(weights(best), model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, made)
    with zipfile.ZipFile(out / "model.keras") as archive:
        h5py = pytest.importorskip("h5py")
        with archive.open("model.weights.h5") as file, h5py.File(file) as stored:
            assert "optimizer" not in stored


def test_the_model_takes_raw_pixels_and_gives_logits(run):
    out, _ = run
    model = keras.saving.load_model(out / "model.keras", safe_mode=True)

    assert model.input_shape == (None, 48, 48, 1)
    assert model.output_shape == (None, 7)
    assert model.get_layer("scale").scale == pytest.approx(1 / 255)
    assert model.get_layer("logits").activation is keras.activations.linear


def test_the_calibration_faces_are_balanced_and_from_training(run, data):
    out, _ = run
    with np.load(out / "model.calibration.npz") as kept:
        images, labels = kept["images"], kept["labels"]

    assert np.bincount(labels).tolist() == [3] * 7
    assert (images.shape, images.dtype) == ((21, 48, 48), np.uint8)
    training = data.split("Training")
    known = {
        (image.tobytes(), int(label))
        for image, label in zip(training.images, training.labels, strict=True)
    }
    found = {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}
    assert len(found) == 21
    assert found <= known


def test_without_public_test_a_part_of_training_is_chosen_on(data, tmp_path, capfd):
    kaggle = data.take(data.splits != "PublicTest")
    out = tmp_path / "run"

    contract = train.train(kaggle, out, dataclasses.replace(RECIPE, epochs=1, dropout=0.0))

    assert contract.training_data["chosen_on"] == "Validation"
    assert contract.metrics[0]["split"] == "Validation"
    assert contract.metrics[0]["count"] == 7
    carved, _ = kaggle.with_validation(seed=RECIPE.seed)
    held_out = {image.tobytes() for image in carved.split("Validation").images}
    with np.load(out / "model.calibration.npz") as kept:
        assert not held_out & {image.tobytes() for image in kept["images"]}
    written = capfd.readouterr()
    assert written.out == "", "standard output is for data"
    assert "epoch   1/1  loss" in written.err
    assert "choosing on 7 of Validation" in written.err


# ---------------------------------------------------------------------------------------- resuming


class KilledError(Exception):
    """Stands for a kill: nothing in the code expects it."""


def killed_in(epoch: int, batch: int):
    """A callback in the place of the progress display, which ends the run there."""

    class Kill(Progress):
        def __init__(self, history):
            super().__init__(history)
            self.done = history

        def on_train_batch_end(self, index, logs=None):
            if (len(self.done) + 1, index + 1) == (epoch, batch):
                raise KilledError

    return Kill


@pytest.fixture(scope="module")
def resumed(data, tmp_path_factory):
    """A run that was killed in its second epoch and went on: its folder."""
    out = tmp_path_factory.mktemp("runs") / "resumed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "Progress", killed_in(epoch=2, batch=2))
        with pytest.raises(KilledError):
            train.train(data, out, RECIPE)
    assert len(history(out)) == 1
    assert not (out / "model.keras").exists()
    train.train(data, out, RECIPE, resume=True)
    return out


def test_a_resumed_run_has_the_history_of_all_epochs(resumed, run):
    assert [entry["epoch"] for entry in history(resumed)] == [1, 2]
    assert names(resumed) - {"checkpoints/epoch-001.keras"} == names(run[0]) - {
        "checkpoints/epoch-001.keras"
    }
    assert read_sidecar(resumed / "model.keras").name == "plain"


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(resumed, run):
    """Batches and their order, dropout, learning rate, momentum and weight decay all go on."""
    whole = weights(train.checkpoint_path(run[0], 2))

    for one, other in zip(weights(train.checkpoint_path(resumed, 2)), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert history(resumed)[1]["loss"] == pytest.approx(history(run[0])[1]["loss"], rel=1e-4)


def test_a_finished_run_can_be_resumed_to_write_its_model_again(resumed, data):
    before = weights(resumed / "model.keras")
    (resumed / "model.keras").unlink()

    train.train(data, resumed, RECIPE, resume=True)

    assert len(history(resumed)) == 2
    for one, other in zip(weights(resumed / "model.keras"), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_is_not_resumed_with_another_recipe(resumed, data):
    before = (resumed / "checkpoints/state.json").read_bytes()
    longer = dataclasses.replace(RECIPE, epochs=3)

    with pytest.raises(UsageError, match=r"recipe\.json is of another recipe.*start a new --out"):
        train.train(data, resumed, longer, resume=True)
    with pytest.raises(UsageError, match=r"of another recipe or other data"):
        train.train(dataclasses.replace(data, digest="e" * 64), resumed, RECIPE, resume=True)
    assert (resumed / "checkpoints/state.json").read_bytes() == before


def test_nothing_can_be_resumed_where_nothing_was_begun(data, tmp_path):
    with pytest.raises(UsageError, match=r"no run to resume in .*empty: it has no recipe\.json"):
        train.train(data, tmp_path / "empty", RECIPE, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(data, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")

    with pytest.raises(UsageError, match="is not empty: pass --resume to go on, or another --out"):
        train.train(data, tmp_path, RECIPE)
    assert names(tmp_path) == {"thesis.tex"}


def test_a_file_in_the_place_of_the_folder_is_refused(data, tmp_path):
    (tmp_path / "out").write_text("mine")

    with pytest.raises(UsageError, match=r"Cannot make the run folder .*out: "):
        train.train(data, tmp_path / "out", RECIPE)


def test_data_without_training_rows_are_refused_before_a_folder_is_made(data, tmp_path):
    with pytest.raises(DataError, match="no split 'Training'"):
        train.train(data.split("PublicTest"), tmp_path / "out", RECIPE)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------- what goes wrong


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_epochs_before(
    data, tmp_path, monkeypatch
):
    real = train.Batches.__getitem__

    def spoilt(self, index):
        faces, targets = real(self, index)
        first_is_done = train.checkpoint_path(tmp_path, 1).exists()
        return (faces * np.nan if first_is_done else faces), targets

    monkeypatch.setattr(train.Batches, "__getitem__", spoilt)

    with pytest.raises(FerEdgeError, match=r"The loss became nan in epoch 2, batch 1\. Lower"):
        train.train(data, tmp_path, RECIPE)

    assert len(history(tmp_path)) == 1
    assert all(np.isfinite(array).all() for array in weights(train.checkpoint_path(tmp_path, 1)))
    assert not (tmp_path / "model.keras").exists()
