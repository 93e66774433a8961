"""The real loop on a clip or on demo faces: what it can do at most, and what a camera would see.

Nothing is left out: the clip is decoded while it plays, by the loop's own thread and on the same
cores; skipped frames are counted, and only distinct frames with a named face count as labelled.
"""

import math
import os
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..edge.classifier import EmotionClassifier
from ..edge.detectors import Detector, open_detector
from ..edge.memory import use_one_heap
from ..edge.models import DEFAULT
from ..edge.pipeline import Pipeline
from ..edge.records import Frame
from .clips import PacedClip, RepeatedClip, read_clip
from .crowd import MOST_FACES, write_crowd
from .document import Better, Of
from .given import find_models
from .growth import rss_bytes
from .host import choose_cores, pinned, stopwatch
from .rules import gather, repetition, say_disturbed
from .session import Session
from .turns import measure_in_turn
from .versus import Versus, measure_versus, read_models

RATES = (15, 30, 60, 120)
_UNITS: Mapping[str, tuple[str, Better]] = {
    "capture_fps": ("frames/s", "higher"),
    "detect_fps": ("frames/s", "higher"),
    "classify_fps": ("frames/s", "higher"),
    "fps": ("frames/s", "higher"),
    "unique_labelled": ("frames/s", "higher"),
    "faces_found": ("faces", "none"),
    "dropped": ("%", "lower"),
    "age_p50": ("ms", "lower"),
    "age_p95": ("ms", "lower"),
    "age_p99": ("ms", "lower"),
    "processor_share": ("cores", "lower"),
    "memory": ("MB", "lower"),
}
# Of a clip that is played as fast as it can be: results wait for each other, not for a camera.
_ONLY_PACED = ("dropped", "age_p50", "age_p95", "age_p99")


class TimedClip(RepeatedClip):
    """A clip that is played again and again for some time, without a pause."""

    def __init__(self, path: Path, seconds: float):
        """Open the clip; its time begins with the first frame.

        Raises:
            CameraError: OpenCV cannot read it as a video.
        """
        super().__init__(path, 10**9)
        self._seconds, self._until_s = seconds, math.inf

    def read(self) -> Frame | None:
        """The next frame, or None when the time is over."""
        if self._until_s == math.inf:
            self._until_s = time.monotonic() + self._seconds
        return None if time.monotonic() >= self._until_s else super().read()


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """What to measure.

    Attributes:
        clip: A video file; None takes demo faces, and measures by their number, too.
        rates: Frames a second of the paced runs.
        faces: Numbers of demo faces for the capacity.
        detector: Name of the detector.
        detector_model: Its file; None is the known one.
        model: Name or file of the ``.tflite``; None is the default model.
        keras: The ``.keras`` model of the usual tutorial; None leaves it out.
        parts: Also the steps between the tutorial and fer-edge.
        cores: How many cores to pin the loop to; None is all.
    """

    clip: Path | None = None
    rates: Sequence[int] = RATES
    faces: Sequence[int] = tuple(range(MOST_FACES + 1))
    detector: str = "auto"
    detector_model: Path | None = None
    model: str | None = None
    keras: Path | None = None
    parts: bool = False
    cores: int | None = None


def measure_loop(session: Session, plan: LoopPlan) -> None:
    """Measure capacity, paced runs, and the tutorial beside it where its model is given.

    Args:
        session: Takes the figures, as section ``loop``.
        plan: What to measure.

    Raises:
        CameraError: The clip is missing or no video.
        ModelError: A model cannot be used.
        UsageError: There are fewer cores, or no such detector.
    """
    available = os.sched_getaffinity(0)
    cores = choose_cores(available, plan.cores or len(available))
    use_one_heap()
    # What would end the last part is told before the first one.
    if plan.clip is not None:
        read_clip(plan.clip)
    if plan.keras is not None:
        read_models(plan.keras, plan.model)
    detector = open_detector(plan.detector, model=plan.detector_model)
    classifier = EmotionClassifier.open(plan.model)
    classifier.classify(np.zeros((1, *classifier.size_wh[::-1]), np.uint8))
    model = find_models([plan.model or DEFAULT])[0]
    session.add_model(model.name, model.path)
    of = {"model": model.name, "detector": detector.name, "cores": len(cores)}
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as folder, session.section("loop"):
        if plan.clip is None:
            crowds = {n: write_crowd(Path(folder) / f"{n}.avi", n) for n in {1, *plan.faces}}
            clip, shown = crowds[1], {**of, "faces": 1}
            played = [(crowds[faces], 0, {**of, "faces": faces}) for faces in plan.faces]
        else:
            clip, shown = plan.clip, {**of, **read_clip(plan.clip).of}
            played = [(clip, 0, shown)]
        played += [(clip, rate, shown) for rate in plan.rates]
        setup = _Setup(session, detector, classifier, cores)
        jobs = [_Job(setup, path, rate, of) for path, rate, of in played]
        effort = session.effort
        whole_s = effort.repeats * len(jobs) * (effort.seconds + effort.warmup_s)
        minutes = f"about {max(1, round(whole_s / 60))} min"
        session.say(f"loop: {len(jobs)} settings in turn, {effort.repeats} times, {minutes}")
        measure_in_turn(session, "loop", jobs)
        _beside_tutorial(session, plan, clip, shown, len(cores))


