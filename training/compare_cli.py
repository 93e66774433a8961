"""The command ``fer-edge compare``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .compare import Comparison

# Wide enough for every column where nobody looks at the lines as a terminal folds them.
_PIPED_WIDTH = 200


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN…")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write compare.html, its plots and compare.json into this folder.",
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def compare(runs: tuple[Path, ...], out: Path | None, as_markdown: bool, as_json: bool) -> None:
    """Compare finished runs: RUN… are folders of `fer-edge train`, such as runs/*."""
    import json

    from ..edge.errors import UsageError
    from .compare import compare as read
    from .compare import markdown

    if as_markdown and as_json:
        raise UsageError("--markdown and --json exclude each other.")
    found = read(runs)
    for reason in found.skipped:
        click.echo(f"left out: {reason}", err=True)
    if out is not None:
        from .compare_page import write_comparison

        page, replaced = write_comparison(found, out)
        click.echo(f"{page}{' (an earlier one was replaced)' if replaced else ''}", err=True)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1))
    elif as_markdown:
        click.echo(markdown(found))
    else:
        _print(found)


def _print(found: "Comparison") -> None:
    import sys

    from rich.table import Table

    from ..edge.terminal import Terminal
    from .compare import table

    columns, rows = table(found)
    console = Terminal(
        markup=False, highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH
    )
    console.print(f"Accuracy on {found.measured_on}, the best first")
    shown = Table(box=None)
    for index, column in enumerate(columns):
        shown.add_column(column, justify="left" if index == 1 else "right", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
