"""What the tests of accuracy share: a file of labelled faces, a master, and models made from it."""

from pathlib import Path

import numpy as np

from fer_edge.benchmarks.accuracy import AccuracyPlan, measure_accuracy
from fer_edge.benchmarks.document import Conditions, Document
from fer_edge.benchmarks.rules import FULL
from fer_edge.benchmarks.session import Session
from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.sidecar import write_sidecar

from ...conftest import EMOTIONS, a_contract, a_row, rows_of_each, tiny_tflite, write_csv, write_zip

TINY = a_contract(quantisation={"type": "int8"})


def a_face_of(named: str | int, usage: str, label: int) -> list[str]:
    """A row whose label is this and which the tiny model names so."""
    pixels = np.full((48, 48), 90)
    pixels[0, named if isinstance(named, int) else EMOTIONS.index(named)] = 250
    return a_row(label, usage, pixels=" ".join(map(str, pixels.ravel())))


def write_data(folder: Path) -> Path:
    """PublicTest: 14 images, two a class; the tiny model takes each second one for neutral."""
    rows = [a_face_of(which, "PublicTest", label) for label in range(7) for which in (label, 6)]
    return write_csv(folder / "fer.csv", [*rows_of_each(Training=1), *rows])


def write_master(folder: Path) -> Path:
    """A master, whose bytes nobody reads."""
    path = folder / "master.keras"
    write_zip(path, dict.fromkeys(("metadata.json", "config.json", "model.weights.h5"), b""))
    write_sidecar(path, a_contract())
    return path


def a_model(path: Path, **changes) -> Path:
    contract = {"quantisation": {"type": "int8"}, **changes}
    path.write_bytes(embed_contract(tiny_tflite(), a_contract(**contract)))
    return path


def write_converted(folder: Path, master: Path) -> Path:
    """What was converted from that master."""
    return a_model(
        folder / "small.tflite", parent_sha256=write_sidecar(master, TINY).content_sha256
    )


def a_session(effort=FULL, **options) -> Session:
    return Session("test", effort, conditions=Conditions, **options)


def measured(plan: AccuracyPlan, effort=FULL) -> Document:
    session = a_session(effort)
    measure_accuracy(session, plan)
    return session.document()


def plan_of(data: Path, *models: Path, **changes) -> AccuracyPlan:
    fields = {"models": tuple(map(str, models)), "curves": False, "with_keras": False}
    return AccuracyPlan(data, **{**fields, **changes})


def values(document: Document, kind: str, **of) -> dict[str, float]:
    """Metric to value of one model."""
    return {
        figure.metric: figure.median
        for figure in document.figures
        if figure.of["kind"] == kind and all(figure.of.get(key) == of[key] for key in of)
    }
