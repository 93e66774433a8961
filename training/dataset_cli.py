"""The commands ``fer-edge dataset get`` and ``fer-edge dataset explore``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .dataset_get import Fetched

_PATH = click.Path(path_type=Path)


@click.group()
def dataset() -> None:
    """Fetch FER-2013, and look at it before training on it."""


@dataset.command()
@click.option("--out", type=_PATH, help="Folder to put it into. Default: the user's data folder.")
@click.option(
    "--source",
    type=click.Choice(["msambare", "competition", "none"]),
    default="msambare",
    show_default=True,
    help="Folders of images (no account needed), Kaggle's own csv (account, rules accepted), or "
    "nothing beside --votes.",
)
@click.option("--votes", is_flag=True, help="Also the FER+ votes, which go with a csv.")
def get(out: Path | None, source: str, votes: bool) -> None:
    """Fetch FER-2013 through kagglehub, and the FER+ votes from their authors.

    Nothing is overwritten. Without credentials it says where to click and where to put the file.
    """
    from ..edge.errors import UsageError
    from . import dataset_get

    if votes and source == "msambare":
        raise UsageError(
            "FER+ votes go by the rows of Kaggle's csv, and the folders of msambare have none: "
            "take --source competition, or --source none for the votes alone."
        )
    if source == "none" and not votes:
        raise UsageError("--source none fetches nothing without --votes.")
    folder = out or dataset_get.default_folder()
    options = ""
    if source != "none":
        fetch = {
            "msambare": dataset_get.fetch_msambare,
            "competition": dataset_get.fetch_competition,
        }[source]
        fetched = fetch(folder)
        _report(fetched)
        options = f"--data {fetched.path}"
    if votes:
        fetched = dataset_get.fetch_votes(folder)
        _report(fetched)
        options = f"{options or '--data fer2013.csv'} --votes {fetched.path}"
    click.echo(f"Next: fer-edge dataset explore {options} --out exploration")


def _report(fetched: "Fetched") -> None:
    click.echo(f"{fetched.path}{f'  sha256 {fetched.sha256}' if fetched.sha256 else ''}")
    if fetched.kept is not None:
        click.echo(f"kagglehub keeps a copy at {fetched.kept}; it may be deleted.", err=True)


@dataset.command()
@click.option(
    "--data",
    required=True,
    type=_PATH,
    help="fer2013.csv (also .gz, .xz, .zip) or a folder with train/<class>, test/<class>.",
)
@click.option("--votes", type=_PATH, help="FER+'s fer2013new.csv, for a csv.")
@click.option("--out", required=True, type=_PATH, help="A new or empty folder.")
@click.option("--clean", type=_PATH, help="Write the training images to leave out, with reasons.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sheets.")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out and count them.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier exploration, and --clean FILE.")
def explore(
    data: Path,
    votes: Path | None,
    out: Path,
    clean: Path | None,
    seed: int,
    skip_bad: bool,
    overwrite: bool,
) -> None:
    """Look at a data set: classes, samples, blank images, duplicates, FER against FER+.

    Writes explore.html (one file, fit to be mailed), PNGs and explore.json into --out. The page
    shows people's faces: it stays within the terms of the data set.
    """
    from ..edge.errors import DataError
    from .cleaning import propose, write_leave_out
    from .datasets import load
    from .explore import explore as look
    from .explore_page import PAGE, check_folder, write_exploration

    # What would fail at the end fails at once.
    beside = frozenset({clean.name} if clean and clean.parent.resolve() == out.resolve() else ())
    check_folder(out, overwrite=overwrite, also=beside)
    if clean is not None and clean.exists() and not overwrite:
        raise DataError(f"{clean} is there already; --overwrite replaces it.")
    faces = load(data, votes=votes, skip_bad=skip_bad)
    if faces.skipped:
        click.echo(f"{faces.skipped} bad rows left out of {data}", err=True)
    found = look(faces, data)
    proposed = propose(faces) if clean is not None else None
    write_exploration(out, found, faces, cleaning=proposed, seed=seed)
    click.echo(f"{out / PAGE}: {found.images} images, {len(found.copies.groups)} duplicated")
    if clean is not None and proposed is not None:
        write_leave_out(clean, proposed, overwrite=overwrite)
        for reason, count in proposed.reasons().items():
            click.echo(f"  {count:6d}  {reason}")
        click.echo(f"{clean}: {len(proposed)} training images to leave out ({proposed.digest})")
