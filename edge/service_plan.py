"""From options of ``run`` and the machine to a unit: what it may touch, and what cannot go well.

Everything that only a start would find (a camera that is not there, a model that is damaged) is
left to the start; what would be found late, or never, is refused here.
"""

import os
import re
import shlex
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from . import config
from .errors import UsageError
from .service import (
    ENVIRONMENT_FILE,
    HIDDEN,
    KEEPS,
    UNIT_FOLDER,
    Network,
    Origin,
    ServiceUnit,
    environment_files,
)

_RUN = ("run",)
# Options of `run`: what it reads, what it reads and nobody else may, and what it writes.
_INPUTS = ("camera", "model", "contract", "detector_model", "mqtt_ca")
_SECRET_FILES = ("profile", "mqtt_password_file", "mqtt_cert", "mqtt_key")
_OUTPUTS = ("jsonl", "events", "csv", "record", "save_faces")
# Of those, what goes on from start to start; the others refuse a file that exists.
_GOES_ON = ("save_faces",)
_GROUPS = ("video",)
_CORAL_GROUPS = ("plugdev", "apex")
_PASSWORD = re.compile("@|(pass|pwd|token|key|auth)[^=&]*=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Host:
    """The machine and the installation that the service is for.

    Attributes:
        program: Words that call fer-edge.
        folders: Where its code and its Python lie.
        groups: Groups that exist, by name, with their numbers.
        systemd: Version of systemd.
    """

    program: tuple[str, ...]
    folders: tuple[Path, ...] = ()
    groups: Mapping[str, int] = field(default_factory=dict)
    systemd: int = 252


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What ``run`` would be called with.

    Attributes:
        values: By parameter.
        typed: Parameters that come from the arguments, not from a file.
        exposed: Parameters that come from a file which every user may read, and that file.
    """

    values: Mapping[str, Any]
    typed: frozenset[str] = frozenset()
    exposed: Mapping[str, str] = field(default_factory=dict)


def this_host(groups: Mapping[str, int], systemd: int) -> Host:
    """The running installation."""
    python = Path(sys.executable).resolve().parents[1]
    code = Path(__file__).resolve().parents[1]
    folders = (Path(sys.prefix), Path(sys.base_prefix), python, code)
    return Host(program(), folders, groups, systemd)


def program() -> tuple[str, ...]:
    """Words that call this fer-edge, wherever one is."""
    python = Path(sys.executable)
    script = python.with_name("fer-edge")
    return (str(script),) if script.is_file() else (str(python), "-m", "fer_edge.edge.cli")


def read_options(root: click.Group, name: str, origin: Origin) -> RunOptions:
    """Parse what the service will parse: the files that it reads, then its arguments.

    Neither the user's own configuration nor the variables of this process count there.

    Args:
        root: The command of all commands.
        name: Of the unit.
        origin: What it is made from.

    Raises:
        UsageError: A file is bad, or the service could not read it.
        click.UsageError: An argument is bad.
    """
    files = [path for path in (config.SYSTEM_FILE,) if path.is_file()]
    files += [Path(origin.config)] if origin.config else []
    settings = [each for path in files for each in config.settings_in(path, root, _RUN)]
    variables: dict[str, str] = {}
    for path in environment_files(name):
        variables |= read_environment(path)
    ((_, command),) = config.leaves(root, _RUN)
    settings += config.settings_from_environment(_RUN, command, variables)
    for path in files:
        _refuse_closed(path)
    parent = click.Context(
        root, info_name="fer-edge", default_map=config.default_map(settings, root)
    )
    with command.make_context("run", list(origin.arguments), parent=parent) as context:
        source = click.core.ParameterSource.COMMANDLINE
        typed = {each for each in context.params if context.get_parameter_source(each) is source}
    parameters = {key: str(each.name) for key, each in config.options_of(command).items()}
    origins = {parameters[each.key]: each.source for each in settings}
    exposed = {key: path for key, path in origins.items() if Path(path) in files}
    return RunOptions(context.params, frozenset(typed), exposed)


def read_environment(path: Path) -> dict[str, str]:
    """The variables of a file as systemd's ``EnvironmentFile=`` has it; none where there is none.

    Raises:
        UsageError: It cannot be read, or a line of it is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise UsageError(f"Cannot read {path}: {why}. Root can: put `sudo` before it.") from exc
    found = {}
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        key, equals, value = line.partition("=")
        try:
            found[key.strip()] = " ".join(shlex.split(value))
        except ValueError as exc:
            raise UsageError(f"{path}, line {number}: {exc}.") from exc
        if not equals:
            # Without the line, which may be a password.
            raise UsageError(f"{path}, line {number}: expected NAME=value.")
    return found


def plan_unit(name: str, origin: Origin, options: RunOptions, host: Host) -> ServiceUnit:
    """The unit of these options.

    Raises:
        UsageError: The service could not run with them, or would tell a secret.
    """
    values = options.values
    _refuse_secrets(options)
    _refuse_screens(values)
    _refuse_names(values)
    inputs = [path for key in _INPUTS for path in _input(key, values, options.typed)]
    credentials = [
        (key.replace("_", "-"), path)
        for key in _SECRET_FILES
        for path in _input(key, values, options.typed)
    ]
    coral = values.get("tpu") != "off"
    groups = tuple(group for group in _GROUPS + _CORAL_GROUPS * coral if group in host.groups)
    numbers = {host.groups[group] for group in groups}
    return ServiceUnit(
        name=name,
        program=host.program,
        origin=origin,
        readable=tuple(
            _outermost(
                path
                for path in (*host.folders, *map(Path, filter(None, (origin.config,))), *inputs)
                if any(path.is_relative_to(folder) for folder in HIDDEN)
            )
        ),
        writable=tuple(_outermost(_outputs(name, values, numbers))),
        credentials=tuple(credentials),
        groups=groups,
        network=network_of(values),
        coral=coral,
        data_to_journal="-" in [values.get(key) for key in _OUTPUTS],
        systemd=host.systemd,
    )


def network_of(values: Mapping[str, Any]) -> Network:
    """How far the options of ``run`` reach."""
    if values.get("mqtt") is not None or "://" in str(values.get("camera")):
        return "all"
    return _page_reach(values)


def _page_reach(values: Mapping[str, Any]) -> Network:
    """Who reaches the page."""
    if values.get("serve") is None:
        return "none"
    from .web.guard import parse_address

    try:
        return "local" if parse_address(values["serve"]).is_loopback else "all"
    except ValueError as exc:
        raise UsageError(f"--serve: {exc}.") from exc


def notes(options: RunOptions, own_config: Path | None = None) -> list[str]:
    """What people should know of a unit, though nothing is wrong with it.

    Args:
        options: Of ``run``.
        own_config: The configuration of whoever installs it.
    """
    said = [
        f"every user of this machine can read {_flag(key)} in {options.exposed[key]}: write it "
        f"into {ENVIRONMENT_FILE} (sudo, chmod 600) as {config.variable(_RUN, key)}=…"
        for key in _secrets(options.values)
        if key in options.exposed
    ]
    said += [
        f"every user of this machine can read {path}: `sudo chmod 600 {path}`"
        for path in (ENVIRONMENT_FILE,)
        if path.is_file() and path.stat().st_mode & 0o077
    ]
    if _page_reach(options.values) == "all" and options.values.get("serve_token") is None:
        said.append(
            f"every start makes another token for the page: keep one in {ENVIRONMENT_FILE} as "
            f"{config.variable(_RUN, 'serve-token')}=…"
        )
    if own_config is not None and own_config.is_file():
        said.append(
            f"the service reads {config.SYSTEM_FILE}, not {own_config}: "
            f"`sudo install -D -m 644 {own_config} {config.SYSTEM_FILE}` hands it over"
        )
    return said


def _flag(parameter: str) -> str:
    return "--" + parameter.replace("_", "-")


def _secrets(values: Mapping[str, Any]) -> list[str]:
    """Parameters whose values are secret, or hold one."""
    camera = str(values.get("camera"))
    # user:password@host, or as one of the parts of the rest.
    hidden = ["camera"] if _PASSWORD.search(camera.partition("://")[2]) else []
    return hidden + [key for key in ("serve_token",) if values.get(key) is not None]


def _refuse_secrets(options: RunOptions) -> None:
    for key in _secrets(options.values):
        if key in options.typed:
            raise UsageError(
                f"{_flag(key)} would stand in {UNIT_FOLDER}, where every user of this machine can "
                f"read it: write {config.variable(_RUN, key)}=… into "
                f"{ENVIRONMENT_FILE} (sudo, chmod 600) instead."
            )


def _refuse_screens(values: Mapping[str, Any]) -> None:
    if values.get("window"):
        raise UsageError("A service has no screen: leave --window out; --serve shows a page.")
    if str(values.get("camera")).partition(":")[0] == "-":
        raise UsageError("A service has no standard input: give a camera, not --camera -.")


def _refuse_closed(path: Path) -> None:
    """Refuse a configuration that only root could read: the service is not root."""
    if not path.stat().st_mode & stat.S_IROTH:
        raise UsageError(
            f"The service cannot read {path}, which is closed to others. Passwords belong into "
            f"{ENVIRONMENT_FILE}; then `sudo chmod 644 {path}`."
        )


def _refuse_names(values: Mapping[str, Any]) -> None:
    """Refuse what has a name in a user's folder only."""
    profile = values.get("profile")
    if profile is not None and not Path(profile).is_absolute():
        raise UsageError(
            f"--profile {profile}: the service has no profiles of its own. Give the full path of "
            f"the file, such as /home/pi/.local/share/fer-edge/profiles/{Path(profile).stem}.json."
        )


def _input(key: str, values: Mapping[str, Any], typed: frozenset[str]) -> list[Path]:
    """The file or folder that an option names, if it names one by its full path.

    Raises:
        UsageError: It is there, seen from here: the service is called in another folder.
    """
    value = values.get(key)
    path = Path(str(value)) if value else Path("-")
    if path.is_absolute():
        # Beside a model may lie the same one for an Edge TPU.
        twin = path.with_name(f"{path.stem}_edgetpu.tflite")
        return [path, twin] if key == "model" else [path]
    if key in typed and value and path.exists() and not str(value).isdecimal():
        raise UsageError(
            f"{_flag(key)} {value}: the service runs in another folder. Give the full path, "
            f"{path.absolute()}."
        )
    return []


def _outputs(name: str, values: Mapping[str, Any], groups: set[int]) -> list[Path]:
    """Folders beside its own that the service writes into.

    Raises:
        UsageError: It may not, or could not at its second start.
    """
    own, found = KEEPS[0] / name, []
    for key in _OUTPUTS:
        value = values.get(key)
        if value is None or str(value) == "-":
            continue
        path = Path(str(value))
        goes_on = key in _GOES_ON or (
            values.get("record_minutes") if key == "record" else values.get("append")
        )
        if not goes_on and not values.get("overwrite"):
            instead = "--record-minutes 30" if key == "record" else "--append"
            raise UsageError(
                f"{_flag(key)} {value}: a service is started again and again, and the second start "
                f"would find the file and end. Use {instead} or --overwrite, which begins it anew."
            )
        # Relative ones lie in its own folder, where it is called.
        folder = own / path if key == "save_faces" else (own / path).parent
        if folder.is_relative_to(own):
            continue
        if not _may_write(folder, groups):
            raise UsageError(
                f"{_flag(key)} {value}: the service may not write into {folder}. Give a name "
                f"without a folder, which lies in {own}; or an existing folder, and let it in: "
                f"`sudo chgrp video {folder} && sudo chmod g+rwx {folder}`."
            )
        found.append(folder)
    return found


def _may_write(folder: Path, groups: set[int]) -> bool:
    """Whether a stranger who is in these groups may make files in a folder."""
    try:
        status = folder.stat()
    except OSError:
        return False
    mode = status.st_mode >> (3 if status.st_gid in groups else 0)
    return stat.S_ISDIR(status.st_mode) and mode & 0o3 == 0o3


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Paths, sorted, without those that lie in another of them."""
    found: list[Path] = []
    for path in sorted({Path(os.path.normpath(path)) for path in paths}):
        if not any(path.is_relative_to(outer) for outer in found):
            found.append(path)
    return found
