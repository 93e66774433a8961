"""What ``fer-edge run`` does: opens everything, runs the loop with its sinks, and ends."""

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .board import BoardMonitor
from .cameras import Camera, open_camera
from .classifier import EmotionClassifier
from .detectors import Detector
from .errors import SinkError
from .memory import use_one_heap
from .mqtt.address import MqttChoice
from .pipeline import Pipeline
from .reader import EmotionReader
from .signals import Stopper
from .sinks.csv_table import CsvSink
from .sinks.events import EventsSink
from .sinks.faces import FacesSink
from .sinks.group import SinkGroup
from .sinks.jsonl import JsonLinesSink
from .sinks.recording import Recording
from .sinks.status import StatusSink, rates_line
from .sinks.video import KEEP_FREE_BYTES
from .sinks.window import WindowSink, why_no_window
from .stages import LoopSettings
from .supervisor import Supervisor
from .version import __version__


@dataclass(frozen=True, slots=True)
class CameraChoice:
    """The camera that the user asked for, and how; see :func:`.cameras.open_camera`."""

    source: str
    size_wh: tuple[int, int] | None = None
    fps: float | None = None
    rotate: int = 0
    mirror: bool = False
    realtime: bool = False


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the user asked to come out.

    Attributes:
        jsonl: A file for JSON lines, ``-`` for standard output, or None.
        events: The same for what changes.
        csv: The same for a table.
        record: An .mp4 file, or None.
        record_minutes: A new clip begins so often; None makes one of all.
        keep_free_mb: What recording leaves of its disk, in megabytes.
        save_faces: A folder for crops of the faces, or None.
        notice: A line on page, window and recording; empty for none.
        serve: Where to serve the live page, as ``HOST:PORT``, or None.
        token: What a page beyond this machine asks for; None makes one.
        mqtt: The broker to publish to, or None.
        overwrite: Whether files that exist may be replaced.
        append: Whether JSON lines, events and the table go on at the end of theirs instead.
        window: Whether to open a window; None opens one where that is possible.
    """

    jsonl: str | None = None
    events: str | None = None
    csv: str | None = None
    record: Path | None = None
    overwrite: bool = False
    append: bool = False
    window: bool | None = None
    record_minutes: float | None = None
    keep_free_mb: float = KEEP_FREE_BYTES / 1e6
    save_faces: Path | None = None
    notice: str = ""
    serve: str | None = None
    token: str | None = None
    mqtt: MqttChoice | None = None

    @property
    def shows(self) -> bool:
        """Whether a window is to be opened."""
        return self.window or (self.window is None and why_no_window() is None)

    @property
    def need_colour(self) -> bool:
        """Whether somebody looks at the pictures."""
        asked = (self.record, self.save_faces, self.serve)
        return any(each is not None for each in asked) or self.shows

    @property
    def live_status(self) -> bool | None:
        """Whether the status is redrawn in place; None leaves that to the terminal."""
        # Lines on a terminal scroll, and a table that redraws itself would fight with them.
        on_terminal = sys.stdout is not None and sys.stdout.isatty()
        scrolls = "-" in (self.jsonl, self.events, self.csv)
        return False if scrolls and on_terminal else None


@dataclass(frozen=True, slots=True)
class RunPlan:
    """All that one run is.

    Attributes:
        camera: Where the frames come from.
        open_detector: Opens what finds the faces.
        open_classifier: Opens what names their emotions; it is told where to say what people should
            know.
        open_reader: Opens what reads the photographs that are dropped on the page.
        outputs: Where results go.
        settings: How the loop looks at faces.
        frames: End after so many results.
        duration_s: End after so many seconds.
    """

    camera: CameraChoice
    open_detector: Callable[[], Detector]
    open_classifier: Callable[[Callable[[str], None]], EmotionClassifier]
    open_reader: Callable[[], EmotionReader] | None = None
    outputs: Outputs = field(default_factory=Outputs)
    settings: LoopSettings = field(default_factory=LoopSettings)
    frames: int | None = None
    duration_s: float | None = None


def run_loop(plan: RunPlan, stopper: Stopper) -> None:
    """Run until the camera ends, or a limit, ``q`` or a signal comes.

    Args:
        plan: What to run.
        stopper: What the signals call; from when the loop runs it ends that.

    Raises:
        FerEdgeError: Something cannot be opened, or it failed and nothing could take its place.
        BrokenPipeError: The reader of the standard output has left, and nothing else comes out.
        Stopped: A signal came before.
    """
    use_one_heap()
    with ExitStack() as stack:
        _run(plan, stack, stopper)


def _run(plan: RunPlan, stack: ExitStack, stopper: Stopper) -> None:
    voice = _Voice()
    detector = plan.open_detector()
    classifier = stack.enter_context(closing(plan.open_classifier(voice.say)))
    colour = detector.colour or plan.outputs.need_colour
    camera = stack.enter_context(_open(plan.camera, voice.say, colour=colour))
    pipeline = Pipeline(camera, detector, classifier, plan.settings, say=voice.say)
    sinks = stack.enter_context(SinkGroup(voice.say))
    board = BoardMonitor(voice.say)
    stack.callback(board.close)
    voice.status = StatusSink(
        pipeline.snapshot,
        camera=camera.name,
        live=plan.outputs.live_status,
        board=board.summary_line,
    )
    _add_sinks(sinks, plan.outputs, camera, classifier.contract.labels, pipeline, voice.status)
    if plan.outputs.serve is not None:
        # Only here: its libraries are an extra.
        from .web.serve import open_page

        page = open_page(
            plan.outputs.serve,
            plan.outputs.token,
            snapshot=pipeline.snapshot,
            camera=camera.name,
            labels=classifier.contract.labels,
            temperature_c=lambda: board.state.temperature_c,
            notice=plan.outputs.notice,
            open_reader=plan.open_reader,
            board=board.look,
            retired=lambda: sinks.retired,
            build={
                "version": __version__,
                "model": classifier.contract.name,
                "model_sha256": classifier.digest,
                "detector": detector.name,
                "runtime": classifier.runtime,
            },
        )
        sinks.add("The page", page)
        voice.say(f"the page is at {page.url}")
    if plan.outputs.mqtt is not None:
        # Only here, like the page.
        from .mqtt.sink import open_mqtt

        publisher = open_mqtt(
            plan.outputs.mqtt,
            labels=classifier.contract.labels,
            snapshot=pipeline.snapshot,
            temperature_c=lambda: board.state.temperature_c,
            say=voice.say,
        )
        sinks.add(f"MQTT to {plan.outputs.mqtt.broker}", publisher)
    supervisor = stack.enter_context(Supervisor.from_environment())
    if plan.duration_s is not None:
        # A wait of over 292 years overflows.
        timer = threading.Timer(min(plan.duration_s, threading.TIMEOUT_MAX), pipeline.stop)
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)
    stopper.hand_over(pipeline.stop)
    left = plan.frames
    for result in pipeline.results():
        sinks.write(result)
        supervisor.delivered(lambda: rates_line(pipeline.snapshot()))
        board.poll()
        if left is not None:
            left -= 1
            if left <= 0:
                pipeline.stop()


class _Voice:
    """Where people are told things: standard error, in step with the status once that is there."""

    def __init__(self) -> None:
        self.status: StatusSink | None = None

    def say(self, text: str) -> None:
        """Say a sentence; from any thread."""
        if self.status is None:
            print(f"fer-edge: {text}", file=sys.stderr, flush=True)
        else:
            self.status.say(text)


def _open(choice: CameraChoice, say: Callable[[str], None], *, colour: bool) -> Camera:
    return open_camera(
        choice.source,
        size_wh=choice.size_wh,
        fps=choice.fps,
        colour=colour,
        rotate=choice.rotate,
        mirror=choice.mirror,
        realtime=choice.realtime,
        say=say,
    )


def _add_sinks(
    sinks: SinkGroup,
    outputs: Outputs,
    camera: Camera,
    labels: Sequence[str],
    pipeline: Pipeline,
    status: StatusSink,
) -> None:
    overwrite, keep_free = outputs.overwrite, round(outputs.keep_free_mb * 1e6)
    for what, target, sink in (
        ("JSON lines", outputs.jsonl, JsonLinesSink),
        ("Events", outputs.events, partial(EventsSink, camera=camera.name, labels=labels)),
        ("The table", outputs.csv, partial(CsvSink, labels=labels)),
    ):
        if target is not None:
            place = "the standard output" if target == "-" else target
            output = sink(target, overwrite=overwrite, append=outputs.append)
            sinks.add(f"{what} to {place}", output)
    if outputs.record is not None:
        video = Recording(
            outputs.record,
            minutes=outputs.record_minutes,
            say=status.say,
            fps=camera.fps,
            paced=not camera.lossless,
            overwrite=overwrite,
            keep_free_bytes=keep_free,
            notice=outputs.notice,
        )
        sinks.add(f"The recording {outputs.record}", video)
    if outputs.save_faces is not None:
        faces = FacesSink(outputs.save_faces, keep_free_bytes=keep_free)
        sinks.add(f"The faces in {outputs.save_faces}", faces)
    if outputs.shows:
        try:
            sinks.add("The window", WindowSink(pipeline.stop, notice=outputs.notice))
        except SinkError as error:
            # One that nobody asked for, on a screen that is gone, is no reason not to run.
            if outputs.window:
                raise
            status.say(str(error))
    sinks.add("The status", status, counts=False)
