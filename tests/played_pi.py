"""A Raspberry Pi that is played: stand-ins for apt, sudo, Python and the rest."""

import shutil
import subprocess
from pathlib import Path

from .working_tree import ROOT, clean_environment

# What a minimal Debian has; PATH has nothing but these and the stand-ins.
TOOLS = """
    basename bash cat cmp cp cut dirname env find flock grep head install kill ln ls mkdir mv
    readlink realpath rm sed sha256sum sleep sort tail tee touch tr xargs
"""
RULES = "etc/udev/rules.d/60-fer-edge-coral.rules"

# Everything that changes the machine goes into $LOG. $FAKES/installed and /groups are its state.
STAND_INS = {
    "uname": 'echo "${MACHINE:-aarch64}"',
    "dpkg": 'echo "${ARCHITECTURE:-arm64}"',
    "dpkg-query": 'grep -qx -- "${@: -1}" "$FAKES/installed" && printf installed',
    "df": 'printf "Avail\\n%s\\n" "${FREE_MB:-20000}"',
    "sync": "",
    "ldconfig": 'echo "${LIBRARIES:-libc.so.6}"',
    "id": """case $1 in
        -u) echo "${FAKE_UID:-1000}" ;;
        -un) echo "${FAKE_USER:-pi}" ;;
        -nG) tr '\\n' ' ' <"$FAKES/groups" ;;
    esac""",
    "getent": """case $1 in
        group) [[ $2 != "${NO_GROUP:-}" ]] ;;
        passwd) echo "$2:x:1000:1000::/home/$2:/bin/sh" ;;
    esac""",
    "apt-cache": """case $1 in
        policy)
            [[ " ${APT_HAS-python3-picamera2} " == *" $2 "* ]] && has=1.0 || has="(none)"
            echo "  Candidate: $has"
            ;;
        show) echo "Version: ${APT_PYTHON:-3.11.2-1}" ;;
    esac""",
    "apt-get": """echo "apt-get $*" >>"$LOG"
        [[ ${APT:-ok} == ok || $* != *" install "* ]] || exit 100
        [[ $* != *" install "* ]] || printf '%s\\n' "$@" >>"$FAKES/installed" """,
    "usermod": 'echo "usermod $*" >>"$LOG"; echo "$3" >>"$FAKES/groups"',
    "groupadd": 'echo "groupadd $*" >>"$LOG"',
    "runuser": 'echo "runuser $*" >>"$LOG"; while [[ $1 != -- ]]; do shift; done; shift; exec "$@"',
    "sudo": """echo "sudo $*" >>"$LOG"
        while [[ $1 == --preserve-env=* ]]; do shift; done; exec "$@" """,
    # Also the python of the environments that it makes. $PIP is what installing does: ok, fail, or
    # interrupt, which ends the script that called it too, as Ctrl-C would.
    "python3": """case "$1 $2 $3" in
        *"import sys; print"*) echo "${VERSION:-3.11}" ;;
        *numpy*) [[ -n ${NUMPY:-} ]] && echo "$NUMPY" ;;
        "-I -c "*) echo "${VERSION:-3.11} venv $(readlink -f "$0")" ;;
        "-I -m venv")
            echo "venv ${*:4}" >>"$LOG"
            mkdir -p "${*: -1}/bin"
            ln -s "$(readlink -f "$0")" "${*: -1}/bin/python"
            ;;
        "-I -m pip")
            echo "pip ${*:4}" >>"$LOG"
            ls "$TMPDIR" >>"$FAKES/unpacked"
            case ${PIP:-ok} in
                fail) exit 1 ;;
                interrupt) kill -INT 0; sleep 10 ;;
            esac
            cp "$FAKES/fer-edge" "$(dirname "$0")/fer-edge"
            ;;
        *) exit 99 ;;
    esac""",
    "fer-edge": 'echo "fer-edge $*" >>"$LOG"; [[ $1 != doctor ]] || exit "${DOCTOR:-0}"',
}


class Machine:
    """A Raspberry Pi with a checkout on it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.fakes, self.system = folder / "a clone", folder / "fakes", folder / "system"
        for each in (self.fakes, self.system / "etc"):
            each.mkdir(parents=True)
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "LICENSE-WEIGHTS.md"):
            shutil.copy2(ROOT / name, self.root / name)
        for name in ("edge", "convert", "training", "benchmarks"):
            (self.root / name).mkdir()
            (self.root / name / "__init__.py").touch()
        for name in TOOLS.split():
            (self.fakes / name).symlink_to(str(shutil.which(name)))
        for name, text in STAND_INS.items():
            self.program(name, text)
        (self.fakes / "installed").touch()
        (self.fakes / "groups").write_text("pi\n")
        self.release("ID=debian", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"')
        (self.system / "etc/rpi-issue").touch()
        self.venv = self.system / "opt/fer-edge"
        self.link = self.system / "usr/local/bin/fer-edge"
        self.link.parent.mkdir(parents=True)

    def program(self, name: str, text: str) -> None:
        path = self.fakes / name
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)

    def release(self, *lines: str) -> None:
        (self.system / "etc/os-release").write_text("\n".join(lines) + "\n")

    def run(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """Run pi-setup to its end: exit code and what it said."""
        # Without those of this machine, which pip and sudo would be shown.
        environment = {
            key: value for key, value in clean_environment().items() if key[:4] != "PIP_"
        }
        done = subprocess.run(
            [self.root / "scripts" / "pi-setup", *arguments],
            cwd=self.fakes,
            env={
                **environment,
                "PATH": str(self.fakes),
                "LOG": str(self.fakes / "log"),
                "FAKES": str(self.fakes),
                "FER_EDGE_SYSTEM": str(self.system),
                "PYTHON": str(self.fakes / "python3"),
                **variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
            # Its own group, so that a played Ctrl-C ends the script and not the tests.
            start_new_session=True,
        )
        return done.returncode, done.stdout

    def log(self) -> list[str]:
        """What was done since the last call, the doctor and --version left out."""
        log = self.fakes / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("fer-edge ")]

    def kinds(self) -> list[str]:
        """The first words of these, without sudo's."""
        return [line.split()[0] for line in self.log() if not line.startswith("sudo ")]

    def left(self) -> set[str]:
        """All files that it made in the system."""
        found = {str(path.relative_to(self.system)) for path in self.system.rglob("*")}
        return {name for name in found if not name.startswith("etc/") or "udev" in name} - {
            "etc",
            "usr",
            "usr/local",
            "usr/local/bin",
            "opt",
        }
