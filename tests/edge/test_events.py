"""Events: what changes from result to result, and the outputs that tell it."""

import csv
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import SinkError
from fer_edge.edge.events import Event, EventLog
from fer_edge.edge.records import Box, EmotionScores, Face, Frame, Reading, Result
from fer_edge.edge.sinks.csv_table import CsvSink
from fer_edge.edge.sinks.events import EventsSink, event_document

LABELS = ("happy", "sad")
IMAGE = np.zeros((4, 4), np.uint8)
DOCUMENT = Path(__file__).parents[2] / "docs" / "records.md"
START_NS = 5_000_000_000


def a_result(at_s: float, faces: dict[int, str | None], index: int = 0) -> Result:
    """At so many seconds, faces by number with their labels."""
    moment = START_NS + round(at_s * 1e9)
    frame = Frame(index, IMAGE, moment, 1e9 + at_s)
    readings = [
        Reading(
            Face(Box(1, 2, 30, 40), 1.0, id=number),
            40.0,
            label,
            EmotionScores(LABELS, (0.75, 0.25)) if label else None,
            flaw="" if label else "small",
        )
        for number, label in faces.items()
    ]
    return Result(frame, readings, moment)


def events_of(*results: Result) -> list[Event]:
    log = EventLog()
    return [event for result in results for event in log.update(result)] + log.end()


def test_a_face_comes_changes_and_goes() -> None:
    found = events_of(
        a_result(0.0, {}),
        a_result(1.0, {1: None}),
        a_result(1.5, {1: "happy"}),
        a_result(2.25, {1: "happy"}),
        a_result(2.5, {1: "sad", 2: "sad"}),
        a_result(2.75, {2: "sad"}),
        a_result(3.5, {2: "sad"}),
        a_result(4.0, {2: "sad"}),
    )

    assert [(event.kind, event.face, event.at_s) for event in found] == [
        ("appeared", 1, 1.0),
        ("emotion", 1, 1.5),
        ("emotion", 1, 2.5),
        ("appeared", 2, 2.5),
        ("left", 1, 2.5),
        ("left", 2, 4.0),
    ]
    assert (found[1].before, found[1].label, found[1].duration_s) == (None, "happy", 0.5)
    assert (found[2].before, found[2].label, found[2].duration_s) == ("happy", "sad", 1.0)
    assert (found[4].duration_s, found[4].seconds, found[4].label) == (1.5, {"happy": 1.0}, "sad")
    assert found[5].seconds == {"sad": 1.5}


def test_who_is_hidden_for_less_than_a_second_has_not_left() -> None:
    found = events_of(a_result(0, {1: "sad"}), a_result(0.9, {}), a_result(1.0, {1: "sad"}))

    assert [event.kind for event in found] == ["appeared", "left"]
    assert found[1].seconds == {"sad": 1.0}


def test_a_clip_is_told_in_its_own_time() -> None:
    """It is read faster than it was filmed."""
    frames = [Frame(i, IMAGE, START_NS + i, 1e9, stream_ns=i * 500_000_000) for i in range(3)]
    faces = a_result(0, {1: "sad"}).readings

    found = events_of(*(Result(frame, faces, START_NS) for frame in frames))

    assert found[-1].duration_s == 1.0


SIGHTS = st.lists(
    st.tuples(
        st.floats(0, 1.5),
        st.dictionaries(st.integers(1, 3), st.sampled_from([*LABELS, None]), max_size=3),
    ),
    max_size=20,
)


