"""Transfer learning on bases of ``keras.applications``: what learns when.

Which weights they begin with is in ``test_transfer_weights.py``.
"""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.errors import UsageError  # noqa: E402
from fer_edge.training import train  # noqa: E402
from fer_edge.training.recipe_book import RECIPES  # noqa: E402
from fer_edge.training.recipes import Transfer, with_changes  # noqa: E402
from fer_edge.training.transfer import BASE, set_stage, transfer_net  # noqa: E402

from ..conftest import a_dataset, a_recipe  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("module_undrawn"),
    pytest.mark.filterwarnings(
        # Keras 3.15 reads its variables through an __array__ of before NumPy 2.
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
        # MobileNetV2 of another size than those of its files.
        "ignore:`input_shape` is undefined or non-square:UserWarning",
    ),
]

PX = 32
TRANSFER = [name for name, recipe in RECIPES.items() if recipe.transfer]


@pytest.fixture
def small_vgg16(monkeypatch) -> None:
    """Three layers in the place of VGG16's, with a batch norm among those that learn."""

    def small(include_top, weights, input_shape, name):
        pixels = keras.Input(input_shape)
        x = keras.layers.Conv2D(4, 3, strides=4, name="block1_conv", activation="relu")(pixels)
        x = keras.layers.Conv2D(4, 3, strides=2, name="block5_conv", activation="relu")(x)
        x = keras.layers.BatchNormalization(name="block5_bn")(x)
        return keras.Model(pixels, x, name=name)

    monkeypatch.setattr(keras.applications, "VGG16", small)


@pytest.mark.parametrize("name", TRANSFER)
def test_what_a_recipe_unfreezes_is_the_end_of_its_base(name):
    recipe = RECIPES[name]
    assert recipe.transfer is not None
    net = transfer_net(**{**recipe.options, "input_px": PX})
    trunk = net.get_layer(BASE)

    assert set_stage(net, ()) == 0
    head = {id(v) for layer in net.layers if layer is not trunk for v in layer.weights}
    assert {id(v) for v in net.trainable_variables} == head
    learning = set_stage(net, recipe.transfer.unfreeze)

    free = [bool(layer.trainable_weights) for layer in trunk.layers if layer.weights]
    norms = [x for x in trunk.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert not any(layer.trainable_weights for layer in norms)
    assert learning == sum(free)
    first = free.index(True)
    after = [x for x in trunk.layers if x.weights][first:]
    assert all(x.trainable_weights or x in norms for x in after), "a frozen layer among the free"
    assert 0.1 < first / len(free) < 0.95
    rgb = np.random.default_rng(0).uniform(0, 255, (2, PX, PX, 3)).astype(np.float32)
    still, moving = (np.array(trunk(rgb, training=flag)) for flag in (False, True))
    np.testing.assert_array_equal(still, moving, "training drops nothing and counts nothing")
    # And back: the stages of a sweep's next variant begin frozen.
    assert set_stage(net, ()) == 0


def test_a_prefix_that_fits_no_layer_is_refused_before_a_run_is_begun(tmp_path):
    recipe = with_changes(RECIPES["vgg16"], ["input_px=32", "unfreeze=block9"])
    data = a_dataset(Training=1, PublicTest=1)

    with pytest.raises(
        UsageError, match=r"No layer of base begins with 'block9'; the last: .*block5"
    ):
        train.train(data, tmp_path / "out", recipe, train.Run(weights="none"))
    assert list(tmp_path.iterdir()) == []


def two_stages(name: str, out: Path) -> dict:
    """Train two short epochs, one a stage; the weights by path before, between and after."""
    recipe = with_changes(
        RECIPES[name],
        [
            "input_px=32",
            "dense=8",
            "batch=8",
            "epochs=2",
            "head_epochs=1",
            "shape=constant",
            "peak_rate=0.01",
            "fine_tune_rate=0.001",
        ],
    )
    data = a_dataset(Training=2, PublicTest=1)
    seen: dict[str, dict[str, np.ndarray]] = {}
    real, network_of = train.prepare_stage, {}

    def note(key: str) -> None:
        seen[key] = {w.path: np.array(w) for w in network_of["it"].weights}

    def staged(network, recipe_, stage, lessons):
        network_of["it"] = network
        note(f"before stage {stage.first}")
        return real(network, recipe_, stage, lessons)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "prepare_stage", staged)
        train.train(data, out, recipe, train.Run(weights="none"))
    note("after")
    return seen


