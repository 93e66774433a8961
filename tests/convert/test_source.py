"""Which Keras models are taken: damaged ones, foreign ones, those unlike their contract."""

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.convert.calibration import load_calibration  # noqa: E402
from fer_edge.convert.keras_backend import load_keras_model  # noqa: E402
from fer_edge.convert.quantize import Converted, convert  # noqa: E402
from fer_edge.convert.source import load_source  # noqa: E402
from fer_edge.edge.classifier import EmotionClassifier  # noqa: E402
from fer_edge.edge.errors import FerEdgeError, ModelError, UsageError  # noqa: E402
from fer_edge.edge.framing import to_float  # noqa: E402
from fer_edge.edge.sidecar import file_sha256, sidecar_path, write_sidecar  # noqa: E402

from ..conftest import EMOTIONS, a_contract  # noqa: E402
from .conftest import call  # noqa: E402

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture(scope="module")
def calibration(trained):
    return load_calibration(trained.with_suffix(".calibration.npz"))


def int8(path: Path, calibration) -> Converted:
    return convert(load_source(path), "int8", calibration)


# ---------------------------------------------------------------------------------------- refusals


def test_an_output_that_exists_is_refused_before_the_work(copied):
    copied.with_suffix(".tflite").write_text("precious")

    result = call(copied)

    assert (result.exit_code, copied.with_suffix(".tflite").read_text()) == (4, "precious")
    assert "--overwrite" in result.stderr


def test_without_faces_beside_it_the_command_says_calibrate(copied):
    copied.with_suffix(".calibration.npz").unlink()

    result = call(copied)

    assert result.exit_code == 1
    assert "--calibrate" in result.stderr
    assert not copied.with_suffix(".tflite").exists()


def test_a_model_without_a_contract_is_refused(copied):
    sidecar_path(copied).unlink()

    result = call(copied)

    assert result.exit_code == 4
    assert "model.keras has no contract" in result.stderr
    assert "--labels" in result.stderr


def test_a_model_that_is_not_the_contract_s_is_refused(copied, calibration):
    copied.write_bytes(copied.read_bytes() + b"\0")

    with pytest.raises(ModelError, match="digests differ"):
        int8(copied, calibration)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def turned(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 0xFF
    return bytes(changed)


# What is in the .keras file instead; the contract's digest is that of the damaged file.
@pytest.mark.parametrize("damage", [cut, turned, lambda content: b"no model", lambda content: b""])
def test_a_damaged_keras_file_is_refused(copied, calibration, damage):
    copied.write_bytes(damage(copied.read_bytes()))
    write_sidecar(copied, a_contract())

    with pytest.raises(ModelError, match=r"model.keras"):
        int8(copied, calibration)


def saved(path: Path, model, **changes) -> Path:
    model.save(path)
    write_sidecar(path, a_contract(**changes))
    return path


def test_code_in_a_keras_file_is_not_run(tmp_path, calibration):
    marker = tmp_path / "was run"
    pixels = keras.Input((48, 48, 1))
    x = keras.layers.Lambda(lambda x, path=str(marker): (open(path, "w").close(), x)[1])(pixels)
    outputs = keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(x))
    path = saved(tmp_path / "lambda.keras", keras.Model(pixels, outputs))
    assert marker.exists(), "the test's own model runs it, when it is built"
    marker.unlink()

    with pytest.raises(ModelError, match=r"Cannot load .*lambda.keras"):
        int8(path, calibration)

    assert not marker.exists()


@pytest.mark.parametrize("name", ["model.h5", "model.tflite", "folder.keras", "missing.keras"])
def test_only_a_single_keras_file_is_loaded(tmp_path, name):
    (tmp_path / "model.h5").touch()
    (tmp_path / "model.tflite").touch()
    (tmp_path / "folder.keras").mkdir()

    with pytest.raises(ModelError, match=r"Expected a single .keras file"):
        load_keras_model(tmp_path / name)


def small_net(side: int = 48, channels: int = 1, classes: int = 7, activation=None):
    pixels = keras.Input((side, side, channels))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(x)
    outputs = keras.layers.Dense(classes, activation=activation)(keras.layers.Flatten()(x))
    return keras.Model(pixels, outputs)


# Each case: a net, what its contract says beside the usual, what the error says.
MISMATCHES = {
    "an input that is not the contract's": ({"side": 40}, {}, "promises 48x48 .*takes 40x40 in 1"),
    "other channels": ({"channels": 3}, {}, "promises 48x48 pixels in 1 .*takes 48x48 in 3"),
    "fewer answers": ({"classes": 5}, {}, "and 7 labels, the model .*gives 5 answers"),
    "fewer labels": ({}, {"labels": EMOTIONS[:3]}, "and 3 labels, the model .*gives 7 answers"),
    "a detector": ({}, {"kind": "face-detector"}, "Expected an emotion-classifier"),
    "probabilities called logits": ({"activation": "softmax"}, {}, "promises logits.*answers prob"),
    "logits called probabilities": ({}, {"output": "probabilities"}, "answers logits"),
}


