"""What is lost and what is saved where the detector does not look at every frame.

Each setting of ``--detect-every`` plays the same frames; its faces are compared with those that
detection alone finds in every frame. :func:`compare` is the pure half; :func:`measure` plays.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..edge.records import Face, Image
from ..edge.schedule import DetectionSchedule
from ..edge.tracking import STRONG_SCORES, Tracker
from .clips import Film, read_film
from .host import Host, pinned, read_host

SCHEMA_VERSION = 1
#: Detection on every frame first: the others are compared with it.
SETTINGS: tuple[int | str, ...] = (1, 2, 3, 5, "auto")
SIZE_WH = (640, 480)
#: Below this overlap a face counts as missed, and what was reported instead as extra.
SAME_IOU = 0.5
# Whether a number changed is asked of faces that overlap so much, at most so far apart in time.
_LINK_IOU = 0.3
_LINK_NS = 500_000_000


class Finder(Protocol):
    """What is needed of a detector."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def detect(self, picture: Image) -> list[Face]:
        """The faces of a picture, blue-green-red or grey."""
        ...


@dataclass(frozen=True, slots=True)
class Played:
    """What one setting made of a clip.

    Attributes:
        faces: Of each frame.
        looked: Of each frame, whether the detector looked at it.
        detect_ms: Time of the detector over all frames, in milliseconds.
        track_ms: Time of tracker and schedule over all frames, in milliseconds.
    """

    faces: Sequence[Sequence[Face]]
    looked: Sequence[bool]
    detect_ms: float
    track_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class _Person:
    """An expected face, the number that it was last given, and when it was seen."""

    face: Face
    number: int | None
    seen_ns: int


@dataclass(frozen=True, slots=True)
class TrackingScore:
    """One setting on one clip, beside detection alone on every frame.

    Attributes:
        clip: Its name; "all" for the sum over clips.
        setting: Of ``--detect-every``.
        frames: Number of frames.
        looked: Frames that the detector looked at.
        expected: Faces of detection alone, in all frames.
        followed: Of them, those in frames that the detector did not look at and that overlap a
            reported face at all.
        mean_iou: Mean overlap of these; 1 where there are none.
        missed: Expected faces without a reported one of an overlap of 0.5 or more.
        extra: Reported faces without an expected one.
        switches: How often an expected face changed its number.
        ids: Numbers given.
        detect_ms_per_frame: Time of the detector, spread over all frames.
        track_ms_per_frame: Time of tracker and schedule.
    """

    clip: str
    setting: str
    frames: int
    looked: int
    expected: int
    followed: int
    mean_iou: float
    missed: int
    extra: int
    switches: int
    ids: int
    detect_ms_per_frame: float
    track_ms_per_frame: float


