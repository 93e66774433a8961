"""Frames a second of the loop beside the package ``fer``, over the same pictures on the same core.

The clips are decoded and scaled once, and every contender loads the same pictures before its clock
starts. Total frames over total time, with one setting for all clips; contenders take turns.
"""

import dataclasses
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.contract_file import load_model
from ..edge.detectors import open_detector
from ..edge.errors import UsageError
from ..edge.models import model_path
from .clips import Clip, read_clip, read_film
from .host import Host, choose_cores, read_host
from .protocol import FilmRequest, Run, ask
from .results import command_line
from .versus import Score, score_all

SCHEMA_VERSION = 1
SIZE_WH = (640, 480)
PEER = "fer"
_PEER_SCRIPT = Path(__file__).parent / "baselines" / "fer_package.py"


@dataclass(frozen=True, slots=True)
class Contender:
    """One of our settings.

    Attributes:
        name: As reports call it.
        detector: Name of the detector.
        detect_every: It looks at every so many frames.
        wanted: Frames a second over those of the peer, at least.
    """

    name: str
    detector: str
    detect_every: int
    wanted: float


OURS = (
    Contender("yunet", "yunet", 1, 5.0),
    Contender("yunet every 3rd", "yunet", 3, 8.0),
    Contender("fer-face", "fer-face", 1, 6.0),
    Contender("fer-face every 3rd", "fer-face", 3, 6.0),
    Contender("haar", "haar", 1, 3.0),
    Contender("haar every 3rd", "haar", 3, 3.0),
)


@dataclass(frozen=True, slots=True)
class PeersPlan:
    """What to measure.

    Attributes:
        clips: Video files.
        peer_python: The interpreter of the environment that ``fer`` is installed in.
        detectors: Which of ours take part, by their detector.
        detector_model: Of fer-face where it is a ``.tflite``, else of YuNet; None is what is here.
        model: Name or file of the ``.tflite``; None is the default model.
        read_all: Whether faces that are small, cut or blurred are read, too.
        repeat: Runs of each contender.
        cores: How many cores to pin each run to.
    """

    clips: Sequence[Path]
    peer_python: Path
    detectors: Sequence[str] = ("yunet", "haar")
    detector_model: Path | None = None
    model: str | None = None
    read_all: bool = False
    repeat: int = 3
    cores: int = 1

    @property
    def ours(self) -> tuple[Contender, ...]:
        """Our contenders, in the order of each round."""
        return tuple(one for one in OURS if one.detector in self.detectors)

    def model_of(self, detector: str) -> Path | None:
        """The model file of a detector; None is the one that it finds itself."""
        given = self.detector_model
        kind = "fer-face" if given and given.suffix.lower() == ".tflite" else "yunet"
        return given if detector == kind else None

    @property
    def command(self) -> str:
        """The command line that repeats it."""
        return command_line(
            "peers",
            self.clips,
            # Where it lies says nothing to others.
            peer_python="PYTHON",
            detector=tuple(self.detectors),
            detector_model=self.detector_model,
            model=self.model,
            read_all=self.read_all,
            repeat=self.repeat,
            cores=self.cores,
        )


