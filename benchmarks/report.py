"""Measured figures as tables for people."""

from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table

from .alignment import AlignmentReport
from .detection import DetectionReport, DetectionScore
from .growth import WANTED_MB, Growth
from .host import Host
from .overhead import WANTED_MS, OverheadReport, OverheadScore
from .paced import PacedReport, PacedScore, StageTime
from .page import WANTED_BEHIND_MS, WANTED_MORE_MS, WANTED_START_S, PageReport, PageScore
from .peers import PeersReport

# More than this is not the kernel's own housekeeping.
_NOTABLE_CORES = 0.1
_PAGES = {"none": "no page", "read": "{} read", "stall": "{} stalled"}


def print_peers(report: PeersReport, console: Console) -> None:
    """Print the contenders side by side, and under what conditions they ran."""
    table = _table("", "frames/s", "x fer", "run by run", "wanted", "CPU ms", "faces", "unread")
    for score in report.scores:
        wanted = report.wanted.get(score.contender)
        table.add_row(
            score.contender,
            f"{score.median_fps:.1f}",
            f"{score.gain:.2f}",
            f"{score.gain_smallest:.2f}-{score.gain_largest:.2f}",
            "" if wanted is None else f"{wanted:g}",
            f"{score.cpu_ms_per_frame:.1f}",
            f"{score.faces}",
            f"{score.marked}",
        )
    width, height = report.size_wh
    names = ", ".join(clip.name for clip in report.clips)
    _say(
        console,
        f"{names}: {report.scores[0].frames} frames scaled to {width}x{height}, on {report.cores} "
        f"of {report.host.cores} cores",
        _machine(report.host),
        *(f"{name}: {_listed(versions)}" for name, versions in report.versions.items()),
    )
    console.print(table)
    _say(console, *_disturbed(report.others_cores))


def print_paced(report: PacedReport, console: Console) -> None:
    """Print each run: what was delivered, how old, and whether that is as wanted."""
    table = _table("", *(f"{score.fps:g}/s" for score in report.scores))
    rows: dict[str, Callable[[PacedScore], str]] = {
        "classifier": lambda score: f"x {score.slowed}",
        "frames": lambda score: f"{score.captured}",
        "delivered": lambda score: f"{score.delivered}",
        "left out": lambda score: f"{score.dropped}",
        "neither": lambda score: f"{score.lost}",
        "with every face": lambda score: f"{score.complete}",
        "without a face": lambda score: f"{score.empty}",
        "age, ms": lambda score: f"{score.age_ms:.1f}",
        "… p95": lambda score: f"{score.age_p95_ms:.1f}",
        "… oldest": lambda score: f"{score.age_most_ms:.1f}",
        "detect, ms": lambda score: _times(score.stages["detect"]),
        "classify, ms": lambda score: _times(score.stages["classify"]),
        "p95 age in stages": lambda score: f"{score.age_in_stages:.2f}",
        "memory, MB": lambda score: f"{score.growth_mb:+.1f}",
        "as wanted": lambda score: _verdict(score.good),
    }
    for name, cell in rows.items():
        table.add_row(name, *map(cell, report.scores))
    clip = report.clip
    _say(
        console,
        f"{clip.name}: {clip.frames} frames, played {report.loops} times, on {report.cores} of "
        f"{report.host.cores} cores",
        _machine(report.host),
    )
    console.print(table)
    _say(console, *_disturbed(max(score.others_cores for score in report.scores)))


