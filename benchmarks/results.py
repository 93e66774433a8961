"""Measured figures on disk: JSON that is never replaced by accident, and what repeats them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..edge.errors import SinkError


def command_line(name: str, clips: Sequence[Path], **options: Any) -> str:
    """The command that repeats a measurement, with file names instead of paths.

    Args:
        name: Of the benchmark.
        clips: Its arguments.
        options: By name, ``_`` for ``-``; True is a flag, a tuple is given several times, and None
            and False are left out.
    """
    words = ["fer-edge benchmark", name, *(clip.name for clip in clips)]
    for option, value in options.items():
        for each in value if isinstance(value, tuple) else (value,):
            if each is None or each is False:
                continue
            words.append("--" + option.replace("_", "-"))
            if each is not True:
                words.append(f"{each:g}" if isinstance(each, float) else Path(str(each)).name)
    return " ".join(words)


def to_json(document: Mapping[str, Any]) -> str:
    """A document as text that reads well in a diff."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def write_result(path: Path, document: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write a document as a JSON file.

    Raises:
        SinkError: The file exists and ``overwrite`` is False, or it cannot be written.
    """
    try:
        with open(path, "w" if overwrite else "x", encoding="utf-8") as file:
            file.write(to_json(document))
    except FileExistsError as exc:
        raise SinkError(
            f"{path} exists. Give another name, or pass --overwrite to replace it."
        ) from exc
    except OSError as exc:
        raise SinkError(f"Cannot write {path}: {exc.strerror}.") from exc
