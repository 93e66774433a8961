"""Runs of ``fer-edge`` in a process of its own, and what they leave."""

import json
import subprocess
import sys
from pathlib import Path

HANG_S = 60


def run(*arguments: object, cwd: Path, **options) -> subprocess.CompletedProcess:
    """Run a command in a process of its own, and check that it does not fall over."""
    done = subprocess.run(
        [sys.executable, "-m", "fer_edge.edge.cli", *map(str, arguments)],
        **{"cwd": cwd, "capture_output": True, "text": True, "timeout": HANG_S, **options},
    )
    assert "Traceback" not in (done.stderr or "")
    assert "Exception" not in (done.stderr or "")
    return done


def frames_of(path: Path) -> int:
    import cv2

    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    return count


def seconds_of(folder: Path) -> float:
    """The time between the first and the last line of ``out.jsonl``."""
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    return (lines[-1]["monotonic_ns"] - lines[0]["monotonic_ns"]) / 1e9
