"""What detectors find and cost: counts that are known, and a table of them."""

import json

import cv2
import pytest
from click.testing import CliRunner
from rich.console import Console

from fer_edge.benchmarks import detection
from fer_edge.benchmarks.detection import (
    SIZES_WH,
    Agreement,
    Setting,
    agree,
    measure_detection,
    settings_for,
)
from fer_edge.benchmarks.report import print_detection
from fer_edge.edge.cli import cli
from fer_edge.edge.detectors import standard_detectors

from ..edge.conftest import a_face_at, write_clip


class CountingDetector:
    """Finds two faces in every second picture."""

    # By this name the tracker knows which scores to trust.
    name = "haar"

    def __init__(self):
        self.shapes = []

    def detect(self, picture):
        self.shapes.append(picture.shape)
        faces = [a_face_at(0, score=0.5), a_face_at(50, score=0.5)]
        return faces if len(self.shapes) % 2 else []


@pytest.fixture
def detectors(monkeypatch) -> list[CountingDetector]:
    """What is opened in place of real detectors, in order."""
    made: list[CountingDetector] = []
    monkeypatch.setattr(
        detection, "open_detector", lambda *_, **__: made.append(CountingDetector()) or made[-1]
    )
    return made


def test_faces_and_frames_are_counted_by_clip(tmp_path, detectors):
    clips = [write_clip(tmp_path / "a.avi", 4), write_clip(tmp_path / "b.avi", 6)]
    threads = cv2.getNumThreads()

    report = measure_detection(
        clips, [Setting("haar", (320, 240)), Setting("yunet", (160, 120), grey=True)], rounds=2
    )

    assert report.frames == {"a.avi": 4, "b.avi": 6}
    # A warm-up call comes before each clip, so two of four and three of six have the two faces.
    assert [score.faces for score in report.scores] == [{"a.avi": 4, "b.avi": 6}] * 2
    # Weak ones, which the tracker holds back until it sees them a second time.
    assert [score.reported for score in report.scores] == [{"a.avi": 2, "b.avi": 4}] * 2
    assert [score.frames_with for score in report.scores] == [{"a.avi": 2, "b.avi": 3}] * 2
    assert {len(shape) for shape in detectors[0].shapes} == {3}
    assert {len(shape) for shape in detectors[1].shapes} == {2}
    assert all(score.ms_per_frame > 0 for score in report.scores)
    assert cv2.getNumThreads() == threads
    json.dumps(report.to_dict())


def test_every_detector_is_measured_at_every_size_and_yunet_in_grey_too():
    made = settings_for(["haar", "yunet"])

    assert len(made) == len(set(made)) == 3 * len(SIZES_WH)
    assert {(one.detector, one.grey) for one in made} == {
        ("haar", False),
        ("yunet", False),
        ("yunet", True),
    }


# Each case: what the reference finds and what a setting finds in one frame, by their left edges
# (boxes are 40 wide), and how many of the first it finds and what else.
@pytest.mark.parametrize(
    ("reference", "found", "same", "extra"),
    [
        ([0, 100], [2, 101], 2, 0),
        ([0, 100], [0], 1, 0),
        ([0], [0, 100], 1, 1),
        # Overlaps of a third are two faces.
        ([0], [20], 0, 1),
        # Two boxes on one face: one of them is extra.
        ([0], [1, 2], 1, 1),
        ([], [], 0, 0),
    ],
)
def test_agreement(reference, found, same, extra):
    first, second = ([a_face_at(x) for x in row] for row in (reference, found))

    agreement = agree([first, []], [second, []])

    assert agreement == Agreement(len(reference), same, extra)


def test_the_table_names_clips_by_number(tmp_path, detectors, capsys):
    clip = write_clip(tmp_path / "a.avi", 2)
    report = measure_detection([clip], [Setting("yunet", (320, 240), grey=True)], rounds=1)

    print_detection(report, Console(width=120))

    out = capsys.readouterr().out
    assert "1: a.avi, 2 frames" in out
    assert "yunet grey" in out
    assert "320x240" in out
    # One picture of the two has two faces; seen once, they are not reported.
    assert "1.00 / 0.00" in out


def test_the_command_runs_on_clips(tmp_path, detectors):
    clip = write_clip(tmp_path / "a.avi", 2)

    result = CliRunner().invoke(cli, ["benchmark", "detect", str(clip), "--repeat", "1", "--json"])

    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)["scores"]
    assert len(scores) == len(settings_for(standard_detectors()))
    assert [s["setting"]["size_wh"] for s in scores if s["setting"]["detector"] == "fer-face"] == [
        [320, 240],
        [192, 144],
    ]
