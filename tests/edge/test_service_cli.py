"""The commands, with a systemctl and a journalctl that write down what they are asked to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fer_edge.edge import config, service, service_cli, service_plan, systemd
from fer_edge.edge.cli import cli

# $STATE is what `show` answers; $FAIL is the order that fails.
FAKE_SYSTEMCTL = """#!/bin/sh
case "$1" in
    --version) echo "systemd 257 (257.8-1)"; exit ;;
    show) cat "$STATE"; exit ;;
esac
echo "$*" >>"$ORDERS"
if [ "$1" = "$FAIL" ]; then echo "Job failed." >&2; exit 1; fi
"""
FAKE_JOURNALCTL = """#!/bin/sh
echo "journalctl $*" >>"$ORDERS"
echo "the camera is gone"
"""
DEMO = ("--", "--camera", "demo")
RUNS = {
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "ActiveEnterTimestamp": "@1795276479",
    "NRestarts": "2",
    "StatusText": "frames/s: capture 30.0",
    "MemoryCurrent": str(100 << 20),
    "MemoryMax": str(512 << 20),
}


class Machine:
    """A machine with systemd, as far as the commands see it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.units, self.etc, self.orders = (folder / x for x in ("units", "etc", "orders"))
        self.keeps = tuple(folder / x for x in ("lib", "cache"))
        self._state, self._patch = folder / "state", monkeypatch
        for made in (self.units, self.etc, *self.keeps, folder / "bin"):
            made.mkdir()
        for name, text in (("systemctl", FAKE_SYSTEMCTL), ("journalctl", FAKE_JOURNALCTL)):
            program = folder / "bin" / name
            program.write_text(text)
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setenv("ORDERS", str(self.orders))
        monkeypatch.setenv("STATE", str(self._state))
        monkeypatch.setattr(service, "UNIT_FOLDER", self.units)
        monkeypatch.setattr(service, "KEEPS", self.keeps)
        for module in (config, service):
            monkeypatch.setattr(module, "SYSTEM_FILE", self.etc / "config.toml")
        for module in (service, service_plan):
            monkeypatch.setattr(module, "ENVIRONMENT_FILE", self.etc / "environment")
        monkeypatch.setattr(systemd, "_BOOTED", folder)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        self.says({})

    @property
    def unit(self) -> Path:
        return self.units / "fer-edge.service"

    def says(self, state: dict[str, str]) -> None:
        """What systemd will say of the service."""
        self._state.write_text("".join(f"{key}={value}\n" for key, value in state.items()))

    def fails_at(self, order: str) -> None:
        self._patch.setenv("FAIL", order)

    def asked(self) -> list[str]:
        """The orders since the last look."""
        found = self.orders.read_text().splitlines() if self.orders.exists() else []
        self.orders.unlink(missing_ok=True)
        return found


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def call(*words: str, answer: str = "") -> Result:
    result = CliRunner().invoke(cli, ["service", *words], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_it_is_shown_then_asked_then_written_and_started(machine):
    refused = call("install", *DEMO, answer="n\n")
    assert (refused.exit_code, machine.asked(), machine.unit.exists()) == (1, [], False)
    assert "ExecStart=" in refused.stdout
    assert "Nothing was changed" in refused.stderr

    unanswered = call("install", *DEMO)
    assert (unanswered.exit_code, machine.unit.exists()) == (1, False)
    assert "--yes does not ask" in unanswered.stderr

    agreed = call("install", *DEMO, answer="y\n")
    assert agreed.exit_code == 0
    assert machine.asked() == [
        "daemon-reload",
        "enable --quiet fer-edge.service",
        "restart fer-edge.service",
    ]
    # What was shown is what was written; back-off as this systemd knows it.
    assert machine.unit.read_text() in agreed.stdout
    assert "RestartSteps=" in machine.unit.read_text()
    assert machine.unit.stat().st_mode & 0o777 == 0o644
    assert list(machine.units.iterdir()) == [machine.unit]


def test_dry_run_prints_the_unit_alone_and_writes_nothing(machine, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(systemd, "_BOOTED", Path("/nowhere"))

    result = call("install", "--dry-run", *DEMO)

    assert (result.exit_code, machine.asked(), machine.unit.exists()) == (0, [], False)
    assert result.stdout.startswith("# fer-edge service")
    assert result.stdout.endswith("WantedBy=multi-user.target\n")


def test_the_same_again_only_starts_it_anew(machine):
    call("install", "--yes", *DEMO)
    machine.asked()

    again = call("install", "--yes", *DEMO)

    assert (again.exit_code, again.stdout) == (0, "")
    assert machine.asked() == ["enable --quiet fer-edge.service", "restart fer-edge.service"]


# Each case: how it is called, what is answered; whether the service that is there is replaced.
REPLACED = [
    (["--yes"], "y\n", False),  # not in silence, and nothing is asked
    ([], "n\n", False),
    ([], "", False),
    ([], "y\n", True),
    (["--overwrite"], "", True),
    (["--yes", "--overwrite"], "", True),
]


@pytest.mark.parametrize(("options", "answer", "replaced"), REPLACED)
@pytest.mark.parametrize("others", [False, True])
def test_a_service_that_is_there_is_compared_first(machine, options, answer, replaced, others):
    if others:
        machine.unit.write_text("[Service]\nExecStart=/usr/bin/other\n")
    else:
        call("install", "--yes", *DEMO)
    before = machine.unit.read_text()
    machine.asked()

    result = call("install", *options, "--", "--camera", "csi:0", answer=answer)

    assert any(line.startswith("-ExecStart=") for line in result.stdout.splitlines())
    assert "+ExecStart=" in result.stdout
    assert "--camera csi:0" in result.stdout
    assert ("is not from fer-edge" in result.stderr) == others
    assert result.exit_code == (0 if replaced else 1)
    assert (machine.unit.read_text() != before) == replaced
    assert bool(machine.asked()) == replaced


# Each case: what the state is after a start that failed, and what is said.
FAILED = [
    ({"ActiveState": "activating"}, "again and again"),
    ({"ActiveState": "failed"}, "not tried"),
]


@pytest.mark.parametrize(("state", "said"), FAILED)
def test_a_start_that_fails_is_told_with_the_log(machine, state, said):
    machine.says(state)
    machine.fails_at("restart")

    result = call("install", "--yes", *DEMO)

    assert result.exit_code == 1
    assert "the camera is gone" in result.stderr
    assert said in result.stderr
    assert machine.unit.exists()


def test_a_typo_is_found_before_anything_is_written(machine):
    result = call("install", "--yes", "--", "--camrea", "0")

    assert (result.exit_code, machine.asked(), machine.unit.exists()) == (2, [], False)
    assert "--camera" in result.stderr
    (machine.etc / "config.toml").write_text("[run]\nfps = 'many'\n")
    assert call("install", "--yes").exit_code == 2
    assert not machine.unit.exists()


def test_without_root_the_command_to_copy_is_said(machine, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["fer-edge", "service", "install", "--", "--size", "1x1"])

    result = call("install", "--yes", *DEMO)

    program = service_plan.program()
    assert result.exit_code == 1
    # With its full path: root has another PATH.
    assert f"`sudo {' '.join(program)} service install -- --size 1x1`" in result.stderr
    assert Path(program[0]).is_absolute()
    call_before = machine.asked()
    assert (call_before, machine.unit.exists()) == ([], False)


@pytest.mark.parametrize("command", ["install --yes", "status", "logs", "uninstall --yes"])
def test_a_machine_without_systemd(machine, monkeypatch, command):
    machine.unit.write_text(CliRunner().invoke(cli, ["service", "install", "--dry-run"]).stdout)
    monkeypatch.setattr(systemd, "_BOOTED", Path("/nowhere"))

    result = call(*command.split())

    assert (result.exit_code, machine.asked(), machine.unit.exists()) == (1, [], True)
    assert "not run by systemd" in result.stderr


def test_two_services_beside_each_other(machine):
    call("install", "--yes", *DEMO)
    call("install", "--yes", "--name", "door", *DEMO)

    assert {path.name for path in machine.units.iterdir()} == {
        "fer-edge.service",
        "fer-edge-door.service",
    }
    assert machine.asked()[-1] == "restart fer-edge-door.service"
    call("uninstall", "--yes", "--name", "door")
    assert [path.name for path in machine.units.iterdir()] == ["fer-edge.service"]


def test_status_in_words_and_as_json(machine):
    call("install", "--yes", *DEMO)
    machine.says(RUNS)

    plain, as_json = call("status"), call("status", "--json")

    assert (plain.exit_code, as_json.exit_code) == (0, 0)
    for said in ("runs since", "starts with this machine", "2 times", "30.0", "100 of 512 MiB"):
        assert said in plain.stdout
    assert "the camera is gone" in plain.stdout
    assert "is not what" not in plain.stdout
    told = json.loads(as_json.stdout)
    assert told["log"] == ["the camera is gone"]
    assert (told["installed"], told["enabled"], told["restarts"]) == (True, True, 2)
    assert told["differs"] is None


def test_status_of_one_that_does_not_run(machine):
    assert "is not installed" in call("status").stdout
    call("install", "--yes", *DEMO)
    machine.says({"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "4"})

    result = call("status")

    assert result.exit_code == 1
    assert "does not run" in result.stdout
    assert "it ended with exit code 4" in result.stdout
    assert json.loads(call("status", "--json").stdout)["active"] == "failed"


def test_status_tells_how_the_unit_differs(machine):
    call("install", "--yes", "--", "--camera", "demo", "--fps", "5")
    machine.says(RUNS)
    machine.unit.write_text(machine.unit.read_text().replace("WatchdogSec=90", "WatchdogSec=1"))
    assert "+WatchdogSec=90" in call("status").stdout
    # The options are those that it was installed with.
    assert "ExecStart" not in call("status").stdout

    call("install", "--yes", "--overwrite", *DEMO)
    (machine.etc / "config.toml").write_text('[run]\nserve = "0.0.0.0"\n')
    assert "+After=network-online.target" in call("status").stdout
    (machine.etc / "config.toml").write_text("[run]\nfps = 'many'\n")
    assert "fps of `fer-edge run`" in call("status").stdout


def test_a_kernel_that_does_not_count_memory_is_told(machine):
    call("install", "--yes", *DEMO)
    machine.says({**RUNS, "MemoryCurrent": "[not set]"})

    assert "cgroup_enable=memory" in call("status").stdout


def test_logs_are_those_of_journalctl(machine, capfd):
    assert call("logs").exit_code == 0
    assert call("logs", "-f", "-n", "7", "--name", "door").exit_code == 0
    assert machine.asked() == [
        "journalctl --unit=fer-edge.service --lines=100",
        "journalctl --unit=fer-edge-door.service --lines=7 --follow",
    ]
    assert capfd.readouterr().out == "the camera is gone\n" * 2


def left(machine: Machine) -> list[Path]:
    """Make what a service leaves: its folders, with the links of a dynamic user, and the rest."""
    found = [machine.units / "fer-edge.service.d", machine.etc]
    for base in machine.keeps:
        (base / "private" / "fer-edge").mkdir(parents=True)
        (base / "private" / "fer-edge" / "a.jsonl").touch()
        (base / "fer-edge").symlink_to("private/fer-edge")
        found += [base / "private" / "fer-edge", base / "fer-edge"]
    found[0].mkdir()
    return found


def test_uninstall_says_what_stays_and_purge_removes_it(machine):
    call("install", "--yes", *DEMO)
    kept = left(machine)
    machine.asked()

    assert call("uninstall", answer="n\n").exit_code == 1
    assert (machine.asked(), machine.unit.exists()) == ([], True)
    gone = call("uninstall", "--yes")

    assert gone.exit_code == 0
    assert machine.asked() == ["disable --now --quiet fer-edge.service", "daemon-reload"]
    assert not machine.unit.exists()
    assert all(str(path) in gone.stdout and path.exists() for path in kept)

    assert call("uninstall", "--yes").exit_code == 1, "there is none"
    # What stayed can go later.
    purged = call("uninstall", "--purge", answer="y\n")
    assert purged.exit_code == 0
    assert all(str(path) in purged.stderr for path in kept), "it was not asked for all of them"
    assert [path for path in kept if path.exists() or path.is_symlink()] == []
    assert machine.asked() == ["daemon-reload"]


def test_purge_leaves_what_other_services_need(machine):
    call("install", "--yes", *DEMO)
    call("install", "--yes", "--name", "door", *DEMO)
    left(machine)

    call("uninstall", "--yes", "--purge", "--name", "door")
    assert machine.etc.is_dir()
    assert machine.unit.is_file()
    assert (machine.keeps[0] / "private/fer-edge/a.jsonl").exists()

    call("uninstall", "--yes", "--purge")
    assert not machine.etc.exists()


def test_a_unit_of_others_is_not_removed(machine):
    machine.unit.write_text("[Service]\nExecStart=/usr/bin/other\n")

    result = call("uninstall", "--yes", "--purge")

    assert (result.exit_code, machine.asked(), machine.unit.exists()) == (1, [], True)
    assert "by hand" in result.stderr


def test_sudo_takes_the_models_of_who_called_it(machine, monkeypatch):
    import pwd

    name = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setenv("SUDO_USER", name)
    models = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache/fer-edge/models"
    assert f"-{models}:%C/fer-edge/models\n" in call("install", "--dry-run", *DEMO).stdout
    assert service_cli._models_folder() == models


def test_the_command_of_a_unit_runs(machine, tmp_path):
    """What stands behind ExecStart, run as systemd would, with its folder and a listener."""
    import shlex
    import socket

    text = call("install", "--dry-run", *DEMO, "--frames", "3", "--detector", "haar").stdout
    (line,) = (x for x in text.splitlines() if x.startswith("ExecStart="))
    folder = tmp_path / "lib" / "fer-edge"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        address = f"@fer-edge-service-{os.getpid()}"
        listener.bind(f"\0{address[1:]}")
        listener.settimeout(60)
        done = subprocess.run(
            shlex.split(line.removeprefix("ExecStart=")),
            env={**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "90000000"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        heard = [listener.recv(4096).decode().splitlines() for _ in range(2)]

    assert done.returncode == 0, done.stderr
    assert heard[0][:2] == ["READY=1", "WATCHDOG=1"]
    assert heard[1] == ["STOPPING=1"]
    # The journal gets lines, not a table that redraws itself.
    assert "\x1b" not in done.stderr
    assert list(folder.iterdir()) == []
