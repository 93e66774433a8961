"""From the age of results to how much detections are spread."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.load import LoadControl

MAX_MS = 200.0
OLD, BETWEEN, YOUNG = 500.0, 150.0, 50.0


class Control:
    """A load control with a clock of its own, at eight results a second, which add up exactly."""

    def __init__(self, max_age_ms: float = MAX_MS):
        self.now_s, self.said = 1000.0, []
        self.load = LoadControl(max_age_ms, self.said.append, lambda: self.now_s)

    def play(self, *ages_ms: float, seconds: float = 1.0, every_s: float = 0.125) -> float:
        """Results of these ages by turns for so long; the stretch then."""
        for n in range(round(seconds / every_s)):
            self.now_s += every_s
            self.load.note(ages_ms[n % len(ages_ms)])
        return self.load.stretch


def test_at_the_start_there_is_no_need():
    assert Control().load.stretch == 1.0


def test_old_results_spread_detections_step_by_step_and_only_so_far():
    control = Control()

    seen = [control.play(OLD, seconds=1) for _ in range(20)]

    assert seen[0] == 1.5
    assert all(a < b or a == b == 8.0 for a, b in pairwise(seen))
    assert seen[-1] == 8.0


def test_people_are_told_at_the_first_step_and_at_the_last_step_back():
    control = Control()
    control.play(OLD, seconds=20)
    assert len(control.said) == 1
    assert "500 ms old, over the 200 ms of --max-age" in control.said[0]
    assert "less often" in control.said[0]

    assert control.play(YOUNG, seconds=120) == 1.0

    assert len(control.said) == 2
    assert "as often as asked" in control.said[1]
    control.play(YOUNG, seconds=60)
    assert len(control.said) == 2

    control.play(OLD, seconds=3)
    assert len(control.said) == 3, "another time is another sentence"


# Each case: the ages by turns, whether that is too old.
AGES = [
    ((YOUNG,), False),
    ((MAX_MS,), False),  # at the limit
    ((MAX_MS + 1,), True),
    ((YOUNG, YOUNG, 100 * OLD), False),  # a hiccup now and then: the median counts
    ((OLD, OLD, 0.0), True),
    ((-1e6,), False),  # a camera's clock runs ahead
]


@pytest.mark.parametrize(("ages_ms", "spreads"), AGES)
def test_what_counts_as_old(ages_ms, spreads):
    assert (Control().play(*ages_ms, seconds=3) > 1) is spreads


def test_the_way_back_needs_calm_and_is_slower():
    control = Control()
    there = control.play(OLD, seconds=2)
    assert there == 1.5**2

    assert control.play(YOUNG, seconds=4) == there, "not at once"
    assert control.play(YOUNG, seconds=1) == 1.5
    assert control.play(YOUNG, seconds=4) == 1.5, "each step back waits anew"
    assert control.play(YOUNG, seconds=1) == 1.0


def test_between_the_limit_and_its_half_everything_stays():
    control = Control()
    control.play(OLD, seconds=2)

    assert control.play(BETWEEN, seconds=60) == 1.5**2
    assert len(control.said) == 1


def test_what_is_not_calm_makes_the_calm_begin_anew():
    control = Control()
    there = control.play(OLD, seconds=2)
    for _ in range(5):
        control.play(YOUNG, seconds=4)
        assert control.play(BETWEEN, seconds=1) == there


def test_of_too_few_results_nothing_is_concluded():
    control = Control()

    assert control.play(OLD, seconds=10, every_s=5) == 1.0
    assert control.play(OLD, seconds=5, every_s=5) > 1.0, "the third within whatever time"


def test_the_ages_of_one_second_say_nothing_about_the_next():
    control = Control()
    there = control.play(OLD, seconds=1)

    assert control.play(YOUNG, seconds=1) == there


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 10)), max_size=300))
def test_the_stretch_has_bounds_and_every_sentence_its_answer(stream):
    control = Control()
    for age_ms, pause_s in stream:
        control.now_s += pause_s
        before = control.load.stretch
        control.load.note(age_ms)
        after = control.load.stretch
        assert 1.0 <= after <= 8.0
        assert after in (before, min(8.0, before * 1.5), max(1.0, before / 1.5))
        # Those about the way there and about the way back take turns.
        assert ["less often" in text for text in control.said] == [
            n % 2 == 0 for n in range(len(control.said))
        ]
        assert len(control.said) % 2 == (after > 1.0)
