"""The commands ``fer-edge benchmark …``."""

from pathlib import Path

import click

from .data_cli import align, measure_input
from .options import (
    CLIPS,
    DETECTOR,
    DETECTOR_MODEL,
    MODEL,
    ONE_CORE,
    REPEAT,
    check_out,
    deliver,
    print_plain,
    say,
    with_outputs,
)


@click.group()
def benchmark() -> None:
    """Measure what the loop costs, beside the code that people use otherwise."""


benchmark.add_command(align)
benchmark.add_command(measure_input)


@benchmark.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option(
    "--keras",
    required=True,
    type=click.Path(path_type=Path),
    help="The tutorial's model (.keras with its contract beside it), as `fer-edge train` makes it.",
)
@MODEL
@REPEAT
@click.option("--loops", type=click.IntRange(1), help="Default: so that a run has 300 frames.")
@click.option(
    "--cores", type=click.IntRange(1), default=2, show_default=True, help="To pin each run to."
)
@click.option("--parts", is_flag=True, help="Also the steps between the tutorial and fer-edge.")
@with_outputs
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

    check_out(out, overwrite)
    plan = Plan(clip, keras, model, repeat=repeat, loops=loops, cores=cores, parts=parts)
    report = measure(plan, progress=say)
    deliver(report.to_dict(), lambda console: print_loop(report, console), as_json, out, overwrite)


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
    type=click.Choice(["yunet", "haar"]),
    multiple=True,
    default=("yunet", "haar"),
    show_default=True,
    help="Of ours; may be given twice.",
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
@click.option("--loops", type=click.IntRange(1), help="Default: so that a run has 300 frames.")
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
    from ..edge.detectors import DETECTORS
    from .detection import measure_detection, settings_for
    from .report import print_detection

    check_out(out, overwrite)
    report = measure_detection(
        clips,
        settings_for(DETECTORS),
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
