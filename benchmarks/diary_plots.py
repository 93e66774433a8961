"""A diary as pictures: shares, who was there when, and the hours of the day."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..training.plots import CLASS_COLOURS, FONT_SIZE, SERIES, figure, tidy
from .diary import Diary, Visit, seconds_of

#: More rows than this are no picture any more.
MOST_ROWS = 40
_NOTHING = "#DDDDDD"


def colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour a label: everywhere the same for ours, in their order for those of other models."""
    others = iter([colour for colour in SERIES if colour not in CLASS_COLOURS.values()] or SERIES)
    return {
        label: CLASS_COLOURS.get(label) or next(others, SERIES[at % len(SERIES)])
        for at, label in enumerate(labels)
    }


def shares_figure(diary: Diary) -> Figure:
    """How long each label was said of all faces together."""
    made = figure(height_px=120 + 56 * len(diary.labels))
    axes = tidy(made.subplots(), title="All faces together", x="minutes")
    seconds, paint = seconds_of(diary.visits), colours(diary.labels)
    whole = sum(seconds.values())
    minutes = [seconds.get(label, 0.0) / 60 for label in diary.labels]
    bars = axes.barh(diary.labels, minutes, color=[paint[label] for label in diary.labels])
    texts = [f" {60 * value / whole:.0%}" if whole else "" for value in minutes]
    axes.bar_label(bars, texts, fontsize=FONT_SIZE)
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    return made


def timeline_figure(visits: Sequence[Visit], labels: Sequence[str], zone: tzinfo | None) -> Figure:
    """A row a visit, coloured by what was said; at most :data:`MOST_ROWS` of them."""
    made = figure(height_px=160 + 30 * max(4, len(visits)))
    axes = tidy(made.subplots(), title="Who was there when")
    paint = colours(labels)
    for row, visit in enumerate(visits):
        for span in visit.spans:
            begin, end = (
                float(date2num(datetime.fromtimestamp(moment, zone)))
                for moment in (span.from_s, span.to_s)
            )
            colour = paint.get(span.label or "", _NOTHING)
            axes.broken_barh([(begin, end - begin)], (row - 0.4, 0.8), facecolors=colour)
    several = len({visit.run for visit in visits}) > 1
    names = [
        f"run {visit.run}, face {visit.face}" if several else f"face {visit.face}"
        for visit in visits
    ]
    axes.set_yticks(range(len(visits)), names)
    axes.set_ylim(len(visits) - 0.5, -0.5)
    locator = AutoDateLocator(tz=zone)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
    axes.grid(visible=False, axis="y")
    said = {span.label for visit in visits for span in visit.spans}
    handles = [Patch(color=paint[label], label=label) for label in labels if label in said]
    if None in said:
        handles.append(Patch(color=_NOTHING, label="nothing said"))
    made.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=FONT_SIZE - 1)
    return made


def hours_figure(diary: Diary, zone: tzinfo | None) -> Figure:
    """Minutes of each label by the hour of the day."""
    made = figure(height_px=520)
    axes = tidy(made.subplots(), title="By the hour of the day", x="hour", y="minutes")
    minutes, paint = hours(diary, zone), colours(diary.labels)
    bottom = np.zeros(24)
    for label in diary.labels:
        if label in minutes:
            axes.bar(range(24), minutes[label], bottom=bottom, color=paint[label], label=label)
            bottom += minutes[label]
    axes.set_xticks(range(0, 24, 2))
    axes.set_xlim(-0.6, 23.6)
    axes.grid(visible=False, axis="x")
    made.legend(loc="outside lower center", ncols=7, fontsize=FONT_SIZE - 1)
    return made


def hours(diary: Diary, zone: tzinfo | None) -> dict[str, np.ndarray]:
    """Minutes of each label in each hour of the day, ``(24,)`` float64 each."""
    found: dict[str, np.ndarray] = {}
    for visit in diary.visits:
        for span in visit.spans:
            if span.label is None:
                continue
            row = found.setdefault(span.label, np.zeros(24))
            at = span.from_s
            while at < span.to_s:
                local = datetime.fromtimestamp(at, zone)
                passed = local.minute * 60 + local.second + local.microsecond / 1e6
                # At least something, as a rounded number may stand still at the full hour.
                step = max(1e-3, min(span.to_s - at, 3600 - passed))
                row[local.hour] += step / 60
                at += step
    return found
