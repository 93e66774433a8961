"""Which versions go together; setup.cfg says the same, and docs/decisions/0003 why."""

import sys
from collections.abc import Sequence


def opencv_requirement(
    python: Sequence[int] = sys.version_info[:3], *, cascades: bool = False
) -> str:
    """The OpenCV that pip is to be asked for under a Python, such as ``(3, 11)``.

    Args:
        python: Its version.
        cascades: Whether it has to bring the Haar cascades, which 5 does not.
    """
    if tuple(python[:2]) < (3, 13):
        return "opencv-python-headless>=4.8.1,<4.12"
    return f"opencv-python-headless>=4.12,<{5 if cascades else 6}"
