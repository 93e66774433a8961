"""The ways to read emotions from clips, each played in a child process: ``python -m`` this module.

Only the standard library is imported at the top: the process pins itself to its cores first, and
NumPy, OpenCV and TensorFlow size their thread pools when they are imported.
"""

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .host import stopwatch
from .protocol import FilmRequest, Request, Run, read_request, write_answer

if TYPE_CHECKING:
    import numpy as np

    from ..edge.classifier import EmotionClassifier
    from ..edge.detectors import Detector
    from ..edge.records import Image
    from .baselines.tutorial import KerasLike, Played

    # Plays the clip, once everything is loaded and warm.
    Ready = Callable[[], Played]

TUTORIAL, OURS = "tutorial", "fer-edge"
# Keras traces its graph at the first call; the others settle caches and delegates.
_WARM_UP_CALLS = 3
_VERSIONED = {
    "numpy": "numpy",
    "opencv": "cv2",
    "litert": "ai_edge_litert",
    "tflite-runtime": "tflite_runtime",
    "keras": "keras",
    "tensorflow": "tensorflow",
}


def play(request: Request) -> Run:
    """Prepare a contender, warm it up, and measure it.

    Raises:
        FerEdgeError: The clip or a model cannot be used.
    """
    from .clips import RepeatedClip

    with RepeatedClip(Path(request.clip), 1) as camera:
        first = camera.read()
    if first is None:
        # Not reached with files: opening one decodes its first frame.
        raise ValueError(f"{request.clip} has no frame")
    return _measured(request.contender, _PREPARE[request.contender](request, first.image))


def _measured(contender: str, ready: "Ready") -> Run:
    spent = stopwatch()
    played = ready()
    return Run(
        contender=contender,
        frames=played.frames,
        faces=played.faces,
        marked=played.marked,
        **asdict(spent()),
        cores=tuple(sorted(os.sched_getaffinity(0))),
        versions=_versions(),
    )


def play_films(request: FilmRequest) -> Run:
    """Play films from memory through the loop, one after the other, and measure it.

    Raises:
        FerEdgeError: A model cannot be used.
    """
    import cv2
    import numpy as np

    from ..edge.classifier import EmotionClassifier
    from ..edge.detectors import open_detector
    from ..edge.memory import use_one_heap
    from ..edge.pipeline import Pipeline
    from ..edge.quality import NO_LIMITS, QualityLimits
    from ..edge.stages import LoopSettings
    from .baselines.tutorial import Played
    from .clips import Film, FilmCamera

    # As `fer-edge run` does, at its price.
    use_one_heap()
    cv2.setNumThreads(1)
    films = [
        Film(path, np.load(path), fps) for path, fps in zip(request.films, request.fps, strict=True)
    ]
    model = Path(request.detector_model) if request.detector_model else None
    detector = open_detector(request.detector, model=model)
    classifier = EmotionClassifier.open(request.model)
    settings = LoopSettings(
        detect_every=request.detect_every,
        limits=NO_LIMITS if request.read_all else QualityLimits(),
    )
    _warm_up(detector, classifier, films[0].pictures[0])

    def run() -> Played:
        frames = faces = marked = 0
        for film in films:
            for result in Pipeline(FilmCamera(film), detector, classifier, settings).results():
                frames += 1
                faces += len(result.readings)
                marked += sum(reading.raw is None for reading in result.readings)
        return Played(frames, faces, marked)

    return _measured(request.contender, run)


def _tutorial(request: Request, first: "Image") -> "Ready":
    """The baseline as it is."""
    from ..convert.keras_backend import load_keras_model
    from ..edge.sidecar import read_sidecar

    contract = read_sidecar(Path(request.keras))
    model = load_keras_model(Path(request.keras))
    return _tutorial_with(model, contract.labels, contract.input_size_wh, request, first)


def _tutorial_call(request: Request, first: "Image") -> "Ready":
    """The baseline of somebody who knows that ``predict`` is made for large batches."""
    import numpy as np

    from ..convert.keras_backend import load_keras_model
    from ..edge.sidecar import read_sidecar

    contract = read_sidecar(Path(request.keras))
    model = load_keras_model(Path(request.keras))

    class Called:
        def predict(self, x: "np.ndarray", *, verbose: int) -> "np.ndarray":
            del verbose
            return np.asarray(model(x, training=False))

    return _tutorial_with(Called(), contract.labels, contract.input_size_wh, request, first)


