"""The command ``fer-edge benchmark accuracy``."""

from pathlib import Path
from typing import Any

import click

from .measure_cli import measure_and_deliver, with_measuring


@click.command()
@click.argument("models", nargs=-1, metavar="[MODELS]…")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="FER-2013, as `train` takes it."
)
@click.option("--split", default="PublicTest", show_default=True, help="Which rows to measure on.")
@click.option(
    "--votes",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="FER+'s fer2013new.csv: measure against its majority, too.",
)
@click.option(
    "--keras",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The .keras file that a model was converted from. Default: the one beside it, or that of "
    "a shipped model in a clone of the repository.",
)
@click.option("--no-keras", is_flag=True, help="Leave Keras out, which needs TensorFlow.")
@click.option(
    "--tpu",
    type=click.Choice(["auto", "off", "usb", "pci"]),
    default="auto",
    show_default=True,
    help="As of `run`.",
)
@click.option(
    "--images",
    type=click.IntRange(7),
    metavar="N",
    help="A sample of about so many, as many of each class as there are. Default: all.",
)
@click.option(
    "--curves/--no-curves",
    default=True,
    show_default=True,
    help="Also accuracy over blur, noise, wrong boxes and the like.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@with_measuring
def accuracy(
    models: tuple[str, ...],
    data: Path,
    votes: Path | None,
    keras: Path | None,
    no_keras: bool,
    quick: bool,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
    **chosen: Any,
) -> None:
    """What MODELS get right, what their conversion lost, and how much of a face they need.

    MODELS are names of shipped models or files, .tflite or .keras; the default is all that ship.
    On all 3,589 images of PublicTest the default takes some minutes on a desktop.
    """
    import os

    from ..edge.errors import UsageError
    from .accuracy import AccuracyPlan, measure_accuracy
    from .results import command_line

    if keras is not None and no_keras:
        raise UsageError("--keras and --no-keras contradict each other: pass one of them.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    plan = AccuracyPlan(data, models, votes=votes, keras=keras, with_keras=not no_keras, **chosen)
    usual = {"split": "PublicTest", "tpu": "auto", "curves": True, "seed": 0}
    unusual = {name: value for name, value in chosen.items() if value != usual.get(name)}
    if unusual.pop("curves", True) is False:
        unusual["no_curves"] = True
    command = command_line(
        "accuracy",
        [Path(model) for model in models],
        data=data,
        votes=votes,
        keras=keras,
        no_keras=no_keras,
        **unusual,
    )
    measure_and_deliver(
        lambda session: measure_accuracy(session, plan),
        command,
        quick=quick,
        as_json=as_json,
        out=out,
        overwrite=overwrite,
    )
