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


_CLIPS = click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
_DETECTOR = click.option(
    "--detector", metavar="NAME", default="auto", show_default=True, help="As of `run`."
)
_DETECTOR_MODEL = click.option(
    "--detector-model", type=click.Path(path_type=Path), metavar="FILE", help="YuNet's file."
)
_MODEL = click.option("--model", metavar="NAME|FILE", help="Default: the shipped one.")
_REPEAT = click.option(
    "--repeat", type=click.IntRange(1), default=3, show_default=True, help="Runs of each."
)
_ONE_CORE = click.option(
    "--cores", type=click.IntRange(1), default=1, show_default=True, help="To pin each run to."
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
@_MODEL
@_REPEAT
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
    report = measure(plan, progress=_say)
    _deliver(report.to_dict(), lambda console: print_loop(report, console), as_json, out, overwrite)


@benchmark.command()
@_CLIPS
@click.option(
    "--peer-python",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PYTHON",
    help="The interpreter of an environment with the package fer.",
)
@click.option(
    "--detector",
    "detectors",
    type=click.Choice(["yunet", "haar"]),
    multiple=True,
    default=("yunet", "haar"),
    show_default=True,
    help="Of ours; may be given twice.",
)
@_DETECTOR_MODEL
@_MODEL
@click.option(
    "--read-all", is_flag=True, help="Read faces that are small, cut or blurred, too, as fer does."
)
@_REPEAT
@_ONE_CORE
@_with_outputs
def peers(
    clips: tuple[Path, ...],
    peer_python: Path,
    detectors: tuple[str, ...],
    detector_model: Path | None,
    model: str | None,
    read_all: bool,
    repeat: int,
    cores: int,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Frames a second over CLIPS at 640x480, beside the package fer."""
    from .peers import PeersPlan, measure
    from .report import print_peers

    _check_out(out, overwrite)
    plan = PeersPlan(
        clips,
        peer_python,
        detectors=detectors,
        detector_model=detector_model,
        model=model,
        read_all=read_all,
        repeat=repeat,
        cores=cores,
    )
    report = measure(plan, progress=_say)
    _deliver(
        report.to_dict(), lambda console: print_peers(report, console), as_json, out, overwrite
    )


@benchmark.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option(
    "--fps",
    "rates",
    type=click.FloatRange(0.1, 1000),
    multiple=True,
    default=(30.0, 60.0),
    show_default=True,
    help="Frames a second; may be given several times.",
)
@click.option(
    "--slowed",
    type=click.IntRange(2),
    metavar="N",
    help="Also with a classifier that takes N times as long.",
)
@_DETECTOR
@_DETECTOR_MODEL
@_MODEL
@click.option("--loops", type=click.IntRange(1), help="Default: so that a run has 300 frames.")
@_ONE_CORE
@_with_outputs
def paced(
    clip: Path,
    rates: tuple[float, ...],
    slowed: int | None,
    detector: str,
    detector_model: Path | None,
    model: str | None,
    loops: int | None,
    cores: int,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Drops and the age of results over CLIP, where its frames come as from a camera."""
    from .paced import PacedPlan, measure_paced
    from .report import print_paced

    _check_out(out, overwrite)
    plan = PacedPlan(
        clip,
        rates=rates,
        slowed=slowed,
        detector=detector,
        detector_model=detector_model,
        model=model,
        loops=loops,
        cores=cores,
    )
    report = measure_paced(plan, progress=_say)
    _deliver(
        report.to_dict(), lambda console: print_paced(report, console), as_json, out, overwrite
    )


@benchmark.command()
@_CLIPS
@_DETECTOR
@_DETECTOR_MODEL
@_MODEL
@_REPEAT
@_ONE_CORE
@_with_outputs
def overhead(
    clips: tuple[Path, ...],
    detector: str,
    detector_model: Path | None,
    model: str | None,
    repeat: int,
    cores: int,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Where the processor time of a frame of CLIPS goes: networks, and fer-edge's own code."""
    from .overhead import measure_overhead
    from .report import print_overhead

    _check_out(out, overwrite)
    report = measure_overhead(
        clips,
        detector,
        detector_model=detector_model,
        model=model,
        repeat=repeat,
        cores=cores,
        progress=_say,
    )
    _deliver(
        report.to_dict(), lambda console: print_overhead(report, console), as_json, out, overwrite
    )


@benchmark.command()
@click.option("--frames", type=click.IntRange(1), default=10_000, show_default=True)
@_MODEL
@_with_outputs
def growth(
    frames: int, model: str | None, as_json: bool, out: Path | None, overwrite: bool
) -> None:
    """What the loop gains in memory, threads and open files over the demo after frame 1,000."""
    from .growth import measure_growth
    from .report import print_growth

    _check_out(out, overwrite)
    found = measure_growth(frames, model=model, progress=_say)
    _deliver(found.to_dict(), lambda console: print_growth(found, console), as_json, out, overwrite)


@benchmark.command()
@_CLIPS
@_DETECTOR
@_DETECTOR_MODEL
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
        progress=_say,
    )
    table = to_markdown(report).rstrip()
    _deliver(report.to_dict(), lambda console: _plain(console, table), as_json, out, overwrite)


def _plain(console: "Console", text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@benchmark.command()
@_CLIPS
@_DETECTOR_MODEL
@_REPEAT
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
        progress=_say,
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
@_MODEL
@_DETECTOR_MODEL
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
        progress=_say,
    )
    _deliver(
        report.to_dict(),
        lambda console: print_alignment(report, console),
        as_json,
        out,
        overwrite,
    )


def _say(line: str) -> None:
    click.echo(line, err=True)


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
