"""The live page: what is served, and that nobody who looks disturbs the loop."""

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra [web]")

from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.errors import SinkError, UsageError
from fer_edge.edge.reader import EmotionReader
from fer_edge.edge.records import Result
from fer_edge.edge.telemetry import Snapshot
from fer_edge.edge.web.hub import Hub
from fer_edge.edge.web.serve import Page, open_page

from ..conftest import encode
from .conftest import a_reading_at, a_result

TOKEN = "a token of the test"
LABELS = ("happy", "sad")
LIMIT_S = 10.0
STATE = Snapshot({"deliver": 30.0}, 30.0, 5, 4, 1, 7.0, 9.0)


def snapshot() -> Snapshot:
    return STATE


def shown(index: int = 0) -> Result:
    image = np.full((48, 64, 3), index % 250, np.uint8)
    return a_result(index, a_reading_at(10, 10, 20), image=image)


@contextmanager
def served(token: str | None = None, *, where: str = "127.0.0.1:0", **options) -> Iterator[Page]:
    """A page, on a free port, that has one result."""
    page = open_page(
        where,
        token,
        snapshot=snapshot,
        camera="demo",
        labels=LABELS,
        temperature_c=lambda: 51.26,
        notice="Notice!",
        **{"open_reader": None, **options},
    )
    with page:
        page.write(shown())
        yield page


