"""The figures for Prometheus: parsed as Prometheus does, and asked for as it asks."""

import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("uvicorn", reason="needs the extra [web]")
pytest.importorskip("prometheus_client", reason="needs the extra [web]")

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from fer_edge.edge.board import KINDS, BoardState
from fer_edge.edge.contract_file import load_model
from fer_edge.edge.errors import SinkError
from fer_edge.edge.models import model_path
from fer_edge.edge.pipeline import Pipeline
from fer_edge.edge.sinks.group import SinkGroup
from fer_edge.edge.stages import LoopSettings
from fer_edge.edge.telemetry import BUCKETS_S, Histogram, Snapshot, Telemetry
from fer_edge.edge.version import __version__
from fer_edge.edge.web.hub import Hub
from fer_edge.edge.web.metrics import Metrics, Sources
from fer_edge.edge.web.serve import Page

from .conftest import (
    HANG_S,
    ScriptedCamera,
    ScriptedClassifier,
    ScriptedDetector,
    a_result,
    wait_until,
)
from .test_web import TOKEN, ask, served

STATE = Snapshot(
    fps={"capture": 30.0, "deliver": 29.5},
    total_fps=29.0,
    captured=100,
    delivered=90,
    dropped=7,
    age_ms=7.0,
    age_p95_ms=9.0,
    reconnects=2,
    abandoned=1,
    stretch=1.5,
    dropped_at={"detect": 4, "classify": 3, "deliver": 0},
    abandoned_at={"capture": 1, "detect": 0, "classify": 0},
    took={"detect": Histogram((1, 2, *[0] * 10, 1), 11.0), "deliver": Histogram()},
)
SUFFIXES = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}
BUILD = {"version": "1.2.3", "model": "accurate", "detector": "haar"}


def parse(text: bytes) -> dict[str, Metric]:
    """The families by name, each of which must be there once."""
    families = list(text_string_to_metric_families(text.decode()))
    assert len({family.name for family in families}) == len(families)
    return {family.name: family for family in families}


def told(families: dict[str, Metric], name: str, **labels: str) -> float:
    """The value of one sample."""
    (value,) = (
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    )
    return value


def scraped(page: Page, token: str = "") -> dict[str, Metric]:
    status, _, body = ask(page, "/metrics", authorization=f"Bearer {token}")
    assert status == 200
    return parse(body)


def metrics_of(state: Snapshot = STATE, *, results: int = 0, **sources) -> dict[str, Metric]:
    """The families without a server."""
    hub = Hub(lambda: state, camera="demo", labels=("happy",))
    for number in range(results):
        hub.write(a_result(number))
    return parse(Metrics(hub, Sources(lambda: state, **sources)).text())


def test_what_a_prometheus_gets() -> None:
    board = BoardState(temperature_c=51.5, free_bytes=2000)
    with served(board=lambda: board, retired=lambda: 3, build=BUILD) as page:
        status, headers, body = ask(page, "/metrics", accept="application/openmetrics-text")

    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    families = parse(body)
    # The snapshot of `served`: five captured, four delivered.
    assert told(families, "fer_edge_frames_captured_total") == 5
    assert told(families, "fer_edge_results_delivered_total") == 4
    assert told(families, "fer_edge_faces_in_view") == 1
    assert told(families, "fer_edge_last_result_timestamp_seconds") == pytest.approx(
        time.time(), abs=HANG_S
    )
    assert told(families, "fer_edge_outputs_retired_total") == 3
    assert told(families, "fer_edge_cpu_temperature_celsius") == 51.5
    assert told(families, "fer_edge_memory_available_bytes") == 2000
    assert told(families, "fer_edge_build_info", **BUILD) == 1
    assert 1e6 < told(families, "process_resident_memory_bytes") < 1e12
    assert 0 < time.time() - told(families, "process_start_time_seconds") < 1e6


