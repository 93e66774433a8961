"""The recorded clip: whole or not at all, and as long as what was seen."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import SinkError
from fer_edge.edge.records import Result
from fer_edge.edge.sinks.video import VideoSink

from .conftest import a_reading_at, a_result
from .disks import small_disk

SIZE = (160, 120)


def shade(index: int, size_wh: tuple[int, int] = SIZE, **changes) -> Result:
    """A result whose picture is a grey that tells its index."""
    image = np.full((*size_wh[::-1], 3), 10 * index % 250, np.uint8)
    return a_result(index, image=image, **changes)


def record(path: Path, results: list[Result], **options) -> Path:
    with VideoSink(path, **{"fps": 10.0, "paced": False, **options}) as sink:
        for result in results:
            sink.write(result)
    return path


def read_clip(path: Path) -> tuple[list[int], float]:
    """The mean grey of each frame of a clip, and its rate."""
    capture = cv2.VideoCapture(str(path))
    assert capture.isOpened(), f"{path} cannot be played"
    greys = []
    while True:
        good, image = capture.read()
        if not good:
            break
        greys.append(round(float(image.mean())))
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return greys, rate


@pytest.mark.parametrize("size_wh", [SIZE, (640, 480), (320, 200)])
@pytest.mark.parametrize("fps", [10.0, 29.97])
def test_a_clip_can_be_played_frame_for_frame(tmp_path, size_wh, fps):
    path = record(tmp_path / "out.mp4", [shade(n, size_wh) for n in range(12)], fps=fps)

    greys, rate = read_clip(path)

    assert len(greys) == 12
    assert greys == pytest.approx([10 * n for n in range(12)], abs=4)
    assert rate == pytest.approx(fps, rel=0.01)
    capture = cv2.VideoCapture(str(path))
    assert capture.read()[1].shape == (*size_wh[::-1], 3)
    assert list(tmp_path.iterdir()) == [path]


def test_the_readings_are_drawn_in(tmp_path):
    plain = record(tmp_path / "plain.mp4", [shade(5)])
    frame = shade(5).frame
    seen = Result(frame, [a_reading_at(40, 50)], frame.captured_ns)
    drawn = record(tmp_path / "drawn.mp4", [seen])

    assert read_clip(drawn)[0][0] > read_clip(plain)[0][0] + 5


def test_grey_frames_of_a_camera_without_colour_are_recorded(tmp_path):
    results = [shade(n) for n in range(4)]
    grey = [a_result(n, image=result.frame.image[:, :, 0]) for n, result in enumerate(results)]

    greys, _ = read_clip(record(tmp_path / "out.mp4", grey))

    assert greys == pytest.approx([0, 10, 20, 30], abs=4)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_a_camera_without_a_rate_makes_thirty(tmp_path, fps):
    path = record(tmp_path / "out.mp4", [shade(0), shade(1)], fps=fps)

    assert read_clip(path)[1] == pytest.approx(30)


def test_a_camera_that_changes_its_size_keeps_the_clip_going(tmp_path):
    path = record(tmp_path / "out.mp4", [shade(0), shade(1, (320, 240)), shade(2, (64, 64))])

    greys, _ = read_clip(path)

    assert greys == pytest.approx([0, 10, 20], abs=4)


# ------------------------------------------------------------------------------------------- time


def at(*seconds: float) -> list[Result]:
    """Results captured at these times after the first."""
    return [shade(n, captured_ns=10**9 + round(s * 1e9)) for n, s in enumerate(seconds)]


# Each case: when the frames of a live camera came; which frame is shown in each tenth of a second.
TIMES = {
    "as it should": ([0, 0.1, 0.2, 0.3], [0, 1, 2, 3]),
    "a little unsteady": ([0, 0.12, 0.19, 0.31], [0, 1, 2, 3]),
    "too slow": ([0, 0.3, 0.5], [0, 1, 1, 1, 2, 2]),
    "too fast": ([0, 0.02, 0.04, 0.1, 0.12, 0.2], [0, 3, 5]),
    "two at once": ([0, 0, 0.1], [0, 2]),
    "a gap": ([0, 0.1, 1.0], [0, 1, *[2] * 9]),
    "away for ten seconds": ([0, 10, 10.1], [0, *[1] * 100, 2]),
}


@pytest.mark.parametrize(("seconds", "shown"), TIMES.values(), ids=TIMES)
def test_a_live_clip_keeps_the_time(tmp_path, seconds, shown):
    path = record(tmp_path / "out.mp4", at(*seconds), paced=True)

    greys, _ = read_clip(path)

    assert greys == pytest.approx([10 * n for n in shown], abs=4)


def test_of_an_hour_without_frames_ten_seconds_are_filled(tmp_path):
    path = record(tmp_path / "out.mp4", at(0, 3600), paced=True)

    assert len(read_clip(path)[0]) == 1 + 100


def test_after_a_cut_the_clip_goes_on_at_its_rate(tmp_path):
    path = record(tmp_path / "out.mp4", at(0, 60, 60.1, 60.2), paced=True)

    assert len(read_clip(path)[0]) == 1 + 100 + 2


@given(st.lists(st.floats(0.001, 0.4), max_size=60), st.sampled_from([10.0, 25.0, 29.97]))
def test_a_live_clip_is_as_long_as_what_was_seen(pauses, fps):
    """Without a file: how often each frame is written, given when it came."""
    sink = object.__new__(VideoSink)
    sink._fps, sink._paced, sink._written = fps, True, 0
    sink._first_ns = 10**9
    now = 10**9
    for pause in (0.0, *pauses):
        now += round(pause * 1e9)
        sink._written += sink._repeats(now)
        # Never more than half a frame beside the clock.
        assert abs((sink._written - 1) / fps - (now - 10**9) / 1e9) <= 0.5 / fps + 1e-6


def test_a_file_s_clip_has_every_frame_whenever_it_came(tmp_path):
    path = record(tmp_path / "out.mp4", at(0, 0, 0.01, 5, 90), paced=False)

    assert len(read_clip(path)[0]) == 5


# ------------------------------------------------------------------------------------ whole or not


def test_while_it_grows_it_has_another_name(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoSink(path, fps=10, paced=False) as sink:
        sink.write(shade(0))
        assert not path.exists()
        assert [item.name for item in tmp_path.iterdir()] == ["part-out.mp4"]

    assert [item.name for item in tmp_path.iterdir()] == ["out.mp4"]


def test_without_a_frame_nothing_is_left(tmp_path):
    record(tmp_path / "out.mp4", [])

    assert list(tmp_path.iterdir()) == []


def test_without_a_frame_an_older_clip_stays(tmp_path):
    path = record(tmp_path / "out.mp4", [shade(n) for n in range(3)])

    record(path, [], overwrite=True)

    assert len(read_clip(path)[0]) == 3


def test_what_was_recorded_before_an_error_can_be_played(tmp_path):
    class StopError(Exception):
        pass

    def recording() -> None:
        with VideoSink(tmp_path / "out.mp4", fps=10, paced=False) as sink:
            sink.write(shade(0))
            sink.write(shade(1))
            raise StopError

    with pytest.raises(StopError):
        recording()

    assert len(read_clip(tmp_path / "out.mp4")[0]) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_a_clip_that_exists_is_not_overwritten(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_text("precious")

    with pytest.raises(SinkError, match=r"out.mp4 exists.*--overwrite"):
        VideoSink(path, fps=10, paced=False)

    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_with_overwrite_it_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_text("old")
    with VideoSink(path, fps=10, paced=False, overwrite=True) as sink:
        sink.write(shade(0))
        assert path.read_text() == "old"

    assert len(read_clip(path)[0]) == 1


# Each case: a name, what the error says.
REFUSED = [
    ("out.avi", r"writes .mp4 files, got 'out.avi'"),
    ("out", "writes .mp4 files"),
    (".mp4", "writes .mp4 files"),
    ("missing/out.mp4", "the folder .*missing does not exist"),
    ("file/out.mp4", "(folder .* does not exist|Not a directory)"),
    ("x" * 300 + ".mp4", "File name too long"),
]


@pytest.mark.parametrize(("name", "said"), REFUSED, ids=[name[:20] for name, _ in REFUSED])
@pytest.mark.parametrize("overwrite", [True, False])
def test_what_cannot_be_written_is_told_before_the_first_frame(tmp_path, name, said, overwrite):
    (tmp_path / "file").touch()

    with pytest.raises(SinkError, match=said):
        VideoSink(tmp_path / name, fps=10, paced=False, overwrite=overwrite)

    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_place_of_the_clip_is_told_before_the_first_frame(tmp_path):
    path = tmp_path / "out.mp4"
    path.mkdir()

    with pytest.raises(SinkError, match=r"out.mp4"):
        VideoSink(path, fps=10, paced=False, overwrite=True)


def test_a_clip_that_opencv_cannot_write_leaves_nothing(tmp_path):
    # MPEG-4 has no such rate, so the encoder does not open.
    with pytest.raises(SinkError, match="cannot write"):
        record(tmp_path / "out.mp4", [shade(0)], fps=1e6)

    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------- the disk is full


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond this: writing on fails, and the free space does not tell."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def noise(index: int) -> Result:
    image = np.random.default_rng(1).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    return a_result(index, image=np.roll(image, index))


def test_a_clip_that_is_not_whole_is_a_sink_error_and_what_there_is_stays(tmp_path):
    """OpenCV writes on without a word, and what it leaves cannot be played."""
    said = "out.mp4 is not whole.*cannot be played, and stays as part-out.mp4"
    with largest_file(50_000), pytest.raises(SinkError, match=said):
        record(tmp_path / "out.mp4", [noise(n) for n in range(30)])

    assert [item.name for item in tmp_path.iterdir()] == ["part-out.mp4"]
    assert (tmp_path / "part-out.mp4").stat().st_size == 50_000


def test_an_error_that_ends_the_loop_is_not_hidden_by_a_clip_that_is_not_whole(tmp_path):
    class StopError(Exception):
        pass

    def recording() -> None:
        with VideoSink(tmp_path / "out.mp4", fps=10, paced=False) as sink:
            for index in range(30):
                sink.write(noise(index))
            raise StopError

    with largest_file(50_000), pytest.raises(StopError):
        recording()

    assert [item.name for item in tmp_path.iterdir()] == ["part-out.mp4"]


def test_a_file_that_does_not_grow_is_noticed_while_it_runs(tmp_path):
    result = shade(0)

    def write_on(sink: VideoSink) -> None:
        for _ in range(30_000):
            sink.write(result)

    with largest_file(50_000), VideoSink(tmp_path / "out.mp4", fps=10, paced=False) as sink:
        with pytest.raises(SinkError, match=r"nothing more is written to its disk; .*part-out"):
            write_on(sink)
        with pytest.raises(SinkError, match=r"out.mp4 has ended"):
            sink.write(shade(0))

    assert [item.name for item in tmp_path.iterdir()] == ["part-out.mp4"]


# Each case: a size, how many black frames it takes until FFmpeg has emptied its buffer.
BLACK = [(SIZE, 8_000), ((640, 480), 1_000)]


@pytest.mark.parametrize(("size_wh", "frames"), BLACK)
def test_a_picture_that_does_not_change_is_not_taken_for_a_full_disk(tmp_path, size_wh, frames):
    """The least that is written: until the buffer is emptied, the file does not grow."""
    black = a_result(0, image=np.zeros((*size_wh[::-1], 3), np.uint8))
    sizes = set()
    with VideoSink(tmp_path / "out.mp4", fps=30, paced=False) as sink:
        for _ in range(frames):
            sink.write(black)
            sizes.add((tmp_path / "part-out.mp4").stat().st_size)

    assert len(sizes) > 1, "too short: the buffer was never written"


# Each case: what is left of the disk in MB, whether the clip goes on.
LEFT = [(31, False), (33, True)]


@pytest.mark.parametrize(("left_mb", "goes_on"), LEFT)
def test_a_disk_is_not_filled_up(tmp_path, monkeypatch, left_mb, goes_on):
    """With a made-up disk; test_sink_group.py has a real one."""
    sizes = {"f_frsize": 4096, "f_bavail": (50 << 20) // 4096}
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(**sizes))

    def recording() -> None:
        with VideoSink(tmp_path / "out.mp4", fps=10, paced=False) as sink:
            for index in range(6):
                if index == 3:
                    sizes["f_bavail"] = (left_mb << 20) // 4096
                sink.write(shade(index))

    if goes_on:
        recording()
    else:
        with pytest.raises(SinkError, match="ends after 4 frames: less than 34 MB are free"):
            recording()

    assert len(read_clip(tmp_path / "out.mp4")[0]) == (6 if goes_on else 4)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_is_full_from_the_start_is_told_before_the_first_frame(tmp_path):
    with small_disk(tmp_path / "disk", 16) as disk:
        with pytest.raises(SinkError, match="less than 34 MB are free on its disk"):
            VideoSink(disk / "out.mp4", fps=10, paced=False)
        assert list(disk.iterdir()) == []


def test_a_clip_that_somebody_takes_away_is_noticed(tmp_path):
    with VideoSink(tmp_path / "out.mp4", fps=10, paced=False) as sink:
        sink.write(shade(0))
        (tmp_path / "part-out.mp4").unlink()
        with pytest.raises(SinkError, match=r"part-out.mp4 is gone \(No such file"):
            sink.write(shade(1))
