"""scripts/run and scripts/test: from a fresh clone to a running program, and what can go wrong.

Most cases play the machine: a Python that only writes down what it is asked to do. One slow test
does the whole for real.
"""

import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .clones import FAKE_PYTHON, Clone, a_clone
from .working_tree import ROOT, clean_environment, copy_tree

SCRIPTS = ("scripts/run", "scripts/test", "scripts/_environment.sh", ".ci/run")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return a_clone(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_well_formed(script: str) -> None:
    path = ROOT / script
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")
    # The file that is only sourced is no command.
    assert bool(path.stat().st_mode & stat.S_IXUSR) == (not path.name.startswith("_"))


@pytest.mark.parametrize(
    ("arguments", "cameras", "expected"),
    [
        # Nothing chosen: the first camera, or the demo.
        ((), "0", ["run", "--camera", "0"]),
        ((), "3", ["run", "--camera", "demo"]),
        (("--frames", "2"), "3", ["run", "--camera", "demo", "--frames", "2"]),
        # Chosen: not looked for. 9 would end the script.
        (("--camera", "my clip.mp4"), "9", ["run", "--camera", "my clip.mp4"]),
        (("--frames", "2", "--camera=demo"), "9", ["run", "--frames", "2", "--camera=demo"]),
        (("--help",), "9", ["run", "--help"]),
        (("-h",), "9", ["run", "-h"]),
    ],
)
def test_run_chooses_a_camera(
    clone: Clone, arguments: tuple[str, ...], cameras: str, expected: list[str]
) -> None:
    code, out, err = clone.run("run", *arguments, CAMERAS=cameras)

    # It stays in the caller's folder, where the files that the arguments name lie.
    assert (code, out) == (0, [str(clone.fakes), *expected])
    assert ("No camera found: playing the demo" in err) == (cameras == "3")


def test_run_ends_where_the_search_for_cameras_fails(clone: Clone) -> None:
    code, out, err = clone.run("run", CAMERAS="4")

    assert (code, out) == (4, [])
    assert err.endswith("a complaint\n")


def test_run_by_a_link_from_elsewhere(clone: Clone, tmp_path: Path) -> None:
    link = clone.root / "scripts" / "linked"
    link.symlink_to("run")

    assert clone.run("linked", "--camera", "demo")[0] == 0
    assert (clone.root / ".venv" / "fer-edge.stamp").is_file()


def test_test_passes_its_arguments_on_and_runs_in_the_repository(clone: Clone) -> None:
    code, out, _ = clone.run("test", "-m", "slow", "-k", "a or b")

    assert (code, out) == (0, [str(clone.root), "-m", "slow", "-k", "a or b"])
    stamp = (clone.root / ".venv-dev" / "fer-edge.stamp").read_text()
    assert "extras [train,report,web,dev]\n" in stamp
    assert not (clone.root / ".venv").exists()


def test_nothing_is_installed_twice(clone: Clone) -> None:
    _, out, err = clone.run("run")
    assert clone.done() == ["venv", "pip"]
    assert "Setting up .venv" in err
    # stdout is for data.
    assert out == [str(clone.fakes), "run", "--camera", "demo"]

    _, _, err = clone.run("run")
    assert clone.done() == []
    assert err == "No camera found: playing the demo\n"


@pytest.mark.parametrize("name", ["setup.cfg", "pyproject.toml", "edge/version.py"])
def test_a_change_of_the_package_is_installed(clone: Clone, name: str) -> None:
    clone.run("run")
    clone.done()
    with (clone.root / name).open("a") as file:
        file.write("# changed\n")

    code, _, err = clone.run("run")

    assert (code, clone.done()) == (0, ["pip"])
    assert "Updating .venv" in err
    clone.run("run")
    assert clone.done() == []


def test_a_moved_repository_gets_a_new_environment(clone: Clone) -> None:
    # The commands in an environment start with its path.
    clone.run("run")
    clone.done()
    clone.root = clone.root.rename(clone.root.with_name("moved"))

    code, _, _ = clone.run("run")

    assert (code, clone.done()) == (0, ["venv", "pip"])


def test_another_python_gets_a_new_environment(clone: Clone) -> None:
    clone.run("run")
    clone.done()
    other = clone.fake("another-python", FAKE_PYTHON)

    assert clone.run("run", PYTHON=str(other))[0] == 0
    assert clone.done() == ["venv", "pip"]
    # Once made, it is kept: for the same Python, and for none named.
    clone.run("run", PYTHON=str(other))
    clone.run("run")
    assert clone.done() == []


def test_a_python_that_is_gone_gets_a_new_environment(clone: Clone) -> None:
    # As after an upgrade of Debian, which removes the old Python.
    other = clone.fake("python3.12", FAKE_PYTHON)
    clone.run("run", PYTHON="python3.12")
    clone.done()
    other.unlink()

    assert clone.run("run")[0] == 0
    assert clone.done() == ["venv", "pip"]


def test_an_interrupted_set_up_is_repaired(clone: Clone) -> None:
    code, out, _ = clone.run("run", PIP="die")
    assert (code, out, clone.done()) == (-9, [], ["venv", "pip"])

    code, out, _ = clone.run("run")

    assert (code, clone.done()) == (0, ["venv", "pip"])
    assert out[1:] == ["run", "--camera", "demo"]


def test_an_interrupted_update_is_repaired(clone: Clone) -> None:
    clone.run("run")
    with (clone.root / "setup.cfg").open("a") as file:
        file.write("# changed\n")
    clone.run("run", PIP="die")
    clone.done()

    assert clone.run("run")[0] == 0
    assert clone.done() == ["venv", "pip"]


def test_a_failed_set_up_says_so_and_is_tried_again(clone: Clone) -> None:
    code, out, err = clone.run("run", PIP="fail")
    assert (code, out) == (1, [])
    assert "Setting up .venv failed" in err
    clone.done()

    assert clone.run("run")[0] == 0
    assert clone.done() == ["venv", "pip"]


def test_a_failed_update_keeps_the_environment_and_is_tried_again(clone: Clone) -> None:
    # Without network after a `git pull`: the old environment must not be thrown away.
    clone.run("run")
    before = (clone.root / "setup.cfg").read_text()
    (clone.root / "setup.cfg").write_text(before + "# changed\n")
    clone.done()

    code, out, err = clone.run("run", PIP="fail")
    assert (code, out, clone.done()) == (1, [], ["pip"])
    assert "Updating .venv failed" in err

    assert (clone.run("run")[0], clone.done()) == (0, ["pip"])
    # And taken back, it is the old one again.
    (clone.root / "setup.cfg").write_text(before + "# changed again\n")
    clone.run("run", PIP="fail")
    (clone.root / "setup.cfg").write_text(before + "# changed\n")
    clone.done()
    assert (clone.run("run")[0], clone.done()) == (0, [])


def test_an_environment_of_somebody_else_is_left_alone(clone: Clone) -> None:
    theirs = clone.root / ".venv" / "theirs"
    theirs.parent.mkdir()
    theirs.touch()

    code, out, err = clone.run("run")

    assert (code, out, clone.done()) == (1, [], [])
    assert "was made by something else" in err
    assert theirs.exists()


def test_two_at_once_set_up_once(clone: Clone) -> None:
    # A service and a user, say.
    started = [clone.start("run", PIP_SECONDS="0.5") for _ in range(3)]
    for process in started:
        process.communicate(timeout=60)

    assert [process.returncode for process in started] == [0, 0, 0]
    assert clone.done() == ["venv", "pip"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="would open this machine's camera")
def test_run_from_a_fresh_clone(tmp_path: Path) -> None:
    clone = copy_tree(tmp_path / "a fresh clone")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
        begun = time.monotonic()
        done = subprocess.run(
            [clone / "scripts" / "run", *arguments],
            cwd=elsewhere,
            env=clean_environment(PYTHON=getattr(sys, "_base_executable", sys.executable)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done, time.monotonic() - begun

    first, first_s = run("--frames", "20", "--no-window", "--jsonl", "-")
    assert first.returncode == 0, first.stderr
    assert "Setting up .venv" in first.stderr
    assert "No camera found: playing the demo" in first.stderr
    # Nothing but data on stdout, while the environment was made too.
    assert len([json.loads(line) for line in first.stdout.splitlines()]) == 20

    second, second_s = run("--frames", "20", "--no-window")
    assert second.returncode == 0, second.stderr
    assert "Setting up" not in second.stderr
    assert "Updating" not in second.stderr
    assert second_s < first_s

    # An edited source is live.
    version = clone / "edge" / "errors.py"
    version.write_text(version.read_text() + '\nraise RuntimeError("edited")\n')
    third, _ = run("--frames", "1", "--no-window")
    assert third.returncode != 0
    assert "edited" in third.stderr

    # It wrote nothing but its environment, into the clone or where it was called.
    made = {path.name for path in clone.iterdir()} - {path.name for path in ROOT.iterdir()}
    assert made <= {".venv", "fer_edge.egg-info"}
    assert list(elsewhere.iterdir()) == []
