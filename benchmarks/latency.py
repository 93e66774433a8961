"""How long one call takes: each model by device and threads, each detector by size.

A repetition is a process of its own (:mod:`.latency_child`). The step that is timed runs the loop's
own code from the frame to the emotions, and the interpreter's part of the same calls is the invoke,
so that speed and accuracy are those of one code (MLPerf Inference, arXiv:1911.02549).
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..edge.detectors import standard_detectors
from ..edge.errors import CameraError, ModelError, UsageError
from ..edge.models import shipped_detectors
from ..edge.models.catalogue import YUNET, place_of, state_of
from ..edge.sandbox import run_in_child
from .clips import read_clip
from .document import Better
from .given import GivenModel, find_models
from .rules import Effort, gather
from .session import Session
from .turns import Job, measure_in_turn

if TYPE_CHECKING:
    from .latency_child import DetectorRun, DetectorSetting, ModelRun

THREADS = (1, 2, 4)
SIZES_WH = ((160, 120), (192, 144), (320, 240), (480, 360), (640, 480))
# Of --quick, whose minute on a Raspberry Pi 4 the others would fill.
_QUICK_SIZES_WH = SIZES_WH[::2]
# A hang is cut off; a slow machine that is busy is not. TensorFlow alone may take 20 s to load.
_START_S, _KERAS_START_S, _MOST_BEHIND = 60.0, 300.0, 4
_MEMORY_MB, _KERAS_MEMORY_MB = 2048, 8192
# Of a process that is started, and of loading anything, on a desktop; for the estimate.
_USUAL_START_S, _USUAL_LOAD_S = 1.5, 0.2
_MS: tuple[str, Better] = ("ms", "lower")


@dataclass(frozen=True, slots=True)
class LatencyPlan:
    """What to measure.

    Attributes:
        models: Names of shipped ones or files (``.tflite``, ``.keras``); none is all shipped ones.
        threads: Numbers of CPU threads; more than there are cores are left out.
        clip: Pictures for the detectors; None takes the demo at 640x480.
        detector_model: YuNet's file; None is the known one.
    """

    models: Sequence[str] = ()
    threads: Sequence[int] = THREADS
    clip: Path | None = None
    detector_model: Path | None = None


def measure_latency(session: Session, plan: LatencyPlan) -> None:
    """Measure what a call of each model and each detector costs.

    Args:
        session: Takes the figures, as section ``latency``.
        plan: What to measure.

    Raises:
        CameraError: The clip is missing or no video.
        ModelError: A model or the detector's file is missing, damaged, or cannot be run.
        UsageError: There are fewer cores than all ``threads``.
    """
    models = find_models(plan.models)
    _require_pictures(plan)
    threads = _threads(session, plan.threads)
    devices = {model.name: _devices(model) for model in models}
    effort = session.effort
    expected_s = _expected_s(effort, len(threads), sum(map(len, devices.values())))
    session.say(f"latency: about {max(1, round(expected_s / 60))} min on a desktop")
    if not any("tpu" in each for each in devices.values()):
        session.miss("Edge TPU", "libedgetpu is not installed (docs/coral.md)")
    with session.section("latency"):
        jobs: list[Job] = []
        for model in models:
            session.add_model(model.name, model.path)
            size_mb = model.path.stat().st_size / 1e6
            session.add("size", "MB", "lower", {"model": model.name}, size_mb)
            for device in devices[model.name]:
                jobs += _model_jobs(session, model, device, threads if device == "cpu" else (1,))
        jobs.append(_DetectorJob(session, plan))
        measure_in_turn(session, "latency", jobs)


def _threads(session: Session, wanted: Sequence[int]) -> tuple[int, ...]:
    cores = len(os.sched_getaffinity(0))
    there = f"this process may use {cores} core{'s' if cores > 1 else ''}"
    # What is measured then is how the kernel shares them out.
    more = [number for number in wanted if number > cores]
    if len(more) == len(wanted):
        raise UsageError(f"--threads {min(more)}: {there}. Ask for fewer.")
    for number in more:
        session.miss(f"{number} threads", there)
    return tuple(dict.fromkeys(number for number in wanted if number <= cores))


def _devices(model: GivenModel) -> tuple[str, ...]:
    if model.keras or not model.contract:
        return ("cpu",)
    from ..edge.tpu import find_library

    return ("cpu",) if find_library() is None else ("cpu", "tpu")


def _require_pictures(plan: LatencyPlan) -> None:
    """Look at the files of the detectors before minutes of measuring."""
    if plan.detector_model is not None and not plan.detector_model.is_file():
        raise ModelError(f"There is no model file {plan.detector_model} for the detector yunet.")
    if plan.clip is None:
        return
    if not plan.clip.is_file():
        raise CameraError(
            f"There is no clip {plan.clip}: expected a video file such as .mp4 or .mkv."
        )
    from ..edge.cameras.files import ClipCamera

    ClipCamera(plan.clip).close()


def _expected_s(effort: Effort, threads: int, models: int) -> float:
    window_s = effort.seconds + effort.warmup_s + _USUAL_LOAD_S
    sizes = sum(len(_sizes(name, effort)) for name in standard_detectors())
    return effort.repeats * (
        models * (_USUAL_START_S + threads * window_s) + _USUAL_START_S + sizes * window_s
    )


def _sizes(detector: str, effort: Effort) -> tuple[tuple[int, int], ...]:
    if detector == "fer-face":
        return tuple(shipped_detectors())[: 1 if effort.quick else None]
    return _QUICK_SIZES_WH if effort.quick else SIZES_WH


def _model_jobs(
    session: Session, model: GivenModel, device: str, threads: tuple[int, ...]
) -> "list[_ModelJob]":
    if not model.keras:
        return [_ModelJob(session, model, device, threads, first=True)]
    if find_spec("tensorflow") is None:
        session.miss(model.name, 'TensorFlow is not installed: pip install "fer-edge[train]"')
        return []
    # TensorFlow takes a number of threads once only.
    return [
        _ModelJob(session, model, device, (number,), first=number == threads[0])
        for number in threads
    ]


class _ModelJob:
    """A model on a device, with numbers of threads that one process can measure."""

    def __init__(
        self,
        session: Session,
        model: GivenModel,
        device: str,
        threads: tuple[int, ...],
        *,
        first: bool,
    ):
        self._session, self._model, self._device = session, model, device
        self._threads, self._first = threads, first
        counted = " and ".join(map(str, threads))
        self.title = f"{model.name} on the {device.upper()}, threads {counted}"
        self.why = ""
        self.answers: list[Mapping[str, Any]] = []

    def measure(self) -> None:
        """Add a repetition; or say why there is none, which ends the job."""
        from .latency_child import ModelRun, measure_model

        effort, model, threads = self._session.effort, self._model, self._threads
        start_s, memory_mb = (
            (_KERAS_START_S, _KERAS_MEMORY_MB) if model.keras else (_START_S, _MEMORY_MB)
        )
        window_s = (effort.seconds + effort.warmup_s) * len(threads)
        run = ModelRun(
            str(model.path), model.contract, self._device, threads, effort.seconds, effort.warmup_s
        )
        try:
            answer = _ask(
                measure_model,
                run,
                # The child's limit counts the processor time of all its threads, too.
                limit_s=(start_s + window_s) * max(threads),
                memory_mb=memory_mb,
                what=f"The measurement of {model.name}",
            )
        except ModelError as exc:
            if self._device != "tpu":
                raise
            # Also after some repetitions: a device that comes and goes has no figure.
            self.answers.clear()
            self.why = _without_folder(str(exc), model.path)
            self._session.miss(f"{model.name} on the Edge TPU", self.why)
        else:
            self.answers.append(answer)

    def add_figures(self) -> None:
        """Give the session what the repetitions found."""
        session, answers, device = self._session, self.answers, self._device
        if not answers:
            return
        of = {"model": self._model.name, "runtime": answers[0]["runtime"], "device": device}
        # Looked at with the first number only; of a TPU most of it is in another process.
        if device == "cpu" and self._first:
            memory = tuple(each["memory"] for each in answers)
            session.add("memory", "MB", "lower", of, memory)
        for index, number in enumerate(self._threads):
            # Work of the process that holds an Edge TPU would count as others'.
            others = [each["others_cores"] if device == "cpu" else 0.0 for each in answers]
            rows = [each["rows"][index] for each in answers]
            found = gather(list(zip(rows, others, strict=True)))
            session.add_repeated(found, dict.fromkeys(found.values, _MS), {**of, "threads": number})
        if answers[0]["why"] and self._first:
            session.miss(f"classify step of {self._model.name}", answers[0]["why"])


class _DetectorJob:
    """All detectors at all sizes, by one process."""

    def __init__(self, session: Session, plan: LatencyPlan):
        from .latency_child import DetectorRun

        self._session, self._model, self.why = session, plan.detector_model, ""
        settings = _detector_settings(session, plan.detector_model)
        self._shown, self._over = "the demo's frames", {}
        if plan.clip is not None:
            clip = read_clip(plan.clip)
            self._shown, self._over = clip.name, clip.of
        names = dict.fromkeys(name for name, _, _ in settings)
        self.title = f"{', '.join(names)} over {self._shown}"
        effort = session.effort
        path = str(plan.clip) if plan.clip else None
        self._run = DetectorRun(tuple(settings), path, effort.seconds, effort.warmup_s)
        self.answers: list[Sequence[Mapping[str, Any]]] = []

    def measure(self) -> None:
        """Add a repetition."""
        from .latency_child import measure_detectors

        run = self._run
        answer = _ask(
            measure_detectors,
            run,
            limit_s=_START_S + (run.seconds + run.warmup_s) * len(run.settings),
            memory_mb=_MEMORY_MB,
            what="The measurement of the detectors",
        )
        self.answers.append(answer)

    def add_figures(self) -> None:
        """Give the session what the repetitions found."""
        session, seen = self._session, 0
        if not self.answers:
            return
        for rows in zip(*self.answers, strict=True):
            of = {"detector": rows[0]["detector"], "size": rows[0]["size"], "device": "cpu"}
            if why := rows[0].get("why"):
                why = _without_folder(why, self._model or Path())
                session.miss(f"{of['detector']} at {of['size']}", why)
                continue
            seen += rows[0]["faces"]
            found = gather([(row["took"], row["others_cores"]) for row in rows])
            of |= {**self._over, "threads": 1}
            session.add_repeated(found, dict.fromkeys(found.values, _MS), of)
        if not seen:
            session.note(f"No detector found a face in {self._shown}; with faces some take longer.")


def _detector_settings(session: Session, yunet: Path | None) -> "list[DetectorSetting]":
    """What there is here of the detectors, each with its file and size."""
    settings: list[DetectorSetting] = []
    for name in standard_detectors():
        model = yunet if name == YUNET.name else None
        if name == YUNET.name and model is None and (state := state_of(YUNET)) != "there":
            session.miss(name, f"its file is {state}: `fer-edge models get {name}` fetches it")
            continue
        given = str(model) if model else None
        settings += [(name, given, size_wh) for size_wh in _sizes(name, session.effort)]
        if name == YUNET.name:
            session.add_model(name, model or place_of(YUNET))
        if name == "fer-face":
            for path in map(shipped_detectors().__getitem__, _sizes(name, session.effort)):
                session.add_model(path.stem, path)
    return settings


def _ask(
    measure: "Callable[[ModelRun], Any] | Callable[[DetectorRun], Any]",
    run: "ModelRun | DetectorRun",
    *,
    limit_s: float,
    memory_mb: int,
    what: str,
) -> Any:
    """Measure in a process of its own."""
    limit_s *= _MOST_BEHIND
    return run_in_child(measure, run, timeout_s=limit_s, memory_mb=memory_mb, what=what)


def _without_folder(why: str, path: Path) -> str:
    """A reason that tells a file's name only, as a document is for others."""
    return why.replace(str(path), path.name).replace(f"{path.parent}{os.sep}", "")
