"""What the live page costs the loop, with pages that read and with pages that do not.

A clip is paced like a camera; the readers are a process of their own, on other cores where there
are any, as other machines would be.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import IO, Any
from urllib.request import urlopen

import numpy as np

from ..edge.cameras import make_frame
from ..edge.classifier import EmotionClassifier
from ..edge.detectors import Detector, open_detector
from ..edge.errors import SinkError
from ..edge.memory import use_one_heap
from ..edge.pipeline import Pipeline
from ..edge.records import Result
from .clips import Clip, PacedClip, enough_loops, read_clip
from .host import Host, choose_cores, pinned, read_host, stopwatch
from .results import command_line

SCHEMA_VERSION = 1
#: Of the 95th percentile of the age, at most so much more than without a page.
WANTED_MORE_MS = 5.0
#: A state on a page is at most so old when the next one is due.
WANTED_BEHIND_MS = 150.0
#: From the start of the process to the page and its first picture.
WANTED_START_S = 1.0
_START_LIMIT_S = 60.0
_CLIENTS = "fer_edge.benchmarks.page_clients"


@dataclass(frozen=True, slots=True)
class PageScore:
    """One run.

    Attributes:
        kind: ``none``, ``read`` or ``stall``: what the pages do.
        pages: How many there were.
        captured: Frames that came.
        delivered: Results.
        dropped: Frames that a newer one replaced.
        age_p95_ms: 95th percentile of the age of results, from when the frame was due.
        behind_p95_ms: From a result until a state with it, or a newer one, had come to a page;
            95th percentile over all pages. None where nobody reads.
        pictures_per_s: That came to a page, in the mean. None where nobody reads.
        others_cores: Cores that other processes used meanwhile, the readers among them.
    """

    kind: str
    pages: int
    captured: int
    delivered: int
    dropped: int
    age_p95_ms: float
    behind_p95_ms: float | None
    pictures_per_s: float | None
    others_cores: float


@dataclass(frozen=True, slots=True)
class PageReport:
    """One measurement; no paths of the machine.

    Attributes:
        date: When it began, UTC, ISO 8601.
        command: What repeats it.
        clip: What was played.
        fps: Frames a second.
        cores: Number of cores that the loop was pinned to.
        host: Where.
        scores: One a run.
        start_s: From the start of ``fer-edge run --serve`` to its page and first picture, each try.
    """

    date: str
    command: str
    clip: Clip
    fps: float
    cores: int
    host: Host
    scores: tuple[PageScore, ...]
    start_s: tuple[float, ...]

    def more_ms(self, kind: str) -> float:
        """Median over the rounds of what the pages add to the age's 95th percentile."""
        alone = [score.age_p95_ms for score in self.scores if score.kind == "none"]
        beside = [score.age_p95_ms for score in self.scores if score.kind == kind]
        return median(b - a for a, b in zip(alone, beside, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, schema version 1."""
        more_ms = {kind: self.more_ms(kind) for kind in ("read", "stall")}
        fields = dataclasses.asdict(self)
        return {"schema": SCHEMA_VERSION, "benchmark": "page", **fields, "more_ms": more_ms}


@dataclass(frozen=True, slots=True)
class PagePlan:
    """What to measure.

    Attributes:
        clip: A video file.
        fps: Frames a second of the camera.
        readers: Pages that are open.
        stalled: In other runs: pages that are asked for and never read.
        detector: Name of the detector.
        detector_model: Its file; None is the known one.
        model: Name or file of the ``.tflite``; None is the default model.
        repeat: Rounds.
        loops: How often a run plays the clip; None chooses for some hundreds of frames.
        cores: How many cores to pin the loop to.
    """

    clip: Path
    fps: float = 30.0
    readers: int = 4
    stalled: int = 5
    detector: str = "auto"
    detector_model: Path | None = None
    model: str | None = None
    repeat: int = 3
    loops: int | None = None
    cores: int = 1

    def command(self, detector: str, loops: int) -> str:
        """The command line that repeats it."""
        chosen = dataclasses.asdict(self) | {"detector": detector, "loops": loops}
        return command_line("page", [chosen.pop("clip")], **chosen)


def measure_page(
    plan: PagePlan, *, progress: Callable[[str], None] = lambda line: None
) -> PageReport:
    """Play a clip without pages, with pages that read and with pages that do not, in turns.

    Args:
        plan: What to measure.
        progress: Is told of each run before it starts.

    Raises:
        CameraError: The clip is missing or no video.
        ModelError: A model cannot be used.
        SinkError: The page or its readers do not start.
        UsageError: There are fewer cores, or no such detector.
    """
    available = os.sched_getaffinity(0)
    cores = choose_cores(available, plan.cores)
    host, date = read_host(), datetime.now(UTC).isoformat(timespec="seconds")
    clip = read_clip(plan.clip)
    loops = plan.loops or enough_loops(clip.frames)
    use_one_heap()
    detector = open_detector(plan.detector, model=plan.detector_model)
    classifier = EmotionClassifier.open(plan.model)
    classifier.classify(np.zeros((1, *classifier.size_wh[::-1]), np.uint8))
    scores: list[PageScore] = []
    for turn in range(plan.repeat):
        for kind, pages in (("none", 0), ("read", plan.readers), ("stall", plan.stalled)):
            progress(f"round {turn + 1} of {plan.repeat}: {pages} pages, {kind}")
            with pinned(cores), PacedClip(plan.clip, loops, plan.fps) as camera:
                scores.append(
                    _play(camera, detector, classifier, kind, pages, available - set(cores))
                )
    progress("starting it from nothing")
    return PageReport(
        date=date,
        command=plan.command(detector.name, loops),
        clip=clip,
        fps=plan.fps,
        cores=len(cores),
        host=host,
        scores=tuple(scores),
        start_s=tuple(time_start() for _ in range(plan.repeat)),
    )


def _play(
    camera: PacedClip,
    detector: Detector,
    classifier: EmotionClassifier,
    kind: str,
    pages: int,
    elsewhere: set[int],
) -> PageScore:
    """One run; the readers come before the first frame does."""
    # Only here: its libraries are an extra, and the other benchmarks need none of them.
    from ..edge.web.serve import open_page

    pipeline = Pipeline(camera, detector, classifier)
    page = open_page(
        "127.0.0.1:0",
        None,
        snapshot=pipeline.snapshot,
        camera=camera.name,
        labels=classifier.contract.labels,
        temperature_c=lambda: None,
        notice="",
        open_reader=None,
    )
    ages_ms: list[float] = []
    times: list[float] = []
    with page:
        # Streams say their first word with the first result, and the readers wait for that.
        blank = np.zeros((48, 64, 3), np.uint8)
        page.write(Result(make_frame(0, blank), (), time.monotonic_ns()))
        with _clients(page.url, kind, pages, elsewhere) as clients:
            spent = stopwatch()
            for result in pipeline.results():
                ages_ms.append(result.age_ms)
                page.write(result)
                times.append(time.time())
            whole = spent()
            seen = clients.end()
    end = pipeline.snapshot()
    behind_ms = [
        each for states in seen["states"] for each in behind(times, states, first_number=2)
    ]
    return PageScore(
        kind=kind,
        pages=pages,
        captured=end.captured,
        delivered=end.delivered,
        dropped=end.dropped,
        age_p95_ms=float(np.percentile(ages_ms, 95)),
        behind_p95_ms=float(np.percentile(behind_ms, 95)) if behind_ms else None,
        pictures_per_s=float(np.mean(seen["pictures"])) / whole.seconds if behind_ms else None,
        others_cores=whole.others_cores,
    )


def behind(
    times: list[float], states: list[tuple[float, int]], *, first_number: int
) -> Iterator[float]:
    """How long each result was not on a page, in milliseconds.

    Args:
        times: When the results came out, in seconds; the first has ``first_number``.
        states: When states arrived and the number of the newest result in each, in order.
        first_number: Of the first of ``times``.

    Yields:
        For each result that some state reached: the time until the first that has it or a newer.
    """
    at = 0
    for number, written_s in enumerate(times, first_number):
        while at < len(states) and states[at][1] < number:
            at += 1
        if at == len(states):
            return
        yield 1000 * (states[at][0] - written_s)


class _Clients:
    """The process of the readers."""

    def __init__(self, process: "subprocess.Popen[str]"):
        self._process = process

    def end(self) -> dict[str, Any]:
        """Let the readers end; what they saw."""
        out, _ = self._process.communicate()
        return json.loads(out)


@contextmanager
def _clients(url: str, kind: str, pages: int, elsewhere: set[int]) -> Iterator[_Clients]:
    process = subprocess.Popen(
        [sys.executable, "-m", _CLIENTS, url, kind, str(pages)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if elsewhere:
        os.sched_setaffinity(process.pid, elsewhere)
    try:
        if _pipe(process.stdout).readline() != "ready\n":
            raise SinkError(f"The {pages} readers of the page ended at once.")
        yield _Clients(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            _pipe(pipe).close()


def time_start() -> float:
    """Seconds from starting ``fer-edge run --camera demo --serve`` to its page and first picture.

    Raises:
        SinkError: There was none.
    """
    command = [sys.executable, "-m", "fer_edge.edge.cli", "run", "--camera", "demo"]
    options = ["--no-window", "--serve", "127.0.0.1:0"]
    began = time.monotonic()
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    try:
        for line in _pipe(process.stderr):
            if "the page is at " in line:
                url = line.split()[-1]
                break
        else:
            raise SinkError("`fer-edge run --serve` ended without a page.")
        while time.monotonic() - began < _START_LIMIT_S:
            try:
                with urlopen(url) as index, urlopen(url + "snapshot.jpg") as picture:
                    index.read()
                    picture.read()
                return time.monotonic() - began
            except OSError:
                # 503 until the first result.
                time.sleep(0.005)
        raise SinkError("`fer-edge run --serve` showed no picture.")
    finally:
        process.terminate()
        process.communicate()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise SinkError("There is no pipe to the process.")
    return pipe