@pytest.mark.parametrize(("net", "changes", "said"), MISMATCHES.values(), ids=MISMATCHES)
def test_a_model_that_is_not_what_its_contract_says_is_refused(
    tmp_path, calibration, net, changes, said
):
    path = saved(tmp_path / "model.keras", small_net(**net), **changes)

    with pytest.raises(ModelError, match=said):
        int8(path, calibration)


# Each case: a net of another size, other channels, or with a softmax, and what its contract says.
OTHERS = {
    "a larger input": ({"side": 64}, {"input_size_wh": (64, 64)}),
    "colour": ({"channels": 3}, {"input_channels": 3}),
    "other classes": ({"classes": 3}, {"labels": ("a", "b", "c")}),
    "a softmax": ({"activation": "softmax"}, {"output": "probabilities"}),
}


@pytest.mark.parametrize(("net", "changes"), OTHERS.values(), ids=OTHERS)
def test_any_image_classifier_is_converted(tmp_path, calibration, net, changes):
    keras.utils.set_random_seed(3)
    path = saved(tmp_path / "model.keras", small_net(**net), **changes)

    made = convert(load_source(path), "float32", calibration)

    classifier = EmotionClassifier(made.content, made.contract)
    assert classifier.size_wh == changes.get("input_size_wh", (48, 48))
    assert classifier.contract.output == changes.get("output", "logits")
    assert made.parity.agreement == 1.0
    assert made.parity.largest_difference < 1e-3


# ---------------------------------------------------------------------------- without a contract


def test_a_foreign_model_is_converted_by_what_the_caller_says(tmp_path, calibration):
    """Trained on 0..1 outside of it: the scaling goes into the file, which takes raw pixels."""
    keras.utils.set_random_seed(5)
    pixels = keras.Input((48, 48, 1))
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(pixels)
    answers = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x))
    model = keras.Model(pixels, answers)
    model.save(tmp_path / "foreign.keras")

    source = load_source(
        tmp_path / "foreign.keras",
        labels=("a", "b", "c"),
        input_range=(0, 1),
        faces=calibration.check,
    )
    made = convert(source, "float32", calibration)

    assert (made.contract.labels, made.contract.output) == (("a", "b", "c"), "probabilities")
    assert made.contract.parent_sha256 == file_sha256(tmp_path / "foreign.keras")
    found = EmotionClassifier(made.content, made.contract).outputs(calibration.check)
    expected = model.predict(to_float(calibration.check) / 255, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-4)


# Each case: how the caller is wrong, what the error says.
WRONG_WORDS = {
    "nothing said": ({}, ModelError, "has no contract beside it.*--labels"),
    "too few labels": ({"labels": ("a", "b")}, UsageError, "names 2 classes, .* gives 7 answers"),
    "a turned range": (
        {"labels": EMOTIONS, "input_range": (1, 0)},
        UsageError,
        "expected the smaller number first",
    ),
}


@pytest.mark.parametrize(("words", "error", "said"), WRONG_WORDS.values(), ids=WRONG_WORDS)
def test_wrong_words_about_a_foreign_model_are_told(tmp_path, words, error, said):
    small_net().save(tmp_path / "foreign.keras")

    with pytest.raises(error, match=said):
        load_source(tmp_path / "foreign.keras", **words)


def test_words_that_contradict_a_contract_are_refused(trained):
    with pytest.raises(UsageError, match="already says what"):
        load_source(trained, labels=EMOTIONS)


def shaped(inputs: int = 1, side: int | None = 48, channels: int = 1, outputs: int = 1):
    pixels = [keras.Input((side, side, channels)) for _ in range(inputs)]
    x = keras.layers.GlobalAveragePooling2D()(sum(pixels[1:], pixels[0]))
    return keras.Model(pixels, [keras.layers.Dense(7)(x) for _ in range(outputs)])


# Each case: a model that is no single-input image classifier, what the error says.
SHAPES = {
    "two inputs": ({"inputs": 2}, "expected one image"),
    "a free size": ({"side": None}, "fixed height and width"),
    "four channels": ({"channels": 4}, "1 or 3"),
    "two outputs": ({"outputs": 2}, "expected one row of answers"),
}


@pytest.mark.parametrize(("shape", "said"), SHAPES.values(), ids=SHAPES)
def test_what_is_no_image_classifier_is_refused(tmp_path, shape, said):
    shaped(**shape).save(tmp_path / "model.keras")

    with pytest.raises(ModelError, match=said):
        load_source(tmp_path / "model.keras", labels=EMOTIONS)


def test_another_backend_is_told_apart(trained, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")

    with pytest.raises(FerEdgeError, match="Keras runs on jax in this process"):
        load_keras_model(trained)
