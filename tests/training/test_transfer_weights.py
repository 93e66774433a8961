"""What goes into the bases of ``keras.applications``, and which weights they take.

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
from fer_edge.training.recipes import with_changes  # noqa: E402
from fer_edge.training.transfer import BASE, BASES, load_base_weights, transfer_net  # noqa: E402

from ..conftest import a_dataset, files_in  # noqa: E402

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


@pytest.fixture(scope="module")
def net_of():
    """The one net of a base, made at the first call: its weights are what the last test left."""
    made = {}

    def net(base: str) -> keras.Model:
        if base not in made:
            made[base] = transfer_net(base=base, input_px=PX, dense=8, dropout=0.0)
        return made[base]

    return net


def weights_of(model) -> list[np.ndarray]:
    return [np.array(weight) for weight in model.weights]


def assert_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


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
def files(net_of, tmp_path_factory):
    """A file as Keras would download it, for a base; made at the first call."""
    folder, made = tmp_path_factory.mktemp("weights"), {}

    def file_of(base: str) -> Path:
        if base not in made:
            trunk = net_of(base).get_layer(BASE)
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
def test_the_preprocessing_inside_is_the_base_s_own_on_grey_as_rgb(net_of, base):
    net = net_of(base)
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
    [pytest.param(b, marks=pytest.mark.slow if b.startswith("resnet") else ()) for b in BASES],
)
def test_with_its_file_a_base_answers_as_keras_s_own_does(net_of, base, files, monkeypatch):
    """Against the model that ``keras.applications`` builds and loads by itself."""
    asked = []

    def fetched(name, origin, **_options):
        asked.append((name, origin))
        return str(files(base))

    monkeypatch.setattr(file_utils, "get_file", fetched)
    reference = getattr(keras.applications, BASES[base].make)(
        include_top=False, weights="imagenet", input_shape=(PX, PX, 3)
    )
    path, net = files(base), net_of(base)
    randomised(net.get_layer(BASE), seed=100)
    load_base_weights(net, base, str(path))
    rgb = keras.Model(net.inputs[0], net.get_layer("grey_to_rgb").output)(FACES)
    features = keras.Model(net.inputs[0], net.get_layer("mean").input)(FACES)

    expected = np.array(reference(MODULES[base].preprocess_input(np.array(rgb))))

    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(np.array(features), expected, atol=1e-3 * scale)
    assert asked == [(BASES[base].file.rpartition("/")[2], BASES[base].file)]


# -------------------------------------------------------------------------------- its weights


def test_without_weights_nothing_is_loaded(net_of):
    net = net_of("mobilenetv2")
    before = weights_of(net)

    load_base_weights(net, "mobilenetv2", "none")

    assert_equal(weights_of(net), before)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_that_keras_3_saved_are_taken_too(net_of, suffix, tmp_path):
    net = net_of("mobilenetv2")
    trunk, path = net.get_layer(BASE), tmp_path / f"mine{suffix}"
    randomised(trunk, seed=101)
    mine = weights_of(trunk)
    (trunk.save if suffix == ".keras" else trunk.save_weights)(path)
    randomised(trunk, seed=102)

    load_base_weights(net, "mobilenetv2", str(path))

    assert_equal(weights_of(trunk), mine)


OTHERS = {
    "vgg16": "mobilenetv2",
    "resnet50": "resnet50v2",
    "resnet50v2": "resnet50",
    "mobilenetv2": "efficientnet-b0",
    "efficientnet-b0": "mobilenetv2",
}


@pytest.mark.parametrize("base", BASES)
def test_weights_of_another_architecture_are_refused(net_of, base, files):
    path = files(OTHERS[base])

    with pytest.raises(ModelError) as caught:
        load_base_weights(net_of(base), base, str(path))

    assert f"{path} does not hold the weights of {BASES[base].make}" in str(caught.value)
    assert f"Expected the file {BASES[base].file}" in str(caught.value)


def test_weights_with_the_classifier_are_refused(net_of, tmp_path):
    whole = keras.applications.VGG16(weights=None, input_shape=(PX, PX, 3), classes=3)
    path = write_old_form(whole, tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels.h5")

    with pytest.raises(ModelError, match=r"VGG16 without its classifier"):
        load_base_weights(net_of("vgg16"), "vgg16", str(path))


# Each case: a file that is no file of weights, and its bytes.
NO_WEIGHTS = [
    ("a.h5", b""),
    ("a.h5", b"\x89HDF\r\n\x1a\n cut"),
    ("a.txt", b"x"),
    ("a.keras", b"PK"),
]


@pytest.mark.parametrize(("name", "content"), NO_WEIGHTS)
def test_a_file_that_holds_no_weights_is_no_traceback(net_of, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ModelError, match=r"does not hold the weights of VGG16.*Expected the file"):
        load_base_weights(net_of("vgg16"), "vgg16", str(tmp_path / name))


def test_a_missing_file_is_named_with_what_was_expected(net_of, tmp_path):
    with pytest.raises(
        ModelError, match=r"no weights .*gone\.h5\. Expected `imagenet`, `none`, or"
    ):
        load_base_weights(net_of("vgg16"), "vgg16", str(tmp_path / "gone.h5"))


def test_a_download_that_fails_says_what_to_fetch_and_where_to_put_it(
    net_of, tmp_path, monkeypatch, capsys
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
        load_base_weights(net_of("efficientnet-b0"), "efficientnet-b0", "imagenet")

    place = tmp_path / "models" / "efficientnetb0_notop.h5"
    assert f"Fetch {url} elsewhere and put it at {place}" in str(caught.value)
    assert "--weights none" in str(caught.value)
    assert files_in(tmp_path) == set(), "nothing half fetched is left"
    assert capsys.readouterr().out == "", "standard output is for data"


def test_a_file_that_was_put_there_is_used(net_of, tmp_path, monkeypatch, files):
    from keras.src.backend import config

    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
    source, net = files("mobilenetv2"), net_of("mobilenetv2")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / source.name).write_bytes(source.read_bytes())
    trunk, loaded = net.get_layer(BASE), []

    for number, weights in enumerate(("imagenet", str(source))):
        randomised(trunk, seed=103 + number)
        load_base_weights(net, "mobilenetv2", weights)
        loaded.append(weights_of(trunk))

    assert_equal(*loaded)


# Each case: options that no base takes, and what is said.
REFUSED = [
    ({"base": "vit"}, "No base 'vit'; there are: vgg16, resnet50,"),
    ({"base": "vgg16", "input_px": 16}, "vgg16 takes no input of 16 pixels"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_a_base_that_is_not_there_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        transfer_net(**options)


def test_weights_of_another_architecture_are_refused_before_a_run_is_begun(tmp_path, files):
    recipe = with_changes(RECIPES["vgg16"], ["input_px=32"])
    data = a_dataset(Training=1, PublicTest=1)
    said = train.Run(weights=str(files("mobilenetv2")))

    with pytest.raises(ModelError, match="does not hold the weights of VGG16"):
        train.train(data, tmp_path / "out", recipe, said)
    assert list(tmp_path.iterdir()) == []
