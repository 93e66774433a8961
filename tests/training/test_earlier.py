"""A run that starts from the weights of an earlier one's model."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.errors import ModelError, UsageError  # noqa: E402
from fer_edge.edge.sidecar import file_sha256, read_sidecar, write_sidecar  # noqa: E402
from fer_edge.training import train, transfer  # noqa: E402
from fer_edge.training.architectures import build_network  # noqa: E402
from fer_edge.training.plan import make_plan  # noqa: E402
from fer_edge.training.recipes import Transfer, with_changes  # noqa: E402

from ..conftest import a_contract, a_dataset, a_recipe  # noqa: E402

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = [
    pytest.mark.usefixtures("module_undrawn"),
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

RECIPE = with_changes(a_recipe(), ["epochs=1"])
# So low that what is learnt is lost in rounding: the weights stay those of the start.
STILL = with_changes(RECIPE, ["peak_rate=1e-9", "warmup_epochs=0"])


@pytest.fixture(scope="module")
def data():
    return a_dataset(Training=6, PublicTest=3)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory) -> Path:
    """An untrained model of the recipe, of another seed, with its contract."""
    path = tmp_path_factory.mktemp("earlier") / "8.keras"
    keras.utils.set_random_seed(8)
    build_network(RECIPE).save(path)
    write_sidecar(path, a_contract())
    return path


def kernels(path: Path) -> list[np.ndarray]:
    model = keras.saving.load_model(path, compile=False)
    return [np.asarray(w) for w in model.trainable_weights if w.path.endswith("kernel")]


def test_a_run_begins_with_the_weights_of_its_start(tmp_path, data, earlier):
    train.train(data, tmp_path / "run", STILL, train.Run(start=earlier))

    for ours, theirs in zip(kernels(tmp_path / "run/model.keras"), kernels(earlier), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_without_a_start_the_seed_s_weights_are_begun_with(tmp_path, data, earlier):
    train.train(data, tmp_path / "run", STILL)

    assert not np.allclose(kernels(tmp_path / "run/model.keras")[0], kernels(earlier)[0], atol=0.01)


def test_the_start_is_named_by_its_digest(tmp_path, data, earlier):
    out = tmp_path / "run"

    train.train(data, out, STILL, train.Run(start=earlier))

    digest = file_sha256(earlier)
    assert read_sidecar(out / "model.keras").training_data["start_sha256"] == digest
    assert json.loads((out / "recipe.json").read_text())["start"] == digest


def test_a_run_is_not_gone_on_with_from_another_start(tmp_path, data, earlier):
    out = tmp_path / "run"
    train.train(data, out, STILL, train.Run(start=earlier))

    with pytest.raises(UsageError, match="differs in start from what was asked for"):
        train.train(data, out, STILL, resume=True)


def test_a_resumed_run_goes_on_from_its_checkpoint_and_not_from_the_start(tmp_path, data, earlier):
    """Two epochs in one go, and one epoch, a kill, and the second: the same weights."""
    two = with_changes(RECIPE, ["epochs=2", "shape=constant"])
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    train.train(data, whole, two, train.Run(start=earlier))

    class KilledError(Exception):
        pass

    def kill(*_: object) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.HistoryPlot, "on_epoch_end", kill)
        with pytest.raises(KilledError):
            train.train(data, parted, two, train.Run(start=earlier))
    train.train(data, parted, two, train.Run(start=earlier), resume=True)

    found = json.loads((parted / "checkpoints/state.json").read_text())
    assert len(found["history"]) == 2
    for one, other in zip(
        kernels(whole / "model.keras"), kernels(parted / "model.keras"), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_start_of_another_network_is_refused_before_a_folder_is_made(tmp_path, data, earlier):
    wider = a_recipe(options={**RECIPE.options, "stem": 6})

    with pytest.raises(ModelError, match=r"of another network than the recipe's.*stem_conv/kernel"):
        train.train(data, tmp_path / "run", wider, train.Run(start=earlier))
    assert not (tmp_path / "run").exists()


def test_a_start_with_fewer_or_more_layers_is_refused(tmp_path, data, earlier):
    """All weights of the smaller network may fit the first ones of the larger."""
    deeper = with_changes(RECIPE, ["widths=4,4"])
    path = tmp_path / "deeper.keras"
    build_network(deeper).save(path)
    write_sidecar(path, a_contract())

    for recipe, start in ((deeper, earlier), (RECIPE, path)):
        with pytest.raises(ModelError, match="of another network than the recipe's"):
            train.train(data, tmp_path / "run", recipe, train.Run(start=start))


def test_a_start_that_names_other_classes_is_refused(tmp_path, data, earlier):
    path = tmp_path / "other.keras"
    shutil.copy(earlier, path)
    write_sidecar(path, a_contract(labels=tuple(reversed(a_contract().labels))))

    with pytest.raises(ModelError, match=r"The start .* names its classes"):
        train.train(data, tmp_path / "run", RECIPE, train.Run(start=path))


def test_a_plan_refuses_a_start_as_the_run_would(data):
    with pytest.raises(ModelError, match=r"no\.keras"):
        make_plan(data, RECIPE, train.Run(start=Path("no.keras")))


def test_a_transfer_net_with_a_start_needs_no_weights_of_its_base(tmp_path, monkeypatch):
    """All weights come from the start: nothing is downloaded for it."""

    def small_base(include_top, weights, input_shape, name):
        pixels = keras.Input(input_shape)
        return keras.Model(pixels, keras.layers.Conv2D(4, 3, name="block1_conv")(pixels), name=name)

    monkeypatch.setattr(keras.applications, "VGG16", small_base)
    monkeypatch.setattr(transfer, "_download", None)  # would fail if it were called
    recipe = a_recipe(
        network="transfer",
        options={"base": "vgg16", "input_px": 48, "dense": 0, "dropout": 0.0},
        transfer=Transfer(head_epochs=1),
    )
    path = tmp_path / "start.keras"
    start = train.prepare_network(recipe, train.Run(weights="none"))
    start.save(path)
    write_sidecar(path, a_contract())

    network = train.prepare_network(recipe, train.Run(start=path))

    for one, other in zip(network.get_weights(), start.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
