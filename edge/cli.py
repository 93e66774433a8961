"""The command ``fer-edge``: parses, builds, runs, and turns errors into exit codes.

Only click is imported at the top. The commands of the other folders are named as strings and
loaded when they are called, so that a device needs none of what they need.
"""

import math
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import click

from .detectors import AUTO, BACKENDS, CHOICES
from .errors import EXIT_INTERRUPTED, EXIT_OK, FerEdgeError, MissingExtraError
from .version import __version__


class _Lazy(NamedTuple):
    """A command that lives elsewhere: its module, its pip extra, and its line in the help."""

    module: str
    extra: str
    help: str


_ELSEWHERE = {
    "train": _Lazy("fer_edge.training.cli", "train", "Train an emotion model on FER-2013."),
    "recipes": _Lazy("fer_edge.training.cli", "train", "List what `train` can train."),
    "evaluate": _Lazy(
        "fer_edge.training.evaluate_cli", "report", "Measure a model on labelled faces."
    ),
    "compare": _Lazy("fer_edge.training.compare_cli", "report", "Compare finished training runs."),
    "dataset": _Lazy("fer_edge.training.dataset_cli", "train", "Fetch FER-2013, look at it."),
    "convert": _Lazy("fer_edge.convert.cli", "train", "Turn a .keras model into int8 TFLite."),
    "inspect": _Lazy("fer_edge.convert.inspect_cli", "", "Say what is in a .tflite model."),
    "models": _Lazy("fer_edge.edge.models_cli", "", "List and fetch models."),
    "benchmark": _Lazy("fer_edge.benchmarks.cli", "train", "Measure speed beside the usual way."),
}
# More than any camera gives, and frames of it still fit into memory.
_MAX_SIDE_PX = 8192
# A module that is missing because an extra is not installed; any other is a fault of ours.
_OF_EXTRAS = {
    "jinja2",
    "kagglehub",
    "keras",
    "matplotlib",
    "psutil",
    "sklearn",
    "tensorflow",
}


class _Commands(click.Group):
    """The group of all commands: loads the others' lazily and ends with documented codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        lazy = _ELSEWHERE[cmd_name]
        if ctx.resilient_parsing:
            return None
        return getattr(import_module(lazy.module), cmd_name)

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
            error: FerEdgeError = MissingExtraError(
                f"`fer-edge {command}` needs {missing}, which is not installed: "
                f'`pip install "fer-edge[{extra}]"`.'
            )
        except FerEdgeError as exc:
            error = exc
        except KeyboardInterrupt:
            return ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            _silence_stdout()
            return ctx.exit(EXIT_OK)
        click.echo(f"fer-edge: {error}", err=True)
        return ctx.exit(error.exit_code)


def _silence_stdout() -> None:
    """Point standard output nowhere: Python flushes it at its end and would complain there."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _open_standard_streams() -> None:
    """Give 0, 1 and 2 a place if the caller closed them.

    Otherwise the next file that is opened becomes number 2, and libraries log into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        # What is meant for people goes nowhere then, rather than among the data.
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _finite(_ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"expected a finite number, got {value}", param=param)
    return value


class _Size(click.ParamType):
    """``640x480`` as ``(640, 480)``."""

    name = "WxH"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        parts = str(value).lower().split("x")
        if isinstance(value, tuple):
            return value
        if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"expected a size such as 640x480, got {value!r}", param, ctx)
        if max(int(part) for part in parts) > _MAX_SIDE_PX:
            self.fail(f"expected at most {_MAX_SIDE_PX} pixels a side, got {value!r}", param, ctx)
        return int(parts[0]), int(parts[1])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fer-edge")
def cli() -> None:
    """Facial-emotion recognition on the edge: run it, train it, convert it, measure it.

    Exit codes: 0 done, 1 error, 2 usage, 3 camera, 4 model, 5 quality gate, 130 Ctrl-C.
    """


@cli.command()
@click.option(
    "--camera",
    default="0",
    show_default=True,
    metavar="WHICH",
    help="A number from `fer-edge cameras`, a clip, a picture, or `demo`.",
)
@click.option("--size", type=_Size(), default="640x480", show_default=True, help="To ask a camera.")
@click.option(
    "--fps", type=click.FloatRange(0.1, 1000), default=30.0, show_default=True, callback=_finite
)
@click.option("--model", metavar="NAME|FILE", help="A shipped model or a .tflite file.")
@click.option("--contract", type=click.Path(path_type=Path), help="For a model without one inside.")
@click.option(
    "--detector",
    type=click.Choice(CHOICES),
    default=AUTO,
    show_default=True,
    help="; ".join(f"{name}: {kind.about}" for name, kind in BACKENDS.items())
    + "; auto: the first of these that is here.",
)
@click.option(
    "--detector-model",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For yunet: a file of your own, which is not checked.",
)
@click.option(
    "--detect-size",
    type=_Size(),
    default="320x240",
    show_default=True,
    help="Pictures are shrunk to fit into this to find faces: smaller is faster and misses small "
    "ones.",
)
@click.option(
    "--align/--no-align",
    default=True,
    show_default=True,
    help="Level the eyes of a face before its emotion is read; yunet only.",
)
@click.option("--runtime", type=click.Choice(["auto", "litert", "tflite"]), default="auto")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--jsonl", metavar="FILE|-", help="Write a JSON line a result; - is standard output.")
@click.option("--record", type=click.Path(path_type=Path), metavar="OUT.mp4", help="Write a clip.")
@click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
@click.option("--window/--no-window", default=None, help="Default: where OpenCV has one.")
@click.option("--frames", type=click.IntRange(1), help="End after so many results.")
@click.option(
    "--duration",
    type=click.FloatRange(0.0, min_open=True),
    callback=_finite,
    help="End after S seconds.",
)
def run(
    camera: str,
    size: tuple[int, int],
    fps: float,
    model: str | None,
    contract: Path | None,
    detector: str,
    detector_model: Path | None,
    detect_size: tuple[int, int],
    align: bool,
    runtime: str,
    threads: int,
    jsonl: str | None,
    record: Path | None,
    overwrite: bool,
    window: bool | None,
    frames: int | None,
    duration: float | None,
) -> None:
    """Read emotions from a camera until it ends, q, Ctrl-C or SIGTERM."""
    from .cameras import open_camera
    from .classifier import EmotionClassifier
    from .detectors import open_detector
    from .run import Outputs, run_loop

    outputs = Outputs(jsonl=jsonl, record=record, overwrite=overwrite, window=window)
    classifier = EmotionClassifier.open(model, contract=contract, runtime=runtime, threads=threads)
    finder = open_detector(detector, size_wh=detect_size, model=detector_model)
    with open_camera(camera, size_wh=size, fps=fps) as opened:
        code = run_loop(
            opened, finder, classifier, outputs, align=align, frames=frames, duration_s=duration
        )
    click.get_current_context().exit(code)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def cameras(as_json: bool) -> None:
    """List the cameras of this machine; their position is what --camera takes."""
    import json
    from dataclasses import asdict

    from .cameras import list_cameras
    from .errors import CameraError

    found = list_cameras()
    if as_json:
        click.echo(json.dumps([asdict(camera) for camera in found]))
    else:
        for camera in found:
            click.echo(f"{camera.position}  {camera.kind}  {camera.address}  {camera.name}")
    if not found and not as_json:
        raise CameraError("No camera was found here. `fer-edge run --camera demo` needs none.")


def main() -> None:
    """The console script."""
    _open_standard_streams()
    cli(prog_name="fer-edge")


if __name__ == "__main__":
    main()
