"""A keeper whose camera's thread is stopped or given up."""

from collections.abc import Iterator

import pytest

from fer_edge.edge.worker import Worker

from .conftest import ScriptedCamera
from .keeper_bench import AWAY, GONE, Bench, Clock, a_clock, live, pauses


@pytest.fixture
def clock() -> Iterator[Clock]:
    with a_clock() as made:
        yield made


# ------------------------------------------------------------------------------------- stopped


@pytest.mark.parametrize("after_s", [0.05, 0.5, 3.0, 50.0])
def test_a_stop_ends_the_waiting(clock, after_s):
    bench = Bench(clock, live(at={0: GONE}, renews=[AWAY] * 100, here=lambda: False))
    sleep = clock.sleep

    def sleep_and_stop(seconds: float) -> None:
        sleep(seconds)
        bench.stop = clock.now_s >= 100 + after_s

    clock.sleep = sleep_and_stop
    assert bench.indices() == []
    assert clock.now_s <= 100 + after_s + 0.1 + 1e-6


def test_a_camera_that_opens_during_a_stop_is_closed(clock):
    second = live()

    def opens() -> ScriptedCamera:
        bench.stop = True
        return second

    bench = Bench(clock, live(at={0: GONE}, renews=[opens]))

    assert bench.indices() == []
    bench.keeper.close()
    assert (second.closed, second.handed_over) == (True, 0)


# ------------------------------------------------------------------------------------- given up


def test_given_up_in_a_read_the_frame_is_thrown_away_and_the_camera_closed(clock):
    bench = Bench(clock, live(at={2: lambda: bench.give_up()}))

    assert bench.indices() == [0, 1]
    assert bench.camera.closed, "a thread that nobody waits for must not hold the device"
    assert bench.said == []


def test_given_up_in_a_read_that_then_fails(clock):
    def fails() -> None:
        bench.give_up()
        GONE()

    bench = Bench(clock, live(at={2: fails}, renews=[live]))

    assert bench.indices() == [0, 1]
    assert bench.camera.closed
    assert bench.said == []


def test_given_up_in_the_closing_of_a_lost_camera_nothing_is_opened(clock):
    second = live()
    camera = live(at={0: GONE}, renews=[lambda: second], on_close=lambda: bench.give_up())
    bench = Bench(clock, camera)

    assert bench.indices() == []
    assert (second.handed_over, bench.keeper.epoch) == (0, 0)


def test_given_up_in_a_renewal_the_new_camera_is_closed(clock):
    second = live()

    def opens() -> ScriptedCamera:
        bench.give_up()
        return second

    bench = Bench(clock, live(at={0: GONE}, renews=[opens]))

    assert bench.indices() == []
    assert (second.closed, second.handed_over) == (True, 0)


def test_given_up_in_a_renewal_that_then_fails(clock):
    def fails() -> None:
        bench.give_up()
        AWAY()

    bench = Bench(clock, live(at={0: GONE}, renews=[fails, live]))

    assert bench.indices() == []


def test_given_up_in_the_answer_whether_it_is_there(clock):
    asked = []

    def here() -> bool:
        asked.append(clock.now_s)
        bench.give_up()
        return False

    second = live(1)
    bench = Bench(clock, live(at={0: GONE}, renews=[AWAY, AWAY, lambda: second], here=here))
    assert bench.indices() == []

    # Another thread takes over. It does not ask, because that may hang again.
    bench.worker = Worker("capture", lambda _: None)
    assert bench.indices(renew=True) == [0]
    assert len(asked) == 1


def test_another_thread_goes_on_with_another_camera(clock):
    second = live(2)
    bench = Bench(clock, live(at={1: lambda: bench.give_up()}, renews=[lambda: second]))
    assert bench.indices() == [0]

    bench.worker = Worker("capture", lambda _: None)

    assert bench.indices(renew=True) == [0, 1]
    assert (bench.keeper.epoch, bench.keeper.reconnects) == (1, 1)
    assert bench.said == ["scripted is back."], "the watchdog has said why it was gone"
    assert clock.now_s == pytest.approx(101), "not in the moment of the hang"


def test_threads_that_hang_in_the_opening_wait_longer_each_time(clock):
    times = []

    def hangs() -> None:
        times.append(clock.now_s)
        clock.now_s += 10
        bench.give_up()
        AWAY()

    bench = Bench(clock, live(at={0: GONE}, renews=[hangs] * 6))
    assert bench.indices() == []
    for _ in range(5):
        bench.worker = Worker("capture", lambda _: None)
        assert bench.indices(renew=True) == []

    # So that a host that hangs does not end the process for its five hangs within a minute.
    assert pauses(times) == [1, 12, 14, 18, 26, 40]
    assert all(after - before > 60 for before, after in zip(times, times[4:], strict=False))
