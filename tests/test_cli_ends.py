"""How ``fer-edge run`` ends: by signals, by a reader that leaves, by one that does not read."""

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .commands import frames_of, seconds_of

HANG_S = 60
# The documented limit is 3 s; what is above is room for a busy machine.
LIMIT_S = 3 + 3
DEMO = [sys.executable, "-m", "fer_edge.edge.cli", "run", "--camera", "demo"]
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 0)]
signals = pytest.mark.parametrize(("number", "code"), SIGNALS, ids=["SIGINT", "SIGTERM"])
# Where each takes seconds, by the other signal only among the slow tests.
mostly_sigint = pytest.mark.parametrize(
    ("number", "code"),
    [SIGNALS[0], pytest.param(*SIGNALS[1], marks=pytest.mark.slow)],
    ids=["SIGINT", "SIGTERM"],
)


class Running:
    """The demo in a process of its own, in the folder of the test."""

    def __init__(self, folder: Path, *options: str, **kinds):
        self.folder = folder
        self.log = folder / "stderr"
        self._file = self.log.open("w")
        kinds = {"stdout": subprocess.DEVNULL, "stderr": self._file, **kinds}
        self.process = subprocess.Popen([*DEMO, *options], cwd=folder, **kinds)

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, true) -> None:
        deadline = time.monotonic() + HANG_S
        while not true():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)

    def end(self, *numbers: int, pause_s: float = 0.0) -> tuple[int, float]:
        """Send signals, wait for the end; the exit code and the seconds it took."""
        began = time.monotonic()
        for number in numbers:
            self.process.send_signal(number)
            time.sleep(pause_s)
        code = self.process.wait(HANG_S)
        took = time.monotonic() - began
        assert "Traceback" not in self.said()
        assert "Exception" not in self.said()
        return code, took

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._file.close()


@signals
def test_a_signal_right_after_the_first_line_of_output(tmp_path, number, code):
    with Running(tmp_path) as running:
        running.wait_for(lambda: "Ctrl-C ends it" in running.said())
        found, took = running.end(number)

    assert found == code
    assert took < LIMIT_S


