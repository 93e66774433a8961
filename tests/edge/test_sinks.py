"""JSON lines and the status: what is written, and what happens when it cannot be."""

import io
import json
import os
import re
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
from fer_edge.edge.sinks.status import StatusSink, faces_line, rates_line
from fer_edge.edge.telemetry import STAGES, Snapshot

from .conftest import a_frame, a_reading_at, a_result, scores_of

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
def readings(draw) -> Reading:
    names = draw(labels)
    values = draw(st.lists(st.floats(0, 1), min_size=len(names), max_size=len(names)))
    return Reading(draw(faces), EmotionScores(tuple(names), tuple(values)))


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
    scores = EmotionScores(("sad", "happy"), (0.123456, 0.876544))

    document = result_document(Result(frame, [Reading(face, scores)], 3_050_000_123))

    assert document == {
        "schema": 1,
        "frame": 12,
        "time": "2026-09-21T14:13:20.062Z",
        "monotonic_ns": 3_000_000_001,
        "age_ms": 50.0,
        "size_wh": [640, 480],
        "faces": [
            {
                "id": 3,
                "box_px": [10.13, 20, 30.5, 31],
                "detector_score": 6.024,
                "label": "happy",
                "scores": {"sad": 0.12346, "happy": 0.87654},
            }
        ],
    }
    schema.validate(document)


def test_the_example_of_the_documentation_is_such_a_line(schema):
    text = (SCHEMA_FILE.parent / "json-lines.md").read_text()
    (example,) = re.findall(r"```json\n(.*)\n```", text)

    schema.validate(json.loads(example))
    assert set(json.loads(example)) == set(result_document(a_result()))


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
    reading = Reading(Face(Box(0, 0, 9, 9), 1.0, id=1), EmotionScores(turned, (0.1,) * 7))

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
    with open(writer, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        with pytest.raises(BrokenPipeError):
            write_one("-")
        # So that closing does not try again to write what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), pipe.fileno())


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


# ----------------------------------------------------------------------------------------- status

SNAPSHOT = Snapshot(
    fps=dict(zip(STAGES, (30.04, 29.96, 15.0, 14.55), strict=True)),
    total_fps=14.96,
    captured=100,
    delivered=60,
    dropped=40,
    age_ms=33.4,
    age_p95_ms=70.6,
)


@pytest.fixture
def clock(monkeypatch):
    """The status's clock, in seconds; it stands still until it is moved."""

    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

    made = Clock()
    monkeypatch.setattr("fer_edge.edge.sinks.status.time", made)
    return made


def test_lines_of_faces_and_rates():
    two = [a_reading_at(0, id=1), Reading(Face(Box(0, 0, 9, 9), 1.0, id=12), scores_of("sad", 0.5))]

    assert faces_line(two) == "#1 happy 70%, #12 sad 50%"
    assert faces_line([]) == "no face"
    assert rates_line(SNAPSHOT) == (
        "frames/s: capture 30.0, detect 30.0, classify 15.0, deliver 14.6 | dropped 40 | "
        "age 33 ms, p95 71 ms"
    )


def test_a_log_gets_plain_lines_every_five_seconds_and_a_summary(capsys, clock):
    with StatusSink(lambda: SNAPSHOT, camera="demo") as sink:
        for index in range(120):
            sink.write(a_result(index, a_reading_at(0)))
            clock.now += 0.1

    shown = capsys.readouterr().err
    lines = shown.splitlines()
    assert lines[0] == "fer-edge: demo; Ctrl-C ends it"
    # After the first second, when rates mean something, and then at 6 s and 11 s.
    assert [re.match(r"frame (\d+): #1 happy 70% \| ", line)[1] for line in lines[1:-1]] == [
        "10",
        "60",
        "110",
    ]
    assert lines[-1] == (
        "fer-edge: 60 results of 100 frames (40 dropped), 15.0 frames/s, age 33 ms median, 71 ms "
        "p95"
    )
    assert "\x1b" not in shown, "colours in a log"


def test_a_long_line_is_not_wrapped_and_a_name_is_no_markup(capsys):
    name = "a clip [bold]with[/bold] [/] brackets " + "x" * 200

    with StatusSink(lambda: SNAPSHOT, camera=name):
        pass

    assert f"fer-edge: {name}; Ctrl-C ends it" in capsys.readouterr().err.splitlines()


def test_a_terminal_gets_a_table_that_leaves_the_summary_only(capsys, monkeypatch, clock):
    monkeypatch.setenv("FORCE_COLOR", "1")  # for rich, this makes a terminal of standard error

    with StatusSink(lambda: SNAPSHOT, camera="demo") as sink:
        sink.write(a_result(0, a_reading_at(0)))
        clock.now += 1
        sink.write(a_result(1))

    shown = capsys.readouterr().err
    assert "happy" in shown
    assert "█" * 14 in shown, "the bar of 70 %"
    assert "no face" in shown
    last = shown.splitlines()[-1]
    # What stands before the summary moves up and clears the lines of the table.
    assert re.fullmatch(r"(\x1b\[\d[AK])+fer-edge: 60 results of 100 frames \(40 .*", last)


def test_the_summary_comes_after_an_error_too(capsys):
    class StopError(Exception):
        pass

    with pytest.raises(StopError), StatusSink(lambda: SNAPSHOT, camera="demo"):
        raise StopError

    assert "60 results of 100 frames" in capsys.readouterr().err
