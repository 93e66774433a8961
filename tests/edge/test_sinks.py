"""JSON lines: what is written, and what happens when it cannot be."""

import io
import json
import os
import re
import resource
import subprocess
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import SinkError
from fer_edge.edge.records import Box, EmotionScores, Face, Frame, Reading, Result
from fer_edge.edge.sinks.jsonl import JsonLinesSink, result_document

from .conftest import HANG_S, a_face_at, a_frame, a_reading_at, a_result, read_as, scores_of

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "docs" / "json-lines.schema.json"


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    """The documented schema of a line."""
    document = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


# ------------------------------------------------------------------------------------ the document

labels = st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True)
faces = st.builds(
    Face,
    st.builds(Box, *[st.floats(-1e4, 1e4)] * 2, *[st.floats(0, 1e4)] * 2),
    st.floats(-100, 100),
    st.integers(1, 10**6),
    st.booleans(),
)


@st.composite
def scores(draw) -> EmotionScores:
    names = draw(labels)
    values = draw(st.lists(st.floats(0, 1), min_size=len(names), max_size=len(names)))
    return EmotionScores(tuple(names), tuple(values))


@st.composite
def readings(draw) -> Reading:
    smooth, raw = draw(st.none() | scores()), draw(st.none() | scores())
    label = draw(st.sampled_from(smooth.labels)) if smooth else None
    flaw = draw(st.sampled_from(["", "small", "cut", "blurred"]))
    return Reading(draw(faces), draw(st.floats(0, 1e4)), label, smooth, raw, flaw)


@given(st.lists(readings(), max_size=3), st.integers(0, 10**9), st.floats(0, 4e9), st.integers(0))
def test_every_result_is_a_line_that_the_schema_knows(schema, found, index, unix_s, age_ns):
    frame = a_frame(index, captured_unix_s=unix_s)
    result = Result(frame, found, frame.captured_ns + age_ns)

    line = json.dumps(result_document(result))

    schema.validate(json.loads(line))
    assert "\n" not in line
    assert line.isascii()


def test_a_document_by_hand(schema):
    frame = Frame(12, a_frame(size_wh=(640, 480)).image, 3_000_000_001, 1_790_000_000.0625)
    face = Face(Box(10.126, 20, 30.5, 31), score=6.02399, id=3)
    smooth = EmotionScores(("sad", "happy"), (0.123456, 0.876544))
    raw = EmotionScores(("sad", "happy"), (0.6, 0.4))
    read = Reading(face, 31.019, "happy", smooth, raw)
    unread = Reading(Face(Box(0, 0, 9, 9), 1.0, 4, detected=False), 9.0, flaw="small")

    document = result_document(Result(frame, [read, unread], 3_050_000_123))

    assert document == {
        "schema": 2,
        "frame": 12,
        "time": "2026-09-21T14:13:20.062Z",
        "monotonic_ns": 3_000_000_001,
        "age_ms": 50.0,
        "size_wh": [640, 480],
        "faces": [
            {
                "id": 3,
                "box_px": [10.13, 20, 30.5, 31],
                "size_px": 31.02,
                "detected": True,
                "detector_score": 6.024,
                "label": "happy",
                "scores": {"sad": 0.12346, "happy": 0.87654},
                "raw_scores": {"sad": 0.6, "happy": 0.4},
                "flaw": None,
            },
            {
                "id": 4,
                "box_px": [0, 0, 9, 9],
                "size_px": 9.0,
                "detected": False,
                "detector_score": 1.0,
                "label": None,
                "scores": None,
                "raw_scores": None,
                "flaw": "small",
            },
        ],
    }
    schema.validate(document)


def test_the_example_of_the_documentation_is_such_a_line(schema):
    text = (SCHEMA_FILE.parent / "json-lines.md").read_text()
    (example,) = re.findall(r"```json\n(.*)\n```", text)

    schema.validate(json.loads(example))
    written = result_document(a_result(0, a_reading_at(0)))
    assert list(json.loads(example)) == list(written)
    assert list(json.loads(example)["faces"][0]) == list(written["faces"][0])


