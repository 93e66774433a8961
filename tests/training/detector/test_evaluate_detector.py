"""Measuring the device's detectors on scenes, and reading FER-2013's faces."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fer_edge.edge.cli import cli
from fer_edge.edge.errors import DataError, ModelError, UsageError
from fer_edge.training.detector.evaluate import evaluate, table
from fer_edge.training.detector.fer_faces import read_fer_faces
from fer_edge.training.detector.found import found_by_network, open_judged

from ...conftest import rows_of_each, write_csv
from .conftest import a_scene, write_scenes

FACE = (30.0, 20.0, 30.0, 30.0)


class FakeNetwork:
    """Says for every picture that one cell of the grid of stride 8 is a face of 32 by 32."""

    def __init__(self, cell: int, spoilt: bool = False):
        self._cell, self._spoilt = cell, spoilt

    def predict(self, pixels, **_options):
        width, height = pixels.shape[2], pixels.shape[1]
        count = sum(-(-width // s) * -(-height // s) for s in (8, 16, 32))
        boxes = np.full((len(pixels), count, 4), 3 + np.log(2) / 0.7, np.float32)
        scores = np.full((len(pixels), count, 1), np.nan if self._spoilt else -20.0, np.float32)
        scores[:, self._cell] = 3.0
        return {"boxes": boxes, "scores": scores}


def test_what_a_network_finds_is_in_pixels_of_the_scene():
    """A scene of twice the size is shrunk to 64x48, and brought back."""
    (found,) = found_by_network(FakeNetwork(0), [a_scene(size_wh=(128, 96))], size_wh=(64, 48))

    # The centre of the first cell is (4, 4): the box is from -12 to 20 there.
    np.testing.assert_allclose(found, [[-24, -24, 64, 64, 1 / (1 + np.exp(-3))]], rtol=1e-5)


def test_a_network_that_answers_nan_is_refused():
    with pytest.raises(Exception, match="its weights are broken"):
        found_by_network(FakeNetwork(0, spoilt=True), [a_scene()])


def test_haar_finds_no_face_in_rectangles(tmp_path):
    path = write_scenes(tmp_path, [a_scene(FACE), a_scene(name="b.png")])

    report = evaluate("haar", path)

    assert (report["detector"], report["images"], report["data"]) == ("haar", 2, "scenes.jsonl")
    assert [(row["min_px"], row["max_px"], row["iou"]) for row in report["scores"][:4]] == [
        (16.0, None, 0.5),
        (16.0, None, 0.3),
        (8, 16, 0.5),
        (8, 16, 0.3),
    ]
    assert report["scores"][0]["faces"] == 1
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert table(report).row_count == 6


# What is asked for, and what is said.
REFUSED = [
    ("hog", None, UsageError, "Expected a .keras or .tflite file or one of yunet"),
    ("gone.tflite", None, ModelError, "There is no model gone.tflite"),
    ("haar", "x.onnx", UsageError, "takes no model file"),
    ("model.keras", "x.onnx", UsageError, "leave --detector-model out"),
]


@pytest.mark.parametrize(("name", "model", "error", "said"), REFUSED)
def test_what_is_no_detector_is_refused(tmp_path, name, model, error, said):
    path = write_scenes(tmp_path, [a_scene(FACE)])
    more = ["--detector-model", model] if model else []

    done = CliRunner().invoke(cli, ["evaluate-detector", name, "--data", str(path), *more])

    assert done.exit_code == error.exit_code
    assert said in done.output


def test_the_command_prints_json(tmp_path):
    path = write_scenes(tmp_path, [a_scene(FACE)])

    done = CliRunner().invoke(
        cli, ["evaluate-detector", "haar", "--data", str(path), "--json", "--masked"]
    )

    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["masked"] is True


@pytest.mark.slow
def test_yunet_reaches_what_it_reached_in_the_first_trial(real_faces, yunet_file):
    """Precision .838 and recall .809 there, without the device's threshold of 0.6."""
    report = evaluate("yunet", real_faces / "eval.jsonl", yunet_file)

    first = report["scores"][0]
    assert first["faces"] == 246
    assert first["average_precision"] == pytest.approx(0.836, abs=0.008)
    assert first["recall"] == pytest.approx(0.809, abs=0.008)


@pytest.mark.slow
def test_faces_of_fer_2013_come_with_the_boxes_of_yunet(real_data, yunet_file):
    faces, about = read_fer_faces(real_data / "fer2013.csv.gz", yunet_file, 24, seed=1)

    again, _ = read_fer_faces(real_data / "fer2013.csv.gz", yunet_file, 24, seed=1)
    assert [face.name for face in again] == [face.name for face in faces]
    assert (about["looked_at"], about["used"], about["split"]) == (24, len(faces), "Training")
    assert 12 <= len(faces) <= 24
    for face in faces:
        assert face.tight
        assert face.boxes.shape == (1, 4)
        x, y, w, h = face.boxes[0]
        assert 0 <= x < x + w <= 48
        assert 0 <= y < y + h <= 48
        assert 20 < np.sqrt(w * h) <= 48


def test_only_training_faces_are_pasted(tmp_path, yunet_file):
    path = write_csv(tmp_path / "data.csv", rows_of_each(PublicTest=1))

    with pytest.raises(DataError, match="has no split 'Training'"):
        read_fer_faces(path, yunet_file, 4, seed=1)


def test_a_detector_of_the_device_is_opened_by_its_name():
    assert open_judged("haar", None).name == "haar"
