"""The commands ``fer-edge train`` and ``fer-edge evaluate``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .metrics import Evaluation

_DATA_HELP = "fer2013.csv (also .gz, .xz, .zip) or a folder with train/<class>, test/<class>."


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path), help=_DATA_HELP)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new run folder.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--batch", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the recipe's.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out and count them.")
@click.option("--licence", default="", help="Terms of the weights, for the model's contract.")
def train(
    data: Path,
    out: Path,
    epochs: int | None,
    batch: int | None,
    seed: int | None,
    resume: bool,
    skip_bad: bool,
    licence: str,
) -> None:
    """Train an emotion model on FER-2013 and keep the epoch that is best on PublicTest."""
    from dataclasses import replace

    from ..edge.native_log import native_stderr_silenced
    from ..edge.sidecar import sidecar_path
    from .datasets import load

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    faces = load(data, skip_bad=skip_bad)
    if faces.skipped:
        click.echo(f"{faces.skipped} bad rows left out of {data}", err=True)
    with native_stderr_silenced():
        from .train import Recipe
        from .train import train as run_training
    changes = {"epochs": epochs, "batch": batch, "seed": seed}
    recipe = replace(Recipe(), **{name: n for name, n in changes.items() if n is not None})
    contract = run_training(faces, out, recipe, resume=resume, licence=licence)
    metric = contract.metrics[0]
    target = out / "model.keras"
    click.echo(
        f"{target}: {metric['value']:.2%} of {metric['count']} images of {metric['split']} "
        f"(contract: {sidecar_path(target).name}). Next: fer-edge convert {target}"
    )


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help=_DATA_HELP)
@click.option("--split", default="PublicTest", show_default=True, help="Which rows to measure on.")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out and count them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def evaluate(model: Path, data: Path, split: str, skip_bad: bool, as_json: bool) -> None:
    """Measure MODEL (.keras or .tflite, or a shipped model's name) on labelled faces."""
    import json

    from ..edge.models import model_path
    from .datasets import load
    from .evaluate import evaluate as measure

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    path = model_path(model)
    faces = load(data, skip_bad=skip_bad)
    found = measure(path, faces.split(split))
    if as_json:
        about = {"model": path.name, "data": faces.name, "sha256": faces.digest, "split": split}
        click.echo(json.dumps({**about, "skipped": faces.skipped, **found.to_dict()}, indent=1))
    else:
        _print(found, f"{path.name} on {split} of {faces.name}")


def _print(found: "Evaluation", title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False)
    console.print(
        f"{title}: {found.accuracy:.2%} of {found.count} images, macro-F1 {found.macro_f1:.3f}",
        highlight=False,
    )
    table = Table("class", "precision", "recall", "F1", "images", box=None)
    for row in found.classes:
        figures = (f"{value:.3f}" for value in (row.precision, row.recall, row.f1))
        table.add_row(row.label, *figures, str(row.support))
    console.print(table)
    names = [row.label for row in found.classes]
    confusion = Table("true \\ named", *names, box=None, title="confusion (images)")
    for column in confusion.columns[1:]:
        column.justify = "right"
    for name, counts in zip(names, found.confusion, strict=True):
        confusion.add_row(name, *map(str, counts))
    console.print(confusion)