def print_page(report: PageReport, console: Console) -> None:
    """Print each run, and what the pages add to the age of results."""
    table = _table("", *(_PAGES[score.kind].format(score.pages) for score in report.scores))
    rows: dict[str, Callable[[PageScore], str]] = {
        "frames": lambda score: f"{score.captured}",
        "delivered": lambda score: f"{score.delivered}",
        "age, ms, p95": lambda score: f"{score.age_p95_ms:.1f}",
        "page behind, ms, p95": lambda score: _or_dash(score.behind_p95_ms),
        "pictures/s": lambda score: _or_dash(score.pictures_per_s),
    }
    for name, cell in rows.items():
        table.add_row(name, *map(cell, report.scores))
    clip = report.clip
    _say(
        console,
        f"{clip.name}: {clip.frames} frames at {report.fps:g} frames/s, on {report.cores} of "
        f"{report.host.cores} cores",
        _machine(report.host),
    )
    console.print(table)
    for kind, name in (("read", "pages that read"), ("stall", "pages that never read")):
        more_ms = report.more_ms(kind)
        _say(
            console,
            f"{name} add {more_ms:+.1f} ms to the age's 95th percentile (median of the rounds; "
            f"as wanted: {_verdict(more_ms <= WANTED_MORE_MS)})",
        )
    behind_ms = [score.behind_p95_ms for score in report.scores if score.behind_p95_ms is not None]
    start_s = sorted(report.start_s)
    _say(
        console,
        f"a page is at most {max(behind_ms):.0f} ms behind (p95 of the worst run; as wanted: "
        f"{_verdict(max(behind_ms) <= WANTED_BEHIND_MS)})",
        f"page and picture are there {start_s[len(start_s) // 2]:.2f} s after the start ("
        f"{start_s[0]:.2f} to {start_s[-1]:.2f}; as wanted: "
        f"{_verdict(start_s[len(start_s) // 2] <= WANTED_START_S)})",
    )


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def print_overhead(report: OverheadReport, console: Console) -> None:
    """Print where the processor time of a frame goes."""
    table = _table("ms a frame", *(f"every {score.setting}" for score in report.scores))
    rows: dict[str, Callable[[OverheadScore], float]] = {
        "whole process": lambda score: score.total_ms,
        "detection": lambda score: score.detect_ms,
        "interpreter": lambda score: score.invoke_ms,
        "finding faces": lambda score: score.finding_ms,
        "reading faces": lambda score: score.reading_ms,
        "threads": lambda score: score.threads_ms,
        "own code": lambda score: score.own_ms,
    }
    for name, cell in rows.items():
        table.add_row(name, *(f"{cell(score):.2f}" for score in report.scores))
    table.add_row("as wanted", *(_verdict(score.own_ms <= WANTED_MS) for score in report.scores))
    width, height = report.size_wh
    _say(
        console,
        f"{report.detector}, frames of {width}x{height}; own code is the three rows above it, at "
        f"most {WANTED_MS:g} ms wanted",
        _machine(report.host),
    )
    console.print(table)
    _say(console, *_disturbed(max(score.others_cores for score in report.scores)))


def print_growth(growth: Growth, console: Console) -> None:
    """Print what was held at each sample, and how much it grew."""
    table = _table("frame", "resident MB", "threads", "open files")
    for sample in growth.samples:
        table.add_row(
            f"{sample.frame}",
            f"{sample.rss_bytes / 1e6:.2f}",
            f"{sample.threads}",
            f"{sample.descriptors}",
        )
    console.print(table)
    verdict = "as wanted" if growth.growth_mb <= WANTED_MB else "MORE than wanted"
    constant = "constant" if growth.constant else "NOT constant"
    _say(
        console,
        f"growth from frame {growth.from_frame} to {growth.samples[-1].frame}: "
        f"{growth.growth_mb:+.2f} MB, {verdict} (at most {WANTED_MB:g} MB); threads and open files "
        f"{constant}",
    )


def print_alignment(report: AlignmentReport, console: Console) -> None:
    """Print the accuracy at each angle, as it is and aligned."""
    table = _table("turned by", "found", "plain %", "aligned %", "difference", "95 % +-")
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
    _say(console, f"{report.data}, {report.split}, {report.detector}; accuracy of the faces found")
    console.print(table)


def print_detection(report: DetectionReport, console: Console) -> None:
    """Print the settings, with the faces a frame that each found and reported in every clip."""
    names = [*report.frames]
    beside = ("of YuNet's", "extra a frame")
    table = _table("", "size", "CPU ms/frame", *map(str, range(1, len(names) + 1)), *beside)
    for score in report.scores:
        one = score.setting
        table.add_row(
            one.detector + (" grey" if one.grey else ""),
            f"{one.size_wh[0]}x{one.size_wh[1]}",
            f"{score.ms_per_frame:.1f}",
            *(
                " / ".join(
                    f"{faces[name] / report.frames[name]:.2f}"
                    for faces in (score.faces, score.reported)
                )
                for name in names
            ),
            *_beside_yunet(score, sum(report.frames.values())),
        )
    _say(
        console,
        "faces a frame, found by the detector / reported by the loop:",
        *(f"{at}: {name}, {report.frames[name]} frames" for at, name in enumerate(names, start=1)),
        "of YuNet's: how many of the faces that it finds at 640x480, and what else was found",
        f"one thread on {report.host.cpu}, load {report.host.load_1min} at the end",
    )
    console.print(table)


def _beside_yunet(score: DetectionScore, frames: int) -> tuple[str, str]:
    found = score.agreement
    if found is None or not found.expected:
        return "-", "-"
    return f"{100 * found.found / found.expected:.1f} %", f"{found.extra / frames:.3f}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(columns[0])
    for name in columns[1:]:
        table.add_column(name, justify="right")
    return table


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _machine(host: Host) -> str:
    return f"{host.cpu} ({host.machine}, {host.system}), load {host.load_1min} at the start"


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _verdict(good: bool) -> str:
    return "yes" if good else "NO"


def _times(stage: StageTime) -> str:
    return f"{stage.median_ms:.1f}, p95 {stage.p95_ms:.1f}"


def _disturbed(others_cores: float) -> list[str]:
    if others_cores <= _NOTABLE_CORES:
        return []
    return [
        f"Note: other processes used {others_cores:.2f} cores during one of the runs, so these "
        f"figures are worth little."
    ]
