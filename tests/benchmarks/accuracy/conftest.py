"""A file of labelled faces, a master and what was converted from it, and few distortions."""

from pathlib import Path

import pytest

from fer_edge.benchmarks import accuracy
from fer_edge.benchmarks.robustness import DISTORTIONS

from .runs import write_converted, write_data, write_master


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path)


@pytest.fixture
def keras(tmp_path: Path) -> Path:
    return write_master(tmp_path)


@pytest.fixture
def model(tmp_path: Path, keras: Path) -> Path:
    return write_converted(tmp_path, keras)


@pytest.fixture(autouse=True)
def three_distortions(monkeypatch):
    """One of each kind will do, but where all are asked for."""
    monkeypatch.setattr(accuracy, "DISTORTIONS", tuple(DISTORTIONS[at] for at in (0, 5, 7)))
