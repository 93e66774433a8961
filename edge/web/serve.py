"""Builds the page of a run from its parts."""

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from ..board import BoardState
from ..errors import UsageError
from ..reader import EmotionReader
from ..telemetry import Snapshot
from .app import News, Parts
from .guard import Guard, new_token, parse_address
from .hub import Hub
from .metrics import Sources
from .photographs import Photographs
from .server import PageSink

_SHORTEST_TOKEN = 8


class Page(PageSink):
    """A :class:`.server.PageSink` that knows the address to tell."""

    url = ""


def open_page(
    where: str,
    token: str | None,
    *,
    snapshot: Callable[[], Snapshot],
    camera: str,
    labels: tuple[str, ...],
    temperature_c: Callable[[], float | None],
    notice: str,
    open_reader: Callable[[], EmotionReader] | None,
    board: Callable[[], BoardState] = BoardState,
    retired: Callable[[], int] | None = None,
    build: Mapping[str, str] | None = None,
) -> Page:
    """The page as a sink, its port taken.

    Args:
        where: ``HOST:PORT``; see :func:`.guard.parse_address`.
        token: What a request must bring; None asks for none on this machine only, and makes one
            where others reach the page.
        snapshot: State of the loop.
        camera: Its name.
        labels: What the model can say.
        temperature_c: Of the processor, where it is known.
        notice: A line on the page; empty for none.
        open_reader: Opens what reads photographs; None reads none.
        board: State of the machine at this moment, for ``/metrics``.
        retired: How many outputs were given up, for the same.
        build: What runs here, by name, for the same.

    Raises:
        UsageError: The address is none, or the token is too short to keep anybody out.
        SinkError: The address cannot be had.
    """
    try:
        address = parse_address(where)
    except ValueError as exc:
        raise UsageError(f"--serve: {exc}.") from exc
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise UsageError(f"--serve-token: expected at least {_SHORTEST_TOKEN} characters.")
    if token is None and not address.is_loopback:
        token = new_token()
    hub = Hub(snapshot, camera=camera, labels=labels, temperature_c=temperature_c, notice=notice)
    photographs = Photographs(open_reader) if open_reader is not None else None
    sources = Sources(snapshot, board, retired, build or {})
    page = Page(address, Parts(hub, Guard(address, token), News(), photographs, sources))
    page.url = page.address.url + (f"?{urlencode({'token': token})}" if token else "")
    return page