@dataclass(frozen=True, slots=True)
class PeersReport:
    """One measurement with all that is needed to judge and to repeat it; no paths of the machine.

    Attributes:
        date: When it began, UTC, ISO 8601.
        command: What repeats it.
        clips: What was played.
        size_wh: Pictures were scaled to this, in pixels.
        cores: Number of cores that each run was pinned to.
        model: Name and digest of the ``.tflite``, from its contract.
        host: Where.
        versions: By contender, of Python and the libraries.
        wanted: By contender, the gain that is wanted at least.
        runs: All of them, in their order.
        scores: The peer first, then ours.
    """

    date: str
    command: str
    clips: tuple[Clip, ...]
    size_wh: tuple[int, int]
    cores: int
    model: tuple[str, str]
    host: Host
    versions: Mapping[str, Mapping[str, str]]
    wanted: Mapping[str, float]
    runs: tuple[Run, ...]
    scores: tuple[Score, ...]

    @property
    def others_cores(self) -> float:
        """Cores that other processes used in the worst of the runs, on average over it."""
        return max(run.others_cores for run in self.runs)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, schema version 1."""
        fields = dataclasses.asdict(self)
        for run in fields["runs"]:
            # Once a contender is enough.
            del run["versions"]
        return {"schema": SCHEMA_VERSION, "benchmark": "peers", **fields}


def measure(
    plan: PeersPlan,
    *,
    play: Callable[[FilmRequest, Sequence[str] | None], Run] = ask,
    progress: Callable[[str], None] = lambda line: None,
) -> PeersReport:
    """Play the clips with every contender in turn, ``repeat`` times.

    Args:
        plan: What to measure.
        play: Makes one run, with the program that it is told or our own; a process by default.
        progress: Is told of each run before it starts.

    Raises:
        CameraError: A clip is missing or no video.
        ModelError: A model cannot be used.
        UsageError: There are fewer cores, no such Python, or nothing to compare.
        FerEdgeError: A run failed.
    """
    cores = choose_cores(os.sched_getaffinity(0), plan.cores)
    if not plan.peer_python.is_file():
        raise UsageError(
            f"There is no Python {plan.peer_python}: expected the interpreter of an environment "
            f"with the package fer (docs/benchmarks.md has the recipe)."
        )
    if not plan.ours:
        raise UsageError(f"Expected a detector of ours, got {list(plan.detectors)}.")
    path = model_path(plan.model)
    _, contract = load_model(path)
    for detector in {one.detector for one in plan.ours}:
        # A model that is missing is told here, not by a child.
        open_detector(detector, model=plan.model_of(detector))
    host, date = read_host(), datetime.now(UTC).isoformat(timespec="seconds")
    # -I: neither the user's folder nor our environment lends its modules to the other one.
    peer = (str(plan.peer_python), "-I", str(_PEER_SCRIPT))
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as folder:
        clips, request = _prepare(plan, cores, str(path), Path(folder))
        for number in range(1, plan.repeat + 1):
            progress(f"run {number} of {plan.repeat}: {PEER}")
            runs.append(play(request, peer))
            for one in plan.ours:
                progress(f"run {number} of {plan.repeat}: {one.name}")
                mine = dataclasses.replace(
                    request,
                    contender=one.name,
                    detector=one.detector,
                    detector_model=_text(plan.model_of(one.detector)),
                    detect_every=one.detect_every,
                )
                runs.append(play(mine, None))
    return PeersReport(
        date=date,
        command=plan.command,
        clips=clips,
        size_wh=SIZE_WH,
        cores=len(cores),
        model=(path.name, contract.content_sha256),
        host=host,
        versions={run.contender: run.versions for run in runs},
        wanted={one.name: one.wanted for one in plan.ours},
        runs=tuple(runs),
        scores=score_all(runs, baseline=PEER, ours=[one.name for one in plan.ours]),
    )


def _prepare(
    plan: PeersPlan, cores: tuple[int, ...], model: str, folder: Path
) -> tuple[tuple[Clip, ...], FilmRequest]:
    """Decode and scale the clips into files, and make the request that plays them with the peer."""
    clips: list[Clip] = []
    files: list[str] = []
    rates: list[float] = []
    for number, path in enumerate(plan.clips):
        clips.append(read_clip(path))
        film = read_film(path, SIZE_WH)
        files.append(str(folder / f"{number}.npy"))
        rates.append(film.fps)
        np.save(files[-1], np.stack(film.pictures))
    request = FilmRequest(
        contender=PEER,
        films=tuple(files),
        fps=tuple(rates),
        cores=cores,
        model=model,
        read_all=plan.read_all,
    )
    return tuple(clips), request


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
