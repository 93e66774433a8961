"""Models that do not ship with fer-edge and can be fetched: where from, and how to be sure of them.

A file lies in the user's cache folder, under ``fer-edge/models``, whole and with the known digest.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..download import (
    Expected,
    UnexpectedContentError,
    UnreachableError,
    download,
    why,
    write_checked,
)
from ..errors import ModelError, UsageError
from ..folders import cache_folder as user_cache_folder


@dataclass(frozen=True, slots=True)
class Fetchable:
    """A model file that others publish.

    Attributes:
        name: What the user types.
        about: What it is, in a few words.
        file_name: As its authors call it.
        url: Where it is, at a fixed version.
        sha256: Of the file.
        size_bytes: Of the file.
        licence: Its terms.
    """

    name: str
    about: str
    file_name: str
    url: str
    sha256: str
    size_bytes: int
    licence: str


YUNET = Fetchable(
    name="yunet",
    about="face detector of OpenCV zoo",
    file_name="face_detection_yunet_2023mar.onnx",
    # Kept there by Git LFS: the usual raw address gives a text file that points to this one.
    url="https://media.githubusercontent.com/media/opencv/opencv_zoo/"
    "82b38c8f98e7b52aa171400f3e4c722352d0669f/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    size_bytes=232_589,
    licence="MIT",
)
FETCHABLE = {YUNET.name: YUNET}


def find_fetchable(name: str) -> Fetchable:
    """The model of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in FETCHABLE:
        raise UsageError(
            f"There is no model {name!r} to fetch: valid names are {', '.join(FETCHABLE)}. Emotion "
            f"models ship with fer-edge; `fer-edge models list` shows all."
        )
    return FETCHABLE[name]


def cache_folder() -> Path:
    """Where fetched models lie: ``fer-edge/models`` in the user's cache folder."""
    return user_cache_folder() / "models"


def place_of(model: Fetchable) -> Path:
    """The file of a model, whether it is there or not."""
    return cache_folder() / model.file_name


def state_of(model: Fetchable) -> str:
    """``there``, ``missing`` or ``damaged`` (another digest, or it cannot be read)."""
    path = place_of(model)
    if not path.is_file():
        return "missing"
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "damaged"
    return "there" if found == model.sha256 else "damaged"


def checked_place(model: Fetchable) -> Path:
    """The file of a model that was fetched before.

    Raises:
        ModelError: It is missing or damaged; the message says how to get it.
    """
    path, state = place_of(model), state_of(model)
    if state == "missing":
        raise ModelError(
            f"The model {model.name} is not on this machine: `fer-edge models get {model.name}` "
            f"fetches it ({model.size_bytes / 1e6:.1f} MB, {model.licence})."
        )
    if state == "damaged":
        raise ModelError(
            f"{path} is not the file that was fetched: its SHA-256 is not {model.sha256[:12]}…. "
            f"Delete it and run `fer-edge models get {model.name}`."
        )
    return path


def get(
    model: Fetchable, *, source: Path | None = None, url: str | None = None, timeout_s: float = 30.0
) -> tuple[Path, bool]:
    """Put a model into the cache folder, from the web or from a copy.

    Args:
        model: Which one.
        source: A copy that was fetched on another machine; None fetches it from the web.
        url: Another address of the same file; None is the known one.
        timeout_s: How long the server may say nothing, in seconds.

    Returns:
        Its path, and whether it was put there by this call: one that is there and right stays.

    Raises:
        ModelError: It cannot be fetched or written, what came is not the known file, or another
            file is in its place.
    """
    target = place_of(model)
    state = state_of(model)
    if state == "there":
        return target, False
    if state == "damaged" or target.exists() or target.is_symlink():
        raise ModelError(
            f"{target} is there and is not the model {model.name}; it is not replaced. Move or "
            f"delete it, then repeat the command."
        )
    url = url or model.url
    by_hand = (
        f"Without a network here: fetch it elsewhere from {url} and run `fer-edge models get "
        f"{model.name} --from FILE`."
    )
    expected = Expected(model.size_bytes, sha256=model.sha256)
    try:
        if source is None:
            download(url, target, expected, timeout_s=timeout_s)
        else:
            with source.open("rb") as file:
                write_checked(file, target, expected)
    except UnreachableError as exc:
        raise ModelError(f"{exc}. {by_hand}") from exc
    except UnexpectedContentError as exc:
        what = str(source) if source else f"What {url} sent"
        raise ModelError(
            f"{what} is not {model.file_name} as it is known: {exc}. It was not kept. "
            + (f"The known file is at {url}." if source else by_hand)
        ) from exc
    except OSError as exc:
        where = source if source and not source.is_file() else target
        raise ModelError(f"Cannot put the model {model.name} at {where}: {why(exc)}.") from exc
    return target, True
