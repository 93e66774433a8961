"""Options from files and the environment: which there are, where each comes from, whether it fits.

Knows click's options and no command by name. From weak to strong: ``/etc/fer-edge/config.toml``,
the user's ``config.toml``, ``--config FILE``, ``FER_EDGE_COMMAND_OPTION``; the command line is
click's own business.
"""

import difflib
import os
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from .errors import UsageError
from .folders import config_folder

#: What ``version`` in a file may be; a file without it is taken for this one.
VERSION = 1
SYSTEM_FILE = Path("/etc/fer-edge/config.toml")
PREFIX = "FER_EDGE_"


@dataclass(frozen=True, slots=True)
class Setting:
    """An option with a value that was given outside the command line.

    Attributes:
        command: Words of the command, such as ``("benchmark", "peers")``.
        key: The option's long name without dashes in front.
        value: As the file or the environment has it.
        source: The file, or the variable.
    """

    command: tuple[str, ...]
    key: str
    value: Any
    source: str


def user_file() -> Path:
    """The user's own file, whether it is there or not."""
    return config_folder() / "config.toml"


def config_files(extra: Path | None = None) -> list[Path]:
    """The files that are there, weakest first; the one that was asked for always.

    Args:
        extra: From ``--config``.
    """
    there = [path for path in (SYSTEM_FILE, user_file()) if _is_there(path)]
    return there if extra is None else [*there, extra]


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # Its folder may not be looked into: reading the file will say so.
        return True


