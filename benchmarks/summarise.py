"""A diary as one page that can be mailed, or as JSON: ``fer-edge summarise``."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any

from ..training.pages import Picture, Section, Table
from ..training.plots import png
from .diary import Diary, Visit, seconds_of
from .diary_plots import MOST_ROWS, hours, hours_figure, shares_figure, timeline_figure

SCHEMA_VERSION = 1


def to_dict(diary: Diary, zone: tzinfo | None) -> dict[str, Any]:
    """The figures as JSON values, schema version 1; hours of the day are those of ``zone``."""
    return {
        "schema": SCHEMA_VERSION,
        "runs": diary.runs,
        "watched_s": round(diary.watched_s, 3),
        "labels": list(diary.labels),
        "seconds": _rounded(seconds_of(diary.visits)),
        "minutes_by_hour": {
            label: [round(float(minutes), 4) for minutes in row]
            for label, row in hours(diary, zone).items()
        },
        "faces": [
            {
                "run": visit.run,
                "face": visit.face,
                "from": datetime.fromtimestamp(visit.from_s, zone).isoformat(
                    timespec="milliseconds"
                ),
                "duration_s": round(visit.duration_s, 3),
                "seconds": _rounded(visit.seconds()),
                "told": visit.told,
            }
            for visit in diary.visits
        ],
        "notes": list(diary.notes),
    }


def subtitle(diary: Diary) -> str:
    """What the diary is of, in a line."""
    count = len(diary.visits)
    return (
        f"{_count(count, 'face')} in {length(diary.watched_s)} of {_count(diary.runs, 'run')}. "
        f"Numbers are the tracker's: who leaves and comes back is a face more."
    )


def sections(diary: Diary, zone: tzinfo | None) -> list[Section]:
    """The content of the page."""
    found = [Section("What was said", diary.notes, _shares(diary))]
    if diary.visits:
        longest = sorted(diary.visits, key=lambda visit: -visit.duration_s)[:MOST_ROWS]
        shown = sorted(longest, key=lambda visit: visit.from_s)
        notes = []
        if len(shown) < len(diary.visits):
            notes.append(f"The {len(shown)} longest of {len(diary.visits)} visits.")
        alt = "A row a face, coloured by emotion over the time; the table below has the figures"
        timeline = Picture(png(timeline_figure(shown, diary.labels, zone)), alt)
        found.append(Section("Faces", notes, (timeline, _faces(shown, diary.labels, zone))))
        alt = "Minutes of each emotion in each of the 24 hours"
        found.append(
            Section(
                "Hours",
                (f"Hours are those of {_zone_name(diary, zone)}.",),
                (Picture(png(hours_figure(diary, zone)), alt),),
            )
        )
    return found


def _shares(diary: Diary) -> list[Table | Picture]:
    seconds = seconds_of(diary.visits)
    whole = sum(seconds.values())
    if not whole:
        return []
    rows = [
        (label, length(seconds.get(label, 0.0)), f"{seconds.get(label, 0.0) / whole:.1%}")
        for label in diary.labels
    ]
    alt = "Bars: minutes of each emotion; the table below has the figures"
    return [
        Picture(png(shares_figure(diary)), alt),
        Table(("emotion", "time", "share"), rows),
    ]


def _faces(visits: Sequence[Visit], labels: Sequence[str], zone: tzinfo | None) -> Table:
    rows = []
    for visit in visits:
        seconds = visit.seconds()
        whole = sum(seconds.values())
        shares = [
            f"{seconds[label] / whole:.0%}" if whole and label in seconds else "–"
            for label in labels
        ]
        came = datetime.fromtimestamp(visit.from_s, zone)
        rows.append(
            (
                f"{visit.run}.{visit.face}",
                f"{came:%Y-%m-%d %H:%M:%S}",
                length(visit.duration_s) + ("" if visit.told else " or more"),
                *shares,
            )
        )
    return Table(
        ("run.face", "from", "for", *labels),
        rows,
        "Shares of the time in which something was said.",
        text_columns=2,
    )


def length(seconds: float) -> str:
    """A time in words: ``12.3 s``, ``4 min 05 s``, ``3 h 20 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02} min"


def _zone_name(diary: Diary, zone: tzinfo | None) -> str:
    moment = datetime.fromtimestamp(diary.visits[0].from_s, zone)
    return (moment if zone else moment.astimezone()).tzname() or "local time"


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {label: round(value, 3) for label, value in seconds.items()}


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
