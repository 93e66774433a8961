"""The commands ``fer-edge benchmark …``."""

from pathlib import Path
from typing import Any

import click

from .accuracy_cli import accuracy
from .data_cli import align, measure_input
from .loop_cli import instruments, loop
from .measure_cli import latency, measure_everything
from .options import (
    CLIPS,
    DETECTOR,
    DETECTOR_MODEL,
    LOOPS,
    MODEL,
    ONE_CORE,
    REPEAT,
    check_out,
    deliver,
    print_plain,
    say,
    with_outputs,
)
from .report_cli import report


@click.group()
def benchmark() -> None:
    """Measure what the loop costs, beside the code that people use otherwise."""


benchmark.add_command(accuracy)
benchmark.add_command(align)
benchmark.add_command(instruments)
benchmark.add_command(latency)
benchmark.add_command(loop)
benchmark.add_command(measure_everything)
benchmark.add_command(measure_input)
benchmark.add_command(report)


@benchmark.command()
@CLIPS
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
    type=click.Choice(["yunet", "fer-face", "haar"]),
    multiple=True,
    default=("yunet", "fer-face", "haar"),
    show_default=True,
    help="Of ours; may be given several times.",
)
@DETECTOR_MODEL
@MODEL
@click.option(
    "--read-all", is_flag=True, help="Read faces that are small, cut or blurred, too, as fer does."
)
@REPEAT
@ONE_CORE
@with_outputs
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

    check_out(out, overwrite)
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
    report = measure(plan, progress=say)
    deliver(report.to_dict(), lambda console: print_peers(report, console), as_json, out, overwrite)


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
@DETECTOR
@DETECTOR_MODEL
@MODEL
@LOOPS
@ONE_CORE
@with_outputs
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

    check_out(out, overwrite)
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
    report = measure_paced(plan, progress=say)
    deliver(report.to_dict(), lambda console: print_paced(report, console), as_json, out, overwrite)


@benchmark.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option(
    "--fps",
    type=click.FloatRange(0.1, 1000),
    default=30.0,
    show_default=True,
    help="Frames a second of the camera.",
)
@click.option(
    "--readers",
    type=click.IntRange(1, 8),
    default=4,
    show_default=True,
    help="Pages that are open.",
)
@click.option(
    "--stalled",
    type=click.IntRange(1, 8),
    default=5,
    show_default=True,
    help="In other runs: pages that are asked for and never read.",
)
@DETECTOR
@DETECTOR_MODEL
@MODEL
@REPEAT
@LOOPS
@ONE_CORE
@with_outputs
def page(clip: Path, as_json: bool, out: Path | None, overwrite: bool, **chosen: Any) -> None:
    """What the live page costs the loop over CLIP, and how far it is behind."""
    from .page import PagePlan, measure_page
    from .report import print_page

    check_out(out, overwrite)
    report = measure_page(PagePlan(clip, **chosen), progress=say)
    deliver(report.to_dict(), lambda console: print_page(report, console), as_json, out, overwrite)


@benchmark.command()
@CLIPS
@DETECTOR
@DETECTOR_MODEL
@MODEL
@REPEAT
@ONE_CORE
@with_outputs
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

    check_out(out, overwrite)
    report = measure_overhead(
        clips,
        detector,
        detector_model=detector_model,
        model=model,
        repeat=repeat,
        cores=cores,
        progress=say,
    )
    deliver(
        report.to_dict(), lambda console: print_overhead(report, console), as_json, out, overwrite
    )


@benchmark.command()
@click.option("--frames", type=click.IntRange(1), default=10_000, show_default=True)
@MODEL
@with_outputs
def growth(
    frames: int, model: str | None, as_json: bool, out: Path | None, overwrite: bool
) -> None:
    """What the loop gains in memory, threads and open files over the demo after frame 1,000."""
    from .growth import measure_growth
    from .report import print_growth

    check_out(out, overwrite)
    found = measure_growth(frames, model=model, progress=say)
    deliver(found.to_dict(), lambda console: print_growth(found, console), as_json, out, overwrite)


@benchmark.command()
@CLIPS
@DETECTOR
@DETECTOR_MODEL
@with_outputs
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

    check_out(out, overwrite)
    finder = open_detector(detector, model=detector_model)
    words = ["fer-edge benchmark tracking", *(clip.name for clip in clips)]
    report = measure_tracking(
        clips,
        finder,
        command=" ".join([*words, "--detector", finder.name]),
        progress=say,
    )
    table = to_markdown(report).rstrip()
    deliver(report.to_dict(), lambda console: print_plain(console, table), as_json, out, overwrite)


@benchmark.command()
@CLIPS
@DETECTOR_MODEL
@REPEAT
@with_outputs
def detect(
    clips: tuple[Path, ...],
    detector_model: Path | None,
    repeat: int,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Faces found in CLIPS and milliseconds a frame, by detector and --detect-size."""
    from ..edge.detectors import standard_detectors
    from .detection import measure_detection, settings_for
    from .report import print_detection

    check_out(out, overwrite)
    report = measure_detection(
        clips,
        settings_for(standard_detectors()),
        model=detector_model,
        rounds=repeat,
        progress=say,
    )
    deliver(
        report.to_dict(),
        lambda console: print_detection(report, console),
        as_json,
        out,
        overwrite,
    )
