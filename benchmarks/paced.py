"""How old results are where frames come at a fixed rate, as from a camera, on few cores.

The clip is decoded while it plays, on the same cores. A second run of each rate may slow the
classifier: frames are then left out, but results must not grow old and nothing may pile up.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.classifier import EmotionClassifier
from ..edge.detectors import open_detector
from ..edge.memory import use_one_heap
from ..edge.pipeline import Pipeline
from ..edge.records import EmotionScores, Face, Image, Reading
from ..edge.stages import EmotionStage, FaceStage, Finder, Namer
from .clips import Clip, PacedClip, enough_loops, read_clip, read_film
from .growth import rss_bytes
from .host import Host, choose_cores, pinned, read_host, stopwatch
from .results import command_line
from .timing import timed
from .tracking import SAME_IOU

SCHEMA_VERSION = 1
#: The 95th percentile of the age, in milliseconds, at most.
WANTED_AGE_MS = 50.0
#: With a slowed classifier: of the age, in times of the slowest stage, and of the memory.
WANTED_STAGES, WANTED_MB = 2.0, 5.0
# Memory is counted from here: the first frames fill buffers and caches.
_SETTLED_SHARE = 0.25
# Results from one look at it to the next, so that looking does not weigh.
_MEMORY_EVERY = 10


class SlowClassifier:
    """Reads every face several times over, and so takes as much longer."""

    def __init__(self, classifier: Namer, times: int):
        """Slow a classifier down so many times; 1 leaves it as it is."""
        self._classifier, self._times = classifier, times

    @property
    def size_wh(self) -> tuple[int, int]:
        """Size of the crops in pixels."""
        return self._classifier.size_wh

    def classify(self, faces: Image) -> list[EmotionScores]:
        """The emotions of training crops, as of the classifier."""
        for _ in range(self._times - 1):
            self._classifier.classify(faces)
        return self._classifier.classify(faces)

    def renew(self) -> "SlowClassifier":
        """Another one as slow."""
        return SlowClassifier(self._classifier.renew(), self._times)


@dataclass(frozen=True, slots=True)
class StageTime:
    """Wall-clock time that a stage had a frame, in milliseconds: median and 95th percentile."""

    median_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class PacedScore:
    """One run.

    Attributes:
        fps: Frames a second of the camera.
        slowed: How many times the classifier was slowed; 1 is not.
        captured: Frames that came.
        delivered: Results.
        dropped: Frames that a newer one replaced.
        complete: Results with all faces that detection alone finds in their frame.
        empty: Results with none of them, where it finds one.
        expected: Faces that it finds in the frames of the results.
        missed: Of them, those that no reported face overlaps by half.
        age_ms: Median age of the results, counted from when their frames were due.
        age_p95_ms: Its 95th percentile.
        age_most_ms: The oldest.
        stages: How long the stages took, ``detect`` and ``classify``.
        growth_mb: Resident memory at the end less that after a quarter of the results.
        others_cores: Cores that other processes used meanwhile.
    """

    fps: float
    slowed: int
    captured: int
    delivered: int
    dropped: int
    complete: int
    empty: int
    expected: int
    missed: int
    age_ms: float
    age_p95_ms: float
    age_most_ms: float
    stages: Mapping[str, StageTime]
    growth_mb: float
    others_cores: float

    @property
    def lost(self) -> int:
        """Frames that are neither delivered nor counted as dropped; anything but 0 is a fault."""
        return self.captured - self.delivered - self.dropped

    @property
    def age_in_stages(self) -> float:
        """The 95th percentile of the age over that of the slowest stage's time."""
        return self.age_p95_ms / max(stage.p95_ms for stage in self.stages.values())

    @property
    def good(self) -> bool:
        """Whether all is as wanted: unslowed, every frame delivered and none without its face."""
        if self.slowed > 1:
            young = self.age_in_stages <= WANTED_STAGES and self.growth_mb <= WANTED_MB
        else:
            whole = self.delivered == self.captured and self.empty == 0
            young = self.age_p95_ms <= WANTED_AGE_MS and whole
        return young and self.lost == 0


