"""The list of checks of a machine, in the order in which their findings are told."""

from functools import partial
from pathlib import Path

import click

from . import cameras, coral, interpreter, machine, models, packages, vision
from .examine import Check, examine
from .finding import Finding


def diagnose(
    command: click.Group,
    *,
    config: Path | None = None,
    source: str = "",
    root: Path = Path("/"),
    limit_s: float,
) -> list[Finding]:
    """Look at everything.

    Args:
        command: The command of all commands, whose options the configuration names.
        config: From ``--config``.
        source: A camera to try in place of all that are plugged in; empty for those.
        root: Where /dev, /proc, /sys and /var are.
        limit_s: Of all checks together, in seconds.

    Returns:
        The findings; on a 32-bit system that one alone.
    """
    python = interpreter.read_interpreter(root)
    if (narrow := interpreter.too_narrow(python)) is not None:
        return [narrow]
    checks = [
        Check("Python", partial(interpreter.look, python)),
        Check("packages", partial(packages.look, python)),
        Check("OpenCV", partial(vision.look, python, root, source)),
        Check("picamera2", partial(cameras.look_at_csi, python, root, not source)),
        Check("runtime", partial(models.look, python)),
        Check("fetched models", models.look_at_fetched),
        Check("Coral", partial(coral.look, python, root)),
        Check("board", partial(machine.look_at_board, root)),
        Check("disks", machine.look_at_disks),
        Check("configuration", partial(_look_at_settings, command, config)),
    ]
    return cameras.none_at_all(examine(checks, limit_s))


def _look_at_settings(command: click.Group, config: Path | None, limit_s: float) -> list[Finding]:
    from .settings import look

    return list(look(command, config, limit_s))
