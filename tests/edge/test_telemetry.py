"""What the loop says of itself. The clock is replaced where a figure depends on it."""

import threading

import pytest

from fer_edge.edge import telemetry
from fer_edge.edge.telemetry import STAGES, Snapshot, Telemetry

from .conftest import HANG_S

SECOND_NS = 1_000_000_000


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self):
        self.now_ns = 500 * SECOND_NS

    def monotonic_ns(self) -> int:
        return self.now_ns

    def move(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(telemetry, "time", made)
    return made


def test_before_the_first_frame_all_is_zero():
    snapshot = Telemetry().snapshot(dropped=0)

    assert (snapshot.captured, snapshot.delivered, snapshot.dropped) == (0, 0, 0)
    assert (snapshot.age_ms, snapshot.age_p95_ms, snapshot.total_fps) == (0, 0, 0)
    assert snapshot.fps == dict.fromkeys(STAGES, 0)
    assert snapshot.in_flight == 0


# Each case: captured, delivered, dropped; what is still on its way.
IN_FLIGHT = [((0, 0, 0), 0), ((10, 4, 3), 3), ((10, 4, 6), 0), ((3, 0, 0), 3)]


@pytest.mark.parametrize(("counted", "in_flight"), IN_FLIGHT)
def test_what_is_neither_delivered_nor_dropped_is_in_flight(counted, in_flight):
    captured, delivered, dropped = counted
    counter = Telemetry()
    for _ in range(captured):
        counter.passed("capture")
    for _ in range(delivered):
        counter.passed("deliver", age_ms=1.0)

    snapshot = counter.snapshot(dropped=dropped)

    assert (snapshot.captured, snapshot.delivered, snapshot.dropped) == counted
    assert snapshot.in_flight == in_flight


def run_at(clock: Clock, fps: float, seconds: float) -> Telemetry:
    """A loop of which every stage runs at ``fps``, and whose results are 40 ms old."""
    counter = Telemetry()
    for _ in range(round(fps * seconds)):
        for stage in STAGES:
            counter.passed(stage, 40.0 if stage == "deliver" else None)
        clock.move(1 / fps)
    return counter


# Each case: frames a second, for how long. The window is 2 s; before, it is not full yet, and of
# 800 a second more fall into it than are kept.
RATES = [(30, 10), (30, 2), (30, 0.5), (5, 10), (60, 3), (800, 3), (800, 0.1)]


@pytest.mark.parametrize(("fps", "seconds"), RATES)
def test_a_steady_loop_has_its_rate_at_every_age(clock, fps, seconds):
    snapshot = run_at(clock, fps, seconds).snapshot(dropped=0)

    assert snapshot.fps == pytest.approx(dict.fromkeys(STAGES, fps), rel=0.02, abs=0.5)
    assert snapshot.total_fps == pytest.approx(fps, rel=0.02)
    assert (snapshot.age_ms, snapshot.age_p95_ms) == (40, 40)


def test_a_rate_forgets_what_is_over_two_seconds_old(clock):
    counter = run_at(clock, fps=30, seconds=10)

    clock.move(2.1)
    snapshot = counter.snapshot(dropped=0)

    assert snapshot.fps == dict.fromkeys(STAGES, 0)
    assert snapshot.delivered == 300
    assert snapshot.total_fps == pytest.approx(300 / 12.1)


def test_each_stage_has_its_own_rate(clock):
    counter = Telemetry()
    for n in range(60):
        counter.passed("capture")
        if n % 3 == 0:
            counter.passed("detect")
        clock.move(1 / 30)

    fps = counter.snapshot(dropped=40).fps

    assert (round(fps["capture"]), round(fps["detect"]), fps["deliver"]) == (30, 10, 0)


# Each case: ages in the order of their arrival, their median, their 95th percentile.
AGES = [
    ([7.0], 7, 7),
    ([30.0, 10.0, 20.0], 20, 30),  # sorted, not as they came
    (list(range(100)), 50, 95),
    ([5.0] * 95 + [900.0] * 5, 5, 900),  # five of a hundred are late
    ([5.0] * 96 + [900.0] * 4, 5, 5),
    ([1000.0] * 100 + [10.0] * 512, 10, 10),  # only the last 512 count
]


@pytest.mark.parametrize(("ages", "median", "p95"), AGES, ids=range(len(AGES)))
def test_ages_are_told_by_median_and_95th_percentile(ages, median, p95):
    counter = Telemetry()
    for age in ages:
        counter.passed("deliver", age_ms=age)

    snapshot = counter.snapshot(dropped=0)

    assert (snapshot.age_ms, snapshot.age_p95_ms) == (median, p95)


def test_an_unknown_stage_is_a_mistake():
    with pytest.raises(KeyError, match="detekt"):
        Telemetry().passed("detekt")


def test_threads_lose_no_count():
    counter = Telemetry()

    def work(stage: str) -> None:
        for _ in range(2000):
            counter.passed(stage, age_ms=1.0)

    threads = [threading.Thread(target=work, args=(stage,)) for stage in STAGES * 2]
    for thread in threads:
        thread.start()
    snapshots: list[Snapshot] = []
    while any(thread.is_alive() for thread in threads):
        snapshots.append(counter.snapshot(dropped=0))
    for thread in threads:
        thread.join(HANG_S)

    assert counter.snapshot(dropped=0).captured == 4000
    assert counter.snapshot(dropped=0).delivered == 4000
    captured = [snapshot.captured for snapshot in snapshots]
    assert captured == sorted(captured)
