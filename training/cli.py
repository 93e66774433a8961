"""The commands ``fer-edge train`` and ``fer-edge recipes``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..edge.contract import ModelContract
    from .datasets import Dataset
    from .plan import Plan
    from .recipes import Recipe
    from .sweep import Variant
    from .train import Run

_DATA_HELP = "fer2013.csv (also .gz, .xz, .zip) or a folder with train/<class>, test/<class>."


@click.command()
@click.option("--recipe", "name", default="accurate", show_default=True, help="See `recipes`.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help=_DATA_HELP)
@click.option("--votes", type=click.Path(path_type=Path), help="FER+'s fer2013new.csv.")
@click.option("--out", type=click.Path(path_type=Path), help="A new run folder.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe.")
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="KEY=A,B,C",
    help="Train each variant, in a folder of its own in --out.",
)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A .keras model to learn from; several are averaged.",
)
@click.option(
    "--teacher-logits",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Learn from what `evaluate --split Training --logits FILE` wrote; several are averaged.",
)
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="Of the base of a transfer recipe: imagenet, none, or a file.",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    help="A .keras model of the same network, whose weights the training starts from.",
)
@click.option(
    "--leave-out", type=click.Path(path_type=Path), help="From `dataset explore --clean`."
)
@click.option("--dry-run", is_flag=True, help="Print the plan and how long it takes here.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard's logs too.")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out and count them.")
@click.option("--name", "called", default="", help="Of the model; the recipe's unless given.")
@click.option("--licence", default="", help="Terms of the weights, for the model's contract.")
def train(
    name: str,
    data: Path,
    votes: Path | None,
    out: Path | None,
    changes: tuple[str, ...],
    sweeps: tuple[str, ...],
    teachers: tuple[Path, ...],
    teacher_logits: tuple[Path, ...],
    weights: str,
    start: Path | None,
    leave_out: Path | None,
    dry_run: bool,
    resume: bool,
    tensorboard: bool,
    skip_bad: bool,
    called: str,
    licence: str,
) -> None:
    """Train an emotion model on FER-2013 and keep the epoch that is best on PublicTest."""
    from ..edge.errors import UsageError
    from ..edge.native_log import native_stderr_silenced
    from .recipe_book import find_recipe
    from .recipes import with_changes
    from .sweep import variants

    if out is None and not dry_run:
        raise UsageError("Pass --out FOLDER for the run, or --dry-run to see the plan only.")
    recipe = with_changes(find_recipe(name), changes)
    points = variants(recipe, sweeps)
    faces, left_out = _load(data, votes, leave_out, skip_bad=skip_bad)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_stderr_silenced():
        from .distill import Teachers
        from .train import Run
    run = Run(
        teachers=Teachers(teachers, teacher_logits),
        weights=weights,
        start=start,
        left_out=left_out,
        name=called,
        licence=licence,
        variant=" ".join(changes),
        tensorboard=tensorboard,
    )
    if dry_run:
        from .plan import make_plan

        for point in points:
            _print_plan(point.recipe, make_plan(faces, point.recipe, run))
    elif sweeps and out:
        _sweep(faces, out, points, run, resume=resume)
    elif out:
        _train_one(faces, out, recipe, run, resume=resume)


def _load(
    data: Path, votes: Path | None, leave_out: Path | None, *, skip_bad: bool
) -> tuple["Dataset", str]:
    """The data and the digest of the list of rows that were left out of it, or an empty text."""
    from . import cleaning
    from .datasets import load

    faces = load(data, votes=votes, skip_bad=skip_bad)
    if faces.skipped:
        click.echo(f"{faces.skipped} bad rows left out of {data}", err=True)
    if leave_out is None:
        return faces, ""
    listed = cleaning.read_leave_out(leave_out)
    kept = cleaning.leave_out(faces, listed)
    click.echo(f"{len(faces) - len(kept)} rows left out as {leave_out} lists them", err=True)
    return kept, listed.digest


def _train_one(faces: "Dataset", out: Path, recipe: "Recipe", run: "Run", *, resume: bool) -> None:
    from .train import train as run_training

    finished(out, run_training(faces, out, recipe, run, resume=resume))


def finished(out: Path, contract: "ModelContract") -> None:
    """Add the architecture to a run that is complete, and say what it reached."""
    from ..edge.sidecar import file_sha256, sidecar_path
    from ..edge.trust import remember
    from .summary import write_summary

    target = out / "model.keras"
    write_summary(target, out)
    remember(file_sha256(target))  # made here: `convert` need not try it in a child process first
    metric = contract.metrics[0]
    click.echo(
        f"{target}: {metric['value']:.2%} of {metric['count']} images of {metric['split']} "
        f"(contract: {sidecar_path(target).name}). Next: fer-edge convert {target}"
    )


def _sweep(
    faces: "Dataset", out: Path, points: list["Variant"], run: "Run", *, resume: bool
) -> None:
    """Train each variant that is not done yet; one that fails does not keep the others from it."""
    from dataclasses import replace

    import keras

    from ..edge.errors import FerEdgeError, UsageError
    from .sweep import is_done

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; expected a folder for the runs as --out.")
    if out.exists() and any(out.iterdir()) and not resume:
        raise UsageError(f"{out} is not empty: pass --resume to go on, or another --out.")
    failed = []
    for number, point in enumerate(points, start=1):
        folder = out / point.folder
        if is_done(folder, point.recipe):
            click.echo(f"{folder} is done", err=True)
            continue
        click.echo(f"variant {number} of {len(points)}: {' '.join(point.changes)}", err=True)
        said = replace(run, variant=" ".join(filter(None, (run.variant, *point.changes))))
        try:
            _train_one(faces, folder, point.recipe, said, resume=resume)
        except FerEdgeError as exc:
            click.echo(f"{folder}: {exc}", err=True)
            failed.append(point.folder)
        keras.backend.clear_session()
    click.echo(f"Compare them: fer-edge compare {out}/*")
    if failed:
        raise FerEdgeError(
            f"{len(failed)} of {len(points)} variants failed: {', '.join(failed)}. Mend what is "
            f"said above and pass --resume."
        )


def _print_plan(recipe: "Recipe", plan: "Plan") -> None:
    from .recipes import keys

    click.echo(f"{recipe.name}: {recipe.summary}")
    for key, value in keys(recipe).items():
        click.echo(f"  {key} = {value}")
    click.echo(
        f"{plan.parameters:,} parameters, {plan.multiply_adds / 1e6:.1f} M multiply-adds\n"
        f"{plan.training} images to train on, {plan.steps} steps an epoch; choosing on "
        f"{plan.validation} of {plan.choose_on}"
    )
    for item in plan.stages:
        stage, epoch_s = item.stage, item.step_s * plan.steps
        click.echo(
            f"epochs {stage.first + 1} to {stage.end}, {stage.side_px} pixels a side: "
            f"{item.learning:,} parameters learn, {item.step_s * 1000:.0f} ms a step, "
            f"{epoch_s:.0f} s an epoch, {(stage.end - stage.first) * epoch_s / 60:.0f} min; with "
            f"ready-made batches {item.ready_step_s * 1000:.0f} ms a step"
        )
    click.echo(f"in all about {plan.total_s / 60:.0f} min on this machine, as busy as it is")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print whole recipes as JSON.")
@click.argument("names", nargs=-1)
def recipes(names: tuple[str, ...], as_json: bool) -> None:
    """List the recipes with their cost and what they reached; NAMES shows every number of some."""
    import json
    from dataclasses import asdict

    from .measured import read_measured
    from .recipe_book import RECIPES, find_recipe
    from .recipes import keys

    chosen = [find_recipe(name) for name in names] or list(RECIPES.values())
    measured = read_measured()
    if as_json:
        found = [
            {**recipe.to_dict(), "measured": asdict(measured[recipe.name])} for recipe in chosen
        ]
        click.echo(json.dumps(found, indent=1))
        return
    if names:
        for recipe in chosen:
            click.echo(f"{recipe.name}: {recipe.summary}")
            for key, value in keys(recipe).items():
                click.echo(f"  --set {key}={json.dumps(value)}")
        return
    from rich.table import Table

    from ..edge.terminal import Terminal

    table = Table("recipe", "weights", "mult-adds", "accuracy", "what it is", box=None)
    for column in table.columns[1:4]:
        column.justify = "right"
    for recipe in chosen:
        about = measured[recipe.name]
        reached = "–" if about.accuracy is None else f"{about.accuracy:.2%}"
        cost = (f"{about.parameters / 1e6:.2f} M", f"{about.multiply_adds / 1e6:,.0f} M")
        table.add_row(recipe.name, *cost, reached, recipe.summary)
    console = Terminal(markup=False)
    console.print(table)
    console.print(
        "Accuracy: float, one view, PublicTest; – is not measured. Each figure's run is under "
        "docs/results.",
        highlight=False,
    )