@signals
def test_a_signal_while_it_runs_leaves_whole_files(tmp_path, number, code):
    lines, clip = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    with Running(tmp_path, "--jsonl", lines.name, "--record", clip.name) as running:
        running.wait_for(lambda: lines.exists() and lines.read_text().count("\n") >= 5)
        found, took = running.end(number)

    assert found == code
    assert took < LIMIT_S
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    assert lines.read_text().endswith("\n")
    assert len(written) >= 5
    assert frames_of(clip) == pytest.approx(30 * seconds_of(tmp_path) + 1, abs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.mp4", "stderr"]
    # The summary accounts for every frame.
    summary = running.said().splitlines()[-1]
    assert summary.startswith(f"fer-edge: {len(written)} results of ")


@mostly_sigint
def test_a_signal_twice(tmp_path, number, code):
    with Running(tmp_path) as running:
        running.wait_for(lambda: "Ctrl-C ends it" in running.said())
        found, took = running.end(number, number)

    assert found == code
    assert took < LIMIT_S


def full_pipe() -> tuple[int, int]:
    """A pipe into which nothing more fits."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"\n" * 65536)
    except BlockingIOError:
        pass
    os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
@mostly_sigint
def test_a_signal_while_nobody_reads_the_full_pipe(tmp_path, number, code, times):
    reader, writer = full_pipe()
    with Running(tmp_path, "--jsonl", "-", stdout=writer) as running:
        running.wait_for(lambda: "Ctrl-C ends it" in running.said())
        time.sleep(0.5)  # long enough for the first line to get stuck
        found, took = running.end(*[number] * times, pause_s=0.2)
    os.close(reader)
    os.close(writer)

    assert found == code
    assert took < LIMIT_S
    assert "fer-edge: ended at once, because" in running.said()


@mostly_sigint
def test_a_signal_while_the_camera_waits_for_its_next_frame(tmp_path, number, code):
    with Running(tmp_path, "--fps", "0.1") as running:
        running.wait_for(lambda: "Ctrl-C ends it" in running.said())
        time.sleep(0.3)
        found, took = running.end(number)

    assert found == code
    assert took < LIMIT_S


@signals
def test_a_signal_before_the_loop_ends_at_once(tmp_path, number, code):
    """There is nothing to close yet, so SIGTERM's own default is as good as 0."""
    with Running(tmp_path) as running:
        maps = Path(f"/proc/{running.process.pid}/maps")
        running.wait_for(lambda: "numpy" in maps.read_text())
        found, took = running.end(number)

    assert found in ((code,) if number == signal.SIGINT else (code, -number))
    assert took < LIMIT_S


# ------------------------------------------------------------------------------------------ pipes


def shell(command: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )


def test_a_reader_that_leaves_is_a_good_end(tmp_path):
    done = shell(f"{shlex.join(DEMO)} --jsonl - | head -1", tmp_path)

    assert done.returncode == 0
    assert json.loads(done.stdout)["schema"] == 2
    said = done.stderr.splitlines()
    assert all(line.startswith(("fer-edge: demo;", "fer-edge: ", "frame ")) for line in said)
    assert "results of" in said[-1], "something was said after the summary"
    assert "roken pipe" not in done.stderr


def test_a_full_disk_behind_standard_output(tmp_path):
    done = shell(f"{shlex.join(DEMO)} --frames 9 --jsonl - > /dev/full", tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("No space left on device.")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_full_disk_behind_a_file(tmp_path):
    done = shell(f"{shlex.join(DEMO)} --frames 9 --jsonl /dev/full --overwrite", tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("No space left on device.")
    assert "Traceback" not in done.stderr


# Each case: arguments of a command, and its code where all can be written. One prints by click, one
# by rich, one says what is wrong.
COMMANDS = [("models list", 0), ("inspect fast", 0), ("run --camera 99", 3)]
# Each case: where the streams lead, whether what is printed is lost for good, and whether somebody
# can be told. The program starts when the reader of the pipe has left.
GONE = [
    ("| true", False, True),
    (">/dev/full", True, True),
    ("2>/dev/full >/dev/null", False, False),
    ("2>&1 >/dev/null | true", False, False),
]


@pytest.mark.parametrize(("arguments", "code"), COMMANDS)
@pytest.mark.parametrize(("gone", "lost", "told"), GONE)
def test_any_command_where_nobody_listens(tmp_path, arguments, code, gone, lost, told):
    command = f"{shlex.join(DEMO[:3])} {arguments}"
    outer = f'(sleep 0.3; echo) | (read; {command}; echo "code $?" >>code) {gone}'

    done = shell(outer, tmp_path)

    expected = 1 if lost and not code else code
    assert (tmp_path / "code").read_text() == f"code {expected}\n"
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert ("No space left" in done.stderr) == (lost and not code)
    assert ("There is no camera 99" in done.stderr) == (told and code == 3)


@pytest.mark.parametrize(
    "closed",
    [
        "<&- >&- 2>&-",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("<&-", ">&-", "2>&-")),
    ],
)
def test_closed_standard_streams_are_no_failure(tmp_path, closed):
    done = shell(f"{shlex.join(DEMO)} --frames 2 --jsonl out.jsonl {closed}", tmp_path)

    assert done.returncode == 0
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 2
    assert "Traceback" not in done.stderr


def test_without_standard_error_the_status_does_not_mix_with_the_lines(tmp_path):
    done = shell(f"{shlex.join(DEMO)} --frames 2 --jsonl - 2>&-", tmp_path)

    assert [json.loads(line)["schema"] for line in done.stdout.splitlines()] == [2, 2]


@pytest.mark.slow
def test_without_standard_error_a_stuck_process_still_ends(tmp_path):
    reader, writer = full_pipe()
    command = f"exec {shlex.join(DEMO)} --jsonl - 2>&-"
    process = subprocess.Popen(["bash", "-c", command], cwd=tmp_path, stdout=writer)
    time.sleep(2)  # nothing tells when it is stuck, and earlier the signal only ends it sooner
    process.terminate()
    try:
        assert process.wait(2 * LIMIT_S) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)


def test_standard_output_that_is_closed_takes_no_lines(tmp_path):
    done = shell(f"{shlex.join(DEMO)} --frames 2 --jsonl - >&-", tmp_path)

    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1)


def test_on_a_terminal_the_table_goes_and_the_summary_stays(tmp_path):
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        [*DEMO, "--frames", "40"],
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(keyboard, 65536):
            shown += chunk
    except OSError:  # Linux's way to say that the other side is closed
        pass
    os.close(keyboard)

    assert process.wait(HANG_S) == 0
    text = shown.decode()
    assert "#1" in text
    assert "frames/s: capture" in text
    assert "40 results of" in text.splitlines()[-1]


def test_ctrl_c_on_a_terminal_ends_with_130(tmp_path):
    """As a keyboard sends it: to the whole group, by way of the terminal."""
    process, keyboard = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execv(DEMO[0], DEMO)
    shown = b""
    try:
        while chunk := os.read(keyboard, 65536):
            shown += chunk
            if b"#1" in shown:
                os.write(keyboard, b"\x03")
                break
        while chunk := os.read(keyboard, 65536):
            shown += chunk
    except OSError:
        pass
    os.close(keyboard)
    _, status = os.waitpid(process, 0)

    assert os.waitstatus_to_exitcode(status) == 130
    assert b"Traceback" not in shown
    assert b"results of" in shown
