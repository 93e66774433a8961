"""The scenes, and the experiment on alignment, with a detector that knows where the face is."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fer_edge.benchmarks import alignment
from fer_edge.benchmarks.alignment import AngleScore, found_at, measure_alignment
from fer_edge.benchmarks.report import print_alignment
from fer_edge.benchmarks.scenes import paste, place
from fer_edge.edge.classifier import EmotionClassifier
from fer_edge.edge.cli import cli
from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.errors import DataError
from fer_edge.edge.framing import Framing, crop_square
from fer_edge.edge.records import Box, Face

from ..conftest import EMOTIONS, a_contract, a_dataset, rows_of_each, tiny_tflite, write_csv
from ..edge.test_alignment import turned_points

SMOOTH = np.add.outer(np.arange(48), 3 * np.arange(48)).astype(np.uint8)


# ------------------------------------------------------------------------------------ scenes


@given(st.integers(0, 200), st.integers(0, 120), st.integers(20, 110))
def test_a_pasted_crop_is_where_the_scene_says(x, y, side):
    scene = paste(SMOOTH // 2, (320, 240), Box(x, y, side, side))

    back = crop_square(scene.picture, scene.square, (48, 48))

    assert scene.picture.shape == (240, 320)
    assert np.abs(back.astype(int) - SMOOTH // 2)[4:-4, 4:-4].mean() < 8


def test_a_turned_crop_is_turned_clockwise():
    """A dark upper edge comes to the right of the picture by a quarter turn."""
    crop = np.full((48, 48), 200, np.uint8)
    crop[:16] = 20
    square = Box(100, 60, 120, 120)

    scene = paste(crop, (320, 240), square, 90)
    back = crop_square(scene.picture, square, (48, 48))

    assert back[10:-10, -10:].mean() < 60 < 150 < back[10:-10, :10].mean()


def test_there_is_no_edge_around_the_crop():
    scene = paste(np.full((48, 48), 120, np.uint8), (320, 240), Box(100, 60, 120, 120), 20)

    assert np.abs(np.diff(scene.picture.astype(int), axis=1)).max() <= 6


@given(st.integers(0, 1000))
def test_a_place_is_inside_the_frame(seed):
    square = place((320, 240), (0.3, 0.8), np.random.default_rng(seed))

    assert 0.3 * 240 <= square.w_px == square.h_px <= 0.8 * 240
    assert square.x_px >= 0
    assert square.y_px >= 0
    assert square.x_px + square.w_px <= 320
    assert square.y_px + square.h_px <= 240


# -------------------------------------------------------------------------------- the scores


# Each case: found, gained, lost, the gain, half of its interval.
GAINS = [
    (100, 0, 0, 0.0, 0.0),
    (100, 10, 0, 0.1, 1.96 * (10 - 1) ** 0.5 / 100),
    (100, 10, 10, 0.0, 1.96 * 20**0.5 / 100),
    (0, 0, 0, 0.0, 0.0),  # nobody was found
]


@pytest.mark.parametrize(("found", "gained", "lost", "gain", "half"), GAINS)
def test_the_gain_and_its_interval(found, gained, lost, gain, half):
    score = AngleScore(0.0, 100, found, 50, 50 + gained - lost, gained, lost)

    assert score.gain == pytest.approx(gain)
    assert score.half_width == pytest.approx(half)


def test_the_face_that_overlaps_most_is_the_one():
    truth = Box(100, 100, 50, 50)
    far, near, nearer = (Face(Box(x, 100, 50, 50), 1.0) for x in (0, 120, 110))
    square = Framing().training_square

    assert found_at([far, near, nearer], square, truth) is nearer
    assert found_at([far], square, truth) is None
    assert found_at([], square, truth) is None


# --------------------------------------------------------------------------- the experiment


class KnowingDetector:
    """Knows where the face is and how it is turned; misses every fifth."""

    name, framing = "knowing", Framing()

    def __init__(self, monkeypatch):
        self.scene, self.calls = None, 0
        real = alignment.paste

        def remember(*args):
            self.scene = real(*args)
            return self.scene

        monkeypatch.setattr(alignment, "paste", remember)

    def detect(self, _):
        self.calls += 1
        if self.calls % 5 == 0:
            return []
        square = self.scene.square
        points = turned_points(self.scene.roll_deg, square.center_px, square.w_px / 2)
        return [Face(square, 1.0, landmarks_px=points)]


class EdgeReader:
    """Reads the class from a bar at the left edge of an upright crop: turned, it is elsewhere."""

    size_wh = (48, 48)
    contract = a_contract()

    def outputs(self, faces):
        rows = faces[:, :, 4:12].astype(float).mean(axis=2)
        return -np.stack([rows[:, 6 + 5 * n : 10 + 5 * n].mean(axis=1) for n in range(7)], axis=1)


def barred(**counts):
    """Faces with a dark bar at a height that is their class."""
    data = a_dataset(**counts)
    data.images[:] = 200
    for image, label in zip(data.images, data.labels, strict=True):
        image[5 + 5 * label : 11 + 5 * label, :16] = 20
    return data


def test_alignment_brings_back_what_turning_took(monkeypatch):
    data = barred(PublicTest=5)

    report = measure_alignment(
        data, KnowingDetector(monkeypatch), EdgeReader(), angles_deg=(-30, 0, 30)
    )

    left, level, right = report.angles
    assert report.split == "PublicTest"
    assert [score.found for score in report.angles] == [28, 28, 28]
    assert level.plain_right == level.aligned_right == 28
    for score in (left, right):
        assert score.aligned_right == 28
        assert score.plain_right < 20
        assert score.gained == score.aligned_right - score.plain_right + score.lost
    json.dumps(report.to_dict())


def test_a_model_with_other_labels_is_refused(monkeypatch):
    content = embed_contract(tiny_tflite(), a_contract(labels=(*EMOTIONS[:-1], "contempt")))
    classifier = EmotionClassifier(content, a_contract(labels=(*EMOTIONS[:-1], "contempt")))

    with pytest.raises(DataError, match="expected the same emotions"):
        measure_alignment(barred(PublicTest=1), KnowingDetector(monkeypatch), classifier)


def test_the_table_has_a_line_for_each_angle(monkeypatch, capsys):
    report = measure_alignment(
        barred(PublicTest=1), KnowingDetector(monkeypatch), EdgeReader(), angles_deg=(-20, 20)
    )

    print_alignment(report, Console(width=120))

    lines = capsys.readouterr().out.splitlines()
    assert "knowing" in lines[0]
    assert [line.split()[0] for line in lines[2:]] == ["-20", "+20"]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_runs_on_files(tmp_path, yunet_file, as_json):
    data = write_csv(tmp_path / "data.csv", rows_of_each(PublicTest=1))
    arguments = ["benchmark", "align", "--data", str(data), "--detector-model", str(yunet_file)]

    result = CliRunner().invoke(cli, [*arguments, *(["--json"] if as_json else [])])

    # Noise is nobody's face, so nothing is found, which is an answer too.
    assert result.exit_code == 0, result.output
    if as_json:
        assert [one["found"] for one in json.loads(result.stdout)["angles"]] == [0] * 9
    else:
        assert "0 of 7" in result.stdout
