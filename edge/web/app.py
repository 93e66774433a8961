"""The pages and streams, as an ASGI application: every request is judged before it is answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .guard import COOKIE, Guard
from .hub import Hub
from .metrics import CONTENT_TYPE, Metrics, Sources
from .photographs import Photographs, PictureError

_STATIC = Path(__file__).parent / "static"
# A page does not gain by more, and a Pi has other things to do.
_PICTURES_PER_S, _EVENTS_PER_S = 20.0, 10.0
# Without a word for so long, a proxy or a phone would take a stream for dead.
_SILENCE_S = 10.0
#: A photograph of a phone has 3 to 15 MB.
MOST_BYTES = 25 << 20
_UNHEALTHY_S = 30.0
_BOUNDARY = "fer-edge-frame"
_HEADERS = {
    # Everything from here, and nothing from anywhere else; nobody puts the page into a frame.
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application serves from."""

    hub: Hub
    guard: Guard
    news: "News"
    photographs: Photographs | None
    sources: Sources


class News:
    """Wakes the streams in the server's own loop when the hub has something new."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()

    def begin(self) -> None:
        """Belong to the running event loop."""
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()

    def end(self) -> None:
        """Be called no more."""
        self._loop = None

    def wake(self) -> None:
        """Wake all streams; from any thread, and without waiting."""
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._turn)
            except RuntimeError:
                # The loop was closed in between.
                self._loop = None

    def _turn(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, limit_s: float) -> bool:
        """Whether there was news within so many seconds."""
        try:
            await asyncio.wait_for(self._event.wait(), limit_s)
        except TimeoutError:
            return False
        return True


def make_app(parts: Parts) -> Starlette:
    """The application.

    Args:
        parts: What it serves from.
    """
    hub, news, guard = parts.hub, parts.news, parts.guard

    async def index(request: Request) -> Response:
        if request.query_params.get("token") is not None:
            # Out of the address, which ends in histories and screenshots.
            response = RedirectResponse("/", 303)
            response.set_cookie(
                COOKIE, request.query_params["token"], httponly=True, samesite="strict"
            )
            return response
        return Response((_STATIC / "index.html").read_bytes(), media_type="text/html")

    async def state(request: Request) -> Response:
        history = request.query_params.get("history") == "1"
        return JSONResponse(hub.state(history=history), headers={"cache-control": "no-store"})

    async def healthz(_: Request) -> Response:
        silent_s = hub.silent_s
        good = silent_s is not None and silent_s < _UNHEALTHY_S
        said = {"healthy": good, "silent_s": None if silent_s is None else round(silent_s, 1)}
        return JSONResponse(said, 200 if good else 503, headers={"cache-control": "no-store"})

    async def metrics(_: Request) -> Response:
        # In a thread, because it reads files of the kernel.
        text = await asyncio.to_thread(Metrics(hub, parts.sources).text)
        return Response(text, media_type=CONTENT_TYPE, headers={"cache-control": "no-store"})

    async def snapshot(_: Request) -> Response:
        found = await asyncio.to_thread(hub.jpeg)
        if found is None:
            raise HTTPException(503, "There is no picture yet.")
        headers = {"cache-control": "no-store"}
        return Response(found[1], media_type="image/jpeg", headers=headers)

    async def picture_stream(_: Request) -> Response:
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return _Stream(guard, lambda: _pictures(hub, news), kind)

    async def event_stream(_: Request) -> Response:
        return _Stream(guard, lambda: _events(hub, news), "text/event-stream")

    async def photograph(request: Request) -> Response:
        if parts.photographs is None:
            raise HTTPException(404, "This page reads no photographs.")
        if not _same_origin(request):
            raise HTTPException(403, "Photographs are read for this page only.")
        try:
            return JSONResponse(await parts.photographs.read(await _body(request)))
        except PictureError as exc:
            raise HTTPException(exc.status, str(exc)) from exc

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/state", state),
            Route("/api/events", event_stream),
            Route("/api/photograph", photograph, methods=["POST"]),
            Route("/stream.mjpg", picture_stream),
            Route("/snapshot.jpg", snapshot),
            Route("/healthz", healthz),
            Route("/metrics", metrics),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[Middleware(Judge, guard=guard)],
        exception_handlers={HTTPException: _say_error},
        lifespan=None,
    )


class Judge:
    """Answers what may not be asked, and puts the headers on everything."""

    def __init__(self, app: ASGIApp, *, guard: Guard):
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS.items()]
            await send(message)

        request = Request(scope)
        if not self._guard.knows_host(request.headers.get("host")):
            answer = _error(400, "The address of this page is another one.")
        elif not self._guard.admits(request.headers, request.query_params.get("token")):
            answer = _error(401, "A token is needed: open the address that fer-edge printed.")
        else:
            await self._app(scope, receive, with_headers)
            return
        await answer(scope, receive, with_headers)


def _error(status: int, text: str) -> Response:
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse({"error": text}, status, headers=headers)


async def _say_error(_: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    detail = exc.detail if isinstance(exc, HTTPException) else "failed"
    return _error(status, detail)


def _same_origin(request: Request) -> bool:
    """Whether the page that sends this is ours; programs other than browsers say nothing."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def _body(request: Request) -> bytes:
    """The body, as long as it is not too long."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise HTTPException(413, f"A photograph has at most {MOST_BYTES >> 20} MiB here.")
        parts.append(part)
    return b"".join(parts)


class _Stream(Response):
    """A stream that takes a place for as long as it lasts, or says that there is none."""

    def __init__(self, guard: Guard, chunks: Callable[[], AsyncIterator[bytes]], kind: str):
        # Not the parent's: there is no body before the place is known.
        self._guard, self._chunks, self._kind = guard, chunks, kind
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._guard.stream() as room:
            headers = {"cache-control": "no-store"}
            answer = (
                StreamingResponse(self._chunks(), media_type=self._kind, headers=headers)
                if room
                else _error(503, "Too many pages are open.")
            )
            await answer(scope, receive, send)


async def _pictures(hub: Hub, news: News) -> AsyncIterator[bytes]:
    sent = 0
    while True:
        found = await asyncio.to_thread(hub.jpeg) if hub.number != sent else None
        if found is not None:
            sent, jpeg = found
            head = (
                f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            )
            yield head.encode() + jpeg + b"\r\n"
        await asyncio.sleep(1 / _PICTURES_PER_S)
        if hub.number == sent:
            await news.wait(_SILENCE_S)


async def _events(hub: Hub, news: News) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    state = hub.state(history=True)
    while True:
        yield _event(state)
        while hub.number == state["number"]:
            if not await news.wait(_SILENCE_S):
                yield b": still here\n\n"
        await asyncio.sleep(1 / _EVENTS_PER_S)
        state = hub.state()


def _event(state: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(state, separators=(',', ':'))}\n\n".encode()
