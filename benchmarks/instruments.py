"""What the loop's own telemetry costs it: a clip played again and again, with it and without.

Two playings of the same clip differ by some ten per cent, a hundred times what is looked for, so it
takes thousands of short ones. The loop runs on meanwhile and only its telemetry is switched: on,
off, and off once more follow each other at once, over the same pictures, in an order that goes
round, so that a machine that gets slower or faster favours none. The second without it is the
control: what it seems to lose against the first is what the method makes of nothing. Told are the
medians with their intervals by the order statistics (the sign test turned round; W. J. Conover,
"Practical Nonparametric Statistics", 3.2), which assumes nothing about how the values are spread.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
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
_QUICK_ROUNDS = 4
# The order in which they go round; two are without.
_KINDS = ("on", "off", "control")
_RATES: tuple[str, Better] = ("frames/s", "higher")
_PERCENT: tuple[str, Better] = ("%", "lower")


@dataclass(frozen=True, slots=True)
class InstrumentsPlan:
    """What to measure.

    Attributes:
        clip: A video, played from memory so that decoding is no part of it. A short one, of some
            tenths of a second for the loop, makes many rounds.
        detector: Name of the detector.
        detector_model: Its file; None is the known one.
        model: Name or file of the ``.tflite``; None is the default model.
        rounds: How many, of three playings each.
        cores: How many cores to pin the loop to.
    """

    clip: Path
    detector: str = "auto"
    detector_model: Path | None = None
    model: str | None = None
    rounds: int = 2500
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
        session: Takes the figures, as section ``instruments``: frames a second of each kind, and
            what telemetry, and the control, lost of them in each round.
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
    rounds = _QUICK_ROUNDS if session.effort.quick else plan.rounds
    with session.section("instruments"), pinned(cores):
        running = Pipeline(_EndlessFilm(film), detector, classifier)
        results, frames = running.results(), len(film.pictures)
        found: list[Mapping[str, float]] = []
        try:
            began, warmed = time.perf_counter(), 0
            while time.perf_counter() - began < session.effort.warmup_s or not warmed:
                _play(results, frames)
                warmed += 1
            each_s = len(_KINDS) * (time.perf_counter() - began) / warmed
            minutes = f"about {max(1, round(rounds * each_s / 60))} min"
            session.say(f"instruments: {rounds} rounds of {each_s:.2f} s, {minutes}")
            spent = stopwatch()
            for number in range(rounds):
                found.append(_round(results, frames, number))
        finally:
            running.stop()
            results.close()
            if found:
                # Of an interrupted run, what was finished.
                invalid = say_disturbed(spent().others_cores)
                _add_figures(session, of, frames, found, invalid)


def _round(results: Iterator[Result], frames: int, number: int) -> dict[str, float]:
    """Seconds that the film took, by kind."""
    took_s = {}
    first = number % len(_KINDS)
    for kind in (*_KINDS[first:], *_KINDS[:first]):
        with _telemetry(kind == "on"):
            began = time.perf_counter()
            _play(results, frames)
            took_s[kind] = time.perf_counter() - began
    return took_s


def _add_figures(
    session: Session,
    of: Of,
    frames: int,
    found: Sequence[Mapping[str, float]],
    invalid: str,
) -> None:
    for kind in _KINDS:
        fps = frames / median(each[kind] for each in found)
        session.add("fps", *_RATES, {**of, "telemetry": kind}, fps, invalid=invalid)
    told = []
    # The mean of both that are without varies less than one.
    without_s = [(each["off"] + each["control"]) / 2 for each in found]
    firsts_s = [each["off"] for each in found]
    for kind, others_s in (("on", without_s), ("control", firsts_s)):
        lost = tuple(
            round(100 * (1 - other_s / each[kind]), 3)
            for each, other_s in zip(found, others_s, strict=True)
        )
        session.add("lost", *_PERCENT, {**of, "telemetry": kind}, lost, invalid=invalid)
        low, high = median_interval(lost)
        told.append(f"{median(lost):.2f} % ({low:.2f} to {high:.2f})")
    session.note(
        f"Telemetry costs {told[0]} of the frames a second, in brackets the 95 % interval of the "
        f"median of {len(found)} rounds; wanted are at most {WANTED_PERCENT}. What the method "
        f"makes of nothing: {told[1]}."
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
