"""Threads that can be given up: who decides, and when there were too many."""

import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge import worker as module
from fer_edge.edge.errors import StuckError
from fer_edge.edge.worker import GivenUp, Worker, hung

from .conftest import HANG_S

SECOND_NS = 1_000_000_000


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now_ns = 5 * SECOND_NS

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def idle() -> Worker:
    """One whose thread does not matter."""
    return Worker("idle", lambda worker: None)


# ------------------------------------------------------------------------------------- one call

# Each case: how long the call has taken in ns, whether a limit of 1 s is over.
LIMITS = [(0, False), (SECOND_NS, False), (SECOND_NS + 1, True), (3600 * SECOND_NS, True)]


@pytest.mark.parametrize(("took_ns", "over"), LIMITS)
def test_a_call_that_takes_longer_than_the_limit_is_given_up(clock, took_ns, over):
    worker = idle()
    worker.begin()
    clock.now_ns += took_ns

    assert worker.give_up(1.0) is over
    assert worker.end() is not over


def test_only_a_call_can_be_given_up(clock):
    worker = idle()
    clock.now_ns += 3600 * SECOND_NS
    assert not worker.give_up(1.0), "before the first one"
    worker.begin()
    assert worker.end()
    clock.now_ns += 3600 * SECOND_NS

    assert not worker.give_up(1.0), "between two"
    assert worker.end(), "who has no call may ask again"


def test_each_call_has_its_own_time(clock):
    worker = idle()
    for _ in range(3):
        worker.begin()
        clock.now_ns += SECOND_NS
        assert not worker.give_up(1.0)
        assert worker.end()


def test_a_thread_is_given_up_once_and_for_good(clock):
    worker = idle()
    worker.begin()
    clock.now_ns += 2 * SECOND_NS

    assert [worker.give_up(1.0), worker.give_up(1.0)] == [True, False]
    assert [worker.end(), worker.end()] == [False, False]


def test_the_call_says_whether_it_holds_a_frame():
    worker = idle()
    assert not worker.with_frame
    worker.begin(with_frame=True)
    assert worker.with_frame
    worker.end()
    worker.begin()

    assert not worker.with_frame


def test_where_everything_stood_still_the_call_counts_anew(clock):
    worker = idle()
    worker.begin(with_frame=True)
    clock.now_ns += 3600 * SECOND_NS
    worker.restart()

    assert not worker.give_up(1.0)
    clock.now_ns += SECOND_NS + 1
    assert worker.give_up(1.0)
    assert worker.with_frame

    other = idle()
    other.restart()
    clock.now_ns += 3600 * SECOND_NS
    assert not other.give_up(1.0), "no call began by it"


# ------------------------------------------------------------------------------------- two threads


def test_a_call_that_comes_back_while_it_is_given_up_hears_of_it(monkeypatch):
    """The answer to one of the two is final before the other is answered."""
    worker, ended = idle(), []
    worker.begin()
    thread = threading.Thread(target=lambda: ended.append(worker.end()))

    def monotonic_ns() -> int:
        # The watchdog is in the middle of give_up here, and the call comes back.
        thread.start()
        thread.join(0.05)
        return 2**62

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=monotonic_ns))
    given_up = worker.give_up(1.0)
    thread.join(HANG_S)

    assert (given_up, ended) == (True, [False])


def test_of_a_thread_and_its_watchdog_exactly_one_goes_on():
    outcomes = set()
    for _ in range(300):
        worker, start, ended = idle(), threading.Barrier(2), []

        def thread(worker=worker, start=start, ended=ended) -> None:
            start.wait(HANG_S)
            ended.append(worker.end())

        worker.begin()
        other = threading.Thread(target=thread)
        other.start()
        start.wait(HANG_S)
        given_up = worker.give_up(-1.0)
        other.join(HANG_S)
        outcomes.add((given_up, *ended))

    assert outcomes <= {(True, False), (False, True)}


def test_the_thread_runs_its_work_with_itself():
    told, leave = [], threading.Event()

    def work(worker: Worker) -> None:
        told.append(worker)
        leave.wait(HANG_S)

    worker = Worker("stage", work)
    worker.start()
    assert worker.alive
    assert not worker.join(0.01)
    leave.set()

    assert worker.join(HANG_S)
    assert not worker.alive
    assert told == [worker]


def test_a_process_can_end_while_a_native_call_holds_the_thread():
    threads = []
    worker = Worker("stage", lambda _: threads.append(threading.current_thread()))
    worker.start()
    worker.join(HANG_S)

    assert (threads[0].name, threads[0].daemon) == ("stage", True)


# ------------------------------------------------------------------------------------- too many

# Each case: the seconds between those that are given up, whether the last is too many.
SERIES = [
    ([0, 0, 0], False),
    ([0, 0, 0, 0], True),
    ([15, 15, 15, 15], True),  # the fifth within exactly a minute
    ([15, 15, 15, 15.1], False),
    ([61] * 20, False),
    ([0, 0, 0, 61, 0, 0], False),  # four, and three
    ([0, 0, 0, 61, 0, 0, 0, 0], True),
    ([60, 1, 1, 1, 1], True),
]


@pytest.mark.parametrize(("pauses_s", "too_many"), SERIES)
def test_five_within_a_minute_are_too_many(clock, pauses_s, too_many):
    given_up = GivenUp()
    given_up.add("detect")
    for pause_s in pauses_s[:-1]:
        clock.now_ns += round(pause_s * SECOND_NS)
        given_up.add("capture")
    clock.now_ns += round(pauses_s[-1] * SECOND_NS)
    if too_many:
        with pytest.raises(StuckError, match=r"hung 5 times within a minute, the last one in clas"):
            given_up.add("classify")
    else:
        given_up.add("classify")

    assert given_up.count == len(pauses_s) + 1, "the last one counts too"


@given(st.lists(st.floats(0, 40), min_size=1, max_size=30))
def test_too_many_is_any_five_within_a_minute(pauses_s):
    clock, given_up, times_ns = Clock(), GivenUp(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", clock)
        for pause_s in pauses_s:
            clock.now_ns += round(pause_s * SECOND_NS)
            times_ns.append(clock.now_ns)
            try:
                given_up.add("detect")
                raised = False
            except StuckError:
                raised = True
            within = [time_ns for time_ns in times_ns if clock.now_ns - time_ns <= 60 * SECOND_NS]
            assert raised == (len(within) >= 5)


def test_a_thread_that_has_not_ended_is_named_until_it_does():
    release = threading.Event()
    worker = Worker("capture", lambda _: release.wait(HANG_S))
    before = hung()
    worker.start()

    assert hung().count("capture") == before.count("capture") + 1
    release.set()
    assert worker.join(HANG_S)
    assert hung() == before
