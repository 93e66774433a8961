"""The command ``fer-edge average``."""

import os
from pathlib import Path

import click


@click.command()
@click.option("--recipe", "name", default="accurate", show_default=True, help="Of all models.")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="As for `train`: for batch norm's statistics, and to measure what came of it.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new run folder.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe.")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out and count them.")
@click.option("--licence", default="", help="Terms of the weights, for the model's contract.")
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
def average(
    name: str,
    data: Path,
    out: Path,
    changes: tuple[str, ...],
    skip_bad: bool,
    licence: str,
    models: tuple[Path, ...],
) -> None:
    """Make one model of several: the mean of the weights of .keras MODELS.

    It pays for runs that went on from the same model (`train --start`), and for that model with
    them; of runs that began on their own the mean knows nothing.
    """
    from ..edge.native_log import native_stderr_silenced
    from .cli import finished
    from .datasets import load
    from .recipe_book import find_recipe
    from .recipes import with_changes

    recipe = with_changes(find_recipe(name), changes)
    faces = load(data, skip_bad=skip_bad)
    if faces.skipped:
        click.echo(f"{faces.skipped} bad rows left out of {data}", err=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_stderr_silenced():
        from .average import average as run_average
    finished(out, run_average(faces, out, recipe, models, licence))
