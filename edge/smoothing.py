"""From the scores of single frames to what is said of a face: means over seconds, held labels.

Both work on the frames' own time stamps, so that neither the frame rate nor a skipped frame changes
what comes out. docs/tracking.md has the measurements behind the defaults.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .records import EmotionScores
from .schedule import FrameClock

#: Time constant in seconds: 63 % of a change shows after it.
DEFAULT_SECONDS = 0.3
# Below this a probability is as good as none; its logarithm would outweigh all other frames.
_LEAST = 1e-4
# So long what was last read of a face is still said of it: it was blurred, or others came first.
_HOLD_NS = 1_000_000_000
# A face that was not read for so long has ended, whoever forgot to say so.
_FORGET_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """When the label of a face gives way to another one.

    Attributes:
        lead: A label that is ahead of the held one by so much probability, 0 to 1, replaces it.
        wait_s: So does one that has been the most likely without a break for so long, in seconds.
        hold_s: But no label is replaced earlier than this after it was taken, in seconds.
    """

    lead: float = 0.2
    wait_s: float = 0.3
    hold_s: float = 0.2

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            UsageError: A figure is out of its range.
        """
        if not (0 <= self.lead <= 1 and self.wait_s >= 0 and self.hold_s >= 0):
            raise UsageError(
                f"Expected a lead from 0 to 1 and times of at least 0 s, got lead={self.lead}, "
                f"wait_s={self.wait_s}, hold_s={self.hold_s}."
            )


#: The most likely label of each frame, whatever it was before.
NO_HYSTERESIS = Hysteresis(lead=0.0, wait_s=0.0, hold_s=0.0)


@dataclass(frozen=True, slots=True)
class Smoothed:
    """What is said of a face in one frame.

    Attributes:
        raw: The model's probabilities for this frame.
        scores: Their mean over time.
        label: The label that is held; with hysteresis not always that of ``scores``.
    """

    raw: EmotionScores
    scores: EmotionScores
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """A face: what was said of it, mean logarithms, the held label, who leads since when."""

    said: Smoothed
    mean: NDArray[np.float64]
    updated_ns: int
    label: int
    taken_ns: int
    leader: int
    leads_ns: int
    mirrored: bool


class EmotionSmoother:
    """Smooths each face on its own, by its number. It belongs to one thread."""

    def __init__(
        self,
        seconds: float = DEFAULT_SECONDS,
        hysteresis: Hysteresis | None = None,
        *,
        mirror: bool = True,
    ) -> None:
        """Start without faces.

        Args:
            seconds: Time constant of the exponential mean; 0 leaves the scores as they are.
            hysteresis: Default: that of :class:`Hysteresis`, and none where ``seconds`` is 0.
            mirror: Whether :meth:`mirrored` asks for every other crop of a face to be mirrored:
                the mean over time is then one over both views, for nothing. Never where
                ``seconds`` is 0, as there is no mean.

        Raises:
            UsageError: ``seconds`` is negative or no number.
        """
        if not (seconds >= 0 and math.isfinite(seconds)):
            raise UsageError(f"Expected a time of at least 0 s to smooth over, got {seconds}.")
        self._seconds = seconds
        default = Hysteresis() if seconds > 0 else NO_HYSTERESIS
        self._hysteresis = default if hysteresis is None else hysteresis
        self._mirror = mirror and seconds > 0
        self._clock = FrameClock()
        self._now_ns = 0
        self._states: dict[int, _State] = {}

    def __len__(self) -> int:
        """Number of faces that are remembered."""
        return len(self._states)

    def update(
        self, faces: Iterable[tuple[int, EmotionScores]], captured_ns: int
    ) -> list[Smoothed]:
        """Take the scores of the faces that were read in one frame.

        Args:
            faces: The number of each and its probabilities, all in the same order of labels.
            captured_ns: Time of the frame, in nanoseconds.

        Returns:
            One for each, in their order.
        """
        now_ns = self._now_ns = self._clock.tick(captured_ns)
        for number in [
            number
            for number, state in self._states.items()
            if now_ns - state.updated_ns > _FORGET_NS
        ]:
            del self._states[number]
        return [self._one(number, scores, now_ns) for number, scores in faces]

    def last(self, number: int) -> Smoothed | None:
        """What was last said of a face, if that is less than a second ago; else None."""
        state = self._states.get(number)
        if state is None or self._now_ns - state.updated_ns > _HOLD_NS:
            return None
        return state.said

    def unread_s(self, number: int) -> float:
        """Seconds from the last reading of a face to the last :meth:`update`; or infinity."""
        state = self._states.get(number)
        return math.inf if state is None else (self._now_ns - state.updated_ns) / 1e9

    def mirrored(self, number: int) -> bool:
        """Whether the next crop of a face is to be mirrored before it is read."""
        state = self._states.get(number)
        return self._mirror and state is not None and not state.mirrored

    def forget(self, ended: Iterable[int]) -> None:
        """Drop faces whose tracks ended; numbers that are not known do no harm."""
        for number in ended:
            self._states.pop(number, None)

    def _one(self, number: int, scores: EmotionScores, now_ns: int) -> Smoothed:
        logits = np.log(np.maximum(scores.values, _LEAST))
        before = self._states.get(number)
        if before is None:
            mean, smoothed = logits, scores
        else:
            share = new_share((now_ns - before.updated_ns) / 1e9, self._seconds)
            mean = before.mean + share * (logits - before.mean)
            smoothed = scores if share == 1.0 else _as_scores(mean, scores.labels)
        label, taken_ns, leader, leads_ns = _hold(before, smoothed, now_ns, self._hysteresis)
        said = Smoothed(scores, smoothed, scores.labels[label])
        mirrored = self.mirrored(number)
        state = _State(said, mean, now_ns, label, taken_ns, leader, leads_ns, mirrored=mirrored)
        self._states[number] = state
        return said


def new_share(step_s: float, seconds: float) -> float:
    """The weight of a value that stood for ``step_s`` in an exponential mean.

    One long step with a value weighs what two half ones with it do.

    Args:
        step_s: Time since the value before, at least 0.
        seconds: Time constant; 0 is no mean at all.

    Returns:
        0 to 1.
    """
    return 1.0 if seconds == 0 else -math.expm1(-step_s / seconds)


def _as_scores(logits: NDArray[np.float64], labels: tuple[str, ...]) -> EmotionScores:
    values = np.exp(logits - logits.max())
    return EmotionScores(labels, tuple((values / values.sum()).tolist()))


def _hold(
    before: _State | None, smoothed: EmotionScores, now_ns: int, rule: Hysteresis
) -> tuple[int, int, int, int]:
    """The held label and since when, the most likely one and since when."""
    values = smoothed.values
    leader = values.index(max(values))
    if before is None:
        return leader, now_ns, leader, now_ns
    leads_ns = before.leads_ns if leader == before.leader else now_ns
    ahead = values[leader] - values[before.label] >= rule.lead
    waited = now_ns - leads_ns >= rule.wait_s * 1e9
    rested = now_ns - before.taken_ns >= rule.hold_s * 1e9
    if leader != before.label and (ahead or waited) and rested:
        return leader, now_ns, leader, leads_ns
    return before.label, before.taken_ns, leader, leads_ns
