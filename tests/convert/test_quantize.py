"""From a Keras model to int8: what comes out, what is checked, what is refused."""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

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
from fer_edge.edge.contract_file import read_contract  # noqa: E402
from fer_edge.edge.errors import GateError, ModelError, UsageError  # noqa: E402
from fer_edge.edge.framing import to_float  # noqa: E402
from fer_edge.edge.runtime import load_network  # noqa: E402
from fer_edge.edge.sidecar import (  # noqa: E402
    file_sha256,
    read_sidecar,
)

from .conftest import call, patterned_faces, write_faces  # noqa: E402

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

    with pytest.raises(GateError, match=r"on [0-8].* of 196 faces, expected 95") as caught:
        int8(trained, with_black_faces(calibration))

    assert "--calibrate" in str(caught.value)
    assert caught.value.exit_code == 5
    # TensorFlow itself leaves generated source files there until the end of the process.
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_the_gate_ends_with_code_5_and_leaves_no_file(copied, calibration):
    both = np.concatenate([np.zeros((7 * 72, 48, 48), np.uint8), calibration.check])
    labels = np.concatenate([np.repeat(np.arange(7), 72), np.full(len(calibration.check), 7)])
    black = write_faces(copied.with_name("black.npz"), both, labels)
    before = sorted(copied.parent.iterdir())

    result = call(copied, "--calibrate", black)

    assert result.exit_code == 5
    assert "No file was written" in result.stderr
    assert sorted(copied.parent.iterdir()) == before


@pytest.mark.slow
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
