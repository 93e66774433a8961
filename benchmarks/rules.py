"""The rules that every figure of ``fer-edge benchmark`` is measured by.

After MLPerf Tiny (Banbury et al., 2021, arXiv:2106.07597: a window of at least ten seconds, the
median of five) and MLPerf Inference (Reddi et al., 2020, arXiv:1911.02549: percentiles of the
latency, the same code for speed and accuracy, no calibration on what is tested): a warm-up that
does not count, five repetitions of at least ten seconds, their median and spread; the machine's
state before and after; a run on a machine that was throttled or disturbed is marked invalid.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..edge.board import read_board
from .document import Conditions, Machine
from .host import cpu_model, stopwatch

#: More than so many cores of other processes disturb a measurement.
DISTURBED_CORES = 0.2
# A clock that fell by more than this was capped, whatever the firmware says.
_CLOCK_LOSS = 0.1
_PACKAGES = (
    "ai-edge-litert",
    "tflite-runtime",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "picamera2",
    "keras",
    "tensorflow",
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How thoroughly to measure.

    Attributes:
        repeats: Repetitions.
        seconds: Of each, at least.
        warmup_s: Before each; what happens in it does not count.
        quick: Whether that is less than the rules ask for.
    """

    repeats: int = 5
    seconds: float = 10.0
    warmup_s: float = 1.0
    quick: bool = False


FULL = Effort()
QUICK = Effort(repeats=3, seconds=0.5, warmup_s=0.2, quick=True)


@dataclass(frozen=True, slots=True)
class Repeated:
    """What the repetitions gave.

    Attributes:
        values: By the name of the metric, one a repetition.
        invalid: Why the figures must not be quoted; empty where they may.
    """

    values: Mapping[str, tuple[float, ...]]
    invalid: str


def repetition(
    measure: Callable[[float], Mapping[str, float]], effort: Effort
) -> tuple[Mapping[str, float], float]:
    """Measure once, after a warm-up, what this process does.

    Args:
        measure: Measures for so many seconds, and gives the figures of that time by name.
        effort: For how long.

    Returns:
        The figures, and how many cores other processes used meanwhile. The work of children of
        this process would count as theirs; who has some looks at it himself.
    """
    if effort.warmup_s:
        measure(effort.warmup_s)
    spent = stopwatch()
    return measure(effort.seconds), spent().others_cores


def gather(repetitions: Sequence[tuple[Mapping[str, float], float]]) -> Repeated:
    """What several repetitions of one thing gave, each as of :func:`repetition`.

    Args:
        repetitions: At least one. The one that others disturbed most decides over all of them.
    """
    rows, others_cores = zip(*repetitions, strict=True)
    found = {name: tuple(row[name] for row in rows) for name in rows[0]}
    return Repeated(found, say_disturbed(max(others_cores)))


def say_disturbed(others_cores: float) -> str:
    """Why a run beside such other processes is invalid; empty where it is not."""
    if others_cores <= DISTURBED_CORES:
        return ""
    return f"disturbed: other processes used {others_cores:.1f} cores"


def say_throttled(before: Conditions, after: Conditions) -> str:
    """Why a run between two states of the machine is invalid; empty where it is not."""
    if before.throttled_now or after.throttled_now:
        kinds = {*(before.throttled_now or ()), *(after.throttled_now or ())}
        return f"throttled: {', '.join(sorted(kinds))}"
    new = set(after.throttled_since_boot or ()) - set(before.throttled_since_boot or ())
    if new:
        return f"throttled: {', '.join(sorted(new))}"
    if before.governor != after.governor:
        return f"disturbed: the governor went from {before.governor} to {after.governor}"
    # Only a governor that holds the clock says something by a clock that fell.
    if (
        before.governor == "performance"
        and before.clock_mhz
        and after.clock_mhz
        and after.clock_mhz < (1 - _CLOCK_LOSS) * before.clock_mhz
    ):
        return f"throttled: the clock fell from {before.clock_mhz:.0f} to {after.clock_mhz:.0f} MHz"
    return ""


def windows(step: Callable[[], object], seconds: float) -> list[float]:
    """Call something over and over for so many seconds, at least once.

    Returns:
        How long each call took, in milliseconds.
    """
    took_ms: list[float] = []
    clock = time.perf_counter
    end = clock() + seconds
    while True:
        began = clock()
        step()
        now = clock()
        took_ms.append(1e3 * (now - began))
        if now >= end:
            return took_ms


def read_conditions(root: Path = Path("/")) -> Conditions:
    """The state of the machine now; what it does not tell, or forbids to read, is None."""
    board = read_board(root)
    frequency = root / "sys/devices/system/cpu/cpu0/cpufreq"
    clock = _text(frequency / "scaling_cur_freq")
    return Conditions(
        governor=_text(frequency / "scaling_governor"),
        clock_mhz=int(clock) / 1e3 if clock and clock.isdecimal() else None,
        temperature_c=board.temperature_c,
        throttled_now=None if board.now is None else tuple(sorted(board.now)),
        throttled_since_boot=None if board.since_boot is None else tuple(sorted(board.since_boot)),
        load_1min=round(os.getloadavg()[0], 2),
    )


def read_machine(root: Path = Path("/")) -> Machine:
    """This machine."""
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = ""
    return Machine(
        board=read_board(root, firmware=False).model or "",
        processor=cpu_model(_text(root / "proc/cpuinfo") or "") or platform.processor(),
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=system,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages=_versions(_PACKAGES),
    )


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
