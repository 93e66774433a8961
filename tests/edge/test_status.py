"""The status: a table on a terminal, lines in a log, and what is said beside it."""

import os
import re
import threading
from dataclasses import replace

import pytest

from fer_edge.edge.records import Reading
from fer_edge.edge.sinks.status import StatusSink, faces_line, rates_line, summary_line
from fer_edge.edge.telemetry import STAGES, Snapshot

from .conftest import HANG_S, StoppedClock, a_face_at, a_reading_at, a_result, read_as, scores_of

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
def clock(monkeypatch) -> StoppedClock:
    return StoppedClock(monkeypatch, "fer_edge.edge.sinks.status")


def test_lines_of_faces_and_rates():
    several = [
        a_reading_at(0, id=1),
        read_as(a_face_at(0, id=12, detected=False), scores_of("sad", 0.5), flaw="blurred"),
        Reading(a_face_at(0, id=3), 12.0, flaw="small"),
        Reading(a_face_at(0, id=4, detected=False), 30.0),
    ]

    assert faces_line(several) == (
        "#1 happy 70%, ~#12 sad 50%, blurred, #3 too small, ~#4 not read yet"
    )
    assert faces_line([]) == "no face"
    assert rates_line(SNAPSHOT) == (
        "frames/s: capture 30.0, detect 30.0, classify 15.0, deliver 14.6 | dropped 40 | "
        "age 33 ms, p95 71 ms"
    )
    spread = replace(SNAPSHOT, stretch=2.0)
    assert rates_line(spread) == f"{rates_line(SNAPSHOT)} | detections x2.0 apart"


# Each case: what happened, what the summary says of it.
EVENTS = [
    ({}, ""),
    ({"reconnects": 2}, ", 2 reconnects"),
    ({"abandoned": 1}, ", 1 abandoned threads"),
    ({"reconnects": 1, "abandoned": 3}, ", 1 reconnects, 3 abandoned threads"),
]


@pytest.mark.parametrize(("happened", "said"), EVENTS)
def test_the_summary_tells_what_happened(happened, said):
    assert summary_line(replace(SNAPSHOT, **happened)) == (
        "60 results of 100 frames (40 dropped), 15.0 frames/s, age 33 ms median, 71 ms p95" + said
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


def test_a_journal_gets_a_line_a_minute(capsys, clock, monkeypatch):
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")  # as systemd sets it
    with StatusSink(lambda: SNAPSHOT, camera="demo") as sink:
        for index in range(1300):
            sink.write(a_result(index, a_reading_at(0)))
            clock.now += 0.1

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fer-edge: demo"
    # Steps of 0.1 s do not add up to whole ones.
    frames = [int(re.match(r"frame (\d+)", line)[1]) for line in lines[1:-1]]
    assert frames == pytest.approx([10, 610, 1210], abs=3)


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


def test_the_table_shows_what_was_not_read_and_what_was_followed(capsys, monkeypatch, clock):
    monkeypatch.setenv("FORCE_COLOR", "1")
    cut = Reading(a_face_at(0, id=2), 50.0, flaw="cut")

    with StatusSink(lambda: SNAPSHOT, camera="demo") as sink:
        sink.write(a_result(0, a_reading_at(0, detected=False), cut))

    rows = capsys.readouterr().err.splitlines()
    assert any(re.search("~#1 *happy *█{14} *70%", row) for row in rows)
    assert any(re.search("#2 *cut by the border *$", row) for row in rows)


def test_the_board_is_in_the_summary_and_the_results_are_its_last_line(capsys):
    for board in ("61 °C, now: no throttling", ""):
        with StatusSink(lambda: SNAPSHOT, camera="demo", board=lambda text=board: text):
            pass
        lines = capsys.readouterr().err.splitlines()
        assert lines[1:-1] == ([f"fer-edge: {board}"] if board else [])
        assert "60 results" in lines[-1]


def test_the_same_is_not_said_again_within_a_minute(capsys, clock):
    sink = StatusSink(lambda: SNAPSHOT, camera="demo")
    for text in ("the camera is gone", "the camera is back", "the camera is gone"):
        sink.say(text)
        clock.now += 10
    assert capsys.readouterr().err.splitlines() == [
        "fer-edge: the camera is gone",
        "fer-edge: the camera is back",
    ]

    clock.now += 30.1  # 60.1 s after the first
    sink.say("the camera is gone")
    sink.say("the camera is back")  # said 50 s ago

    assert capsys.readouterr().err.splitlines() == ["fer-edge: the camera is gone"]


def on_screen(shown: str, rows: int = 40) -> list[str]:
    """What a terminal shows in the end, of the sequences that rich writes."""
    screen, at = [""] * rows, 0
    for piece in re.findall(r"\x1b\[\??\d*(?:;\d+)*[A-Za-z]|\r|\n|[^\x1b\r\n]+", shown):
        if piece == "\n":
            at += 1
        elif move := re.fullmatch(r"\x1b\[(\d*)A", piece):
            at -= int(move[1] or 1)
        elif piece == "\x1b[2K":
            screen[at] = ""
        elif piece[0] not in "\r\x1b":
            screen[at] += piece
    return [line.rstrip() for line in screen if line]


def test_what_several_threads_say_stands_above_the_table(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("fer_edge.edge.sinks.status._LIVE_EVERY_S", 0.0)
    with StatusSink(lambda: SNAPSHOT, camera="demo") as sink:

        def speak(name: int) -> None:
            for number in range(5):
                sink.say(f"thread {name} says {number}")

        threads = [threading.Thread(target=speak, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for index in range(50):
            sink.write(a_result(index, a_reading_at(0)))
        for thread in threads:
            thread.join(HANG_S)
        sink.write(a_result(51))

    lines = on_screen(capsys.readouterr().err)
    said = [f"fer-edge: thread {name} says {number}" for name in range(4) for number in range(5)]
    assert sorted(lines[1:-1]) == sorted(said), "a line is lost, torn, or the table stayed"
    assert "60 results" in lines[-1]


# Each case: a standard error that cannot be written.
@pytest.mark.parametrize("unwritable", ["full", "closed", "left"])
@pytest.mark.parametrize("live", [True, False])
def test_a_status_that_cannot_be_shown_is_no_error(monkeypatch, unwritable, live):
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full" if unwritable == "full" else writer, "w") as stream:
        monkeypatch.setattr("sys.stderr", None if unwritable == "closed" else stream)
        with StatusSink(lambda: SNAPSHOT, camera="demo", live=live) as sink:
            for number in range(1000):
                sink.say(f"number {number}")
            sink.write(a_result())
        # Nothing piles up that would be written some day.
        assert len(sink._console._buffer) < 100
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if unwritable == "full":
        os.close(writer)


def test_the_summary_comes_after_an_error_too(capsys):
    class StopError(Exception):
        pass

    with pytest.raises(StopError), StatusSink(lambda: SNAPSHOT, camera="demo"):
        raise StopError

    assert "60 results of 100 frames" in capsys.readouterr().err
