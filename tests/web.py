"""A web server on this machine, for what fetches files."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(
    content: bytes,
    name: str = "file",
    *,
    status: int = 200,
    announced: int | None = None,
    moved_to: str = "",
    pause_s: float = 0.0,
) -> Iterator[str]:
    """Serve one answer at every address.

    Args:
        content: The body.
        name: The last part of the address that is given.
        status: Of HTTP.
        announced: The length in the head, where it is not the body's own; -1 leaves it out.
        moved_to: Answer the address ``name`` with a redirection to this; any other gets the body.
        pause_s: Before each byte, for a server that drips.

    Yields:
        The address of ``name``.
    """

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if moved_to and self.path == f"/{name}":
                self.send_response(302)
                self.send_header("Location", moved_to)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(status)
            if announced != -1:
                self.send_header("Content-Length", str(announced or len(content)))
            self.end_headers()
            try:
                if not pause_s:
                    self.wfile.write(content)
                for byte in content if pause_s else b"":
                    time.sleep(pause_s)
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
            except OSError:
                # The client has had enough.
                pass

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{name}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
