"""A comparison as a folder: one HTML page that can be mailed, its plots, and the figures."""

import json
from pathlib import Path

from ..edge.errors import SinkError
from ..edge.files import replacing
from .compare import Comparison, short, table
from .compare_plots import COSTS, cost_figure
from .metrics import percent
from .pages import Picture, Section, Table, page, require_own_folder
from .plots import png

PAGE, FIGURES = "compare.html", "compare.json"
PICTURES = {cost: f"accuracy-{cost.replace('_', '-')}.png" for cost in COSTS}
FILES = (PAGE, FIGURES, *PICTURES.values())


def write_comparison(comparison: Comparison, out: Path) -> tuple[Path, bool]:
    """Write ``compare.html``, ``compare.json`` and the plots into a folder.

    Args:
        comparison: What to write.
        out: A folder that is new, empty, or holds an earlier comparison alone.

    Returns:
        The page, and whether an earlier comparison was replaced.

    Raises:
        DataError: The folder holds something else.
        SinkError: It cannot be written.
    """
    require_own_folder(out, FILES)
    pictures = {name: png(cost_figure(comparison, cost)) for cost, name in PICTURES.items()}
    count = len(comparison.runs)
    subtitle = f"{count} run{'s' if count > 1 else ''}: accuracy on {comparison.measured_on}."
    html = page("Runs compared", subtitle, sections(comparison, pictures))
    figures = json.dumps(comparison.to_dict(), indent=1) + "\n"
    contents = {**pictures, PAGE: html.encode(), FIGURES: figures.encode()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        replaced = any((out / name).exists() for name in FILES)
        for name, content in contents.items():
            with replacing(out / name) as partial:
                partial.write_bytes(content)
    except OSError as exc:
        raise SinkError(f"Cannot write the comparison into {out}: {exc.strerror}.") from exc
    return out / PAGE, replaced


def sections(comparison: Comparison, pictures: dict[str, bytes]) -> list[Section]:
    """The content of the page; ``pictures`` are PNG bytes by file name."""
    columns, rows = table(comparison)
    items: list[Table | Picture] = [Table(columns, rows, text_columns=2)]
    evaluations = _evaluations(comparison)
    if evaluations is not None:
        items.append(evaluations)
    notes = [
        "Gap: accuracy on the training images as they are, less the accuracy here, in points. "
        "Size: the converted model, or the float one where there is none. Epoch: time of one.",
        "Runs whose intervals overlap widely are not told apart by one figure each.",
    ]
    notes += [f"Left out: {reason}." for reason in comparison.skipped]
    found = [Section("Figures", notes, items)]
    for cost, name in PICTURES.items():
        what = cost.replace("_", "-")
        alt = f"Accuracy of each run and of published models over their {what}; figures below"
        found.append(Section(f"Accuracy over {what}", (), (Picture(pictures[name], alt),)))
    found.append(
        Section(
            "Published figures",
            (
                "Not to be ranked with the runs where the split differs: FER-2013's splits differ "
                "in difficulty, and some average several views.",
            ),
            (_published(comparison),),
        )
    )
    found.append(Section("The runs", (), (_runs(comparison),)))
    return found


def _evaluations(comparison: Comparison) -> Table | None:
    """What `fer-edge evaluate` found in the runs, or None where no run has it."""
    rows = []
    for rank, (run, name) in enumerate(zip(comparison.runs, comparison.names(), strict=True), 1):
        found = run.evaluated
        if found is None:
            continue
        rows.append(
            (
                str(rank),
                name,
                f"{found.model} on {found.split}",
                percent(found.accuracy),
                "–" if found.flip_averaged is None else percent(found.flip_averaged),
                "–" if found.without_duplicates is None else percent(found.without_duplicates),
                f"{found.calibration_error:.3f}",
            )
        )
    if not rows:
        return None
    columns = (
        "",
        "run",
        "evaluated",
        "accuracy",
        "flip averaged",
        "without duplicates of Training",
    )
    caption = "Found by fer-edge evaluate"
    return Table((*columns, "calibration error"), rows, caption, text_columns=3)


def _published(comparison: Comparison) -> Table:
    rows = []
    for item in comparison.published:
        accuracy = f"{item.accuracy * 100:.1f} %"
        if item.lowest is not None:
            accuracy = f"{item.lowest * 100:.1f}–{accuracy}"
        rows.append(
            (
                item.name,
                f"{item.source}. {item.note}".strip(),
                item.split,
                accuracy,
                "not stated" if item.parameters is None else short(item.parameters),
                "not stated" if item.multiply_adds is None else short(item.multiply_adds),
            )
        )
    columns = ("", "source and note", "split", "accuracy", "parameters", "multiply-adds")
    return Table(columns, rows, text_columns=3)


def _runs(comparison: Comparison) -> Table:
    rows = [
        (
            str(rank),
            run.folder,
            run.recipe,
            run.variant or "–",
            f"{run.backend}, {run.precision}, {run.host}",
            str(run.seed),
            f"{run.best_epoch} of {run.epochs}" if run.epochs else "–",
            run.finished,
        )
        for rank, run in enumerate(comparison.runs, 1)
    ]
    columns = ("", "folder", "recipe", "changed", "trained with", "seed", "best epoch", "finished")
    return Table(columns, rows, text_columns=5)
