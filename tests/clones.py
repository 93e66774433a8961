"""A clone whose machine is played: a Python that only writes down what it is asked to do."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .working_tree import ROOT, clean_environment

# Stands for python3, and for the python in the environments that it makes. What it is asked to do
# goes into $LOG; $VERSION is its version; $PIP is what installing does: ok, fail, or die, which
# ends the script that called it too, as a power cut would.
FAKE_PYTHON = """#!/usr/bin/env bash
here=$(readlink -f "$0")
case "$1 $2 $3" in
    "-I -c "*) printf '%s venv %s\\n' "${VERSION:-3.11}" "$here" ;;
    "-I -m venv")
        printf 'venv %s\\n' "${*:4}" >>"$LOG"
        echo "what venv says"
        mkdir -p "${*: -1}/bin"
        ln -s "$here" "${*: -1}/bin/python"
        ;;
    "-I -m pip")
        printf 'pip %s\\n' "${*:4}" >>"$LOG"
        echo "what pip says"
        sleep "${PIP_SECONDS:-0}"
        case ${PIP:-ok} in
            fail) exit 1 ;;
            die) kill -9 0 ;;
        esac
        cp "$FAKES/fer-edge" "$(dirname "$0")/fer-edge"
        cp "$FAKES/pytest" "$(dirname "$0")/pytest"
        ;;
    *) exit 99 ;;
esac
"""
# `cameras` ends with $CAMERAS; everything else prints its arguments and where it runs.
FAKE_PROGRAM = """#!/usr/bin/env bash
if [[ $1 == cameras ]]; then
    echo "0  a camera"
    echo "a complaint" >&2
    exit "${CAMERAS:-3}"
fi
printf '%s\\n' "$PWD" "$@"
"""


@dataclass
class Clone:
    """A repository that holds the scripts and what they look at, on a machine that is played."""

    root: Path
    fakes: Path
    variables: dict[str, str] = field(default_factory=dict)

    def start(self, script: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a script from another folder, its output caught."""
        return subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            cwd=self.fakes,
            env=clean_environment(
                PATH=f"{self.fakes}:{os.environ['PATH']}",
                LOG=str(self.fakes / "log"),
                FAKES=str(self.fakes),
                FER_EDGE_DEVICE_MODEL=str(self.fakes / "model"),
                FER_EDGE_APT_PACKAGES=str(self.fakes / "apt packages"),
                **{**self.variables, **variables},
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Its own group, so that a played power cut ends the script and not the tests.
            start_new_session=True,
        )

    def run(self, script: str, *arguments: str, **variables: str) -> tuple[int, list[str], str]:
        """Run a script to its end: exit code, lines of stdout, stderr."""
        with self.start(script, *arguments, **variables) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out.splitlines(), err

    def done(self) -> list[str]:
        """What Python was asked to do since the last call: ``venv`` and ``pip``, in order."""
        log = self.fakes / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line.partition(" ")[0] for line in lines]

    def fake(self, name: str, text: str) -> Path:
        """Put a program in front of all others on PATH."""
        path = self.fakes / name
        path.write_text(text)
        path.chmod(0o755)
        return path


def a_clone(tmp_path: Path) -> Clone:
    """Of the scripts and of what they read, and only the stand-ins in front on PATH."""
    root = tmp_path / "a clone"
    for name in ("scripts", "setup.cfg", "pyproject.toml", "edge/version.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name)
        else:
            shutil.copy2(ROOT / name, root / name)
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    made = Clone(root, fakes)
    made.fake("python3", FAKE_PYTHON)
    made.fake("fer-edge", FAKE_PROGRAM)
    made.fake("pytest", FAKE_PROGRAM)
    return made
