"""Which models this machine has loaded before, and the first load of one that it has not.

A model from outside is a program: one of 3,000 mutated files ended the process that loaded it and
one kept it busy for over a minute. So the first load of a model that neither ships with fer-edge
nor was loaded here before happens in a child process with limits (:mod:`.sandbox`). What passed is
remembered by its digest in the user's cache folder.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import ModelError
from .files import replacing
from .folders import cache_folder
from .models import shipped_detectors, shipped_models
from .sandbox import run_in_child

# More than anybody tries; the oldest are forgotten first.
_MOST = 1000
# Of a model file. The largest of common image classifiers in float32 has 550 MB.
MAX_BYTES = 600 << 20


def require_harmless(content: bytes, name: str) -> None:
    """Try an unknown model in a child process, and remember it where it does no harm.

    Args:
        content: The bytes of a ``.tflite`` file.
        name: What error messages call it.

    Raises:
        ModelError: It is too large, or it crashes, hangs or fills the memory.
    """
    if len(content) > MAX_BYTES:
        raise ModelError(
            f"{name} has {len(content) >> 20} MB, expected at most {MAX_BYTES >> 20} MB."
        )
    try_once(hashlib.sha256(content).hexdigest(), _load_once, content, what=name)


def try_once(digest: str, load: Callable[[Any], None], argument: Any, **limits: Any) -> None:
    """Load an unknown file in a child process, and remember it where that did no harm.

    Args:
        digest: SHA-256 of the file.
        load: Loads it; at the top of a module.
        argument: What it is given.
        limits: As of :func:`.sandbox.run_in_child`.

    Raises:
        ModelError: It cannot be loaded, crashes, hangs or fills the memory.
    """
    if not is_known(digest):
        run_in_child(load, argument, **limits)
        remember(digest)


def is_known(digest: str) -> bool:
    """Whether the file with this SHA-256 ships with fer-edge or was loaded here before."""
    return digest in _remembered() or any(
        hashlib.sha256(path.read_bytes()).hexdigest() == digest
        for path in (*shipped_models().values(), *shipped_detectors().values())
    )


def remember(digest: str) -> None:
    """Note that the file with this SHA-256 did no harm; a read-only disk only costs time."""
    path = _list_path()
    digests = [known for known in _remembered() if known != digest]
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text("\n".join([*digests, digest][-_MOST:]) + "\n")


def _remembered() -> list[str]:
    try:
        return _list_path().read_text().split()
    except (OSError, ValueError):
        return []


def _list_path() -> Path:
    return cache_folder() / "known-models.txt"


def _load_once(content: bytes) -> None:
    """Build an interpreter and run it once: what is damaged shows in one of both."""
    import numpy as np

    from .runtime import load_network

    network = load_network(content)
    network.run_all(np.zeros(network.input.shape, network.input.dtype))
