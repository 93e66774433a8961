"""The commands ``fer-edge service …``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from .service import Origin, ServiceUnit
    from .service_plan import RunOptions
    from .systemd import ServiceState

_NAME = click.option(
    "--name",
    default="",
    metavar="NAME",
    help="Of one more service beside the first: fer-edge-NAME, for a second camera.",
)
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def service() -> None:
    """Run at boot: install, watch and remove a systemd service."""


@service.command()
@_NAME
@_YES
@click.option("--overwrite", is_flag=True, help="Replace a service that is there and differs.")
@click.option("--dry-run", is_flag=True, help="Print the unit and write nothing.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- RUN OPTIONS]")
@click.pass_context
def install(
    ctx: click.Context,
    name: str,
    yes: bool,
    overwrite: bool,
    dry_run: bool,
    arguments: tuple[str, ...],
) -> None:
    """Show the unit, write it, start it.

    Its options come from /etc/fer-edge/config.toml and /etc/fer-edge/environment, and from what
    stands after --, as in `sudo fer-edge service install -- --camera csi:0 --serve`.
    """
    from . import systemd
    from .errors import FerEdgeError
    from .service import Origin, difference, origin_of, unit_name, unit_text
    from .service_plan import notes

    name = unit_name(name)
    config = cast("Path | None", ctx.find_root().params.get("config_file"))
    origin = Origin(arguments, str(config.absolute()) if config else "", str(_models_folder()))
    unit, options = _planned(ctx, name, origin)
    text = unit_text(unit)
    for note in notes(options, _own_config()):
        _say(note)
    if dry_run:
        click.echo(text, nl=False)
        return
    systemd.require()
    _require_root()
    there = _read(unit.path)
    if there != text:
        if there is None:
            click.echo(text)
            _ask(f"Write this to {unit.path} and start it?", yes=yes)
        else:
            click.echo(difference(there, text, unit.path))
            if origin_of(there) is None:
                _say(f"{unit.path} is not from fer-edge")
            if yes and not overwrite:
                raise FerEdgeError(
                    f"{unit.path} is there and differs: pass --overwrite to replace it."
                )
            _ask(f"Change {unit.path} like this and start it anew?", yes=overwrite)
        _write(unit.path, text)
        systemd.order("daemon-reload")
    systemd.order("enable", "--quiet", unit.path.name)
    _start(unit.path.name)


@service.command()
@_NAME
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("-n", "--lines", type=click.IntRange(0), default=5, help="Of the log.")
@click.pass_context
def status(ctx: click.Context, name: str, as_json: bool, lines: int) -> None:
    """Say whether it runs, since when, and how it fared.

    Ends with exit code 1 where it does not run.
    """
    import json
    from dataclasses import asdict

    from . import systemd
    from .service import UNIT_FOLDER, unit_name

    path = UNIT_FOLDER / f"{unit_name(name)}.service"
    systemd.require()
    text, state = _read(path), systemd.state_of(path.name)
    log = systemd.last_lines(path.name, lines) if lines else []
    changed = _changed(ctx, path.stem, text) if text is not None else ""
    if as_json:
        told = {"unit": path.name, "installed": text is not None, **asdict(state)}
        click.echo(json.dumps({**told, "differs": changed or None, "log": log}))
    elif text is None:
        click.echo(f"{path.name} is not installed: `fer-edge service install`")
    else:
        for line in _in_words(path, state, changed):
            click.echo(line)
        click.echo("\n".join(log) or "no log here, or none that this user may read: try sudo")
    ctx.exit(0 if state.runs else 1)


@service.command()
@_NAME
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0), default=100, show_default=True)
@click.pass_context
def logs(ctx: click.Context, name: str, follow: bool, lines: int) -> None:
    """Print its log, by journalctl."""
    import subprocess

    from . import systemd
    from .service import unit_name

    systemd.require()
    words = systemd.journal(f"{unit_name(name)}.service", lines, follow=follow)
    ctx.exit(subprocess.call(words))


@service.command()
@_NAME
@_YES
@click.option("--purge", is_flag=True, help="Remove what it has written, and its configuration.")
@click.pass_context
def uninstall(ctx: click.Context, name: str, yes: bool, purge: bool) -> None:
    """Stop it and remove the unit; say what stays."""
    from . import systemd
    from .errors import FerEdgeError
    from .service import UNIT_FOLDER, origin_of, unit_name

    path = UNIT_FOLDER / f"{unit_name(name)}.service"
    text, kept = _read(path), _kept(path)
    if text is None and not (purge and kept):
        raise FerEdgeError(f"There is no {path}: nothing to remove.")
    if text is not None and origin_of(text) is None:
        raise FerEdgeError(f"{path} is not from fer-edge: remove it by hand.")
    systemd.require()
    _require_root()
    doomed = [*([path] if text is not None else []), *(kept if purge else [])]
    _ask(f"Stop {path.name} and remove {', '.join(map(str, doomed))}?", yes=yes)
    if text is not None:
        systemd.order("disable", "--now", "--quiet", path.name)
    for each in doomed:
        _remove(each)
    systemd.order("daemon-reload")
    click.echo(f"{path.name} is gone")
    if not purge:
        for each in kept:
            click.echo(f"{each} stays; `fer-edge service uninstall --purge` would remove it")


def _planned(ctx: click.Context, name: str, origin: "Origin") -> "tuple[ServiceUnit, RunOptions]":
    """The unit that this fer-edge would write here."""
    import grp

    from . import systemd
    from .service_plan import plan_unit, read_options, this_host

    groups = {each.gr_name: each.gr_gid for each in grp.getgrall()}
    options = read_options(cast(click.Group, ctx.find_root().command), name, origin)
    return plan_unit(name, origin, options, this_host(groups, systemd.version() or 0)), options


def _start(unit: str) -> None:
    import time

    from . import systemd
    from .errors import FerEdgeError

    _say(f"starting {unit}; it is ready with its first frame")
    began_s = time.time()
    try:
        systemd.order("restart", unit)
    except FerEdgeError as exc:
        again = systemd.state_of(unit).active == "activating"
        goes_on = "systemd tries again and again." if again else "It is not tried again."
        lines = systemd.last_lines(unit, 10, since_unix_s=began_s)
        raise FerEdgeError(
            "\n".join((f"{unit} is installed and does not run.", *lines, goes_on))
        ) from exc
    _say(f"{unit} runs, and will after every start of this machine")


def _changed(ctx: click.Context, name: str, text: str) -> str:
    """How a unit differs from what would be written now; empty where it does not."""
    from .errors import FerEdgeError
    from .service import difference, origin_of, unit_text

    origin = origin_of(text)
    if origin is None:
        return "it is not from fer-edge"
    try:
        unit, _ = _planned(ctx, name, origin)
    except (FerEdgeError, click.UsageError) as exc:
        said = exc.format_message() if isinstance(exc, click.UsageError) else str(exc)
        return f"cannot tell what it should be: {said}"
    return difference(text, unit_text(unit), unit.path)


def _in_words(path: Path, state: "ServiceState", changed: str) -> Iterator[str]:
    from datetime import datetime

    since = ""
    if state.runs and state.since_unix_s is not None:
        since = f" since {datetime.fromtimestamp(state.since_unix_s):%Y-%m-%d %H:%M:%S}"
    boot = "starts with this machine" if state.enabled else "does not start with this machine"
    word = "runs" if state.runs else f"does not run ({state.active}, {state.sub})"
    yield f"{path.name} {word}{since}; {boot}"
    if state.restarts or state.trouble:
        why = f"; the last time, {state.trouble}" if state.trouble else ""
        yield f"started anew {state.restarts} times{why}"
    if state.status:
        yield state.status
    if state.memory_bytes is not None:
        cap = state.memory_max_bytes
        of = f" of {cap / 2**20:.0f}" if cap is not None else ""
        yield f"memory: {state.memory_bytes / 2**20:.0f}{of} MiB"
    if state.uncapped:
        yield (
            "memory: not capped, because this kernel keeps no account of it. On a Raspberry Pi add "
            "cgroup_enable=memory to /boot/firmware/cmdline.txt and restart it."
        )
    if changed:
        yield f"{path} is not what this fer-edge would write (`fer-edge service install`):"
        yield changed


def _require_root() -> None:
    import os
    import shlex

    from .errors import FerEdgeError
    from .service_plan import program

    if os.geteuid() != 0:
        raise FerEdgeError(f"This needs root: `{shlex.join(['sudo', *program(), *sys.argv[1:]])}`")


def _ask(question: str, *, yes: bool) -> None:
    from .errors import FerEdgeError

    if yes:
        return
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort as exc:
        raise FerEdgeError("Nothing was changed: nobody answered. --yes does not ask.") from exc
    if not agreed:
        raise FerEdgeError("Nothing was changed.")


def _kept(path: Path) -> list[Path]:
    """What a service leaves beside its unit: its folders, drop-ins, and the configuration."""
    from .config import SYSTEM_FILE
    from .service import KEEPS, UNIT_FOLDER

    # Those of a dynamic user lie in private, with links to them.
    found = [folder / path.stem for base in KEEPS for folder in (base / "private", base)]
    found.append(path.with_name(f"{path.name}.d"))
    if not [other for other in UNIT_FOLDER.glob("fer-edge*.service") if other != path]:
        # It is for all services.
        found.append(SYSTEM_FILE.parent)
    return [each for each in found if each.exists() or each.is_symlink()]


def _remove(path: Path) -> None:
    import shutil

    from .errors import FerEdgeError

    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as exc:
        raise FerEdgeError(f"Cannot remove {path}: {exc.strerror}.") from exc


def _read(path: Path) -> str | None:
    from .errors import FerEdgeError

    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise FerEdgeError(f"Cannot read {path}: {exc.strerror}.") from exc


def _write(path: Path, text: str) -> None:
    from .errors import SinkError
    from .files import replacing

    try:
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
            partial.chmod(0o644)
    except OSError as exc:
        raise SinkError(f"Cannot write {path}: {exc.strerror}.") from exc


def _home() -> Path | None:
    """Of who called sudo; None without it."""
    import os
    import pwd

    try:
        return Path(pwd.getpwnam(os.environ["SUDO_USER"]).pw_dir)
    except KeyError:
        return None


def _models_folder() -> Path:
    from .models.catalogue import cache_folder

    home = _home()
    return cache_folder() if home is None else home / ".cache/fer-edge/models"


def _own_config() -> Path:
    from .config import user_file

    home = _home()
    return user_file() if home is None else home / ".config/fer-edge/config.toml"


def _say(text: str) -> None:
    click.echo(f"fer-edge: {text}", err=True)
