"""scripts/pi-setup: its options, what is left alone, and what it takes away again."""

import os
import re
from pathlib import Path

import pytest

from .played_pi import RULES, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


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
