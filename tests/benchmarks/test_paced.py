"""A clip as a camera: what is counted of its frames, and what is said of it."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from fer_edge.benchmarks.clips import PacedClip, read_clip
from fer_edge.benchmarks.host import read_host
from fer_edge.benchmarks.paced import (
    PacedPlan,
    PacedReport,
    PacedScore,
    SlowClassifier,
    StageTime,
    measure_paced,
    play_paced,
)
from fer_edge.benchmarks.report import print_paced
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import CameraError
from fer_edge.edge.stages import EmotionStage, FaceStage

from ..edge.conftest import ScriptedClassifier, ScriptedDetector, a_face_at
from .conftest import write_clip


def a_score(**changes) -> PacedScore:
    """A run as wanted, with these fields changed."""
    fields = {
        "fps": 30.0,
        "slowed": 1,
        "captured": 100,
        "delivered": 100,
        "dropped": 0,
        "complete": 100,
        "empty": 0,
        "expected": 100,
        "missed": 0,
        "age_ms": 10.0,
        "age_p95_ms": 20.0,
        "age_most_ms": 30.0,
        "stages": {"detect": StageTime(6.0, 8.0), "classify": StageTime(5.0, 10.0)},
        "growth_mb": 0.0,
        "others_cores": 0.0,
    }
    return PacedScore(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"age_p95_ms": 50.0}, True),
        ({"age_p95_ms": 50.1}, False),
        # Left out, though counted.
        ({"delivered": 99, "dropped": 1}, False),
        ({"empty": 1}, False),
        # A second, false face of the detector that the tracker holds back is no fault.
        ({"complete": 90, "missed": 10}, True),
        # Slowed, frames may be left out, but not get lost; age is in times of the slowest stage.
        ({"slowed": 10, "delivered": 60, "dropped": 40}, True),
        ({"slowed": 10, "delivered": 60, "dropped": 39}, False),
        ({"slowed": 10, "age_p95_ms": 20.1}, False),
        ({"slowed": 10, "growth_mb": 5.1}, False),
        ({"slowed": 10, "age_p95_ms": 90.0, "stages": {"classify": StageTime(1.0, 45.0)}}, True),
    ],
)
def test_verdict(changes, good: bool) -> None:
    assert a_score(**changes).good is good


def test_frames_are_due_at_their_times_however_late_they_are(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "short.avi", 3, (64, 64))

    with PacedClip(path, 2, fps=500.0) as camera:
        assert not camera.lossless
        read = list(iter(camera.read, None))
        assert camera.read() is None

    assert [frame.index for frame in read] == list(range(6))
    steps = [after.captured_ns - before.captured_ns for before, after in itertools.pairwise(read)]
    assert steps == [2_000_000] * 5
    # Live: the time of capture is the one that counts.
    assert read[4].time_ns == read[4].captured_ns
    assert (read[4].image == read[1].image).all()


def test_a_paced_clip_can_end_within_its_file(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "short.avi", 3, (64, 64))

    with PacedClip(path, 2, fps=500.0, frames=4) as camera:
        read = list(iter(camera.read, None))

    assert [frame.index for frame in read] == [0, 1, 2, 3]


def test_no_clip(tmp_path: Path) -> None:
    with pytest.raises(CameraError):
        PacedClip(tmp_path / "no.avi", 1, 30.0)


@pytest.mark.parametrize(
    ("expected", "complete", "empty", "missed"),
    [
        # As found: one face, where the detector of the loop has it.
        ([[a_face_at(10, 10)]] * 4, 8, 0, 0),
        # Detection alone finds another one, too.
        ([[a_face_at(10, 10), a_face_at(200, 10)]] * 4, 0, 0, 8),
        # … or only elsewhere.
        ([[a_face_at(200, 10)]] * 4, 0, 8, 8),
        # … in every second frame.
        ([[a_face_at(200, 10)], [a_face_at(10, 10)]] * 2, 4, 4, 4),
        ([[]] * 4, 8, 0, 0),
    ],
)
def test_what_is_counted(tmp_path: Path, expected, complete: int, empty: int, missed: int) -> None:
    path = write_clip(tmp_path / "short.avi", 4, (320, 240))
    step = FaceStage.step, EmotionStage.step

    with PacedClip(path, 2, fps=200.0) as camera:
        # A busy machine must leave no frame out here.
        camera.lossless = True
        score = play_paced(camera, ScriptedDetector(), ScriptedClassifier(), expected, loops=2)

    assert (score.captured, score.delivered, score.dropped, score.lost) == (8, 8, 0, 0)
    assert (score.complete, score.empty, score.missed) == (complete, empty, missed)
    assert score.expected == 2 * sum(map(len, expected))
    assert 0 < score.age_ms <= score.age_p95_ms <= score.age_most_ms
    assert all(0 < stage.median_ms <= stage.p95_ms for stage in score.stages.values())
    # Nothing of the loop stays changed.
    assert (FaceStage.step, EmotionStage.step) == step


def test_a_slow_classifier_leaves_frames_out_and_loses_none(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "short.avi", 12, (320, 240))
    classifier = SlowClassifier(ScriptedClassifier(pause_s=0.02), 3)

    with PacedClip(path, 1, fps=100.0) as camera:
        score = play_paced(camera, ScriptedDetector(), classifier, [[]] * 12)

    assert score.captured == 12
    assert score.dropped > 0
    assert score.lost == 0
    assert score.stages["classify"].median_ms >= 60


def test_slowing_reads_as_often() -> None:
    inner = ScriptedClassifier()
    slow = SlowClassifier(inner, 10)

    scores = slow.classify(np.zeros((2, 48, 48), np.uint8))

    assert len(scores) == 2
    assert inner.calls == 10
    assert slow.size_wh == inner.size_wh
    assert isinstance(slow.renew(), SlowClassifier)


def test_measure_and_report(clip: Path, tiny_model: Path) -> None:
    plan = PacedPlan(
        clip, (200.0, 400.0), slowed=2, detector="haar", model=str(tiny_model), loops=1
    )
    told: list[str] = []

    report = measure_paced(plan, progress=told.append)

    assert [(score.fps, score.slowed) for score in report.scores] == [
        (200.0, 1),
        (200.0, 2),
        (400.0, 1),
        (400.0, 2),
    ]
    assert all(score.captured == 10 for score in report.scores)
    assert all(score.lost == 0 for score in report.scores)
    text = json.dumps(report.to_dict())
    assert str(clip.parent) not in text
    assert json.loads(text)["command"] == (
        "fer-edge benchmark paced faces.avi --fps 200 --fps 400 --slowed 2 --detector haar "
        "--model tiny.tflite --loops 1 --cores 1"
    )
    assert "200 frames/s, classifier 2 times" in told


@pytest.mark.parametrize(("others", "notes"), [(0.0, 0), (0.5, 1)])
def test_table(clip: Path, others: float, notes: int) -> None:
    good, bad = a_score(others_cores=others), a_score(slowed=10, delivered=60, dropped=39)
    report = PacedReport("today", "", read_clip(clip), 2, 1, read_host(), (good, bad))
    console = Console(file=io.StringIO(), width=80, record=True)

    print_paced(report, console)

    text = " ".join(console.export_text().split())
    assert "classifier x 1 x 10" in text
    assert "delivered 100 60" in text
    assert "neither 0 1" in text
    assert "as wanted yes NO" in text
    assert "detect, ms 6.0, p95 8.0" in text
    assert text.count("other processes") == notes


def test_the_command(tmp_path: Path, clip: Path, tiny_model: Path) -> None:
    arguments = ["benchmark", "paced", str(clip), "--fps", "300", "--loops", "1", "--detector"]

    result = CliRunner().invoke(cli, [*arguments, "haar", "--model", str(tiny_model), "--json"])

    assert result.exit_code == 0, result.output
    assert [score["captured"] for score in json.loads(result.stdout)["scores"]] == [10]
