"""The command ``fer-edge classify``: photographs, not a camera."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_options import profile_option, reading_options

if TYPE_CHECKING:
    from .classify import StillResult

SCHEMA_VERSION = 1


@click.command()
@click.argument(
    "pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGES|DIR…"
)
@click.option("--recursive", "-r", is_flag=True, help="Search folders through their sub-folders.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line a picture.")
@click.option(
    "--annotate",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write a copy of each picture there, its faces boxed and named.",
)
@click.option("--overwrite", is_flag=True, help="Replace copies that exist.")
@reading_options(detect_size="640x480")
@profile_option
def classify(
    pictures: tuple[Path, ...],
    recursive: bool,
    as_json: bool,
    annotate: Path | None,
    overwrite: bool,
    model: str | None,
    contract: Path | None,
    detector: str,
    detector_model: Path | None,
    detect_size: tuple[int, int],
    align: bool,
    min_face: float,
    runtime: str,
    threads: int,
    profile: str | None,
) -> None:
    """Read the emotions of the faces in photographs.

    A picture that cannot be read is named, the others go on, and the exit code is 1.
    """
    from rich.console import Console
    from rich.progress import Progress

    from .classify import Copies, find_stills
    from .classify import classify as read_stills
    from .quality import QualityLimits
    from .reader import EmotionReader

    stills = find_stills(pictures, recursive=recursive)
    reader = EmotionReader(
        model,
        contract=contract,
        detector=detector,
        detector_model=detector_model,
        detect_size_wh=detect_size,
        align=align,
        limits=QualityLimits(min_face_px=min_face),
        runtime=runtime,
        threads=threads,
        profile=profile,
    )
    copies = Copies(annotate, overwrite=overwrite) if annotate else None
    faces = failed = 0
    bar = Progress(
        console=Console(stderr=True),
        transient=True,
        # Only what goes to the same terminal has to make way for the bar.
        redirect_stdout=sys.stdout.isatty(),
        disable=len(stills) == 1 or not sys.stderr.isatty(),
    )
    # `print`, as click.echo would write past the bar.
    with bar:
        task = bar.add_task("reading", total=len(stills))
        for result in read_stills(stills, reader, copies):
            if as_json:
                print(json.dumps(still_document(result), ensure_ascii=False), flush=True)
            elif result.size_wh is not None:
                print(f"{result.still.path}: {_in_words(result)}", flush=True)
            if result.error:
                failed += 1
                print(f"fer-edge: {result.error}", file=sys.stderr)
            faces += len(result.readings)
            bar.advance(task)
    if len(stills) > 1:
        ending = f", {failed} failed" if failed else ""
        click.echo(f"{_count(len(stills), 'picture')}, {_count(faces, 'face')}{ending}", err=True)
    if failed:
        click.get_current_context().exit(1)


def still_document(result: "StillResult") -> dict[str, Any]:
    """A picture as the object of one line, schema version 1: docs/photographs.md."""
    from .sinks.jsonl import face_document

    # Of a single picture nothing is smoothed or followed.
    leave_out = ("raw_scores", "detected")
    faces = [face_document(reading) for reading in result.readings]
    return {
        "schema": SCHEMA_VERSION,
        "picture": str(result.still.path),
        "size_wh": list(result.size_wh) if result.size_wh else None,
        "faces": [
            {key: value for key, value in face.items() if key not in leave_out} for face in faces
        ],
        "annotated": str(result.annotated) if result.annotated else None,
        "error": result.error or None,
    }


def _in_words(result: "StillResult") -> str:
    from .draw import describe

    if not result.readings:
        return "no face"
    said = "; ".join(describe(reading) for reading in result.readings)
    return f"{_count(len(result.readings), 'face')}: {said}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
