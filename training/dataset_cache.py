"""The cache of parsed data sets: one file each, keyed by the digest of what it was made from."""

import hashlib
import io
from pathlib import Path

import numpy as np

from ..edge.errors import DataError
from ..edge.files import replacing

# Raise it when the readers change what they make of the same source.
_FORMAT = "3"
# In front of the arrays stands their digest: NumPy and zipfile answer damage with a dozen kinds of
# errors, and some of it not at all.
_DIGEST_BYTES = 32
_FIELDS = ("images", "labels", "splits", "origins", "votes", "skipped")


def source_digest(source: Path) -> str:
    """SHA-256 of a file, or of the names and bytes of all files below a folder.

    Raises:
        DataError: Something there cannot be read.
    """
    try:
        if source.is_file():
            with source.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        whole = hashlib.sha256()
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            whole.update(str(path.relative_to(source)).encode() + b"\0")
            whole.update(hashlib.sha256(path.read_bytes()).digest())
        return whole.hexdigest()
    except OSError as exc:
        raise DataError(f"Cannot read {exc.filename or source}: {exc.strerror}.") from exc


def cache_key(digest: str, votes: Path | None, *, skip_bad: bool) -> str:
    """Name of the cached file: the source, the votes and the way of reading, as one digest."""
    if votes is not None and not votes.is_file():
        raise DataError(f"There is no file of FER+ votes at {votes}.")
    parts = [_FORMAT, digest, source_digest(votes) if votes else "", str(skip_bad)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def cache_folder(choice: Path | bool | None) -> Path | None:
    """The folder to cache in: a given one, the user's own (None or True), or none (False)."""
    if choice is False:
        return None
    if isinstance(choice, Path):
        return choice
    import platformdirs

    return Path(platformdirs.user_cache_dir("fer-edge")) / "datasets"


def read(folder: Path, key: str) -> dict | None:
    """The fields kept under a key; None where there are none, or not whole ones."""
    try:
        content = (folder / f"{key}.npz").read_bytes()
    except OSError:
        return None
    digest, packed = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(packed).digest() != digest:
        # A damaged file is no reason to stop: the source is there and is read again.
        return None
    with np.load(io.BytesIO(packed), allow_pickle=False) as kept:
        fields = {name: kept[name] for name in _FIELDS if name in kept}
    return {**fields, "votes": fields.get("votes"), "skipped": int(fields["skipped"])}


def write(folder: Path, key: str, fields: dict) -> None:
    """Keep the fields of a data set; a full or read-only disk only costs the next run its time."""
    try:
        packed = io.BytesIO()
        # Not compressed: reading back is what the cache is for, and it is 75 MB for FER-2013.
        np.savez(packed, **{name: value for name, value in fields.items() if value is not None})
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"{key}.npz") as partial:
            digest = hashlib.sha256(packed.getbuffer()).digest()
            partial.write_bytes(digest + packed.getbuffer())
    except OSError:
        # A full or read-only disk only costs the next run its time.
        return
