"""Transfer learning on bases of ``keras.applications``: what goes into them, and what learns when.

Nothing is downloaded: the files that Keras would fetch are made here, with random weights, in the
old HDF5 form that they have there.
"""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")
h5py = pytest.importorskip("h5py")
from keras.src.legacy.saving import legacy_h5_format  # noqa: E402
from keras.src.utils import file_utils  # noqa: E402

from fer_edge.edge.errors import FerEdgeError, ModelError, UsageError  # noqa: E402
from fer_edge.training import train, transfer  # noqa: E402
from fer_edge.training.recipe_book import RECIPES  # noqa: E402
from fer_edge.training.recipes import Transfer, with_changes  # noqa: E402
from fer_edge.training.transfer import (  # noqa: E402
    BASE,
    BASES,
    load_base_weights,
    set_stage,
    transfer_net,
)

from ..conftest import a_dataset, a_recipe, files_in  # noqa: E402

# Keras 3.15 reads its variables through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    # MobileNetV2 of another size than those of its files.
    "ignore:`input_shape` is undefined or non-square:UserWarning",
)

PX = 32
MODULES = {
    "vgg16": keras.applications.vgg16,
    "resnet50": keras.applications.resnet50,
    "resnet50v2": keras.applications.resnet_v2,
    "mobilenetv2": keras.applications.mobilenet_v2,
    "efficientnet-b0": keras.applications.efficientnet,
}
FACES = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 1)).astype(np.float32)
EACH_BASE = pytest.mark.parametrize("base", BASES)


def a_net(base: str) -> keras.Model:
    return transfer_net(base=base, input_px=PX, dense=8, dropout=0.0)


def weights_of(model) -> list[np.ndarray]:
    return [np.array(weight) for weight in model.weights]


def randomised(model: keras.Model, seed: int) -> None:
    """Weights that differ from those of a new model, and that no layer dies of."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(np.array(weight) * generator.uniform(0.8, 1.2, weight.shape))


def write_old_form(model: keras.Model, path: Path) -> Path:
    """As the files of ``keras.applications`` are."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file as Keras would download it, for a base; made at the first call."""
    folder, made = tmp_path_factory.mktemp("weights"), {}

    def file_of(base: str) -> Path:
        if base not in made:
            trunk = a_net(base).get_layer(BASE)
            randomised(trunk, seed=len(made))
            if base == "efficientnet-b0":  # ImageNet's, as in the true file
                normalise = trunk.get_layer(index=2)
                normalise.adapt_mean.assign([0.485, 0.456, 0.406])
                normalise.adapt_variance.assign([0.229, 0.224, 0.225])
            made[base] = write_old_form(trunk, folder / BASES[base].file.rpartition("/")[2])
        return made[base]

    return file_of


# --------------------------------------------------------------------------------- what goes in


@pytest.mark.parametrize("base", [base for base in BASES if base != "efficientnet-b0"])
def test_the_preprocessing_inside_is_the_base_s_own_on_grey_as_rgb(base):
    net = a_net(base)
    rgb = keras.Model(net.inputs[0], net.get_layer("grey_to_rgb").output)(FACES)
    inside = keras.Model(net.inputs[0], net.get_layer("preprocess").output)(FACES)

    expected = MODULES[base].preprocess_input(np.array(rgb))

    assert rgb.shape == (2, PX, PX, 3)
    for channel in (1, 2):
        np.testing.assert_array_equal(np.array(rgb)[..., channel], np.array(rgb)[..., 0])
    np.testing.assert_allclose(np.array(inside), expected, atol=1e-4)


