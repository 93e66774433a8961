"""The words of a report: what a figure is of, how it is written, and its reasons by number."""

import re
from collections.abc import Iterable, Mapping, Sequence

from ..training.pages import Struck
from .side_by_side import Cell, Row

NONE = "–"
BETTER = {"lower": ", lower is better", "higher": ", higher is better", "none": ""}
#: In which order a row says what it is of; what is not named here follows.
_ORDER = ("contender", "model", "kind", "runtime", "device", "detector", "size", "clip", "split")
_ORDER_LAST = ("images", "class", "cores", "threads", "faces", "rate", "strength")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SHARES = ("%", "points")
#: Part of a text of numbers by which rows are sorted as people count.
Natural = tuple[tuple[int, float, str], ...]


class Reasons:
    """Numbers the reasons why figures must not be quoted or compared, each once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, *reasons: str) -> str:
        """`` [1]`` for each reason that is not empty."""
        numbers = [self._numbers.setdefault(why, len(self._numbers) + 1) for why in reasons if why]
        return "".join(f" [{number}]" for number in numbers)

    @property
    def listed(self) -> list[tuple[str, str]]:
        """Number and reason."""
        return [(f"[{number}]", why) for why, number in self._numbers.items()]


def number(value: float, unit: str) -> str:
    """A value with the digits that such a unit is read with."""
    if unit == "points":
        return f"{value:+.2f}"
    if unit in ("frames", "images", "faces") and value == int(value):
        return f"{value:.0f}"
    size = abs(value)
    if size >= 1e6:
        return f"{value:.3g}"
    if unit == "%":
        return f"{value:.2f}"
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 4}f}"


def cell(found: Cell, unit: str, reasons: Reasons) -> str:
    """A figure with its ratio or difference, its spread in a second line, and its marks."""
    figure = found.figure
    if figure is None:
        return NONE
    text = number(figure.median, figure.unit)
    if figure.unit != unit:
        text += f" {figure.unit}"
    if found.ratio is not None:
        text += f" · {ratio(found.ratio)}"
    if found.difference is not None:
        text += f" ({found.difference:+.2f})"
    marks = reasons.mark(figure.invalid, found.no_ratio)
    low, high = figure.spread
    spread = ""
    if len(figure.values) > 1:
        spread = f"\n{number(low, figure.unit)} to {number(high, figure.unit)}"
    return Struck(text + spread, marks) if figure.invalid else text + marks + spread


def ratio(value: float) -> str:
    """``5.9×`` or ``0.17×``."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}×"


def split_metric(metric: str) -> tuple[str, str]:
    """``classify_p50`` as what is measured and which part of it: ``classify`` and ``p50``."""
    name, _, part = metric.rpartition("_")
    if name and re.fullmatch(r"p\d+|low|high", part):
        return name, part
    return metric, ""


def words(metric: str) -> str:
    """A metric as words."""
    return metric.replace("_", " ")


def describe(of: Mapping[str, str | int | float]) -> str:
    """What a figure is of, in words."""
    known = [key for key in (*_ORDER, *_ORDER_LAST) if key in of]
    others = [key for key in of if key not in known]
    first = [key for key in known if key in _ORDER]
    last = [key for key in known if key in _ORDER_LAST]
    return ", ".join(text for key in (*first, *others, *last) if (text := _part(key, of[key])))


def _part(key: str, value: str | int | float) -> str:
    if key == "clip_sha256":
        return ""
    if key == "rate":
        return (
            "unpaced" if value == 0 else f"at {value:g}/s" if _is_number(value) else f"at {value}"
        )
    if key in ("threads", "faces", "images", "cores") and (_is_number(value) or value == "all"):
        shown = f"{value:g}" if _is_number(value) else str(value)
        return f"{shown} {key[:-1] if value == 1 else key}"
    if key in (*_ORDER, *_ORDER_LAST):
        return str(value)
    return f"{words(key)} {value}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def natural(text: str) -> Natural:
    """A key by which ``2 faces`` comes before ``10 faces``."""
    parts: list[tuple[int, float, str]] = []
    at = 0
    for found in _NUMBER.finditer(text):
        parts += [(1, 0.0, text[at : found.start()]), (0, float(found[0]), "")]
        at = found.end()
    return (*parts, (1, 0.0, text[at:]))


def families(rows: Iterable[Row]) -> dict[tuple[str, str, str, str], list[Row]]:
    """Rows that belong into a table: of one section, quantity, unit and good direction."""
    found: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        # The bounds of an interval are neither, and belong to what they are of.
        name, part = split_metric(row.metric)
        better = row.better
        if part in ("low", "high"):
            better = next(
                (each[3] for each in found if each[:3] == (row.section, name, row.unit)), better
            )
        found.setdefault((row.section, name, row.unit, better), []).append(row)
    return found


def shared(rows: Sequence[Row]) -> dict[str, str | int | float]:
    """What all rows of a table are of."""
    if len(rows) < 2:
        return {}
    return {
        key: value
        for key, value in rows[0].of.items()
        if all(row.of.get(key) == value for row in rows[1:])
    }


def label(row: Row, without: Mapping[str, object]) -> str:
    """What a row is of, but for what its table says once."""
    of = {key: value for key, value in row.of.items() if key not in without}
    parts = [describe(of), split_metric(row.metric)[1]]
    return ", ".join(part for part in parts if part)
