"""Frames on a pipe: what the loop gets of them, and that nothing waits for ever."""

import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from fer_edge.edge.cameras import open_camera, stdin
from fer_edge.edge.cameras.stdin import StdinCamera
from fer_edge.edge.errors import CameraError

from ..conftest import encode
from .conftest import HANG_S, write_clip

SIZE = (16, 12)


class Pipe:
    """A pipe with a thread that writes; closing it is the end of the input."""

    def __init__(self):
        self.reader, self._writer = os.pipe()
        self._thread = None

    def write(self, *pieces: bytes, end: bool = True) -> None:
        def work() -> None:
            with suppress(BrokenPipeError):
                for piece in pieces:
                    os.write(self._writer, piece)
            if end:
                self.end()

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def end(self) -> None:
        writer, self._writer = self._writer, -1
        if writer >= 0:
            os.close(writer)

    def close(self) -> None:
        os.close(self.reader)
        if self._thread is not None:
            self._thread.join(HANG_S)
        self.end()


@pytest.fixture
def pipe():
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch):
    """Limits of tenths of a second instead of seconds."""
    monkeypatch.setattr(stdin, "_FIRST_S", 0.3)
    monkeypatch.setattr(stdin, "SILENCE_S", 0.3)


def open_pipe(pipe, raw="", said=None, **changes) -> StdinCamera:
    fields = {"size_wh": SIZE, "fps": 30.0, "colour": True, "live": False}
    fields["say"] = [].append if said is None else said.append
    return StdinCamera(raw, descriptor=pipe.reader, **{**fields, **changes})


def flat(shade: int) -> bytes:
    return encode(np.full((*SIZE[::-1], 3), shade, np.uint8), ".jpg")


def frames_of(camera) -> list:
    frames = list(iter(camera.read, None))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    return frames


def test_motion_jpeg_gives_every_frame(pipe):
    pipe.write(*[flat(shade) for shade in (10, 20, 30)])

    with open_pipe(pipe) as camera:
        assert (camera.name, camera.lossless, camera.fps) == ("standard input", True, 30)
        assert [round(frame.image.mean()) for frame in frames_of(camera)] == [10, 20, 30]
        assert camera.read() is None, "the end stays the end"
        assert camera.skipped == 0


def test_live_the_newest_of_those_that_wait_counts(pipe):
    # In one write, so that all of them wait.
    pipe.write(b"".join(flat(shade) for shade in (10, 20, 30)))

    with open_pipe(pipe, live=True) as camera:
        assert camera.lossless is False
        assert [round(frame.image.mean()) for frame in frames_of(camera)] == [30]


def test_damaged_pictures_are_left_out(pipe):
    said = []
    pipe.write(flat(10), flat(20)[:-4], flat(30), flat(40)[:-1])

    with open_pipe(pipe, said=said) as camera:
        assert [round(frame.image.mean()) for frame in frames_of(camera)] == [10, 30]
        assert camera.skipped == 2
    assert len(said) == 1


GREY = np.arange(16 * 12, dtype=np.uint8).reshape(12, 16)
# Planes of half the size each way; 128 is no colour.
YUV = GREY.tobytes() + bytes([128]) * (8 * 6 * 2)


def test_raw_grey_frames_are_grey(pipe):
    pipe.write(GREY.tobytes() * 2)

    one, other = frames_of(open_pipe(pipe, "gray"))

    assert np.array_equal(one.image, GREY)
    assert np.array_equal(other.image, GREY)
    assert not np.shares_memory(one.image, other.image)


def test_raw_colour_frames_are_taken_as_they_are(pipe):
    picture = np.arange(16 * 12 * 3).astype(np.uint8).reshape(12, 16, 3)
    pipe.write(picture.tobytes(), (255 - picture).tobytes())

    one, other = frames_of(open_pipe(pipe, "bgr24"))

    assert np.array_equal(one.image, picture)
    assert np.array_equal(other.image, 255 - picture)


def test_the_grey_plane_of_yuv420_is_luma_beside_the_colours(pipe):
    pipe.write(YUV)

    (frame,) = frames_of(open_pipe(pipe, "yuv420"))

    assert np.array_equal(frame.luma, GREY)
    assert frame.image.shape == (12, 16, 3)
    assert (frame.image[..., 0] == frame.image[..., 2]).all(), "no colour"


def test_without_colour_it_is_the_picture(pipe):
    pipe.write(YUV)

    (frame,) = frames_of(open_pipe(pipe, "yuv420", colour=False))

    assert np.array_equal(frame.image, GREY)
    assert frame.luma is None


def test_a_raw_frame_may_come_in_any_pieces(pipe):
    data = GREY.tobytes() * 3
    pipe.write(*[data[at : at + 7] for at in range(0, len(data), 7)])

    assert [np.array_equal(frame.image, GREY) for frame in frames_of(open_pipe(pipe, "gray"))] == [
        True
    ] * 3


def test_a_raw_frame_that_is_cut_is_said_and_counted(pipe):
    said = []
    pipe.write(GREY.tobytes() + GREY.tobytes()[:50])

    with open_pipe(pipe, "gray", said) as camera:
        assert len(frames_of(camera)) == 1
        assert camera.read() is None
        assert camera.skipped == 1
    assert said == [
        "Standard input ended within a frame: 50 of its 192 bytes came. Is --size right?"
    ]


# Each case: the format, what comes, what is said when it is opened.
NOTHING = [
    ("", b"", "ended before the first frame was whole."),
    ("", b"no picture at all", "ended before the first frame"),
    ("", flat(10)[:-1], "ended before the first frame"),
    ("gray", b"", r"whole \(0 of 192 bytes came\)"),
    ("gray", GREY.tobytes()[:-1], r"whole \(191 of 192 bytes came\)"),
]


