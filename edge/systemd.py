"""systemd of this machine: its version, its orders, and what it says of a service."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import FerEdgeError

# There while systemd is in charge: sd_booted(3).
_BOOTED = Path("/run/systemd/system")
_NOT_TOLD = ("", "[not set]", "infinity", "18446744073709551615")
# What it is to be asked for; the order is of no account.
_ASKED = (
    "ActiveState",
    "SubState",
    "UnitFileState",
    "ActiveEnterTimestamp",
    "NRestarts",
    "Result",
    "ExecMainStatus",
    "StatusText",
    "MemoryCurrent",
    "MemoryMax",
)
_WHY = {
    "exit-code": "it ended with exit code {code}",
    "watchdog": "no frame was delivered for too long",
    "timeout": "it took too long to deliver a first frame, or to end",
    "oom-kill": "it wanted more memory than it may have",
    "signal": "signal {code} ended it",
    "core-dump": "it crashed with signal {code}",
    "start-limit-hit": "it was started too often",
    "protocol": "it ended without a single frame",
    "resources": "the system has no room for it",
}


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What systemd says of a service; None is what it does not say.

    Attributes:
        active: ``active``, ``activating``, ``inactive``, ``failed`` or ``deactivating``.
        sub: The same more closely: ``running``, ``auto-restart``, …
        enabled: Whether it starts with the machine.
        since_unix_s: When it became active.
        restarts: How often systemd started it anew since the first start.
        result: How its last run ended: ``success``, ``exit-code``, ``watchdog``, ``oom-kill``, …
        exit_code: Of its last run, or the number of the signal.
        status: What it says of itself.
        memory_bytes: In use now.
        memory_max_bytes: Its cap.
    """

    active: str
    sub: str
    enabled: bool
    since_unix_s: float | None = None
    restarts: int = 0
    result: str = "success"
    exit_code: int | None = None
    status: str = ""
    memory_bytes: int | None = None
    memory_max_bytes: int | None = None

    @property
    def runs(self) -> bool:
        """Whether results are delivered."""
        return self.active == "active"

    @property
    def trouble(self) -> str:
        """Why its last run ended, in words; empty where nothing is wrong."""
        if self.result == "success":
            return ""
        return _WHY.get(self.result, self.result).format(code=self.exit_code)

    @property
    def uncapped(self) -> bool:
        """Whether the kernel keeps no account of memory, so that the cap is none."""
        return self.runs and self.memory_bytes is None


def state_from(told: Mapping[str, str]) -> ServiceState:
    """What ``systemctl show --timestamp=unix`` says, in our words."""

    def number(key: str) -> int | None:
        text = told.get(key, "").removeprefix("@")
        return int(text) if text not in _NOT_TOLD and text.isdecimal() else None

    return ServiceState(
        active=told.get("ActiveState", "inactive"),
        sub=told.get("SubState", "dead"),
        enabled=told.get("UnitFileState") in ("enabled", "enabled-runtime"),
        since_unix_s=number("ActiveEnterTimestamp"),
        restarts=number("NRestarts") or 0,
        result=told.get("Result", "success"),
        exit_code=number("ExecMainStatus"),
        status=told.get("StatusText", ""),
        memory_bytes=number("MemoryCurrent"),
        memory_max_bytes=number("MemoryMax"),
    )


def version() -> int | None:
    """Of the systemd that is installed; None where there is none."""
    try:
        words = _run("systemctl", "--version").stdout.split()
    except FerEdgeError:
        return None
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else None


def require() -> None:
    """Refuse a machine that systemd does not run.

    Raises:
        FerEdgeError: It does not, or is not there.
    """
    if shutil.which("systemctl") is None or not _BOOTED.is_dir():
        raise FerEdgeError(
            "This machine is not run by systemd, so it has no services of its kind. "
            "`fer-edge service install --dry-run` still prints the unit; `fer-edge run` does "
            "without one."
        )


def order(*words: str) -> None:
    """Have ``systemctl`` do something.

    Raises:
        FerEdgeError: It did not; with its own words.
    """
    done = _run("systemctl", *words)
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise FerEdgeError(f"`systemctl {' '.join(words)}` failed: {said}")


def state_of(unit: str) -> ServiceState:
    """What systemd says of a unit.

    Raises:
        FerEdgeError: It does not answer.
    """
    done = _run("systemctl", "show", unit, "--timestamp=unix", f"--property={','.join(_ASKED)}")
    if done.returncode != 0:
        raise FerEdgeError(f"systemd does not answer: {' '.join(done.stderr.split())}")
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return state_from({key: value for key, _, value in pairs})


def last_lines(unit: str, count: int, *, since_unix_s: float = 0) -> list[str]:
    """The end of a unit's log; empty where there is none, or this user may not read it."""
    options = ("--no-pager", "--quiet", "--output=short-iso", f"--since=@{since_unix_s:.0f}")
    try:
        done = _run(*journal(unit, count), *options)
    except FerEdgeError:
        return []
    return done.stdout.splitlines()


def journal(unit: str, count: int, *, follow: bool = False) -> list[str]:
    """The command that prints a unit's log."""
    return ["journalctl", f"--unit={unit}", f"--lines={count}", *(["--follow"] * follow)]


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
    except OSError as exc:
        raise FerEdgeError(f"Cannot call {words[0]}: {exc.strerror}.") from exc
