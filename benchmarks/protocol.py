"""A measurement in a process of its own: what it is asked, what it answers, and what went wrong.

Each run gets a fresh process, pinned to its cores before anything that counts them is imported.
The question goes in as JSON on standard input, the answer comes back as JSON in a file: native
libraries print to both standard output and standard error whatever they are told.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..edge import errors
from ..edge.errors import FerEdgeError

# Lines of a dead process's last words that go into the message; a traceback's end says it all.
_LAST_LINES = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What a child process is asked to measure.

    Attributes:
        contender: Name of a way to do it (``contenders.py``).
        clip: The video.
        keras: The float model, for contenders that use it.
        model: The ``.tflite``, for those that use that.
        loops: How often the clip is played.
        cores: CPUs that the process is pinned to.
    """

    contender: str
    clip: str
    keras: str
    model: str
    loops: int
    cores: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FilmRequest:
    """What a child process is asked to play from memory.

    Attributes:
        contender: What to call it.
        films: ``.npy`` files, uint8 ``(frames, height, width, 3)`` blue-green-red each.
        fps: Frames a second of each of them, where it was filmed.
        cores: CPUs that the process is pinned to.
        model: The ``.tflite``.
        detector: Name of the detector.
        detector_model: Its file; None is the one that was fetched, or none.
        detect_every: The detector looks at every so many frames.
        read_all: Whether faces that are small, cut or blurred are read, too.
    """

    contender: str
    films: tuple[str, ...]
    fps: tuple[float, ...]
    cores: tuple[int, ...]
    model: str = ""
    detector: str = ""
    detector_model: str | None = None
    detect_every: int = 1
    read_all: bool = False


def read_request(text: str) -> Request | FilmRequest:
    """In the child: read back what :func:`ask` sent."""
    fields = json.loads(text)
    kind = FilmRequest if "films" in fields else Request
    # JSON has lists only.
    tuples = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return kind(**{**fields, **tuples})


@dataclass(frozen=True, slots=True)
class Run:
    """What a child process measured; its start-up and warm-up are not in it.

    Attributes:
        contender: Who it was.
        frames: Frames played, over all loops.
        faces: Faces found in them.
        marked: Of these, those that were not read because they were small, cut or blurred.
        seconds: Wall-clock time.
        cpu_seconds: Time of all its threads on all cores.
        others_cores: Mean number of cores that other processes used meanwhile, anywhere on the
            machine; above a tenth or two the figures are worth little.
        cores: CPUs that it was pinned to.
        versions: Of what it ran on, by name.
    """

    contender: str
    frames: int
    faces: int
    seconds: float
    cpu_seconds: float
    others_cores: float
    cores: tuple[int, ...]
    versions: Mapping[str, str]
    marked: int = 0

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)


def ask(request: Request | FilmRequest, command: Sequence[str] | None = None) -> Run:
    """Measure in a child process and wait for it.

    Args:
        request: What to measure.
        command: The program, which gets the answer's path as its last argument; None is
            ``contenders.py`` under this Python.

    Raises:
        FerEdgeError: The child failed; of the class that it failed with, where that is one of ours.
    """
    # -P: the folder that the user stands in must not lend its modules to the child.
    command = command or [sys.executable, "-P", "-m", f"{__package__}.contenders"]
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as folder:
        answer = Path(folder) / "answer.json"
        done = subprocess.run(
            [*command, str(answer)],
            input=json.dumps(dataclasses.asdict(request)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # A frame's worth of garbage from a C library must not end the parent.
            errors="replace",
            env=_environment(),
            check=False,
        )
        text = answer.read_text() if answer.is_file() else None
    return read_answer(request.contender, done.returncode, done.stderr, text)


def read_answer(contender: str, code: int, stderr: str, text: str | None) -> Run:
    """Turn what a child left into its run, or into an error.

    Args:
        contender: Who was asked.
        code: Its exit code; negative is a signal.
        stderr: What it wrote to standard error.
        text: Its answer, or None where it left none.

    Raises:
        FerEdgeError: It failed, or did not come to an answer.
    """
    if text is None:
        words = " | ".join(stderr.strip().splitlines()[-_LAST_LINES:]) or "it said nothing"
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        raise FerEdgeError(f"The process of {contender!r} {how} without an answer: {words}")
    fields = json.loads(text)
    if "error" in fields:
        kind = getattr(errors, fields["error"], None)
        if isinstance(kind, type) and issubclass(kind, FerEdgeError):
            raise kind(fields["message"])
        raise FerEdgeError(
            f"The process of {contender!r} failed: {fields['error']}: {fields['message']}"
        )
    return Run(**{**fields, "cores": tuple(fields["cores"])})


def write_answer(path: Path, answer: Run | Exception) -> None:
    """In the child: leave the run, or the error that came instead."""
    if isinstance(answer, Run):
        fields = answer.to_dict()
    else:
        fields = {"error": type(answer).__name__, "message": str(answer)}
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(fields))
    # Renamed when it is whole, so that a child killed while writing has left no answer.
    partial.replace(path)


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # What is compared is what cores can do; a GPU that happens to be there would join in.
        "CUDA_VISIBLE_DEVICES": "-1",
    }
