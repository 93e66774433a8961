"""Motion JPEG over HTTP, from a real server on this machine, and what it does when it fails."""

import base64
import re
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from fer_edge.edge.cameras import http_mjpeg, open_camera
from fer_edge.edge.errors import CameraError

from ..conftest import encode
from .conftest import HANG_S

LOGIN = "Basic " + base64.b64encode(b"me:se@cret/1").decode()


def flat(shade: int) -> bytes:
    return encode(np.full((24, 32, 3), shade, np.uint8), ".jpg")


class Handler(BaseHTTPRequestHandler):
    """Serves the server's ``parts``; between them it waits for ``go`` where one is None."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        if not self.headers.get("Authorization", "").startswith(server.login):
            self.send_response(401)
            self.send_header("WWW-Authenticate", server.challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(server.status)
        self.send_header("Content-Type", server.kind)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in server.parts:
                if part is None:
                    server.go.wait(HANG_S)
                else:
                    head = b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                    self.wfile.write(head % len(part) + part)


class Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, *parts: bytes | None, port: int = 0):
        super().__init__(("127.0.0.1", port), Handler)
        self.parts, self.status = parts, 200
        self.login, self.challenge = "", 'Basic realm="camera"'
        self.kind = "multipart/x-mixed-replace; boundary=frame"
        self.go = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/video?channel=1"

    def stop(self) -> None:
        self.go.set()
        self.shutdown()
        self.server_close()
        self._thread.join(HANG_S)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def serve():
    """Start a server of these parts."""
    started = []

    def start(*parts: bytes | None, **options) -> Server:
        started.append(Server(*parts, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(http_mjpeg, "SILENCE_S", 0.3)


def test_a_stream_gives_frames_as_they_come(serve):
    server = serve(flat(10), None, flat(20), None)

    with open_camera(server.url) as camera:
        assert camera.name == f"http://127.0.0.1:{server.server_port}/video"
        assert (camera.lossless, camera.fps) == (False, 0)
        first = camera.read()
        server.go.set()
        second = camera.read()

    assert [(frame.index, round(frame.image.mean())) for frame in (first, second)] == [
        (0, 10),
        (1, 20),
    ]
    assert first.captured_ns < second.captured_ns


def test_of_those_that_wait_the_newest_counts(serve):
    server = serve(flat(10), None, *[flat(shade) for shade in range(20, 200, 10)], None)

    with open_camera(server.url) as camera:
        camera.read()
        server.go.set()
        seen = []
        while not seen or seen[-1] != 190:
            seen.append(round(camera.read().image.mean()))

    assert seen == sorted(seen)


def test_without_colour_pictures_are_grey(serve):
    with open_camera(serve(flat(10), None).url, colour=False) as camera:
        assert camera.read().image.shape == (24, 32)


def test_a_bare_stream_without_parts_is_read_too(serve):
    """As ffmpeg serves it: JPEG after JPEG, under another type."""
    server = serve(flat(10), None)
    server.kind = "video/x-motion-jpeg"

    with open_camera(server.url) as camera:
        assert round(camera.read().image.mean()) == 10


def test_damaged_pictures_are_left_out(serve):
    said = []
    server = serve(flat(10), None, flat(20)[:-4], flat(30), None)

    with open_camera(server.url, say=said.append) as camera:
        camera.read()
        server.go.set()
        assert round(camera.read().image.mean()) == 30
        assert camera.skipped == 1
    assert len(said) == 1


@pytest.mark.usefixtures("impatient")
def test_a_stream_that_stalls_is_noticed_and_opened_again(serve):
    server = serve(flat(10), None)
    camera = open_camera(server.url)
    camera.read()

    with pytest.raises(CameraError, match="/video stopped delivering frames"):
        camera.read()
    camera.close()
    camera.close()
    with camera.renew() as again:
        assert round(again.read().image.mean()) == 10


def test_a_stream_that_ends_is_a_camera_that_went(serve):
    with open_camera(serve(flat(10)).url) as camera:
        camera.read()
        with pytest.raises(CameraError, match="/video ended its stream"):
            camera.read()


def test_a_server_that_went_comes_back(serve):
    server = serve(flat(10), None)
    camera = open_camera(server.url)
    assert camera.reachable() is True
    server.stop()

    with pytest.raises(CameraError):
        all(iter(camera.read, None))
    camera.close()
    assert camera.reachable() is False
    with pytest.raises(CameraError, match="Connection refused"):
        camera.renew()

    serve(flat(20), None, port=server.server_port)
    assert camera.reachable() is True
    with camera.renew() as again:
        assert round(again.read().image.mean()) == 20


def test_closing_ends_a_read_in_another_thread(serve):
    camera = open_camera(serve(flat(10), None).url)
    camera.read()
    ended = []

    def read():
        with suppress(CameraError):
            camera.read()
        ended.append(time.monotonic())

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.05)  # so that it waits for bytes
    closed = time.monotonic()
    camera.close()
    thread.join(HANG_S)

    # Long before its own limit of 4 s.
    assert ended[0] - closed < http_mjpeg.SILENCE_S / 2


def test_user_and_password_are_sent_and_never_shown(serve):
    server = serve(flat(10), None)
    server.login = LOGIN
    port = server.server_port

    with open_camera(f"http://me:se%40cret%2F1@127.0.0.1:{port}/a") as camera:
        assert camera.name == f"http://127.0.0.1:{port}/a"
    with pytest.raises(CameraError, match="answers 401") as caught:
        open_camera(f"http://me:MARK@127.0.0.1:{port}/a")
    assert "MARK" not in str(caught.value)


def test_digest_keeps_the_password_off_the_wire(serve):
    server = serve(flat(10), None)
    server.login = 'Digest username="me", realm="camera", nonce="7"'
    server.challenge = 'Digest realm="camera", nonce="7", qop="auth"'

    with open_camera(server.url.replace("://", "://me:secret@")) as camera:
        assert round(camera.read().image.mean()) == 10


# Each case: what the server does, what is said.
REFUSALS = [
    ({"status": 404}, r"/video answers 404 Not Found\."),
    ({"status": 403}, "answers 403 Forbidden; are user and password right"),
    ({"kind": "text/html"}, "sends text/html; expected Motion JPEG"),
    ({"parts": ()}, "ended its stream"),
    ({"parts": (b"text",)}, "ended its stream"),
    ({"parts": (bytes(3 << 20),)}, "no JPEG picture in 1024 KiB"),
    ({"parts": (None,)}, "stopped delivering"),
]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("does", "said"), REFUSALS, ids=[said[:20] for _, said in REFUSALS])
def test_what_is_no_camera_is_said_to_be_none(serve, does, said):
    server = serve()
    vars(server).update(does)

    with pytest.raises(CameraError, match=said):
        open_camera(server.url)


# Each case: an address at which nothing can answer.
NOWHERE = ["http://me:MARK@127.0.0.1:1/", "http://me:MARK@", "http://me:MARK@h:x/", "http://["]


@pytest.mark.parametrize("address", NOWHERE)
def test_an_address_that_leads_nowhere_is_explained_without_its_password(address):
    with pytest.raises(CameraError) as caught:
        open_camera(address)

    assert re.match("Cannot open http://", str(caught.value))
    assert "MARK" not in str(caught.value)
