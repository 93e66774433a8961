"""Options that several commands share: how faces are found and read."""

import math
from collections.abc import Callable
from pathlib import Path

import click

from .detectors import AUTO, BACKENDS, CHOICES

#: More than any camera gives, and frames of it still fit into memory.
MAX_SIDE_PX = 8192


def finite(_ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Refuse nan and infinity."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"expected a finite number, got {value}", param=param)
    return value


class Size(click.ParamType):
    """``640x480`` as ``(640, 480)``."""

    name = "WxH"

    def convert(  # noqa: D102 - as click has it
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        parts = str(value).lower().split("x")
        if isinstance(value, tuple):
            return value
        if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"expected a size such as 640x480, got {value!r}", param, ctx)
        if max(int(part) for part in parts) > MAX_SIDE_PX:
            self.fail(f"expected at most {MAX_SIDE_PX} pixels a side, got {value!r}", param, ctx)
        return int(parts[0]), int(parts[1])


#: For commands that read faces of people who may have recorded one.
profile_option = click.option(
    "--profile",
    metavar="NAME|FILE",
    help="Of `fer-edge personalise`: correct every face by what the model says of that person's "
    "neutral one.",
)


def reading_options(*, detect_size: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of the detector and the classifier.

    Args:
        detect_size: Default of --detect-size.
    """
    options = (
        click.option("--model", metavar="NAME|FILE", help="A shipped model or a .tflite file."),
        click.option(
            "--contract", type=click.Path(path_type=Path), help="For a model without one inside."
        ),
        click.option(
            "--detector",
            type=click.Choice(CHOICES),
            default=AUTO,
            show_default=True,
            help="; ".join(f"{name}: {kind.about}" for name, kind in BACKENDS.items())
            + "; auto: the first of these that is here.",
        ),
        click.option(
            "--detector-model",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A file of your own: .onnx for yunet, .tflite for fer-face and ssd.",
        ),
        click.option(
            "--detect-size",
            type=Size(),
            default=detect_size,
            show_default=True,
            help="Pictures are shrunk to fit into this to find faces: smaller is faster and misses "
            "small ones; fer-face takes the nearest size that it has.",
        ),
        click.option(
            "--align/--no-align",
            default=True,
            show_default=True,
            help="Level the eyes of a face before its emotion is read; yunet only.",
        ),
        click.option(
            "--min-face",
            type=click.FloatRange(0, MAX_SIDE_PX),
            default=24.0,
            show_default=True,
            metavar="PX",
            callback=finite,
            help="Smaller faces are marked, not read.",
        ),
        click.option("--runtime", type=click.Choice(["auto", "litert", "tflite"]), default="auto"),
        click.option(
            "--threads",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Of the classifier.",
        ),
    )

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add