@dataclass(frozen=True, slots=True)
class _Setup:
    """What all settings share."""

    session: Session
    detector: Detector
    classifier: EmotionClassifier
    cores: Collection[int]


class _Job:
    """One setting: a clip at so many frames a second, 0 being as fast as it goes."""

    def __init__(self, setup: _Setup, clip: Path, rate: int, of: Of):
        self._setup, self._clip, self._rate = setup, clip, rate
        self._of, self.why = {**of, "rate": rate}, ""
        self._loop_s = read_clip(clip).frames / rate if rate else 0.0
        faces = of.get("faces")
        shown = clip.name if faces is None else f"{faces} face{'' if faces == 1 else 's'}"
        self.title = f"{shown}, {f'{rate} frames/s' if rate else 'as fast as it goes'}"
        self._repetitions: list[tuple[Mapping[str, float], float]] = []

    def measure(self) -> None:
        """Add a repetition."""
        with pinned(self._setup.cores):
            self._repetitions.append(repetition(self._play, self._setup.session.effort))

    def add_figures(self) -> None:
        """Give the session what the repetitions found."""
        if self._repetitions:
            self._setup.session.add_repeated(gather(self._repetitions), _UNITS, self._of)

    def _play(self, seconds: float) -> dict[str, float]:
        camera: TimedClip | PacedClip
        if self._rate:
            loops, frames = math.ceil(seconds / self._loop_s), math.ceil(seconds * self._rate)
            camera = PacedClip(self._clip, loops, self._rate, frames)
        else:
            camera = TimedClip(self._clip, seconds)
        with camera:
            setup, paced = self._setup, self._rate > 0
            return run_once(camera, setup.detector, setup.classifier, paced=paced)


def run_once(
    camera: TimedClip | PacedClip,
    detector: Detector,
    classifier: EmotionClassifier,
    *,
    paced: bool,
) -> dict[str, float]:
    """Play a camera to its end; the figures of ``_UNITS`` by name.

    Args:
        camera: A clip.
        detector: Finds the faces.
        classifier: Names their emotions.
        paced: Whether drops and ages mean something.
    """
    ages_ms: list[float] = []
    labelled: set[int] = set()
    faces = 0
    pipeline = Pipeline(camera, detector, classifier)
    spent = stopwatch()
    for result in pipeline.results():
        ages_ms.append(result.age_ms)
        faces += len(result.readings)
        if any(reading.label is not None for reading in result.readings):
            labelled.add(result.frame.index)
    whole, end = spent(), pipeline.snapshot()
    found = {
        "capture_fps": end.captured / whole.seconds,
        **{
            f"{stage}_fps": sum(end.took[stage].counts) / whole.seconds
            for stage in ("detect", "classify")
        },
        "fps": end.delivered / whole.seconds,
        "unique_labelled": len(labelled) / whole.seconds,
        "faces_found": faces / max(1, end.delivered),
        "dropped": 100 * end.dropped / max(1, end.captured),
        **{f"age_p{p}": float(np.percentile(ages_ms, p)) for p in (50, 95, 99)},
        "processor_share": whole.cpu_seconds / whole.seconds,
        "memory": rss_bytes() / 1e6,
    }
    return {name: value for name, value in found.items() if paced or name not in _ONLY_PACED}


def _beside_tutorial(session: Session, plan: LoopPlan, clip: Path, of: Of, cores: int) -> None:
    if plan.keras is None:
        session.miss("the usual tutorial", "it needs --keras FILE, the float model that it runs")
        return
    asked = Versus(
        clip,
        plan.keras,
        plan.model,
        repeat=session.effort.repeats,
        # A tutorial makes some tens of frames a second.
        loops=None if not session.effort.quick else 1,
        cores=cores,
        parts=plan.parts,
    )
    try:
        found = measure_versus(asked, progress=session.say)
    except ModuleNotFoundError as exc:
        session.miss("the usual tutorial", f'no {exc.name} here: pip install "fer-edge[train]"')
        return
    session.add_model(f"{plan.keras.stem}, keras", plan.keras)
    # As the tutorial has it, whatever was measured before.
    of = {**of, "detector": "haar"}
    invalid = say_disturbed(found.summary.others_cores)
    base = found.summary.scores[0].fps
    for score in found.summary.scores:
        session.add(
            "fps",
            "frames/s",
            "higher",
            {**of, "contender": score.contender},
            score.fps,
            invalid=invalid,
        )
        session.add(
            "ratio_to_tutorial",
            "x",
            "higher",
            {**of, "contender": score.contender},
            tuple(mine / its for mine, its in zip(score.fps, base, strict=True)),
            invalid=invalid,
        )
    if not found.models.same:
        session.note(
            f"{found.models.int8[0]} was not converted from {found.models.keras[0]}, so the loop "
            f"and the tutorial may differ in more than their numbers."
        )
