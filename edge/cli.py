"""The command ``fer-edge``: parses, builds, runs, and turns errors into exit codes.

Only click is imported at the top. The commands of the other folders are named as strings and
loaded when they are called, so that a device needs none of what they need.
"""

import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import click

from .errors import EXIT_INTERRUPTED, EXIT_OK, FerEdgeError, MissingExtraError, SinkError
from .streams import flush_standard_output, open_standard_streams, point_nowhere, tell
from .version import __version__

# What a disk answers that takes no more.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _Lazy(NamedTuple):
    """A command that lives elsewhere: its module, its pip extra, and its line in the help."""

    module: str
    extra: str
    help: str


_ELSEWHERE = {
    "run": _Lazy("fer_edge.edge.run_cli", "", "Read emotions from a camera until it ends."),
    "classify": _Lazy("fer_edge.edge.classify_cli", "", "Read emotions from photographs."),
    "personalise": _Lazy(
        "fer_edge.edge.personalise_cli", "", "Record a neutral face, to correct readings by it."
    ),
    "cameras": _Lazy("fer_edge.edge.cameras_cli", "", "List the cameras of this machine."),
    "doctor": _Lazy("fer_edge.edge.doctor_cli", "", "Look for what is wrong, and say the cure."),
    "service": _Lazy("fer_edge.edge.service_cli", "", "Run at boot, under systemd."),
    "train": _Lazy("fer_edge.training.cli", "train", "Train an emotion model on FER-2013."),
    "average": _Lazy(
        "fer_edge.training.average_cli", "train", "Make one model of several: their weights' mean."
    ),
    "recipes": _Lazy("fer_edge.training.cli", "train", "List what `train` can train."),
    "evaluate": _Lazy(
        "fer_edge.training.evaluate_cli", "report", "Measure a model on labelled faces."
    ),
    "compare": _Lazy("fer_edge.training.compare_cli", "report", "Compare finished training runs."),
    "dataset": _Lazy("fer_edge.training.dataset_cli", "train", "Fetch FER-2013, look at it."),
    "train-detector": _Lazy("fer_edge.training.detector.cli", "train", "Train the face detector."),
    "evaluate-detector": _Lazy(
        "fer_edge.training.detector.cli", "train", "Measure a detector on scenes with boxes."
    ),
    "convert": _Lazy("fer_edge.convert.cli", "train", "Turn a .keras model into int8 TFLite."),
    "inspect": _Lazy("fer_edge.convert.inspect_cli", "", "Say what is in a .tflite model."),
    "models": _Lazy("fer_edge.edge.models_cli", "", "List and fetch models."),
    "summarise": _Lazy(
        "fer_edge.benchmarks.summarise_cli", "report", "Turn `run --events` into a page."
    ),
    "config": _Lazy("fer_edge.edge.config_cli", "", "Show, check or begin the configuration."),
    "completion": _Lazy("fer_edge.edge.config_cli", "", "Print the completion of a shell."),
    "benchmark": _Lazy("fer_edge.benchmarks.cli", "report", "Measure speed and accuracy."),
}
# They take no options from files: one looks at them, or they are to tell what is wrong with them.
_NOT_CONFIGURED = ("config", "completion", "doctor")
_HELP = ("-h", "--help")
# Where the context keeps whether the help is wanted, which a bad configuration must not prevent.
_HELP_WANTED = f"{__name__}.help"
# A module that is missing because an extra is not installed; any other is a fault of ours.
_OF_EXTRAS = {
    "jinja2",
    "kagglehub",
    "keras",
    "matplotlib",
    "paho",
    "prometheus_client",
    "psutil",
    "scipy",
    "sklearn",
    "starlette",
    "tensorflow",
    "uvicorn",
}


class _Commands(click.Group):
    """The group of all commands: loads the others' lazily and ends with documented codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        return getattr(import_module(_ELSEWHERE[cmd_name].module), cmd_name.replace("-", "_"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            if name in _ELSEWHERE:
                rows.append((name, _ELSEWHERE[name].help))
            else:
                command = super().get_command(ctx, name)
                rows.append((name, command.get_short_help_str(80) if command else ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        # Click empties the arguments before it calls the group's own function.
        ctx.meta[_HELP_WANTED] = not set(_HELP).isdisjoint(ctx.args)
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as exc:
            missing = (exc.name or "").partition(".")[0]
            if missing not in _OF_EXTRAS:
                raise
            command = ctx.invoked_subcommand or ""
            extra = _ELSEWHERE[command].extra if command in _ELSEWHERE else "train"
            if missing in ("keras", "tensorflow"):
                extra = "train"
            elif missing in ("prometheus_client", "starlette", "uvicorn"):
                extra = "web"
            elif missing == "paho":
                extra = "mqtt"
            error: FerEdgeError = MissingExtraError(
                f"`fer-edge {command}` needs {missing}, which is not installed: "
                f'`pip install "fer-edge[{extra}]"`.'
            )
        except FerEdgeError as exc:
            error = exc
        except KeyboardInterrupt:
            return ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            point_nowhere(sys.stdout)
            return ctx.exit(EXIT_OK)
        tell(f"fer-edge: {error}")
        return ctx.exit(error.exit_code)


@click.group(cls=_Commands, context_settings={"help_option_names": list(_HELP)})
@click.version_option(__version__, prog_name="fer-edge")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Options in TOML, over those of /etc and of the user: see `fer-edge config`.",
)
@click.pass_context
def cli(ctx: click.Context, config_file: Path | None) -> None:
    """Facial-emotion recognition on the edge: run it, train it, convert it, measure it.

    Exit codes: 0 done, 1 error, 2 usage, 3 camera, 4 model, 5 quality gate, 6 stuck
    in native code, 130 Ctrl-C.
    """
    word = ctx.invoked_subcommand
    if word is None or word in _NOT_CONFIGURED or ctx.meta[_HELP_WANTED]:
        return
    if isinstance(ctx.command, click.Group):
        from .config import default_map, find_settings

        settings = find_settings(ctx.command, (word,), config_file)
        ctx.default_map = default_map(settings, ctx.command)


def main() -> None:
    """The console script."""
    open_standard_streams()
    try:
        cli(prog_name="fer-edge")
    except SystemExit as exc:
        code = _end_streams(exc.code)
    except OSError as exc:
        # A stream has no name; a file that cannot be opened or found has.
        if exc.errno not in _FULL or exc.filename is not None:
            raise
        # What the standard output kept back fails again where it was that.
        code = _end_streams(EXIT_OK)
        if code == EXIT_OK:
            tell(f"fer-edge: Cannot write: {exc.strerror}.")
            code = SinkError.exit_code
    else:
        code = _end_streams(EXIT_OK)
    _leave_if_hung(code)
    sys.exit(code)


def _end_streams(code: object) -> int:
    """Write what is kept back, and let that decide the code of what went well so far."""
    number = code if isinstance(code, int) else EXIT_OK if code is None else 1
    try:
        flush_standard_output()
    except SinkError as exc:
        tell(f"fer-edge: {exc}")
        number = number or exc.exit_code
    tell(end="")
    return number


def _leave_if_hung(code: int) -> None:
    """End the process at once where a native call still holds a thread.

    Python's own end would take modules apart under it, and wait for what the library keeps locked.
    """
    from .worker import hung

    if names := hung():
        tell(f"fer-edge: left behind, in a native call: {', '.join(names)}")
        os._exit(code)


if __name__ == "__main__":
    main()
