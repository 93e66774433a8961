"""A document as tables for people."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .document import Curve, Document, Figure

_QUICK = "quick, rough"
# Of what is no wider itself: as long as "classify".
_HEADER_WIDTH = 8
# Between two columns, and the last one, such as "1126!".
_GAP, _SPREAD_WIDTH = 2, 5
_PERCENTILE, _TAIL = re.compile(r"_p\d+$"), re.compile(r"_p(?!50$)\d+$")


def print_document(document: Document, console: Console) -> None:
    """Print all figures of a run, what is missing, and why some must not be quoted.

    A row holds the medians of one thing; ``+-`` is the widest distance of a repetition from its
    median in that row, and ``!`` marks rows in which something is invalid.
    """
    machine = document.machine
    _say(
        console,
        f"{machine.title} ({machine.architecture}, {machine.cores} cores, {machine.system}), "
        f"{document.date}",
        f"$ {document.command}",
    )
    if document.quick:
        _say(console, "--quick: these figures are rough; do not quote them.")
    if document.state == "interrupted":
        _say(console, "Interrupted: this is what was finished.")
    for figures in _alike(document.figures):
        _print_figures(console, figures, quick=document.quick)
    for curve in document.curves:
        _print_curve(console, curve, quick=document.quick)
    console.print()
    _say(
        console,
        *(f"! {reason}" for reason in document.invalid),
        *(f"not measured: {what}: {why}" for what, why in document.missing.items()),
        *(f"Note: {sentence}" for sentence in document.notes),
    )


def _alike(figures: Sequence[Figure]) -> Iterator[list[Figure]]:
    """Figures of one section whose ``of`` have the same names, as they make up one table."""
    tables: dict[tuple[str, ...], list[Figure]] = {}
    for figure in figures:
        tables.setdefault((figure.section, *sorted(figure.of)), []).append(figure)
    yield from tables.values()


def _print_figures(console: Console, figures: Sequence[Figure], *, quick: bool) -> None:
    """As one table, or as several below each other where it would be wider than the terminal."""
    # A clip's name says enough to people; its digest is in the document.
    names = [name for name in figures[0].of if name != "clip_sha256"]
    rows: dict[tuple, dict[str, Figure]] = {}
    units: dict[str, str] = {}
    for figure in figures:
        of = tuple(figure.of[name] for name in names)
        rows.setdefault(of, {})[figure.metric] = figure
        units.setdefault(figure.metric, figure.unit)
    # What is the same in all rows needs no column.
    varies = [len(rows) == 1 or len({row[at] for row in rows}) > 1 for at in range(len(names))]
    first = next(iter(rows))
    common = [f"{name} {first[at]}" for at, name in enumerate(names) if not varies[at]]
    _title(console, [figures[0].section, *common], quick)
    shown = [[str(value) for at, value in enumerate(of) if varies[at]] for of in rows]
    heads = [name for at, name in enumerate(names) if varies[at]]
    widths = [max(map(len, column)) for column in zip(heads, *shown, strict=True)]
    left = console.width - sum(widths) - _GAP * len(widths) - _SPREAD_WIDTH
    for columns in _parted([_column(group, rows, units) for group in _grouped(units)], left):
        table = _table(heads)
        for column in columns:
            table.add_column(column.header, justify="right", no_wrap=True)
        metrics = [metric for column in columns for metric in column.metrics]
        spreads = []
        for found in rows.values():
            here = [found[metric] for metric in metrics if metric in found]
            invalid = "!" if any(figure.invalid for figure in here) else ""
            spreads.append(_spread(here) + invalid)
        if any(spreads):
            table.add_column("+- %", justify="right", no_wrap=True)
        for at, spread in enumerate(spreads):
            cells = [column.cells[at] for column in columns]
            table.add_row(*map(Text, shown[at]), *cells, *([spread] if any(spreads) else []))
        console.print(table)


@dataclass(frozen=True, slots=True)
class _Column:
    """Metrics that share a column, with the text of each row."""

    metrics: Sequence[str]
    header: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(map(len, [*self.header.splitlines(), *self.cells]))


def _column(
    metrics: Sequence[str], rows: Mapping[tuple, Mapping[str, Figure]], units: Mapping[str, str]
) -> _Column:
    cells = [
        "/".join(_number(found[metric].median) for metric in metrics if metric in found)
        for found in rows.values()
    ]
    # Wrapped here: where a table is too wide, rich would break numbers, too.
    width = max(_HEADER_WIDTH, *map(len, cells))
    header = textwrap.fill(_header(metrics, units), width, break_long_words=False)
    return _Column(metrics, header, cells)


def _parted(columns: Sequence[_Column], width: int) -> list[list[_Column]]:
    """As many columns together as fit; one that is too wide by itself is alone."""
    parts: list[list[_Column]] = []
    left = 0
    for column in columns:
        if not parts or column.width + _GAP > left:
            parts.append([])
            left = width
        parts[-1].append(column)
        left -= column.width + _GAP
    return parts


def _header(metrics: Sequence[str], units: Mapping[str, str]) -> str:
    unit = units[metrics[0]]
    if len(metrics) == 1:
        return f"{metrics[0].replace('_', ' ')} {unit}"
    ranks = "/".join(metric.rpartition("_")[2] for metric in metrics)
    return f"{_PERCENTILE.sub('', metrics[0]).replace('_', ' ')} {ranks} {unit}"


def _grouped(metrics: Iterable[str]) -> list[list[str]]:
    """Metrics that share a column: the percentiles of one quantity."""
    columns: dict[str, list[str]] = {}
    for metric in metrics:
        columns.setdefault(_PERCENTILE.sub("", metric), []).append(metric)
    return list(columns.values())


def _print_curve(console: Console, curve: Curve, *, quick: bool) -> None:
    of = [f"{name} {value}" for name, value in curve.of.items()]
    _title(console, [curve.section, curve.name, *of], quick)
    table = _table([curve.x_unit or curve.name])
    for x in curve.xs:
        table.add_column(_number(x), justify="right")
    table.add_row(curve.y_unit, *map(_number, curve.ys))
    console.print(table)


def _title(console: Console, words: Sequence[str], quick: bool) -> None:
    console.print()
    # As a line of its own: a table breaks its title at its own width.
    _say(console, ", ".join([*words, *([_QUICK] if quick else [])]))


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name)
    return table


def _spread(figures: Iterable[Figure]) -> str:
    """The widest distance of a repetition from its median, in %; "" where none was repeated.

    Of a distribution that of the middle: the tail of a short run is one call. Not of what is
    told in percent itself, which may be about nothing.
    """
    most = [
        max(figure.spread[1] - figure.median, figure.median - figure.spread[0]) / abs(figure.median)
        for figure in figures
        if len(figure.values) > 1 and figure.median and figure.unit != "%"
        if not _TAIL.search(figure.metric)
    ]
    return f"{100 * max(most):.0f}" if most else ""


def _number(value: float) -> str:
    size = abs(value)
    if size >= 100:
        return f"{value:.0f}"
    return f"{value:.3f}".rstrip("0") if 0.001 <= size < 1 else f"{value:.3g}"


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
