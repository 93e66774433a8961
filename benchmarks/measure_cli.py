"""The commands ``fer-edge benchmark latency`` and ``all``, and what those of their kind share.

What they measure is collected in a session and leaves as one document (``document.py``).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import DETECTOR_MODEL, check_out, deliver, say, with_outputs

if TYPE_CHECKING:
    from .document import Document
    from .session import Session

_QUICK = click.option(
    "--quick", is_flag=True, help="Measure for a minute or two; the figures are rough and say so."
)
_MODELS = click.argument("models", nargs=-1, metavar="[MODELS]…")
_THREADS = click.option(
    "--threads",
    type=click.IntRange(1, 64),
    multiple=True,
    default=(1, 2, 4),
    show_default=True,
    help="CPU threads of a model; may be given several times. More than cores are left out.",
)
_CLIP = click.option(
    "--clip",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Pictures for the detectors. Default: the demo at 640x480.",
)


def with_measuring(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --quick, -o, --json and --overwrite, as :func:`measure_and_deliver` takes."""
    return _QUICK(with_outputs(command))


def measure_and_deliver(
    measure: "Callable[[Session], None]",
    command: str,
    *,
    quick: bool,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Measure into a session, print its document, and write it where the user wants it.

    What was finished before Ctrl-C or a mistake is delivered too, marked as interrupted.

    Args:
        measure: Fills the session.
        command: What repeats the run, without ``--quick``.
        quick: As the options of :func:`with_measuring`; so are the others.
    """
    import dataclasses

    from ..edge.errors import FerEdgeError
    from .rules import FULL, QUICK
    from .session import Session
    from .show import print_document

    def hand_over(document: "Document") -> None:
        deliver(
            document.to_dict(),
            lambda console: print_document(document, console),
            as_json,
            out,
            overwrite,
        )

    check_out(out, overwrite)
    words = f"{command} --quick" if quick else command
    session = Session(words, QUICK if quick else FULL, say=say)
    try:
        measure(session)
    except (KeyboardInterrupt, FerEdgeError):
        # Between two sections the session itself does not hear of it.
        found = dataclasses.replace(session.document(), state="interrupted")
        if found.figures or found.curves:
            hand_over(found)
            say(
                f"Ended before it was done; what was finished is {f'in {out}' if out else 'above'}."
            )
        raise
    hand_over(session.document())


@click.command()
@_MODELS
@_THREADS
@_CLIP
@DETECTOR_MODEL
@with_measuring
def latency(
    models: tuple[str, ...],
    threads: tuple[int, ...],
    clip: Path | None,
    detector_model: Path | None,
    quick: bool,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
) -> None:
    """How long one call takes: each of MODELS by threads and device, the detectors by size.

    MODELS are names of shipped models or files, .tflite or (with TensorFlow) .keras; the default
    is all that ship. A full run of the default takes a quarter of an hour.
    """
    from .latency import LatencyPlan, measure_latency
    from .results import command_line

    plan = LatencyPlan(models, threads, clip, detector_model)
    command = command_line(
        "latency",
        [Path(model) for model in models],
        threads=threads if threads != (1, 2, 4) else (),
        clip=clip,
        detector_model=detector_model,
    )
    measure_and_deliver(
        lambda session: measure_latency(session, plan),
        command,
        quick=quick,
        as_json=as_json,
        out=out,
        overwrite=overwrite,
    )


@click.command("all")
@_MODELS
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="FER-2013, as `train` takes it. Default: the accuracy is left out.",
)
@click.option("--split", default="PublicTest", show_default=True, help="Of the data.")
@click.option(
    "--clip",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A video for detectors and loop. Default: the demo.",
)
@DETECTOR_MODEL
@click.option(
    "--keras",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The usual tutorial's model: have it run beside the loop.",
)
@with_measuring
def measure_everything(
    models: tuple[str, ...],
    quick: bool,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
    **chosen: Any,
) -> None:
    """All of latency, loop and, with --data, accuracy, in one file: -o my-pi.json.

    A full run takes about an hour on a machine that should do nothing else meanwhile.
    """
    from ..edge.errors import UsageError
    from .everything import AllPlan, measure_all
    from .results import command_line

    if out is None and not as_json:
        raise UsageError("Pass -o FILE.json: so long a run is to be kept.")
    plan = AllPlan(models, **chosen)
    if chosen["split"] == AllPlan().split:
        del chosen["split"]
    command = command_line("all", [Path(model) for model in models], **chosen)
    measure_and_deliver(
        lambda session: measure_all(session, plan),
        command,
        quick=quick,
        as_json=as_json,
        out=out,
        overwrite=overwrite,
    )
