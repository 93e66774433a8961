"""What each detector finds in clips and what that costs, over the sizes that pictures shrink to.

Beside what the detector finds stands what the loop reports that has it look at every frame: the
tracker bridges what is missed for a moment, and holds back what is seen but once.

Beside that, how many of the faces that YuNet finds in the largest pictures each finds, and what
else it takes for one.

Clips are decoded beforehand and everything runs in one thread, one setting after the other in
turns. What is counted is the processor time of that thread, so that what else the machine does
weighs little.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..edge.detectors import Detector, open_detector
from ..edge.models import shipped_detectors
from ..edge.records import Face
from .clips import Film, read_film
from .host import Host, pinned, read_host
from .tracking import SAME_IOU, match_faces, play

SIZES_WH = ((160, 120), (240, 180), (320, 240), (480, 270), (640, 480))
# Of YuNet: what it finds at this size is what the others are compared with.
_REFERENCE = "yunet"
_REFERENCE_WH = (640, 480)


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to look for faces.

    Attributes:
        detector: Name of the detector.
        size_wh: What pictures are shrunk to fit into.
        grey: Whether it is given grey pictures; else blue-green-red ones.
    """

    detector: str
    size_wh: tuple[int, int]
    grey: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """A setting beside YuNet at 640x480, which finds nearly all; boxes that overlap by .5 are one.

    Attributes:
        expected: Faces that YuNet finds in all clips.
        found: How many of them the setting finds.
        extra: What it finds beside them, be it a face that YuNet misses or none.
    """

    expected: int
    found: int
    extra: int


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """What came out of one setting.

    Attributes:
        setting: Which.
        ms_per_frame: Processor time of a frame, shrinking included; the median of the rounds.
        faces: By clip, the number of faces found in all of its frames.
        reported: By clip, the number of faces that the tracker reports of them.
        frames_with: By clip, in how many frames one was found.
        agreement: With the reference, or None where YuNet took no part.
    """

    setting: Setting
    ms_per_frame: float
    faces: dict[str, int]
    reported: dict[str, int]
    frames_with: dict[str, int]
    agreement: Agreement | None = None


@dataclass(frozen=True, slots=True)
class DetectionReport:
    """What was measured, and on what.

    Attributes:
        frames: By clip, its number of frames.
        rounds: How often everything was played.
        scores: One for each setting.
        host: The machine.
    """

    frames: dict[str, int]
    rounds: int
    scores: tuple[DetectionScore, ...]
    host: Host

    def to_dict(self) -> dict[str, Any]:
        """As a JSON document."""
        return asdict(self)


def settings_for(names: Sequence[str], *, also_grey: bool = True) -> list[Setting]:
    """Every detector at every size, fer-face at those that ship; YuNet in colour and in grey."""
    made = []
    for name in names:
        for grey in (False, True) if also_grey and name == "yunet" else (False,):
            sizes = shipped_detectors() if name == "fer-face" else SIZES_WH
            made += [Setting(name, size_wh, grey) for size_wh in sizes]
    return made


def measure_detection(
    clips: Sequence[Path],
    settings: Sequence[Setting],
    *,
    model: Path | None = None,
    rounds: int = 3,
    progress: Callable[[str], None] = lambda _: None,
) -> DetectionReport:
    """Play the clips to each setting.

    Args:
        clips: Files that OpenCV decodes.
        settings: What to compare.
        model: YuNet's file; None is the one that was fetched.
        rounds: How often; the settings take turns.
        progress: Told a line after each round.

    Raises:
        CameraError: A clip cannot be decoded.
        ModelError: A detector cannot be had.
    """
    films = {path.name: read_film(path) for path in clips}
    finders = [
        open_detector(one.detector, size_wh=one.size_wh, model=_model_for(one, model))
        for one in settings
    ]
    times: list[list[float]] = [[] for _ in settings]
    counts: list[dict[str, list[int]]] = [{} for _ in settings]
    lengths = {name: len(film.pictures) for name, film in films.items()}
    with pinned():
        for turn in range(rounds):
            for index, (one, finder) in enumerate(zip(settings, finders, strict=True)):
                spent_s = 0.0
                for name, film in films.items():
                    pictures = _shown(film, one).pictures
                    finder.detect(pictures[0])
                    began = time.process_time()
                    counts[index][name] = [len(finder.detect(picture)) for picture in pictures]
                    spent_s += time.process_time() - began
                times[index].append(1e3 * spent_s / sum(lengths.values()))
            progress(f"round {turn + 1} of {rounds}")
        reported = [
            {name: _reported(_shown(film, one), finder) for name, film in films.items()}
            for one, finder in zip(settings, finders, strict=True)
        ]
    reference = None
    if any(one.detector == _REFERENCE for one in settings):
        yunet = open_detector(_REFERENCE, size_wh=_REFERENCE_WH, model=model)
        reference = _found(films.values(), yunet)
    scores = [
        DetectionScore(
            setting=one,
            ms_per_frame=statistics.median(times[index]),
            faces={name: sum(found) for name, found in counts[index].items()},
            reported=reported[index],
            frames_with={name: sum(map(bool, found)) for name, found in counts[index].items()},
            agreement=None
            if reference is None
            else agree(reference, _found([_shown(film, one) for film in films.values()], finder)),
        )
        for index, (one, finder) in enumerate(zip(settings, finders, strict=True))
    ]
    return DetectionReport(lengths, rounds, tuple(scores), read_host())


def agree(reference: Sequence[list[Face]], found: Sequence[list[Face]]) -> Agreement:
    """Compare the faces of the same frames."""
    same = sum(
        sum(iou >= SAME_IOU for _, _, iou in match_faces(wanted, faces))
        for wanted, faces in zip(reference, found, strict=True)
    )
    return Agreement(sum(map(len, reference)), same, sum(map(len, found)) - same)


def _found(films: Iterable[Film], finder: Detector) -> list[list[Face]]:
    return [finder.detect(picture) for film in films for picture in film.pictures]


def _shown(film: Film, setting: Setting) -> Film:
    return replace(film, pictures=film.greys) if setting.grey else film


def _reported(film: Film, finder: Detector) -> int:
    """Faces that the loop reports in a film, where the detector looks at every frame."""
    return sum(map(len, play(film, finder, 1).faces))


def _model_for(setting: Setting, model: Path | None) -> Path | None:
    return model if setting.detector == "yunet" else None
