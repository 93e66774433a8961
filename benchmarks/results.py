"""Measured figures on disk: JSON that is never replaced by accident."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..edge.errors import SinkError


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
