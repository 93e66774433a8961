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


@benchmark.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--detector", metavar="NAME", default="auto", show_default=True, help="As of `run`.")
@click.option("--detector-model", type=click.Path(path_type=Path), metavar="FILE", help="For it.")
@_with_outputs
def tracking(
    clips: tuple[Path, ...],
    detector: str,
    detector_model: Path | None,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """What is lost over CLIPS where the detector looks at fewer frames, and what is saved."""
    from ..edge.detectors import open_detector
    from .tracking import measure as measure_tracking
    from .tracking import to_markdown

    _check_out(out, overwrite)
    finder = open_detector(detector, model=detector_model)
    words = ["fer-edge benchmark tracking", *(clip.name for clip in clips)]
    report = measure_tracking(
        clips,
        finder,
        command=" ".join([*words, "--detector", finder.name]),
        progress=lambda line: click.echo(line, err=True),
    )
    table = to_markdown(report).rstrip()
    _deliver(report.to_dict(), lambda console: _plain(console, table), as_json, out, overwrite)


def _plain(console: "Console", text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@benchmark.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--detector-model", type=click.Path(path_type=Path), help="YuNet's file.")
@click.option("--repeat", type=click.IntRange(1), default=3, show_default=True)
@_with_outputs
def detect(
    clips: tuple[Path, ...],
    detector_model: Path | None,
    repeat: int,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Faces found in CLIPS and milliseconds a frame, by detector and --detect-size."""
    from ..edge.detectors import DETECTORS
    from .detection import measure_detection, settings_for
    from .report import print_detection

    _check_out(out, overwrite)
    report = measure_detection(
        clips,
        settings_for(DETECTORS),
        model=detector_model,
        rounds=repeat,
        progress=lambda line: click.echo(line, err=True),
    )
    _deliver(
        report.to_dict(),
        lambda console: print_detection(report, console),
        as_json,
        out,
        overwrite,
    )


@benchmark.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="FER-2013, as `train` takes it."
)
@click.option("--split", default="PublicTest", show_default=True)
@click.option("--faces", type=click.IntRange(1), help="A sample of so many. Default: all.")
@click.option("--model", metavar="NAME|FILE", help="Default: the shipped one.")
@click.option("--detector-model", type=click.Path(path_type=Path), help="YuNet's file.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@_with_outputs
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

    _check_out(out, overwrite)
    report = measure(
        data,
        split=split,
        faces=faces,
        model=model,
        detector_model=detector_model,
        seed=seed,
        progress=lambda line: click.echo(line, err=True),
    )
    _deliver(
        report.to_dict(),
        lambda console: print_alignment(report, console),
        as_json,
        out,
        overwrite,
    )


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
