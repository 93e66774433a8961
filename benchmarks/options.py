"""The options that the commands ``fer-edge benchmark …`` share, and how they deliver figures."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

_OUTPUTS = (
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
    click.option(
        "-o", "--out", type=click.Path(path_type=Path), help="Write the JSON to a file, too."
    ),
    click.option("--overwrite", is_flag=True, help="Replace --out if it exists."),
)

CLIPS = click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
DETECTOR = click.option(
    "--detector", metavar="NAME", default="auto", show_default=True, help="As of `run`."
)
DETECTOR_MODEL = click.option(
    "--detector-model", type=click.Path(path_type=Path), metavar="FILE", help="YuNet's file."
)
MODEL = click.option("--model", metavar="NAME|FILE", help="Default: the shipped one.")
REPEAT = click.option(
    "--repeat", type=click.IntRange(1), default=3, show_default=True, help="Runs of each."
)
LOOPS = click.option(
    "--loops", type=click.IntRange(1), help="Default: so that a run has 300 frames."
)
ONE_CORE = click.option(
    "--cores", type=click.IntRange(1), default=1, show_default=True, help="To pin each run to."
)


def with_outputs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --json, --out and --overwrite."""
    for option in reversed(_OUTPUTS):
        command = option(command)
    return command


def say(line: str) -> None:
    """Tell people what is going on."""
    click.echo(line, err=True)


def check_out(out: Path | None, overwrite: bool) -> None:
    """Refuse to overwrite before minutes of measuring, not after them."""
    from ..edge.sinks import refuse_to_overwrite

    if out is not None:
        refuse_to_overwrite(out, overwrite=overwrite)


def deliver(
    document: dict[str, Any],
    show: "Callable[[Console], None]",
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Print the figures, as a table or as JSON, and write them where the user wants them."""
    from ..edge.terminal import Terminal
    from .results import to_json, write_result

    if out is not None:
        write_result(out, document, overwrite=overwrite)
    if as_json:
        click.echo(to_json(document), nl=False)
    else:
        show(Terminal())


def print_plain(console: "Console", text: str) -> None:
    """Print text as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
