"""Temperature, power, the processor's governor, memory and disks."""

import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..board import KINDS, SOFT_LIMIT, BoardState, read_board
from ..folders import cache_folder
from .finding import NOTE, OK, PROBLEM, WARNING, Finding

# Where a Raspberry Pi 4 and 5 begin to slow down.
_HOT_C = 80.0
# What the loop with a detector and the larger model takes, with a margin.
_MEMORY_MB = 250
# An hour of recording takes several hundred; below the other figure nothing can be written.
_LITTLE_DISK_MB, _NO_DISK_MB = 500, 10
_COOL = "# give it a heat sink or a fan, or a cooler place; then:\nvcgencmd measure_temp"
_POWER = (
    "# use the official power supply and a short cable, power USB devices by a hub of their own; "
    "then start anew and look:\nvcgencmd get_throttled"
)
_GOVERNOR = "echo ondemand | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"


@dataclass(frozen=True, slots=True)
class Disk:
    """A place that is written to.

    Attributes:
        path: Of a folder on it.
        free_bytes: For this user.
        read_only: Whether it is mounted so.
    """

    path: str
    free_bytes: int
    read_only: bool = False


def look_at_board(root: Path, _limit_s: float) -> Iterator[Finding]:
    """The check of temperature, power, processor and memory."""
    yield from judge_board(read_board(root))
    yield judge_governor(read_governors(root))


def look_at_disks(_limit_s: float) -> Iterator[Finding]:
    """The check of the disks."""
    return judge_disks(read_disks(written_to()))


def judge_board(state: BoardState) -> Iterator[Finding]:
    """What the machine says of itself; what it does not say is no finding."""
    if state.temperature_c is not None:
        hot = state.temperature_c >= _HOT_C
        found = f"{state.temperature_c:.0f} °C" + (", and so it runs slower" if hot else "")
        yield Finding(WARNING if hot else OK, "temperature", found, _COOL if hot else "")
    now, before = state.now or frozenset(), state.since_boot or frozenset()
    if now or before:
        parts = [(now, "now"), (before, "since the start")]
        found = "; ".join(
            f"{when}: {' and '.join(kind for kind in KINDS if kind in kinds)}"
            for kinds, when in parts
            if kinds
        )
        cure = _COOL if now | before == {SOFT_LIMIT} else _POWER
        yield Finding(WARNING if now else NOTE, "power", found, cure)
    elif state.since_boot is not None:
        yield Finding(OK, "power", "no undervoltage and no throttling since the start")
    elif "Raspberry Pi" in (state.model or ""):
        found = "the firmware does not tell this user of throttling"
        cure = "sudo usermod -aG video $USER\n# then log out and in again"
        yield Finding(NOTE, "power", found, cure)
    if state.free_bytes is not None:
        free = state.free_bytes / 1e6
        if free < _MEMORY_MB:
            found = f"{free:.0f} MB free, the loop takes up to {_MEMORY_MB} MB"
            yield Finding(WARNING, "memory", found, "ps -eo rss,comm --sort=-rss | head")
        else:
            yield Finding(OK, "memory", f"{free:.0f} MB free")


def read_governors(root: Path) -> dict[str, str]:
    """Governor to driver, of all processors."""
    found = {}
    for path in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"):
        with suppress(OSError):
            driver = path.with_name("scaling_driver")
            name = driver.read_text().strip() if driver.exists() else ""
            found[path.read_text().strip()] = name
    return found


def judge_governor(governors: dict[str, str]) -> Finding:
    """How the processor chooses its frequency.

    Args:
        governors: Governor to driver; empty where the machine does not tell.
    """
    # With these drivers the word means the usual choice by load.
    slow = "powersave" in governors and "pstate" not in governors["powersave"]
    if slow:
        found = "the governor powersave keeps the processor at its lowest frequency"
        return Finding(WARNING, "processor", found, _GOVERNOR)
    told = ", ".join(sorted(governors)) or "not told"
    return Finding(OK, "processor", f"{os.cpu_count()} cores, governor {told}")


def written_to() -> list[Path]:
    """Where fer-edge writes: the user's cache, temporary files, and the folder it is called in."""
    import tempfile

    places = [Path.cwd()]
    with suppress(Exception):
        # Without platformdirs there is none; its own finding says so.
        places.append(cache_folder())
    with suppress(OSError):
        places.append(Path(tempfile.gettempdir()))
    return places


def read_disks(places: list[Path]) -> list[Disk]:
    """The disks of some folders, each once; of one that is not there, its nearest parent's."""
    found: dict[int, Disk] = {}
    for place in places:
        with suppress(OSError):
            there = next(path for path in (place, *place.parents) if path.exists())
            told = os.statvfs(there)
            free, read_only = told.f_bavail * told.f_frsize, bool(told.f_flag & os.ST_RDONLY)
            found.setdefault(there.stat().st_dev, Disk(str(there), free, read_only))
    return list(found.values())


def judge_disks(disks: list[Disk]) -> Iterator[Finding]:
    """Whether there is room."""
    for disk in disks:
        name, free = f"disk {disk.path}", disk.free_bytes / 1e6
        show = f"df -h {shlex.quote(disk.path)}"
        if disk.read_only:
            yield Finding(
                WARNING,
                name,
                "is read-only: nothing can be kept on it",
                f"# by choice, or because the card fails:\nsudo dmesg | grep ext4 | tail; {show}",
            )
        elif free < _LITTLE_DISK_MB:
            state = PROBLEM if free < _NO_DISK_MB else WARNING
            cure = f"sudo apt clean && sudo journalctl --vacuum-size=50M; {show}"
            yield Finding(state, name, f"{free:.0f} MB free", cure)
        else:
            yield Finding(OK, name, f"{free / 1e3:.1f} GB free")
