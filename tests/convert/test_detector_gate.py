"""What a face detector lost by its conversion, on labelled images."""

import dataclasses
import json
from pathlib import Path

import cv2
import pytest

keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.convert.detector import (  # noqa: E402
    ConvertedDetector,
    FaceParity,
    at_size,
    load_detector,
)
from fer_edge.convert.detector_gate import judge, load_images  # noqa: E402
from fer_edge.edge.contract_file import load_model  # noqa: E402
from fer_edge.edge.detectors.fer_face import FerFaceDetector  # noqa: E402
from fer_edge.edge.errors import DataError  # noqa: E402

from ..edge.blob_finder import SIZE_WH, bare_finder, blobs, center  # noqa: E402
from .conftest import call  # noqa: E402

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture
def labelled(tmp_path) -> Path:
    """Four pictures with two faces each, of which two nobody can see, and one without."""
    lines = []
    for number, cells in enumerate([((2, 2), (10, 9)), ((4, 3), (12, 6)), ((6, 4), (14, 11))] * 2):
        name, hidden = f"{number}.png", number >= 3
        cv2.imwrite(str(tmp_path / name), blobs(*(() if hidden else cells)))
        boxes = [[x - 16, y - 16, 32, 32] for x, y in map(center, cells)] if number < 4 else []
        lines.append(json.dumps({"file": name, "boxes": boxes}))
    path = tmp_path / "eval.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def model(converted, detector) -> ConvertedDetector:
    content, contract = load_model(detector.with_name("fer_face_320x240_int8.tflite"))
    return ConvertedDetector("int8", content, contract, FaceParity(1, 1, 1.0, 0.0, 0.0), 1.0)


@pytest.fixture
def source(detector):
    return at_size(load_detector(detector), SIZE_WH)


def test_what_both_find_of_labelled_faces_is_measured(source, model, labelled):
    judged = judge(source, model, load_images(labelled), max_loss=3.0)

    # Six of the eight, and nothing else.
    assert judged.keras.average_precision == pytest.approx(0.75)
    assert judged.found.average_precision == pytest.approx(0.75)
    assert (judged.loss, judged.passed) == (pytest.approx(0), True)
    assert "on 8 faces in 6 images of eval.jsonl: average precision 0.750" in str(judged)
    assert judged.metrics("int8")[0] == {
        "name": "average_precision",
        "value": 0.75,
        "split": "eval.jsonl",
        "count": 8,
        "images": 6,
        "iou": 0.5,
        "min_px": 16.0,
        "of": "int8",
    }


def test_a_model_that_lost_too_much_is_not_passed(source, model, labelled, monkeypatch):
    monkeypatch.setattr(FerFaceDetector, "detect", lambda *_: [])
    images = load_images(labelled)

    assert not judge(source, model, images, max_loss=74.9).passed
    assert judge(source, model, images, max_loss=75.0).passed


def test_boxes_of_keras_come_back_to_the_images_pixels(source, model, tmp_path):
    """A picture twice as large as the input: both models answer in its pixels."""
    large = cv2.resize(blobs((6, 3)), (640, 480), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "a.png"), large)
    x, y = center((6, 3))
    line = {"file": "a.png", "boxes": [[2 * x - 32, 2 * y - 32, 64, 64]]}
    (tmp_path / "eval.jsonl").write_text(json.dumps(line))

    judged = judge(source, model, load_images(tmp_path / "eval.jsonl"), max_loss=0.0)

    assert judged.keras.average_precision == judged.found.average_precision == 1


def test_images_without_a_face_that_counts_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), blobs())
    line = {"file": "a.png", "boxes": [[0, 0, 9, 9], [50, 50, 40, 40]], "kind": ["nomask", "mask"]}
    (tmp_path / "eval.jsonl").write_text(json.dumps(line))

    with pytest.raises(DataError, match=r"no face to measure on: expected boxes of 16 pixels"):
        load_images(tmp_path / "eval.jsonl")


@pytest.fixture
def quick(monkeypatch):
    """The command without TensorFlow's converter: it gives the model of the edge's tests."""
    monkeypatch.setattr("fer_edge.convert.detector.to_tflite", lambda *_: bare_finder())


def test_the_measured_figures_go_into_the_contract_and_the_report(
    quick, converted, detector, labelled, tmp_path
):
    out = tmp_path / "m.tflite"

    done = call(detector, "--data", labelled, "-o", out)

    assert done.exit_code == 0, done.output
    metrics = {metric["name"]: metric["value"] for metric in load_model(out)[1].metrics}
    assert metrics == {"average_precision": 0.75, "recall_at_0.1_false_an_image": 0.75}
    assert "average precision 0.750 (Keras 0.750, lost 0.0 points)" in done.output
    report = (tmp_path / "m.conversion.md").read_text()
    assert "| m.tflite | 0.750 | 0.750 | 0.0 | 0.750 | " in report


def test_what_lost_too_much_is_not_written(
    quick, converted, detector, labelled, tmp_path, monkeypatch
):
    out = tmp_path / "m.tflite"

    def lose(*arguments, max_loss: float):
        judged = judge(*arguments, max_loss=max_loss)
        worse = dataclasses.replace(judged.found, average_precision=0.7)
        return dataclasses.replace(judged, found=worse)

    monkeypatch.setattr("fer_edge.convert.detector_files.judge", lose)
    done = call(detector, "--data", labelled, "-o", out)

    assert done.exit_code == 5
    assert not out.exists()
    assert "m.tflite lost more than 3 points of average precision and was not kept" in done.stderr
    assert "| not kept | " in (tmp_path / "m.conversion.md").read_text()
    assert (
        call(detector, "--data", labelled, "-o", out, "--max-loss", 6, "--overwrite").exit_code == 0
    )
