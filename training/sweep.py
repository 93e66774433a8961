"""Variants of a recipe, one after another: ``train --sweep key=a,b,c``."""

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..edge.errors import UsageError
from .recipes import Recipe, with_changes


@dataclass(frozen=True, slots=True)
class Variant:
    """One point of a sweep: its recipe, what it changes, and a name that a folder can have."""

    recipe: Recipe
    changes: tuple[str, ...]
    folder: str


def variants(recipe: Recipe, sweeps: Sequence[str]) -> list[Variant]:
    """Every combination of the swept values, in order.

    Args:
        recipe: What all share.
        sweeps: ``key=a,b,c`` each; the values of a list-valued key are JSON lists:
            ``widths=[32,64],[48,96]``.

    Raises:
        UsageError: No values, a key or value that the recipe does not take, or two equal points.
    """
    axes = []
    for sweep in sweeps:
        key, equals, text = sweep.partition("=")
        values = _values(text)
        if not equals or not values:
            raise UsageError(f"Expected --sweep key=a,b,c, got {sweep!r}.")
        axes.append([f"{key.strip()}={value}" for value in values])
    made = [
        Variant(with_changes(recipe, changes), changes, _folder(changes))
        for changes in itertools.product(*axes)
    ]
    folders = [variant.folder for variant in made]
    twice = sorted({name for name in folders if folders.count(name) > 1})
    if twice:
        raise UsageError(f"--sweep names the same variant twice: {', '.join(twice)}.")
    return made


def is_done(folder: Path, recipe: Recipe) -> bool:
    """Whether this recipe was trained there to its end, with all that a run leaves."""
    try:
        about = json.loads((folder / "recipe.json").read_text())
    except (OSError, ValueError):
        return False
    same = isinstance(about, dict) and about.get("recipe") == recipe.to_dict()
    return same and all((folder / name).is_file() for name in ("result.json", "architecture.txt"))


def _values(text: str) -> list[str]:
    try:
        items = json.loads(f"[{text}]")
    except json.JSONDecodeError:
        return [item.strip() for item in text.split(",") if item.strip()]
    return [item if isinstance(item, str) else json.dumps(item) for item in items]


def _folder(changes: Sequence[str]) -> str:
    parts = [re.sub(r"[^A-Za-z0-9.]+", "-", change).strip("-") for change in changes]
    return "_".join(parts)
