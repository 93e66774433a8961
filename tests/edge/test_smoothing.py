"""Means over seconds and held labels: properties first, then tables."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fer_edge.edge.errors import UsageError
from fer_edge.edge.records import EmotionScores
from fer_edge.edge.smoothing import NO_HYSTERESIS, EmotionSmoother, Hysteresis, new_share

from .conftest import EMOTIONS, scores_of

LABELS = ("angry", "happy", "sad")
SECOND_NS = 1_000_000_000


def a_scores(*values: float) -> EmotionScores:
    total = sum(values)
    return EmotionScores(LABELS, tuple(value / total for value in values))


scores = st.builds(a_scores, *[st.floats(0.001, 1)] * 3)
seconds = st.floats(0.05, 2)
steps_ns = st.integers(0, SECOND_NS)


def logits(of: EmotionScores) -> np.ndarray:
    return np.log(np.maximum(of.values, 1e-4))


def distance(one: EmotionScores, other: EmotionScores) -> float:
    """The largest difference of logits, which probabilities fix but for a constant."""
    return float(np.ptp(logits(one) - logits(other)))


def smooth(smoother: EmotionSmoother, stream) -> list:
    """What comes of one face, of ``(scores, nanoseconds)``."""
    return [smoother.update([(1, found)], now)[0] for found, now in stream]


# ---------------------------------------------------------------------------------- the mean


@given(st.lists(st.tuples(scores, steps_ns), min_size=1, max_size=12), seconds)
def test_scores_stay_probabilities_and_the_raw_ones_are_handed_on(stream, over):
    smoother, now = EmotionSmoother(over), 0
    for found, step in stream:
        now += step
        (said,) = smoother.update([(1, found)], now)

        assert said.raw is found
        assert sum(said.scores.values) == pytest.approx(1)
        assert said.scores.labels == LABELS
        assert said.label in LABELS


@given(scores, scores, seconds, st.lists(st.integers(1, SECOND_NS), min_size=2, max_size=12))
def test_a_constant_input_is_approached_step_by_step_and_reached(first, then, over, pauses):
    smoother, now = EmotionSmoother(over), 0
    smoother.update([(1, first)], now)
    left = distance(first, then)
    for pause in pauses:
        now += pause
        (said,) = smoother.update([(1, then)], now)
        assert distance(said.scores, then) <= left + 1e-9
        left = distance(said.scores, then)
    (said,) = smoother.update([(1, then)], now + round(40 * over * SECOND_NS))
    assert said.scores.values == pytest.approx(then.values, abs=1e-6)


@given(scores, scores, seconds, st.integers(0, SECOND_NS), st.floats(0, 1))
def test_one_long_step_is_as_good_as_two_parts_of_it(first, then, over, step, part):
    once, twice = EmotionSmoother(over), EmotionSmoother(over)
    middle = round(part * step)

    whole = smooth(once, [(first, 0), (then, step)])
    parts = smooth(twice, [(first, 0), (then, middle), (then, step)])

    assert parts[-1].scores.values == pytest.approx(whole[-1].scores.values, abs=1e-9)


@given(st.lists(st.tuples(scores, steps_ns), min_size=1, max_size=10), seconds, st.integers(2, 9))
def test_only_the_ratio_of_time_and_time_constant_counts(stream, over, factor):
    rule = Hysteresis(lead=0.2, wait_s=0.3, hold_s=0.2)
    slower = Hysteresis(lead=0.2, wait_s=0.3 * factor, hold_s=0.2 * factor)
    times = np.cumsum([step for _, step in stream]).tolist()
    # A tie of a time and a limit may fall either way by rounding.
    assume(all(abs(a - b - limit) > 1e3 for a in times for b in times for limit in (2e8, 3e8)))
    fast = [(found, now) for (found, _), now in zip(stream, times, strict=True)]

    usual = smooth(EmotionSmoother(over, rule), fast)
    scaled = smooth(
        EmotionSmoother(over * factor, slower), [(found, now * factor) for found, now in fast]
    )

    for one, other in zip(usual, scaled, strict=True):
        assert one.scores.values == pytest.approx(other.scores.values, abs=1e-9)
        assert one.label == other.label


@given(st.lists(st.tuples(scores, steps_ns), min_size=1, max_size=10))
def test_zero_seconds_is_raw(stream):
    smoother, now = EmotionSmoother(0), 0
    for found, step in stream:
        now += step
        (said,) = smoother.update([(1, found)], now)

        assert said.scores is found
        assert said.label == found.label
        assert not smoother.mirrored(1)


def test_the_mean_is_one_of_logits():
    one, other = a_scores(0.9, 0.09, 0.01), a_scores(0.2, 0.4, 0.4)
    share = new_share(0.3, 0.3)

    said = smooth(EmotionSmoother(0.3), [(one, 0), (other, 300_000_000)])[-1]

    # The geometric mean of the probabilities, normalised, is the softmax of the mean logits.
    expected = np.array(one.values) ** (1 - share) * np.array(other.values) ** share
    assert share == pytest.approx(1 - np.exp(-1))
    assert said.scores.values == pytest.approx(expected / expected.sum())


def test_a_probability_of_zero_does_not_rule_a_label_out_for_ever():
    never = EmotionScores(LABELS, (1.0, 0.0, 0.0))
    happy = EmotionScores(LABELS, (0.1, 0.9, 0.0))

    said = smooth(EmotionSmoother(0.3), [(never, 0), (happy, SECOND_NS)])[-1]

    assert said.scores.label == "happy"
    assert all(np.isfinite(said.scores.values))


# Each case: time stamps in ms of a face that turns happy, and the share of it then.
CLOCKS = [
    ([0, 300], 1 - np.exp(-1)),
    ([0, 0], 0.0),  # two frames with one time stamp
    ([1000, 900], 0.0),  # out of order: it takes no time
    ([10**6, 0, 300], 1 - np.exp(-1)),  # the clock was set back
    ([0, 9000], 1.0),
]


@pytest.mark.parametrize(("stamps_ms", "share"), CLOCKS)
def test_odd_clocks(stamps_ms, share):
    sad, happy = a_scores(0.1, 0.1, 0.8), a_scores(0.1, 0.8, 0.1)
    stream = [(sad, stamps_ms[0] * 1_000_000)]
    stream += [(happy, stamp * 1_000_000) for stamp in stamps_ms[1:]]

    said = smooth(EmotionSmoother(0.3), stream)[-1]

    mean = (1 - share) * logits(sad) + share * logits(happy)
    assert said.scores.values == pytest.approx(np.exp(mean) / np.exp(mean).sum(), abs=1e-6)


# --------------------------------------------------------------------------------- hysteresis


@given(
    st.lists(st.tuples(scores, steps_ns), min_size=1, max_size=30),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_label_never_changes_faster_than_stated(stream, lead, wait_s, hold_s):
    smoother, now = EmotionSmoother(0.3, Hysteresis(lead, wait_s, hold_s)), 0
    label, taken, led = None, 0, []
    for found, step in stream:
        now += step
        (said,) = smoother.update([(1, found)], now)
        values = dict(zip(LABELS, said.scores.values, strict=True))
        led.append((now, said.scores.label))
        if label is not None and said.label != label:
            assert now - taken >= hold_s * SECOND_NS
            since = now
            for stamp, leader in reversed(led):
                if leader != said.label:
                    break
                since = stamp
            ahead = values[said.label] - values[label] >= lead
            assert said.label == said.scores.label
            assert ahead or now - since >= wait_s * SECOND_NS
            taken = now
        if label is None:
            taken = now
        label = said.label


HAPPY, SAD = ("happy", 0.6, 0), ("sad", 0.25, 300)
# Each case: (label, score) and the ms of each frame; the labels held. Lead .3, wait 400, hold 200.
HELD = [
    ([("happy", 0.6, 0), ("sad", 0.9, 200)], ["happy", "sad"]),  # far ahead
    ([("happy", 0.6, 0), ("sad", 0.9, 199)], ["happy", "happy"]),  # too soon
    ([HAPPY, SAD], ["happy", "happy"]),  # not far ahead
    ([HAPPY, SAD, ("sad", 0.25, 700)], ["happy", "happy", "sad"]),
    ([HAPPY, SAD, ("sad", 0.25, 699)], ["happy"] * 3),
    # Interrupted, by the held label and by a third one: the wait begins anew.
    ([HAPPY, SAD, ("happy", 0.25, 600), ("sad", 0.25, 900)], ["happy"] * 4),
    ([HAPPY, SAD, ("fear", 0.25, 600), ("sad", 0.25, 900)], ["happy"] * 4),
]


@pytest.mark.parametrize(("frames", "labels"), HELD)
def test_when_a_label_gives_way(frames, labels):
    # A time constant of a nanosecond: the mean is the last frame.
    smoother = EmotionSmoother(1e-9, Hysteresis(lead=0.3, wait_s=0.4, hold_s=0.2))

    said = smooth(smoother, [(scores_of(name, p), ms * 1_000_000) for name, p, ms in frames])

    assert [one.label for one in said] == labels


def test_the_defaults_stop_a_flicker():
    frames = [scores_of(("happy", "surprise")[n % 2], 0.5) for n in range(60)]
    stream = [(found, n * 33_000_000) for n, found in enumerate(frames)]

    held = [one.label for one in smooth(EmotionSmoother(), stream)]
    raw = [one.label for one in smooth(EmotionSmoother(0), stream)]

    assert sum(a != b for a, b in pairwise(raw)) == 59
    assert sum(a != b for a, b in pairwise(held)) <= 1


def test_the_defaults_follow_a_change_within_half_a_second():
    stream = [(scores_of("neutral", 0.7), n * 33_000_000) for n in range(30)]
    stream += [(scores_of("happy", 0.7), n * 33_000_000) for n in range(30, 60)]

    held = [one.label for one in smooth(EmotionSmoother(), stream)]

    assert held[44] == "happy"
    assert held[30] == "neutral"


def test_hysteresis_can_be_had_without_a_mean_and_the_other_way_round():
    stream = [(scores_of("happy", 0.5), 0), (scores_of("sad", 0.5), 100_000_000)]

    assert smooth(EmotionSmoother(0, Hysteresis()), stream)[-1].label == "happy"
    fast = smooth(EmotionSmoother(0.05, NO_HYSTERESIS), stream)[-1]
    assert fast.label == fast.scores.label == "sad"


# ------------------------------------------------------------------------------ faces, mirroring


def test_each_face_has_its_own_mean_and_keeps_it_while_it_is_covered():
    smoother = EmotionSmoother(0.3)
    happy, sad = scores_of("happy"), scores_of("sad")
    smoother.update([(1, happy), (2, sad)], 0)
    smoother.update([(2, sad)], 200_000_000)

    one, two = smoother.update([(1, sad), (2, sad)], 210_000_000)

    assert two.scores.values == pytest.approx(sad.values)
    # 210 ms of being sad, not 10, as nothing else was seen of it.
    share = new_share(0.21, 0.3)
    assert one.scores.values[EMOTIONS.index("happy")] == pytest.approx(
        np.exp((1 - share) * np.log(0.7) + share * np.log(0.05))
        / sum(np.exp((1 - share) * logits(happy) + share * logits(sad))),
    )


def test_faces_that_ended_are_forgotten_told_or_not():
    smoother = EmotionSmoother()
    smoother.update([(number, scores_of()) for number in range(1, 5)], 0)
    smoother.forget([1, 99])
    assert len(smoother) == 3

    smoother.update([(2, scores_of())], 10 * SECOND_NS)
    assert len(smoother) == 3
    smoother.update([(2, scores_of())], 10 * SECOND_NS + 1)
    assert len(smoother) == 1


def test_every_other_crop_of_a_face_is_to_be_mirrored():
    smoother, asked = EmotionSmoother(), []
    for n in range(6):
        asked.append((smoother.mirrored(1), smoother.mirrored(2)))
        smoother.update([(1, scores_of())] + [(2, scores_of())] * (n % 2), n * 33_000_000)

    assert [one for one, _ in asked] == [False, True, False, True, False, True]
    # Face 2 was read in every other frame only.
    assert [two for _, two in asked] == [False, False, True, True, False, False]
    assert not EmotionSmoother(mirror=False).mirrored(1)


# -------------------------------------------------------------------------- what was last said


def test_of_a_face_that_was_never_read_nothing_is_known():
    smoother = EmotionSmoother()
    smoother.update([(2, scores_of())], 0)

    assert smoother.last(1) is None
    assert smoother.unread_s(1) == math.inf
    assert smoother.unread_s(2) == 0


# Each case: ms since the face was read, whether that is still said of it.
AGES_MS = [(0, True), (33, True), (1000, True), (1000.001, False), (9999, False), (10_001, False)]


@pytest.mark.parametrize(("ms", "known"), AGES_MS)
def test_what_was_said_of_a_face_is_said_for_a_second_more(ms, known):
    smoother = EmotionSmoother()
    (said,) = smoother.update([(1, scores_of())], 5 * SECOND_NS)
    smoother.update([], 5 * SECOND_NS + round(ms * 1e6))

    assert smoother.last(1) is (said if known else None)


@given(st.lists(st.tuples(st.booleans(), steps_ns), min_size=1, max_size=30))
def test_the_time_without_a_reading_is_that_of_the_frames(stream):
    smoother, now, read_ns, said = EmotionSmoother(), 0, None, None
    for reads, step in stream:
        now += step
        if reads:
            (said,) = smoother.update([(1, scores_of())], now)
            read_ns = now
        else:
            smoother.update([(2, scores_of())], now)
        if read_ns is None or now - read_ns > 10 * SECOND_NS:
            assert smoother.unread_s(1) == math.inf
        else:
            assert smoother.unread_s(1) == (now - read_ns) / 1e9
        recent = read_ns is not None and now - read_ns <= SECOND_NS
        assert smoother.last(1) is (said if recent else None)


def test_neither_a_late_frame_nor_a_clock_set_back_makes_a_reading_younger():
    smoother = EmotionSmoother()
    smoother.update([(1, scores_of())], 100 * SECOND_NS)
    for stamp_ns in (int(100.5 * SECOND_NS), int(100.4 * SECOND_NS), 3 * SECOND_NS):
        smoother.update([], stamp_ns)
        assert smoother.unread_s(1) == 0.5

    smoother.update([], int(3.7 * SECOND_NS))

    assert smoother.unread_s(1) == pytest.approx(1.2)
    assert smoother.last(1) is None


def test_of_a_face_that_ended_nothing_is_said():
    smoother = EmotionSmoother()
    smoother.update([(1, scores_of())], 0)
    smoother.forget([1])

    assert smoother.last(1) is None
    assert smoother.unread_s(1) == math.inf


# Each case: what is wrong with it.
@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf")])
def test_a_time_that_is_none(seconds):
    with pytest.raises(UsageError, match="at least 0 s"):
        EmotionSmoother(seconds)


@pytest.mark.parametrize("wrong", [{"lead": 1.1}, {"lead": -0.1}, {"wait_s": -1}, {"hold_s": -1}])
def test_a_hysteresis_that_is_none(wrong):
    with pytest.raises(UsageError, match="from 0 to 1"):
        Hysteresis(**wrong)
