"""The machine that a figure was taken on, as far as a reader of the figure has to know it."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..edge.errors import UsageError


@dataclass(frozen=True, slots=True)
class Host:
    """A machine at the start of a measurement.

    Attributes:
        cpu: Model of the processor, or of the board where the kernel names only that.
        machine: Architecture, such as ``x86_64`` or ``aarch64``.
        system: Name and release of the kernel.
        cores: CPUs that this process may use.
        load_1min: Mean number of processes that ran or waited in the minute before; a measurement
            that has just ended counts, too.
    """

    cpu: str
    machine: str
    system: str
    cores: int
    load_1min: float


def read_host(cpuinfo: Path = Path("/proc/cpuinfo")) -> Host:
    """This machine, now."""
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        text = ""
    return Host(
        cpu=cpu_model(text) or platform.processor() or "unknown",
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        cores=len(os.sched_getaffinity(0)),
        load_1min=round(os.getloadavg()[0], 2),
    )


def cpu_model(cpuinfo: str) -> str:
    """The processor's name in the text of ``/proc/cpuinfo``, or "" where it has none.

    x86 kernels write ``model name``; 64-bit ARM ones leave it out, and a Raspberry Pi's then says
    what board it is in ``Model``.
    """
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields.get("model name") or fields.get("Model") or ""


def busy_seconds(stat: str, ticks_per_s: int) -> float:
    """CPU time that all processes together have used since the machine started, in seconds.

    Args:
        stat: The text of ``/proc/stat``.
        ticks_per_s: Its unit, ``os.sysconf("SC_CLK_TCK")``.
    """
    numbers = [int(word) for word in stat.partition("\n")[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = numbers[:8]
    # Stolen time too: what the host of a virtual machine took is as much lost to the measurement.
    return (user + nice + system + irq + softirq + steal) / ticks_per_s


def read_busy_seconds() -> float:
    """:func:`busy_seconds` of this machine, now."""
    return busy_seconds(Path("/proc/stat").read_text(), os.sysconf("SC_CLK_TCK"))


@dataclass(frozen=True, slots=True)
class Spent:
    """What something took.

    Attributes:
        seconds: Wall-clock time.
        cpu_seconds: Time of all threads of this process on all cores.
        others_cores: Mean number of cores that other processes used meanwhile.
    """

    seconds: float
    cpu_seconds: float
    others_cores: float


def stopwatch() -> Callable[[], Spent]:
    """Start measuring; what is returned says what was spent since."""
    busy, cpu, began = read_busy_seconds(), time.process_time(), time.perf_counter()

    def spent() -> Spent:
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        # The kernel counts in ticks of 10 ms, which may come out a little below ours.
        others_seconds = max(0.0, read_busy_seconds() - busy - cpu_seconds)
        return Spent(seconds, cpu_seconds, others_seconds / seconds)

    return spent


def choose_cores(available: Iterable[int], count: int) -> tuple[int, ...]:
    """The CPUs to pin a measurement to: the first ``count`` of those that may be used.

    Raises:
        UsageError: There are fewer.
    """
    cores = sorted(available)
    if len(cores) < count:
        raise UsageError(
            f"--cores {count}: this process may use {len(cores)} (CPUs {cores}). Ask for fewer."
        )
    return tuple(cores[:count])


@contextmanager
def pinned(cores: Iterable[int] | None = None) -> Iterator[None]:
    """Let OpenCV use one thread, and keep this thread and those it starts on some CPUs.

    Args:
        cores: The CPUs; None leaves the choice to the system.
    """
    import cv2

    before, threads = os.sched_getaffinity(0), cv2.getNumThreads()
    os.sched_setaffinity(0, before if cores is None else cores)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        os.sched_setaffinity(0, before)
