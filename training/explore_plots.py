"""The pictures of an exploration: bars, spreads, sheets of images, and FER against FER+."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from ..edge.records import Image
from . import plots
from .datasets import EMOTIONS, SIDE_PX, Dataset
from .explore import Exploration, Spread, mean_faces
from .ferplus import ANSWER_NAMES, VOTE_NAMES

# Tiles a row of a sheet, at twice their size.
SHEET_COLUMNS = 12
_LINE_PX, _TEXT_SIZE, _TEXT_CHARS = 17, 8, 11


def class_bars(found: Exploration) -> Figure:
    """Shares of the classes, a group of bars a class, a bar a split."""
    made = plots.figure(height_px=520)
    axes = plots.tidy(made.subplots(), y="share of the split")
    width = 0.8 / len(found.splits)
    places = np.arange(len(EMOTIONS))
    for number, split in enumerate(found.splits):
        axes.bar(
            places + (number - (len(found.splits) - 1) / 2) * width,
            np.array(split.counts) / split.total,
            width,
            color=plots.SERIES[number],
            label=f"{split.split} ({split.total:,} images)",
        )
    axes.set_xticks(places, EMOTIONS)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(visible=False, axis="x")
    axes.legend(fontsize=plots.FONT_SIZE - 1, frameon=False)
    return made


def spreads(found: Exploration) -> Figure:
    """Boxes of brightness and contrast: a class of the largest split, and a split."""
    made = plots.figure(height_px=840)
    largest = max(found.splits, key=lambda split: split.total).split
    classes = [s for s in found.spreads if s.split == largest and s.label]
    splits = [s for s in found.spreads if not s.label]
    grid = made.subplots(2, 2, width_ratios=[len(EMOTIONS), max(2, len(splits))], sharey="row")
    for row, name in enumerate(("brightness", "contrast")):
        for column, chosen in enumerate((classes, splits)):
            axes = plots.tidy(
                grid[row][column],
                title="" if row else (f"{largest}, by class" if not column else "all, by split"),
                y="" if column else f"{name} (grey levels)",
            )
            boxes = axes.bxp(
                [_box(spread, name) for spread in chosen],
                showfliers=False,
                patch_artist=True,
                widths=0.6,
                medianprops={"color": "black"},
            )
            for number, (patch, spread) in enumerate(zip(boxes["boxes"], chosen, strict=True)):
                colour = plots.CLASS_COLOURS.get(spread.label, plots.SERIES[number % 7])
                patch.set_facecolor(colour)
            axes.set_ylim(0)
            axes.grid(visible=False, axis="x")
            axes.tick_params(axis="x", rotation=20 if column else 0)
    return made


def _box(spread: Spread, name: str) -> dict:
    low, first, middle, third, high = getattr(spread, name)
    box = {"whislo": low, "q1": first, "med": middle, "q3": third, "whishi": high}
    return {**box, "label": spread.label or spread.split}


def sheet(
    images: Sequence[NDArray[np.uint8] | None],
    texts: Sequence[str] = (),
    *,
    columns: int = SHEET_COLUMNS,
) -> Figure:
    """Images side by side, row by row, each pixel enlarged to a square.

    Args:
        images: uint8, ``(48, 48)`` each; None leaves a place free.
        texts: What stands under each, lines apart by ``\\n``; none at all without it.
        columns: Images a row; the fewer, the larger they are.
    """
    pitch = plots.WIDTH_PX // columns
    scale = (pitch - 4) // SIDE_PX
    side = scale * SIDE_PX
    lines = max((text.count("\n") + 1 for text in texts), default=0)
    row_px = side + 8 + lines * _LINE_PX
    rows = -(-len(images) // columns)
    canvas = np.full((max(1, rows) * row_px, plots.WIDTH_PX), 255, np.uint8)
    made = plots.figure(height_px=canvas.shape[0])
    made.set_layout_engine("none")
    axes = made.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    for index, image in enumerate(images):
        if image is None:
            continue
        top, left = index // columns * row_px + 2, index % columns * pitch + (pitch - side) // 2
        # A faint frame, or a white image ends nowhere.
        canvas[top - 1 : top + side + 1, left - 1 : left + side + 1] = 208
        canvas[top : top + side, left : left + side] = image.repeat(scale, 0).repeat(scale, 1)
        if texts:
            axes.text(
                left + side / 2,
                top + side + 3,
                texts[index],
                ha="center",
                va="top",
                fontsize=_TEXT_SIZE,
            )
    # As RGB: a grey image goes through a colour map, which moves some values by one.
    axes.imshow(np.dstack([canvas] * 3), interpolation="nearest", aspect="auto")
    return made


def mean_face_sheet(data: Dataset) -> Figure:
    """The mean face of each class (columns) and split (rows), each stretched to full contrast."""
    images: list[NDArray[np.uint8] | None] = []
    texts: list[str] = []
    for split, _count in data.counts().items():
        for label, face in enumerate(mean_faces(data.split(split))):
            images.append(None if np.isnan(face).any() else _stretched(face))
            texts.append(f"{EMOTIONS[label]}\n{split}")
    return sheet(images, texts, columns=len(EMOTIONS))


def _stretched(face: NDArray[np.float64]) -> Image:
    span = max(float(np.ptp(face)), 1.0)
    return np.rint((face - face.min()) * (255.0 / span)).astype(np.uint8)


def sample(data: Dataset, where: NDArray[np.bool_], *, count: int, seed: int) -> NDArray[np.int64]:
    """Positions of some of the images of a mask, drawn without replacement, ascending."""
    chosen = np.flatnonzero(where)
    drawn = np.random.default_rng(seed).permutation(chosen)[:count]
    return np.sort(drawn).astype(np.int64)


def images_at(data: Dataset, places: Sequence[int]) -> Figure:
    """A sheet of single images with origin, split and class."""
    return sheet([data.images[index] for index in places], [caption(data, i) for i in places])


def groups_at(data: Dataset, groups: Sequence[Sequence[int]], *, size: int) -> Figure:
    """A sheet of groups of up to ``size`` images that belong together, with a gap between them."""
    places: list[int | None] = []
    for group in groups:
        shown = list(group)[:size]
        # A group is not torn apart at the end of a row.
        free = -len(places) % SHEET_COLUMNS
        if free < len(shown):
            places += [None] * free
        places += shown
        if len(places) % SHEET_COLUMNS:
            places.append(None)
    return sheet(
        [None if index is None else data.images[index] for index in places],
        ["" if index is None else caption(data, index) for index in places],
    )


def caption(data: Dataset, index: int) -> str:
    """Origin, split and class of an image on three lines.

    Of a file name as much of the end as fits, without the split that stands below.
    """
    split = str(data.splits[index])
    origin = PurePosixPath(str(data.origins[index])).stem.removeprefix(f"{split}_")
    return "\n".join((origin[-_TEXT_CHARS:], split, EMOTIONS[data.labels[index]]))


def votes_matrix(found: Exploration) -> Figure:
    """What FER+ calls the images of each class: shares of the row as colours, counts as texts."""
    counts = np.array(found.votes[0].counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # FER-2013's own order first, so that agreement is the diagonal.
    order = [VOTE_NAMES.index(name) for name in EMOTIONS]
    order += [index for index in range(counts.shape[1]) if index not in order]
    names = ANSWER_NAMES
    made = plots.figure(height_px=760)
    axes = made.subplots()
    plots.heatmap(
        axes,
        shares[:, order],
        [[f"{n:,}" for n in row] for row in counts[:, order]],
        EMOTIONS,
        tuple(names[index] for index in order),
    )
    axes.set_xlabel("answer of most FER+ taggers", fontsize=plots.FONT_SIZE)
    axes.set_ylabel("class in FER-2013", fontsize=plots.FONT_SIZE)
    return made