def test_what_the_loop_says_of_itself() -> None:
    families = metrics_of()

    assert [
        told(families, "fer_edge_frames_dropped_total", stage=stage)
        for stage in ("detect", "classify", "deliver")
    ] == [4, 3, 0]
    assert told(families, "fer_edge_frames_in_flight") == 3
    assert told(families, "fer_edge_frames_per_second", stage="deliver") == 29.5
    assert told(families, "fer_edge_camera_reconnects_total") == 2
    assert told(families, "fer_edge_stage_restarts_total", stage="capture") == 1
    assert told(families, "fer_edge_detection_stretch_ratio") == 1.5
    durations = "fer_edge_stage_duration_seconds"
    found = [
        told(families, f"{durations}_bucket", stage="detect", le=le)
        for le in ("0.001", "0.0025", "10.0", "+Inf")
    ]
    assert found == [1, 3, 3, 4]
    assert told(families, f"{durations}_count", stage="detect") == 4
    assert told(families, f"{durations}_sum", stage="detect") == 11
    assert told(families, "fer_edge_result_age_seconds_count") == 0


def test_names_and_texts_are_as_prometheus_wants_them() -> None:
    board = BoardState(now=frozenset(), since_boot=frozenset(), temperature_c=1.0, free_bytes=1)
    families = metrics_of(results=1, board=lambda: board, retired=lambda: 0, build=BUILD)

    for name, family in families.items():
        assert re.fullmatch("(fer_edge|process)_[a-z_]+[a-z]", name)
        # Base units, and no kind in the name.
        assert not re.search("_(ms|mb|kb|count|gauge|histogram|percent)$", name)
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        suffixes = {sample.name.removeprefix(name) for sample in family.samples}
        assert suffixes <= SUFFIXES[family.type]


def test_what_is_not_known_is_not_told() -> None:
    families = metrics_of(Snapshot({}, 0.0, 0, 0, 0, 0.0, 0.0))

    assert not {
        "fer_edge_faces_in_view",
        "fer_edge_last_result_timestamp_seconds",
        "fer_edge_outputs_retired",
        "fer_edge_throttling",
        "fer_edge_throttling_since_boot",
        "fer_edge_cpu_temperature_celsius",
        "fer_edge_memory_available_bytes",
        "fer_edge_build_info",
    } & set(families)
    assert told(families, "fer_edge_frames_captured_total") == 0


# Each case: what the board says now and since boot; which reasons are told, and which are so.
BOARDS = [
    # Only the kernel, which knows the voltage
    ((frozenset(), None), ["undervoltage"], []),
    ((frozenset({"undervoltage"}), None), ["undervoltage"], ["undervoltage"]),
    # The firmware too
    ((frozenset({"throttled"}), frozenset({"throttled"})), KINDS, ["throttled"]),
    ((frozenset(), frozenset()), KINDS, []),
]


@pytest.mark.parametrize(("said", "known", "so"), BOARDS)
def test_throttling_has_a_series_a_reason(said, known, so) -> None:
    families = metrics_of(board=lambda: BoardState(now=said[0], since_boot=said[1]))

    found = {
        sample.labels["reason"]: sample.value for sample in families["fer_edge_throttling"].samples
    }
    assert list(found) == list(known)
    assert [reason for reason, value in found.items() if value] == so
    assert ("fer_edge_throttling_since_boot" in families) is (said[1] is not None)


# Each case: a name that a strange model file may have; what a Prometheus reads.
NAMES = [
    ('a "quoted" one', None),
    ("back\\slash \\n", None),
    ("two\nlines", None),
    ('"} 1\nfer_edge_frames_captured_total 9', None),
    ("größer 😀", None),
    ("half \ud83d of one", "half ? of one"),
    ("", None),
]


@pytest.mark.parametrize(("name", "read"), NAMES)
def test_any_name_is_a_label(name, read) -> None:
    families = metrics_of(build={"model": name})

    assert told(families, "fer_edge_build_info", model=name if read is None else read) == 1


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_comes_back(name) -> None:
    (sample,) = metrics_of(build={"model": name})["fer_edge_build_info"].samples

    assert sample.labels == {"model": name}


def test_the_guard_is_that_of_the_page() -> None:
    with served(TOKEN) as page:
        assert ask(page, "/metrics")[0] == 401
        assert ask(page, "/metrics", authorization="Bearer wrong")[0] == 401
        # As a Prometheus sends what `credentials_file` holds.
        assert scraped(page, TOKEN)
        status, _, body = ask(
            page, "/metrics", authorization=f"Bearer {TOKEN}", host="evil.example"
        )
        assert (status, b"fer_edge" in body) == (400, False)
        assert ask(page, "/metrics", method="POST", authorization=f"Bearer {TOKEN}")[0] == 405


