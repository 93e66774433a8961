"""RTSP, from a real server that the tests start, stop and freeze."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from fer_edge.edge.cameras import open_camera
from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.errors import CameraError

from ..conftest import encode
from .conftest import HANG_S

SERVER = Path(__file__).with_name("rtsp_server.py")
# The system's, for which apt installs GStreamer; not that of the environment.
PYTHON = "/usr/bin/python3"


def why_no_server() -> str:
    code = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        done = subprocess.run([PYTHON, "-c", code], capture_output=True, timeout=HANG_S)
    except OSError as exc:
        return str(exc)
    return done.stderr.decode().strip().rpartition("\n")[2]


def test_the_transport_is_tcp_unless_the_user_says_otherwise():
    import fer_edge.edge.cameras.rtsp  # noqa: F401

    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "rtsp_transport;tcp"


def test_nobody_there_is_said_without_the_password():
    with pytest.raises(CameraError, match=r"Cannot open rtsp://127\.0\.0\.1:1/x: is it") as caught:
        open_camera("rtsp://me:MARK@127.0.0.1:1/x")

    assert "MARK" not in str(caught.value)


def test_a_server_that_takes_the_connection_and_says_nothing_is_given_up(monkeypatch):
    from fer_edge.edge.cameras import rtsp

    assert rtsp.SILENCE_S == 4.0
    monkeypatch.setattr(rtsp, "SILENCE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(CameraError, match="Cannot open"):
            open_camera(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/x")
        # FFmpeg's own limit is 30 s.
        assert time.monotonic() - began < HANG_S


class Server:
    def __init__(self, folder: Path):
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://me:MARK@127.0.0.1:{self.port}/demo"

    def start(self) -> None:
        command = [PYTHON, SERVER, str(self.port), self._folder]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"serving\n"

    def stop(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        self.process.kill()
        self.process.wait(HANG_S)
        self.process.stdout.close()


@pytest.fixture
def server(tmp_path):
    if why := why_no_server():
        pytest.skip(f"needs GStreamer's RTSP server (see {SERVER.name}): {why}")
    demo = DemoCamera(size_wh=(320, 240), lossless=True)
    for index in range(50):
        (tmp_path / f"{index:02}.jpg").write_bytes(encode(demo.image(index), ".jpg"))
    started = Server(tmp_path)
    yield started
    started.end()


@pytest.mark.slow
def test_a_stream_shows_what_is_served(server):
    demo = DemoCamera(size_wh=(320, 240), lossless=True)

    with open_camera(server.url) as camera:
        assert camera.name == f"rtsp://127.0.0.1:{server.port}/demo"
        assert (camera.lossless, camera.fps) == (False, 25)
        assert camera.reachable() is True
        frames = [camera.read() for _ in range(40)]

    assert [frame.index for frame in frames] == list(range(40))
    times = [frame.captured_ns for frame in frames]
    assert times == sorted(times)
    last = frames[-1].image.astype(int)
    nearest = min(np.abs(last - demo.image(index)).mean() for index in range(50))
    assert nearest < 12


@pytest.mark.slow
def test_it_can_be_turned_shrunk_grey_and_slowed(server):
    with open_camera(
        server.url, size_wh=(160, 160), rotate=90, mirror=True, colour=False, fps=5
    ) as camera:
        frames = [camera.read() for _ in range(10)]

    assert {frame.image.shape for frame in frames} == {(160, 120)}
    assert camera.fps == 5
    seconds = (frames[-1].captured_ns - frames[2].captured_ns) / 1e9
    # Seven intervals of 0.2 s, as far as this machine keeps pace.
    assert seconds > 1.2


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_camera_that_vanishes_is_noticed_in_5_s_and_comes_back(server, how, capsys):
    camera = open_camera(server.url, rotate=180)
    for _ in range(10):
        camera.read()

    server.stop(how)
    began = time.monotonic()
    with pytest.raises(CameraError, match="/demo stopped delivering frames") as caught:
        all(iter(camera.read, None))
    noticed_s = time.monotonic() - began
    camera.close()
    with pytest.raises(CameraError, match="Cannot open"):
        camera.renew()
    server.end()
    assert camera.reachable() is False

    server.start()
    assert camera.reachable() is True
    with camera.renew() as again:
        assert again.read().index == 0
    with capsys.disabled():
        print(f"\nnoticed after {noticed_s:.2f} s")
    assert noticed_s < 5
    assert "MARK" not in str(caught.value)


@pytest.mark.slow
def test_a_path_that_is_not_served_is_no_camera(server):
    with pytest.raises(CameraError, match="path, the user and the password"):
        open_camera(server.url + "-not")
