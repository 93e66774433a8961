"""Clips that follow each other, and what becomes of them when the disk is full."""

from pathlib import Path

import numpy as np
import pytest

from fer_edge.edge.errors import SinkError
from fer_edge.edge.records import Frame, Result
from fer_edge.edge.sinks.recording import Recording

from .conftest import a_reading_at
from .disks import small_disk
from .test_video import read_clip

#: 2026-11-21 09:30:00 UTC.
MORNING_S = 1_795_253_400.0


def at(seconds: float, size_wh: tuple[int, int] = (160, 120)) -> Result:
    """A result of so many seconds after the start, with noise that takes room."""
    noise = np.random.default_rng(round(10 * seconds))
    image = noise.integers(0, 255, (*size_wh[::-1], 3), dtype=np.uint8)
    moment = 7_000_000_000 + round(seconds * 1e9)
    return Result(Frame(0, image, moment, MORNING_S + seconds), [a_reading_at(5)], moment)


def recording(path: Path, said: list[str], **options) -> Recording:
    return Recording(
        path, **{"minutes": None, "say": said.append, "fps": 2.0, "paced": False} | options
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_clip_of_all_has_the_name_that_was_given(tmp_path: Path) -> None:
    with recording(tmp_path / "out.mp4", said := []) as sink:
        for step in range(4):
            sink.write(at(step))

    assert (names(tmp_path), said) == (["out.mp4"], [])
    assert len(read_clip(tmp_path / "out.mp4")[0]) == 4


def test_clips_follow_each_other_and_are_named_by_their_time(tmp_path: Path) -> None:
    with recording(tmp_path / "out.mp4", said := [], minutes=0.1) as sink:
        for step in range(15):
            sink.write(at(step))

    assert names(tmp_path) == [
        "out-20261121-093000.mp4",
        "out-20261121-093006.mp4",
        "out-20261121-093012.mp4",
    ]
    assert [len(read_clip(tmp_path / name)[0]) for name in names(tmp_path)] == [6, 6, 3]
    assert said == []


def test_a_program_that_is_started_anew_goes_on_beside_what_is_there(tmp_path: Path) -> None:
    for _ in range(3):
        with recording(tmp_path / "out.mp4", [], minutes=1) as sink:
            sink.write(at(0))

    assert names(tmp_path) == [
        "out-20261121-093000-2.mp4",
        "out-20261121-093000-3.mp4",
        "out-20261121-093000.mp4",
    ]


def test_nothing_is_written_where_nothing_came(tmp_path: Path) -> None:
    with recording(tmp_path / "out.mp4", [], minutes=1):
        pass

    assert names(tmp_path) == []


@pytest.mark.parametrize("minutes", [None, 1.0])
def test_what_cannot_be_written_is_told_before_the_first_frame(tmp_path: Path, minutes) -> None:
    with pytest.raises(SinkError, match=r"the folder .* does not exist"):
        recording(tmp_path / "no" / "out.mp4", [], minutes=minutes)
    with pytest.raises(SinkError, match=r"writes \.mp4 files"):
        recording(tmp_path / "out.avi", [], minutes=minutes)
    with pytest.raises(SinkError, match="less than 1000000000 MB are free"):
        recording(tmp_path / "out.mp4", [], minutes=minutes, keep_free_bytes=10**15)
    assert names(tmp_path) == []


def test_a_full_disk_is_told_once_a_minute_and_the_recording_comes_back(tmp_path: Path) -> None:
    """On a real disk; the clip of before can be played."""
    said: list[str] = []
    with small_disk(tmp_path / "disk", 8) as disk:
        sink = recording(disk / "out.mp4", said, minutes=10, keep_free_bytes=2_000_000)
        filler = disk / "filler"
        for second in range(200):
            if second == 5:
                filler.write_bytes(bytes(6_500_000))
            if second == 150:
                filler.unlink()
            sink.write(at(second))
        sink.__exit__(None)

        # At 5, 65 and 125 s it was full; at 185 s it is not any more.
        assert len(said) == 3
        assert "out-20261121-093000.mp4 ends after 6 frames" in said[0]
        assert all(line.endswith("; the recording is tried again in a minute.") for line in said)
        assert names(disk) == ["out-20261121-093000.mp4", "out-20261121-093305.mp4"]
        assert [len(read_clip(disk / name)[0]) for name in names(disk)] == [6, 15]
