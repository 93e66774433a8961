"""The outputs together: which failure ends the loop, which only one of them, and what is said."""

import os
from contextlib import suppress

import cv2
import numpy as np
import pytest

from fer_edge.edge.errors import SinkError
from fer_edge.edge.sinks.group import SinkGroup
from fer_edge.edge.sinks.jsonl import JsonLinesSink
from fer_edge.edge.sinks.video import VideoSink

from .conftest import a_reading_at, a_result
from .disks import small_disk


class ScriptedSink:
    """Keeps what it gets; fails at a result, at its start or at its end."""

    def __init__(
        self,
        journal: list[str],
        name: str,
        *,
        fails_at: int | None = None,
        error: BaseException | None = None,
        on_open: BaseException | None = None,
        on_close: BaseException | None = None,
    ):
        self.got: list[int] = []
        self.closed_with: list[object] = []
        self._journal, self._name = journal, name
        self._fails_at, self._error = fails_at, error
        self._on_open, self._on_close = on_open, on_close

    def __enter__(self):
        if self._on_open is not None:
            raise self._on_open
        self._journal.append(f"open {self._name}")
        return self

    def write(self, result) -> None:
        if result.frame.index == self._fails_at and self._error is not None:
            raise self._error
        self.got.append(result.frame.index)

    def __exit__(self, kind, error, trace) -> None:
        assert kind is (type(error) if error else None)
        self._journal.append(f"close {self._name}")
        self.closed_with.append(error)
        if self._on_close is not None:
            raise self._on_close


@pytest.fixture
def journal() -> list[str]:
    """What the sinks did, in order."""
    return []


@pytest.fixture
def said() -> list[str]:
    """What people were told."""
    return []


def full_disk(name: str = "out.jsonl") -> SinkError:
    """As a sink reports it."""
    error = SinkError(f"Cannot write {name}: No space left on device.")
    error.__cause__ = OSError(28, "No space left on device")
    return error


# Each case: how a write fails, what is said of it.
FAILURES = [
    (full_disk(), "No space left on device"),  # without the name, which is said already
    (SinkError("out.mp4 ends: the disk is full."), "out.mp4 ends: the disk is full"),
    (BrokenPipeError(32, "Broken pipe"), "its reader has left"),
    (OSError(5, "Input/output error"), "Input/output error"),
    (OSError("of no kind"), "of no kind"),
    (cv2.error("a window\n  is gone"), "a window is gone"),
    (TimeoutError(), "TimeoutError"),
]


@pytest.mark.parametrize(("error", "reason"), FAILURES, ids=[said for _, said in FAILURES])
def test_what_fails_is_closed_and_told_once_and_the_others_go_on(journal, said, error, reason):
    bad = ScriptedSink(journal, "bad", fails_at=1, error=error)
    good = ScriptedSink(journal, "good")
    with SinkGroup(said.append) as group:
        group.add("The bad one", bad)
        group.add("The good one", good)
        for index in range(4):
            group.write(a_result(index))
        assert journal == ["open bad", "open good", "close bad"]

    assert said == [f"The bad one ended: {reason}; the loop goes on."]
    assert (bad.got, good.got) == ([0], [0, 1, 2, 3])
    assert (bad.closed_with, good.closed_with) == ([error], [None])
    assert journal[3:] == ["close good"]


# Each case: an error, what ends the loop.
LAST = [
    (full_disk(), SinkError, "Cannot write out.jsonl: No space left"),
    (BrokenPipeError(32, "Broken pipe"), BrokenPipeError, "Broken pipe"),
    (OSError(5, "Input/output error"), SinkError, "The only one ended: Input/output error."),
    (cv2.error("gone"), SinkError, "The only one ended: gone."),
]


@pytest.mark.parametrize(("error", "kind", "text"), LAST, ids=[text for *_, text in LAST])
def test_the_last_one_that_counts_ends_the_loop(journal, said, error, kind, text):
    status = ScriptedSink(journal, "status")
    sink = ScriptedSink(journal, "sink", fails_at=2, error=error)

    def looping() -> None:
        with SinkGroup(said.append) as group:
            group.add("The status", status, counts=False)
            group.add("The only one", sink)
            for index in range(9):
                group.write(a_result(index))

    with pytest.raises(kind, match=text) as caught:
        looping()

    assert said == [], "it is told as the error that ended the loop"
    assert status.got == [0, 1, 2]
    assert status.closed_with == [caught.value]
    assert len(sink.closed_with) == 1


def test_of_two_that_fail_at_once_the_second_ends_the_loop(journal, said):
    def looping() -> None:
        with SinkGroup(said.append) as group:
            group.add("One", ScriptedSink(journal, "1", fails_at=0, error=full_disk()))
            group.add("Two", ScriptedSink(journal, "2", fails_at=0, error=SinkError("the second")))
            group.write(a_result(0))

    with pytest.raises(SinkError, match="the second"):
        looping()

    assert said == ["One ended: No space left on device; the loop goes on."]


def test_a_status_that_fails_ends_nothing_even_alone(journal, said):
    with SinkGroup(said.append) as group:
        group.add(
            "The status", ScriptedSink(journal, "s", fails_at=0, error=OSError("x")), counts=False
        )
        for index in range(3):
            group.write(a_result(index))

    assert said == ["The status ended: x; the loop goes on."]


