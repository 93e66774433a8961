"""Folders of pictures, and clips that are played like a camera."""

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.cameras import open_camera
from fer_edge.edge.cameras.capture import Capture
from fer_edge.edge.cameras.files import ClipCamera, Pace
from fer_edge.edge.cameras.folder import natural_key
from fer_edge.edge.errors import CameraError

from ..conftest import encode, write_folder
from .conftest import HANG_S, write_clip


def flat(shade: int, suffix: str = ".png") -> bytes:
    return encode(np.full((8, 12, 3), shade, np.uint8), suffix)


def shades(camera) -> list[int]:
    frames = list(iter(camera.read, None))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    return [round(frame.image.mean()) for frame in frames]


def test_a_folder_is_played_in_the_order_of_its_names(tmp_path):
    names = ["face10.png", "face9.jpg", "a.bmp", "face9b.PNG", "b.webp"]
    in_order = ["a.bmp", "b.webp", "face9.jpg", "face9b.PNG", "face10.png"]
    write_folder(
        tmp_path,
        {name: flat(10 * in_order.index(name), name[name.index(".") :].lower()) for name in names},
    )
    # What is no picture, or lies deeper, is none of it.
    write_folder(tmp_path, {"notes.txt": b"text", "deeper/face1.png": flat(99)})

    with open_camera(tmp_path, fps=12) as camera:
        assert (camera.name, camera.lossless, camera.fps) == (tmp_path.name, True, 12)
        assert shades(camera) == [0, 10, 20, 30, 40]
        assert camera.read() is None


def test_without_colour_its_pictures_are_grey(tmp_path):
    write_folder(tmp_path, {"a.png": flat(10)})

    with open_camera(tmp_path, colour=False) as camera:
        assert camera.read().image.shape == (8, 12)


def test_what_cannot_be_read_is_counted_and_said_once(tmp_path):
    said = []
    write_folder(
        tmp_path,
        {"1.png": b"text", "2.png": flat(20), "3.jpg": b"", "4.png": flat(40), "5.png": b"text"},
    )

    with open_camera(tmp_path, say=said.append) as camera:
        assert shades(camera) == [20, 40]
        assert camera.skipped == 3
        assert camera.read() is None
    assert said == [
        f"3 of 5 pictures in {tmp_path} could not be read and were left out; the first is 1.png."
    ]


# Each case: what is in the folder, what is said.
NO_CAMERAS = [
    ({"notes.txt": b"text"}, "is no camera: no picture"),
    ({"a.png": b"text", "b.jpg": b""}, "none of its 2 pictures can be read"),
]


@pytest.mark.parametrize(("members", "said"), NO_CAMERAS)
def test_a_folder_without_a_picture_is_no_camera(tmp_path, members, said):
    write_folder(tmp_path, members)

    with pytest.raises(CameraError, match=said):
        open_camera(tmp_path)


@given(st.lists(st.text(st.sampled_from("0123456789ab.٣"), min_size=1), min_size=2, unique=True))
def test_any_names_have_an_order(names):
    one = sorted(map(Path, names), key=natural_key)
    other = sorted(map(Path, reversed(names)), key=natural_key)

    assert one == other


def test_a_number_counts_as_a_whole():
    names = ["f1.png", "f2.png", "f10.png", "f010.png", "g1.png"]

    assert [p.name for p in sorted(map(Path, reversed(names)), key=natural_key)] == [
        "f1.png",
        "f2.png",
        "f010.png",
        "f10.png",
        "g1.png",
    ]


# ----------------------------------------------------------------------------------- at their rate


class Clock:
    """Stands in for the waits of a pace: nobody waits, and what was waited for is noted."""

    def __init__(self, monkeypatch):
        self.now_s, self.waits = 100.0, []
        monkeypatch.setattr("fer_edge.edge.cameras.files.time.monotonic", lambda: self.now_s)
        monkeypatch.setattr(threading.Event, "wait", lambda event, s: self.wait(s))

    def wait(self, seconds):
        self.waits.append(round(seconds, 6))
        self.now_s += seconds


def test_a_pace_waits_until_each_frame_is_due(monkeypatch):
    clock, pace = Clock(monkeypatch), Pace()

    for due_s, busy_s in [(0.5, 0.0), (0.6, 0.03), (0.7, 0.25), (0.8, 0.0), (1.0, 0.0)]:
        pace.wait(due_s)
        clock.now_s += busy_s

    # The third frame took so long that the fourth is late; the fifth is on time again.
    assert clock.waits == [0, 0.1, 0.07, 0, 0.05]


