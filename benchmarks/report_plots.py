"""Runs side by side as pictures; narrow, so that their texts are legible on a phone, too.

A run has one colour and one marker in all of them. Hollow is invalid, and has to be read as such.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..training.pages import Picture
from ..training.plots import FONT_SIZE, SERIES, figure, png, tidy
from .document import Curve, Figure
from .report_text import describe, natural
from .side_by_side import Comparison, Row

_WIDTH_PX = 640
_MARKERS = "osD^vPX<>*"
_STYLES: Any = ("-", "--", ":", "-.")
# Pixels of a legend's line, and of what else stands around the axes.
_LINE_PX, _AROUND_PX = 24, 110
# Of names of so many letters there is room for two in a row.
_SHORT = 27
# From here on small values could not be read beside large ones.
_LOG_FROM = 8.0


@dataclass(frozen=True, slots=True)
class _Look:
    colour: str
    marker: str

    def mark(self, axes: Axes, x: float, y: float, figure: Figure) -> None:
        """A marker, hollow where the figure is invalid."""
        face = "white" if figure.invalid else self.colour
        axes.plot(x, y, self.marker, mec=self.colour, mfc=face, ms=7)


def _looks(comparison: Comparison) -> list[_Look]:
    return [
        _Look(SERIES[at % len(SERIES)], _MARKERS[at % len(_MARKERS)])
        for at in range(len(comparison.runs))
    ]


def draw(comparison: Comparison) -> dict[str, Picture]:
    """All pictures that there are figures for, by the heading of their section."""
    kinds: tuple[tuple[str, str, str, Callable[[Comparison], Plot | None]], ...] = (
        (
            "Latency by stage",
            "Median time of each stage in each run, with a line to its 99th percentile",
            "Marker: median of a call. Line: to the 99th percentile. One thread where there is "
            "a choice.",
            latency_figure,
        ),
        (
            "Capacity by faces",
            "Frames a second of the loop over the number of faces, a line a run",
            "As fast as the clip can be played; the bars are the smallest and largest repetition.",
            capacity_figure,
        ),
        (
            "Age of results",
            "Age of results at each rate of the camera in each run",
            "From when a frame was due to its result: median (large marker), 95th percentile and "
            "99th percentile (end of the line).",
            age_figure,
        ),
        (
            "Accuracy lost by class",
            "Recall of each class lost by the conversion, in points, in each run",
            "Recall of the float model less that of the converted one, on the same images. Few "
            "images of a class make large differences of nothing.",
            loss_figure,
        ),
        (
            "Robustness",
            "Accuracy over the strength of each distortion, a line a run and model",
            "The left end of each is the face as it is.",
            robustness_figure,
        ),
    )
    found = {}
    for heading, alt, caption, make in kinds:
        made = make(comparison)
        if made is not None:
            if make is not robustness_figure and any(
                run.document.invalid for run in comparison.runs
            ):
                caption += " Hollow: invalid."
            found[heading] = Picture(png(made), f"{alt}; figures below", caption)
    return found


def latency_figure(comparison: Comparison) -> Plot | None:
    """Stages as rows, runs as markers in them; None where no run has any."""
    rows = [row for row in comparison.rows if _is_stage(row)]
    if not rows:
        return None
    rows.sort(key=lambda row: natural(f"{row.metric} {describe(row.of)}"))
    tails = {
        (row.metric.removesuffix("_p99"), describe(row.of)): row
        for row in comparison.rows
        if row.section == "latency" and row.metric.endswith("_p99")
    }
    looks, step = _looks(comparison), 0.7 / len(comparison.runs)
    made = _figure(comparison, (34 + 10 * len(looks)) * len(rows))
    axes = tidy(made.subplots(), x="ms a call")
    values: list[float] = []
    for at, row in enumerate(rows):
        tail = tails.get((row.metric.removesuffix("_p50"), describe(row.of)))
        for index, look in enumerate(looks):
            found = row.cells[index].figure
            if found is None:
                continue
            y = at + step * (index - (len(looks) - 1) / 2)
            last = tail.cells[index].figure if tail is not None else None
            end = found.median if last is None else last.median
            axes.plot([found.median, end], [y, y], color=look.colour, linewidth=1.2)
            look.mark(axes, found.median, y, found)
            values += [found.median, end]
    names = [f"{row.metric.removesuffix('_p50')}\n{_short(row)}" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    _scale(axes, values, "x")
    return _legend(made, comparison)


def _is_stage(row: Row) -> bool:
    fits = row.of.get("threads", 1) == 1 and row.of.get("size", "320x240") == "320x240"
    return row.section == "latency" and row.metric.endswith("_p50") and fits


def _short(row: Row) -> str:
    keys = ("model", "runtime", "device", "detector", "size")
    return describe({key: row.of[key] for key in keys if key in row.of})


def capacity_figure(comparison: Comparison) -> Plot | None:
    """Frames a second over faces; None where no run has any."""
    lines = list(
        _lines(comparison, "fps", "faces", lambda row: row.of.get("rate") == 0, ("contender",))
    )
    if not any(len(line.xs) > 1 for line in lines):
        return None
    made = _figure(comparison, 380, lines)
    axes = tidy(made.subplots(), x="faces in the frame", y="frames/s")
    for line in lines:
        medians = [each.median for each in line.figures]
        around = [
            [each.median - each.spread[0] for each in line.figures],
            [each.spread[1] - each.median for each in line.figures],
        ]
        axes.errorbar(
            line.xs, medians, around, fmt="none", ecolor=line.look.colour, capsize=3, linewidth=1
        )
        axes.plot(line.xs, medians, color=line.look.colour, linestyle=line.style)
        for x, each in zip(line.xs, line.figures, strict=True):
            line.look.mark(axes, x, each.median, each)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _scale(axes, [each.median for line in lines for each in line.figures], "y")
    return _legend(made, comparison, lines)


def age_figure(comparison: Comparison) -> Plot | None:
    """Ages over the rate of the camera; None where no run has any."""
    groups = [
        list(_lines(comparison, metric, "rate", lambda row: True, ()))
        for metric in ("age_p50", "age_p95", "age_p99")
    ]
    lines = groups[0]
    if not lines:
        return None
    rates = sorted({x for line in lines for x in line.xs})
    made = _figure(comparison, 380, lines)
    axes = tidy(made.subplots(), x="frames/s of the camera", y="age, ms")
    step, values = 0.7 / len(lines), []
    for index, line in enumerate(lines):
        others = [
            dict(zip(other.xs, other.figures, strict=True))
            for group in groups[1:]
            for other in group
            if (other.run, other.text) == (line.run, line.text)
        ]
        for x, found in zip(line.xs, line.figures, strict=True):
            place = rates.index(x) + step * (index - (len(lines) - 1) / 2)
            tails = [ages[x].median for ages in others if x in ages]
            heights = [found.median, *tails]
            look = line.look
            axes.plot([place] * len(heights), heights, color=look.colour, linestyle=line.style)
            axes.plot([place] * len(tails), tails, "_", color=look.colour, ms=9, mew=1.6)
            look.mark(axes, place, found.median, found)
            values += heights
    axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.set_xlim(-0.6, len(rates) - 0.4)
    axes.grid(visible=False, axis="x")
    _scale(axes, values, "y")
    return _legend(made, comparison, lines)


def loss_figure(comparison: Comparison) -> Plot | None:
    """Recall lost by class; None where no run has a model of both kinds."""
    recalls = [
        row for row in comparison.rows if row.metric == "recall" and {"class", "kind"} <= {*row.of}
    ]
    floats = {_pair(row): row for row in recalls if row.of["kind"] == "keras"}
    losses: dict[tuple[int, str], dict[str, tuple[float, Figure]]] = {}
    for row in recalls:
        parent = floats.get(_pair(row))
        if parent is None or row.of["kind"] == "keras":
            continue
        for at, (ours, its) in enumerate(zip(row.cells, parent.cells, strict=True)):
            if ours.figure is not None and its.figure is not None:
                text = f"{row.of.get('model', '')}, {row.of['kind']}"
                lost = its.figure.median - ours.figure.median
                losses.setdefault((at, text), {})[str(row.of["class"])] = (lost, ours.figure)
    if not losses:
        return None
    classes = list(dict.fromkeys(name for found in losses.values() for name in found))
    looks = _looks(comparison)
    texts = sorted({text for _, text in losses})
    lines = [
        _Line(at, text, looks[at], _STYLES[texts.index(text) % len(_STYLES)], (), ())
        for at, text in losses
    ]
    made = _figure(comparison, 380, lines)
    axes = tidy(made.subplots(), y="points of recall lost")
    step = 0.7 / len(losses)
    for index, (line, found) in enumerate(zip(lines, losses.values(), strict=True)):
        for name, (lost, measured) in found.items():
            place = classes.index(name) + step * (index - (len(losses) - 1) / 2)
            axes.plot([place] * 2, [0, lost], color=line.look.colour, linestyle=line.style)
            line.look.mark(axes, place, lost, measured)
    axes.axhline(0, color="black", linewidth=1)
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axes.grid(visible=False, axis="x")
    return _legend(made, comparison, lines)


def _pair(row: Row) -> str:
    return describe({key: value for key, value in row.of.items() if key != "kind"})


def robustness_figure(comparison: Comparison) -> Plot | None:
    """A panel a distortion; None where no run has curves."""
    panels: dict[str, list[tuple[int, Curve]]] = {}
    for at, run in enumerate(comparison.runs):
        for curve in run.document.curves:
            panels.setdefault(curve.name, []).append((at, curve))
    if not panels:
        return None
    looks = _looks(comparison)
    texts = sorted({_model(curve) for found in panels.values() for _, curve in found})
    styles = {text: _STYLES[at % len(_STYLES)] for at, text in enumerate(texts)}
    lines = {
        (at, _model(curve)): _Line(at, _model(curve), looks[at], styles[_model(curve)], (), ())
        for found in panels.values()
        for at, curve in found
    }
    height = -(-len(panels) // 2)
    made = _figure(comparison, 270 * height, list(lines.values()))
    grid = made.subplots(height, 2, squeeze=False, sharey=True)
    for axes, (name, found) in zip(grid.flat, panels.items(), strict=False):
        tidy(axes, title=name, x=found[0][1].x_unit)
        for at, curve in found:
            look, style = looks[at], styles[_model(curve)]
            axes.plot(curve.xs, curve.ys, style, color=look.colour, marker=look.marker, ms=4)
        if found[0][1].xs[0] > found[0][1].xs[-1]:
            axes.invert_xaxis()
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"accuracy, {next(iter(panels.values()))[0][1].y_unit}", fontsize=FONT_SIZE)
    return _legend(made, comparison, list(lines.values()))


def _model(curve: Curve) -> str:
    return describe({key: curve.of[key] for key in ("model", "kind") if key in curve.of})


@dataclass(frozen=True, slots=True)
class _Line:
    """What one run found of one thing, over a number."""

    run: int
    text: str
    look: _Look
    style: Any
    xs: tuple[float, ...]
    figures: tuple[Figure, ...]


def _lines(
    comparison: Comparison,
    metric: str,
    over: str,
    wanted: Callable[[Row], bool],
    without: Iterable[str],
) -> Iterator[_Line]:
    """Figures of the loop over one of the numbers that they are of."""
    groups: dict[str, list[Row]] = {}
    for row in comparison.rows:
        fits = row.section == "loop" and row.metric == metric and over in row.of and wanted(row)
        if fits and isinstance(row.of[over], int | float) and not {*without} & {*row.of}:
            rest = {key: row.of[key] for key in ("model", "detector", "clip") if key in row.of}
            groups.setdefault(describe(rest), []).append(row)
    looks = _looks(comparison)
    for number, (text, rows) in enumerate(groups.items()):
        for at, look in enumerate(looks):
            found = {
                float(row.of[over]): figure
                for row in rows
                if (figure := row.cells[at].figure) is not None
            }
            xs = tuple(sorted(found))
            if xs:
                style = _STYLES[number % len(_STYLES)]
                yield _Line(at, text, look, style, xs, tuple(found[x] for x in xs))


def _figure(comparison: Comparison, height_px: int, lines: Sequence[_Line] = ()) -> Plot:
    rows = -(-len(_handles(comparison, lines)) // _columns(comparison, lines))
    return figure(_WIDTH_PX, height_px + _AROUND_PX + _LINE_PX * rows)


def _legend(made: Plot, comparison: Comparison, lines: Sequence[_Line] = ()) -> Plot:
    """Name the runs above the axes, and the styles of lines where there are several."""
    made.legend(
        handles=_handles(comparison, lines),
        loc="outside upper left",
        ncols=_columns(comparison, lines),
        fontsize=FONT_SIZE - 1,
        frameon=False,
    )
    return made


def _handles(comparison: Comparison, lines: Sequence[_Line]) -> list[Line2D]:
    there = {line.run for line in lines}
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, label=run.title)
        for at, (run, look) in enumerate(zip(comparison.runs, _looks(comparison), strict=True))
        if not lines or at in there
    ]
    styles = {line.text: line.style for line in lines}
    if len(styles) > 1:
        handles += [
            Line2D([], [], color="black", linestyle=style, label=text)
            for text, style in styles.items()
        ]
    return handles


def _columns(comparison: Comparison, lines: Sequence[_Line]) -> int:
    longest = max(len(str(each.get_label())) for each in _handles(comparison, lines))
    return 2 if longest <= _SHORT else 1


def _scale(axes: Axes, values: Sequence[float], which: str) -> None:
    """Start at nought, or take logarithms where runs are far apart."""
    if min(values) > 0 and max(values) / min(values) > _LOG_FROM:
        axes.set(**{f"{which}scale": "log"})
        axis = axes.xaxis if which == "x" else axes.yaxis
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    elif min(values) >= 0:
        axes.set(**{f"{which}lim": (0, 1.06 * max(values) or 1)})
