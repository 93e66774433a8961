"""What ``fer-edge run`` does once everything is open: the loop with its sinks and its end."""

import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .cameras import Camera
from .errors import EXIT_OK
from .memory import keep_frames_out_of_heaps
from .pipeline import Finder, Namer, Pipeline, Sink
from .signals import stopping_on_signals
from .sinks.jsonl import JsonLinesSink
from .sinks.status import StatusSink
from .sinks.video import VideoSink
from .sinks.window import WindowSink, why_no_window


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the user asked to come out.

    Attributes:
        jsonl: A file, ``-`` for standard output, or None.
        record: An .mp4 file, or None.
        overwrite: Whether files that exist may be replaced.
        window: Whether to open a window; None opens one where that is possible.
    """

    jsonl: str | None = None
    record: Path | None = None
    overwrite: bool = False
    window: bool | None = None


def run_loop(
    camera: Camera,
    detector: Finder,
    classifier: Namer,
    outputs: Outputs,
    *,
    align: bool = True,
    frames: int | None = None,
    duration_s: float | None = None,
) -> int:
    """Run until the camera ends, or a limit, ``q`` or a signal comes.

    Args:
        camera: Opened; closing it is the caller's.
        detector: Finds the faces.
        classifier: Names their emotions.
        outputs: Where results go.
        align: Whether to level the eyes of faces with landmarks.
        frames: End after so many results.
        duration_s: End after so many seconds.

    Returns:
        The exit code: 0, or 130 after Ctrl-C.

    Raises:
        FerEdgeError: A sink cannot be opened or written, or camera or model failed.
        BrokenPipeError: The reader of the standard output has left.
    """
    keep_frames_out_of_heaps()
    pipeline = Pipeline(camera, detector, classifier, align=align)
    with ExitStack() as stack:
        # First, so that it still listens while the sinks below close their files.
        heard = stack.enter_context(stopping_on_signals(pipeline.stop))
        sinks = _open_sinks(stack, pipeline, camera, outputs)
        if duration_s is not None:
            # A wait of over 292 years overflows.
            timer = threading.Timer(min(duration_s, threading.TIMEOUT_MAX), pipeline.stop)
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
        left = frames
        for result in pipeline.results():
            for sink in sinks:
                sink.write(result)
            if left is not None:
                left -= 1
                if left <= 0:
                    pipeline.stop()
    return EXIT_OK if heard.exit_code is None else heard.exit_code


def _open_sinks(
    stack: ExitStack, pipeline: Pipeline, camera: Camera, outputs: Outputs
) -> list[Sink]:
    sinks: list[Sink] = []
    if outputs.jsonl is not None:
        sinks.append(stack.enter_context(JsonLinesSink(outputs.jsonl, overwrite=outputs.overwrite)))
    if outputs.record is not None:
        video = VideoSink(
            outputs.record,
            fps=camera.fps,
            paced=not camera.lossless,
            overwrite=outputs.overwrite,
        )
        sinks.append(stack.enter_context(video))
    if outputs.window or (outputs.window is None and why_no_window() is None):
        sinks.append(stack.enter_context(WindowSink(on_quit=pipeline.stop)))
    # JSON lines on a terminal scroll, and a table that redraws itself would fight with them.
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    live = False if outputs.jsonl == "-" and on_terminal else None
    sinks.append(stack.enter_context(StatusSink(pipeline.snapshot, camera=camera.name, live=live)))
    return sinks
