"""Accuracy over cost: every run, and what others report, each with its name beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, PercentFormatter
from matplotlib.transforms import Bbox

from .compare import Comparison, short
from .plots import FONT_SIZE, SERIES, figure, tidy

_RUN, _OTHERS = SERIES[0], SERIES[1]
_MARKER_PX = 13
# Of names there is room for about so many; of more runs each recipe is named once.
_MAX_NAMES = 12
# In the margin, ranges stand beside single figures rather than behind them.
_SINGLE, _RANGE = 0.16, 0.0
# Characters of a long name that are kept at each end.
_NAME_END = 16
#: What a plot can have as its x axis: the attribute of a run, and the text under the axis.
COSTS = {
    "multiply_adds": "multiply-adds for one face (logarithmic)",
    "parameters": "parameters (logarithmic)",
}


@dataclass(frozen=True, slots=True)
class _Point:
    x: float
    y: float
    text: str
    colour: str


def cost_figure(comparison: Comparison, cost: str) -> Figure:
    """Accuracy over a cost, with a margin for published figures whose cost is not known.

    Args:
        comparison: One run or more.
        cost: A key of :data:`COSTS`.
    """
    made = figure(height_px=820)
    main, margin = made.subplots(1, 2, sharey=True, width_ratios=(3.4, 1))
    tidy(main, x=COSTS[cost], y="accuracy")
    tidy(margin, x="cost not stated")
    main.set_xscale("log")
    runs = _draw_runs(main, comparison, cost)
    known, unknown = _draw_published(main, margin, comparison, cost)
    _set_limits(main, margin, comparison, [point.x for point in runs + known])
    filled = any(_alike(comparison, index) for index in range(len(comparison.published)))
    made.legend(
        handles=_handles(comparison, filled),
        loc="outside upper left",
        ncols=2,
        fontsize=FONT_SIZE - 1,
        frameon=False,
    )
    # Only now is it known where a point lies in pixels.
    made.draw_without_rendering()
    drawn = []
    for run in comparison.runs:
        x, (low, high) = getattr(run, cost), run.interval
        drawn.append(_box(main, x, low, x, high, 2))
        drawn.append(_box(main, x, run.accuracy, x, run.accuracy, _MARKER_PX / 2))
    _label(main, runs + known, drawn)
    _label(margin, unknown, _ranges(margin, comparison))
    return made


def _alike(comparison: Comparison, index: int) -> bool:
    item = comparison.published[index]
    return len(comparison.splits) == 1 and item.comparable(comparison.splits[0])


def _draw_runs(axes: Axes, comparison: Comparison, cost: str) -> list[_Point]:
    for run in comparison.runs:
        axes.vlines(getattr(run, cost), *run.interval, color=_RUN, linewidth=1.2, alpha=0.45)
        axes.plot(getattr(run, cost), run.accuracy, "o", color=_RUN, markersize=8)
    if len(comparison.runs) <= _MAX_NAMES:
        return [
            _Point(getattr(run, cost), run.accuracy, _shortened(name), _RUN)
            for run, name in zip(comparison.runs, comparison.short_names(), strict=True)
        ]
    groups: dict[tuple[str, float], list[float]] = {}
    for run in comparison.runs:
        groups.setdefault((run.recipe, getattr(run, cost)), []).append(run.accuracy)
    return [
        _Point(x, max(heights), recipe + (f", {len(heights)} runs" if heights[1:] else ""), _RUN)
        for (recipe, x), heights in groups.items()
    ]


def _shortened(name: str) -> str:
    """A name that fits into the axes: its ends, as runs differ in recipe, last change or seed."""
    return name if len(name) <= 2 * _NAME_END + 3 else f"{name[:_NAME_END]} … {name[-_NAME_END:]}"


def _draw_published(
    main: Axes, margin: Axes, comparison: Comparison, cost: str
) -> tuple[list[_Point], list[_Point]]:
    """Draw the published figures; returns those over a cost and those in the margin."""
    known, unknown = [], []
    for index, item in enumerate(comparison.published):
        x = getattr(item, cost)
        beside = _SINGLE if item.lowest is None else _RANGE
        axes, place, points = (main, x, known) if x else (margin, beside, unknown)
        face = _OTHERS if _alike(comparison, index) else "white"
        if item.lowest is not None:
            axes.plot([place, place], [item.lowest, item.accuracy], color=_OTHERS, linewidth=1.6)
            axes.plot(place, item.lowest, "D", mec=_OTHERS, mfc=face, markersize=8, mew=1.6)
        axes.plot(place, item.accuracy, "D", mec=_OTHERS, mfc=face, markersize=8, mew=1.6)
        points.append(_Point(place, item.accuracy, item.name, _OTHERS))
    return known, unknown


def _set_limits(main: Axes, margin: Axes, comparison: Comparison, costs: Sequence[float]) -> None:
    heights = [bound for run in comparison.runs for bound in run.interval]
    heights += [item.accuracy for item in comparison.published]
    heights += [item.lowest for item in comparison.published if item.lowest is not None]
    main.set_ylim(max(0.0, min(heights) - 0.015), min(1.0, max(heights) + 0.015))
    low, high = math.log10(min(costs)), math.log10(max(costs))
    space = max(0.25, 0.08 * (high - low))
    main.set_xlim(10 ** (low - space), 10 ** (high + 1.6 * space))
    main.xaxis.set_major_locator(LogLocator(10, subs=(1.0,)))
    if high - low + 2 * space < 2:
        main.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    main.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    main.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    main.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    margin.set_xlim(-0.12, 1)
    margin.set_xticks([])


def _tick(value: float) -> str:
    """``10 M`` rather than ``10.0 M``."""
    number, _, unit = short(value).partition(" ")
    return f"{float(number):g} {unit}".strip()


def _handles(comparison: Comparison, filled: bool) -> list[Line2D]:
    line = {"color": _RUN, "marker": "o", "markersize": 8, "linewidth": 1.2}
    hollow = {"color": _OTHERS, "marker": "D", "markersize": 8, "linestyle": "none"}
    handles = [
        Line2D([], [], label=f"runs: {comparison.measured_on}, 95 % interval", **line),
        Line2D(
            [], [], label="published, on another split or with several views", mfc="white", **hollow
        ),
    ]
    if filled:
        handles.append(Line2D([], [], label="published, on the same split", **hollow))
    return handles


def _ranges(axes: Axes, comparison: Comparison) -> list[Bbox]:
    """What published ranges cover in the margin, in pixels."""
    return [
        _box(axes, _RANGE, item.lowest, _RANGE, item.accuracy, _MARKER_PX / 2)
        for item in comparison.published
        if item.lowest is not None
    ]


def _box(axes: Axes, x0: float, y0: float, x1: float, y1: float, around_px: float) -> Bbox:
    """The box around two points of the data, in pixels."""
    corners = axes.transData.transform([(x0, y0), (x1, y1)])
    (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
    return Bbox([(left - around_px, bottom - around_px), (right + around_px, top + around_px)])


def _label(axes: Axes, points: Sequence[_Point], taken: list[Bbox]) -> None:
    """Write each point's text where it covers nothing: near it if it can be, else with a line.

    Tries directions in growing distances, the right hand side first, and takes the first place
    that lies within the axes and overlaps no marker, no interval and no earlier text.
    """
    pixels_a_point = axes.figure.dpi / 72
    markers = [_box(axes, point.x, point.y, point.x, point.y, _MARKER_PX / 2) for point in points]
    occupied = [*taken, *markers]
    inside = axes.get_window_extent()
    for point in points:
        text = axes.annotate(
            point.text,
            (point.x, point.y),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=FONT_SIZE - 1,
            color="black",
        )
        # What is written afterwards must not move the axes that it was measured in.
        text.set_in_layout(False)
        extent = text.get_window_extent()
        x, y = axes.transData.transform((point.x, point.y))
        best, fewest = (x, y), math.inf
        for distance in (15, 22, 32, 48, 68, 92, 120):
            for angle in (0, 180, 90, 270, 30, -30, 150, 210, 60, -60, 120, 240):
                across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                # The nearest edge of the text, not its middle, keeps the distance.
                middle = (
                    x + across * (distance + extent.width / 2),
                    y + up * (distance + extent.height / 2),
                )
                box = _around(middle, extent.width + 4, extent.height + 2)
                hits = sum(box.overlaps(other) for other in occupied)
                hits += 100 * (box.x0 < inside.x0 or box.x1 > inside.x1)
                hits += 100 * (box.y0 < inside.y0 or box.y1 > inside.y1)
                if hits < fewest:
                    best, fewest = middle, hits
                if not hits:
                    break
            if not fewest:
                break
        offset = ((best[0] - x) / pixels_a_point, (best[1] - y) / pixels_a_point)
        text.set_position(offset)
        occupied.append(_around(best, extent.width + 4, extent.height + 2))
        if math.hypot(*_outside(best, extent, (x, y))) > 24:
            line = axes.annotate(
                "",
                (point.x, point.y),
                xytext=offset,
                textcoords="offset points",
                arrowprops={
                    "arrowstyle": "-",
                    "color": point.colour,
                    "linewidth": 0.8,
                    "shrinkA": extent.height / 2 / pixels_a_point,
                    "shrinkB": 4,
                },
                zorder=1,
            )
            line.set_in_layout(False)


def _around(middle: tuple[float, float], width: float, height: float) -> Bbox:
    return Bbox.from_bounds(middle[0] - width / 2, middle[1] - height / 2, width, height)


def _outside(
    middle: tuple[float, float], extent: Bbox, point: tuple[float, float]
) -> tuple[float, float]:
    """How far a point lies outside of a text, in pixels, across and up."""
    return (
        max(0.0, abs(middle[0] - point[0]) - extent.width / 2),
        max(0.0, abs(middle[1] - point[1]) - extent.height / 2),
    )
