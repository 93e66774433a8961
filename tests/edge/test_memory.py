"""The setting of the C library that keeps memory flat; docs/benchmarks.md has the figures."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import threading
import numpy as np
from fer_edge.edge.memory import use_one_heap

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def fill():
    frames = [np.ones((480, 640, 3), np.uint8) for _ in range(40)]
    del frames

assert use_one_heap()
before = resident()
for _ in range(4):
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
frames = [np.ones((480, 640, 3), np.uint8) for _ in range(40)]
print(resident() - before)
"""
FRAMES_BYTES = 40 * 640 * 480 * 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries need no setting")
def test_what_one_thread_freed_serves_the_next():
    shown = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )

    # Once, and not once a thread.
    assert FRAMES_BYTES * 0.9 < int(shown.stdout) < FRAMES_BYTES * 1.2
