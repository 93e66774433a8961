"""Measured figures as tables for people."""

from rich.console import Console
from rich.table import Table

from .alignment import AlignmentReport
from .detection import DetectionReport
from .growth import WANTED_MB, Growth
from .loop import LoopReport

# More than this is not the kernel's own housekeeping.
_NOTABLE_CORES = 0.1


def print_loop(report: LoopReport, console: Console) -> None:
    """Print the contenders side by side, and under what conditions they ran."""
    clip, host, summary = report.clip, report.host, report.summary
    width, height = clip.size_wh
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("frames/s", "x tutorial", "CPU ms/frame", "faces", "frames/s of each run"):
        table.add_column(name, justify="right")
    for score in summary.scores:
        table.add_row(
            score.contender,
            f"{score.median_fps:.1f}",
            f"{score.gain:.2f}",
            f"{score.cpu_ms_per_frame:.1f}",
            f"{score.faces}",
            " ".join(f"{fps:.1f}" for fps in score.fps),
        )
    lines = [
        f"{clip.name}: {clip.frames} frames of {width}x{height}, played {report.loops} times, on "
        f"{report.cores} of {host.cores} cores",
        f"{host.cpu} ({host.machine}, {host.system}), load {host.load_1min} at the start",
        ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    notes = [
        f"fer-edge / tutorial: {summary.ratio:.2f} (medians), {summary.ratio_smallest:.2f} to "
        f"{summary.ratio_largest:.2f} (runs side by side)"
    ]
    if not report.models.same:
        notes.append(
            f"Note: {report.models.int8[0]} was not converted from {report.models.keras[0]}, so "
            f"the two may differ in more than their numbers."
        )
    if summary.others_cores > _NOTABLE_CORES:
        notes.append(
            f"Note: other processes used {summary.others_cores:.2f} cores during one of the runs, "
            f"so these figures are worth little."
        )
    for note in notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)


def print_growth(growth: Growth, console: Console) -> None:
    """Print the memory at each sample, and how much it grew."""
    table = Table(box=None, pad_edge=False)
    table.add_column("frame", justify="right")
    table.add_column("resident MB", justify="right")
    for sample in growth.samples:
        table.add_row(f"{sample.frame}", f"{sample.rss_bytes / 1e6:.2f}")
    console.print(table)
    verdict = "as wanted" if growth.good else "MORE than wanted"
    console.print(
        f"growth from frame {growth.from_frame} to {growth.samples[-1].frame}: "
        f"{growth.growth_mb:+.2f} MB, {verdict} (at most {WANTED_MB:g} MB)",
        highlight=False,
        soft_wrap=True,
    )


def print_alignment(report: AlignmentReport, console: Console) -> None:
    """Print the accuracy at each angle, as it is and aligned."""
    table = Table(box=None, pad_edge=False)
    for name in ("turned by", "found", "plain %", "aligned %", "difference", "95 % +-"):
        table.add_column(name, justify="right")
    for score in report.angles:
        found = max(1, score.found)
        table.add_row(
            f"{score.roll_deg:+.0f}",
            f"{score.found} of {score.faces}",
            f"{100 * score.plain_right / found:.1f}",
            f"{100 * score.aligned_right / found:.1f}",
            f"{100 * score.gain:+.1f}",
            f"{100 * score.half_width:.1f}",
        )
    console.print(
        f"{report.data}, {report.split}, {report.detector}; accuracy of the faces found",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(table)


def print_detection(report: DetectionReport, console: Console) -> None:
    """Print the settings, with the faces that each found in every clip."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    names = [*report.frames]
    for name in (
        "size",
        "CPU ms/frame",
        *(f"faces {number}" for number in range(1, len(names) + 1)),
    ):
        table.add_column(name, justify="right")
    for score in report.scores:
        one = score.setting
        table.add_row(
            one.detector + (" grey" if one.grey else ""),
            f"{one.size_wh[0]}x{one.size_wh[1]}",
            f"{score.ms_per_frame:.1f}",
            *(f"{score.faces[name]}" for name in names),
        )
    lines = [f"{number}: {name}, {report.frames[name]} frames" for number, name in _counted(names)]
    lines.append(f"one thread on {report.host.cpu}, load {report.host.load_1min} at the end")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(table)


def _counted(names: list[str]) -> list[tuple[int, str]]:
    return list(enumerate(names, start=1))
