"""Where results go: JSON lines, a video, a window. Each is a context manager with ``write``."""

from pathlib import Path

from ..errors import SinkError


def refuse_to_overwrite(path: Path, *, overwrite: bool) -> None:
    """Check that an output file can be made.

    Raises:
        SinkError: It exists and may not be replaced, or its folder is not there.
    """
    try:
        if path.is_dir():
            raise SinkError(f"Cannot write {str(path)!r}: it is a folder.")
        if path.exists() and not overwrite:
            raise SinkError(f"{path} exists. Give another name, or pass --overwrite to replace it.")
        if not path.parent.is_dir():
            raise SinkError(f"Cannot write {path}: the folder {path.parent} does not exist.")
    except OSError as exc:
        raise SinkError(f"Cannot write {path}: {exc.strerror}.") from exc
