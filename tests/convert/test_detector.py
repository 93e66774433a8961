"""Converting a face detector: on a net whose weights were set by hand to find bright blobs."""

import dataclasses
import hashlib
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.convert.describe import describe  # noqa: E402
from fer_edge.convert.detector import (  # noqa: E402
    Frames,
    at_size,
    convert_detector,
    fitted,
    load_detector,
    load_frames,
    parity_of,
)
from fer_edge.convert.edgetpu import preflight  # noqa: E402
from fer_edge.edge.cli import cli  # noqa: E402
from fer_edge.edge.contract_file import load_model, read_contract  # noqa: E402
from fer_edge.edge.detectors import open_detector  # noqa: E402
from fer_edge.edge.detectors.fer_face_decode import STRIDES  # noqa: E402
from fer_edge.edge.errors import DataError, GateError, ModelError  # noqa: E402
from fer_edge.edge.records import Box  # noqa: E402
from fer_edge.edge.sidecar import write_sidecar  # noqa: E402

from ..conftest import a_contract  # noqa: E402
from ..edge.blob_finder import SIZE_WH, bare_finder, blobs, center  # noqa: E402
from .blob_net import blob_net, frames_of, saved  # noqa: E402
from .conftest import call  # noqa: E402

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SMALL_WH = (192, 144)


@pytest.fixture(scope="module")
def frames(detector) -> Frames:
    return load_frames(detector.with_suffix(".calibration.npz"))


@pytest.fixture(scope="module")
def int8(converted, detector) -> bytes:
    return detector.with_name("fer_face_320x240_int8.tflite").read_bytes()


# ---------------------------------------------------------------------------------- one model


def test_boxes_and_scores_have_a_scale_each(int8):
    told = read_contract(int8).quantisation

    assert told["type"] == "int8"
    # Whatever the brightest pixel of the frames is, so that pixels go in by flipping a bit.
    assert frames_of().max() < 255
    assert (told["input"]["scale"], told["input"]["zero_point"]) == (1.0, -128)
    # Scores reach from -8 to 8, boxes from 0 to a little over 3.
    assert told["scores"]["scale"] > 3 * told["boxes"]["scale"] > 0
    outputs = {item.shape[-1]: item.scales for item in describe(int8).outputs}
    assert outputs == {
        4: (pytest.approx(told["boxes"]["scale"]),),
        1: (pytest.approx(told["scores"]["scale"]),),
    }


def test_the_contract_says_where_it_came_from(int8, detector, frames):
    contract = read_contract(int8)

    assert (contract.kind, contract.input_size_wh) == ("face-detector", SIZE_WH)
    assert (contract.strides, contract.score_threshold) == (STRIDES, 0.5)
    assert contract.parent_sha256 == hashlib.sha256(detector.read_bytes()).hexdigest()
    assert contract.calibration == frames.describe()
    assert contract.calibration["count"] == 12


def test_all_of_its_multiply_adds_map_to_the_edge_tpu(int8):
    told = preflight(describe(int8))

    assert told.share == 1
    assert told.on_tpu == len(told.placements)
    assert not told.refused
    assert {item.operation.name for item in told.placements} <= {
        "CONV_2D",
        "RESHAPE",
        "CONCATENATION",
        "QUANTIZE",
    }


@pytest.mark.parametrize(
    "kind",
    [
        "float32",
        pytest.param("float16", marks=pytest.mark.slow),
        pytest.param("dynamic", marks=pytest.mark.slow),
    ],
)
def test_other_kinds_find_the_same(detector, frames, kind):
    made = convert_detector(at_size(load_detector(detector), SMALL_WH), kind, frames)

    assert made.parity.agreement == 1
    assert made.parity.faces > made.parity.count
    assert made.parity.mean_difference <= made.parity.largest_difference < 0.05
    assert made.contract.quantisation == {"type": kind}
    assert made.contract.calibration == {}


# --------------------------------------------------------------------------------------- sizes


