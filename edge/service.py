"""The systemd unit of ``fer-edge run`` as text, and what a unit was made from. Pure.

What each line is for: systemd.exec(5), systemd.service(5), systemd.resource-control(5). Why those
and not others: docs/service.md.
"""

import difflib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from .config import SYSTEM_FILE
from .errors import UsageError

#: Where systemd looks for units that are the administrator's own.
UNIT_FOLDER = Path("/etc/systemd/system")
#: Variables of the service, passwords among them: read by systemd as root.
ENVIRONMENT_FILE = SYSTEM_FILE.with_name("environment")
#: Where systemd keeps a service's own files: %S and %C.
KEEPS = (Path("/var/lib"), Path("/var/cache"))
#: Folders that the service sees empty, but for what it is given of them.
HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))
# The first version with RestartSteps=, of December 2023; Debian 12 has 252.
_WITH_STEPS = 254
_MARK = "# fer-edge service, made from "
# What a word may hold to stand in a unit as it is.
_PLAIN = re.compile(r"[A-Za-z0-9_./:=@,+-]+")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")

#: ``none``: no address can be reached; ``local``: this machine only; ``all``.
Network = Literal["none", "local", "all"]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a unit is made from, beside the configuration and the machine.

    Attributes:
        arguments: Options of ``run``.
        config: An absolute path from ``--config``, or "".
        models: Folder of the fetched models of whoever installed it, or "".
    """

    arguments: tuple[str, ...] = ()
    config: str = ""
    models: str = ""


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """A service, as far as one differs from another.

    Attributes:
        name: Of the unit, without ``.service``.
        program: Words that call fer-edge, the first an absolute path.
        origin: What it is made from.
        readable: Files and folders below :data:`HIDDEN` that it has to read.
        writable: Folders beside its own that it writes into.
        credentials: Options of ``run`` that name a file with a secret, and that file.
        groups: Supplementary groups; each must exist.
        network: What it may reach.
        coral: Whether it may use USB and PCIe accelerators.
        data_to_journal: Whether results go to standard output.
        systemd: Version of the systemd that reads it.
    """

    name: str
    program: tuple[str, ...]
    origin: Origin = Origin()
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    credentials: tuple[tuple[str, Path], ...] = ()
    groups: tuple[str, ...] = ()
    network: Network = "none"
    coral: bool = False
    data_to_journal: bool = False
    systemd: int = 252

    @property
    def path(self) -> Path:
        """The file of the unit."""
        return UNIT_FOLDER / f"{self.name}.service"


def unit_name(instance: str) -> str:
    """``fer-edge`` for "", ``fer-edge-door`` for ``door``.

    Raises:
        UsageError: It is no name for a service.
    """
    if instance and not _NAME.fullmatch(instance):
        raise UsageError(
            f"--name: expected up to 32 letters (a to z), digits and inner dashes such as door, "
            f"got {instance!r}."
        )
    return f"fer-edge-{instance}" if instance else "fer-edge"


def environment_files(name: str) -> list[Path]:
    """Files with variables for a unit, the stronger last."""
    instance = name.removeprefix("fer-edge").removeprefix("-")
    own = [ENVIRONMENT_FILE.with_name(f"environment.{instance}")] if instance else []
    return [ENVIRONMENT_FILE, *own]


def unit_text(unit: ServiceUnit) -> str:
    """The file of a unit.

    Raises:
        UsageError: An argument or a path holds a control character, or a path a colon.
    """
    sections = {"Unit": _unit(unit), "Service": _service(unit), "Install": _INSTALL}
    lines = [_MARK + json.dumps(asdict(unit.origin), ensure_ascii=False), *_HEAD]
    for name, content in sections.items():
        lines += ["", f"[{name}]", *content]
    return "\n".join(lines) + "\n"


def origin_of(text: str) -> Origin | None:
    """What a unit was made from; None for one that fer-edge did not write."""
    first = text.partition("\n")[0]
    if not first.startswith(_MARK):
        return None
    try:
        fields = json.loads(first.removeprefix(_MARK))
        return Origin(tuple(map(str, fields["arguments"])), fields["config"], fields["models"])
    except (ValueError, TypeError, KeyError):
        return None


def difference(old: str, new: str, path: Path) -> str:
    """What would change in a file, as ``diff -u`` has it; empty where nothing does."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), str(path), f"{path} (this fer-edge)", lineterm="", n=1
    )
    return "\n".join(lines)


def quoted(word: str) -> str:
    """A word as systemd reads it back from a command line or a list of paths.

    Raises:
        UsageError: It holds a control character, which a unit should not.
    """
    if not word.isprintable():
        raise UsageError(f"A service cannot have {word!r}: it holds a control character.")
    word = word.replace("%", "%%").replace("$", "$$")
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


_HEAD = ("# Yours to change in a drop-in (`systemctl edit`), which the next install leaves alone.",)
_INSTALL = ("WantedBy=multi-user.target",)


def _unit(unit: ServiceUnit) -> list[str]:
    lines = [
        f"Description=Facial-emotion recognition ({unit.name})",
        # A camera may come back tomorrow.
        "StartLimitIntervalSec=0",
    ]
    if unit.network == "all":
        lines += ["Wants=network-online.target", "After=network-online.target"]
    return lines + [f"RequiresMountsFor={_path(path)}" for path in unit.writable]


