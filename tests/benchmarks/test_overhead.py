"""Where the time of a frame goes: the parts add up, and nothing stays changed."""

import io
import itertools
import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from fer_edge.benchmarks.host import read_host
from fer_edge.benchmarks.overhead import OverheadReport, OverheadScore, measure_overhead
from fer_edge.benchmarks.report import print_overhead
from fer_edge.benchmarks.timing import timed, timed_detection
from fer_edge.edge.cli import cli
from fer_edge.edge.detectors import open_detector
from fer_edge.edge.stages import EmotionStage, FaceStage


class Worker:
    """Counts, and fails when it is told to."""

    done = 0

    def work(self, much: int, *, fail: bool = False) -> int:
        if fail:
            raise ValueError("told to")
        self.done += much
        return self.done


def a_clock():
    """A clock that shows one second more at each look."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def test_a_timed_method_works_as_before() -> None:
    real, worker = Worker.work, Worker()

    with timed(Worker, "work", a_clock()) as times:
        assert worker.work(2) == 2
        assert worker.work(much=3) == 5
        with pytest.raises(ValueError, match="told to"):
            worker.work(1, fail=True)

    assert times == [1.0, 1.0, 1.0]
    assert Worker.work is real


def test_it_is_put_back_after_an_error() -> None:
    real = Worker.work

    with pytest.raises(KeyError), timed(Worker, "work", time.monotonic):
        raise KeyError

    assert Worker.work is real


@pytest.mark.parametrize("name", ["haar", "yunet"])
def test_native_detectors_are_timed(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue("yunet_file") if name == "yunet" else None
    natives = cv2.CascadeClassifier, cv2.FaceDetectorYN

    with timed_detection(a_clock()) as times:
        detector = open_detector(name, model=model)
        # YuNet is run once when it is opened.
        times.clear()
        for _ in range(3):
            assert detector.detect(np.zeros((120, 160, 3), np.uint8)) == []

    assert times == [1.0] * 3
    assert (cv2.CascadeClassifier, cv2.FaceDetectorYN) == natives


def test_the_parts_add_up(clip: Path, tiny_model: Path) -> None:
    steps, threads = (FaceStage.step, EmotionStage.step), cv2.getNumThreads()

    report = measure_overhead([clip], "haar", model=str(tiny_model), repeat=2)

    assert [score.setting for score in report.scores] == ["1", "auto"]
    always, seldom = report.scores
    assert (always.frames, always.faces, always.looked) == (10, 10, 10)
    assert seldom.looked < 10
    for score in report.scores:
        parts = (score.capture_ms, score.detect_ms, score.invoke_ms, score.own_ms)
        assert sum(parts) == pytest.approx(score.total_ms)
        assert min(*parts, score.finding_ms, score.reading_ms) > 0
    assert (FaceStage.step, EmotionStage.step) == steps
    assert cv2.getNumThreads() == threads
    text = json.dumps(report.to_dict())
    assert str(clip.parent) not in text
    assert json.loads(text)["scores"][0]["own_ms"] == pytest.approx(always.own_ms)
    assert json.loads(text)["command"] == (
        "fer-edge benchmark overhead faces.avi --detector haar --model tiny.tflite --repeat 2 "
        "--cores 1"
    )


def test_table() -> None:
    slow = OverheadScore("1", 10, 10, 10, 8.0, 0.1, 6.0, 0.7, 0.7, 0.3, 0.2, 0.0)
    fast = OverheadScore("auto", 10, 10, 2, 3.0, 0.1, 1.5, 0.6, 0.4, 0.3, 0.1, 0.4)
    console = Console(file=io.StringIO(), width=80, record=True)

    print_overhead(
        OverheadReport("today", "", "yunet", (640, 480), read_host(), (slow, fast)), console
    )

    text = " ".join(console.export_text().split())
    assert "own code 1.20 0.80 as wanted NO yes" in text
    assert "detection 6.00 1.50" in text
    assert "other processes used 0.40 cores" in text


def test_the_command(clip: Path, tiny_model: Path) -> None:
    arguments = ["benchmark", "overhead", str(clip), "--detector", "haar", "--repeat", "1"]

    result = CliRunner().invoke(cli, [*arguments, "--model", str(tiny_model), "--json"])

    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["scores"]) == 2
