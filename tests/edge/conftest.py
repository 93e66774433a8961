"""Stand-ins for a camera, a detector and a classifier, and builders of what flows between them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import flatbuffers
import numpy as np
import psutil
import pytest
from ai_edge_litert import schema_py_generated as schema

from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.detectors import Detector, open_detector, standard_detectors
from fer_edge.edge.errors import CameraError
from fer_edge.edge.framing import Framing
from fer_edge.edge.records import Box, EmotionScores, Face, Frame, Image, Reading, Result

from ..conftest import EMOTIONS, tiny_tflite
from .fixtures import broker, ear, impatient_mqtt, picamera2, said  # noqa: F401

STAGES = ("capture", "detect", "classify")
# Far above what anything here takes, even on a busy machine: only a hang goes beyond.
HANG_S = 20.0


# Not ssd, whose model is anybody's.
@pytest.fixture(params=standard_detectors())
def opened(request) -> Callable[..., Detector]:
    """Opens each detector in turn, with the options that are given."""
    options = {}
    if request.param == "haar" and not hasattr(cv2, "CascadeClassifier"):
        pytest.skip("OpenCV 5 has no cascades")
    if request.param == "yunet":
        options["model"] = request.getfixturevalue("yunet_file")
    return lambda **further: open_detector(request.param, **options, **further)


def a_frame(index: int = 0, size_wh: tuple[int, int] = (64, 64), **changes) -> Frame:
    """A grey-blue frame; its time is that of a camera with 10 frames a second."""
    fields = {
        "index": index,
        "image": np.full((*size_wh[::-1], 3), (90, 80, 70), np.uint8),
        "captured_ns": 1_000_000_000 + index * 100_000_000,
        "captured_unix_s": 1_790_000_000.0 + index / 10,
    }
    return Frame(**{**fields, **changes})


def a_face_at(x: float, y: float = 0.0, side: float = 40.0, **changes) -> Face:
    """A square face, as a detector reports it."""
    return Face(**{"box": Box(x, y, side, side), "score": 1.0, **changes})


def scores_of(label: str = "happy", score: float = 0.7) -> EmotionScores:
    """Scores in which ``label`` wins and the others share what is left."""
    rest = (1 - score) / (len(EMOTIONS) - 1)
    return EmotionScores(EMOTIONS, tuple(score if name == label else rest for name in EMOTIONS))


def a_reading_at(x: float, y: float = 0.0, side: float = 40.0, **changes) -> Reading:
    """A face with number 1 that looks happy, unless told otherwise."""
    return read_as(a_face_at(x, y, side, **{"id": 1, **changes}))


def read_as(face: Face, scores: EmotionScores | None = None, **changes) -> Reading:
    """A face that was read in this frame, with the same scores raw and smoothed."""
    scores = scores or scores_of()
    fields = {"size_px": face.box.w_px, "label": scores.label, "scores": scores, "raw": scores}
    return Reading(**{"face": face, **fields, **changes})


def a_result(index: int = 0, *readings: Reading, age_ms: float = 20.0, **changes) -> Result:
    """A result of :func:`a_frame`, delivered ``age_ms`` after its capture."""
    frame = a_frame(index, **changes)
    return Result(frame, readings, frame.captured_ns + round(age_ms * 1e6))


class Hang:
    """A native call that does not come back before it is let go; the fixture ``hangs`` makes it."""

    def __init__(self):
        #: How many calls have entered it.
        self.entered = 0
        self._let_go = threading.Event()

    def __call__(self) -> None:
        self.entered += 1
        self._let_go.wait(2 * HANG_S)

    def let_go(self) -> None:
        self._let_go.set()


def raising(error: BaseException) -> Callable[[], None]:
    """What ``at`` and ``renews`` of a stand-in take, to raise this."""

    def fail() -> None:
        # Or it would remember all the places where it was raised.
        raise error.with_traceback(None)

    return fail


Happening = Callable[[], object]


class Renewing:
    """What the stand-ins share: what happens in which call, and what ``renew`` answers.

    Args:
        at: By the number of the call, what happens in it beside the work.
        renews: For each ``renew`` what it calls, whose answer it answers; the stand-ins that come
            of it go on in it, unless they have one of their own.
    """

    def __init__(self, at: dict[int, Happening] | None, renews: Iterable[Happening] | None):
        self._at = at or {}
        self._renews = None if renews is None else iter(renews)

    def renewed(self):
        """The next answer of the script, or None where there is none."""
        happens = None if self._renews is None else next(self._renews, None)
        made = None if happens is None else happens()
        if made is not None and made._renews is None:
            made._renews = self._renews
        return made


class ScriptedCamera(Renewing):
    """Plays frames: a number of them or without end, each after a pause; may fail or hang.

    Args:
        count: Frames until the end; None goes on for ever.
        lossless: As of a camera.
        pause_s: Before each frame.
        fails_at: Index at which ``error`` is raised.
        hangs_at: Index at which ``read`` does not come back before :attr:`release` is set.
        at: By the index of a frame, what happens before it; a CameraError counts as a loss.
        renews: As of :class:`Renewing`; without, the camera cannot be opened again.
        here: What ``reachable`` answers.
        frames: Makes the frame of an index; the default is :func:`a_frame` of this moment.
        on_close: Called by ``close``.
    """

    name, fps = "scripted", 30.0

    def __init__(
        self,
        count: int | None = None,
        *,
        lossless: bool = True,
        pause_s: float = 0.0,
        fails_at: int | None = None,
        error: BaseException | None = None,
        hangs_at: int | None = None,
        at: dict[int, Happening] | None = None,
        renews: Iterable[Happening] | None = None,
        here: Callable[[], bool | None] = lambda: None,
        frames: Callable[[int], Frame] | None = None,
        on_close: Happening = lambda: None,
    ):
        super().__init__(at, renews)
        self.lossless = lossless
        self.handed_over = 0
        self.release = threading.Event()
        self._count, self._pause_s = count, pause_s
        self._fails_at, self._error, self._hangs_at = fails_at, error, hangs_at
        self._frames = frames or (lambda index: a_frame(index, captured_ns=time.monotonic_ns()))
        self.reachable, self._on_close = here, on_close
        self.closed = False

    def close(self) -> None:
        self._on_close()
        self.closed = True

    def renew(self) -> "ScriptedCamera":
        made = self.renewed()
        if made is None:
            raise CameraError("a scripted camera cannot be opened again")
        return made

    def read(self) -> Frame | None:
        index = self.handed_over
        if index == self._hangs_at:
            self.release.wait(HANG_S)
        if self._error is not None and index == self._fails_at:
            raise self._error
        if index in self._at:
            self._at[index]()
        if self._count is not None and index >= self._count:
            return None
        if self._pause_s:
            time.sleep(self._pause_s)
        self.handed_over += 1
        return self._frames(index)


class ScriptedDetector(Renewing):
    """Finds one face in every picture, or what ``finds`` says; may be slow, fail and hang."""

    name, colour, framing = "scripted", False, Framing()

    def __init__(
        self,
        finds: Callable[[int], list[Face]] | None = None,
        *,
        pause_s: float = 0.0,
        fails_at: int | None = None,
        error: BaseException | None = None,
        at: dict[int, Happening] | None = None,
        renews: Iterable[Happening] | None = None,
    ):
        super().__init__(at, renews)
        self.calls = 0
        #: The shape of each picture.
        self.seen: list[tuple[int, ...]] = []
        self._finds = finds or (lambda _: [a_face_at(10, 10)])
        self._pause_s, self._fails_at, self._error = pause_s, fails_at, error

    def renew(self) -> "ScriptedDetector":
        return self.renewed() or ScriptedDetector(self._finds)

    def detect(self, picture: Image) -> list[Face]:
        call, self.calls = self.calls, self.calls + 1
        self.seen.append(picture.shape)
        if self._error is not None and call == self._fails_at:
            raise self._error
        if call in self._at:
            self._at[call]()
        if self._pause_s:
            time.sleep(self._pause_s)
        return self._finds(call)


class ScriptedClassifier(Renewing):
    """Calls every face happy, or what ``names`` says of its crop; may be slow, fail and hang."""

    size_wh = (48, 48)

    def __init__(
        self,
        names: Callable[[Image], EmotionScores] = lambda _: scores_of(),
        *,
        pause_s: float = 0.0,
        fails_at: int | None = None,
        error: BaseException | None = None,
        at: dict[int, Happening] | None = None,
        renews: Iterable[Happening] | None = None,
    ):
        super().__init__(at, renews)
        self.calls = 0
        #: The shape of the crops of each call, and the last ones.
        self.seen: list[tuple[int, ...]] = []
        self.crops: Image | None = None
        self._names = names
        self._pause_s, self._fails_at, self._error = pause_s, fails_at, error

    def renew(self) -> "ScriptedClassifier":
        return self.renewed() or ScriptedClassifier(self._names)

    def classify(self, faces: Image) -> list[EmotionScores]:
        call, self.calls = self.calls, self.calls + 1
        if self._error is not None and call == self._fails_at:
            raise self._error
        if call in self._at:
            self._at[call]()
        if self._pause_s:
            time.sleep(self._pause_s)
        self.seen.append(faces.shape)
        self.crops = faces
        return [self._names(face) for face in faces]


def stage_threads() -> list[str]:
    """Names of the threads of a pipeline that are alive."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name in STAGES)


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Fail where a test leaves a thread of a pipeline behind."""
    assert stage_threads() == [], "an earlier test left threads behind"
    yield
    assert stage_threads() == []
    assert "watchdog" not in [thread.name for thread in threading.enumerate()]


@pytest.fixture
def hangs(no_threads_left) -> Iterator[Callable[[], Hang]]:
    """Makes calls that hang, which come back after the test at the latest."""
    made: list[Hang] = []

    def make() -> Hang:
        made.append(Hang())
        return made[-1]

    yield make
    for hang in made:
        hang.let_go()
    wait_until(lambda: stage_threads() == [])


@pytest.fixture
def no_process_left() -> Iterator[None]:
    """Fail where a test leaves a process, a descriptor or a thread behind."""
    process = psutil.Process()
    before = process.num_fds(), process.children(), threading.active_count()
    yield
    wait_until(lambda: threading.active_count() <= before[2])
    # Fewer where what an earlier test left was swept up meanwhile.
    assert process.num_fds() <= before[0]
    assert process.children() == before[1]


@pytest.fixture
def impatient_loop(monkeypatch) -> None:
    """A loop that looks often after its threads, and waits briefly before it opens a camera."""
    monkeypatch.setattr("fer_edge.edge.pipeline._WATCH_S", 0.02)
    for name, seconds in (("_FIRST_S", 0.01), ("_LONGEST_S", 0.04), ("_POLL_S", 0.005)):
        monkeypatch.setattr(f"fer_edge.edge.keeper.{name}", seconds)


def wait_until(true: Callable[[], object], limit_s: float = HANG_S) -> None:
    """Return as soon as something is so; fail after a limit that only a hang reaches."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def is_gone(process: int) -> bool:
    """Whether the process of this number has ended, though perhaps nobody has asked how."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def write_clip(path: Path, count: int = 12, size_wh: tuple[int, int] = (320, 240)) -> Path:
    """A clip of the demo, every seventh frame of it."""
    demo = DemoCamera(size_wh=size_wh, lossless=True)
    codec = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, size_wh)
    assert writer.isOpened()
    for index in range(count):
        writer.write(demo.image(7 * index))
    writer.release()
    return path


def tiny_variant(edit: Callable[[schema.ModelT], object]) -> bytes:
    """:func:`tiny_tflite` with something changed in its flatbuffer's objects."""
    model = schema.ModelT.InitFromPackedBuf(tiny_tflite())
    edit(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def requantised(scale: float, zero_point: int) -> bytes:
    """The tiny model with other steps: its logits are still the pixels, as far as they reach."""

    def edit(model: schema.ModelT) -> None:
        for tensor in model.subgraphs[0].tensors:
            if tensor.type == schema.TensorType.INT8:
                tensor.quantization.scale = [scale]
                tensor.quantization.zeroPoint = [zero_point]

    return tiny_variant(edit)


def as_float(model: schema.ModelT) -> None:
    """Edit the tiny model into a float one."""
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT8:
            tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None


def with_input(*shape: int) -> Callable[[schema.ModelT], None]:
    """An edit that gives the tiny model another input, of which it still reads seven pixels."""

    def edit(model: schema.ModelT) -> None:
        model.subgraphs[0].tensors[0].shape = list(shape)

    return edit


def row_of(*pixels: int, size_wh: tuple[int, int] = (48, 48)) -> np.ndarray:
    """A face, uint8 ``(1, height, width)``, whose first pixels are the tiny model's logits."""
    face = np.full((1, *size_wh[::-1]), 99, np.uint8)
    face[0, 0, : len(pixels)] = pixels
    return face


class StoppedClock:
    """A module's clock, in seconds, that stands still until a test moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: str):
        self.now = 1000.0
        monkeypatch.setattr(f"{module}.time", self)

    def monotonic(self) -> float:
        return self.now