@pytest.mark.parametrize(
    "base",
    # Those of another kind each; the other two are as one of them.
    [
        pytest.param(b, marks=pytest.mark.slow if b in ("resnet50", "mobilenetv2") else ())
        for b in BASES
    ],
)
def test_with_its_file_a_base_answers_as_keras_s_own_does(base, files, monkeypatch):
    """Against the model that ``keras.applications`` builds and loads by itself."""
    asked = []

    def fetched(name, origin, **_options):
        asked.append((name, origin))
        return str(files(base))

    monkeypatch.setattr(file_utils, "get_file", fetched)
    reference = getattr(keras.applications, BASES[base].make)(
        include_top=False, weights="imagenet", input_shape=(PX, PX, 3)
    )
    net = a_net(base)
    load_base_weights(net, base, str(files(base)))
    rgb = keras.Model(net.inputs[0], net.get_layer("grey_to_rgb").output)(FACES)
    features = keras.Model(net.inputs[0], net.get_layer("mean").input)(FACES)

    expected = np.array(reference(MODULES[base].preprocess_input(np.array(rgb))))

    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(np.array(features), expected, atol=1e-3 * scale)
    assert asked == [(BASES[base].file.rpartition("/")[2], BASES[base].file)]


# -------------------------------------------------------------------------------- its weights