# As trained at any size, and as trained at one.
@pytest.mark.parametrize("trained_wh", [(None, None), SIZE_WH])
def test_the_same_weights_take_another_size(tmp_path, frames, trained_wh):
    path = saved(tmp_path / "d.keras", blob_net(*trained_wh))
    net = blob_net()
    for layer in net.layers:
        layer.set_weights(layer.get_weights())
    source = at_size(load_detector(path), SMALL_WH)

    assert source.contract.input_size_wh == SMALL_WH
    assert [tensor.shape for tensor in source.model.inputs] == [(None, 144, 192, 1)]
    for one, other in zip(source.model.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_size_that_the_net_cannot_take_is_told(tmp_path):
    pixels = keras.Input((240, 320, 1))
    flat = keras.layers.Dense(4)(keras.layers.Flatten()(pixels))
    path = saved(tmp_path / "d.keras", keras.Model(pixels, flat))

    with pytest.raises(ModelError, match=r"cannot take 192x144: .*Choose another --size; .* 32"):
        at_size(load_detector(path), SMALL_WH)


def test_outputs_that_are_not_the_contracts_are_told(tmp_path):
    path = saved(tmp_path / "d.keras", blob_net())
    net = blob_net()
    keras.Model(net.inputs, {"boxes": net.outputs[0]}).save(path)
    write_sidecar(path, a_contract(kind="face-detector"))

    with pytest.raises(
        ModelError, match=r"gives \[\(1580, 4\)\] at 320x240, its contract promises"
    ):
        at_size(load_detector(path), SIZE_WH)


# -------------------------------------------------------------------------------------- frames


def test_frames_are_split_and_seen_as_the_detector_sees_them(detector, frames):
    every = frames_of()

    assert (len(frames.calibrate), len(frames.check)) == (12, 4)
    np.testing.assert_array_equal(frames.check, every[3::4])
    assert not {f.tobytes() for f in frames.check} & {f.tobytes() for f in frames.calibrate}
    # A square frame leaves its right side empty.
    square = fitted(np.full((2, 240, 240), 9, np.uint8), SIZE_WH)
    assert square.shape == (2, 240, 320)
    assert (square[:, :, :240] == 9).all()
    assert not square[:, :, 240:].any()


# Each case: what lies in the file, what the error says.
BAD_FRAMES = {
    "faces": ({"images": np.zeros((9, 48, 48), np.uint8)}, "holds no calibration frames"),
    "in colour": ({"frames": np.zeros((9, 24, 32, 3), np.uint8)}, "uint8 of (9, 24, 32, 3)"),
    "float": ({"frames": np.zeros((9, 24, 32))}, "got float64"),
    "too few": ({"frames": np.zeros((3, 24, 32), np.uint8)}, "expected 4 or more"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_frames_that_cannot_be_used_are_told(tmp_path, case):
    arrays, said = BAD_FRAMES[case]
    np.savez(tmp_path / "f.npz", **arrays)

    with pytest.raises(DataError) as caught:
        load_frames(tmp_path / "f.npz")
    assert said in str(caught.value)


def test_missing_frames_say_how_to_name_others(tmp_path):
    with pytest.raises(DataError, match=r"no calibration frames at .*--calibrate"):
        load_frames(tmp_path / "f.npz")


# -------------------------------------------------------------------------------------- parity

NEAR, SAME, FAR = (2, 0, 20, 20), (0, 0, 20, 20), (90, 90, 20, 20)


def rows(*boxes: tuple[tuple[int, ...], float]) -> np.ndarray:
    return np.array([[*box, score] for box, score in boxes], np.float32).reshape(-1, 5)


# Each case: what one and the other find in a frame; faces, share found by both.
PARITIES = {
    "the same": ([(SAME, 0.9)], [(NEAR, 0.8)], 2, 1.0),
    "another": ([(SAME, 0.9)], [(FAR, 0.9)], 2, 0.0),
    "one more": ([(SAME, 0.9)], [(SAME, 0.9), (FAR, 0.6)], 3, 2 / 3),
    "just under the threshold": ([(SAME, 0.52)], [(SAME, 0.48)], 1, 1.0),
    "none": ([], [], 0, 0.0),
    "weak ones only": ([(SAME, 0.4)], [(FAR, 0.45)], 0, 0.0),
}


@pytest.mark.parametrize("case", PARITIES)
def test_faces_of_two_models_are_compared(case):
    one, other, faces, agreement = PARITIES[case]

    found = parity_of([rows(*one), rows()], [rows(*other), rows()], 0.5)

    assert (found.count, found.faces) == (2, faces)
    assert found.agreement == pytest.approx(agreement)


def test_the_difference_of_scores_is_that_of_the_same_face():
    one, other = rows((SAME, 0.9), (FAR, 0.7)), rows((NEAR, 0.8), (FAR, 0.7))

    found = parity_of([one], [other], 0.5)

    assert found.largest_difference == pytest.approx(0.1)
    assert found.mean_difference == pytest.approx(0.05)


@pytest.fixture
def gate(monkeypatch, tmp_path, frames):
    """Converts a Keras net, whatever it is, to the model of the edge's tests."""
    monkeypatch.setattr("fer_edge.convert.detector.to_tflite", lambda *_: bare_finder())

    def convert(net, check: np.ndarray = frames.check):
        path = saved(tmp_path / "d.keras", net)
        changed = dataclasses.replace(frames, check=check)
        return convert_detector(at_size(load_detector(path), SIZE_WH), "int8", changed)

    return convert


def test_a_model_that_finds_the_same_is_kept(gate):
    assert gate(blob_net()).parity.agreement == 1


def test_a_model_that_finds_nothing_proves_nothing(gate):
    with pytest.raises(GateError, match=r"Neither .* finds a face in 2 frames"):
        gate(blob_net(), np.stack([blobs()] * 2))


def test_a_model_that_finds_other_faces_is_not_kept(gate):
    with pytest.raises(GateError, match=r"int8 model of 320x240 and .*both find 0\.0% .* 90%"):
        gate(blob_net(blind=True))


def test_a_net_with_broken_weights_is_told(gate):
    net = blob_net()
    net.get_layer("at16_1").set_weights([np.full((16, 16, 1, 1), np.nan), np.zeros(1)])

    with pytest.raises(ModelError, match="NaN or infinity"):
        gate(net)


# ------------------------------------------------------------------------------- the command


@pytest.mark.parametrize("size_wh", [SIZE_WH, SMALL_WH])
def test_two_sizes_come_from_one_model(converted, detector, size_wh):
    size = f"{size_wh[0]}x{size_wh[1]}"
    path = detector.with_name(f"fer_face_{size}_int8.tflite")

    assert load_model(path)[1].input_size_wh == size_wh
    (face,) = open_detector("fer-face", model=path).detect(blobs((6, 3), size_wh=size_wh))
    assert face.box.iou(Box(*(c - 16 for c in center((6, 3))), 32, 32)) > 0.8
    (line,) = [text for text in converted.output.splitlines() if text.startswith(str(path))]
    assert re.search(r"the same faces .* for 100\.0% of \d\d+ in 4 frames", line)
    assert line.endswith("100.0% of its multiply-adds map to an Edge TPU.")
    report = detector.with_name("fer_face.conversion.md").read_text()
    assert f"| {size} | int8 | {path.name} | " in report


def test_debug_ranks_the_layers(converted, detector):
    assert "steps: at16_1" in converted.output
    assert "Layers by quantisation error" in detector.with_suffix(".conversion.md").read_text()


@pytest.mark.slow
def test_one_size_and_kind_may_have_a_name_of_its_own(detector, tmp_path):
    done = call(detector, "-o", tmp_path / "mine.tflite", "--to", "float32")

    assert done.exit_code == 0, done.output
    assert load_model(tmp_path / "mine.tflite")[1].input_size_wh == SIZE_WH


def test_nothing_is_replaced_unasked(converted, detector):
    before = detector.with_name("fer_face_320x240_int8.tflite").read_bytes()

    done = call(detector)

    assert done.exit_code == 4
    assert "exists. Pass --overwrite" in done.stderr
    assert detector.with_name("fer_face_320x240_int8.tflite").read_bytes() == before


def test_inspect_shows_what_it_is(converted, detector):
    path = str(detector.with_name("fer_face_320x240_int8.tflite"))

    shown = CliRunner().invoke(cli, ["inspect", path, "--edgetpu"])
    document = json.loads(CliRunner().invoke(cli, ["inspect", path, "--json"]).stdout)

    assert shown.exit_code == 0, shown.output
    assert "blobs (face-detector)" in shown.stdout
    words = " ".join(shown.stdout.split())
    assert "cells at strides 8, 16, 32; a face from a score of 0.5 on" in words
    assert "100.0% on the Edge TPU" in shown.stdout
    assert document["contract"]["document"]["strides"] == [8, 16, 32]
    (litert,) = [trial for trial in document["runtimes"] if trial["name"] == "litert"]
    assert litert["outcome"] == "runs"


def test_a_detector_is_compiled_for_the_edge_tpu(converted, detector, compiler, tmp_path):
    compiler("good")
    out = tmp_path / "compiled.tflite"

    done = call(detector.with_name("fer_face_192x144_int8.tflite"), "--edgetpu", "-o", out)

    assert done.exit_code == 0, done.output
    content, contract = load_model(out)
    assert contract.kind == "face-detector"
    assert any(item.name == "edgetpu-custom-op" for item in describe(content).operations)


# Each case: what is wrong with the command line, what it says.
MISTAKES = [
    (["--labels", "face"], "already says what"),
    (["--size", "320"], "expected a size such as 640x480"),
    (["--compiled", "x.tflite"], "--compiled takes the int8 .tflite"),
]


@pytest.mark.parametrize(("options", "said"), MISTAKES)
def test_what_makes_no_sense_for_a_detector_is_told(detector, options, said):
    done = call(detector, *options)

    assert done.exit_code == 2
    assert said in done.stderr


def test_a_size_for_an_emotion_model_is_a_mistake(trained):
    done = call(trained, "--size", "96x96")

    assert done.exit_code == 2
    assert "--size is for a face detector" in done.stderr