def test_without_a_sink_it_takes_everything(said):
    with SinkGroup(said.append) as group:
        group.write(a_result())

    assert said == []


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt()])
def test_a_fault_of_ours_is_no_failure_of_a_sink(journal, said, error):
    other = ScriptedSink(journal, "other")

    def looping() -> None:
        with SinkGroup(said.append) as group:
            group.add("It", ScriptedSink(journal, "it", fails_at=0, error=error))
            group.add("Other", other)
            group.write(a_result())

    with pytest.raises(type(error)):
        looping()

    assert said == []
    assert journal[2:] == ["close it", "close other"]


def test_one_that_does_not_open_closes_those_before(journal, said):
    def opening() -> None:
        with SinkGroup(said.append) as group:
            group.add("One", ScriptedSink(journal, "1"))
            group.add("Two", ScriptedSink(journal, "2", on_open=SinkError("exists")))

    with pytest.raises(SinkError, match="exists"):
        opening()

    assert journal == ["open 1", "close 1"]


# ----------------------------------------------------------------------------------------- closing


def test_all_are_closed_whatever_closing_raises_and_the_status_last(journal, said):
    def closing() -> None:
        with SinkGroup(said.append) as group:
            group.add("Status", ScriptedSink(journal, "status"), counts=False)
            group.add("One", ScriptedSink(journal, "1", on_close=SinkError("the first")))
            group.add("Two", ScriptedSink(journal, "2", on_close=OSError("the second")))
            group.add("Three", ScriptedSink(journal, "3"))

    with pytest.raises(SinkError, match="the first"):
        closing()

    assert journal[4:] == ["close 1", "close 2", "close 3", "close status"]


def test_what_ended_the_loop_is_not_hidden_by_an_error_of_closing(journal, said):
    class StopError(Exception):
        pass

    def looping() -> None:
        with SinkGroup(said.append) as group:
            group.add("One", ScriptedSink(journal, "1", on_close=SinkError("closing")))
            raise StopError

    with pytest.raises(StopError):
        looping()

    assert journal == ["open 1", "close 1"]


def test_a_status_that_cannot_be_closed_is_no_error(journal, said):
    with SinkGroup(said.append) as group:
        sink = ScriptedSink(journal, "status", on_close=OSError("x"))
        group.add("The status", sink, counts=False)

    assert journal == ["open status", "close status"]


def test_one_that_fails_twice_is_told_once(journal, said):
    """At a write, and again when it is closed after that."""
    bad = ScriptedSink(journal, "bad", fails_at=0, error=full_disk(), on_close=SinkError("again"))
    with SinkGroup(said.append) as group:
        group.add("Bad", bad)
        group.add("Good", ScriptedSink(journal, "good"))
        group.write(a_result())

    assert said == ["Bad ended: No space left on device; the loop goes on."]


# ---------------------------------------------------------------------------------------- for real


def noise(index: int):
    image = np.random.default_rng(index).integers(0, 256, (480, 640, 3), np.uint8)
    return a_result(index, a_reading_at(100, 100), image=image)


def test_a_disk_that_runs_full_retires_lines_and_clip_and_both_are_whole(tmp_path, said, journal):
    good = ScriptedSink(journal, "good")
    with small_disk(tmp_path / "disk", 36) as disk:
        lines, clip = disk / "out.jsonl", disk / "out.mp4"
        with SinkGroup(said.append) as group:
            group.add("The clip", VideoSink(clip, fps=30, paced=False))
            group.add("JSON lines", JsonLinesSink(str(lines)))
            group.add("Good", good)
            while len(said) < 1 and len(good.got) < 200:
                group.write(noise(len(good.got)))
            recorded = len(good.got)
            # Somebody else takes the rest, so that not even a line fits any more.
            with suppress(OSError), (disk / "other").open("wb", buffering=0) as other:
                while other.write(bytes(65536)) == 65536:
                    pass
            while len(said) < 2 and len(good.got) < 400:
                group.write(a_result(len(good.got), a_reading_at(0)))

        text = lines.read_text()
        capture = cv2.VideoCapture(str(clip))
        frames = 0
        while capture.read()[0]:
            frames += 1
        capture.release()
        assert sorted(item.name for item in disk.iterdir()) == ["other", "out.jsonl", "out.mp4"]

    assert "The clip ended: " in said[0]
    assert f"out.mp4 ends after {recorded} frames: less than 34 MB are free on its disk" in said[0]
    assert said[1:] == ["JSON lines ended: No space left on device; the loop goes on."]
    assert frames == recorded > 1
    assert text.endswith("}\n")
    assert recorded <= text.count("\n") < len(good.got)


def test_lines_to_a_full_disk_alone_end_the_loop(said):
    def looping() -> None:
        with SinkGroup(said.append) as group:
            group.add("JSON lines", JsonLinesSink("/dev/full", overwrite=True))
            group.write(a_result())

    with pytest.raises(SinkError, match="Cannot write /dev/full: No space left on device"):
        looping()


def test_a_reader_that_left_retires_the_lines(monkeypatch, said, journal):
    reader, writer = os.pipe()
    good = ScriptedSink(journal, "good")
    with open(writer, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        with SinkGroup(said.append) as group:
            group.add("JSON lines to the standard output", JsonLinesSink("-"))
            group.add("Good", good)
            group.write(a_result(0))
            os.close(reader)
            for index in range(1, 4):
                group.write(a_result(index))

    assert said == [
        "JSON lines to the standard output ended: its reader has left; the loop goes on."
    ]
    assert good.got == [0, 1, 2, 3]
