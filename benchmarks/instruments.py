"""What the loop's own telemetry costs it: runs with it and without, in pairs.

The difference is less than two runs of the same thing differ, so it takes many short pairs: the
two of a pair follow each other at once, in an order that changes from pair to pair, so that a
machine that gets slower or faster meanwhile favours neither. Told is the median of the pairs with
its interval by the order statistics (the sign test turned round; W. J. Conover, "Practical
Nonparametric Statistics", 3.2), which assumes nothing about how the pairs are spread.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import comb
from pathlib import Path
from statistics import median

import numpy as np

from ..edge import pipeline
from ..edge.classifier import EmotionClassifier
from ..edge.detectors import Detector, open_detector
from ..edge.memory import use_one_heap
from ..edge.models import DEFAULT
from ..edge.telemetry import Telemetry
from .clips import Film, FilmCamera, read_clip, read_film
from .document import Better
from .given import find_models
from .host import choose_cores, pinned, stopwatch
from .rules import say_disturbed
from .session import Session
from .tracking import SIZE_WH

#: Share of the frames a second that telemetry may cost, in percent.
WANTED_PERCENT = 0.5
_QUICK_PAIRS = 4
_RATES: tuple[str, Better] = ("frames/s", "higher")
_PERCENT: tuple[str, Better] = ("%", "lower")


@dataclass(frozen=True, slots=True)
class InstrumentsPlan:
    """What to measure.

    Attributes:
        clip: A video, played from memory so that decoding is no part of it.
        detector: Name of the detector.
        detector_model: Its file; None is the known one.
        model: Name or file of the ``.tflite``; None is the default model.
        pairs: How many.
        cores: How many cores to pin the loop to.
    """

    clip: Path
    detector: str = "auto"
    detector_model: Path | None = None
    model: str | None = None
    pairs: int = 60
    cores: int = 1


class _Silent(Telemetry):
    """Takes nothing down."""

    def passed(
        self, stage: str, age_ms: float | None = None, *, took_s: float | None = None
    ) -> None:
        pass


def measure_instruments(session: Session, plan: InstrumentsPlan) -> None:
    """Play a clip again and again, with telemetry and without.

    Args:
        session: Takes the figures, as section ``instruments``: frames a second of each run, and
            what telemetry lost of them in each pair.
        plan: What to measure.

    Raises:
        CameraError: The clip is missing or no video.
        ModelError: A model cannot be used.
        UsageError: There are fewer cores, or no such detector.
    """
    cores = choose_cores(os.sched_getaffinity(0), plan.cores)
    film, clip = read_film(plan.clip, SIZE_WH), read_clip(plan.clip)
    use_one_heap()
    detector = open_detector(plan.detector, model=plan.detector_model)
    model = find_models([plan.model or DEFAULT])[0]
    classifier = EmotionClassifier.open(plan.model)
    session.add_model(model.name, model.path)
    of = {"model": model.name, "detector": detector.name, "cores": len(cores), **clip.of}
    pairs = _QUICK_PAIRS if session.effort.quick else plan.pairs
    session.say(f"instruments: {pairs} pairs of runs of {_seconds(session):g} s")
    found: dict[bool, list[float]] = {True: [], False: []}
    with session.section("instruments"), pinned(cores):
        _play(film, detector, classifier, session.effort.warmup_s)
        spent = stopwatch()
        for number in range(pairs):
            for telemetry in (number % 2 == 0, number % 2 == 1):
                with _telemetry(telemetry):
                    fps = _play(film, detector, classifier, _seconds(session))
                found[telemetry].append(fps)
        invalid = say_disturbed(spent().others_cores)
        for telemetry, name in ((True, "on"), (False, "off")):
            values = tuple(found[telemetry])
            session.add("fps", *_RATES, {**of, "telemetry": name}, values, invalid=invalid)
        lost = tuple(
            100 * (1 - on / off) for on, off in zip(found[True], found[False], strict=True)
        )
        session.add("lost", *_PERCENT, of, lost, invalid=invalid)
    low, high = median_interval(lost)
    session.note(
        f"Telemetry costs {median(lost):.2f} % of the frames a second (95 % interval of the "
        f"median of {pairs} pairs: {low:.2f} to {high:.2f}); wanted are at most {WANTED_PERCENT}."
    )


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Between which of the values their true median lies, in 95 % of such samples or more.

    With five values or fewer no such interval is narrower than all of them.

    Args:
        values: At least one.
    """
    ordered, count = sorted(values), len(values)
    # So many of the smallest and of the largest can be left out.
    outside, below = 0, 0.5**count
    while outside + 1 < count - outside - 1:
        below += comb(count, outside + 1) * 0.5**count
        if 2 * below > 0.05:
            break
        outside += 1
    return ordered[outside], ordered[count - 1 - outside]


def _seconds(session: Session) -> float:
    """Of a run: short, so that the two of a pair are close to each other."""
    return session.effort.seconds / 5


def _play(film: Film, detector: Detector, classifier: EmotionClassifier, seconds: float) -> float:
    """Frames a second of the loop over a film, played as often as so many seconds take."""
    classifier.classify(np.zeros((1, *classifier.size_wh[::-1]), np.uint8))
    frames, began = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began) < seconds or not frames:
        running = pipeline.Pipeline(FilmCamera(film), detector, classifier)
        frames += sum(1 for _ in running.results())
    return frames / took_s


@contextmanager
def _telemetry(on: bool) -> Iterator[None]:
    real = pipeline.Telemetry
    setattr(pipeline, "Telemetry", real if on else _Silent)  # noqa: B010 - a class is no variable
    try:
        yield
    finally:
        setattr(pipeline, "Telemetry", real)  # noqa: B010
