"""What is counted where the detector does not look at every frame."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fer_edge.benchmarks.clips import Film, read_film
from fer_edge.benchmarks.tracking import Played, compare, measure, play, to_markdown, together
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import CameraError, ModelError
from fer_edge.edge.records import Box, Face

from ..conftest import REAL_DATA

FRAME_NS = 40_000_000
YUNET = REAL_DATA.parents[1] / "models" / "face_detection_yunet_2026may.onnx"
MEDIA = REAL_DATA.parents[1] / "media"


def a_film(frames: int) -> Film:
    still = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    return Film("made.avi", [still] * frames, fps=1e9 / FRAME_NS)


def at(x: float, number: int | None = None) -> Face:
    return Face(Box(x, 0, 10, 10), 1.0, id=number)


def a_play(*faces: list[Face], looked: str) -> Played:
    return Played(faces, [mark == "x" for mark in looked], detect_ms=40.0, track_ms=2.0)


def test_what_is_counted():
    expected = [[at(0), at(100)], [at(0), at(100)], [at(0), at(100)], [at(0)]]
    played = a_play(
        [at(0, 1), at(100, 2)],
        [at(2, 1), at(104, 2)],  # overlaps of 2/3 and 3/7
        [at(0, 3), at(300, 4)],  # another number; and nothing near the second
        [at(0, 3), at(200, 4)],
        looked="x--x",
    )

    score = compare(a_film(4), "auto", expected, played)

    assert (score.clip, score.setting, score.frames, score.looked) == ("made.avi", "auto", 4, 2)
    assert score.expected == 7
    assert score.followed == 3
    assert score.mean_iou == pytest.approx((2 / 3 + 3 / 7 + 1) / 3)
    assert score.missed == 2
    # Where the overlap is too small, what was reported is extra, too.
    assert score.extra == 3
    assert score.switches == 1
    assert score.ids == 4
    assert (score.detect_ms_per_frame, score.track_ms_per_frame) == (10.0, 0.5)


# Each case: the number of a still face in each frame (0: not reported), and the switches.
SWITCHES = [
    ([1, 1, 1], 0),
    ([1, 2, 2], 1),
    ([1, 2, 1], 2),
    ([1, 0, 1], 0),
    ([1, 0, 2], 1),
    ([0, 0, 1], 0),
]


@pytest.mark.parametrize(("numbers", "switches"), SWITCHES)
def test_a_switch_is_a_face_with_another_number_than_it_was_last_given(numbers, switches):
    reported = [[at(0, number)] if number else [] for number in numbers]
    expected = [[at(0)]] * len(numbers)

    score = compare(a_film(len(numbers)), 1, expected, a_play(*reported, looked="x" * len(numbers)))

    assert score.switches == switches
    assert score.missed == numbers.count(0)


def test_a_face_that_the_detector_lost_for_a_moment_is_asked_for_its_number_again():
    reported = [[at(0, 1)], [], [at(0, 2)]]

    assert compare(a_film(3), 1, [[at(0)], [], [at(0)]], a_play(*reported, looked="xxx")).switches


def test_a_reported_face_stands_for_one_expected_face():
    score = compare(a_film(1), 1, [[at(0), at(3)]], a_play([at(1, 1)], looked="-"))

    assert (score.missed, score.extra, score.followed) == (1, 0, 1)
    assert score.mean_iou == pytest.approx(9 / 11)


def test_the_sum_over_clips_weighs_overlaps_by_faces_and_times_by_frames():
    good = compare(a_film(1), 3, [[at(0)] * 3], a_play([at(0, 1), at(0, 2), at(0, 3)], looked="-"))
    bad = compare(
        a_film(4), 3, [[at(0)], [], [], []], a_play([at(5, 1)], [], [], [], looked="-xxx")
    )

    both = together(3, [good, bad])

    assert both.mean_iou == pytest.approx((3 * 1 + 1 / 3) / 4)
    assert both.detect_ms_per_frame == pytest.approx((40 + 4 * 10) / 5)
    assert (both.frames, both.looked, both.expected, both.missed, both.ids) == (5, 3, 4, 1, 4)


def test_nothing_to_compare_is_no_loss():
    score = compare(a_film(2), 1, [[], []], a_play([], [], looked="xx"))

    assert (score.mean_iou, score.missed, score.extra, score.ids) == (1.0, 0, 0, 0)


class Counting:
    """A detector that finds the same face always, and counts."""

    name = "counting"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, picture: np.ndarray) -> list[Face]:
        assert picture.ndim == 3
        self.calls += 1
        return [Face(Box(10, 10, 20, 20), 1.0)]


@pytest.mark.parametrize(("setting", "calls"), [(1, 30), (3, 10), ("auto", 5)])
def test_the_detector_looks_as_often_as_asked(setting, calls):
    film, detector, seconds = a_film(30), Counting(), iter(range(10**6))

    played = play(film, detector, setting, clock=lambda: float(next(seconds)))

    assert detector.calls == sum(played.looked) == calls
    # A clock that ticks at every look at it: one tick for the detector.
    assert played.detect_ms == 1000 * calls
    assert played.track_ms > 0


def test_a_clip_is_decoded_scaled_and_timed(clip: Path):
    film = read_film(clip, (160, 120))

    assert len(film.pictures) == len(film.greys) == len(film.times_ns) == 10
    assert film.pictures[0].shape == (120, 160, 3)
    assert film.greys[0].shape == (120, 160)
    assert film.times_ns[3] == pytest.approx(1e8, rel=0.01)
    with pytest.raises(CameraError, match="no clip"):
        read_film(clip.with_name("no.avi"))


def test_a_measurement_has_each_clip_with_each_setting_and_the_sums(clip: Path):
    told = []
    report = measure([clip, clip], Counting(), settings=(1, "auto"), progress=told.append)

    assert told == [clip.name] * 2
    assert [(s.clip, s.setting) for s in report.scores[:2]] == [
        (clip.name, "1"),
        (clip.name, "auto"),
    ]
    one, all_of_it = report.scores[1], report.scores[-1]
    assert (all_of_it.clip, all_of_it.setting, all_of_it.frames) == ("all", "auto", 20)
    assert all_of_it.looked == 2 * one.looked
    assert all_of_it.mean_iou == pytest.approx(one.mean_iou)
    document = json.loads(json.dumps(report.to_dict()))
    assert (document["schema"], document["benchmark"]) == (1, "tracking")
    assert len(document["scores"]) == 6
    table = to_markdown(report).splitlines()
    assert len(table) == 2 + 6
    assert len({line.count("|") for line in table}) == 1
    assert "| 1.00 |" in table[2]


def test_the_command_prints_the_table_and_writes_the_report(clip: Path, tmp_path: Path):
    out = tmp_path / "report.json"
    words = ["benchmark", "tracking", str(clip), "--detector", "haar", "--out", str(out)]

    result = CliRunner().invoke(cli, words)

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("| clip | every |")
    written = json.loads(out.read_text())
    assert written["command"] == f"fer-edge benchmark tracking {clip.name} --detector haar"
    again = CliRunner().invoke(cli, words)
    assert again.exit_code == 1
    assert "exists" in again.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "Missing argument"),
        (["no.avi", "--detector", "haar"], 3, "no clip no.avi"),
        (["no.avi", "--detector", "eagle"], 2, "no detector 'eagle'"),
    ],
)
def test_errors(words, code, message):
    result = CliRunner().invoke(cli, ["benchmark", "tracking", *words])

    assert result.exit_code == code
    assert message in result.stderr


def _open_yunet():
    from fer_edge.edge.detectors import open_detector

    try:
        return open_detector("yunet", model=YUNET)
    except ModelError as exc:
        pytest.skip(str(exc))


@pytest.mark.slow
def test_the_clips_keep_what_the_project_promises(real_data: Path):
    del real_data
    clips = sorted([*MEDIA.glob("*.gif"), *MEDIA.glob("*.mkv")])
    if not clips:
        pytest.skip(f"needs the real clips: none in {MEDIA}")
    report = measure(clips, _open_yunet(), settings=(1, 3, "auto"))

    every, third, auto = report.scores[-3:]
    assert every.missed <= 0.02 * every.expected
    for score in (third, auto):
        assert score.looked <= 0.35 * score.frames
        assert score.mean_iou >= 0.9
        assert score.missed <= 0.05 * score.expected
        assert score.switches == 0
