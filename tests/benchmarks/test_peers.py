"""Comparing the loop with the package fer: the order of runs, the report, and the real children."""

import io
import json
import os
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fer_edge.benchmarks import peers
from fer_edge.benchmarks.clips import FilmCamera, read_film
from fer_edge.benchmarks.contenders import play_films
from fer_edge.benchmarks.host import read_busy_seconds
from fer_edge.benchmarks.peers import OURS, PEER, PeersPlan, measure
from fer_edge.benchmarks.protocol import FilmRequest, Run, ask
from fer_edge.benchmarks.report import print_peers
from fer_edge.edge import quality
from fer_edge.edge.errors import CameraError, FerEdgeError, ModelError, UsageError

from ..conftest import write_folder
from .conftest import a_run, write_clip

# A package fer as far as the benchmark needs it: two faces in every picture.
FAKE_FER = """
import cv2

class FER:
    def __init__(self, mtcnn):
        assert mtcnn is False
    def detect_emotions(self, picture):
        assert cv2.getNumThreads() == 1
        assert picture.shape == (480, 640, 3)
        return [{"box": [0, 0, 9, 9], "emotions": {"happy": 1.0}}] * 2
"""


@pytest.fixture
def plan(clip: Path, tiny_model: Path) -> Callable[..., PeersPlan]:
    """A plan with these fields changed; with Haar alone, which is everywhere."""

    def build(**changes) -> PeersPlan:
        fields = {
            "clips": [clip],
            "peer_python": Path(sys.executable),
            "detectors": ("haar",),
            "model": str(tiny_model),
        }
        return PeersPlan(**{**fields, **changes})

    return build


def fake_play(request: FilmRequest, command) -> Run:
    """Ours is four times as fast, and leaves ten faces unread."""
    peer = command is not None
    return a_run(request.contender, 10.0 if peer else 40.0, marked=0 if peer else 10)


def test_contenders_take_turns_over_the_same_pictures(plan, tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / "one.avi", 3), write_clip(tmp_path / "two.avi", 2)]
    asked: list[FilmRequest] = []
    commands: list[tuple[str, ...] | None] = []

    def noting(request: FilmRequest, command) -> Run:
        shapes = [np.load(film).shape for film in request.films]
        assert shapes == [(3, 480, 640, 3), (2, 480, 640, 3)]
        asked.append(request)
        commands.append(command)
        return fake_play(request, command)

    measure(plan(clips=clips, repeat=2), play=noting)

    assert [request.contender for request in asked] == [PEER, "haar", "haar every 3rd"] * 2
    # All else is the same for everybody.
    assert len({(r.films, r.fps, r.cores, r.model, r.read_all) for r in asked}) == 1
    assert asked[0].fps == (30.0, 30.0)
    assert len(asked[0].cores) == 1
    assert not Path(asked[0].films[0]).exists()
    assert commands[1] is None
    assert commands[0][:2] == (sys.executable, "-I")
    assert Path(commands[0][2]).name == "fer_package.py"


def test_our_settings(plan, yunet_file: Path) -> None:
    asked: list[FilmRequest] = []

    def noting(request: FilmRequest, command) -> Run:
        asked.append(request)
        return fake_play(request, command)

    both = plan(detectors=("yunet", "haar"), detector_model=yunet_file, repeat=1, read_all=True)
    report = measure(both, play=noting)

    found = [(r.detector, r.detect_every, r.detector_model) for r in asked[1:]]
    model = str(yunet_file)
    assert found == [("yunet", 1, model), ("yunet", 3, model), ("haar", 1, None), ("haar", 3, None)]
    assert all(request.read_all for request in asked)
    chosen = {one.name: one.wanted for one in OURS if one.detector in ("yunet", "haar")}
    assert report.wanted == chosen


@pytest.mark.parametrize(
    ("file", "of"),
    [("faces.tflite", "fer-face"), ("faces.TFLITE", "fer-face"), ("yunet.onnx", "yunet")],
)
def test_a_model_file_goes_to_the_detector_of_its_kind(plan, file: str, of: str) -> None:
    detectors = ("yunet", "fer-face", "haar")

    made = plan(detectors=detectors, detector_model=Path(file))

    assert {name: made.model_of(name) for name in detectors} == {
        **dict.fromkeys(detectors),
        of: Path(file),
    }


def test_report_is_whole_and_names_no_folder(plan, tmp_path: Path) -> None:
    report = measure(plan(repeat=2), play=fake_play)

    text = json.dumps(report.to_dict())
    document = json.loads(text)
    assert document["benchmark"] == "peers"
    assert [clip["name"] for clip in document["clips"]] == ["faces.avi"]
    assert document["size_wh"] == [640, 480]
    assert document["versions"] == {
        name: {"python": "3.11"} for name in (PEER, "haar", "haar every 3rd")
    }
    assert [score["gain"] for score in document["scores"]] == pytest.approx([1, 4, 4])
    assert document["command"] == (
        "fer-edge benchmark peers faces.avi --peer-python PYTHON --detector haar "
        "--model tiny.tflite --repeat 2 --cores 1"
    )
    assert str(tmp_path) not in text
    assert str(plan().clips[0].parent) not in text


