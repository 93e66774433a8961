"""The commands ``fer-edge benchmark loop`` and ``instruments``."""

from pathlib import Path
from typing import Any

import click

from .measure_cli import measure_and_deliver, with_measuring
from .options import DETECTOR, DETECTOR_MODEL, MODEL, ONE_CORE


@click.command()
@click.argument("clip", required=False, type=click.Path(path_type=Path))
@click.option(
    "--rate",
    "rates",
    type=click.IntRange(1, 1000),
    multiple=True,
    default=(15, 30, 60, 120),
    show_default=True,
    help="Frames a second of a camera; may be given several times.",
)
@click.option(
    "--faces",
    type=click.IntRange(0, 8),
    multiple=True,
    default=tuple(range(9)),
    show_default=True,
    help="Of the demo: how many at once; may be given several times.",
)
@DETECTOR
@DETECTOR_MODEL
@MODEL
@click.option(
    "--keras",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The usual tutorial's model, with its contract beside it: have it run beside the loop.",
)
@click.option("--parts", is_flag=True, help="Also the steps between the tutorial and fer-edge.")
@click.option("--cores", type=click.IntRange(1), help="To pin the loop to. Default: all.")
@with_measuring
def loop(
    clip: Path | None,
    quick: bool,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
    **chosen: Any,
) -> None:
    """The whole loop over CLIP or demo faces: what it can do, and what a camera would see.

    First as fast as it goes (of the demo by the number of faces), then at the rate of a camera. A
    full run over the demo takes a quarter of an hour.
    """
    from ..edge.errors import UsageError
    from .loop import LoopPlan, measure_loop
    from .results import command_line

    if chosen["parts"] and chosen["keras"] is None:
        raise UsageError("--parts are steps from the tutorial, which needs --keras FILE.")
    plan = LoopPlan(clip, **chosen)
    usual = LoopPlan()
    told = {
        name.removesuffix("s") if name == "rates" else name: value
        for name, value in chosen.items()
        if value != getattr(usual, name)
    }
    measure_and_deliver(
        lambda session: measure_loop(session, plan),
        command_line("loop", [clip] if clip else [], **told),
        quick=quick,
        as_json=as_json,
        out=out,
        overwrite=overwrite,
    )


@click.command()
@click.argument("clip", type=click.Path(path_type=Path))
@DETECTOR
@DETECTOR_MODEL
@MODEL
@click.option(
    "--rounds",
    type=click.IntRange(4),
    default=2500,
    show_default=True,
    help="Of playings with telemetry, without, and without once more.",
)
@ONE_CORE
@with_measuring
def instruments(
    clip: Path, quick: bool, as_json: bool, out: Path | None, overwrite: bool, **chosen: Any
) -> None:
    """What the loop's own telemetry costs it over CLIP, played with it and without in turn."""
    from .instruments import InstrumentsPlan, measure_instruments
    from .results import command_line

    plan = InstrumentsPlan(clip, **chosen)
    measure_and_deliver(
        lambda session: measure_instruments(session, plan),
        command_line("instruments", [clip], **chosen),
        quick=quick,
        as_json=as_json,
        out=out,
        overwrite=overwrite,
    )
