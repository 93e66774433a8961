"""The time of frames, and which of them the detector looks at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import UsageError
from fer_edge.edge.schedule import DetectionSchedule, FrameClock

FRAME_NS = 33_000_000
FORGET_NS = 500_000_000

# ---------------------------------------------------------------------------------- the clock

# Each case: time stamps, the nanoseconds since the first frame.
CLOCKS = [
    ([10, 40, 70], [0, 30, 60]),
    ([10, 10], [0, 0]),
    ([10, 70, 40, 100], [0, 60, 60, 90]),  # a frame out of order
    ([10, 10 - FORGET_NS, 20], [0, 0, 10]),  # the latest that still is late
    ([10**12, 5, 35], [0, 0, 30]),  # the clock was set back
    ([0, 10**12], [0, 10**12]),  # a camera that stood still
]


@pytest.mark.parametrize(("stamps", "times"), CLOCKS)
def test_time_never_runs_backwards(stamps, times):
    clock = FrameClock()

    assert [clock.tick(stamp) for stamp in stamps] == times


# -------------------------------------------------------------------------------- the schedule


def due(schedule: DetectionSchedule, frames: int, frame_ns: int = FRAME_NS, doubt: str = ""):
    """Indices of the frames that are due."""
    return [n for n in range(frames) if schedule.due(n * frame_ns, doubt)]


# Each case: every, milliseconds a frame, doubt, stretch, the frames due of 13.
SCHEDULES = [
    (1, 33, "", 1.0, list(range(13))),
    (3, 33, "", 1.0, [0, 3, 6, 9, 12]),
    (3, 500, "lost", 1.0, [0, 3, 6, 9, 12]),  # a number is a number
    (3, 33, "", 2.0, [0, 6, 12]),
    ("auto", 33, "", 1.0, [0, 9]),
    ("auto", 83, "", 1.0, [0, 3, 6, 9, 12]),  # after four it would be late
    ("auto", 400, "", 1.0, list(range(13))),
    ("auto", 33, "moved", 1.0, [0, 2, 4, 6, 8, 10, 12]),
    ("auto", 33, "moved", 2.0, [0, 4, 8, 12]),
    ("auto", 83, "", 2.0, [0, 7]),
    ("auto", 0, "", 1.0, [0]),  # time stands still
]


@pytest.mark.parametrize(("every", "frame_ms", "doubt", "stretch", "frames"), SCHEDULES)
def test_when_to_detect(every, frame_ms, doubt, stretch, frames):
    schedule = DetectionSchedule(every)
    schedule.stretch = stretch

    assert due(schedule, 13, frame_ms * 1_000_000, doubt) == frames


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=60))
def test_auto_is_never_late_by_more_than_a_frame_and_never_on_two_frames_in_a_row(steps):
    schedule, now_ms, last_ms, last_n = DetectionSchedule("auto"), 0, 0, -2
    for n, (step_ms, doubt) in enumerate(steps):
        now_ms += step_ms
        if schedule.due(now_ms * 1_000_000, "moved" if doubt else ""):
            assert n - last_n >= 2 or now_ms + step_ms - last_ms > 300 or n == 0
            last_ms, last_n = now_ms, n
        else:
            assert now_ms - last_ms <= 300


@pytest.mark.parametrize("every", [0, -1, "often", 1.5, None])
def test_a_wrong_setting_says_what_is_right(every):
    with pytest.raises(UsageError, match="'auto' or a number of frames from 1 on"):
        DetectionSchedule(every)
