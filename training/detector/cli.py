"""The commands ``fer-edge train-detector`` and ``fer-edge evaluate-detector``."""

import os
from pathlib import Path

import click

_DATA_HELP = "Scenes as JSON lines, with boxes; see docs/detector.md."


@click.command("train-detector")
@click.option("--data", required=True, type=click.Path(path_type=Path), help=_DATA_HELP)
@click.option(
    "--faces",
    type=click.Path(path_type=Path),
    help="FER-2013, as for `train`: its training faces are pasted into scenes too.",
)
@click.option(
    "--yunet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draws the boxes of those faces; default: what `models get yunet` fetched.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new run folder.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe.")
@click.option("--dry-run", is_flag=True, help="Print the recipe and how long it takes here.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--skip-bad", is_flag=True, help="Leave bad lines out and count them.")
@click.option("--licence", default="", help="Terms of the weights, for the model's contract.")
def train_detector(
    data: Path,
    faces: Path | None,
    yunet: Path | None,
    out: Path,
    changes: tuple[str, ...],
    dry_run: bool,
    resume: bool,
    skip_bad: bool,
    licence: str,
) -> None:
    """Train the face detector, and keep the epoch that is best on what was held out."""
    from ...edge.native_log import native_stderr_silenced
    from ..recipes import keys, with_changes
    from .recipe import DetectorRecipe, check
    from .scenes import read_scenes

    recipe = with_changes(DetectorRecipe(), changes, check)
    scenes = read_scenes(data, skip_bad=skip_bad)
    if scenes.skipped:
        click.echo(f"{scenes.skipped} bad lines left out of {data}", err=True)
    pasted, about = [], {}
    if faces is not None and recipe.composition.fer_faces:
        from .fer_faces import read_fer_faces

        pasted, about = read_fer_faces(faces, yunet, recipe.composition.fer_faces, recipe.seed)
        click.echo(f"{len(pasted)} faces of {faces} to paste", err=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_stderr_silenced():
        from .train import DetectorData
        from .train import train_detector as run_training
    given = DetectorData(scenes, pasted, about, licence)
    if dry_run:
        from .plan import make_plan

        for key, value in keys(recipe).items():
            click.echo(f"  {key} = {value}")
        click.echo(str(make_plan(given, recipe)))
        return
    from ...edge.sidecar import file_sha256
    from ...edge.trust import remember

    contract = run_training(given, out, recipe, resume=resume)
    target = out / "model.keras"
    remember(file_sha256(target))  # made here: `convert` need not try it in a child process first
    metric = contract.metrics[0]
    click.echo(
        f"{target}: average precision {metric['value']:.3f} on {metric['count']} held-out faces. "
        f"Next: fer-edge convert {target}"
    )


@click.command("evaluate-detector")
@click.argument("model")
@click.option("--data", required=True, type=click.Path(path_type=Path), help=_DATA_HELP)
@click.option(
    "--detector-model",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The model file of a detector that is given by its name.",
)
@click.option("--masked", is_flag=True, help="Masked faces count too.")
@click.option("--skip-bad", is_flag=True, help="Leave bad lines out and count them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def evaluate_detector(
    model: str,
    data: Path,
    detector_model: Path | None,
    masked: bool,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Measure MODEL (.keras, .tflite, or a detector's name) on scenes with boxes."""
    import json

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from .evaluate import evaluate, table

    report = evaluate(model, data, detector_model, masked=masked, skip_bad=skip_bad)
    if as_json:
        click.echo(json.dumps(report, indent=1))
        return
    from ...edge.terminal import Terminal

    console = Terminal(markup=False, highlight=False)
    console.print(
        f"{report['detector']} on {report['images']} scenes of {report['data']}, pictures as they "
        f"are",
        soft_wrap=True,
    )
    console.print(table(report))
