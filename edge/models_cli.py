"""The commands ``fer-edge models …``."""

from pathlib import Path

import click


@click.group()
def models() -> None:
    """List models, fetch those that do not ship."""


@models.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_models(as_json: bool) -> None:
    """List what ships and what can be fetched."""
    import json

    from .models.listing import listed

    rows = listed()
    if as_json:
        click.echo(json.dumps(rows))
        return
    widths = [max(len(str(row[key])) for row in rows) for key in ("name", "kind", "state")]
    for row in rows:
        cells = zip((row["name"], row["kind"], row["state"]), widths, strict=True)
        head = "  ".join(f"{cell:<{width}}" for cell, width in cells)
        click.echo(f"{head}  {row['size_bytes'] / 1e6:4.1f} MB  {row['about']}")


@models.command()
@click.argument("name")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take a copy that was fetched on another machine; its digest must be the known one.",
)
def get(name: str, source: Path | None) -> None:
    """Fetch the model NAME, checked by its digest.

    It goes into the user's cache folder; a file that is there is never replaced.
    """
    from .models import catalogue

    model = catalogue.find_fetchable(name)
    path, fetched = catalogue.get(model, source=source)
    word = "fetched" if source is None else "copied"
    click.echo(f"{path}  {word if fetched else 'was there already'}; licence: {model.licence}")


@models.command()
@click.argument("name")
def path(name: str) -> None:
    """Print where the model NAME is.

    Ends with exit code 4 where it is not on this machine.
    """
    from .models import catalogue, model_path

    if name in catalogue.FETCHABLE:
        click.echo(catalogue.checked_place(catalogue.FETCHABLE[name]))
    else:
        click.echo(model_path(name))
