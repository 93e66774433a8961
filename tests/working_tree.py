"""Copies of the working tree for the tests that install it, and a clean environment to do so in."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def tracked_files() -> list[Path]:
    """What a commit of the tree as it is now would hold, relative to the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("needs git and a clone, to know which files belong to the project")
    names = {name for name in listing.stdout.decode().split("\0") if name}
    # A file that was removed and not yet committed is still listed.
    return sorted(path for path in map(Path, names) if (ROOT / path).is_file())


def copy_tree(target: Path) -> Path:
    """Copy the project's files, so that no test writes into the repository."""
    for path in tracked_files():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target / path)
    return target


def clean_environment(**changes: str) -> dict[str, str]:
    """The variables of this process without those that would lead Python back to the tests' own."""
    ours = ("PYTHON", "FER_EDGE_", "VIRTUAL_ENV", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **changes}