def test_without_weights_nothing_is_loaded():
    net = a_net("mobilenetv2")
    before = weights_of(net)

    load_base_weights(net, "mobilenetv2", "none")

    for old, new in zip(before, weights_of(net), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_that_keras_3_saved_are_taken_too(suffix, tmp_path):
    one, other = a_net("mobilenetv2"), a_net("mobilenetv2")
    trunk = one.get_layer(BASE)
    randomised(trunk, seed=1)
    path = tmp_path / f"mine{suffix}"
    (trunk.save if suffix == ".keras" else trunk.save_weights)(path)

    load_base_weights(other, "mobilenetv2", str(path))

    for mine, loaded in zip(weights_of(trunk), weights_of(other.get_layer(BASE)), strict=True):
        np.testing.assert_array_equal(mine, loaded)


OTHERS = {
    "vgg16": "resnet50",
    "resnet50": "resnet50v2",
    "resnet50v2": "resnet50",
    "mobilenetv2": "efficientnet-b0",
    "efficientnet-b0": "mobilenetv2",
}


@EACH_BASE
def test_weights_of_another_architecture_are_refused(base, files):
    path = files(OTHERS[base])

    with pytest.raises(ModelError) as caught:
        load_base_weights(a_net(base), base, str(path))

    assert f"{path} does not hold the weights of {BASES[base].make}" in str(caught.value)
    assert f"Expected the file {BASES[base].file}" in str(caught.value)


def test_weights_with_the_classifier_are_refused(tmp_path):
    whole = keras.applications.VGG16(weights=None, input_shape=(PX, PX, 3), classes=3)
    path = write_old_form(whole, tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels.h5")

    with pytest.raises(ModelError, match=r"VGG16 without its classifier"):
        load_base_weights(a_net("vgg16"), "vgg16", str(path))


# Each case: a file that is no file of weights, and its bytes.
NO_WEIGHTS = [
    ("a.h5", b""),
    ("a.h5", b"\x89HDF\r\n\x1a\n cut"),
    ("a.txt", b"x"),
    ("a.keras", b"PK"),
]


@pytest.mark.parametrize(("name", "content"), NO_WEIGHTS)
def test_a_file_that_holds_no_weights_is_no_traceback(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ModelError, match=r"does not hold the weights of VGG16.*Expected the file"):
        load_base_weights(a_net("vgg16"), "vgg16", str(tmp_path / name))


def test_a_missing_file_is_named_with_what_was_expected(tmp_path):
    with pytest.raises(
        ModelError, match=r"no weights .*gone\.h5\. Expected `imagenet`, `none`, or"
    ):
        load_base_weights(a_net("vgg16"), "vgg16", str(tmp_path / "gone.h5"))


def test_a_download_that_fails_says_what_to_fetch_and_where_to_put_it(
    tmp_path, monkeypatch, capsys
):
    from keras.src.backend import config

    url = "http://127.0.0.1:9/keras-applications/efficientnetb0_notop.h5"  # nobody listens
    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    about = BASES["efficientnet-b0"]
    monkeypatch.setitem(
        transfer.BASES, "efficientnet-b0", transfer.Base(about.make, about.scale, about.offset, url)
    )

    with pytest.raises(FerEdgeError) as caught:
        load_base_weights(a_net("efficientnet-b0"), "efficientnet-b0", "imagenet")

    place = tmp_path / "models" / "efficientnetb0_notop.h5"
    assert f"Fetch {url} elsewhere and put it at {place}" in str(caught.value)
    assert "--weights none" in str(caught.value)
    assert files_in(tmp_path) == set(), "nothing half fetched is left"
    assert capsys.readouterr().out == "", "standard output is for data"


def test_a_file_that_was_put_there_is_used(tmp_path, monkeypatch, files):
    from keras.src.backend import config

    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
    source = files("mobilenetv2")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / source.name).write_bytes(source.read_bytes())
    one, other = a_net("mobilenetv2"), a_net("mobilenetv2")

    load_base_weights(one, "mobilenetv2", "imagenet")
    load_base_weights(other, "mobilenetv2", str(source))

    for mine, theirs in zip(
        weights_of(one.get_layer(BASE)), weights_of(other.get_layer(BASE)), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


# Each case: options that no base takes, and what is said.
REFUSED = [
    ({"base": "vit"}, "No base 'vit'; there are: vgg16, resnet50,"),
    ({"base": "vgg16", "input_px": 16}, "vgg16 takes no input of 16 pixels"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_a_base_that_is_not_there_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        transfer_net(**options)


# ----------------------------------------------------------------------------------- the stages


@pytest.mark.parametrize("name", [name for name, r in RECIPES.items() if r.transfer])
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


def test_weights_of_another_architecture_are_refused_before_a_run_is_begun(tmp_path, files):
    recipe = with_changes(RECIPES["vgg16"], ["input_px=32"])
    data = a_dataset(Training=1, PublicTest=1)
    said = train.Run(weights=str(files("mobilenetv2")))

    with pytest.raises(ModelError, match="does not hold the weights of VGG16"):
        train.train(data, tmp_path / "out", recipe, said)
    assert list(tmp_path.iterdir()) == []


def two_stages(name: str, out: Path, *, kill_in: int | None = None, resume: bool = False) -> dict:
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
        train.train(data, out, recipe, train.Run(weights="none"), resume=resume)
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
    assert np.isfinite(np.array(saved(FACES))).all()


def test_the_head_learns_first_and_then_the_top_of_the_base(tmp_path):
    prove_both_stages("vgg16", tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "resnet50v2", "mobilenetv2", "efficientnet-b0"])
def test_the_head_learns_first_and_then_the_top_of_the_other_bases(name, tmp_path):
    prove_both_stages(name, tmp_path / "run")


def test_a_run_that_is_killed_between_its_stages_ends_where_the_whole_one_does(
    tmp_path, monkeypatch
):
    """On a base of three layers, in the place of one of 16."""
    made = []

    def small(include_top, weights, input_shape, name):
        pixels = keras.Input(input_shape)
        x = keras.layers.Conv2D(4, 3, strides=4, name="block1_conv", activation="relu")(pixels)
        x = keras.layers.Conv2D(4, 3, strides=2, name="block2_conv", activation="relu")(x)
        made.append(keras.Model(pixels, x, name=name))
        return made[-1]

    monkeypatch.setattr(keras.applications, "VGG16", small)
    recipe = a_recipe(
        network="transfer",
        options={"base": "vgg16", "input_px": 48, "dense": 4, "dropout": 0.3},
        transfer=Transfer(head_epochs=2, unfreeze=("block2",), fine_tune_rate=1e-3),
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

    for name in ("epoch-004.npz",):
        with (
            np.load(tmp_path / "whole/checkpoints" / name) as whole,
            np.load(tmp_path / "killed/checkpoints" / name) as resumed,
        ):
            assert set(whole.files) == set(resumed.files)
            for part in whole.files:
                np.testing.assert_array_equal(whole[part], resumed[part])
