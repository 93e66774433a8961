"""Outputs that go on at the end of a file, as those of a service that is started again do."""

import errno
import json

import pytest
from click.testing import CliRunner

from fer_edge.edge.cli import cli
from fer_edge.edge.errors import SinkError
from fer_edge.edge.sinks import lines
from fer_edge.edge.sinks.csv_table import CsvSink
from fer_edge.edge.sinks.events import EventsSink
from fer_edge.edge.sinks.jsonl import JsonLinesSink

from .conftest import a_reading_at, a_result

LABELS = ("happy", "sad")


def write_one(target: str, **options) -> None:
    with JsonLinesSink(target, **options) as sink:
        sink.write(a_result())


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("", ""),
        ('{"frame":7}\n', '{"frame":7}\n'),
        # Cut off by a power failure: what is there stays, on a line of its own.
        ('{"frame":7}\n{"fra', '{"frame":7}\n{"fra\n'),
    ],
)
def test_with_append_a_file_is_gone_on_with(tmp_path, before, kept):
    path = tmp_path / "out.jsonl"
    path.write_text(before)

    for index in (8, 9):
        with JsonLinesSink(str(path), append=True) as sink:
            sink.write(a_result(index))

    text = path.read_text()
    assert text.startswith(kept)
    assert [json.loads(line)["frame"] for line in text[len(kept) :].splitlines()] == [8, 9]


def test_with_append_a_file_that_is_not_there_is_begun(tmp_path):
    write_one(str(tmp_path / "out.jsonl"), append=True)

    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


def test_what_was_there_is_left_where_another_output_fails(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("precious\n")

    with pytest.raises(SinkError, match="another"), JsonLinesSink(str(path), append=True):
        raise SinkError("another")

    assert path.read_text() == "precious\n"


def test_a_full_disk_takes_back_only_its_own_half_line(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    path.write_text("precious\n")
    real = lines.FileIO.write

    class Full(lines.FileIO):
        def write(self, data):
            real(self, bytes(data)[:5])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lines, "FileIO", Full)
    with pytest.raises(SinkError, match="No space left"):
        write_one(str(path), append=True)

    assert path.read_text() == "precious\n"


def test_append_and_overwrite_together_are_refused():
    result = CliRunner().invoke(cli, ["run", "--append", "--overwrite"])

    assert result.exit_code == 2
    assert "--append keeps what is there" in result.stderr


def test_a_table_has_one_head_over_all_starts(tmp_path):
    path = tmp_path / "table.csv"

    for index in range(3):
        with CsvSink(str(path), labels=LABELS, append=True) as sink:
            sink.write(a_result(index, a_reading_at(0)))

    head, *rows = path.read_text().splitlines()
    assert head.startswith("time,frame,face,")
    assert [row.split(",")[1] for row in rows] == ["0", "1", "2"]


@pytest.mark.parametrize("before", ["time,frame\n", "notes\n", "\xff\n" * 3])
def test_a_table_of_other_columns_is_not_gone_on_with(tmp_path, before):
    path = tmp_path / "table.csv"
    path.write_text(before)

    with (
        pytest.raises(SinkError, match="does not begin as a table of this model does"),
        CsvSink(str(path), labels=LABELS, append=True),
    ):
        pytest.fail("it was opened")

    assert path.read_text() == before


def test_events_of_each_start_are_a_run_of_their_own(tmp_path):
    path = tmp_path / "events.jsonl"

    for _ in range(2):
        with EventsSink(str(path), camera="demo", labels=LABELS, append=True) as sink:
            sink.write(a_result(0, a_reading_at(0)))

    kinds = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert kinds == ["started", "appeared", "left", "ended"] * 2


def test_the_command_goes_on_with_its_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = ["run", "--camera", "demo", "--detector", "haar", "--no-window", "--frames", "2"]
    outputs = ["--jsonl", "out.jsonl", "--csv", "out.csv", "--events", "events.jsonl", "--append"]

    for count in (2, 4):
        result = CliRunner().invoke(cli, [*run, *outputs])
        assert result.exit_code == 0, result.output
        assert len((tmp_path / "out.jsonl").read_text().splitlines()) == count
