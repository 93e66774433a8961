"""What the loop's own telemetry costs it: a clip played again and again, with it and without.

Two playings of the same clip differ by some ten per cent, a hundred times what is looked for, so it
takes thousands of short pairs. The loop runs on meanwhile and only its telemetry is switched: the
two of a pair follow each other at once, over the same pictures, in an order that changes from pair
to pair, so that a machine that gets slower or faster favours neither. Told is the median of the
pairs with its interval by the order statistics (the sign test turned round; W. J. Conover,
"Practical Nonparametric Statistics", 3.2), which assumes nothing about how the pairs are spread.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median

from ..edge.classifier import EmotionClassifier
from ..edge.detectors import open_detector
from ..edge.memory import use_one_heap
from ..edge.models import DEFAULT
from ..edge.pipeline import Pipeline
from ..edge.records import Frame, Result
from ..edge.telemetry import Telemetry
from .clips import Film, FilmCamera, read_clip, read_film
from .document import Better, Of
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
        clip: A video, played from memory so that decoding is no part of it. A short one, of some
            tenths of a second for the loop, makes many pairs.
        detector: Name of the detector.
        detector_model: Its file; None is the known one.
        model: Name or file of the ``.tflite``; None is the default model.
        pairs: How many, of two playings each.
        cores: How many cores to pin the loop to.
    """

    clip: Path
    detector: str = "auto"
    detector_model: Path | None = None
    model: str | None = None
    pairs: int = 3500
    cores: int = 1


class _EndlessFilm(FilmCamera):
    """A film that begins anew at its end, as one stream."""

    def __init__(self, film: Film):
        super().__init__(film)
        self._turn = 0

    def read(self) -> Frame | None:
        """The next frame; there is always one."""
        length = len(self._film.pictures)
        if self._index == length:
            self._index, self._turn = 0, self._turn + 1
        frame = super().read()
        if frame is None:
            return None
        before_ns = round(self._turn * length * 1e9 / self._film.fps)
        return replace(
            frame,
            index=self._turn * length + frame.index,
            stream_ns=before_ns + self._times_ns[frame.index],
        )


def measure_instruments(session: Session, plan: InstrumentsPlan) -> None:
    """Play a clip again and again, with telemetry and without.

    Args:
        session: Takes the figures, as section ``instruments``: frames a second with and without,
            and what telemetry lost of them in each pair.
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
    with session.section("instruments"), pinned(cores):
        running = Pipeline(_EndlessFilm(film), detector, classifier)
        results, frames = running.results(), len(film.pictures)
        found: list[tuple[float, float]] = []
        try:
            began, warmed = time.perf_counter(), 0
            while time.perf_counter() - began < session.effort.warmup_s or not warmed:
                _play(results, frames)
                warmed += 1
            each_s = 2 * (time.perf_counter() - began) / warmed
            minutes = f"about {max(1, round(pairs * each_s / 60))} min"
            session.say(f"instruments: {pairs} pairs of {each_s:.2f} s, {minutes}")
            spent = stopwatch()
            for number in range(pairs):
                found.append(_pair(results, frames, on_first=number % 2 == 0))
        finally:
            running.stop()
            results.close()
            if found:
                # Of an interrupted run, what was finished.
                invalid = say_disturbed(spent().others_cores)
                _add_figures(session, of, frames, found, invalid)


def _pair(results: Iterator[Result], frames: int, *, on_first: bool) -> tuple[float, float]:
    """Seconds that the film took with telemetry, and without."""
    took_s: dict[bool, float] = {}
    for on in (on_first, not on_first):
        with _telemetry(on):
            began = time.perf_counter()
            _play(results, frames)
            took_s[on] = time.perf_counter() - began
    return took_s[True], took_s[False]


def _add_figures(
    session: Session, of: Of, frames: int, found: Sequence[tuple[float, float]], invalid: str
) -> None:
    for name, times_s in zip(("on", "off"), zip(*found, strict=True), strict=True):
        fps = frames / median(times_s)
        session.add("fps", *_RATES, {**of, "telemetry": name}, fps, invalid=invalid)
    lost = tuple(round(100 * (1 - off_s / on_s), 3) for on_s, off_s in found)
    session.add("lost", *_PERCENT, of, lost, invalid=invalid)
    low, high = median_interval(lost)
    session.note(
        f"Telemetry costs {median(lost):.2f} % of the frames a second (95 % interval of the "
        f"median of {len(lost)} pairs: {low:.2f} to {high:.2f}); wanted are at most "
        f"{WANTED_PERCENT}."
    )


def _play(results: Iterator[Result], frames: int) -> None:
    """Take so many results of the loop."""
    for _ in islice(results, frames):
        pass


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Between which of the values their true median lies, in 95 % of such samples or more.

    With five values or fewer no such interval is narrower than all of them.

    Args:
        values: At least one.
    """
    ordered, count = sorted(values), len(values)
    # So many of the smallest and of the largest can be left out; in whole numbers, as 0.5 to the
    # power of thousands is no float.
    outside, below, orders = 0, 1, 1
    while outside + 1 < count - outside - 1:
        orders = orders * (count - outside) // (outside + 1)
        below += orders
        if 2 * 20 * below > 2**count:
            break
        outside += 1
    return ordered[outside], ordered[count - 1 - outside]


@contextmanager
def _telemetry(on: bool) -> Iterator[None]:
    """With telemetry or without, also in a loop that runs already."""
    real = Telemetry.passed
    if not on:
        setattr(Telemetry, "passed", _pass_over)  # noqa: B010 - pyright: a method is no variable
    try:
        yield
    finally:
        setattr(Telemetry, "passed", real)  # noqa: B010


def _pass_over(
    self: Telemetry, stage: str, age_ms: float | None = None, *, took_s: float | None = None
) -> None:
    """Take nothing down."""
