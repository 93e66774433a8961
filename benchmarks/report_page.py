"""Runs side by side as the content of a page: tables and pictures, in the order of interest."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ..training.pages import Picture, Section, Table
from .document import Conditions, Document
from .report_text import (
    BETTER,
    NONE,
    Reasons,
    cell,
    describe,
    families,
    label,
    natural,
    number,
    shared,
    split_metric,
    words,
)
from .side_by_side import Change, Changes, Comparison, Row, Run

# Columns of runs in a table, so that it fits a sheet of paper; the first run is in each.
_MOST_COLUMNS = 4
# Rows of changes that noise may have made, beside those that it has not.
_MOST_UNTOLD = 10

#: What comes first: section, metric, its words, and of which rows.
_HEADLINES: tuple[tuple[str, str, str, Callable[[Row], bool]], ...] = (
    ("latency", "classify_p50", "a face is read in", lambda row: row.of.get("threads", 1) == 1),
    ("latency", "detect_p50", "faces are found in", lambda row: row.of.get("size") == "320x240"),
    (
        "loop",
        "fps",
        "the loop's capacity",
        lambda row: row.of.get("rate") == 0 and row.of.get("faces", 1) == 1,
    ),
    ("loop", "age_p95", "age of a result, p95", lambda row: row.of.get("rate") == 30),
    ("loop", "memory", "memory of the loop", lambda row: row.of.get("rate") == 30),
    ("accuracy", "accuracy", "accuracy", lambda row: True),
    ("accuracy", "loss", "lost by the conversion", lambda row: True),
)


def title(comparison: Comparison) -> str:
    """Heading of the page."""
    machines = dict.fromkeys(run.document.machine.title for run in comparison.runs)
    return f"fer-edge on {' and '.join(machines)}" if len(machines) < 3 else "fer-edge, benchmarks"


def subtitle(comparison: Comparison) -> str:
    """What was set side by side, in a line."""
    names = ", ".join(run.title for run in comparison.runs)
    several = f" Ratios and differences are to {comparison.runs[0].name}."
    return f"{names}.{several if comparison.runs[1:] else ''}"


def sections(
    comparison: Comparison, pictures: Mapping[str, Picture], left_out: Sequence[str] = ()
) -> list[Section]:
    """The content of a report.

    Args:
        comparison: The runs.
        pictures: By heading; see :func:`.report_plots.draw`.
        left_out: Sentences on files that take no part.
    """
    reasons = Reasons()
    # In the order of the page, so that reasons are numbered in the order of their marks.
    found = [Section("In short", _how_to_read(comparison), _headlines(comparison, reasons))]
    found += [Section(heading, (), (picture,)) for heading, picture in pictures.items()]
    found += [_changes(each, comparison) for each in comparison.changes]
    machines = Section("Machines and runs", ("≠: not the same in all.",), _machines(comparison))
    missing = _missing(comparison)
    figures = list(_all_figures(comparison, reasons))
    found += [machines, missing, _validity(comparison, reasons, left_out), *figures]
    return [section for section in found if section.items or section.paragraphs]


def _how_to_read(comparison: Comparison) -> list[str]:
    found = [
        "A figure is the median of its repetitions; the line under it has the smallest and the "
        "largest. Struck through: invalid, not to be quoted; the number beside it names the "
        'reason, under "Validity".'
    ]
    first = comparison.runs[0].name
    if comparison.runs[1:]:
        found.append(
            f"5.9×: it is 5.9 times that of {first}, whether that is good or bad. Shares have the "
            f"difference in points in brackets instead."
        )
    for run in comparison.runs:
        if run.document.quick:
            found.append(
                f"{run.name} was made with --quick: few and short repetitions. Its figures are "
                f"rough and not to be published."
            )
        if run.document.state == "interrupted":
            found.append(f"{run.name} was interrupted: it has what was finished by then.")
    return found


def _headlines(comparison: Comparison, reasons: Reasons) -> list[Table]:
    rows: list[tuple[str, Row]] = []
    for section, metric, text, wanted in _HEADLINES:
        matching = [
            row for row in comparison.rows if (row.section, row.metric) == (section, metric)
        ]
        rows += [
            (f"{text}, {row.unit}: {describe(row.of)}", row) for row in matching if wanted(row)
        ]
    return _tables(comparison.runs, rows, "", reasons)


def _tables(
    runs: Sequence[Run], rows: Sequence[tuple[str, Row]], caption: str, reasons: Reasons
) -> list[Table]:
    """Rows as tables that are narrow enough, the first run in each."""
    if not rows:
        return []
    made = []
    for part in _column_groups(runs):
        head = ["", *(runs[at].title for at in part)]
        body = [
            [text, *(cell(row.cells[at], row.unit, reasons) for at in part)] for text, row in rows
        ]
        made.append(Table(head, body, caption))
    return made


def _column_groups(runs: Sequence[Run]) -> list[list[int]]:
    others = list(range(1, len(runs)))
    step = _MOST_COLUMNS - 1
    return [[0, *others[at : at + step]] for at in range(0, max(1, len(others)), step)]


def _all_figures(comparison: Comparison, reasons: Reasons) -> Iterator[Section]:
    by_section: dict[str, list[Row]] = {}
    for row in comparison.rows:
        by_section.setdefault(row.section, []).append(row)
    for section, rows in by_section.items():
        items: list[Table | Picture] = []
        for (_, family, unit, better), members in families(rows).items():
            same = shared(members)
            texts = sorted(((label(row, same), row) for row in members), key=_by_text)
            of = describe(same)
            caption = f"{words(family)}, {unit}{BETTER[better]}{f' ({of})' if of else ''}"
            items += _tables(comparison.runs, texts, caption, reasons)
        yield Section(f"Figures: {section}", (), items)


def _by_text(item: tuple[str, Row]) -> tuple[tuple[int, float, str], ...]:
    return natural(item[0])


def _changes(found: Changes, comparison: Comparison) -> Section:
    """A section on two runs of one host."""
    told = [each for each in found.changes if each.told]
    untold = [each for each in found.changes if not each.told and each.percent]
    runs = {run.name: run for run in comparison.runs}
    before, after = runs[found.before], runs[found.after]
    notes = [
        f"{found.before} and {found.after} are of one board, processor and system. A change is "
        f"told apart from noise where every repetition of the one run lies beyond every one of "
        f"the other and there are enough of them (four and four, or more) that chance would do "
        f"so in less than one of twenty cases. Of {len(found.changes)} figures that both may "
        f"quote, {len(told)} are told apart; by chance alone it would be one of 126 with five "
        f"repetitions each.",
        "Repetitions of one run know nothing of what changes between runs (the place of code in "
        "memory, a warmer room), so of a few per cent an answer takes several runs of each.",
    ]
    if found.rough:
        notes.append("A run with --quick is too rough for --fail-on-regression.")
    rows = [_change_row(each) for each in (*told, *untold[:_MOST_UNTOLD])]
    columns = ("", before.title, after.title, "change", "")
    more = len(untold) - _MOST_UNTOLD
    caption = f"The largest; {more} smaller ones within noise are not shown." if more > 0 else ""
    items = [Table(columns, rows, caption)] if rows else []
    return Section(f"{found.after} after {found.before}, one host", notes, items)


def _change_row(each: Change) -> list[str]:
    verdict = "worse" if each.worse else "better"
    if not each.told:
        (low, high), (other_low, other_high) = each.before.spread, each.after.spread
        apart = low > other_high or other_low > high
        verdict = "too few repetitions" if apart else "within noise"
    return [
        change_name(each),
        number(each.before.median, each.before.unit),
        number(each.after.median, each.after.unit),
        f"{each.percent:+.1f} %",
        verdict,
    ]


def change_name(each: Change) -> str:
    """Which figure it is, with its unit."""
    row = each.row
    return f"{row.section} {words(row.metric)}, {row.unit}: {describe(row.of)}"


def _machines(comparison: Comparison) -> list[Table]:
    rows = []
    facts = [_facts(run.document) for run in comparison.runs]
    for name in dict.fromkeys(name for each in facts for name in each):
        texts = [each.get(name, NONE) for each in facts]
        differs = len(set(texts)) > 1 and name not in _OWN
        rows.append((f"{name} ≠" if differs else name, texts))
    made = []
    for part in _column_groups(comparison.runs):
        head = ["", *(comparison.runs[at].name for at in part)]
        body = [[name, *(texts[at] for at in part)] for name, texts in rows]
        made.append(Table(head, body, text_columns=len(head)))
    return made


# Of each run its own, so that a difference says nothing.
_OWN = ("measured", "command", "figures", "temperature", "clock", "load", "models")


def _facts(document: Document) -> dict[str, str]:
    machine, before, after = document.machine, document.before, document.after
    invalid = sum(1 for figure in document.figures if figure.invalid)
    count = len(document.figures)
    return {
        "measured": document.date or NONE,
        "command": document.command,
        "effort": "--quick" if document.quick else "full",
        "state": document.state,
        "figures": f"{count}, {invalid} of them invalid" if invalid else f"{count}",
        "board": machine.board or NONE,
        "processor": machine.processor or NONE,
        "architecture": machine.architecture,
        "cores": f"{machine.cores}",
        "memory": f"{machine.memory_bytes / 1e9:.1f} GB" if machine.memory_bytes else NONE,
        "system": machine.system or NONE,
        "kernel": machine.kernel,
        "governor": _span(before.governor, after.governor),
        "clock": _span(*(_measure(each.clock_mhz, "MHz") for each in (before, after))),
        "temperature": _span(*(_measure(each.temperature_c, "°C") for each in (before, after))),
        "throttled": _span(*map(_throttled, (before, after))),
        "load": _span(*(_measure(each.load_1min, "", 2) for each in (before, after))),
        "fer-edge": document.version or NONE,
        "Python": machine.python or NONE,
        **dict(sorted(machine.packages.items())),
        "models": "\n".join(
            f"{model.name}: {model.sha256[:12]}…, {model.size_bytes / 1e6:.2f} MB"
            for model in document.models
        )
        or NONE,
    }


def _span(before: str | None, after: str | None) -> str:
    """What it was at the start and at the end."""
    if before == after or after is None:
        return before or NONE
    return f"{before or NONE} to {after}"


def _measure(value: float | None, unit: str, digits: int = 0) -> str | None:
    return None if value is None else f"{value:.{digits}f} {unit}".strip()


def _throttled(conditions: Conditions) -> str | None:
    if conditions.throttled_now is None:
        return None
    return ", ".join(conditions.throttled_now) or "no"


def _missing(comparison: Comparison) -> Section:
    rows: list[tuple[str, str, str]] = []
    for at, run in enumerate(comparison.runs):
        rows += [(run.name, what, why) for what, why in run.document.missing.items()]
        sizes: dict[str, int] = {}
        absent: dict[str, dict[str, int]] = {}
        for row in comparison.rows:
            sizes[row.section] = sizes.get(row.section, 0) + 1
            if row.cells[at].figure is None:
                kinds = absent.setdefault(row.section, {})
                family = words(split_metric(row.metric)[0])
                kinds[family] = kinds.get(family, 0) + 1
        for section, kinds in absent.items():
            lacking = sum(kinds.values())
            if lacking == sizes[section]:
                what = f"all {lacking} figures"
            else:
                listed = ", ".join(f"{family} ({count})" for family, count in kinds.items())
                what = f"{lacking} of {sizes[section]} figures: {listed}"
            rows.append((run.name, section, f"{what}; others have them"))
    table = Table(("run", "what", "why, or how much"), rows, text_columns=3)
    return Section("What is missing", (), [table] if rows else [])


def _validity(comparison: Comparison, reasons: Reasons, left_out: Sequence[str]) -> Section:
    rows = [[mark, why] for mark, why in reasons.listed]
    notes = [*left_out]
    for run in comparison.runs:
        notes += [f"{run.name}: {note}" for note in run.document.notes]
    if not rows:
        notes.insert(0, "No figure is marked invalid.")
    items = [Table(("", "why"), rows, text_columns=2)] if rows else []
    return Section("Validity", notes, items)