@given(SIGHTS)
def test_every_visit_is_told_whole_and_in_order(sights) -> None:
    at_s, results = 0.0, []
    for step_s, faces in sights:
        at_s += step_s
        results.append(a_result(at_s, faces))

    found = events_of(*results)

    for number in (1, 2, 3):
        visits: list[list[Event]] = []
        for event in found:
            if event.face == number:
                if event.kind == "appeared":
                    visits.append([])
                visits[-1].append(event)
        for visit in visits:
            assert [event.kind for event in visit[1:-1]] == ["emotion"] * (len(visit) - 2)
            assert visit[-1].kind == "left"
            for before, after in pairwise(visit[:-1]):
                assert after.before == before.label != after.label
                assert after.duration_s == pytest.approx(after.at_s - before.at_s)
            left = visit[-1]
            assert left.duration_s == pytest.approx(left.at_s - visit[0].at_s)
            assert sum(left.seconds.values()) <= left.duration_s + 1e-6
    seen = sum(bool(result.readings) for result in results)
    assert bool(found) == bool(seen)


# ---------------------------------------------------------------------------------------- outputs


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_file_of_events_has_a_beginning_and_an_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    with EventsSink(str(path), camera="demo", labels=LABELS) as sink:
        for step in range(3):
            sink.write(a_result(step / 2, {1: "happy"}))

    lines = read(path)
    assert [line["event"] for line in lines] == ["started", "appeared", "left", "ended"]
    assert lines[0]["labels"] == list(LABELS)
    assert lines[2]["seconds"] == {"happy": 1.0}
    assert (lines[3]["results"], lines[3]["duration_s"]) == (3, 1.0)


def test_an_error_elsewhere_ends_the_file_as_well(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    sink = EventsSink(str(path), camera="demo", labels=LABELS)
    sink.__enter__()
    sink.write(a_result(0, {1: "happy"}))
    sink.__exit__(ValueError, ValueError("elsewhere"), None)

    assert [line["event"] for line in read(path)][-2:] == ["left", "ended"]


def test_a_run_that_never_began_leaves_no_file(tmp_path: Path) -> None:
    for sink in (
        EventsSink(str(tmp_path / "events.jsonl"), camera="demo", labels=LABELS),
        CsvSink(str(tmp_path / "table.csv"), labels=LABELS),
    ):
        with pytest.raises(ValueError, match="another output"), sink:
            raise ValueError("another output failed")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_error(tmp_path: Path) -> None:
    for make in (
        lambda: EventsSink("/dev/full", camera="demo", labels=LABELS, overwrite=True),
        lambda: CsvSink("/dev/full", labels=LABELS, overwrite=True),
    ):
        with pytest.raises(SinkError, match="Cannot write /dev/full: No space left"), make():
            pass


def test_the_table_has_a_row_a_face(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"

    with CsvSink(str(path), labels=LABELS) as sink:
        sink.write(a_result(0, {1: "happy", 2: None}, index=7))
        sink.write(a_result(1, {}, index=8))

    first, second = csv.DictReader(path.read_text().splitlines())
    assert (first["frame"], first["face"], first["label"], first["happy"]) == (
        "7",
        "1",
        "happy",
        "0.75",
    )
    assert (first["x_px"], first["h_px"], first["detected"], first["flaw"]) == (
        "1",
        "40",
        "1",
        "",
    )
    assert (second["label"], second["happy"], second["flaw"]) == ("", "", "small")


def test_the_examples_of_the_documentation_are_such_lines(tmp_path: Path) -> None:
    (block,) = re.findall(r"```jsonl\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    examples = [json.loads(line) for line in block.splitlines()]
    path = tmp_path / "events.jsonl"

    with EventsSink(str(path), camera="demo", labels=LABELS) as sink:
        sink.write(a_result(0, {1: "happy"}))
        sink.write(a_result(0.5, {1: "sad"}))

    assert [list(line) for line in read(path)] == [list(line) for line in examples]


def test_only_numbers_and_names_go_into_a_line() -> None:
    event = Event("left", 3, 0.0, 1.23456, None, duration_s=2.0, seconds={"sad": 0.33333})

    assert event_document(event) == {
        "schema": 1,
        "event": "left",
        "time": "1970-01-01T00:00:00.000Z",
        "at_s": 1.235,
        "face": 3,
        "label": None,
        "duration_s": 2.0,
        "seconds": {"sad": 0.333},
    }
