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

from .working_tree import ROOT, clean_environment, copy_tree

SCRIPTS = ("scripts/pi-setup", "scripts/try-pi-setup")
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


def test_where_the_package_comes_from(machine: Machine, tmp_path: Path) -> None:
    wheel = tmp_path / "my wheels" / "fer_edge-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"one")
    machine.run("--yes", "--wheel", str(wheel), "--extras=web,mqtt")
    assert any(line.endswith(f" {wheel}[web,mqtt]") for line in machine.log())
    # Another wheel of the same name and version: pip would not look at it.
    wheel.write_bytes(b"two")
    machine.run("--yes", "--wheel", str(wheel), "--extras=web,mqtt")
    pips = [line for line in machine.log() if line.startswith("pip")]
    assert len(pips) == 2
    assert pips[1].endswith(f"--no-deps --force-reinstall {wheel}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--package", "fer-edge==1.2"], "fer-edge==1.2"),
        (["--package=fer-edge", "--extras", "web"], "fer-edge[web]"),
        (["--package", "fer-edge==1.2", "--extras", "web,mqtt"], "fer-edge[web,mqtt]==1.2"),
    ],
)
def test_from_an_index(machine: Machine, arguments: list[str], expected: str) -> None:
    machine.run("--yes", *arguments)

    (pip,) = [line for line in machine.log() if line.startswith("pip ")]
    assert pip.split()[-1] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--fast"], "no option --fast"),
        (["--venv"], "--venv needs a value"),
        (["--extras", "--yes"], "--extras needs a value"),
        (["--extras", "train"], "no extra train for a device; there are: web mqtt"),
        (["--wheel", "no.whl"], "no.whl is no wheel"),
        (["--package", "fer-edge; rm"], "neither NAME nor NAME==VERSION"),
        (["--package", "x", "--wheel", "y.whl"], "exclude each other"),
    ],
)
def test_wrong_words(machine: Machine, arguments: list[str], expected: str) -> None:
    code, said = machine.run("--yes", *arguments)

    assert (code, machine.log(), machine.left()) == (2, [], set())
    assert expected in said
    assert "--help" in said


def test_help(machine: Machine) -> None:
    code, said = machine.run("--help")

    assert code == 0
    assert set(re.findall(r"^(--[a-z-]+)", said, re.M)) >= {
        "--venv", "--wheel", "--package", "--extras", "--coral", "--dry-run", "--yes", "--uninstall"
    }  # fmt: skip
    assert "set -euo" not in said


def test_a_folder_of_ones_own(machine: Machine, tmp_path: Path) -> None:
    code, said = machine.run("--yes", "--venv", "my env")

    assert code == 0, said
    assert (machine.fakes / "my env/pi-setup.stamp").is_file()
    assert not os.path.lexists(machine.link)
    assert f"Try: {machine.fakes}/my env/bin/fer-edge run" in said


@pytest.mark.parametrize("name", ["bin/python", "notes.txt"])
def test_somebody_elses_folder_is_left_alone(machine: Machine, name: str) -> None:
    theirs = machine.venv / name
    theirs.parent.mkdir(parents=True)
    theirs.touch()

    code, said = machine.run("--yes")

    assert (code, machine.log()) == (1, [])
    assert "was made by something else" in said
    code, said = machine.run("--yes", "--uninstall")
    assert code == 1
    assert "was not made by pi-setup" in said
    assert theirs.exists()


def test_somebody_elses_command_is_left_alone(machine: Machine) -> None:
    machine.link.write_text("theirs")

    code, said = machine.run("--yes")

    assert code == 0
    assert machine.link.read_text() == "theirs"
    assert f"The command is {machine.venv}/bin/fer-edge" in said


def test_a_coral(machine: Machine) -> None:
    code, said = machine.run("--yes", "--coral", NO_GROUP="plugdev")

    assert code == 0, said
    log = machine.log()
    assert "groupadd --system plugdev" in log
    assert "usermod --append --groups plugdev pi" in log
    assert "libusb-1.0-0" in " ".join(log)
    rules = (machine.system / RULES).read_text()
    # Before its first use, and after.
    assert re.findall(r'idVendor}=="(.{4})", ATTR{idProduct}=="(.{4})"', rules) == [
        ("1a6e", "089a"),
        ("18d1", "9302"),
    ]
    # Nothing is fetched for it, and that is said.
    assert "libedgetpu1-std" not in " ".join(log)
    assert "pi-setup does not fetch it" in said


@pytest.mark.parametrize(
    ("variables", "installs"),
    [
        # One of this machine's own sources has it.
        ({"APT_HAS": "libedgetpu1-std"}, True),
        # It is here.
        ({"APT_HAS": "libedgetpu1-std", "LIBRARIES": "libedgetpu.so.1 (libc6) => /x"}, False),
        ({"FER_EDGE_EDGETPU_LIB": "/somewhere/libedgetpu.so.1"}, False),
    ],
)
def test_a_coral_with_its_library(
    machine: Machine, variables: dict[str, str], installs: bool
) -> None:
    _, said = machine.run("--yes", "--coral", **variables)

    assert ("libedgetpu1-std" in " ".join(machine.log())) == installs
    assert "does not fetch" not in said


def test_the_doctors_code_is_passed_on(machine: Machine) -> None:
    code, said = machine.run("--yes", DOCTOR="3")
    assert code == 3
    assert "fer-edge is installed" in said
    # With the groups that this login has not yet.
    assert any(line.startswith("runuser --user pi -- env HOME=/home/pi") for line in machine.log())

    # It is asked again though there is nothing to do.
    assert machine.run(DOCTOR="4")[0] == 4


def test_by_sudo_the_user_behind_it_is_meant(machine: Machine) -> None:
    machine.run("--yes", FAKE_UID="0", FAKE_USER="root", SUDO_USER="ada")

    log = machine.log()
    assert "usermod --append --groups video ada" in log
    assert any(line.startswith("runuser --user ada") for line in log)


def test_an_address_with_a_password_is_not_shown(machine: Machine) -> None:
    secret = "https://ada:secret@index.invalid/simple"
    for pip in ("ok", "fail"):
        _, said = machine.run("--yes", PIP_INDEX_URL=secret, PIP=pip)
        assert "secret" not in said + "".join(machine.log())


def test_uninstall(machine: Machine) -> None:
    machine.run("--yes", "--coral")
    machine.log()
    unit = machine.system / "etc/systemd/system/door.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(f"[Service]\nExecStart={machine.venv}/bin/fer-edge run\n")
    unit.with_name("other.service").write_text("[Service]\nExecStart=/usr/bin/other\n")

    # A service would be left without its program.
    code, said = machine.run("--yes", "--uninstall")
    assert code == 1
    assert "door runs from" in said
    assert "service uninstall" in said
    assert machine.venv.exists()
    # Nor does it run what it was started with, once that was updated.
    _, said = machine.run("--yes", "--extras", "web")
    assert said.count("sudo systemctl restart door\n") == 1
    unit.unlink()

    machine.run("--dry-run", "--uninstall")
    assert machine.venv.exists()
    code, said = machine.run("--yes", "--uninstall")
    assert code == 0, said
    assert machine.left() <= {"etc/udev", "etc/udev/rules.d"}
    assert {"venv", "apt-get"}.isdisjoint(machine.kinds())
    code, said = machine.run("--uninstall")
    assert code == 0
    assert "nothing" in said


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
