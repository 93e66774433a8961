"""From a Keras model to int8: what comes out, what is checked, what is refused."""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.convert.calibration import load_calibration  # noqa: E402
from fer_edge.convert.keras_backend import load_keras_model  # noqa: E402
from fer_edge.convert.quantize import (  # noqa: E402
    KINDS,
    MIN_AGREEMENT,
    Converted,
    convert,
    parity_of,
)
from fer_edge.convert.source import load_source  # noqa: E402
from fer_edge.edge.classifier import EmotionClassifier  # noqa: E402
from fer_edge.edge.cli import cli  # noqa: E402
from fer_edge.edge.contract import read_contract  # noqa: E402
from fer_edge.edge.errors import FerEdgeError, GateError, ModelError, UsageError  # noqa: E402
from fer_edge.edge.framing import to_float  # noqa: E402
from fer_edge.edge.runtime import load_network  # noqa: E402
from fer_edge.edge.sidecar import (  # noqa: E402
    file_sha256,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)

from ..conftest import EMOTIONS, a_contract  # noqa: E402
from .conftest import patterned_faces, write_faces  # noqa: E402

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

HANG_S = 300


@pytest.fixture(scope="module")
def calibration(trained):
    return load_calibration(trained.with_suffix(".calibration.npz"))


def int8(path: Path, calibration) -> Converted:
    return convert(load_source(path), "int8", calibration)


@pytest.fixture(scope="module")
def converted(trained, calibration) -> Converted:
    return int8(trained, calibration)


# -------------------------------------------------------------------------------- what comes out


def test_input_and_output_are_int8_of_one_face(converted):
    network = load_network(converted.content)

    assert (network.input.shape, network.input.dtype) == ((1, 48, 48, 1), np.int8)
    assert (network.output.shape, network.output.dtype) == ((1, 7), np.int8)
    # Raw pixels: a step is one of them, so the device flips a bit and computes nothing.
    assert network.input.scale == pytest.approx(1.0)
    assert network.input.zero_point == -128


def test_it_names_the_faces_as_the_float_model_does(converted, trained):
    images, labels = patterned_faces(per_class=20, seed=99)
    classifier = EmotionClassifier(converted.content, converted.contract)
    float_model = load_keras_model(trained)

    found = classifier.outputs(images)

    expected = float_model.predict(to_float(images), verbose=0)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= MIN_AGREEMENT["int8"]
    assert (found.argmax(axis=1) == labels).mean() > 0.8
    assert np.abs(found - expected).mean() < 0.05 * np.ptp(expected)


def test_the_contract_inside_tells_where_it_comes_from(converted, trained, calibration):
    parent = read_sidecar(trained)

    contract = read_contract(converted.content)

    assert contract == converted.contract
    assert contract.parent_sha256 == parent.content_sha256 == file_sha256(trained)
    assert contract.content_sha256 != parent.content_sha256
    assert contract.calibration == {
        "source": "model.calibration.npz",
        "sha256": file_sha256(trained.with_suffix(".calibration.npz")),
        "count": len(calibration.calibrate),
        "per_class": 72,
        "seed": 1,
    }
    network = load_network(converted.content)
    assert contract.quantisation == {
        "type": "int8",
        "input": {"scale": network.input.scale, "zero_point": network.input.zero_point},
        "output": {"scale": network.output.scale, "zero_point": network.output.zero_point},
    }
    # All else is the parent's.
    changed = ("quantisation", "calibration", "parent_sha256", "content_sha256")
    ours = {name: getattr(parent, name) for name in changed}
    assert dataclasses.replace(contract, **ours) == parent


def test_parity_counts_the_faces_that_were_not_calibrated_on(converted, calibration):
    parity = converted.parity

    assert parity.count == len(calibration.check)
    assert MIN_AGREEMENT["int8"] <= parity.agreement <= 1
    assert 0 < parity.mean_difference <= parity.largest_difference < 3


def test_a_step_of_the_output_is_finer_than_the_answers(converted):
    """The logits must not all fall on a few steps."""
    images, _ = patterned_faces(per_class=10, seed=5)
    network = load_network(converted.content)

    found = EmotionClassifier(converted.content, converted.contract).outputs(images)

    assert len(np.unique(found)) > 40
    assert np.ptp(found) > 100 * network.output.scale


