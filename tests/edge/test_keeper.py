"""A live camera that goes is opened again, in time, and people are told once."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fer_edge.edge.errors import CameraEndedError, CameraError

from .conftest import ScriptedCamera, raising
from .keeper_bench import AWAY, GONE, Bench, Clock, a_clock, live, pauses


@pytest.fixture
def clock() -> Iterator[Clock]:
    with a_clock() as made:
        yield made


def times_of_tries(clock: Clock, failures: int) -> tuple[list[float], list[Callable]]:
    """A script of renewals that notes when each came, and fails so often."""
    times: list[float] = []

    def fail() -> None:
        times.append(clock.now_s)
        raise CameraError("nobody answers")

    return times, [fail] * failures


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
