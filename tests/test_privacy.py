"""Nothing leaves the process, and nothing is written, unless it is asked for by name."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .working_tree import clean_environment

COMMAND = (sys.executable, "-m", "fer_edge.edge.cli", "run", "--camera", "demo", "--frames", "20")
INTERNET = re.compile(r"\bsocket\(AF_INET6?\b")
# Files that were made or emptied: what Python compiles and what libraries lock is none of ours.
MADE = re.compile(r'\bopen(?:at)?\((?:AT_FDCWD, )?"([^"]+)", [^)]*O_CREAT')
NOBODYS = re.compile(r"/__pycache__/|^/dev/|^/proc/|^/tmp/\.|^/dev/shm/")


@pytest.fixture
def traced(tmp_path: Path):
    """Runs a command and returns what it asked the kernel for."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace (.ci/run installs it)")

    def trace(*command: str) -> str:
        log = tmp_path / "strace.log"
        done = subprocess.run(
            ["strace", "-f", "-e", "trace=socket,open,openat", "-o", log, *command],
            env=clean_environment(PYTHONDONTWRITEBYTECODE="1"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        if "PTRACE" in done.stderr or "ptrace" in done.stderr:
            pytest.skip(f"no process can be traced here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        return log.read_text()

    return trace


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_run_opens_no_connection_and_writes_no_file(traced, tmp_path: Path) -> None:
    asked = traced(*COMMAND)

    assert "demo_faces.png" in asked, "the program was not traced"
    assert not INTERNET.search(asked)
    assert [path for path in MADE.findall(asked) if not NOBODYS.search(path)] == []
    assert [path.name for path in tmp_path.iterdir()] == ["strace.log"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_trace_would_show_both(traced) -> None:
    """A test of the test: an address that cannot be reached, and a file that is asked for."""
    asked = traced(*COMMAND, "--jsonl", "out.jsonl")
    assert [path for path in MADE.findall(asked) if not NOBODYS.search(path)] == ["out.jsonl"]
    asked = traced(sys.executable, "-c", "import socket; socket.socket()")
    assert INTERNET.search(asked)