@pytest.mark.parametrize(("others", "notes"), [(0.1, 0), (0.75, 1)])
def test_table(plan, others: float, notes: int) -> None:
    def busy_play(request: FilmRequest, command) -> Run:
        return replace(fake_play(request, command), others_cores=others * (command is None))

    console = Console(file=io.StringIO(), width=100, record=True)

    print_peers(measure(plan(repeat=2), play=busy_play), console)

    text = " ".join(console.export_text().split())
    assert "haar 40.0 4.00 4.00-4.00 3 37.5 90 10" in text
    assert "fer: python 3.11" in text
    assert text.count("other processes used 0.75 cores") == notes


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"cores": 10_000}, UsageError, "--cores 10000"),
        ({"peer_python": Path("no/python")}, UsageError, "There is no Python no/python"),
        ({"detectors": ()}, UsageError, "Expected a detector"),
        ({"clips": [Path("missing.mp4")]}, CameraError, r"no clip missing\.mp4"),
        ({"model": "missing.tflite"}, ModelError, "There is no model"),
        (
            {"detectors": ("yunet",), "detector_model": Path("no.onnx")},
            ModelError,
            r"no model file no\.onnx",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_before_a_run(plan, changes, kind, message: str) -> None:
    with pytest.raises(kind, match=message):
        measure(plan(**changes), play=lambda *_: pytest.fail("a run was started"))


# ----------------------------------------------------------------------------------- the children


@pytest.fixture
def films(clip: Path, tmp_path: Path) -> FilmRequest:
    """A request for the clip, as the parent makes it, for our contender with Haar."""
    film = read_film(clip, (640, 480))
    path = tmp_path / "film.npy"
    np.save(path, np.stack(film.pictures))
    cores = tuple(sorted(os.sched_getaffinity(0)))
    return FilmRequest("haar", (str(path),), (film.fps,), cores, detector="haar")


@pytest.mark.parametrize(
    ("min_face_px", "read_all", "marked"),
    [
        (24.0, False, 0),
        # No face of the demo is so large, so all of them are marked …
        (1000.0, False, 10),
        # … unless all are to be read.
        (1000.0, True, 0),
    ],
)
def test_our_child_reads_every_face_or_counts_it(
    films: FilmRequest,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    min_face_px: float,
    read_all: bool,
    marked: int,
) -> None:
    limits = quality.QualityLimits(min_face_px)
    monkeypatch.setattr(quality, "QualityLimits", lambda: limits)

    run = play_films(replace(films, model=str(tiny_model), read_all=read_all))

    assert (run.frames, run.faces, run.marked) == (10, 10, marked)
    assert run.seconds > 0


def test_fewer_detections_deliver_as_many_frames(films: FilmRequest, tiny_model: Path) -> None:
    run = play_films(replace(films, model=str(tiny_model), detect_every=3))

    assert (run.frames, run.faces) == (10, 10)


def test_a_film_keeps_its_times(clip: Path) -> None:
    film = read_film(clip, (64, 48))

    with FilmCamera(film) as camera:
        read = list(iter(camera.read, None))

    assert [frame.index for frame in read] == list(range(10))
    assert [frame.time_ns for frame in read[:3]] == [0, 33_333_333, 66_666_667]
    assert read[0].size_wh == (64, 48)
    # Not a copy, which would cost us and not the other.
    assert read[3].image is film.pictures[3]


@pytest.fixture
def peer(tmp_path: Path) -> list[str]:
    """The program of the peer, with a stand-in for the package."""
    members = {"fer/__init__.py": b"", "fer/fer.py": FAKE_FER.encode()}
    for name in ("fer", "tensorflow"):
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        members[f"{name}-1.0.dist-info/METADATA"] = about.encode()
    write_folder(tmp_path / "site", members)
    # -I leaves out PYTHONPATH, as for the real one.
    program = f"""
import runpy, sys
sys.path.insert(0, {str(tmp_path / "site")!r})
runpy.run_path({str(peers._PEER_SCRIPT)!r}, run_name="__main__")
"""
    return [sys.executable, "-I", "-c", program]


def test_the_peers_child_answers(films: FilmRequest, peer: list[str]) -> None:
    core = max(films.cores)

    run = ask(replace(films, contender=PEER, cores=(core,)), peer)

    assert (run.contender, run.frames, run.faces, run.marked) == (PEER, 10, 20, 0)
    assert run.cores == (core,)
    assert run.others_cores >= 0
    assert {"python", "numpy", "opencv", "fer", "tensorflow"} == run.versions.keys()
    assert run.versions["fer"] == "1.0"


def test_a_python_without_the_package_says_so(films: FilmRequest) -> None:
    command = [sys.executable, "-I", str(peers._PEER_SCRIPT)]

    with pytest.raises(FerEdgeError, match="No module named 'fer'"):
        ask(replace(films, contender=PEER), command)


def test_the_peers_script_counts_the_others_as_we_do() -> None:
    counted = runpy.run_path(str(peers._PEER_SCRIPT))["_busy_seconds"]

    assert read_busy_seconds() <= counted() <= read_busy_seconds()