def read_file(path: Path) -> dict[str, Any]:
    """The tables of a file, without its version.

    Raises:
        UsageError: It cannot be read, is no TOML, or is of another version.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"Cannot read the configuration {path}: {exc.strerror}.") from exc
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"{path} is no TOML: {exc}.") from exc
    version = document.pop("version", VERSION)
    if version != VERSION:
        raise UsageError(
            f"{path} is of version {version!r}; this fer-edge reads version {VERSION}. "
            f"`fer-edge config init` writes one."
        )
    return document


def options_of(command: click.Command) -> dict[str, click.Option]:
    """The options that can be configured, by their long names."""
    return {
        name: param
        for param in command.params
        if isinstance(param, click.Option) and (name := long_name(param)) is not None
    }


def default_of(option: click.Option, context: click.Context) -> Any:
    """What an option is without a word from anybody; None where it is nothing then."""
    default = option.get_default(context)
    # From 8.3 on click has a mark of its own for no default.
    return default if isinstance(default, str | int | float | list | tuple) else None


def long_name(option: click.Option) -> str | None:
    """``--detect-every`` as ``detect-every``; None for an option without a long name."""
    return next((opt[2:] for opt in option.opts if opt.startswith("--")), None)


def settings_in(path: Path, root: click.Group, within: tuple[str, ...] = ()) -> list[Setting]:
    """What a file sets for a command, or for all of them, each with a value of its kind.

    Args:
        path: The file.
        root: The command of all commands.
        within: Words of a command; of other tables only the names are looked at.

    Raises:
        UsageError: Names a table or key that is unknown with the nearest that is known, or a
            value that does not fit.
    """
    context = click.Context(root, info_name="fer-edge", resilient_parsing=False)
    return list(_walk(read_file(path), root, context, str(path), (), within))


def _walk(
    table: Mapping[str, Any],
    group: click.Group,
    context: click.Context,
    source: str,
    words: tuple[str, ...],
    within: tuple[str, ...],
) -> Iterator[Setting]:
    for name, values in table.items():
        names = group.list_commands(context)
        here = (*words, name)
        if name not in names:
            what = f"[{'.'.join(here)}]" if isinstance(values, Mapping) else name
            raise UsageError(f"{source}: {what} is no command of fer-edge{_nearest(name, names)}")
        if not isinstance(values, Mapping):
            raise UsageError(
                f"{source}: {name} is {values!r}; expected a table [{'.'.join(here)}]."
            )
        if here[: len(within)] != within[: len(here)]:
            continue
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _walk(values, command, context, source, here, within)
        elif command is not None:
            yield from _settings(values, command, context, source, here)


def _settings(
    values: Mapping[str, Any],
    command: click.Command,
    context: click.Context,
    source: str,
    words: tuple[str, ...],
) -> Iterator[Setting]:
    options = options_of(command)
    for given, value in values.items():
        key = given.replace("_", "-")
        if key not in options:
            raise UsageError(
                f"{source}: {given} is no option of `fer-edge {' '.join(words)}`"
                f"{_nearest(key, options)}"
            )
        setting = Setting(words, key, _as_text(value), source)
        check_value(setting, options[key], context)
        yield setting


def settings_from_environment(
    words: tuple[str, ...], command: click.Command, environment: Mapping[str, str] | None = None
) -> list[Setting]:
    """What variables such as ``FER_EDGE_RUN_DETECT_EVERY`` set for a command.

    An option that may be given more than once takes words as a shell would split them.

    Args:
        words: Of the command.
        command: Itself.
        environment: None is the process's own.

    Raises:
        UsageError: As :func:`settings_in`.
    """
    environment = os.environ if environment is None else environment
    prefix = variable(words, "")
    options = options_of(command)
    context = click.Context(command, info_name=words[-1])
    found = []
    for name in sorted(environment):
        if not name.startswith(prefix):
            continue
        key = name.removeprefix(prefix).lower().replace("_", "-")
        if key not in options:
            known = [variable(words, option) for option in options]
            raise UsageError(
                f"{name} is no option of `fer-edge {' '.join(words)}`{_nearest(name, known)}"
            )
        value: Any = environment[name]
        if options[key].multiple:
            try:
                value = shlex.split(value)
            except ValueError as exc:
                raise UsageError(f"{name} is {value!r}: {exc}.") from exc
        setting = Setting(words, key, value, name)
        check_value(setting, options[key], context)
        found.append(setting)
    return found


def variable(words: Iterable[str], key: str) -> str:
    """The environment variable of an option of a command."""
    return PREFIX + "_".join([*words, key]).upper().replace("-", "_")


def check_value(setting: Setting, option: click.Option, context: click.Context) -> None:
    """Refuse a value that the command line would refuse.

    Raises:
        UsageError: Names the source, the key and what is expected.
    """
    value = setting.value
    if not isinstance(value, str | bool | list):
        why = f"expected text, a number, true, false or a list, got {value!r}"
    elif isinstance(value, bool) and not option.is_flag:
        why = "expected a value, got true or false"
    elif option.is_flag and not isinstance(value, bool | str):
        why = f"expected true or false, got {value!r}"
    elif isinstance(value, list) != option.multiple:
        why = f"expected {'a list' if option.multiple else 'one value'}, got {value!r}"
    else:
        try:
            option.process_value(context, value)
        except click.UsageError as exc:
            why = exc.format_message().partition(": ")[2] or exc.format_message()
        else:
            return
    raise UsageError(
        f"{setting.source}: {setting.key} of `fer-edge {' '.join(setting.command)}`: "
        f"{why.rstrip('.')}."
    )


def find_settings(
    root: click.Group, words: tuple[str, ...], extra: Path | None = None
) -> list[Setting]:
    """All that files and the environment set for a command, or a group of them, weakest first.

    Args:
        root: The command of all commands.
        words: Of the command.
        extra: From ``--config``.

    Raises:
        UsageError: As :func:`settings_in` and :func:`settings_from_environment`.
    """
    found = [each for path in config_files(extra) for each in settings_in(path, root, words)]
    for leaf, command in leaves(root, words):
        found += settings_from_environment(leaf, command)
    return found


def leaves(
    root: click.Group, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command by its words, or each of those in a group."""
    context = click.Context(root, info_name="fer-edge")
    command: click.Command | None = root
    for word in words:
        command = command.get_command(context, word) if isinstance(command, click.Group) else None
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from leaves(root, (*words, name))
    elif command is not None:
        yield words, command


def default_map(settings: Iterable[Setting], root: click.Group) -> dict[str, Any]:
    """Values by command and parameter, as click wants them; of two for one option the later."""
    tree: dict[str, Any] = {}
    for each in settings:
        ((_, command),) = leaves(root, each.command)
        branch = tree
        for word in each.command:
            branch = branch.setdefault(word, {})
        branch[str(options_of(command)[each.key].name)] = each.value
    return tree


def _as_text(value: Any) -> Any:
    """Numbers as the command line would have them; ``rotate = 90`` is one of a choice of texts."""
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else "."
