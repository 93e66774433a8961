"""What is to hold on PyTorch as well, in a process of its own: Keras's backend is chosen once."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")


def run_on_torch(code: str) -> None:
    """Run Python code with Keras on PyTorch, from the folder that the tests run in.

    Raises:
        AssertionError: It raised; the message is what it said.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint('done')"],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.endswith("done\n"), done.stderr
