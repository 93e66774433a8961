"""Frames a second of the whole loop, beside the usual tutorial on the same clip and the same cores.

The pure half (:func:`summarise`) knows runs and no processes; :func:`measure_versus` alternates the
contenders, so that a machine that slows down or speeds up does so for all of them.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from ..edge.contract_file import load_model
from ..edge.errors import FerEdgeError, ModelError
from ..edge.models import model_path
from ..edge.sidecar import read_sidecar
from .clips import enough_loops, read_clip
from .contenders import CONTENDERS, OURS, TUTORIAL
from .host import choose_cores
from .protocol import Request, Run, ask


@dataclass(frozen=True, slots=True)
class Score:
    """All runs of one contender.

    Attributes:
        contender: Its name.
        fps: Frames a second of each run, in their order.
        median_fps: Their median.
        frames: Frames of one run.
        faces: Faces found in one run.
        marked: Of these, those that were not read because they were small, cut or blurred.
        cpu_ms_per_frame: Median over the runs: time of all threads on all cores, in milliseconds.
        gain: ``median_fps`` over that of the baseline.
        gain_smallest: Smallest ratio of the runs that stood side by side.
        gain_largest: Largest of them.
    """

    contender: str
    fps: tuple[float, ...]
    median_fps: float
    frames: int
    faces: int
    marked: int
    cpu_ms_per_frame: float
    gain: float
    gain_smallest: float
    gain_largest: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The contenders side by side.

    Attributes:
        scores: One a contender, the baseline first, ours last.
        ratio: Median frames a second of ours over that of the baseline.
        ratio_smallest: Smallest ratio of the runs that stood side by side.
        ratio_largest: Largest of them.
        others_cores: Cores that other processes used in the worst of the runs, on average over it.
    """

    scores: tuple[Score, ...]
    ratio: float
    ratio_smallest: float
    ratio_largest: float
    others_cores: float


def summarise(runs: Sequence[Run], *, baseline: str = TUTORIAL, ours: str = OURS) -> Summary:
    """Compare runs of the same clip.

    Args:
        runs: Equally many of each contender, in the order in which they were made.
        baseline: Whom the others are compared with.
        ours: Whose ratio is reported.

    Raises:
        FerEdgeError: A contender is missing, or they have not played the same frames equally often.
    """
    scores = {score.contender: score for score in score_all(runs, baseline=baseline, ours=(ours,))}
    mine = scores.pop(ours)
    return Summary(
        scores=(*scores.values(), mine),
        ratio=mine.gain,
        ratio_smallest=mine.gain_smallest,
        ratio_largest=mine.gain_largest,
        others_cores=max(run.others_cores for run in runs),
    )


