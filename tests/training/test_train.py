"""A training run, small enough to make in seconds: what it learns and leaves.

How a killed run goes on is in ``test_train_resume.py``, what is refused in
``test_train_refused.py``.
"""

import csv
import dataclasses
import json
import os
import zipfile

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.framing import to_float  # noqa: E402
from fer_edge.edge.sidecar import read_sidecar  # noqa: E402
from fer_edge.training import train  # noqa: E402
from fer_edge.training.checkpoints import best_path, read_arrays  # noqa: E402
from fer_edge.training.costs import multiply_adds  # noqa: E402
from fer_edge.training.recipes import with_changes  # noqa: E402

from ..conftest import EMOTIONS, a_dataset, a_recipe, files_in  # noqa: E402

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


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """An uninterrupted run: its folder and the contract that it returned."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    said = train.Run(licence="Apache-2.0", variant="epochs=2", left_out="f" * 64)
    return out, train.train(data, out, RECIPE, said)


def history(out) -> list[dict]:
    return json.loads((out / "checkpoints/state.json").read_text())["history"]


def saved(out):
    return keras.saving.load_model(out / "model.keras", safe_mode=True)


# ------------------------------------------------------------------------------- what a run leaves


def test_a_run_leaves_its_files_and_nothing_half_written(run):
    out, contract = run

    assert files_in(out) == {
        "model.keras",
        "model.contract.json",
        "model.calibration.npz",
        "recipe.json",
        "result.json",
        "log.csv",
        "history.png",
        "checkpoints/state.json",
        "checkpoints/epoch-002.npz",
        f"checkpoints/best-{contract.recipe['best_epoch']:03d}.npz",
    }


def test_the_contract_beside_the_model_says_what_was_trained(run, data):
    out, returned = run

    contract = read_sidecar(out / "model.keras")

    assert contract.content_sha256 == returned.content_sha256
    assert (contract.name, contract.licence) == ("tiny", "Apache-2.0")
    assert (contract.labels, contract.input_size_wh) == (EMOTIONS, (48, 48))
    assert (contract.framing, contract.output) == ("fer2013", "logits")
    assert (contract.input_channels, contract.input_range) == (1, (0, 255))
    assert contract.training_data == {
        "name": "made",
        "sha256": data.digest,
        "counts": {"Training": 42, "PublicTest": 21, "PrivateTest": 7},
        "skipped": 0,
        "left_out_sha256": "f" * 64,
        "ferplus": "none",
        "teachers": [],
        "start_sha256": "",
        "chosen_on": "PublicTest",
    }


def test_the_recipe_is_kept_in_the_contract_and_beside_it(run, data):
    out, _ = run
    kept = json.loads(json.dumps(dict(read_sidecar(out / "model.keras").recipe)))

    assert kept.pop("best_epoch") in (1, 2)
    assert kept == RECIPE.to_dict()
    assert json.loads((out / "recipe.json").read_text()) == {
        "recipe": RECIPE.to_dict(),
        "data_sha256": data.digest,
        "left_out_sha256": "f" * 64,
        "teachers": [],
        "weights": "none",
        "start": None,
    }


def test_the_accuracy_in_contract_and_result_is_the_model_s_own(run, data):
    out, contract = run
    model = saved(out)
    result = json.loads((out / "result.json").read_text())

    def accuracy(split: str) -> float:
        part = data.split(split)
        named = model.predict(to_float(part.images), verbose=0).argmax(axis=1)
        return float((named == part.labels).mean())

    assert contract.metrics == (
        {
            "name": "accuracy",
            "value": pytest.approx(accuracy("PublicTest"), abs=1e-4),
            "split": "PublicTest",
            "count": 21,
            "of": "float",
        },
    )
    assert result["accuracy"] == contract.metrics[0]["value"]
    assert result["training_accuracy"] == pytest.approx(accuracy("Training"), abs=1e-4)


def test_the_result_says_what_the_model_costs(run):
    out, contract = run
    model = saved(out)

    result = json.loads((out / "result.json").read_text())

    assert (result["recipe"], result["variant"], result["seed"]) == ("tiny", "epochs=2", 1)
    assert result["parameters"] == model.count_params()
    assert result["multiply_adds"] == multiply_adds(model)
    assert result["keras_bytes"] == (out / "model.keras").stat().st_size
    assert (result["epochs"], result["best_epoch"]) == (2, contract.recipe["best_epoch"])
    assert (result["chosen_on"], result["count"]) == ("PublicTest", 21)
    assert (result["backend"], result["precision"]) == (keras.backend.backend(), "float32")
    assert 0 <= result["macro_f1"] <= 1
    assert result["tflite_bytes"] is None


def test_the_log_has_a_row_an_epoch(run):
    out, _ = run
    with (out / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert list(rows[0]) == [
        "epoch",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
        "seconds",
    ]
    assert [{key: float(value) for key, value in row.items()} for row in rows] == history(out)


def test_the_model_is_the_best_epoch_without_the_optimiser(run):
    out, contract = run
    model, best = saved(out), saved(out)
    for variable in best.weights:
        variable.assign(keras.ops.zeros_like(variable))

    read_arrays(best_path(out, contract.recipe["best_epoch"]), network=best.weights)

    assert getattr(model, "optimizer", None) is None
    for kept, made in zip(best.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, made)
    with zipfile.ZipFile(out / "model.keras") as archive:
        h5py = pytest.importorskip("h5py")
        with archive.open("model.weights.h5") as file, h5py.File(file) as stored:
            assert "optimizer" not in stored


def test_the_model_takes_raw_pixels_and_gives_logits(run):
    model = saved(run[0])

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
    recipe = with_changes(RECIPE, ["epochs=1", "dropout=0", "precision=mixed_bfloat16"])

    contract = train.train(kaggle, out, recipe)

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
    # Computed in bfloat16, kept in float32; nothing of the policy is left behind.
    assert "mixed_bfloat16" in written.err
    assert {layer.dtype_policy.name for layer in saved(out).layers} == {"float32"}
    assert {variable.dtype for variable in saved(out).weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


# ------------------------------------------------------------------------------- what is learnt


def test_the_averaged_weights_are_chosen_and_saved_and_the_raw_ones_learn_on(
    data, tmp_path, monkeypatch
):
    """Against an average that NumPy keeps of the weights after each step."""
    seen = []

    class Watch(train.Progress):
        def on_train_batch_end(self, batch, logs=None):
            seen.append([np.array(v) for v in self.model.trainable_variables])

    monkeypatch.setattr(train, "Progress", Watch)
    recipe = with_changes(RECIPE, ["average=0.75", "peak_rate=0.1", "weight_decay=0"])
    plain = with_changes(recipe, ["average=0"])

    train.train(data, tmp_path / "averaged", recipe)
    raw, seen[:] = list(seen), []
    train.train(data, tmp_path / "plain", plain)

    for averaged_run, plain_run in zip(raw, seen, strict=True):
        for one, other in zip(averaged_run, plain_run, strict=True):
            np.testing.assert_array_equal(one, other)  # averaging does not steer the training
    average = [raw[0]]
    for step in raw[1:]:
        pairs = zip(average[-1], step, strict=True)
        average.append([0.75 * old + 0.25 * new for old, new in pairs])
    model = saved(tmp_path / "averaged")
    best = json.loads((tmp_path / "averaged/checkpoints/state.json").read_text())["best_epoch"]
    for kept, expected in zip(model.trainable_variables, average[3 * best - 1], strict=True):
        np.testing.assert_allclose(np.array(kept), expected, rtol=1e-4, atol=1e-6)
    last = history(tmp_path / "averaged")[best - 1]
    public = data.split("PublicTest")
    named = model.predict(to_float(public.images), verbose=0).argmax(axis=1)
    assert last["val_accuracy"] == pytest.approx((named == public.labels).mean())


def test_training_learns_what_can_be_learnt(tmp_path):
    """Faces whose brightness is their class: any net of ours must see that."""
    data = a_dataset(Training=20, PublicTest=4)
    greys = np.linspace(20, 235, 7)[data.labels][:, None, None]
    noise = data.images / 255 * 20
    easy = dataclasses.replace(data, images=(greys + noise).astype(np.uint8))
    recipe = with_changes(
        a_recipe(options={"stem": 8, "widths": [16], "dropout": 0.0}),
        ["epochs=6", "peak_rate=0.1", "weight_decay=0", "brightness=0", "contrast=1,1"],
    )

    contract = train.train(easy, tmp_path / "run", recipe)

    assert contract.metrics[0]["value"] > 0.7  # 1/7 is chance