def _tutorial_int8(request: Request, first: "Image") -> "Ready":
    """The baseline, with LiteRT in place of Keras."""
    from ..edge.classifier import EmotionClassifier

    classifier = EmotionClassifier.open(request.model)

    class Int8:
        def predict(self, x: "np.ndarray", *, verbose: int) -> "np.ndarray":
            del verbose
            return classifier.outputs(x[..., 0].astype("uint8"))

    labels = classifier.contract.labels
    return _tutorial_with(Int8(), labels, classifier.size_wh, request, first)


def _tutorial_with(
    model: "KerasLike",
    labels: tuple[str, ...],
    size_wh: tuple[int, int],
    request: Request,
    first: "Image",
) -> "Ready":
    import numpy as np

    from ..edge.framing import to_grey
    from .baselines.tutorial import open_cascade, run_tutorial

    cascade = open_cascade()
    for _ in range(_WARM_UP_CALLS):
        cascade.detectMultiScale(to_grey(first), scaleFactor=1.3, minNeighbors=5)
        model.predict(np.zeros((1, size_wh[1], size_wh[0], 1), np.float32), verbose=0)
    clip = Path(request.clip)
    return lambda: run_tutorial(clip, model, labels, cascade, size_wh=size_wh, loops=request.loops)


def _one_thread(request: Request, first: "Image") -> "Ready":
    """Detector and classifier of fer-edge, one after the other, frame by frame."""
    from ..edge.draw import annotate
    from ..edge.framing import to_grey
    from ..edge.records import Reading
    from ..edge.stages import cut_faces
    from .baselines.tutorial import Played
    from .clips import RepeatedClip

    detector, classifier = _ours(request, first)

    def run() -> Played:
        frames = faces = 0
        with RepeatedClip(Path(request.clip), request.loops) as camera:
            while (frame := camera.read()) is not None:
                grey = to_grey(frame.image)
                found = detector.detect(grey)
                cut = cut_faces(grey, found, detector.framing, classifier.size_wh)
                scores = classifier.classify(cut.crops)
                readings = [
                    Reading(face, size_px, read.label, read, read)
                    for face, size_px, read in zip(found, cut.sizes_px, scores, strict=True)
                ]
                annotate(frame.image, readings)
                frames += 1
                faces += len(readings)
        return Played(frames, faces)

    return run


def _pipeline(request: Request, first: "Image") -> "Ready":
    """What ``fer-edge run`` runs, lossless; the caller's thread draws."""
    from ..edge.draw import annotate
    from ..edge.pipeline import Pipeline
    from .baselines.tutorial import Played
    from .clips import RepeatedClip

    detector, classifier = _ours(request, first)

    def run() -> Played:
        frames = faces = 0
        with RepeatedClip(Path(request.clip), request.loops) as camera:
            for result in Pipeline(camera, detector, classifier).results():
                annotate(result.frame.image, result.readings)
                frames += 1
                faces += len(result.readings)
        return Played(frames, faces)

    return run


def _ours(request: Request, first: "Image"):
    """The detector and the classifier of ``fer-edge run``, warm."""
    from ..edge.classifier import EmotionClassifier
    from ..edge.detectors import open_detector

    detector, classifier = open_detector("haar"), EmotionClassifier.open(request.model)
    _warm_up(detector, classifier, first)
    return detector, classifier


def _warm_up(detector: "Detector", classifier: "EmotionClassifier", picture: "Image") -> None:
    import numpy as np

    for _ in range(_WARM_UP_CALLS):
        detector.detect(picture)
        classifier.classify(np.zeros((1, *classifier.size_wh[::-1]), np.uint8))


_PREPARE: "dict[str, Callable[[Request, Image], Ready]]" = {
    TUTORIAL: _tutorial,
    "tutorial-call": _tutorial_call,
    "tutorial-int8": _tutorial_int8,
    "one-thread": _one_thread,
    OURS: _pipeline,
}
#: Names of all contenders; each adds one step to the one before it.
CONTENDERS = tuple(_PREPARE)


def _versions() -> dict[str, str]:
    """Of Python and of what this process has loaded of the libraries that do the work."""
    loaded = {name: sys.modules.get(module) for name, module in _VERSIONED.items()}
    return {"python": platform.python_version()} | {
        name: str(getattr(module, "__version__", "unknown"))
        for name, module in loaded.items()
        if module is not None
    }


def main() -> None:
    """Play what standard input asks for, and leave the answer in the file named by the argument."""
    request = read_request(sys.stdin.read())
    os.sched_setaffinity(0, request.cores)
    try:
        answer: Run | Exception
        answer = play(request) if isinstance(request, Request) else play_films(request)
    # Of whatever class: the parent turns it into one clear error.
    except Exception as exc:
        answer = exc
    write_answer(Path(sys.argv[1]), answer)


if __name__ == "__main__":
    main()
