"""What ``/metrics`` tells a Prometheus, in its text format: figures of the loop and the machine.

Names and units as https://prometheus.io/docs/practices/naming/ asks for. Nothing of who was seen or
what was read from a face: how many faces are in view is all.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ..board import KINDS, UNDERVOLTAGE, BoardState
from ..telemetry import BUCKETS_S, Histogram, Snapshot
from .hub import Hub

#: Of the text format that every Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures come from, beside the hub; all of it is called from the server's threads.

    Attributes:
        snapshot: State of the loop.
        board: State of the machine at this moment.
        retired: How many outputs were given up.
        build: What runs here, by name: version, model, its digest, detector, runtime.
    """

    snapshot: Callable[[], Snapshot]
    board: Callable[[], BoardState] = BoardState
    retired: Callable[[], int] | None = None
    build: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The figures at the moment of a request."""

    hub: Hub
    sources: Sources

    def text(self) -> bytes:
        """All of them in the text format; it takes about a millisecond."""
        # No registry: the library's own one belongs to the process, and one page needs none.
        return generate_latest(self)  # pyright: ignore[reportArgumentType]

    def collect(self) -> Iterator[Metric]:
        """The families, as ``prometheus_client`` asks for them."""
        sources = self.sources
        yield from _loop(sources.snapshot())
        if self.hub.faces is not None and self.hub.silent_s is not None:
            yield _gauge("faces_in_view", "Faces in the newest result.", self.hub.faces)
            yield _gauge(
                "last_result_timestamp_seconds",
                "When the newest result was delivered, in Unix time.",
                time.time() - self.hub.silent_s,
            )
        if sources.retired is not None:
            what = "Outputs that were given up because they failed."
            yield _counter("outputs_retired", what, sources.retired())
        yield from _board(sources.board())
        # A new one each time: it remembers when the machine was started by the wall clock, which a
        # Raspberry Pi without a clock of its own sets some seconds after that.
        yield from ProcessCollector(registry=None).collect()
        if sources.build:
            labels = {key: _encodable(value) for key, value in sources.build.items()}
            info = GaugeMetricFamily("fer_edge_build_info", "What runs here.", labels=list(labels))
            info.add_metric(list(labels.values()), 1)
            yield info


def _loop(seen: Snapshot) -> Iterator[Metric]:
    yield _counter("frames_captured", "Frames that the camera handed over.", seen.captured)
    yield _counter("results_delivered", "Results that came out of the loop.", seen.delivered)
    yield _by_stage(
        CounterMetricFamily,
        "frames_dropped",
        "Frames that were dropped while they waited for a stage, or lost in it.",
        seen.dropped_at,
    )
    yield _gauge("frames_in_flight", "Frames between capture and delivery.", seen.in_flight)
    yield _by_stage(
        GaugeMetricFamily,
        "frames_per_second",
        "Frames that passed a stage over the last two seconds, a second.",
        seen.fps,
    )
    yield _counter(
        "camera_reconnects", "How often a camera that had gone came back.", seen.reconnects
    )
    yield _by_stage(
        CounterMetricFamily,
        "stage_restarts",
        "How often a stage hung in a native call and another thread took its place.",
        seen.abandoned_at,
    )
    yield _gauge(
        "detection_stretch_ratio",
        "How much detections are spread because the machine does not keep up, from 1 on.",
        seen.stretch,
    )
    what = "How long a stage worked on a frame."
    took = HistogramMetricFamily("fer_edge_stage_duration_seconds", what, labels=["stage"])
    for stage in ("detect", "classify"):
        if stage in seen.took:
            _add(took, [stage], seen.took[stage])
    yield took
    age = HistogramMetricFamily(
        "fer_edge_result_age_seconds", "From the capture of a frame to the delivery of its result."
    )
    if "deliver" in seen.took:
        _add(age, [], seen.took["deliver"])
    yield age


def _board(state: BoardState) -> Iterator[Metric]:
    # Without the firmware only the voltage is known: of the others nothing is said.
    known = KINDS if state.since_boot is not None else (UNDERVOLTAGE,)
    for name, what, kinds in (
        ("throttling", "What slows the board down at the moment.", state.now),
        ("throttling_since_boot", "What did since the board started.", state.since_boot),
    ):
        if kinds is not None:
            family = GaugeMetricFamily(f"fer_edge_{name}", what, labels=["reason"])
            for kind in known:
                family.add_metric([kind], int(kind in kinds))
            yield family
    for name, what, value in (
        ("cpu_temperature_celsius", "Temperature of the processor.", state.temperature_c),
        ("memory_available_bytes", "Memory to be had without swapping.", state.free_bytes),
    ):
        if value is not None:
            yield _gauge(name, what, value)


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(f"fer_edge_{name}", what, value=value)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fer_edge_{name}", what, value=value)


def _by_stage(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    what: str,
    values: Mapping[str, float],
) -> Metric:
    family = kind(f"fer_edge_{name}", what, labels=["stage"])
    for stage, value in values.items():
        family.add_metric([stage], value)
    return family


def _add(family: HistogramMetricFamily, labels: list[str], seen: Histogram) -> None:
    bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
    buckets = list(zip(bounds, accumulate(seen.counts), strict=True))
    family.add_metric(labels, buckets, seen.sum_s)


def _encodable(text: str) -> str:
    """Without what UTF-8 has no bytes for, as a name out of a strange file may have it."""
    return text.encode(errors="replace").decode()