def _service(unit: ServiceUnit) -> list[str]:
    return [
        "Type=notify",
        "NotifyAccess=main",
        "ExecStart=" + _command(unit),
        *(f"EnvironmentFile=-{path}" for path in environment_files(unit.name)),
        *(f"LoadCredential={option}:{_path(path)}" for option, path in unit.credentials),
        *_life(unit),
        *_folders(unit),
        *_limits(unit),
        *_devices(unit),
        *_addresses(unit),
        *_HARDENED,
    ]


def _command(unit: ServiceUnit) -> str:
    head = [*unit.program, *(["--config", unit.origin.config] if unit.origin.config else [])]
    words = [quoted(word) for word in [*head, "run", "--no-window", *unit.origin.arguments]]
    # Of an option that is given twice, click takes the last.
    words += [f"--{option} %d/{option}" for option, _ in unit.credentials]
    return " ".join(words)


def _life(unit: ServiceUnit) -> list[str]:
    lines = [
        "# Ready with the first frame, alive with each of the others.",
        "TimeoutStartSec=90",
        "WatchdogSec=90",
        # As from `systemctl stop`, so that a recording is closed; then SIGKILL.
        "WatchdogSignal=SIGTERM",
        "TimeoutAbortSec=10",
        "TimeoutStopSec=10",
        "Restart=on-failure",
        "RestartSec=5",
    ]
    if unit.systemd >= _WITH_STEPS:
        lines += ["RestartSteps=5", "RestartMaxDelaySec=60"]
    return [
        *lines,
        "# Bad options, a bad model: no start would help.",
        "RestartPreventExitStatus=2 4",
    ]


def _folders(unit: ServiceUnit) -> list[str]:
    # fer-edge keeps its cache in $XDG_CACHE_HOME/fer-edge.
    home, cache = (
        ("%C", unit.name)
        if unit.name == "fer-edge"
        else (f"%C/{unit.name}", f"{unit.name}/fer-edge")
    )
    lines = [
        "# A user and folders of its own; nothing else can be written to.",
        "DynamicUser=yes",
        f"StateDirectory={unit.name}",
        "StateDirectoryMode=0700",
        f"CacheDirectory={cache}",
        "CacheDirectoryMode=0700",
        f"WorkingDirectory=%S/{unit.name}",
        # A dynamic user has no home, and systemd 257 sets none.
        f"Environment=HOME=%S/{unit.name} XDG_CACHE_HOME={home}",
        "ProtectSystem=strict",
        "ProtectHome=tmpfs",
        "PrivateTmp=yes",
        *(f"BindReadOnlyPaths=-{_path(path)}" for path in unit.readable),
    ]
    if unit.origin.models:
        source = _path(Path(unit.origin.models))
        lines.append(f"BindReadOnlyPaths=-{source}:{home}/fer-edge/models")
    for path in unit.writable:
        hidden = any(path.is_relative_to(folder) for folder in HIDDEN)
        lines.append(f"{'BindPaths' if hidden else 'ReadWritePaths'}={_path(path)}")
    return lines


def _limits(unit: ServiceUnit) -> list[str]:
    lines = [
        "# What it may use up.",
        "MemoryMax=512M",
        "MemorySwapMax=0",
        "TasksMax=128",
        "LimitCORE=0",
        "UMask=0077",
    ]
    if unit.data_to_journal:
        return lines
    # The status is 6 lines in 30 s; a library that complains of every frame is 900.
    return [*lines, "LogRateLimitIntervalSec=30s", "LogRateLimitBurst=300"]


def _devices(unit: ServiceUnit) -> list[str]:
    lines = [
        "# USB and CSI cameras with their buffers, and the firmware (vcgencmd).",
        *(["SupplementaryGroups=" + " ".join(unit.groups)] if unit.groups else []),
        "DevicePolicy=closed",
        "DeviceAllow=char-video4linux rw",
        "DeviceAllow=char-media rw",
        "DeviceAllow=char-dma_heap rw",
        "DeviceAllow=/dev/vchiq rw",
        "DeviceAllow=/dev/vcio rw",
    ]
    if unit.coral:
        lines += ["# A Coral.", "DeviceAllow=char-usb_device rw", "DeviceAllow=char-apex rw"]
    return lines


def _addresses(unit: ServiceUnit) -> list[str]:
    # libcamera and libusb hear of devices on netlink.
    head = {
        "none": "# Its options reach no network, so it may not.",
        "local": "# Its options reach this machine only, so it may not go further.",
        "all": "# Its options reach the network.",
    }
    families = "AF_UNIX AF_NETLINK"
    if unit.network != "none":
        families += " AF_INET AF_INET6"
    lines = [head[unit.network], f"RestrictAddressFamilies={families}"]
    if unit.network != "all":
        lines.append("IPAddressDeny=any")
    if unit.network == "local":
        lines.append("IPAddressAllow=localhost")
    return lines


_HARDENED = (
    "# No rights, and no calls but those of a usual service.",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectProc=invisible",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "RemoveIPC=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "SystemCallErrorNumber=EPERM",
)


def _path(path: Path) -> str:
    """A path of a list, in which a colon would part two."""
    if ":" in str(path):
        raise UsageError(f"A service cannot use {path}: rename it without a colon.")
    return quoted(str(path)).replace("$$", "$")
