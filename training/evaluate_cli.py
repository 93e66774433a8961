"""The command ``fer-edge evaluate``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .evaluate import Report

_DATA_HELP = "fer2013.csv (also .gz, .xz, .zip) or a folder with train/<class>, test/<class>."


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help=_DATA_HELP)
@click.option("--split", default="PublicTest", show_default=True, help="Which rows to measure on.")
@click.option(
    "--votes",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="FER+'s fer2013new.csv: measure against its majority too.",
)
@click.option("--flip/--no-flip", default=True, help="Also average image and mirror image.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write report.html, its pictures and evaluation.json into this folder.",
)
@click.option(
    "--logits",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Write the model's answers, for `fer-edge train --teacher-logits`.",
)
@click.option(
    "--card",
    type=click.Path(path_type=Path),
    metavar="FILE.md",
    help="Write a model card with these figures.",
)
@click.option("--overwrite", is_flag=True, help="Replace the files of --logits and --card.")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out and count them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def evaluate(
    model: Path,
    data: Path,
    split: str,
    votes: Path | None,
    flip: bool,
    out: Path | None,
    logits: Path | None,
    card: Path | None,
    overwrite: bool,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Measure MODEL (.keras or .tflite, or a shipped model's name) on labelled faces."""
    import json

    from ..edge.models import model_path
    from . import model_card
    from .datasets import load
    from .evaluate import report
    from .logits_file import LogitsFile, require_writable, write_logits

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    path = model_path(model)
    if logits is not None:
        require_writable(logits, overwrite=overwrite)
    if card is not None:
        model_card.require_writable(card, overwrite=overwrite)
    if out is not None:
        from .evaluation_page import FILES
        from .pages import require_own_folder

        require_own_folder(out, FILES)
    faces = load(data, votes=votes, skip_bad=skip_bad)
    found = report(path, faces, split, flip=flip)
    if logits is not None:
        answers = LogitsFile(
            logits=found.lesson,
            origins=found.data.origins,
            data_sha256=faces.digest,
            split=split,
            model_sha256=found.contract.content_sha256,
        )
        write_logits(logits, answers, overwrite=overwrite)
        click.echo(f"{logits}: the answers to {found.scores.count} images of {split}", err=True)
    if card is not None:
        model_card.write_card(card, found, path.stat().st_size, overwrite=overwrite)
        click.echo(f"{card}: the model card", err=True)
    if out is not None:
        from .evaluation_page import write_report

        page, replaced = write_report(found, out)
        click.echo(f"{page}{' (an earlier one was replaced)' if replaced else ''}", err=True)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1))
    else:
        _print(found)


def _print(found: "Report") -> None:
    from rich.table import Table

    from ..edge.terminal import Terminal
    from .metrics import percent, percent_interval

    console = Terminal(markup=False, highlight=False)
    scores = found.scores
    console.print(
        f"{found.model} on {found.split} of {found.data.name}: {scores.accuracy:.2%} of "
        f"{scores.count} images, macro-F1 {scores.macro_f1:.3f}"
    )
    console.print(
        f"95 % interval {percent_interval(scores.interval)}, expected calibration error "
        f"{found.calibration.error:.3f}"
    )
    areas = {curve.label: f"{curve.area:.3f}" for curve in found.roc}
    table = Table("class", "precision", "recall", "F1", "ROC area", "images", box=None)
    for row in scores.classes:
        figures = [f"{value:.3f}" for value in (row.precision, row.recall, row.f1)]
        table.add_row(row.label, *figures, areas.get(row.label, "–"), str(row.support))
    console.print(table)
    names = [row.label for row in scores.classes]
    confusion = Table("true \\ named", *names, box=None, title="confusion (images)")
    for column in confusion.columns[1:]:
        column.justify = "right"
    for name, counts in zip(names, scores.confusion, strict=True):
        confusion.add_row(name, *map(str, counts))
    console.print(confusion)
    for name, share, note in found.beside():
        said = "no image left"
        if share is not None:
            interval = percent_interval(share.interval)
            said = f"{percent(share.value)} of {share.count} images ({interval})"
        console.print(f"{name}: {said}; {note}")
