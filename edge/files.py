"""Writing a file so that it is whole or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to, with the same suffix.

    At the end of the block what was written takes the place of ``path`` in one step; if the block
    fails it is removed and ``path`` stays as it was.

    Raises:
        OSError: Writing or replacing failed.
    """
    # With the number of the process, because two of them may write the same file at once.
    partial = path.with_name(f"part-{os.getpid()}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
