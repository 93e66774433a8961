"""How every plot of the project looks: its size, its colours, one order of the classes.

Figures are made without ``pyplot``, so that nothing global is changed and no screen is needed.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..edge.files import replacing

# Legible on a page 1280 pixels wide, which is also the widest that a page of ours shows.
WIDTH_PX, DPI = 1280, 128
FONT_SIZE = 11

# Okabe and Ito, "Color Universal Design" (2008): told apart with any colour blindness. Black, the
# eighth, is kept for chance, ideals and means.
CLASS_COLOURS = {
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "surprise": "#56B4E9",
    "neutral": "#7F7F7F",
}
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
# Also told apart by lightness alone, in print and with any colour blindness.
HEAT = "cividis"


def figure(width_px: int = WIDTH_PX, height_px: int = 640) -> Figure:
    """An empty figure of a size in pixels, with constrained layout."""
    made = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    return made


def tidy(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> Axes:
    """Give axes their texts, a faint grid, and no box on the right and on top."""
    axes.set_title(title, fontsize=FONT_SIZE + 1, loc="left")
    axes.set_xlabel(x, fontsize=FONT_SIZE)
    axes.set_ylabel(y, fontsize=FONT_SIZE)
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def heatmap(
    axes: Axes,
    values: Any,
    texts: list[list[str]],
    labels: tuple[str, ...],
    columns: tuple[str, ...] | None = None,
) -> Axes:
    """A table of shares (0 to 1) as colours, each cell with its text.

    Args:
        axes: To draw on.
        values: ``(n, m)``, 0 to 1: the colour of each cell.
        texts: ``n`` lists of ``m`` texts.
        labels: ``n`` names, for the rows.
        columns: ``m`` names; None where rows and columns are the same.
    """
    values = np.asarray(values)
    names = columns or labels
    axes.imshow(values, cmap=HEAT, vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=FONT_SIZE - 1)
    axes.set_yticks(range(len(labels)), labels, fontsize=FONT_SIZE - 1)
    axes.spines[:].set_visible(False)
    for row, column in np.ndindex(values.shape):
        red, green, blue, _ = colormaps[HEAT](values[row, column])
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        axes.text(
            column,
            row,
            texts[row][column],
            ha="center",
            va="center",
            fontsize=FONT_SIZE - 2,
            color="black" if light else "white",
        )
    return axes


def png(made: Figure) -> bytes:
    """The figure as the bytes of a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    made.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def save_png(made: Figure, path: Path) -> None:
    """Write the figure as a PNG file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(png(made))