def test_every_field_is_in_the_tables_of_the_documentation():
    text = (SCHEMA_FILE.parent / "json-lines.md").read_text()
    written = result_document(a_result(0, a_reading_at(0)))

    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [*written, *written["faces"][0]]


# Each case: seconds since 1970, how they are written.
TIMES = [
    (0.0, "1970-01-01T00:00:00.000Z"),
    (1_790_000_000.0, "2026-09-21T14:13:20.000Z"),  # with its zeros
    (1_790_000_000.9999, "2026-09-21T14:13:20.999Z"),  # cut, never a second that is to come
    (1_774_746_000.5, "2026-03-29T01:00:00.500Z"),  # where Europe's clocks jump
]


@pytest.mark.parametrize(("unix_s", "written"), TIMES)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_times_are_utc_with_milliseconds_wherever_the_device_is(monkeypatch, zone, unix_s, written):
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        document = result_document(a_result(captured_unix_s=unix_s))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert document["time"] == written
    assert abs(datetime.fromisoformat(written).timestamp() - unix_s) < 0.001
    assert datetime.fromisoformat(written).tzinfo == UTC


def test_a_frame_without_a_face_has_a_line_too(schema):
    document = result_document(a_result(4))

    assert document["faces"] == []
    schema.validate(document)


def test_scores_keep_the_contract_s_order():
    turned = tuple(reversed(scores_of().labels))
    reading = read_as(a_face_at(0, id=1), EmotionScores(turned, (0.1,) * 7))

    assert list(result_document(a_result(0, reading))["faces"][0]["scores"]) == list(turned)


# ------------------------------------------------------------------------------------------ lines


