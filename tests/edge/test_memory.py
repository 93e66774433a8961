"""The setting of the C library that keeps memory flat; docs/benchmarks.md has the figures."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
from fer_edge.edge.memory import keep_frames_out_of_heaps

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

assert keep_frames_out_of_heaps()
# What makes glibc keep such blocks otherwise: one of them freed.
np.ones((480, 640, 3), np.uint8)
frames = [np.ones((480, 640, 3), np.uint8) for _ in range(40)]
full = resident()
last = np.ones(100_000, np.uint8)  # above them in the heap, if they were in one
del frames[:39]
print(full - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries need no setting")
def test_what_is_freed_goes_back_at_once():
    shown = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )

    assert int(shown.stdout) > 30 * 640 * 480 * 3