def test_a_clip_keeps_the_times_of_its_frames(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "clip.mp4", count=5)
    clock = Clock(monkeypatch)

    with open_camera(clip, realtime=True) as camera:
        assert camera.lossless is False
        assert len(list(iter(camera.read, None))) == 5
    assert clock.waits == [0, *[pytest.approx(0.04, abs=1e-3)] * 4]


def test_a_stream_without_times_goes_by_its_rate(tmp_path, monkeypatch):
    """As bare .h264 is: FFmpeg puts every frame of it at 0."""
    clip = write_clip(tmp_path / "clip.avi", count=4)
    clock = Clock(monkeypatch)
    monkeypatch.setattr(Capture, "get", lambda capture, what: {cv2.CAP_PROP_FPS: 20}.get(what, 0))

    with ClipCamera(clip, realtime=True) as camera:
        assert len(list(iter(camera.read, None))) == 4
    assert clock.waits == [0, 0.05, 0.05, 0.05]


def test_a_folder_is_played_at_the_rate_that_is_asked_for(tmp_path, monkeypatch):
    write_folder(tmp_path, {"1.png": flat(10), "2.png": b"text", "3.png": flat(30)})
    clock = Clock(monkeypatch)

    with open_camera(tmp_path, fps=4, realtime=True) as camera:
        assert camera.lossless is False
        assert shades(camera) == [10, 30]
    assert clock.waits == [0, 0.25]


def a_slow_folder(path):
    write_folder(path, {"1.png": flat(10), "2.png": flat(20)})
    return path


def a_slow_clip(path):
    return write_clip(path / "clip.avi", count=2)


@pytest.mark.parametrize("make", [a_slow_folder, a_slow_clip])
def test_closing_ends_a_wait_in_another_thread(tmp_path, monkeypatch, make):
    monkeypatch.setattr(ClipCamera, "_due_s", lambda camera: 1000.0 * camera._index)
    camera = open_camera(make(tmp_path), fps=0.001, realtime=True)
    camera.read()
    thread = threading.Thread(target=camera.read, daemon=True)
    thread.start()
    time.sleep(0.05)  # so that it waits for its 1000 s

    camera.close()
    thread.join(HANG_S)

    assert not thread.is_alive()


def test_a_clip_can_be_closed_while_another_thread_reads(tmp_path):
    """OpenCV itself would free the decoder under the reader, and take the process with it."""
    clip = write_clip(tmp_path / "clip.mp4", count=12)
    for pause_s in np.linspace(0, 0.01, 15):
        camera = open_camera(clip)
        thread = threading.Thread(target=lambda camera=camera: list(iter(camera.read, None)))
        thread.start()
        time.sleep(pause_s)
        camera.close()
        thread.join(HANG_S)
        assert not thread.is_alive()
        assert not camera._capture._capture.isOpened(), "whoever came last has freed it"


# ------------------------------------------------------------------------ the time of a stream


def stream_times_s(camera) -> list[float | None]:
    times = [frame.stream_ns for frame in iter(camera.read, None)]
    return [None if time_ns is None else round(time_ns / 1e9, 3) for time_ns in times]


@pytest.mark.parametrize("rotate", [0, 90])
def test_a_clip_goes_by_its_own_time_however_fast_it_is_read(tmp_path, rotate):
    clip = write_clip(tmp_path / "clip.mp4", count=4)

    with open_camera(clip, rotate=rotate) as camera:
        assert np.diff(stream_times_s(camera)) == pytest.approx(1 / 25, abs=1e-3)
    with open_camera(clip, realtime=True) as camera:
        assert stream_times_s(camera) == [None] * 4


# Each case: the rate that is asked for, the times of three pictures.
FOLDER_TIMES = [(10.0, [0.0, 0.1, 0.2]), (None, [0.0, 60.0, 120.0])]


@pytest.mark.parametrize(("fps", "times_s"), FOLDER_TIMES)
def test_pictures_without_a_rate_have_nothing_to_do_with_each_other(tmp_path, fps, times_s):
    write_folder(tmp_path, {f"{shade}.png": flat(shade) for shade in (1, 2, 3)})

    with open_camera(tmp_path, fps=fps) as camera:
        assert stream_times_s(camera) == times_s


def test_the_demo_goes_by_its_rate_where_every_frame_counts():
    with open_camera("demo", fps=10, lossless=True) as camera:
        assert [camera.read().stream_ns for _ in range(3)] == [0, 100_000_000, 200_000_000]
    with open_camera("demo", fps=200) as camera:
        assert camera.read().stream_ns is None
