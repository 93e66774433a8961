"""Runs side by side: ratios to the first, what differs, and what is more than noise. Pure."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .document import Curve, Document, Figure

SCHEMA_VERSION = 1
#: Two groups of repetitions are told apart where chance parts them so in one of twenty cases.
CHANCE = 0.05
#: Section of what is read off curves.
ROBUSTNESS = "robustness"
# What these count does not vary: the same model gives the same answers to the same images.
_EXACT_SECTIONS, _EXACT_METRICS = ("accuracy",), ("size",)
# Differences of shares are told in points, and a ratio of differences would say nothing.
_NO_RATIO = ("%", "points")
_LONGEST_NAME = 24

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A document with the name that the report gives it.

    Attributes:
        name: Of its file without the suffix, made short and unique.
        document: What was measured.
    """

    name: str
    document: Document

    @property
    def title(self) -> str:
        """The name with what a reader of any of its figures must know."""
        marks = ["quick"] if self.document.quick else []
        marks += ["interrupted"] if self.document.state == "interrupted" else []
        return f"{self.name} ({', '.join(marks)})" if marks else self.name

    @property
    def host(self) -> tuple[Any, ...]:
        """What two runs of one host have in common; two machines may share it, too."""
        machine = self.document.machine
        return (
            machine.board,
            machine.processor,
            machine.architecture,
            machine.cores,
            machine.system or machine.kernel,
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """What a run found of a row.

    Attributes:
        figure: None where the run does not have it.
        ratio: Its median over that of the first run; None where that would say nothing.
        difference: Its median less that of the first run, for shares; None where there is none.
        no_ratio: Why it is not set against the first run's although both are there.
    """

    figure: Figure | None
    ratio: float | None = None
    difference: float | None = None
    no_ratio: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A quantity in all runs.

    Attributes:
        section: The benchmark.
        metric: What.
        unit: Of its values.
        better: Which direction is good.
        of: What was measured.
        cells: One a run.
    """

    section: str
    metric: str
    unit: str
    better: str
    of: dict[str, str | int | float]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a figure between two runs of one host.

    Attributes:
        row: Which figure.
        before: Of the earlier file.
        after: Of the later one.
        percent: Of the median; infinite where it was 0.
        told: Whether it is told apart from noise.
        worse: Whether it went in the direction that is not good.
    """

    row: Row
    before: Figure
    after: Figure
    percent: float
    told: bool
    worse: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Two runs of one host.

    Attributes:
        before: Name of the run whose file was given first.
        after: Name of the other one.
        changes: Of all figures that both may quote: those told apart from noise, the worse ones and
            the largest first.
        rough: Whether one of them was made with ``--quick``.
    """

    before: str
    after: str
    changes: tuple[Change, ...]
    rough: bool

    def regressions(self, percent: float) -> tuple[Change, ...]:
        """Figures that got worse by more than so much, and not by noise; none of quick runs."""
        if self.rough:
            return ()
        return tuple(
            each
            for each in self.changes
            if each.told
            and each.worse
            and abs(each.percent) > percent
            and each.row.unit != "points"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What :func:`compare` found.

    Attributes:
        runs: In the order in which they were given; ratios are to the first.
        rows: In the order of the documents.
        changes: A pair for each run that has one of the same host before it.
    """

    runs: tuple[Run, ...]
    rows: tuple[Row, ...]
    changes: tuple[Changes, ...]

    @property
    def curves(self) -> Iterator[tuple[Run, Curve]]:
        """All curves with their runs."""
        return ((run, curve) for run in self.runs for curve in run.document.curves)


def name_runs(documents: Sequence[tuple[Path, Document]]) -> tuple[list[Run], list[str]]:
    """Name documents by their files; what is there twice is left out.

    Returns:
        The runs, and a sentence for each that was left out.
    """
    runs: list[Run] = []
    left_out = []
    for path, document in documents:
        twin = next((run.name for run in runs if run.document == document), None)
        if twin is not None:
            left_out.append(f"{path.name} is the same run as {twin}: left out.")
            continue
        short = (
            path.stem if len(path.stem) <= _LONGEST_NAME else path.stem[: _LONGEST_NAME - 1] + "…"
        )
        taken = {run.name for run in runs}
        names = (short, *(f"{short} ({number})" for number in range(2, len(documents) + 1)))
        runs.append(Run(next(name for name in names if name not in taken), document))
    return runs, left_out


def compare(runs: Sequence[Run]) -> Comparison:
    """Set runs side by side.

    Args:
        runs: One or more, with different names.
    """
    found = [_by_key(run.document) for run in runs]
    keys = dict.fromkeys(key for figures in found for key in figures)
    rows = tuple(_row(key, runs, [figures.get(key) for figures in found]) for key in keys)
    changes = []
    for at, run in enumerate(runs):
        first = next(index for index, other in enumerate(runs) if other.host == run.host)
        if first < at:
            changes.append(_changes(runs, rows, first, at))
    return Comparison(tuple(runs), rows, tuple(changes))


def _by_key(document: Document) -> dict[Key, Figure]:
    """The figures by what they are matched by."""
    found: dict[Key, Figure] = {}
    for figure in (*document.figures, *map_curves(document.curves)):
        if figure.of.get("cores") == document.machine.cores:
            # All cores of a machine are compared with all of another one, be they four or two.
            figure = replace(figure, of={**figure.of, "cores": "all"})
        if figure.key in found:
            figure = replace(figure, invalid=figure.invalid or "twice in its document")
        found[figure.key] = figure
    return found


def map_curves(curves: Iterable[Curve]) -> Iterator[Figure]:
    """The points of curves as figures, so that they are set side by side like those."""
    for curve in curves:
        for x, y in zip(curve.xs, curve.ys, strict=True):
            of = {**curve.of, "strength": f"{x:g} {curve.x_unit}".strip()}
            yield Figure(ROBUSTNESS, curve.name, curve.y_unit, "none", of, (y,))


def _row(key: Key, runs: Sequence[Run], figures: Sequence[Figure | None]) -> Row:
    shown = next(figure for figure in figures if figure is not None)
    cells = [Cell(figures[0])]
    for run, figure in zip(runs[1:], figures[1:], strict=True):
        cells.append(_cell(runs[0], figures[0], run, figure))
    return Row(shown.section, shown.metric, shown.unit, shown.better, dict(shown.of), tuple(cells))


def _cell(first_run: Run, first: Figure | None, run: Run, figure: Figure | None) -> Cell:
    if figure is None or first is None:
        return Cell(figure)
    why = _why_apart(first_run, first, run, figure)
    if why or first.invalid or figure.invalid:
        return Cell(figure, no_ratio=why)
    if figure.unit in _NO_RATIO:
        return Cell(figure, difference=figure.median - first.median)
    if first.median == 0:
        return Cell(figure)
    return Cell(figure, ratio=figure.median / first.median)


def _why_apart(first_run: Run, first: Figure, run: Run, figure: Figure) -> str:
    """Why two figures of one name are not of one thing; empty where they are."""
    if figure.unit != first.unit:
        return f"{run.name} has it in {figure.unit}, {first_run.name} in {first.unit}"
    for name in _models_of(figure):
        mine, its = (
            {model.name: model.sha256 for model in each.document.models}.get(name)
            for each in (run, first_run)
        )
        if mine and its and mine != its:
            return (
                f"{name} of {run.name} is another file than that of {first_run.name} (sha256 "
                f"{mine[:12]}…, not {its[:12]}…)"
            )
    return ""


def _models_of(figure: Figure) -> list[str]:
    """What its document calls the files that a figure depends on."""
    names = [str(figure.of[key]) for key in ("model", "detector") if key in figure.of]
    # Of one name there may be a float master beside what was made from it.
    return [f"{names[0]}, keras", *names[1:]] if figure.of.get("kind") == "keras" else names


def _changes(runs: Sequence[Run], rows: Sequence[Row], before: int, after: int) -> Changes:
    first, run = runs[before], runs[after]
    found = []
    for row in rows:
        old, new = row.cells[before].figure, row.cells[after].figure
        if old is None or new is None or old.invalid or new.invalid or old.better == "none":
            continue
        if _why_apart(first, old, run, new):
            continue
        rise = new.median - old.median
        percent = 100 * rise / abs(old.median) if old.median else math.copysign(math.inf, rise)
        if not rise:
            percent = 0.0
        worse = rise != 0 and (rise > 0) == (old.better == "lower")
        found.append(Change(row, old, new, percent, told_apart(old, new), worse))
    found.sort(key=lambda each: (not each.told, not each.worse, -abs(each.percent)))
    rough = first.document.quick or run.document.quick
    return Changes(first.name, run.name, tuple(found), rough)


def told_apart(before: Figure, after: Figure) -> bool:
    """Whether two figures of one host differ by more than their noise.

    They do where every repetition of the one is larger than every one of the other. Were both
    drawn from the same, that would happen in 2 of ``C(n + m, n)`` orders of n and m repetitions
    (the two-sided exact test of Mann and Whitney, 1947, at its extreme): 0.8 % for five and five,
    10 % for three and three, which is above :data:`CHANCE` and so is told apart by nothing. What
    is counted on given images does not vary, and differs where it differs.
    """
    if (before.section in _EXACT_SECTIONS or before.metric in _EXACT_METRICS) and len(
        before.values
    ) == len(after.values) == 1:
        return before.values != after.values
    (low, high), (other_low, other_high) = before.spread, after.spread
    if low <= other_high and other_low <= high:
        return False
    counts = len(before.values), len(after.values)
    return 2 / math.comb(sum(counts), counts[0]) <= CHANCE


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values, schema version 1; what is infinite or not there is null."""
    return {
        "schema": SCHEMA_VERSION,
        "kind": "fer-edge-benchmark-report",
        "runs": [
            {
                "name": run.name,
                "quick": run.document.quick,
                "state": run.document.state,
                "machine": dataclasses.asdict(run.document.machine),
            }
            for run in comparison.runs
        ],
        "rows": [
            {
                "section": row.section,
                "metric": row.metric,
                "unit": row.unit,
                "better": row.better,
                "of": row.of,
                "runs": [_cell_to_dict(cell) for cell in row.cells],
            }
            for row in comparison.rows
        ],
        "changes": [
            {
                "before": each.before,
                "after": each.after,
                "section": change.row.section,
                "metric": change.row.metric,
                "of": change.row.of,
                "percent": change.percent if math.isfinite(change.percent) else None,
                "told_apart": change.told,
                "worse": change.worse,
            }
            for each in comparison.changes
            for change in each.changes
        ],
    }


def _cell_to_dict(cell: Cell) -> dict[str, Any] | None:
    if cell.figure is None:
        return None
    return {
        "median": cell.figure.median,
        "spread": list(cell.figure.spread),
        "repetitions": len(cell.figure.values),
        "invalid": cell.figure.invalid,
        "ratio": cell.ratio,
        "difference": cell.difference,
        "no_ratio": cell.no_ratio,
    }
