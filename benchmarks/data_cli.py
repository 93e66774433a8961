"""The commands ``fer-edge benchmark …`` that measure over a data set."""

import os
from pathlib import Path

import click

from .options import (
    DETECTOR_MODEL,
    MODEL,
    REPEAT,
    check_out,
    deliver,
    print_plain,
    say,
    with_outputs,
)

_DATA = click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="FER-2013, as `train` takes it."
)


@click.command()
@_DATA
@click.option("--split", default="PublicTest", show_default=True)
@click.option("--faces", type=click.IntRange(1), help="A sample of so many. Default: all.")
@MODEL
@DETECTOR_MODEL
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@with_outputs
def align(
    data: Path,
    split: str,
    faces: int | None,
    model: str | None,
    detector_model: Path | None,
    seed: int,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Accuracy with --align and without, by how far the faces are turned in the picture."""
    from .alignment import measure
    from .report import print_alignment

    check_out(out, overwrite)
    report = measure(
        data,
        split=split,
        faces=faces,
        model=model,
        detector_model=detector_model,
        seed=seed,
        progress=say,
    )
    deliver(
        report.to_dict(),
        lambda console: print_alignment(report, console),
        as_json,
        out,
        overwrite,
    )


@click.command("input")
@_DATA
@click.option("--votes", type=click.Path(path_type=Path), help="FER+'s fer2013new.csv.")
@click.option("--recipe", "names", multiple=True, default=("accurate",), show_default=True)
@click.option("--steps", type=click.IntRange(2), default=20, show_default=True)
@REPEAT
@with_outputs
def measure_input(
    data: Path,
    votes: Path | None,
    names: tuple[str, ...],
    steps: int,
    repeat: int,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """How long a training reads its data, and whether its steps wait for images."""
    from ..edge.native_log import native_stderr_silenced

    check_out(out, overwrite)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_stderr_silenced():
        from .input import measure, to_markdown
    report = measure(data, names, votes=votes, steps=steps, repeat=repeat, progress=say)
    table = to_markdown(report).rstrip()
    deliver(report.to_dict(), lambda console: print_plain(console, table), as_json, out, overwrite)