def ask(page: Page, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str):
    """Status, headers and body of an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", page.address.port, timeout=LIMIT_S)
    with closing(connection):
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


# -------------------------------------------------------------------------------------------- hub


def test_the_newest_picture_is_drawn_once_for_everybody() -> None:
    hub = Hub(snapshot, camera="demo", labels=LABELS)
    assert hub.jpeg() is None
    assert hub.silent_s is None

    hub.write(shown(1))
    first = hub.jpeg()
    assert first is not None
    assert hub.jpeg() is first
    hub.write(shown(2))
    second = hub.jpeg()

    assert second is not None
    assert (first[0], second[0]) == (1, 2)
    image = cv2.imdecode(np.frombuffer(second[1], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (48, 64, 3)


def test_only_so_many_faces_have_a_timeline() -> None:
    hub = Hub(snapshot, camera="demo", labels=LABELS)
    for number in range(50):
        result = shown(number)
        face = result.readings[0].face
        object.__setattr__(face, "id", number + 1)
        hub.write(result)

    assert len(hub.state(history=True)["history"]) <= 33


# ----------------------------------------------------------------------------------------- server


def test_the_page_and_what_it_needs_is_served() -> None:
    with served() as page:
        assert page.url == f"http://localhost:{page.address.port}/"
        status, headers, body = ask(page, "/")
        assert status == 200
        assert headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        for part in ("style.css", "app.js", "icon.svg"):
            assert f"/static/{part}".encode() in body
            assert ask(page, f"/static/{part}")[0] == 200
        for name in ("index.html", "app.js", "style.css"):
            assert b"://" not in ask(page, f"/static/{name}")[2].replace(
                b"http://www.w3.org/2000/svg", b""
            )


def test_the_state_is_json_and_fresh() -> None:
    with served() as page:
        status, headers, body = ask(page, "/api/state?history=1")
        state = json.loads(body)

        assert (status, headers["cache-control"]) == (200, "no-store")
        assert (state["camera"], state["notice"], state["temperature_c"]) == (
            "demo",
            "Notice!",
            51.3,
        )
        assert (state["fps"], state["dropped"], state["delivered"]) == (30.0, 1, 4)
        assert state["faces"][0]["label"]
        page.write(shown(3))
        assert json.loads(ask(page, "/api/state")[2])["frame"] == 3
        assert ask(page, "/healthz")[0] == 200


def test_a_picture_of_this_moment() -> None:
    with served() as page:
        status, headers, body = ask(page, "/snapshot.jpg")

    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR) is not None


@contextmanager
def streaming(page: Page, path: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", page.address.port, timeout=LIMIT_S)
    with closing(connection):
        connection.request("GET", path)
        yield connection.getresponse()


def test_events_come_as_results_do() -> None:
    with served() as page, streaming(page, "/api/events") as stream:
        assert stream.getheader("content-type", "").startswith("text/event-stream")
        seen = []
        index = 100
        while len(seen) < 3:
            line = stream.readline()
            if line.startswith(b"data: "):
                seen.append(json.loads(line[6:]))
                index += 1
                page.write(shown(index))

    assert "history" in seen[0]
    assert "history" not in seen[1]
    assert [state["number"] for state in seen] == sorted({state["number"] for state in seen})


def test_the_stream_of_pictures_is_motion_jpeg() -> None:
    with served() as page, streaming(page, "/stream.mjpg") as stream:
        kind = stream.getheader("content-type", "")
        boundary = kind.partition("boundary=")[2].encode()
        for index in range(2):
            assert stream.readline().strip() == b"--" + boundary
            length = 0
            while line := stream.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            picture = stream.read(length)
            assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) is not None
            stream.readline()
            page.write(shown(index + 50))


def test_without_the_token_nothing_is_told() -> None:
    with served(TOKEN) as page:
        assert "token=" in page.url
        paths = ("/", "/api/state", "/api/events", "/stream.mjpg", "/snapshot.jpg", "/healthz")
        for path in (*paths, "/static/app.js"):
            status, _, body = ask(page, path)
            assert status == 401
            assert b"happy" not in body
        status, headers, _ = ask(page, "/?token=" + TOKEN.replace(" ", "%20"))
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert ask(page, "/api/state", cookie=cookie.partition(";")[0])[0] == 200
        assert ask(page, "/api/state", authorization=f"Bearer {TOKEN}")[0] == 200
        assert ask(page, "/api/state?token=wrong")[0] == 401


def test_a_foreign_name_is_not_answered() -> None:
    with served() as page:
        status, _, body = ask(page, "/api/state", host="evil.example")

    assert status == 400
    assert b"happy" not in body


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/../../etc/passwd", "/static/", "/nope"]
)
def test_a_path_leads_nowhere_else(path) -> None:
    with served() as page:
        status, _, body = ask(page, path)

    assert status == 404
    assert b"import" not in body


def test_a_photograph_is_read_and_not_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    opened = []

    def open_reader() -> EmotionReader:
        opened.append(1)
        return EmotionReader(detector="fer-face")

    demo = DemoCamera(lossless=True)
    with served(open_reader=open_reader) as page:
        for _ in range(2):
            status, _, body = ask(
                page, "/api/photograph", method="POST", body=encode(demo.image(5), ".jpg")
            )
            read = json.loads(body)
            assert (status, read["size_wh"], len(read["faces"])) == (200, [640, 480], 1)
            assert read["faces"][0]["label"] == demo.truth(5).label
        for body, status in ((b"", 415), (b"junk", 415), (bytes(26 << 20), 413)):
            try:
                assert ask(page, "/api/photograph", method="POST", body=body)[0] == status
            except (BrokenPipeError, ConnectionResetError):
                assert status == 413  # it was not read to its end
        assert (
            ask(page, "/api/photograph", method="POST", body=b"x", origin="http://evil")[0] == 403
        )
        assert ask(page, "/api/photograph")[0] == 405

    assert opened == [1]
    assert list(tmp_path.iterdir()) == []


def test_a_page_without_a_reader_reads_no_photographs() -> None:
    with served() as page:
        assert ask(page, "/api/photograph", method="POST", body=b"x")[0] == 404


def test_only_so_many_streams_are_open_and_a_place_is_given_back() -> None:
    with served() as page:
        open_ones = [streaming(page, "/api/events") for _ in range(16)]
        for each in open_ones:
            assert each.__enter__().status == 200
        assert ask(page, "/api/events")[0] == 503
        assert ask(page, "/api/state")[0] == 200
        open_ones.pop().__exit__(None, None, None)
        wait_until(lambda: page.write(shown()) or ask_stream(page) == 200)
        for each in open_ones:
            each.__exit__(None, None, None)


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask_stream(page: Page) -> int:
    with streaming(page, "/api/events") as stream:
        return stream.status


def test_a_thousand_bad_requests_do_not_matter() -> None:
    """Broken lines, endless headers, wrong tokens: never a 500, and the loop goes on."""
    noise = np.random.default_rng(1)
    before = threading.active_count()
    with served(TOKEN) as page:
        for number in range(1000):
            with socket.create_connection(("127.0.0.1", page.address.port), LIMIT_S) as wire:
                wire.settimeout(LIMIT_S)
                answer = b""
                with suppress(ConnectionError):
                    wire.sendall(bad_request(number, noise))
                    wire.shutdown(socket.SHUT_WR)
                    answer = wire.recv(64)
            assert not answer or re.match(rb"HTTP/1\.1 (4\d\d|503) ", answer), (number % 8, answer)
            if number % 100 == 0:
                page.write(shown(number))
        # 503 as long as the last ones are not all forgotten.
        wait_until(lambda: ask(page, "/api/state", authorization=f"Bearer {TOKEN}")[0] == 200)
    assert threading.active_count() <= before


def bad_request(number: int, noise: np.random.Generator) -> bytes:
    port = b"127.0.0.1"
    return (
        noise.bytes(200),
        b"GET / HTTP/1.1\r\nHost: " + port + b"\r\nX: " + b"a" * 60_000 + b"\r\n\r\n",
        b"GET /api/state?token=%ff%00 HTTP/1.1\r\nHost: " + port + b"\r\n\r\n",
        b"GET /" + b"%2e%2e/" * 200 + b" HTTP/1.1\r\nHost: " + port + b"\r\n\r\n",
        b"POST /api/photograph HTTP/1.1\r\nHost: " + port + b"\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"BREW /pot HTCPCP/1.0\r\n\r\n",
    )[number % 8]


def test_who_does_not_read_does_not_hold_the_loop_up() -> None:
    with served() as page:
        stalled = [streaming(page, "/stream.mjpg") for _ in range(5)]
        for each in stalled:
            each.__enter__()
        # Noise, half a megabyte a picture, for two seconds: far more than the buffers hold. A
        # write that waited would never end.
        noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
        for index in range(80):
            page.write(a_result(index, image=noise))
            time.sleep(0.025)
        assert json.loads(ask(page, "/api/state")[2])["number"] == 81
        for each in stalled:
            each.__exit__(None, None, None)


@pytest.mark.parametrize("text", ["pi:port", "pi:70000", "[::1", "[::1]9", "pi:-1", "pi:٣"])
def test_what_is_no_address_is_refused(text) -> None:
    with pytest.raises(UsageError, match="--serve: expected"), served(where=text):
        pass


def test_a_port_that_is_taken_is_told() -> None:
    with served() as page:
        port = page.address.port
        taken = pytest.raises(
            SinkError, match=rf"port {port}: Address already in use\. Give another"
        )
        with taken, served(where=f"127.0.0.1:{port}"):
            pass


def test_it_ends_at_once_with_streams_open() -> None:
    before = threading.active_count()
    with served() as page:
        stream = streaming(page, "/stream.mjpg")
        stream.__enter__()
    stream.__exit__(None, None, None)
    assert threading.active_count() <= before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", page.address.port), 1)


def test_a_short_token_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 8 characters"), served("short"):
        pass
