"""Recording a neutral face for a profile: which frames count, and when it is refused."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .cameras import Camera
from .classifier import EmotionClassifier
from .detectors import Detector
from .errors import DataError
from .pipeline import Pipeline
from .profile import Profile, neutral_offset, typical_gaps
from .records import Reading, Result
from .stages import LoopSettings

#: Frames of so long are taken together: what follows closer than that is nearly a copy.
BLOCK_S = 0.5
# So long a face may be missing in between, so long the first one is waited for.
_GONE_S, _WAIT_S = 1.0, 15.0
# At most this share of the frames may have several faces (a detector is mistaken now and then), and
# at least this share of the blocks must hold a frame that can be used.
_MOST_COMPANY, _FEWEST_BLOCKS = 0.1, 0.5
# A probability of 0 has no logarithm.
_LEAST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Neutral:
    """A recorded neutral face.

    Attributes:
        labels: The model's.
        scores: float64, ``(n, classes)``: probabilities of each frame that was used.
        blocks: int64, ``(n,)``: number of the half second of each.
    """

    labels: tuple[str, ...]
    scores: NDArray[np.float64]
    blocks: NDArray[np.int64]

    @property
    def logits(self) -> NDArray[np.float64]:
        """``(n, classes)``: logarithms of the probabilities are logits up to a constant a row."""
        return np.log(np.maximum(self.scores, _LEAST))

    def mean_scores(self, offset: dict[str, float] | None = None) -> dict[str, float]:
        """The mean probabilities by label, as they are or with an offset."""
        added = np.array([(offset or {}).get(label, 0.0) for label in self.labels])
        odds = self.scores * np.exp(added)
        means = (odds / odds.sum(axis=1, keepdims=True)).mean(axis=0)
        return dict(zip(self.labels, means.tolist(), strict=True))


@dataclass(slots=True)
class NeutralRecorder:
    """Takes results of a loop until there are enough seconds of one face, alone in view.

    Time is that of the frames, so that a clip that is read faster than it was filmed counts as
    long as it is.

    Attributes:
        seconds: How long to record, from the first face on.
        began_ns: When that was seen; None before.
    """

    seconds: float
    began_ns: int | None = None
    _waiting_since_ns: int | None = None
    _number: int | None = None
    _seen_ns: int = 0
    _frames: int = 0
    _company: int = 0
    _flaws: Counter[str] = field(default_factory=Counter)
    _scores: list[tuple[float, ...]] = field(default_factory=list)
    _blocks: list[int] = field(default_factory=list)
    _labels: tuple[str, ...] = ()

    def take(self, result: Result) -> bool:
        """Take one result; whether the recording is complete.

        Raises:
            DataError: No face comes, or the one that came has gone.
        """
        now_ns, readings = result.frame.time_ns, result.readings
        if self.began_ns is None:
            self._wait(now_ns, readings)
            if self.began_ns is None:
                return False
        self._frames += 1
        ours = [reading for reading in readings if reading.face.id == self._number]
        if ours:
            self._seen_ns = now_ns
        elif now_ns - self._seen_ns > _GONE_S * 1e9:
            raise DataError(
                f"The face left the picture after {self._since(self._seen_ns):.1f} s, or turned "
                f"too far away. Try again, and look into the camera for {self.seconds:g} s."
            )
        self._company += len(readings) > 1
        if ours and len(readings) == 1:
            self._keep(ours[0], now_ns)
        return self._since(now_ns) >= self.seconds

    def neutral(self) -> Neutral:
        """What was recorded.

        Raises:
            DataError: It is too short, somebody else was in view, or too few frames were good.
        """
        if self.began_ns is None:
            raise DataError(
                "The camera ended before one face, alone in the picture, could be read."
            )
        length_s = self._since(self._seen_ns)
        if length_s < self.seconds - _GONE_S:
            raise DataError(
                f"The camera ended after {length_s:.1f} s of a face, expected {self.seconds:g} s."
            )
        if self._company > _MOST_COMPANY * self._frames:
            raise DataError(
                f"Several faces were in view in {self._company} of {self._frames} frames. A "
                f"profile is of one person: be alone in the picture (posters and prints count "
                f"too), and try again."
            )
        if len(set(self._blocks)) < _FEWEST_BLOCKS * self.seconds / BLOCK_S:
            flaws = ", ".join(f"{count} {flaw}" for flaw, count in self._flaws.most_common())
            raise DataError(
                f"Only {len(self._scores)} of {self._frames} frames could be read"
                f"{f' ({flaws})' if flaws else ''}. Come nearer, into more light, keep still, and "
                f"try again."
            )
        return Neutral(self._labels, np.array(self._scores), np.array(self._blocks))

    def _wait(self, now_ns: int, readings: Sequence[Reading]) -> None:
        if len(readings) == 1 and readings[0].raw is not None:
            self.began_ns = self._seen_ns = now_ns
            self._number = readings[0].face.id
            return
        if self._waiting_since_ns is None:
            self._waiting_since_ns = now_ns
        if now_ns - self._waiting_since_ns <= _WAIT_S * 1e9:
            return
        seen = {
            0: "No face was seen",
            1: f"The face in view could not be read ({readings[0].flaw})" if readings else "",
        }.get(len(readings), f"{len(readings)} faces are in view")
        raise DataError(
            f"{seen} for {_WAIT_S:g} s. Sit in front of the camera, alone, with light on the face; "
            f"`fer-edge run` shows what it sees."
        )

    def _keep(self, reading: Reading, now_ns: int) -> None:
        if reading.raw is None:
            self._flaws[reading.flaw or "skipped"] += 1
            return
        self._labels = reading.raw.labels
        self._scores.append(reading.raw.values)
        self._blocks.append(int(self._since(now_ns) / BLOCK_S))

    def _since(self, time_ns: int) -> float:
        return (time_ns - (self.began_ns or 0)) / 1e9


def record(
    camera: Camera,
    detector: Detector,
    classifier: EmotionClassifier,
    *,
    seconds: float,
    settings: LoopSettings,
    say: Callable[[str], None],
    hand_over: Callable[[Callable[[], None]], object] = lambda _: None,
) -> Neutral | None:
    """Record a neutral face; None where it was stopped before.

    Args:
        camera: Opened.
        detector: Finds the face.
        classifier: Without an offset.
        seconds: How long.
        settings: Of the loop.
        say: Takes sentences for people.
        hand_over: Is told what stops the recording.

    Raises:
        ModelError: The model has other labels than those a typical answer is known for.
        DataError: It cannot be used; see :class:`NeutralRecorder`.
        FerEdgeError: The camera or the model failed.
    """
    # Before the ten seconds, not after them.
    typical_gaps(classifier.contract)
    stopped = False
    pipeline = Pipeline(camera, detector, classifier, settings, say=say)

    def stop() -> None:
        nonlocal stopped
        stopped = True
        pipeline.stop()

    hand_over(stop)
    recorder = NeutralRecorder(seconds)
    with closing(pipeline.results()) as results:
        for result in results:
            waited = recorder.began_ns is None
            if recorder.take(result):
                break
            if waited and recorder.began_ns is not None:
                say(f"recording; keep a neutral face for {seconds:g} s")
    return None if stopped else recorder.neutral()


def make_profile(name: str, neutral: Neutral, classifier: EmotionClassifier) -> Profile:
    """The profile of a recorded face.

    Raises:
        ModelError: The model has other labels than those a typical answer is known for.
    """
    return Profile(
        name=name,
        model=classifier.contract.name,
        model_sha256=classifier.digest,
        frames=len(neutral.scores),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        offset=neutral_offset(
            neutral.logits, neutral.blocks, neutral.labels, typical_gaps(classifier.contract)
        ),
    )
