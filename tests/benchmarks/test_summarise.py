"""``fer-edge summarise``: from the lines of `run --events` to times, shares and a page."""

import json
import re
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.benchmarks.diary import Diary, Span, Visit, read_diary, seconds_of
from fer_edge.benchmarks.diary_plots import colours, hours
from fer_edge.benchmarks.summarise import length, to_dict
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import DataError
from fer_edge.edge.records import Box, EmotionScores, Face, Frame, Reading
from fer_edge.edge.records import Result as LoopResult
from fer_edge.edge.sinks.events import EventsSink

LABELS = ("happy", "sad")
#: 2026-11-21, half past ten in the morning, UTC.
MORNING_S = 1_795_257_000.0
IMAGE = np.zeros((4, 4), np.uint8)


def record(path: Path, sights: list[dict[int, str | None]], *, began_s: float = MORNING_S) -> Path:
    """What a run writes whose results come every half second."""
    with EventsSink(str(path), camera="demo", labels=LABELS) as sink:
        for at, faces in enumerate(sights):
            readings = [
                Reading(
                    Face(Box(0, 0, 9, 9), 1.0, id=number),
                    9.0,
                    label,
                    EmotionScores(LABELS, (0.6, 0.4)) if label else None,
                )
                for number, label in faces.items()
            ]
            moment_ns = at * 500_000_000
            frame = Frame(at, IMAGE, moment_ns, began_s + at / 2)
            sink.write(LoopResult(frame, readings, moment_ns))
    return path


SIGHTS: list[dict[int, str | None]] = [
    {1: "happy"},
    {1: "happy", 2: None},
    {1: "sad", 2: "sad"},
    {1: "sad"},
    {},
]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["summarise", *map(str, arguments)])


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    diary = read_diary([record(tmp_path / "a.jsonl", SIGHTS)])

    assert (diary.labels, diary.runs, diary.watched_s, diary.notes) == (LABELS, 1, 2.0, ())
    first, second = diary.visits
    assert [(span.label, span.to_s - span.from_s) for span in first.spans] == [
        ("happy", 1.0),
        ("sad", 0.5),
    ]
    assert (first.from_s, first.duration_s, first.told) == (MORNING_S, 1.5, True)
    assert [span.label for span in second.spans] == [None, "sad"]
    assert seconds_of(diary.visits) == {"happy": 1.0, "sad": 0.5}


def test_files_and_runs_are_joined(tmp_path: Path) -> None:
    one = record(tmp_path / "a.jsonl", SIGHTS)
    both = tmp_path / "both.jsonl"
    later = record(tmp_path / "b.jsonl", SIGHTS, began_s=MORNING_S + 3600)
    both.write_bytes(one.read_bytes() + later.read_bytes())

    diary = read_diary([both, one])

    assert (diary.runs, diary.watched_s, len(diary.visits)) == (3, 6.0, 6)
    assert [visit.run for visit in diary.visits] == [1, 3, 1, 3, 2, 2]


def test_a_record_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = record(tmp_path / "a.jsonl", SIGHTS)
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"left"' not in line and '"ended"' not in line]
    path.write_text("".join(kept) + lines[-1][:20])

    diary = read_diary([path])

    assert not any(visit.told for visit in diary.visits)
    assert diary.watched_s == 1.0
    assert diary.notes == (
        "The last line of a.jsonl is cut and was left out.",
        "The end of run 1 in a.jsonl was not recorded.",
    )


@given(cut=st.integers(0, 2000), garbage=st.binary(max_size=30), at=st.integers(0, 2000))
def test_no_damage_is_more_than_a_note_or_one_sentence(tmp_path_factory, cut, garbage, at) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.jsonl"
    whole = record(path, SIGHTS).read_bytes()
    damaged = whole[:at] + garbage + whole[at:]
    path.write_bytes(damaged[: max(1, cut)])

    try:
        diary = read_diary([path])
    except DataError as exc:
        told = str(exc)
        assert told.startswith(("Cannot", str(path)))
    else:
        assert all(visit.duration_s >= 0 for visit in diary.visits)
        assert diary.visits == tuple(sorted(diary.visits, key=lambda visit: visit.from_s))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no event"),
        ('{"schema": 2, "event": "started"}\n', "line 1: schema 2; this fer-edge reads 1."),
        (
            '{"schema":1,"event":"ended","time":"2026-11-21T10:00:00Z","duration_s":3}\n',
            "does not begin with a `started` line",
        ),
        ("no json\n[]\n3\n", "holds no event"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, text, message) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)

    done = run(path, "--json")

    assert done.exit_code == 1
    assert message in done.stderr


def test_an_hour_has_the_minutes_that_fell_into_it() -> None:
    spans = (Span("sad", MORNING_S, MORNING_S + 2700), Span(None, MORNING_S, MORNING_S + 9000))
    diary = Diary(LABELS, 1, 2700, (Visit(1, 1, spans, told=True),))

    (row,) = hours(diary, UTC).values()

    assert (row[10], row[11], row.sum()) == pytest.approx((30, 15, 45))


def test_labels_of_other_models_have_colours_of_their_own() -> None:
    paint = colours(("happy", "bored", "asleep"))

    assert len(set(paint.values())) == 3


@pytest.mark.parametrize(
    ("seconds", "said"), [(9.96, "10.0 s"), (245, "4 min 05 s"), (12_000, "3 h 20 min")]
)
def test_times_are_said_in_words(seconds, said) -> None:
    assert length(seconds) == said


def test_the_page_is_one_file_and_is_not_replaced_unasked(tmp_path: Path) -> None:
    source, out = record(tmp_path / "a.jsonl", SIGHTS), tmp_path / "report.html"

    done = run(source, "-o", out, "--json", "--utc")

    assert done.exit_code == 0, done.output
    page = out.read_text()
    assert "2 faces in 2.0 s of 1 run." in page
    assert page.count("<img") == 3
    assert not re.search(r"(?:src|href)=\"https?:", page)
    document = json.loads(done.stdout)
    assert document == to_dict(read_diary([source]), UTC)
    assert document["faces"][0]["from"] == "2026-11-21T10:30:00.000+00:00"
    again = run(source, "-o", out)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert out.read_text() == page


def test_nobody_in_the_record_is_a_page_too(tmp_path: Path) -> None:
    source, out = record(tmp_path / "a.jsonl", [{}, {}]), tmp_path / "report.html"

    assert run(source, "-o", out).exit_code == 0
    assert "0 faces in 0.5 s of 1 run." in out.read_text()


def test_one_of_page_and_figures_is_asked_for(tmp_path: Path) -> None:
    done = run(record(tmp_path / "a.jsonl", SIGHTS))

    assert done.exit_code == 2
    assert "Pass -o REPORT.html" in done.stderr
