"""scripts/run and scripts/test: on which machines they run, and with which Python."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from .clones import FAKE_PYTHON, Clone, a_clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return a_clone(tmp_path)


def test_a_raspberry_pi_sees_the_packages_of_the_system(clone: Clone) -> None:
    (clone.fakes / "model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    clone.run("run")
    assert "--system-site-packages" in (clone.fakes / "log").read_text()
    clone.done()
    clone.run("run")
    assert clone.done() == []

    # picamera2 comes with numpy, and does not load with the one that pip brought.
    (clone.fakes / "apt packages" / "numpy-1.24.2.egg-info").mkdir(parents=True)
    clone.run("run")
    assert clone.done() == ["venv", "pip"]

    # The tests must not hang on what is installed.
    clone.run("test")
    assert "--system-site-packages" not in (clone.fakes / "log").read_text()


def test_other_machines_do_not(clone: Clone) -> None:
    (clone.fakes / "model").write_bytes(b"Some other board\0")
    clone.run("run")

    assert "--system-site-packages" not in (clone.fakes / "log").read_text()


@pytest.mark.parametrize("script", ["run", "test"])
@pytest.mark.parametrize(
    "programs",
    [
        # A 32-bit system on its own kernel, and on a 64-bit one.
        {"uname": "echo armv7l", "getconf": "echo 32"},
        {"uname": "echo aarch64", "getconf": "echo 32"},
        # Each of the two signs is enough.
        {"uname": "echo armv7l", "getconf": "echo 64"},
        {"uname": "echo aarch64", "getconf": "echo undefined"},
    ],
)
def test_a_32_bit_system_is_refused(clone: Clone, script: str, programs: Mapping[str, str]) -> None:
    for name, line in programs.items():
        clone.fake(name, f"#!/bin/sh\n{line}\n")

    code, out, err = clone.run(script)

    assert (code, out, clone.done()) == (1, [], [])
    assert err.count("\n") == 1
    assert "64-bit" in err


# A real Python that takes itself for another one.
_PATCHED = """#!/bin/sh
exec '{python}' -I -c 'import sys; {patch}; exec(sys.argv[1])' "$3"
"""


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        # Too old, too new.
        (
            {"python3": "sys.version_info = (3, 10, 4)"},
            "fer-edge needs Python 3.11, 3.12 or 3.13; python3 is 3.10.",
        ),
        (
            {"python3": "sys.version_info = (3, 14, 0)"},
            "fer-edge needs Python 3.11, 3.12 or 3.13; python3 is 3.14.",
        ),
        # Debian without python3-venv.
        (
            {"python3": "sys.version_info = (3, 11, 2); sys.modules['ensurepip'] = None"},
            "python3 cannot make a virtual environment. Run: sudo apt install python3-venv",
        ),
        # The usual one is too old, another is there without its venv.
        (
            {
                "python3": "sys.version_info = (3, 10, 4)",
                "python3.12": "sys.version_info = (3, 12, 1); sys.modules['ensurepip'] = None",
            },
            "python3.12 cannot make a virtual environment. Run: sudo apt install python3.12-venv",
        ),
        # None at all.
        ({}, "python3 does not run. Run: sudo apt install python3 python3-venv"),
    ],
)
def test_an_unfit_python_is_named(clone: Clone, programs: Mapping[str, str], expected: str) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        patch = programs.get(name)
        text = (
            _PATCHED.format(python=sys.executable, patch=patch.replace("'", '"')) if patch else ""
        )
        # An empty one hides a Python of this machine.
        clone.fake(name, text or "#!/bin/sh\nexit 127\n")

    code, out, err = clone.run("run")

    assert (code, out) == (1, [])
    assert err.count("\n") == 1
    assert err.startswith(expected)
    assert not (clone.root / ".venv").exists()


def test_a_fit_python_is_found_behind_an_unfit_one(clone: Clone) -> None:
    clone.fake(
        "python3", _PATCHED.format(python=sys.executable, patch="sys.version_info = (3, 10)")
    )
    clone.fake("python3.13", FAKE_PYTHON)

    assert clone.run("run", VERSION="3.13")[0] == 0
    assert clone.done() == ["venv", "pip"]