@dataclass(frozen=True, slots=True)
class PacedReport:
    """One measurement; no paths of the machine.

    Attributes:
        date: When it began, UTC, ISO 8601.
        command: What repeats it.
        clip: What was played.
        loops: How often a run played it.
        cores: Number of cores that the loop was pinned to.
        host: Where.
        scores: One a run.
    """

    date: str
    command: str
    clip: Clip
    loops: int
    cores: int
    host: Host
    scores: tuple[PacedScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, schema version 1."""
        fields = dataclasses.asdict(self)
        for score, made in zip(self.scores, fields["scores"], strict=True):
            made |= {"lost": score.lost, "age_in_stages": score.age_in_stages, "good": score.good}
        return {"schema": SCHEMA_VERSION, "benchmark": "paced", **fields}


@dataclass(frozen=True, slots=True)
class PacedPlan:
    """What to measure.

    Attributes:
        clip: A video file.
        rates: Frames a second.
        slowed: Also slow the classifier so many times at each rate; None does not.
        detector: Name of the detector.
        detector_model: Its file; None is the known one.
        model: Name or file of the ``.tflite``; None is the default model.
        loops: How often a run plays the clip; None chooses for some hundreds of frames.
        cores: How many cores to pin the loop to.
    """

    clip: Path
    rates: Sequence[float] = (30.0, 60.0)
    slowed: int | None = None
    detector: str = "auto"
    detector_model: Path | None = None
    model: str | None = None
    loops: int | None = None
    cores: int = 1

    def command(self, detector: str, loops: int) -> str:
        """The command line that repeats it."""
        return command_line(
            "paced",
            [self.clip],
            fps=tuple(self.rates),
            slowed=self.slowed,
            detector=detector,
            detector_model=self.detector_model,
            model=self.model,
            loops=loops,
            cores=self.cores,
        )


def measure_paced(
    plan: PacedPlan, *, progress: Callable[[str], None] = lambda line: None
) -> PacedReport:
    """Play a clip through the loop at each rate.

    Args:
        plan: What to measure.
        progress: Is told of each run before it starts.

    Raises:
        CameraError: The clip is missing or no video.
        ModelError: A model cannot be used.
        UsageError: There are fewer cores, or no such detector.
    """
    cores = choose_cores(os.sched_getaffinity(0), plan.cores)
    host, date = read_host(), datetime.now(UTC).isoformat(timespec="seconds")
    clip = read_clip(plan.clip)
    loops = plan.loops or enough_loops(clip.frames)
    use_one_heap()
    detector = open_detector(plan.detector, model=plan.detector_model)
    classifier = EmotionClassifier.open(plan.model)
    scores: list[PacedScore] = []
    with pinned(cores):
        expected = [detector.detect(picture) for picture in read_film(plan.clip).pictures]
        classifier.classify(np.zeros((1, *classifier.size_wh[::-1]), np.uint8))
        for rate in plan.rates:
            for times in (1, *(() if plan.slowed is None else (plan.slowed,))):
                progress(f"{rate:g} frames/s, classifier {times} times")
                slow = SlowClassifier(classifier, times)
                with PacedClip(plan.clip, loops, rate) as camera:
                    score = play_paced(camera, detector, slow, expected, loops=loops, say=progress)
                scores.append(dataclasses.replace(score, slowed=times))
    return PacedReport(
        date=date,
        command=plan.command(detector.name, loops),
        clip=clip,
        loops=loops,
        cores=len(cores),
        host=host,
        scores=tuple(scores),
    )


def play_paced(
    camera: PacedClip,
    detector: Finder,
    classifier: Namer,
    expected: Sequence[Sequence[Face]],
    *,
    loops: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> PacedScore:
    """Make one run.

    Args:
        camera: The clip.
        detector: Finds the faces.
        classifier: Names their emotions.
        expected: The faces of each frame of the clip, by detection alone.
        loops: How often the camera plays the clip.
        say: Takes what the loop tells people.
    """
    ages_ms: list[float] = []
    wanted = missed = complete = empty = 0
    settled_at = round(_SETTLED_SHARE * len(expected) * loops)
    settled = last = 0
    clock = time.monotonic
    with (
        timed(FaceStage, "step", clock) as detecting,
        timed(EmotionStage, "step", clock) as classifying,
    ):
        pipeline, spent = Pipeline(camera, detector, classifier, say=say), stopwatch()
        for result in pipeline.results():
            ages_ms.append(result.age_ms)
            faces = expected[result.frame.index % len(expected)]
            without = sum(not _reported(face, result.readings) for face in faces)
            wanted, missed = wanted + len(faces), missed + without
            complete += without == 0
            empty += bool(faces) and without == len(faces)
            if len(ages_ms) % _MEMORY_EVERY == 1:
                last = rss_bytes()
                settled = last if result.frame.index <= settled_at else settled
        whole = spent()
    end = pipeline.snapshot()
    return PacedScore(
        fps=camera.fps,
        slowed=1,
        captured=end.captured,
        delivered=len(ages_ms),
        dropped=end.dropped,
        complete=complete,
        empty=empty,
        expected=wanted,
        missed=missed,
        age_ms=float(np.median(ages_ms)),
        age_p95_ms=float(np.percentile(ages_ms, 95)),
        age_most_ms=max(ages_ms),
        stages={"detect": _stage_time(detecting), "classify": _stage_time(classifying)},
        growth_mb=(last - settled) / 1e6,
        others_cores=whole.others_cores,
    )


def _reported(face: Face, readings: Sequence[Reading]) -> bool:
    return any(face.box.iou(reading.box) >= SAME_IOU for reading in readings)


def _stage_time(seconds: Sequence[float]) -> StageTime:
    return StageTime(1000 * float(np.median(seconds)), 1000 * float(np.percentile(seconds, 95)))
