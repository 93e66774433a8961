"""The configuration: files and variables that fit."""

from collections.abc import Iterator
from pathlib import Path

import click

from ..config import config_files, leaves, settings_from_environment, settings_in
from ..errors import UsageError
from .finding import OK, PROBLEM, Finding


def look(root: click.Group, extra: Path | None, _limit_s: float) -> Iterator[Finding]:
    """The check.

    Args:
        root: The command of all commands.
        extra: From ``--config``.
    """
    bad, good = [], []
    for path in config_files(extra):
        try:
            settings_in(path, root)
            good.append(str(path))
        except UsageError as exc:
            bad.append(str(exc))
    try:
        for words, command in leaves(root, ()):
            good += [each.source for each in settings_from_environment(words, command)]
    except UsageError as exc:
        bad.append(str(exc))
    for why in bad:
        yield Finding(PROBLEM, "configuration", why, "fer-edge config check")
    if not bad:
        yield Finding(OK, "configuration", ", ".join(good) or "none, the defaults")