@dataclass(frozen=True, slots=True)
class TrackingReport:
    """One measurement; no paths of the machine.

    Attributes:
        date: When it began, UTC, ISO 8601.
        command: What repeats it.
        detector: Its name.
        size_wh: Frames were scaled to this, in pixels.
        host: Where.
        scores: Each clip with each setting, then all clips together.
    """

    date: str
    command: str
    detector: str
    size_wh: tuple[int, int]
    host: Host
    scores: tuple[TrackingScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, schema version 1."""
        return {"schema": SCHEMA_VERSION, "benchmark": "tracking", **dataclasses.asdict(self)}


def play(
    film: Film,
    detector: Finder,
    setting: int | str,
    *,
    clock: Callable[[], float] = time.thread_time,
) -> Played:
    """Play a clip through detector, tracker and schedule, as the loop does.

    Args:
        film: The clip.
        detector: It works in this thread.
        setting: Of ``--detect-every``.
        clock: In seconds. By default the CPU time of this thread, which other processes on the
            machine do not lengthen much.
    """
    tracker = Tracker(strong_score=STRONG_SCORES.get(detector.name, float("-inf")))
    schedule = DetectionSchedule(setting)
    faces: list[Sequence[Face]] = []
    looked: list[bool] = []
    detect_s = track_s = 0.0
    for picture, grey, now_ns in zip(film.pictures, film.greys, film.times_ns, strict=True):
        began = clock()
        due = schedule.due(now_ns, tracker.doubt)
        if due:
            detecting = clock()
            found = detector.detect(picture)
            spent = clock() - detecting
            reported = tracker.update(found, now_ns, grey)
        else:
            spent, reported = 0.0, tracker.follow(grey, now_ns)
        detect_s += spent
        track_s += clock() - began - spent
        faces.append(reported)
        looked.append(due)
    return Played(faces, looked, 1000 * detect_s, 1000 * track_s)


def compare(
    film: Film, setting: int | str, expected: Sequence[Sequence[Face]], played: Played
) -> TrackingScore:
    """Compare what was reported with what detection alone finds.

    Args:
        film: What was played.
        setting: How.
        expected: The detector's faces of each frame.
        played: What was reported.
    """
    overlaps: list[float] = []
    numbers: list[dict[int, int | None]] = []
    for wanted, reported, looked in zip(expected, played.faces, played.looked, strict=True):
        pairs = match_faces(wanted, reported)
        numbers.append({row: reported[at].id for row, at, iou in pairs if iou >= SAME_IOU})
        if not looked:
            overlaps += [iou for _, _, iou in pairs]
    frames = len(played.faces)
    found, reported = sum(map(len, numbers)), sum(map(len, played.faces))
    return TrackingScore(
        clip=film.name,
        setting=str(setting),
        frames=frames,
        looked=sum(played.looked),
        expected=sum(map(len, expected)),
        followed=len(overlaps),
        mean_iou=float(np.mean(overlaps)) if overlaps else 1.0,
        missed=sum(map(len, expected)) - found,
        extra=reported - found,
        switches=_switches(film.times_ns, expected, numbers),
        ids=len({face.id for faces in played.faces for face in faces}),
        detect_ms_per_frame=played.detect_ms / max(1, frames),
        track_ms_per_frame=played.track_ms / max(1, frames),
    )


def together(setting: int | str, scores: Sequence[TrackingScore]) -> TrackingScore:
    """The sum of one setting's scores over several clips."""

    def total(name: str) -> int:
        return sum(getattr(score, name) for score in scores)

    def mean(name: str, weight: str) -> float:
        products = (getattr(score, name) * getattr(score, weight) for score in scores)
        return sum(products) / max(1, total(weight))

    counts = ("frames", "looked", "expected", "followed", "missed", "extra", "switches", "ids")
    return TrackingScore(
        clip="all",
        setting=str(setting),
        mean_iou=mean("mean_iou", "followed") if total("followed") else 1.0,
        detect_ms_per_frame=mean("detect_ms_per_frame", "frames"),
        track_ms_per_frame=mean("track_ms_per_frame", "frames"),
        **{name: total(name) for name in counts},
    )


def measure(
    clips: Sequence[Path],
    detector: Finder,
    *,
    settings: Sequence[int | str] = SETTINGS,
    size_wh: tuple[int, int] = SIZE_WH,
    command: str = "",
    progress: Callable[[str], None] = lambda line: None,
) -> TrackingReport:
    """Play every clip with every setting, on one core as far as OpenCV goes.

    Args:
        clips: Video files.
        detector: It works in this thread.
        settings: Of ``--detect-every``.
        size_wh: To scale the frames to, in pixels.
        command: What repeats it, for the report.
        progress: Is told of each clip before it starts.

    Raises:
        CameraError: A clip is missing or no video.
        UsageError: A setting is neither a number from 1 on nor "auto".
    """
    date, host = datetime.now(UTC).isoformat(timespec="seconds"), read_host()
    scores: list[TrackingScore] = []
    with pinned():
        for clip in clips:
            progress(clip.name)
            film = read_film(clip, size_wh)
            expected = [detector.detect(picture) for picture in film.pictures]
            for setting in settings:
                scores.append(compare(film, setting, expected, play(film, detector, setting)))
    sums = [together(s, [score for score in scores if score.setting == str(s)]) for s in settings]
    return TrackingReport(
        date=date,
        command=command,
        detector=detector.name,
        size_wh=size_wh,
        host=host,
        scores=(*scores, *sums),
    )


def to_markdown(report: TrackingReport) -> str:
    """The report as a Markdown table; times beside those of the first setting of the same clip."""
    head = (
        "clip", "every", "looked at", "mean IoU", "missed", "extra", "switches", "numbers",
        "time", "tracking alone",
    )  # fmt: skip
    lines = [_row(head), _row(["---"] * len(head))]
    first: dict[str, float] = {}
    for score in report.scores:
        spent = score.detect_ms_per_frame + score.track_ms_per_frame
        whole = first.setdefault(score.clip, spent) or 1.0
        cells = (
            score.clip,
            score.setting,
            f"{score.looked} of {score.frames}",
            f"{score.mean_iou:.3f}" if score.followed else "-",
            f"{score.missed} of {score.expected}",
            f"{score.extra}",
            f"{score.switches}",
            f"{score.ids}",
            f"{spent / whole:.2f}",
            f"{score.track_ms_per_frame:.2f} ms",
        )
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def match_faces(wanted: Sequence[Face], reported: Sequence[Face]) -> list[tuple[int, int, float]]:
    """Positions in both with their overlap: greedily, each at most once."""
    every = sorted(
        (
            (mine.box.iou(its.box), row, at)
            for row, mine in enumerate(wanted)
            for at, its in enumerate(reported)
        ),
        reverse=True,
    )
    pairs: dict[int, tuple[int, float]] = {}
    for iou, row, at in every:
        if iou > 0 and row not in pairs and all(at != other for other, _ in pairs.values()):
            pairs[row] = (at, iou)
    return [(row, at, iou) for row, (at, iou) in pairs.items()]


def _switches(
    times_ns: Sequence[int],
    expected: Sequence[Sequence[Face]],
    numbers: Sequence[dict[int, int | None]],
) -> int:
    """How often a face of the detector, linked by overlap alone, changed its number."""
    switches = 0
    people: list[_Person] = []
    for now_ns, wanted, given in zip(times_ns, expected, numbers, strict=True):
        people = [person for person in people if now_ns - person.seen_ns <= _LINK_NS]
        known = {
            row: people[at]
            for row, at, iou in match_faces(wanted, [person.face for person in people])
            if iou >= _LINK_IOU
        }
        current: list[_Person] = []
        for row, face in enumerate(wanted):
            before = known[row].number if row in known else None
            number = given.get(row, before)
            switches += before is not None and number != before
            current.append(_Person(face, number, now_ns))
        linked = {id(person) for person in known.values()}
        people = current + [person for person in people if id(person) not in linked]
    return switches
