"""The commands ``fer-edge config …`` and ``fer-edge completion``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click

# Whose options `config init` lists; the tables of all others are read as well.
_LISTED = ("run", "classify")


@click.group()
def config() -> None:
    """Show, check or begin the configuration.

    From weak to strong: the defaults, /etc/fer-edge/config.toml, the user's config.toml, --config
    FILE, variables such as FER_EDGE_RUN_CAMERA, the command line.
    """


@config.command()
@click.argument("words", nargs=-1, metavar="[COMMAND]")
@click.pass_context
def show(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Print the options of COMMAND (run), their values, and where each comes from."""
    from .config import default_of, find_settings, leaves, options_of
    from .errors import UsageError

    root, words = _root(ctx), words or ("run",)
    found = dict(leaves(root, words))
    if words not in found:
        raise UsageError(f"{' '.join(words)} is no command of fer-edge; see `fer-edge --help`.")
    settings = {each.key: each for each in find_settings(root, words, _extra(ctx))}
    rows = []
    for key, option in options_of(found[words]).items():
        if key == "help":
            continue
        default = default_of(option, ctx)
        given = settings.get(key)
        rows.append(
            (key, _in_toml(given.value, option), given.source)
            if given
            else (key, _in_toml(default, option), "default")
        )
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for key, value, source in rows:
        click.echo(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {source}")


@config.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.pass_context
def check(ctx: click.Context, files: tuple[Path, ...]) -> None:
    """Check FILES, or all that would be read and the environment; exit code 2 where one is bad."""
    from .config import config_files, leaves, settings_from_environment, settings_in
    from .errors import UsageError

    root, bad = _root(ctx), False
    for path in files or config_files(_extra(ctx)):
        try:
            found = settings_in(path, root)
        except UsageError as exc:
            bad = True
            click.echo(f"fer-edge: {exc}", err=True)
        else:
            click.echo(f"{path}: good, {len(found)} option{'' if len(found) == 1 else 's'}")
    if not files:
        try:
            for words, command in leaves(root, ()):
                for each in settings_from_environment(words, command):
                    click.echo(f"{each.source}: good")
        except UsageError as exc:
            bad = True
            click.echo(f"fer-edge: {exc}", err=True)
    if bad:
        ctx.exit(2)


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@click.pass_context
def init(ctx: click.Context, file: Path | None, overwrite: bool) -> None:
    """Write FILE (the user's own) with every option of run and classify, commented out."""
    from .config import user_file
    from .errors import SinkError
    from .sinks import refuse_to_overwrite

    target = file or user_file()
    try:
        if file is None:
            target.parent.mkdir(parents=True, exist_ok=True)
        refuse_to_overwrite(target, overwrite=overwrite)
        target.write_text("\n".join(_template(_root(ctx))), encoding="utf-8")
    except OSError as exc:
        raise SinkError(f"Cannot write {target}: {exc.strerror}.") from exc
    click.echo(f"{target}: take away the # before what is to be another than the default")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands and options.

    bash: `fer-edge completion bash > ~/.local/share/bash-completion/completions/fer-edge`.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    kind = cast(type[ShellComplete], get_completion_class(shell))
    click.echo(kind(_root(ctx), {}, "fer-edge", "_FER_EDGE_COMPLETE").source())


def _root(ctx: click.Context) -> click.Group:
    return cast(click.Group, ctx.find_root().command)


def _extra(ctx: click.Context) -> Path | None:
    return ctx.find_root().params.get("config_file")


def _template(root: click.Group) -> Iterator[str]:
    import textwrap

    from .config import VERSION, default_of, leaves, options_of

    yield "# Options of fer-edge; `fer-edge config check` tells whether they fit, and"
    yield "# `fer-edge config show` what is in force. Other commands have tables too: [convert],"
    yield "# [benchmark.loop], ..."
    yield f"version = {VERSION}"
    for word in _LISTED:
        ((_, command),) = leaves(root, (word,))
        yield f"\n[{word}]"
        for key, option in options_of(command).items():
            if key == "help":
                continue
            yield from (f"# {line}" for line in textwrap.wrap(option.help or "", 96))
            default = default_of(option, click.Context(command))
            yield f"#{key} = {_in_toml(_example(default, option), option)}"
    yield ""


def _example(default: Any, option: click.Option) -> Any:
    """What stands for an option without a default."""
    if default is not None:
        return default
    return True if option.is_flag else (option.metavar or option.type.name)


def _in_toml(value: Any, option: click.Option) -> str:
    """A value as TOML has it; - for none."""
    import json

    if value is None:
        return "-"
    if isinstance(value, bool) or (isinstance(value, int | float) and not option.is_flag):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return json.dumps([str(item) for item in value])
    return json.dumps(str(value), ensure_ascii=False)
