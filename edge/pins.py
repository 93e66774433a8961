"""Which versions go together; setup.cfg says the same, and docs/decisions/0003 why."""

import sys
from collections.abc import Sequence


def opencv_requirement(python: Sequence[int] = sys.version_info[:3]) -> str:
    """The OpenCV that pip is to be asked for under a Python, such as ``(3, 11)``."""
    versions = ">=4.8.1,<4.12" if tuple(python[:2]) < (3, 13) else ">=4.12,<5"
    return f"opencv-python-headless{versions}"