def lines_of(path: Path) -> list[dict]:
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_a_result_is_in_the_file_at_once(tmp_path):
    path = tmp_path / "out.jsonl"

    with JsonLinesSink(str(path)) as sink:
        for index in range(3):
            sink.write(a_result(index, a_reading_at(0)))
            assert [line["frame"] for line in lines_of(path)] == list(range(index + 1))

    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_exists_is_not_overwritten(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("precious\n")

    with pytest.raises(SinkError, match=r"out.jsonl exists.*--overwrite"):
        JsonLinesSink(str(path))
    assert path.read_text() == "precious\n"


def test_with_overwrite_it_is_replaced_when_it_is_opened(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("old\n" * 100)

    sink = JsonLinesSink(str(path), overwrite=True)
    assert path.read_text().startswith("old")
    with sink:
        sink.write(a_result(5))

    assert [line["frame"] for line in lines_of(path)] == [5]


def test_a_file_that_came_in_the_meantime_is_not_overwritten(tmp_path):
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(str(path))
    path.write_text("precious\n")

    with pytest.raises(SinkError, match="File exists"):
        sink.__enter__()
    assert path.read_text() == "precious\n"


# Each case: a target that cannot be written, what the error says.
UNWRITABLE = [
    ("missing/out.jsonl", "the folder .*missing does not exist"),
    (".", "is a folder"),
    ("x" * 300, "File name too long"),
    ("file/out.jsonl", "(folder .* does not exist|Not a directory)"),  # below something that is one
]


@pytest.mark.parametrize(("target", "said"), UNWRITABLE, ids=[t[:20] for t, _ in UNWRITABLE])
def test_what_cannot_be_written_is_told_before_the_first_frame(tmp_path, target, said):
    (tmp_path / "file").touch()

    with pytest.raises(SinkError, match=said) as caught, JsonLinesSink(str(tmp_path / target)):
        pytest.fail("it was opened")

    assert caught.value.exit_code == 1


def test_a_folder_is_not_replaced(tmp_path):
    with pytest.raises(SinkError, match="is a folder"):
        JsonLinesSink(str(tmp_path), overwrite=True).__enter__()


def write_one(target: str, **options) -> None:
    with JsonLinesSink(target, **options) as sink:
        sink.write(a_result())


def test_a_full_disk_is_a_sink_error():
    with pytest.raises(SinkError, match="Cannot write /dev/full: No space left"):
        write_one("/dev/full", overwrite=True)


def test_standard_output_takes_the_lines(capsys):
    with JsonLinesSink("-") as sink:
        sink.write(a_result(3))
        sink.write(a_result(4))

    assert [json.loads(line)["frame"] for line in capsys.readouterr().out.splitlines()] == [3, 4]
    print("still open")
    assert capsys.readouterr().out == "still open\n"


def test_a_standard_output_without_a_file_behind_it_takes_them_too():
    """As in a notebook, or under ``redirect_stdout``."""
    with redirect_stdout(io.StringIO()) as text:
        write_one("-")

    assert json.loads(text.getvalue())["frame"] == 0


def test_a_file_called_minus_is_standard_output(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").touch()

    write_one("-")

    assert capsys.readouterr().out
    assert (tmp_path / "-").read_text() == ""


def test_a_reader_that_left_is_a_broken_pipe(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    # What could not be written is not tried again when the stream is closed.
    with open(writer, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        with pytest.raises(BrokenPipeError):
            write_one("-")


WRITES_LINES = """
import sys
from fer_edge.edge.sinks.jsonl import JsonLinesSink
from tests.edge.conftest import a_result
try:
    with JsonLinesSink("-") as sink:
        for index in range(1000):
            sink.write(a_result(index))
except Exception as error:
    print(type(error).__name__, file=sys.stderr)
"""
SAYS_THINGS = """
from fer_edge.edge.sinks.status import StatusSink
from fer_edge.edge.telemetry import Snapshot
with StatusSink(lambda: Snapshot({}, 1, 1, 1, 0, 1, 1), camera="demo") as sink:
    for number in range(1000):
        sink.say(str(number))
"""
# Each case: a program, where its stream goes, what it says of it.
STREAMS = [
    (WRITES_LINES, ">/dev/full", ["SinkError"]),
    (WRITES_LINES, "| true", ["BrokenPipeError"]),
    (SAYS_THINGS, "2>&1 >/dev/null | true", []),
]


@pytest.mark.parametrize(("program", "gone", "said"), STREAMS)
def test_python_ends_quietly_after_a_stream_failed(program, gone, said):
    """At its end it flushes once more; if that fails it complains, and its exit code is 120."""
    # It waits for a line, which comes after the reader has left.
    script = f'(sleep 0.3; echo) | (read; "$0" -c "$1"; echo "code $?" >&3) 3>&2 {gone}'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, program],
        cwd=SCHEMA_FILE.parents[1],
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )

    assert done.stderr.splitlines() == [*said, "code 0"]


def test_the_half_of_a_line_is_taken_back(tmp_path):
    """A disk writes what still fits, and fails at the next byte."""
    path = tmp_path / "out.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = 0
    # No file may grow beyond this: writing on fails, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with JsonLinesSink(str(path)) as sink:
            while path.stat().st_size < 9_500:
                sink.write(a_result(written, a_reading_at(0)))
                written += 1
            with pytest.raises(SinkError, match="File too large"):
                sink.write(a_result(written, *[a_reading_at(0)] * 9))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert [line["frame"] for line in lines_of(path)] == list(range(written))


def test_after_an_error_it_takes_no_more(tmp_path):
    with JsonLinesSink("/dev/full", overwrite=True) as sink:
        for said in ("No space left", "takes no more after an error"):
            with pytest.raises(SinkError, match=said):
                sink.write(a_result())


def test_another_output_that_fails_first_leaves_no_empty_file(tmp_path):
    path = tmp_path / "out.jsonl"

    with pytest.raises(SinkError, match="another"), JsonLinesSink(str(path)):
        raise SinkError("another")

    assert list(tmp_path.iterdir()) == []


def test_what_was_written_before_an_error_stays(tmp_path):
    path = tmp_path / "out.jsonl"

    def writing() -> None:
        with JsonLinesSink(str(path)) as sink:
            sink.write(a_result(7))
            raise SinkError("another")

    with pytest.raises(SinkError, match="another"):
        writing()

    assert [line["frame"] for line in lines_of(path)] == [7]


def test_a_sink_that_was_not_opened_says_so(tmp_path):
    with pytest.raises(SinkError, match="opened by `with`"):
        JsonLinesSink(str(tmp_path / "out.jsonl")).write(a_result())
