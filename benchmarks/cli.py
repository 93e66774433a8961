"""The commands ``fer-edge benchmark …``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

_OUTPUTS = (
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
    click.option("--out", type=click.Path(path_type=Path), help="Write the JSON to a file, too."),
    click.option("--overwrite", is_flag=True, help="Replace --out if it exists."),
)


def _with_outputs(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OUTPUTS):
        command = option(command)
    return command


@click.group()
def benchmark() -> None:
    """Measure what the loop costs, beside the code that people use otherwise."""


@benchmark.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option(
    "--keras",
    required=True,
    type=click.Path(path_type=Path),
    help="The tutorial's model (.keras with its contract beside it), as `fer-edge train` makes it.",
)
@click.option("--model", metavar="NAME|FILE", help="fer-edge's model. Default: the shipped one.")
@click.option(
    "--repeat", type=click.IntRange(1), default=3, show_default=True, help="Runs of each."
)
@click.option("--loops", type=click.IntRange(1), help="Default: so that a run has 300 frames.")
@click.option(
    "--cores", type=click.IntRange(1), default=2, show_default=True, help="To pin each run to."
)
@click.option("--parts", is_flag=True, help="Also the steps between the tutorial and fer-edge.")
@_with_outputs
def loop(
    clip: Path,
    keras: Path,
    model: str | None,
    repeat: int,
    loops: int | None,
    cores: int,
    parts: bool,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Frames a second over CLIP, beside the usual tutorial with the same model."""
    from .loop import Plan, measure
    from .report import print_loop

    _check_out(out, overwrite)
    plan = Plan(clip, keras, model, repeat=repeat, loops=loops, cores=cores, parts=parts)
    report = measure(plan, progress=lambda line: click.echo(line, err=True))
    _deliver(report.to_dict(), lambda console: print_loop(report, console), as_json, out, overwrite)


@benchmark.command()
@click.option("--frames", type=click.IntRange(201), default=2000, show_default=True)
@click.option("--model", metavar="NAME|FILE", help="Default: the shipped one.")
@_with_outputs
def growth(
    frames: int, model: str | None, as_json: bool, out: Path | None, overwrite: bool
) -> None:
    """Memory that the loop gains over the demo from frame 200 to the end."""
    from .growth import measure_growth
    from .report import print_growth

    _check_out(out, overwrite)
    found = measure_growth(frames, model=model)
    _deliver(found.to_dict(), lambda console: print_growth(found, console), as_json, out, overwrite)


def _check_out(out: Path | None, overwrite: bool) -> None:
    """Before minutes of measuring, not after them."""
    from ..edge.sinks import refuse_to_overwrite

    if out is not None:
        refuse_to_overwrite(out, overwrite=overwrite)


def _deliver(
    document: dict[str, Any],
    show: "Callable[[Console], None]",
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    from rich.console import Console

    from .results import to_json, write_result

    if out is not None:
        write_result(out, document, overwrite=overwrite)
    if as_json:
        click.echo(to_json(document), nl=False)
    else:
        show(Console())
