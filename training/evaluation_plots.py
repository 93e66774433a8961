"""The pictures of an evaluation: confusion, ROC curves, calibration, sheets of faces."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..edge.records import Image
from .datasets import EMOTIONS
from .metrics import Calibration, Evaluation, RocCurve
from .plots import CLASS_COLOURS, FONT_SIZE, SERIES, figure, heatmap, tidy

SHEET_COLUMNS = 6
_CELL_PX = 284
# Solid and dashed as well as blue and vermilion: told apart without colours.
_RIGHT, _WRONG = (SERIES[0], "solid", "✓"), (SERIES[1], "dashed", "✗")
# So that curves that lie on each other can be told apart without colours.
_DASHES = ("solid", "dashed", "dashdot", "dotted", (0, (8, 2)), (0, (8, 2, 2, 2)), (0, (4, 1)))


@dataclass(frozen=True, slots=True)
class Shown:
    """One face of a sheet and what was said about it.

    Attributes:
        image: uint8, ``(48, 48)``, grey.
        true: Its class.
        named: The most likely class.
        probability: Of that class, 0 to 1.
        origin: Row or file name in the source.
    """

    image: Image
    true: str
    named: str
    probability: float
    origin: str


def confusion_figure(scores: Evaluation) -> Figure:
    """The confusion twice: numbers of images, and shares of the true class in percent."""
    made = figure(height_px=680)
    left, right = made.subplots(1, 2)
    rates = scores.rates()
    # Both by the rates, as by the counts the largest class would take all the colour.
    colours = np.nan_to_num(rates)
    counts = [[str(n) for n in row] for row in scores.confusion]
    shares = [["–" if np.isnan(x) else f"{x:.0%}" for x in row] for row in rates]
    for axes, texts, title in (
        (left, counts, "images"),
        (right, shares, "share of the true class"),
    ):
        heatmap(axes, colours, texts, EMOTIONS)
        axes.set_title(title, fontsize=FONT_SIZE + 1, loc="left")
        axes.set_xlabel("named", fontsize=FONT_SIZE)
        axes.set_ylabel("true", fontsize=FONT_SIZE)
    return made


def roc_figure(curves: Sequence[RocCurve]) -> Figure:
    """One curve a class against all others, with the areas in the legend.

    Args:
        curves: One or more.
    """
    # Wider than high: what the aspect takes from the axes must not be the room of the label.
    made = figure(width_px=1000, height_px=920)
    axes = tidy(
        made.subplots(),
        x="share of the other classes' images that are taken for it",
        y="share of its own images that are found",
    )
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="dotted")
    for curve in curves:
        axes.plot(
            curve.false_positive_rate,
            curve.true_positive_rate,
            color=CLASS_COLOURS[curve.label],
            linestyle=_DASHES[EMOTIONS.index(curve.label)],
            linewidth=2.2,
            label=f"{curve.label} {curve.area:.3f}",
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.005)
    axes.set_aspect("equal")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.annotate("chance 0.500", (0.33, 0.30), fontsize=FONT_SIZE - 1, rotation=45, va="center")
    axes.legend(
        loc="lower right",
        title="class and area",
        fontsize=FONT_SIZE,
        title_fontsize=FONT_SIZE,
        handlelength=4,
        framealpha=1.0,
        edgecolor="none",
    )
    return made


def reliability_figure(calibration: Calibration) -> Figure:
    """How often the model is right against how sure it is, and how many images each bin has."""
    made = figure(height_px=820)
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    full = [item for item in calibration.bins if item.count]
    middles = [(item.low + item.high) / 2 for item in calibration.bins]
    width = calibration.bins[0].high - calibration.bins[0].low
    tidy(upper, title="Right when sure", y="share named right")
    upper.plot([0, 1], [0, 1], color="black", linewidth=1.2, linestyle="dotted")
    # Left of the first bin that a largest of seven probabilities can fill.
    upper.annotate(
        "as sure as right", (0.125, 0.14), fontsize=FONT_SIZE - 1, ha="right", va="bottom"
    )
    upper.bar(
        [(item.low + item.high) / 2 for item in full],
        [item.accuracy or 0.0 for item in full],
        width=width * 0.92,
        color=SERIES[5],
        edgecolor=SERIES[0],
        label="named right",
    )
    upper.plot(
        [item.confidence or 0.0 for item in full],
        [item.accuracy or 0.0 for item in full],
        color="black",
        marker="o",
        markersize=5,
        linestyle="none",
        label="at the bin's mean confidence",
    )
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    upper.yaxis.set_major_formatter(PercentFormatter(1.0))
    # Above the axes: a bin of few images may reach up anywhere.
    upper.legend(
        fontsize=FONT_SIZE - 1, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False
    )
    tidy(lower, x="confidence: probability of the named class", y="images")
    counts = [item.count for item in calibration.bins]
    bars = lower.bar(middles, counts, width=width * 0.92, color=SERIES[6])
    lower.bar_label(bars, labels=[str(n) if n else "" for n in counts], fontsize=FONT_SIZE - 2)
    lower.margins(y=0.2)
    lower.xaxis.set_major_formatter(PercentFormatter(1.0))
    return made


def sheet_figure(shown: Sequence[Shown]) -> Figure:
    """Faces in rows of six, each with what was named and what is true.

    Right answers have a solid frame and a tick, wrong ones a dashed frame and a cross.

    Args:
        shown: One face or more, in their order.
    """
    rows = -(-len(shown) // SHEET_COLUMNS)
    made = figure(height_px=_CELL_PX * rows + 16)
    made.set_layout_engine("constrained", h_pad=0.07, w_pad=0.05)
    cells = made.subplots(rows, SHEET_COLUMNS, squeeze=False).ravel()
    for axes in cells[len(shown) :]:
        axes.set_axis_off()
    for axes, face in zip(cells, shown, strict=False):
        _draw_face(axes, face)
    return made


def _draw_face(axes: Axes, face: Shown) -> None:
    right = face.named == face.true
    colour, style, mark = _RIGHT if right else _WRONG
    axes.imshow(face.image, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(colour)
    axes.spines[:].set_linestyle(style)
    axes.spines[:].set_linewidth(3)
    axes.set_title(
        f"{mark} {face.named} {face.probability:.0%}", fontsize=FONT_SIZE - 1, color="black", pad=5
    )
    # The end of a file name tells more than its beginning.
    origin = face.origin if len(face.origin) <= 18 else f"…{face.origin[-17:]}"
    axes.set_xlabel(f"true: {face.true}\n{origin}", fontsize=FONT_SIZE - 2)
