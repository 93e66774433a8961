"""Builders for the benchmarks: a clip of the demo's averaged faces, runs, and a tiny int8 model."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from fer_edge.benchmarks.protocol import Run
from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.contract_file import embed_contract

from ..conftest import a_contract, tiny_tflite


def write_clip(path: Path, frames: int, size_wh: tuple[int, int] = (320, 240)) -> Path:
    """Frames of the demo as a clip; motion JPEG, which every OpenCV writes and reads."""
    demo = DemoCamera(size_wh=size_wh, lossless=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, size_wh)
    assert writer.isOpened()
    for index in range(frames):
        writer.write(demo.image(index))
    writer.release()
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames; the face stands still in them."""
    return write_clip(tmp_path_factory.mktemp("clips") / "faces.avi", 10)


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A .tflite of under 2 KB with its contract inside."""
    path = tmp_path / "tiny.tflite"
    path.write_bytes(embed_contract(tiny_tflite(), a_contract()))
    return path


def a_run(contender: str = "tutorial", fps: float = 10.0, **changes) -> Run:
    """A run of 100 frames at this rate, with these fields changed."""
    fields = {
        "contender": contender,
        "frames": 100,
        "faces": 90,
        "seconds": 100 / fps,
        "cpu_seconds": 150 / fps,
        "others_cores": 0.0,
        "cores": tuple(sorted(os.sched_getaffinity(0))),
        "versions": {"python": "3.11"},
    }
    return Run(**{**fields, **changes})


@pytest.fixture
def left_as_before(monkeypatch) -> Iterator[None]:
    """What a child that measures latency changes of its process is put back in this one."""
    from . import latency_runs

    yield from latency_runs.left_as_before(monkeypatch)


@pytest.fixture
def no_children(monkeypatch) -> SimpleNamespace:
    """The processes answer at once, in this one; what was asked of them is in the list."""
    from . import latency_runs

    return latency_runs.answers_here(monkeypatch)
