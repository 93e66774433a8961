"""Python and its environment: 32 bits, version, and whether apt's packages are seen."""

import platform
import shlex
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..board import read_board
from ..pins import opencv_requirement
from .finding import NOTE, OK, PROBLEM, WARNING, Finding

_OLDEST, _NEWEST = (3, 11), (3, 13)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python that fer-edge runs in.

    Attributes:
        executable: Its path.
        version: Three numbers.
        bits: 32 or 64, of the programs; the kernel may have more.
        machine: As the kernel calls it.
        prefix: Where its environment lies.
        in_venv: Whether that is a virtual environment.
        system_packages: Whether apt's packages are seen.
        managed: Whether the system forbids pip outside of environments (PEP 668).
        board: Such as ``Raspberry Pi 4 Model B Rev 1.4``; empty on others.
        apt_picamera2: Whether apt has installed picamera2.
    """

    executable: str = "python3"
    version: tuple[int, int, int] = (3, 11, 2)
    bits: int = 64
    machine: str = "aarch64"
    prefix: str = "/usr"
    in_venv: bool = True
    system_packages: bool = True
    managed: bool = False
    board: str = ""
    apt_picamera2: bool = False

    @property
    def opencv(self) -> str:
        """What pip is to be asked for, as a word of a shell."""
        return f'"{opencv_requirement(self.version)}"'

    @property
    def opencv_4(self) -> str:
        """The same of those that have Haar cascades."""
        return f'"{opencv_requirement(self.version, cascades=True)}"'

    @property
    def numpy(self) -> str:
        """What goes with the system's picamera2, for pip."""
        return '"numpy<2"' if self.version < (3, 13) else '"numpy>=2"'

    def pip(self, arguments: str) -> str:
        """A command line that installs into this environment."""
        return f"{shlex.quote(self.executable)} -m pip {arguments}"


def read_interpreter(root: Path = Path("/")) -> Interpreter:
    """Look at the Python that runs this.

    Args:
        root: Where /proc and /usr are.
    """
    in_venv = sys.prefix != sys.base_prefix
    return Interpreter(
        executable=sys.executable or "python3",
        version=sys.version_info[:3],
        bits=64 if sys.maxsize > 1 << 32 else 32,
        machine=platform.machine(),
        prefix=sys.prefix,
        in_venv=in_venv,
        system_packages=not in_venv or _sees_system(Path(sys.prefix) / "pyvenv.cfg"),
        managed=(Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").exists(),
        board=read_board(root, firmware=False).model or "",
        apt_picamera2=(root / "usr/lib/python3/dist-packages/picamera2").is_dir(),
    )


def _sees_system(config: Path) -> bool:
    try:
        lines = config.read_text(errors="replace").splitlines()
    except OSError:
        return False
    pairs = (line.partition("=") for line in lines)
    return any(
        key.strip() == "include-system-site-packages" and value.strip().lower() == "true"
        for key, _, value in pairs
    )


def too_narrow(python: Interpreter) -> Finding | None:
    """The one finding on a 32-bit system, where nothing else matters."""
    if python.bits >= 64:
        return None
    kernel = " (the kernel has 64, its programs have not)" if "64" in python.machine else ""
    return Finding(
        PROBLEM,
        "Python",
        f"{python.bits} bits on {python.machine}{kernel}: there is no LiteRT for 32-bit systems",
        "# write Raspberry Pi OS (64-bit) to the card with Raspberry Pi Imager",
    )


def judge_python(python: Interpreter) -> Iterator[Finding]:
    """The version, and the environment."""
    version = ".".join(map(str, python.version))
    here = f"{version}, {python.machine}, {python.executable}"
    if _OLDEST <= python.version[:2] <= _NEWEST:
        yield Finding(OK, "Python", here)
    else:
        yield Finding(
            PROBLEM,
            "Python",
            f"{here}: expected 3.11 to 3.13",
            "python3.13 -m venv --system-site-packages .venv && .venv/bin/pip install fer-edge",
        )
    wanted = python.board or python.apt_picamera2
    if not python.in_venv:
        forbids = ", and this system lets pip install into environments only"
        yield Finding(
            NOTE,
            "environment",
            f"none: fer-edge is installed beside the system's packages"
            f"{forbids if python.managed else ''}",
            "python3 -m venv --system-site-packages .venv && .venv/bin/pip install fer-edge",
        )
    elif wanted and not python.system_packages:
        yield Finding(
            WARNING,
            "environment",
            f"{python.prefix} does not see apt's packages, where picamera2 comes from",
            see_system_packages(python),
        )
    else:
        sees = "sees" if python.system_packages else "does not see"
        yield Finding(OK, "environment", f"{python.prefix}, {sees} apt's packages")


def see_system_packages(python: Interpreter) -> str:
    """A command that opens an environment to apt's packages."""
    config = shlex.quote(f"{python.prefix}/pyvenv.cfg")
    return (
        "sed -i 's/^include-system-site-packages = .*/include-system-site-packages = true/' "
        f"{config}"
    )


def look(python: Interpreter, _limit_s: float) -> Iterable[Finding]:
    """The check."""
    return judge_python(python)