def test_nothing_is_told_of_whom_the_camera_sees() -> None:
    with served(build=BUILD) as page:
        body = ask(page, "/metrics")[2]

    # Neither what the face shows, nor which camera it is: its address may hold a password.
    for word in (b"happy", b"sad", b"demo", b"Notice"):
        assert word not in body


def test_an_output_that_was_given_up_is_counted() -> None:
    class Full:
        def __enter__(self) -> object:
            return self

        def write(self, _: object) -> None:
            raise SinkError("The disk is full.")

        def __exit__(self, *_: object) -> None:
            pass

    class Fine(Full):
        def write(self, _: object) -> None:
            pass

    with SinkGroup(say=lambda _: None) as group:
        group.add("full", Full())
        group.add("fine", Fine())
        for _ in range(2):
            group.write(a_result())
        families = metrics_of(retired=lambda: group.retired)

    assert told(families, "fer_edge_outputs_retired_total") == 1


# -------------------------------------------------------------------------------------- histograms


@given(st.lists(st.floats(0, 1e5), max_size=60))
def test_a_histogram_counts_all_and_each_in_its_bucket(ages_ms) -> None:
    counter = Telemetry()
    for age_ms in ages_ms:
        counter.passed("deliver", age_ms=age_ms)
        counter.passed("detect", took_s=age_ms / 1e3)

    took = counter.snapshot(dropped=0).took

    assert took["detect"] == took["deliver"]
    assert took["capture"] == Histogram()
    assert sum(took["deliver"].counts) == len(ages_ms)
    assert took["deliver"].sum_s == pytest.approx(sum(ages_ms) / 1e3)
    for number, bound in enumerate(BUCKETS_S, start=1):
        expected = sum(age_ms / 1e3 <= bound for age_ms in ages_ms)
        assert sum(took["deliver"].counts[:number]) == expected


def test_a_loop_says_where_its_frames_went(hangs) -> None:
    """One frame hangs in the detector, whose thread is replaced; the others go through."""
    hang = hangs()
    pipeline = Pipeline(
        ScriptedCamera(30),
        ScriptedDetector(at={5: hang}),
        ScriptedClassifier(),
        LoopSettings(stuck_s=0.3, detect_every=1),
        say=lambda _: None,
    )

    delivered = sum(1 for _ in pipeline.results())

    families = metrics_of(pipeline.snapshot())
    assert told(families, "fer_edge_frames_captured_total") == 30
    assert told(families, "fer_edge_results_delivered_total") == delivered == 29
    assert told(families, "fer_edge_frames_dropped_total", stage="detect") == 1
    assert told(families, "fer_edge_frames_dropped_total", stage="classify") == 0
    assert told(families, "fer_edge_stage_restarts_total", stage="detect") == 1
    assert told(families, "fer_edge_stage_restarts_total", stage="classify") == 0
    for stage in ("detect", "classify"):
        assert told(families, "fer_edge_stage_duration_seconds_count", stage=stage) == 29
    assert told(families, "fer_edge_result_age_seconds_count") == 29


# --------------------------------------------------------------------------------------- a process


def test_a_run_is_told_of_while_it_runs(tmp_path) -> None:
    command = [sys.executable, "-m", "fer_edge.edge.cli", "run", "--camera", "demo"]
    options = ["--detector", "haar", "--no-window", "--tpu", "off", "--serve", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, *options], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            port = next(
                int(found[1])
                for line in process.stderr
                if (found := re.search(r"the page is at http://localhost:(\d+)/", line))
            )
            # As far as `ask` needs one.
            page: Any = SimpleNamespace(address=SimpleNamespace(port=port))
            wait_until(lambda: told(scraped(page), "fer_edge_results_delivered_total") > 2)
            families = scraped(page)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=HANG_S)

    (sample,) = families["fer_edge_build_info"].samples
    assert sample.labels == {
        "version": __version__,
        "model": "accurate",
        "model_sha256": load_model(model_path("accurate"))[1].content_sha256,
        "detector": "haar",
        "runtime": sample.labels["runtime"],
    }
    assert sample.labels["runtime"] in ("litert", "tflite")
    assert told(families, "fer_edge_stage_duration_seconds_count", stage="classify") > 2
    assert told(families, "fer_edge_memory_available_bytes") > 1e6