def score_all(runs: Sequence[Run], *, baseline: str, ours: Sequence[str]) -> tuple[Score, ...]:
    """The scores of all contenders, the baseline first.

    Args:
        runs: Equally many of each contender, in the order in which they were made.
        baseline: Whom the others are compared with.
        ours: Who must be among them.

    Raises:
        FerEdgeError: A contender is missing, or they have not played the same frames equally often.
    """
    grouped: dict[str, list[Run]] = {baseline: []}
    for run in runs:
        grouped.setdefault(run.contender, []).append(run)
    counts = {name: len(group) for name, group in grouped.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values() or not counts.keys() >= {*ours}:
        raise FerEdgeError(
            f"Expected equally many runs of {' and '.join((baseline, *ours))}, got "
            f"{counts or 'none'}."
        )
    frames = {run.contender: run.frames for run in runs}
    if len({run.frames for run in runs}) != 1:
        raise FerEdgeError(f"The contenders have not played the same frames: {frames}.")
    return tuple(_score(name, group, grouped[baseline]) for name, group in grouped.items())


def _score(name: str, group: Sequence[Run], base: Sequence[Run]) -> Score:
    fps = tuple(run.fps for run in group)
    gains = [mine.fps / its.fps for mine, its in zip(group, base, strict=True)]
    # The same in all runs, unless a library is not deterministic; then the middle one.
    middle = sorted(group, key=lambda run: (run.faces, run.marked))[len(group) // 2]
    return Score(
        contender=name,
        fps=fps,
        median_fps=median(fps),
        frames=group[0].frames,
        faces=middle.faces,
        marked=middle.marked,
        cpu_ms_per_frame=median(1000 * run.cpu_seconds / run.frames for run in group),
        gain=median(fps) / median(run.fps for run in base),
        gain_smallest=min(gains),
        gain_largest=max(gains),
    )


@dataclass(frozen=True, slots=True)
class Models:
    """The two files of the model, by name and digest.

    Attributes:
        keras: Name and SHA-256 of the float model that the tutorial runs.
        int8: Name and digest of the ``.tflite`` that fer-edge runs, from its contract.
        same: Whether the second was converted from the first.
    """

    keras: tuple[str, str]
    int8: tuple[str, str]
    same: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What came out.

    Attributes:
        models: What read the emotions.
        runs: All of them, in their order.
        summary: The contenders side by side.
    """

    models: Models
    runs: tuple[Run, ...]
    summary: Summary


@dataclass(frozen=True, slots=True)
class Versus:
    """What to measure.

    Attributes:
        clip: A video file.
        keras: The ``.keras`` model of the tutorial, with its contract beside it.
        model: Name or file of the ``.tflite``; None is the default model.
        repeat: Runs of each contender.
        loops: How often a run plays the clip; None chooses for runs of a few seconds.
        cores: How many cores to pin each run to.
        parts: Whether to measure the steps between the tutorial and fer-edge, too.
    """

    clip: Path
    keras: Path
    model: str | None = None
    repeat: int = 3
    loops: int | None = None
    cores: int = 2
    parts: bool = False

    @property
    def contenders(self) -> tuple[str, ...]:
        """Who takes part, in the order of each round."""
        return CONTENDERS if self.parts else (TUTORIAL, OURS)


def measure_versus(
    plan: Versus,
    *,
    play: Callable[[Request], Run] = ask,
    progress: Callable[[str], None] = lambda line: None,
) -> Found:
    """Play the clip with every contender in turn, ``repeat`` times.

    Args:
        plan: What to measure.
        play: Makes one run; a process of its own by default.
        progress: Is told of each run before it starts.

    Raises:
        CameraError: The clip is missing or no video.
        ModelError: A model is missing, without a contract, or not for grey faces.
        UsageError: There are fewer cores.
        ModuleNotFoundError: TensorFlow or Keras is not installed.
        FerEdgeError: A run failed.
    """
    cores = choose_cores(os.sched_getaffinity(0), plan.cores)
    clip = read_clip(plan.clip)
    models = read_models(plan.keras, plan.model)
    require_keras()
    loops = plan.loops or enough_loops(clip.frames)
    runs = []
    for number in range(1, plan.repeat + 1):
        for name in plan.contenders:
            progress(f"run {number} of {plan.repeat}: {name}")
            request = Request(
                contender=name,
                clip=str(plan.clip),
                keras=str(plan.keras),
                model=str(model_path(plan.model)),
                loops=loops,
                cores=cores,
            )
            runs.append(play(request))
    return Found(models, tuple(runs), summarise(runs))


def read_models(keras: Path, model: str | None) -> Models:
    """Look at both models, so that a wrong one is told at once and not by a child.

    Raises:
        ModelError: One is missing, without a contract, damaged, or not for grey faces.
    """
    parent = read_sidecar(keras)
    if parent.input_channels != 1:
        raise ModelError(
            f"The tutorial shows grey faces to its model; {keras} takes "
            f"{parent.input_channels} channels."
        )
    path = model_path(model)
    _, contract = load_model(path)
    return Models(
        keras=(keras.name, parent.content_sha256),
        int8=(path.name, contract.content_sha256),
        same=contract.parent_sha256 == parent.content_sha256,
    )


def require_keras() -> None:
    """Notice at once, without loading them, that TensorFlow or Keras is not installed.

    Raises:
        ModuleNotFoundError: Names the one; the command line answers with its pip line.
    """
    for name in ("tensorflow", "keras"):
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
