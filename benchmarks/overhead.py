"""What fer-edge's own code costs a frame: all of the loop but decoding and the native networks.

The processor time of the whole process over a run, less that of the native calls: OpenCV's
detection (``FaceDetectorYN.detect``, ``detectMultiScale3``) and the interpreter's ``invoke``. What
is left is ours, shrinking for the detector and the kernel's work for memory and threads included.
Nothing is decoded, drawn or written.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.classifier import EmotionClassifier
from ..edge.detectors import Detector, open_detector
from ..edge.memory import use_one_heap
from ..edge.pipeline import Pipeline
from ..edge.runtime import RUNTIMES
from ..edge.stages import EmotionStage, FaceStage, LoopSettings
from .clips import Film, FilmCamera, read_film
from .host import Host, choose_cores, pinned, read_host, stopwatch
from .results import command_line
from .timing import timed, timed_detection
from .tracking import SIZE_WH

SCHEMA_VERSION = 1
#: Own code a frame, in milliseconds, at most.
WANTED_MS = 1.0
SETTINGS: tuple[int | str, ...] = (1, "auto")


@dataclass(frozen=True, slots=True)
class OverheadScore:
    """Where the processor time of a frame goes, in milliseconds; the run of the median own time.

    Attributes:
        setting: Of ``--detect-every``.
        frames: Frames of a run.
        faces: Faces reported in them.
        looked: Frames that the detector looked at.
        total_ms: Of the whole process.
        capture_ms: Taking the frame from the film; no part of the own time.
        detect_ms: The native detection, spread over all frames; likewise.
        invoke_ms: The interpreter; likewise.
        finding_ms: The rest of the stage that finds faces: grey, shrinking, tracking, crops,
            quality.
        reading_ms: The rest of the stage that reads them: tensors, probabilities, smoothing.
        threads_ms: What is left: channels, records, telemetry, threads.
        others_cores: Cores that other processes used meanwhile.
    """

    setting: str
    frames: int
    faces: int
    looked: int
    total_ms: float
    capture_ms: float
    detect_ms: float
    invoke_ms: float
    finding_ms: float
    reading_ms: float
    threads_ms: float
    others_cores: float

    @property
    def own_ms(self) -> float:
        """Of fer-edge's own code."""
        return self.finding_ms + self.reading_ms + self.threads_ms


@dataclass(frozen=True, slots=True)
class OverheadReport:
    """One measurement; no paths of the machine.

    Attributes:
        date: When it began, UTC, ISO 8601.
        command: What repeats it.
        detector: Its name.
        size_wh: Pictures were scaled to this, in pixels.
        host: Where.
        scores: One a setting.
    """

    date: str
    command: str
    detector: str
    size_wh: tuple[int, int]
    host: Host
    scores: tuple[OverheadScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, schema version 1."""
        fields = dataclasses.asdict(self)
        for score, made in zip(self.scores, fields["scores"], strict=True):
            made["own_ms"] = score.own_ms
        return {
            "schema": SCHEMA_VERSION,
            "benchmark": "overhead",
            "wanted_ms": WANTED_MS,
            **fields,
        }


def measure_overhead(
    clips: Sequence[Path],
    detector: str,
    *,
    detector_model: Path | None = None,
    model: str | None = None,
    repeat: int = 3,
    cores: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> OverheadReport:
    """Play clips from memory through the loop, and take the time of its parts.

    Args:
        clips: Video files.
        detector: Name of the detector.
        detector_model: Its file; None is the known one.
        model: Name or file of the ``.tflite``; None is the default model.
        repeat: Runs of each setting, which take turns.
        cores: How many cores to pin them to.
        progress: Is told of each run before it starts.

    Raises:
        CameraError: A clip is missing or no video.
        ModelError: A model cannot be used.
        UsageError: There are fewer cores, or no such detector.
    """
    chosen = choose_cores(os.sched_getaffinity(0), cores)
    host, date = read_host(), datetime.now(UTC).isoformat(timespec="seconds")
    films = [read_film(clip, SIZE_WH) for clip in clips]
    use_one_heap()
    classifier = EmotionClassifier.open(model)
    found: dict[int | str, list[OverheadScore]] = {setting: [] for setting in SETTINGS}
    with pinned(chosen), timed_detection(time.thread_time) as detecting:
        finder = open_detector(detector, model=detector_model)
        for number in range(1, repeat + 1):
            for setting in SETTINGS:
                progress(f"run {number} of {repeat}: detection every {setting}")
                found[setting].append(_score(films, finder, classifier, setting, detecting))
    command = command_line(
        "overhead",
        clips,
        detector=finder.name,
        detector_model=detector_model,
        model=model,
        repeat=repeat,
        cores=cores,
    )
    return OverheadReport(
        date=date,
        command=command,
        detector=finder.name,
        size_wh=SIZE_WH,
        host=host,
        scores=tuple(
            sorted(scores, key=lambda score: score.own_ms)[len(scores) // 2]
            for scores in found.values()
        ),
    )


def _score(
    films: Sequence[Film],
    detector: Detector,
    classifier: EmotionClassifier,
    setting: int | str,
    detecting: list[float],
) -> OverheadScore:
    # Caches and buffers settle.
    detector.detect(films[0].pictures[0])
    classifier.classify(np.zeros((1, *classifier.size_wh[::-1]), np.uint8))
    detecting.clear()
    frames = faces = 0
    interpreter = import_module(RUNTIMES[classifier.runtime]).Interpreter
    clock = time.thread_time
    with (
        timed(FilmCamera, "read", clock) as capturing,
        timed(FaceStage, "step", clock) as finding,
        timed(EmotionStage, "step", clock) as reading,
        timed(interpreter, "invoke", clock) as invoking,
    ):
        spent = stopwatch()
        for film in films:
            settings = LoopSettings(detect_every=setting)
            for result in Pipeline(FilmCamera(film), detector, classifier, settings).results():
                frames += 1
                faces += len(result.readings)
        whole = spent()

    def each(seconds: float) -> float:
        return 1000 * seconds / frames

    capture_s, find_s, read_s = sum(capturing), sum(finding), sum(reading)
    detect_s, invoke_s = sum(detecting), sum(invoking)
    return OverheadScore(
        setting=str(setting),
        frames=frames,
        faces=faces,
        looked=len(detecting),
        total_ms=each(whole.cpu_seconds),
        capture_ms=each(capture_s),
        detect_ms=each(detect_s),
        invoke_ms=each(invoke_s),
        finding_ms=each(find_s - detect_s),
        reading_ms=each(read_s - invoke_s),
        threads_ms=each(whole.cpu_seconds - capture_s - find_s - read_s),
        others_cores=whole.others_cores,
    )