def changed(before: dict, after: dict) -> set[str]:
    return {path for path in before if not np.array_equal(before[path], after[path])}


def prove_both_stages(name: str, out: Path) -> None:
    recipe = RECIPES[name]
    assert recipe.transfer is not None

    seen = two_stages(name, out)

    first = changed(seen["before stage 0"], seen["before stage 1"])
    second = changed(seen["before stage 1"], seen["after"])
    heads = {path for path in seen["after"] if path.split("/")[0] in ("dense", "logits")}
    assert len(heads) == 4
    assert first == heads, "only the head learns in the first stage"
    assert second > heads, "the base learns in the second"
    layers = {path.split("/")[-2] for path in second - heads}
    assert all(layer.startswith(recipe.transfer.unfreeze) for layer in layers)
    norms = {path for path in seen["after"] if path.rpartition("/")[2].startswith("moving_")}
    assert not norms & second, "batch norms keep their statistics"
    assert not any(path.rpartition("/")[2] in ("gamma", "beta") for path in second)
    for prefix in recipe.transfer.unfreeze:
        has_kernels = any(
            f"/{prefix}" in path and path.endswith("kernel") for path in seen["after"]
        )
        assert not has_kernels or any(layer.startswith(prefix) for layer in layers), prefix
    saved = keras.saving.load_model(out / "model.keras", safe_mode=True)
    assert saved.input_shape == (None, 48, 48, 1)
    faces = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 1)).astype(np.float32)
    assert np.isfinite(np.array(saved(faces))).all()


@pytest.mark.usefixtures("small_vgg16")
def test_the_head_learns_first_and_then_the_top_of_the_base(tmp_path):
    prove_both_stages("vgg16", tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFER)
def test_the_head_learns_first_and_then_the_top_of_each_base(name, tmp_path):
    prove_both_stages(name, tmp_path / "run")


@pytest.mark.usefixtures("small_vgg16")
def test_a_run_that_is_killed_between_its_stages_ends_where_the_whole_one_does(
    tmp_path, monkeypatch
):
    recipe = a_recipe(
        network="transfer",
        options={"base": "vgg16", "input_px": 48, "dense": 4, "dropout": 0.3},
        transfer=Transfer(head_epochs=2, unfreeze=("block5",), fine_tune_rate=1e-3),
    )
    recipe = with_changes(
        recipe,
        [
            "epochs=4",
            "shape=plateau",
            "plateau_patience=0",
            "optimiser.name=adam",
            "average=0.8",
            "weight_decay=0",
        ],
    )
    data, said = a_dataset(Training=3, PublicTest=2), train.Run(weights="none")
    train.train(data, tmp_path / "whole", recipe, said)
    real = train.resume_stage

    class KilledError(Exception):
        pass

    for stage_first in (0, 2):  # as each stage has begun

        def killed(model, network, stage, state, out, *, first=stage_first):
            if stage.first == first:
                raise KilledError
            real(model, network, stage, state, out)

        monkeypatch.setattr(train, "resume_stage", killed)
        with pytest.raises(KilledError):
            train.train(data, tmp_path / "killed", recipe, said, resume=True)
    monkeypatch.setattr(train, "resume_stage", real)

    train.train(data, tmp_path / "killed", recipe, said, resume=True)

    path = Path("checkpoints/epoch-004.npz")
    with (
        np.load(tmp_path / "whole" / path) as whole,
        np.load(tmp_path / "killed" / path) as resumed,
    ):
        assert set(whole.files) == set(resumed.files)
        for part in whole.files:
            np.testing.assert_array_equal(whole[part], resumed[part])