@pytest.mark.parametrize(("raw", "data", "said"), NOTHING)
def test_an_input_without_a_frame_is_no_camera(pipe, raw, data, said):
    pipe.write(data)

    with pytest.raises(CameraError, match=said):
        open_pipe(pipe, raw)


def test_yuv420_has_even_sides(pipe):
    with pytest.raises(CameraError, match="even sides, got 15x12"):
        open_pipe(pipe, "yuv420", size_wh=(15, 12))


@pytest.mark.usefixtures("impatient")
def test_an_input_that_stays_silent_is_no_camera(pipe):
    with pytest.raises(CameraError, match="No frame came on standard input"):
        open_pipe(pipe)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("raw", "one"), [("", flat(10)), ("gray", GREY.tobytes())])
def test_an_input_that_falls_silent_is_a_camera_that_went_and_can_come_back(pipe, raw, one):
    half = len(one) // 2
    pipe.write(one + one[:half], end=False)
    camera = open_pipe(pipe, raw)
    first = camera.read()

    with pytest.raises(CameraError, match="standard input"):
        camera.read()
    assert camera.reachable() is False
    camera.close()
    again = camera.renew()
    pipe.write(one[half:])

    assert again.reachable() in (True, False)
    # Within the picture where it was interrupted.
    second = again.read()
    assert np.array_equal(second.image, first.image)
    assert again.read() is None
    assert again.reachable() is True, "the end is there to be read"


def test_closing_ends_a_read_in_another_thread(pipe):
    pipe.write(flat(10), end=False)
    camera = open_pipe(pipe)
    camera.read()
    ends = []
    thread = threading.Thread(target=lambda: ends.append(camera.read()))
    thread.start()

    camera.close()
    thread.join(HANG_S)

    assert ends == [None]
    assert os.fstat(pipe.reader), "standard input is not the camera's to close"


def test_a_terminal_is_no_camera():
    ours, theirs = os.openpty()
    try:
        with pytest.raises(CameraError, match="is a terminal: pipe frames into it"):
            StdinCamera(
                "", size_wh=SIZE, fps=30, colour=True, live=False, say=print, descriptor=theirs
            )
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_program_ends_while_its_input_is_silent():
    """A thread in a read must not keep the interpreter from ending."""
    code = (
        "import threading; from fer_edge.edge.cameras import open_camera;"
        "c = open_camera('-'); c.read();"
        "t = threading.Thread(target=c.read, daemon=True); t.start(); print('ends')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        program.stdin.write(flat(10))
        program.stdin.flush()
        assert program.stdout.read() == b"ends\n"
        assert program.wait(HANG_S) == 0


# -------------------------------------------------------------------------------- real programs

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg (apt)")

# Each case: how ffmpeg writes, the source to read it with, shape of a frame.
WRITTEN = [
    (("-f", "mjpeg"), "-", (240, 320, 3)),
    (("-f", "image2pipe", "-c:v", "mjpeg"), "-", (240, 320, 3)),
    (("-f", "rawvideo", "-pix_fmt", "bgr24"), "-:bgr24", (240, 320, 3)),
    (("-f", "rawvideo", "-pix_fmt", "yuv420p"), "-:yuv420", (240, 320, 3)),
    (("-f", "rawvideo", "-pix_fmt", "gray"), "-:gray", (240, 320)),
]


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize(("how", "source", "shape"), WRITTEN, ids=lambda v: str(v)[:24])
def test_what_ffmpeg_pipes_is_the_clip(tmp_path, monkeypatch, how, source, shape):
    clip = write_clip(tmp_path / "clip.avi", count=12)
    with (
        subprocess.Popen(
            ["ffmpeg", "-v", "error", "-i", clip, *how, "-"], stdout=subprocess.PIPE
        ) as ffmpeg,
        open_camera(clip) as direct,
    ):
        # As if it were standard input, which the test runner has for itself.
        monkeypatch.setattr(
            StdinCamera.__init__, "__kwdefaults__", {"descriptor": ffmpeg.stdout.fileno()}
        )
        with open_camera(source, size_wh=(320, 240)) as camera:
            frames = frames_of(camera)
        expected = [frame.image for frame in iter(direct.read, None)]

    assert [frame.image.shape for frame in frames] == [shape] * 12
    for frame, picture in zip(frames, expected, strict=True):
        picture = picture if len(shape) == 3 else picture.mean(axis=2)
        assert np.abs(frame.image.astype(float) - picture).mean() < 8


@pytest.mark.slow
@needs_ffmpeg
def test_a_live_pipe_is_never_old(tmp_path, monkeypatch):
    """A reader slower than the writer: the frames it gets are those of just now."""
    clip = write_clip(tmp_path / "clip.avi", count=75)
    command = ["ffmpeg", "-v", "error", "-re", "-i", clip, "-c:v", "copy", "-f", "mjpeg", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as ffmpeg:
        monkeypatch.setattr(
            StdinCamera.__init__, "__kwdefaults__", {"descriptor": ffmpeg.stdout.fileno()}
        )
        with open_camera("-", realtime=True) as camera:
            began = time.monotonic()
            frames = []
            while (frame := camera.read()) is not None:
                frames.append(frame)
                time.sleep(0.2)
            took = time.monotonic() - began

    # 3 s of film, and at 0.2 s a frame no more than so many are seen of it.
    assert len(frames) <= took / 0.2 + 1
    assert len(frames) < 60
