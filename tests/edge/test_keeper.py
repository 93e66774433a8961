"""A live camera that goes is opened again, in time, and people are told once."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fer_edge.edge import keeper as module
from fer_edge.edge.errors import CameraEndedError, CameraError
from fer_edge.edge.keeper import CameraKeeper
from fer_edge.edge.worker import Worker

from .conftest import ScriptedCamera, raising

GONE = raising(CameraError("The cable is out."))
AWAY = raising(CameraError("nobody answers"))


class Clock:
    """Time that passes by sleeping, and jitter that a test chooses."""

    def __init__(self):
        self.now_s, self.jitter, self.asked = 100.0, 1.0, set()

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += seconds
        assert self.now_s < 10_000, "it waits for ever"

    def uniform(self, low: float, high: float) -> float:
        self.asked.add((low, high))
        return self.jitter


class Bench:
    """A keeper, its thread (which is not started: the test is it), and what was said."""

    def __init__(self, clock: Clock, camera: ScriptedCamera, *, retries: bool = True):
        self.clock, self.camera, self.said = clock, camera, []
        self.worker, self.stop = Worker("capture", lambda _: None), False
        self.keeper = CameraKeeper(
            camera, retries=retries, say=self.said.append, stopping=lambda: self.stop
        )

    def indices(self, **options) -> list[int]:
        return [frame.index for frame in self.keeper.frames(self.worker, **options)]

    def give_up(self) -> None:
        """As the watchdog does it in the middle of a call."""
        assert self.worker.give_up(-1.0)


@contextmanager
def a_clock() -> Iterator[Clock]:
    made = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", made)
        patch.setattr(module, "random", made)
        yield made


@pytest.fixture
def clock() -> Iterator[Clock]:
    with a_clock() as made:
        yield made


def live(count: int | None = None, **options) -> ScriptedCamera:
    """A camera that says of itself that it is there, unless told otherwise."""
    return ScriptedCamera(count, lossless=False, **{"here": lambda: True, **options})


def times_of_tries(clock: Clock, failures: int) -> tuple[list[float], list[Callable]]:
    """A script of renewals that notes when each came, and fails so often."""
    times: list[float] = []

    def fail() -> None:
        times.append(clock.now_s)
        raise CameraError("nobody answers")

    return times, [fail] * failures


def pauses(times_s: Iterable[float], since_s: float = 100.0) -> list[float]:
    times = [since_s, *times_s]
    return [round(after - before, 6) for before, after in pairwise(times)]


# ------------------------------------------------------------------------------------- no loss


@pytest.mark.parametrize("retries", [True, False])
def test_a_camera_that_ends_is_no_loss(clock, retries):
    bench = Bench(clock, live(3), retries=retries)

    assert bench.indices() == [0, 1, 2]
    assert (bench.said, bench.keeper.epoch, bench.keeper.reconnects) == ([], 0, 0)


def test_nothing_is_read_after_a_stop(clock):
    bench = Bench(clock, live())
    frames = bench.keeper.frames(bench.worker)
    next(frames)
    bench.stop = True

    assert list(frames) == []
    assert bench.camera.handed_over == 1


# Each case: frames a second, seconds that three frames may take.
@pytest.mark.parametrize(("fps", "slowest_s"), [(30.0, 0.1), (0.1, 30.0), (0.0, 0.0)])
def test_a_slow_camera_may_take_its_time(clock, fps, slowest_s):
    camera = live()
    camera.fps = fps

    assert Bench(clock, camera).keeper.slowest_s == pytest.approx(slowest_s)


# ------------------------------------------------------------------------------------- a loss


def test_a_camera_that_goes_is_said_once_and_so_is_its_return(clock):
    second = live(2)
    camera = live(at={2: GONE}, renews=[AWAY, AWAY, lambda: second])
    bench = Bench(clock, camera)

    assert bench.indices() == [0, 1, 0, 1]
    lost, back = bench.said
    assert lost.startswith("The cable is out. It is tried again")
    assert back == "scripted is back."
    assert (bench.keeper.epoch, bench.keeper.reconnects) == (1, 1)


def test_the_lost_camera_is_closed_before_another_one_is_opened(clock):
    camera = live(at={1: GONE}, renews=[lambda: closed.append(camera.closed)])
    closed, bench = [], Bench(clock, camera)

    with pytest.raises(AssertionError, match="for ever"):
        bench.indices()

    assert closed == [True]


def test_the_pauses_double_from_one_second_to_thirty(clock):
    times, script = times_of_tries(clock, failures=9)
    bench = Bench(clock, live(at={0: GONE}, renews=[*script, lambda: live(1)]))
    bench.indices()

    assert pauses(times) == [1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert clock.asked == {(0.8, 1.2)}


@pytest.mark.parametrize("jitter", [0.8, 1.2])
def test_each_pause_is_up_to_a_fifth_longer_or_shorter(clock, jitter):
    clock.jitter = jitter
    times, script = times_of_tries(clock, failures=7)
    Bench(clock, live(at={0: GONE}, renews=[*script, lambda: live(1)])).indices()

    assert pauses(times) == pytest.approx([jitter * s for s in (1, 2, 4, 8, 16, 30, 30)])


def test_a_camera_that_opens_and_fails_at_once_is_still_away(clock):
    times, opened = [], []

    def opens() -> ScriptedCamera:
        times.append(clock.now_s)
        opened.append(live(at={0: GONE}))
        return opened[-1]

    bench = Bench(clock, live(at={0: GONE}, renews=[*[opens] * 6, lambda: live(1)]))

    assert bench.indices() == [0]
    assert pauses(times) == [1, 2, 4, 8, 16, 30]
    assert [text.startswith("The cable") for text in bench.said] == [True, False]
    assert all(camera.closed for camera in opened)
    assert bench.keeper.reconnects == 1


def test_after_a_frame_the_pauses_begin_anew_and_the_next_loss_is_said(clock):
    times, script = times_of_tries(clock, failures=4)
    third = live(1)
    second = live(at={1: GONE}, renews=[*script[:2], lambda: third])
    bench = Bench(clock, live(at={0: GONE}, renews=[*script[2:], lambda: second]))
    bench.indices()

    # Two failures, the pause of 4 s before the one that worked, and the same from the start.
    assert pauses(times) == [1, 2, 5, 2]
    assert [text.startswith("The cable") for text in bench.said] == [True, False] * 2
    assert (bench.keeper.epoch, bench.keeper.reconnects) == (2, 2)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=6))
def test_whatever_comes_and_goes_every_camera_but_the_first_is_closed_here(story):
    """Each chapter: failures of ``renew``, then a camera of so many frames that goes."""
    opened, renews = [], []

    def opens(frames: int, goes: bool) -> ScriptedCamera:
        opened.append(live(None if goes else frames, at={frames: GONE} if goes else None))
        return opened[-1]

    for number, (failures, frames) in enumerate(story):
        goes = number < len(story) - 1
        renews += [AWAY] * failures + [lambda frames=frames, goes=goes: opens(frames, goes)]
    first = live(at={2: GONE}, renews=renews) if story else live(2)
    with a_clock() as clock:
        bench = Bench(clock, first)
        seen = bench.indices()
        bench.keeper.close()

    assert len(seen) == 2 + sum(frames for _, frames in story)
    assert all(camera.closed for camera in opened)
    assert bench.camera.closed is bool(story), "the caller closes it, unless it was lost"
    lost = [text.startswith("The cable") for text in bench.said]
    assert lost == [n % 2 == 0 for n in range(len(lost))], "lost and back take turns"
    assert bench.keeper.reconnects == sum(frames > 0 for _, frames in story)
    assert bench.keeper.epoch == len(story)


# ------------------------------------------------------------------------------------ no retries


def test_without_retries_the_loss_is_the_end(clock):
    bench = Bench(clock, live(at={1: GONE}, renews=[live]), retries=False)

    with pytest.raises(CameraError, match="The cable is out"):
        bench.indices()
    assert (bench.said, bench.keeper.epoch) == ([], 0)


def test_a_source_that_cannot_be_opened_again_is_not_tried_again(clock):
    ended = raising(CameraEndedError("the clip cannot be opened again"))
    bench = Bench(clock, live(at={1: GONE}, renews=[AWAY, ended, live]))

    with pytest.raises(CameraEndedError, match="the clip"):
        bench.indices()
    assert bench.keeper.epoch == 1


def test_without_retries_a_hang_is_the_end(clock):
    with pytest.raises(CameraError, match="scripted hangs: a read did not come back"):
        Bench(clock, live(), retries=False).keeper.give_up()
    Bench(clock, live()).keeper.give_up()


@pytest.mark.parametrize("retries", [True, False])
def test_what_is_no_loss_of_a_camera_is_raised(clock, retries):
    with pytest.raises(RuntimeError, match="a bug"):
        Bench(clock, live(at={0: raising(RuntimeError("a bug"))}), retries=retries).indices()


# ------------------------------------------------------------------------------- asked meanwhile


def late_s(back_s: float, jitter: float, answers_s: float) -> float:
    """Seconds from when a camera can be opened again to its first frame.

    Args:
        back_s: When it can be opened, in seconds from its loss.
        jitter: Of all pauses.
        answers_s: When it says that it is there.
    """
    with a_clock() as clock:
        clock.jitter, lost_s = jitter, clock.now_s

        def renew() -> ScriptedCamera:
            if clock.now_s < lost_s + back_s:
                raise CameraError("nobody answers")
            return live(1)

        camera = live(
            at={0: GONE}, renews=[renew] * 1000, here=lambda: clock.now_s >= lost_s + answers_s
        )
        assert Bench(clock, camera).indices() == [0]
        return clock.now_s - lost_s - back_s


jitters = st.floats(0.8, 1.2)


@example(62.0, 1.0)  # after a try that failed, before it was asked again
@given(st.floats(0, 600), jitters)
def test_a_camera_that_can_be_asked_is_back_within_ten_seconds_of_its_return(back_s, jitter):
    assert late_s(back_s, jitter, answers_s=back_s) <= 10


@given(st.floats(0, 600), jitters, st.floats(0, 5))
def test_so_is_one_that_answers_before_it_can_be_opened(answers_s, jitter, boot_s):
    assert late_s(answers_s + boot_s, jitter, answers_s) <= 10


# Each case: what it answers all the time, and the pauses. One that cannot tell is back within 10 s.
ANSWERS = [
    (True, [1, 2, 4, 8, 16, 30, 30, 30]),
    (False, [1, 2, 4, 8, 16, 30, 30, 30]),
    (None, [1, 2, 4, 8, 8, 8, 8, 8]),
]


@pytest.mark.parametrize(("here", "expected"), ANSWERS)
def test_an_answer_that_does_not_change_ends_no_pause(clock, here, expected):
    times, script = times_of_tries(clock, failures=8)
    bench = Bench(clock, live(at={0: GONE}, renews=[*script, lambda: live(1)], here=lambda: here))
    bench.indices()

    assert pauses(times) == expected


def test_it_is_asked_every_two_seconds_and_no_more(clock):
    asked = []

    def here() -> bool:
        asked.append(clock.now_s)
        return False

    _, script = times_of_tries(clock, failures=7)
    Bench(clock, live(at={0: GONE}, renews=[*script, lambda: live(1)], here=here)).indices()

    assert min(pauses(asked)) == pytest.approx(2, abs=0.11)
    assert len(asked) > 40


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