def test_parity_by_hand():
    expected = np.array([(9.5, 5, 0), (9, 9.5, 0), (5, 9, 0), (5, 5, 7)], np.float32)
    found = np.array(
        [
            (9, 5, 0),  # the same winner
            (9, 5, 0),  # another winner
            (5, 9, 0),
            (5, 5, 1),  # another winner, and the largest difference
        ],
        np.float32,
    )

    parity = parity_of(expected, found)

    assert (parity.count, parity.agreement, parity.largest_difference) == (4, 0.5, 6.0)
    assert parity.mean_difference == pytest.approx((0.5 + 4.5 + 6.0) / 12)


# ---------------------------------------------------------------------------------------- writing


def test_a_file_is_written_whole_and_can_be_opened(converted, tmp_path):
    path = tmp_path / "int8.tflite"

    converted.write(path)

    assert EmotionClassifier.open(path).contract == converted.contract
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_exists_is_not_overwritten(converted, tmp_path):
    path = tmp_path / "int8.tflite"
    path.write_text("precious")

    with pytest.raises(ModelError, match=r"int8.tflite exists.*--overwrite"):
        converted.write(path)
    assert path.read_text() == "precious"

    converted.write(path, overwrite=True)
    assert path.read_bytes() == converted.content
    assert list(tmp_path.iterdir()) == [path]


# Each case: where it cannot be written.
@pytest.mark.parametrize("target", ["missing/int8.tflite", "file/int8.tflite", "folder"])
def test_where_it_cannot_be_written_nothing_is_left(converted, tmp_path, target):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()

    with pytest.raises(ModelError, match="Cannot write"):
        converted.write(tmp_path / target, overwrite=True)

    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


# -------------------------------------------------------------------------------------- the gate


def with_black_faces(calibration):
    """Ranges from faces that show nothing: every other face is then cut off at them."""
    return dataclasses.replace(calibration, calibrate=np.zeros_like(calibration.calibrate))


def test_a_model_that_answers_otherwise_is_not_handed_out(
    trained, calibration, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with pytest.raises(GateError, match=r"on [0-8].* of 196 faces, expected 97") as caught:
        int8(trained, with_black_faces(calibration))

    assert "--calibrate" in str(caught.value)
    assert caught.value.exit_code == 5
    # TensorFlow itself leaves generated source files there until the end of the process.
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def call(*arguments: object):
    result = CliRunner().invoke(cli, ["convert", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_gate_ends_with_code_5_and_leaves_no_file(copied, calibration):
    both = np.concatenate([np.zeros((7 * 72, 48, 48), np.uint8), calibration.check])
    labels = np.concatenate([np.repeat(np.arange(7), 72), np.full(len(calibration.check), 7)])
    black = write_faces(copied.with_name("black.npz"), both, labels)
    before = sorted(copied.parent.iterdir())

    result = call(copied, "--calibrate", black)

    assert result.exit_code == 5
    assert "No file was written" in result.stderr
    assert sorted(copied.parent.iterdir()) == before


def test_the_command_in_a_process_of_its_own_says_one_line(copied):
    """Without TensorFlow's chatter around it."""
    done = subprocess.run(
        [sys.executable, "-m", "fer_edge.edge.cli", "convert", copied.name],
        cwd=copied.parent,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    line, report = done.stdout.splitlines()
    assert line.startswith("model.tflite: int8, ")
    assert "of 196 faces" in line
    assert report == "report: model.conversion.html, model.conversion.md"
    assert EmotionClassifier.open(copied.with_suffix(".tflite")).contract.name == "patterned"


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


# --------------------------------------------------------------------------------------- the kinds


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_carries_its_contract_and_says_the_same(trained, calibration, kind):
    made = convert(load_source(trained), kind, calibration)

    assert made.kind == made.contract.quantisation["type"] == kind
    assert bool(made.contract.calibration) == (kind == "int8")
    images, labels = patterned_faces(per_class=10, seed=7)
    found = EmotionClassifier(made.content, read_contract(made.content)).outputs(images)
    assert (found.argmax(axis=1) == labels).mean() > 0.8


def test_an_unknown_kind_is_refused(trained, calibration):
    with pytest.raises(UsageError, match="no kind 'int4': valid kinds are int8, float32"):
        convert(load_source(trained), "int4", calibration)


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
