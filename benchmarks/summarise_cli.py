"""The command ``fer-edge summarise``."""

from pathlib import Path

import click

from .options import check_out, say


@click.command()
@click.argument(
    "events", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="EVENTS.jsonl…"
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="REPORT.html",
    help="Write a page with plots, everything in one file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures.")
@click.option("--utc", is_flag=True, help="Tell times and hours in UTC, not in this machine's.")
@click.option("--overwrite", is_flag=True, help="Replace --out if it exists.")
def summarise(
    events: tuple[Path, ...], out: Path | None, as_json: bool, utc: bool, overwrite: bool
) -> None:
    """Say who was there when and how they were, from what `run --events` wrote."""
    from datetime import UTC

    from ..edge.errors import UsageError
    from .diary import read_diary

    if out is None and not as_json:
        raise UsageError("Pass -o REPORT.html for a page, or --json for the figures.")
    check_out(out, overwrite)
    diary = read_diary(events)
    zone = UTC if utc else None
    from .summarise import sections, subtitle, to_dict

    if out is not None:
        from ..training.pages import write_page

        write_page(out, "Faces and emotions", subtitle(diary), sections(diary, zone))
        say(f"{out}: {subtitle(diary)}")
    if as_json:
        from .results import to_json

        click.echo(to_json(to_dict(diary, zone)), nl=False)
    for note in diary.notes:
        say(note)
