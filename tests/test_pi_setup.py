"""scripts/pi-setup: what it does to a machine, and what it leaves when something goes wrong.

The machine is played: stand-ins for apt, sudo, Python and the rest write down what they are asked
to do. One slow test makes a real environment.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from .played_pi import Machine
from .working_tree import ROOT, clean_environment, copy_tree

SCRIPTS = ("scripts/pi-setup", "scripts/try-pi-setup")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


ALL = ["apt-get", "apt-get", "usermod", "venv", "pip", "runuser"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_well_formed(script: str) -> None:
    path = ROOT / script
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")
    assert path.stat().st_mode & stat.S_IXUSR


def test_a_fresh_card(machine: Machine) -> None:
    code, said = machine.run("--yes")

    assert code == 0, said
    log = machine.log()
    assert [line.split()[0] for line in log if not line.startswith("sudo ")] == ALL
    (installed,) = [line for line in log if line.startswith("apt-get") and " install " in line]
    assert installed.endswith("--no-install-recommends python3 python3-venv python3-picamera2")
    assert f"venv --system-site-packages {machine.venv}" in log
    assert "usermod --append --groups video pi" in log
    # The system's own things by sudo, the environment only where its folder asks for it.
    assert {line.split()[1] for line in log if line.startswith("sudo ")} == {
        "apt-get", "env", "usermod", "ln", "runuser"
    }  # fmt: skip
    # pip saw a copy of the checkout, and that copy is gone.
    assert (machine.fakes / "unpacked").read_text() == "source\n"
    assert machine.left() == {
        "opt/fer-edge", "opt/fer-edge/bin", "opt/fer-edge/bin/python", "opt/fer-edge/bin/fer-edge",
        "opt/fer-edge/pi-setup.stamp", "usr/local/bin/fer-edge",
    }  # fmt: skip
    assert machine.link.readlink() == machine.venv / "bin/fer-edge"
    assert "Log out and in again" in said


def test_a_second_run_changes_nothing_and_says_so(machine: Machine) -> None:
    machine.run("--yes", "--coral")
    machine.log()
    before = sorted((path, path.lstat().st_mtime_ns) for path in machine.system.rglob("*"))

    # It needs no network, no root, and asks nothing.
    (machine.fakes / "sudo").unlink()
    code, said = machine.run("--coral", APT="fail", PIP="fail")

    assert (code, machine.log()) == (0, [])
    assert "Nothing to do" in said
    assert "Log out" not in said
    assert sorted((path, path.lstat().st_mtime_ns) for path in machine.system.rglob("*")) == before


def test_a_dry_run_shows_every_command_and_does_none(machine: Machine) -> None:
    code, planned = machine.run("--dry-run", "--coral", "--extras", "web")
    assert (code, machine.log(), machine.left()) == (0, [], set())

    machine.run("--yes", "--coral", "--extras", "web")
    # As they were shown, in order, with sudo where it was; the doctor is not among them.
    shown = [line.strip() for line in planned.splitlines() if line.startswith("    sudo ")]
    done = [line for line in machine.log() if line.startswith("sudo ")]
    assert [line.replace("'", "") for line in shown] == done[: len(shown)]
    assert len(done) - len(shown) in (0, 1)
    assert "pip install" in planned


def test_without_a_terminal_it_needs_a_yes(machine: Machine) -> None:
    code, said = machine.run()

    assert (code, machine.log(), machine.left()) == (2, [], set())
    assert "--yes" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        # Raspberry Pi OS (32-bit) with the 64-bit kernel that it has on a Pi 4 and 5.
        ({"ARCHITECTURE": "armhf", "MACHINE": "aarch64"}, "though its kernel is 64-bit"),
        # On its own kernel; and on a Pi 1 or Zero, which no 64-bit system runs on.
        ({"ARCHITECTURE": "armhf", "MACHINE": "armv7l"}, "Raspberry Pi OS (64-bit)"),
        ({"ARCHITECTURE": "armhf", "MACHINE": "armv6l"}, "Older boards cannot"),
        ({"ARCHITECTURE": "i386", "MACHINE": "x86_64"}, "Debian for amd64"),
        ({"ARCHITECTURE": "riscv64", "MACHINE": "riscv64"}, "arm64 and amd64"),
        ({"VERSION": "3.9"}, "is 3.9. Debian 12 and 13"),
        ({"VERSION": "3.14"}, "is 3.14."),
        ({"PYTHON": "/no/python"}, "/no/python does not run"),
        ({"FREE_MB": "400"}, "has 400 MB free"),
    ],
)
def test_an_unfit_machine_is_refused_at_once(
    machine: Machine, variables: Mapping[str, str], expected: str
) -> None:
    code, said = machine.run("--yes", **variables)

    assert (code, machine.log(), machine.left()) == (1, [], set())
    assert expected in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["ID=fedora", 'PRETTY_NAME="Fedora Linux 42"'], 1),
        (["ID=ubuntu", "ID_LIKE=debian"], 0),
        (["ID=raspbian", "ID_LIKE=debian"], 0),
        (["ID=arch"], 1),
    ],
)
def test_only_debian_and_its_like(machine: Machine, lines: list[str], code: int) -> None:
    machine.release(*lines)

    ended, said = machine.run("--yes")

    assert ended == code
    assert ("Fedora Linux 42" in said) == (lines[0] == "ID=fedora")
    assert ("by hand" in said) == (code == 1)


def test_x86_64_debian_has_no_picamera2(machine: Machine) -> None:
    (machine.system / "etc/rpi-issue").unlink()

    assert machine.run("--yes", ARCHITECTURE="amd64", MACHINE="x86_64", APT_HAS="")[0] == 0
    assert "picamera2" not in "".join(machine.log())


def test_a_raspberry_pi_os_whose_lists_are_not_there_yet(machine: Machine) -> None:
    _, planned = machine.run("--dry-run", APT_HAS="")
    assert "python3 python3-venv python3-picamera2" in planned

    # What is planned blindly and not there after all is left out, and said once.
    code, said = machine.run("--yes", APT_HAS="")
    assert code == 0, said
    assert "apt has no python3-picamera2" in said
    assert "picamera2" not in (machine.fakes / "installed").read_text()
    lists = machine.system / "var/lib/apt/lists"
    lists.mkdir(parents=True)
    (lists / "archive_main_binary-arm64_Packages.lz4").touch()
    machine.log()
    assert "Nothing to do" in machine.run(APT_HAS="")[1]


def test_no_sudo_and_not_root(machine: Machine) -> None:
    (machine.fakes / "sudo").unlink()

    code, said = machine.run("--yes")
    assert (code, machine.log(), machine.left()) == (1, [], set())
    assert "there is no sudo" in said.splitlines()[-1]

    code, said = machine.run("--yes", FAKE_UID="0", FAKE_USER="root")
    assert code == 0, said
    assert machine.kinds() == ["apt-get", "apt-get", "venv", "pip"]


def test_no_network_for_apt(machine: Machine) -> None:
    code, said = machine.run("--yes", APT="fail")

    assert (code, machine.left()) == (1, set())
    assert set(machine.kinds()) == {"apt-get"}
    assert "apt could not install: python3 python3-venv" in said.splitlines()[-1]


@pytest.mark.parametrize(("pip", "code"), [("fail", 1), ("interrupt", 130)])
def test_no_network_for_pip(machine: Machine, pip: str, code: int) -> None:
    ended, said = machine.run("--yes", PIP=pip)

    assert ended == code, said
    assert machine.left() == set()
    assert ("pip could not install" in said) == (pip == "fail")
    machine.log()

    assert machine.run("--yes")[0] == 0
    # What was done before it stays done.
    assert machine.kinds() == ["venv", "pip"]


def test_a_change_of_the_checkout_is_installed(machine: Machine) -> None:
    machine.run("--yes")
    machine.log()
    (machine.root / "edge" / "__init__.py").write_text("changed = True\n")

    # Without network the old one stays, and is still known to be old.
    assert machine.run("--yes", PIP="fail")[0] == 1
    assert (machine.venv / "bin/fer-edge").exists()
    assert machine.kinds() == ["pip"]

    assert machine.run("--yes")[0] == 0
    assert machine.kinds() == ["pip"]
    machine.run("--yes")
    assert machine.kinds() == []


def test_extras_are_kept(machine: Machine) -> None:
    machine.run("--yes", "--extras", "web")
    machine.log()
    assert "Nothing to do" in machine.run()[1]

    (machine.root / "setup.cfg").write_text("changed")
    machine.run("--yes")
    assert any(line.endswith("/source[web]") for line in machine.log())
    # Unless they are said to be none.
    machine.run("--yes", "--extras=")
    assert any(line.endswith("/source") for line in machine.log())


def test_a_killed_update_is_made_anew(machine: Machine) -> None:
    machine.run("--yes")
    machine.log()
    machine.run("--yes", "--extras", "web", PIP="interrupt")
    machine.log()

    assert machine.run("--yes", "--extras", "web")[0] == 0
    assert machine.kinds() == ["venv", "pip"]
    assert not Path(f"{machine.venv}.old").exists()


def test_another_numpy_of_the_system_gets_a_new_environment(machine: Machine) -> None:
    machine.run("--yes")
    machine.log()

    # The old one comes back where the new one fails.
    assert machine.run("--yes", NUMPY="1.24.2", PIP="fail")[0] == 1
    assert (machine.venv / "bin/fer-edge").exists()
    assert machine.log()
    assert machine.run("--yes", NUMPY="1.24.2")[0] == 0
    log = machine.log()
    # picamera2 is built against it, so pip may not bring another.
    assert re.search(r"pip install .* numpy==1\.24\.2 ", " ".join(log))
    machine.run("--yes", NUMPY="1.24.2")
    assert machine.log() == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_real_environment(tmp_path: Path) -> None:
    # All but the system's own packages and groups is real.
    machine = Machine(tmp_path)
    shutil.rmtree(machine.root)
    copy_tree(machine.root)
    for name in ("python3", "fer-edge", "df", "sync"):
        (machine.fakes / name).unlink()
    variables = {
        **{key: value for key, value in os.environ.items() if key.startswith("PIP_")},
        "PATH": f"{machine.fakes}:{os.environ['PATH']}",
        "PYTHON": getattr(sys, "_base_executable", sys.executable),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    command = str(machine.venv / "bin" / "fer-edge")

    code, said = machine.run("--yes", "--dry-run", **variables)
    assert (code, machine.left()) == (0, set()), said
    # Nothing of a failed one is left.
    offline = {**variables, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    code, said = machine.run("--yes", **offline)
    assert (code, machine.left()) == (1, set()), said

    # The doctor's code is its own affair: a machine of the tests may have findings.
    code, said = machine.run("--yes", **variables)
    assert str(machine.link.readlink()) == command, said
    assert "fer-edge is installed" in said or code == 0

    assert "Nothing to do" in machine.run(**offline)[1]
    played = subprocess.run(
        [command, "run", "--camera", "demo", "--frames", "30", "--no-window", "--jsonl", "-"],
        env=clean_environment(XDG_CACHE_HOME=variables["XDG_CACHE_HOME"]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (played.returncode, len(played.stdout.splitlines())) == (0, 30), played.stderr
