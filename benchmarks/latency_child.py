"""What a call costs, measured by a process of its own: its functions run in a child.

So the memory of one model is not that of another, nothing of an earlier repetition is left in
caches and heaps, and a model that ends its process ends no benchmark.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..edge.board import read_board
from ..edge.cameras.demo import DemoCamera
from ..edge.classifier import EmotionClassifier, probabilities
from ..edge.contract import ModelContract
from ..edge.detectors import Detector, open_detector
from ..edge.detectors.scaling import shrunk_size
from ..edge.errors import ModelError
from ..edge.framing import Framing, resized, to_float, to_grey
from ..edge.memory import use_one_heap
from ..edge.quality import QualityLimits
from ..edge.records import Face, Image
from ..edge.runtime import RUNTIMES, load_network
from ..edge.stages import cut_faces
from ..edge.tpu import EdgeTpu, open_classifier
from .host import stopwatch
from .rules import windows
from .timing import timed

_OF_LOADING = ("ai_edge_litert.schema_py_generated", "platformdirs")
_PERCENTILES = (50, 90, 99)
_DEMO_WH = (640, 480)
# Steps of the demo, in which its face changes its place and size.
_FACES, _FACE_STEP = 14, 42
# Of a clip: enough that they differ, so few that those of 4K fit into the memory of a Raspberry Pi.
_FRAMES, _FRAME_STEP, _FRAME_BYTES = 24, 5, 96 << 20


@dataclass(frozen=True, slots=True)
class ModelRun:
    """A repetition of one model.

    Attributes:
        path: The file.
        contract: Whether it carries one; else only the interpreter can be measured.
        device: ``cpu`` or ``tpu``.
        threads: CPU threads, one after the other.
        seconds: Of the measurement with each.
        warmup_s: Before it.
    """

    path: str
    contract: bool
    device: str
    threads: tuple[int, ...]
    seconds: float
    warmup_s: float


DetectorSetting = tuple[str, str | None, tuple[int, int]]
#: Detectors that look at pictures of their own size, by name.
FIXED_SIZES = ("fer-face",)


@dataclass(frozen=True, slots=True)
class DetectorRun:
    """A repetition of the detectors.

    Attributes:
        settings: Name, file where one was given, and what pictures are shrunk to fit into.
        clip: The pictures; None is the demo at 640x480.
        seconds: Of the measurement with each size.
        warmup_s: Before it.
    """

    settings: tuple[DetectorSetting, ...]
    clip: str | None
    seconds: float
    warmup_s: float


@dataclass(frozen=True, slots=True)
class _Opened:
    """A loaded model: what to call again and again, and the method in it that is the invoke."""

    step: Callable[[], object]
    owner: type
    method: str
    runtime: str
    classifier: EmotionClassifier | None = None
    why: str = ""


def measure_model(run: ModelRun) -> dict[str, Any]:
    """Measure a model.

    Returns:
        ``rows``, one for each number of threads, with milliseconds by metric; ``memory`` in MB;
        ``others_cores``; ``runtime``; and ``why`` the classify step was not measured, or "".

    Raises:
        ModelError: It cannot be loaded or run, or there is no Edge TPU for it.
    """
    # Not with one heap as `fer-edge run`: it keeps what only the loading needed.
    cv2.setNumThreads(1)
    faces = itertools.cycle(_demo_faces())
    load = _LOADERS["keras" if run.path.endswith(".keras") else run.device](run, faces)
    before = _resident_bytes()
    memory, others, rows = 0, 0.0, []
    for threads in run.threads:
        began = time.perf_counter()
        opened = load(threads)
        row = {"load": 1e3 * (time.perf_counter() - began)}
        try:
            with timed(opened.owner, opened.method, time.perf_counter) as invoking:
                opened.step()
                row["first_invoke"] = 1e3 * invoking[0]
                memory = memory or _resident_bytes() - before
                windows(opened.step, run.warmup_s)
                invoking.clear()
                spent = stopwatch()
                took_ms = windows(opened.step, run.seconds)
                others = max(others, spent().others_cores)
            if opened.classifier is not None and opened.classifier.lost:
                raise ModelError("The Edge TPU was lost while it was measured.")
        finally:
            if opened.classifier is not None:
                opened.classifier.close()
        row |= _percentiles("invoke", [1e3 * seconds for seconds in invoking])
        if not opened.why:
            row |= _percentiles("classify", took_ms)
        rows.append(row)
        runtime, why = opened.runtime, opened.why
        # Its interpreter ends before the next one begins.
        del opened
    return {
        "rows": rows,
        "memory": memory / 1e6,
        "others_cores": others,
        "runtime": runtime,
        "why": why,
    }


def measure_detectors(run: DetectorRun) -> list[dict[str, Any]]:
    """Measure detectors at several sizes.

    Returns:
        For each, ``detector`` and ``size``; ``took`` with milliseconds by metric, ``others_cores``
        and ``faces``, how often one was found; or ``why`` it was not measured.

    Raises:
        CameraError: The clip is no video.
    """
    use_one_heap()
    cv2.setNumThreads(1)
    pictures = _pictures(run.clip)
    height, width = pictures[0].shape[:2]
    found: list[dict[str, Any]] = []
    looked: set[tuple[str, tuple[int, int]]] = set()
    for name, model, size_wh in run.settings:
        what = {"detector": name, "size": f"{size_wh[0]}x{size_wh[1]}"}
        # A model with one input size is given pictures of it.
        fixed = name in FIXED_SIZES
        seen_wh = size_wh if fixed else shrunk_size((width, height), size_wh)
        if (name, seen_wh) in looked:
            why = f"the pictures have {width}x{height} and are not enlarged"
            found.append({**what, "why": why})
            continue
        looked.add((name, seen_wh))
        began = time.perf_counter()
        try:
            detector = open_detector(name, size_wh=size_wh, model=Path(model) if model else None)
        except ModelError as exc:
            found.append({**what, "why": str(exc)})
            continue
        took = {"load": 1e3 * (time.perf_counter() - began)}
        shown, counts = itertools.cycle(pictures), []
        step = _detect_step(detector, shown, counts)
        windows(step, run.warmup_s)
        spent = stopwatch()
        times_ms = windows(step, run.seconds)
        others = spent().others_cores
        took |= _percentiles("detect", times_ms)
        found.append({**what, "took": took, "others_cores": others, "faces": sum(counts)})
    return found


_Faces = Iterator[tuple[Image, Face]]
_Load = Callable[[int], _Opened]


def _on_cpu(run: ModelRun, faces: _Faces) -> _Load:
    # Beforehand, as libraries are no part of the model: what loading one imports.
    for module in (RUNTIMES["litert"], RUNTIMES["tflite"], *_OF_LOADING):
        with suppress(ImportError):
            import_module(module)

    def load(threads: int) -> _Opened:
        why = "it carries no contract, so its crop and its labels are unknown"
        if run.contract:
            try:
                classifier = EmotionClassifier.open(run.path, threads=threads)
                owner = import_module(RUNTIMES[classifier.runtime]).Interpreter
                step = _classify_step(classifier, faces)
                return _Opened(step, owner, "invoke", classifier.runtime, classifier)
            except ModelError as exc:
                # A detector, say.
                why = str(exc)
        network = load_network(Path(run.path).read_bytes(), threads=threads)
        owner = import_module(RUNTIMES[network.runtime]).Interpreter
        inputs = _random(network.input.shape, network.input.dtype)
        return _Opened(lambda: network.run(inputs), owner, "invoke", network.runtime, why=why)

    return load


def _on_tpu(run: ModelRun, faces: _Faces) -> _Load:
    def load(threads: int) -> _Opened:
        said: list[str] = []
        classifier = open_classifier(run.path, threads=threads, tpu="auto", say=said.append)
        if classifier.accelerator is None:
            raise ModelError((said or ["no Edge TPU was found."])[0].rpartition("CPU is: ")[2])
        # With the pipe to the process that holds the device, as the loop has it.
        step = _classify_step(classifier, faces)
        return _Opened(step, EdgeTpu, "run", classifier.runtime, classifier)

    return load


class _KerasNetwork:
    """A Keras model, called as one calls it for a single picture (``predict`` is for batches)."""

    def __init__(self, model: Any):
        self._model = model

    def run(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(self._model(inputs, training=False))


def _in_keras(run: ModelRun, faces: _Faces) -> _Load:
    from ..convert.keras_backend import import_keras, load_keras_model, require_harmless
    from ..edge.sidecar import read_sidecar

    # What is compared is what cores can do.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    _, tensorflow = import_keras()
    # TensorFlow takes them once only, so that a process measures one number of threads.
    tensorflow.config.threading.set_intra_op_parallelism_threads(run.threads[0])
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    path = Path(run.path)
    require_harmless(path)

    def load(_: int) -> _Opened:
        model = load_keras_model(path)
        network = _KerasNetwork(model)
        if run.contract:
            step = _keras_step(network, read_sidecar(path), faces)
            return _Opened(step, _KerasNetwork, "run", "keras")
        shape = tuple(side or 1 for side in model.input_shape)
        inputs = _random(shape, np.dtype(np.float32))
        why = "there is no contract beside it, so its crop and its labels are unknown"
        return _Opened(lambda: network.run(inputs), _KerasNetwork, "run", "keras", why=why)

    return load


_LOADERS: dict[str, Callable[[ModelRun, _Faces], _Load]] = {
    "cpu": _on_cpu,
    "tpu": _on_tpu,
    "keras": _in_keras,
}


def _classify_step(classifier: EmotionClassifier, faces: _Faces) -> Callable[[], object]:
    """One face from the picture to its emotions, by the functions that the loop calls."""

    def step() -> object:
        return classifier.classify(_crop(next(faces), classifier.size_wh))

    return step


def _keras_step(
    network: _KerasNetwork, contract: ModelContract, faces: _Faces
) -> Callable[[], object]:
    def step() -> object:
        size_wh = contract.input_size_wh
        inputs = to_float(resized(_crop(next(faces), size_wh), size_wh))
        if contract.input_channels == 3:
            inputs = np.repeat(inputs, 3, axis=-1)
        return probabilities(network.run(inputs), contract)

    return step


def _detect_step(
    detector: Detector, shown: Iterator[Image], counts: list[int]
) -> Callable[[], object]:
    def step() -> object:
        return counts.append(len(detector.detect(next(shown))))

    return step


def _crop(shown: tuple[Image, Face], size_wh: tuple[int, int]) -> Image:
    grey, face = shown
    return cut_faces(grey, [face], Framing(), size_wh, limits=QualityLimits()).crops


def _demo_faces() -> list[tuple[Image, Face]]:
    demo = DemoCamera(size_wh=_DEMO_WH, lossless=True)
    return [
        (to_grey(demo.image(index)), Face(demo.truth(index).box, 1.0))
        for index in range(0, _FACES * _FACE_STEP, _FACE_STEP)
    ]


def _pictures(clip: str | None) -> list[Image]:
    if clip is None:
        demo = DemoCamera(size_wh=_DEMO_WH, lossless=True)
        return [demo.image(index) for index in range(0, _FACES * _FACE_STEP, _FACE_STEP)]
    from ..edge.cameras.files import ClipCamera

    pictures: list[Image] = []
    with ClipCamera(Path(clip)) as camera:
        for index in itertools.count():
            frame = camera.read()
            if frame is None or len(pictures) == _FRAMES:
                break
            if index % _FRAME_STEP == 0:
                pictures.append(frame.image)
                if sum(picture.nbytes for picture in pictures) > _FRAME_BYTES:
                    break
    return pictures


def _random(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    rng = np.random.default_rng(0)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return (255 * rng.random(shape)).astype(dtype)


def _percentiles(name: str, times_ms: Sequence[float]) -> dict[str, float]:
    found = np.percentile(times_ms, _PERCENTILES)
    return {f"{name}_p{p}": float(value) for p, value in zip(_PERCENTILES, found, strict=True)}


def _resident_bytes() -> int:
    return read_board(firmware=False).process_bytes or 0
