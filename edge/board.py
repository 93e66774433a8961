"""The state of the machine: temperature, throttling, undervoltage, memory; and warnings of them.

What the board does not tell is None. The kernel tells temperatures and, on a Raspberry Pi,
undervoltage (Documentation/hwmon/raspberrypi-hwmon.rst); throttling is known to the firmware alone,
which ``vcgencmd get_throttled`` asks (raspberrypi.com/documentation/computers/os.html). The older
``soc:firmware/get_throttled`` in /sys writes a stack trace into the kernel's log when it is read,
and was removed in March 2025; a wrong call of the mailbox behind it can stop the firmware.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

UNDERVOLTAGE, CAPPED, THROTTLED, SOFT_LIMIT = (
    "undervoltage",
    "frequency capped",
    "throttled",
    "soft temperature limit",
)
# In the order of the firmware's bits: from 0 on what is so now, from 16 on what was since boot.
KINDS = (UNDERVOLTAGE, CAPPED, THROTTLED, SOFT_LIMIT)
_SINCE_BOOT_BIT = 16
_ADVICE = {
    UNDERVOLTAGE: "undervoltage: use the official power supply and a short cable, and power USB "
    "devices by a hub of their own",
    CAPPED: "the processor's frequency is capped: check the power supply and the cooling",
    THROTTLED: "the processor is throttled: check the power supply and the cooling",
    SOFT_LIMIT: "the processor has reached its soft temperature limit and runs slower: give it a "
    "heat sink or a fan",
}
# Where a Raspberry Pi 4 and 5 begin to slow down.
_HOT_C = 80.0
_CPU_ZONE = re.compile("cpu|soc|pkg")
# Looking at the files of the kernel takes 0.2 ms on a desktop.
_EVERY_S = 5.0
# Starting a process takes as long, in which no thread of Python runs.
_FIRMWARE_EVERY_S = 30.0
_FIRMWARE_LIMIT_S = 1.0
_KILLED_LIMIT_S = 0.1


@dataclass(frozen=True, slots=True)
class BoardState:
    """What the machine says of itself; None is what it does not say.

    Attributes:
        model: Such as ``Raspberry Pi 4 Model B Rev 1.4``.
        temperature_c: Of the processor, in °C.
        now: Which of "undervoltage", "frequency capped", "throttled" and "soft temperature limit"
            are so at the moment.
        since_boot: Which of them were so at any time since the board was started.
        process_bytes: Resident memory of this process.
        free_bytes: Memory that can be had without swapping.
    """

    model: str | None = None
    temperature_c: float | None = None
    now: frozenset[str] | None = None
    since_boot: frozenset[str] | None = None
    process_bytes: int | None = None
    free_bytes: int | None = None


def read_board(root: Path = Path("/"), *, firmware: bool = True) -> BoardState:
    """Ask the machine; it takes a millisecond, or a second where the firmware does not answer.

    Args:
        root: Where /proc and /sys are.
        firmware: Whether to ask the firmware too.
    """
    alarm = _undervoltage_alarm(root)
    seen = BoardState(
        model=_model(root),
        temperature_c=_temperature_c(root),
        now=None if alarm is None else frozenset({UNDERVOLTAGE} if alarm else ()),
        process_bytes=_bytes_of(root / "proc/self/status", "VmRSS"),
        free_bytes=_bytes_of(root / "proc/meminfo", "MemAvailable"),
    )
    return _merge(seen, _ask_and_wait()) if firmware else seen


class BoardMonitor:
    """Looks at the machine now and then, and warns once of each trouble.

    It belongs to one thread, which :meth:`poll` does not make wait: the answer of the firmware is
    fetched when it is there, and one that hangs costs 0.1 s when it is given up.
    """

    def __init__(self, say: Callable[[str], None], root: Path = Path("/")):
        """Choose who hears the warnings.

        Args:
            say: Takes a warning.
            root: Where /proc and /sys are.
        """
        self._say, self._root = say, root
        self._asking: subprocess.Popen | None = None
        self._bits: int | None = None
        self._bits_before: int | None = None
        self._warned: set[str] = set()
        self._hottest_c = float("-inf")
        self._due_s = self._firmware_due_s = 0.0
        #: What was seen last.
        self.state = BoardState()

    def poll(self) -> None:
        """Look, if it is time to; it may be called with every frame."""
        now = time.monotonic()
        answered = self._asking is not None and self._fetch(now)
        if now >= self._firmware_due_s:
            self._firmware_due_s = now + _FIRMWARE_EVERY_S
            self._asking = _ask()
        if now >= self._due_s or answered:
            self._due_s = now + _EVERY_S
            self.state = self.look()
            self._warn()

    def look(self) -> BoardState:
        """What the kernel says at this moment, and the firmware said last; from any thread."""
        return _merge(read_board(self._root, firmware=False), self._bits)

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._fetch(float("inf"))

    def _fetch(self, now: float) -> bool:
        """Take the firmware's answer if it is there, give it up after its time; whether it came."""
        process = self._asking
        if process is None or process.stdout is None:
            return False
        if process.poll() is None:
            if now < self._firmware_due_s - _FIRMWARE_EVERY_S + _FIRMWARE_LIMIT_S:
                return False
            process.kill()
            # Not longer: one that hangs in the kernel does not even end when it is killed.
            with suppress(subprocess.TimeoutExpired):
                process.wait(_KILLED_LIMIT_S)
        self._asking = bits = None
        with process.stdout as pipe, suppress(OSError):
            os.set_blocking(pipe.fileno(), False)
            bits = _parse(os.read(pipe.fileno(), 4096))
            if self._bits_before is None:
                self._bits_before = bits
        # In one step, as others may look at it.
        self._bits = bits
        return True

    def _warn(self) -> None:
        state = self.state
        # What came and went between two looks is remembered by the firmware.
        meanwhile = _since_boot(self._bits or 0) - _since_boot(self._bits_before or 0)
        for kind in KINDS:
            if kind in (state.now or frozenset()) | meanwhile:
                self._warn_once(kind, _ADVICE[kind])
        if state.temperature_c is not None:
            self._hottest_c = max(self._hottest_c, state.temperature_c)
            if state.temperature_c > _HOT_C:
                hot = f"the processor is at {state.temperature_c:.0f} °C and may run slower"
                self._warn_once("hot", f"{hot}: give it a heat sink or a fan")

    def _warn_once(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._say(text)

    def summary_line(self) -> str:
        """What was seen in a line, or an empty text where the machine says nothing of itself."""
        state = self.state
        told = [state.model] if state.model else []
        if state.temperature_c is not None:
            told.append(f"{state.temperature_c:.0f} °C (at most {self._hottest_c:.0f} °C)")
        # Without the firmware it is only the voltage that is known.
        nothing = "no undervoltage" if state.since_boot is None else "no throttling"
        for kinds, when in ((state.now, "now"), (state.since_boot, "since boot")):
            if kinds is not None:
                said = " and ".join(kind for kind in KINDS if kind in kinds)
                told.append(f"{when}: {said or nothing}")
        if state.process_bytes is not None:
            told.append(f"{state.process_bytes / 1e6:.0f} MB in this process")
        if state.free_bytes is not None:
            told.append(f"{state.free_bytes / 1e6:.0f} MB free")
        return ", ".join(told)


def _merge(seen: BoardState, bits: int | None) -> BoardState:
    """What the kernel says, and what the firmware said last."""
    if bits is None:
        return seen
    now = _kinds(bits) | (seen.now or frozenset())
    return replace(seen, now=now, since_boot=_since_boot(bits))


def _kinds(bits: int) -> frozenset[str]:
    return frozenset(kind for bit, kind in enumerate(KINDS) if bits >> bit & 1)


def _since_boot(bits: int) -> frozenset[str]:
    return _kinds(bits >> _SINCE_BOOT_BIT)


def _ask() -> subprocess.Popen | None:
    """Have ``vcgencmd`` ask the firmware; None where there is none."""
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        return subprocess.Popen(
            [command, "get_throttled"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None


def _ask_and_wait() -> int | None:
    process = _ask()
    if process is None:
        return None
    with process:
        try:
            return _parse(process.communicate(timeout=_FIRMWARE_LIMIT_S)[0])
        except subprocess.TimeoutExpired:
            process.kill()
            return None


def _parse(answer: bytes) -> int | None:
    """The bits in ``throttled=0x50005``; who may not ask (group "video") gets another text."""
    found = re.fullmatch(rb"throttled=0x([0-9a-fA-F]{1,8})\s*", answer)
    return int(found[1], 16) if found else None


def _undervoltage_alarm(root: Path) -> bool | None:
    for folder in sorted(root.glob("sys/class/hwmon/hwmon*")):
        if _text(folder / "name") == "rpi_volt":
            alarm = _text(folder / "in0_lcrit_alarm")
            return None if alarm is None else alarm != "0"
    return None


def _temperature_c(root: Path) -> float | None:
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        if _CPU_ZONE.search(_text(zone / "type") or ""):
            milli = _text(zone / "temp")
            try:
                return None if milli is None else int(milli) / 1000
            except ValueError:
                return None
    return None


def _model(root: Path) -> str | None:
    text = _text(root / "proc/device-tree/model")
    return (text or "").strip("\0 ") or None


def _bytes_of(path: Path, key: str) -> int | None:
    """A line such as ``VmRSS:   2140 kB``."""
    found = re.search(rf"^{key}:\s+(\d+) kB$", _text(path) or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
