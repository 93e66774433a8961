"""What calls cost on an Edge TPU, and what those of detectors cost."""

import hashlib

import cv2
import numpy as np
import pytest

from fer_edge.benchmarks import latency, latency_child
from fer_edge.benchmarks.latency import LatencyPlan, measure_latency
from fer_edge.benchmarks.latency_child import (
    DetectorRun,
    measure_detectors,
    measure_model,
)
from fer_edge.edge import tpu
from fer_edge.edge.detectors import haar
from fer_edge.edge.errors import ModelError

from ..edge.tpu_standins import compile_standin, write_models
from .conftest import write_clip
from .latency_runs import CALLS, PERCENTILES, STEPS, a_run, a_session

pytestmark = pytest.mark.usefixtures("left_as_before")


# ------------------------------------------------------------------------------------ an Edge TPU


@pytest.fixture
def library(tmp_path_factory, monkeypatch) -> None:
    """A stand-in in the place of libedgetpu; no detectors beside it."""
    monkeypatch.setattr(latency, "standard_detectors", tuple)
    standin = compile_standin(tmp_path_factory.mktemp("standin"))
    monkeypatch.setenv(tpu.LIBRARY_VARIABLE, str(standin))


def test_an_edge_tpu_is_measured_where_there_is_one(library, tmp_path):
    session = a_session()
    path = write_models(tmp_path)

    measure_latency(session, LatencyPlan([str(path)], (1,)))

    document = session.document()
    found = {f.metric: f for f in document.figures if f.of.get("device") == "tpu"}
    assert set(found) == CALLS | STEPS
    assert found["invoke_p50"].of["threads"] == 1
    assert "Edge TPU" not in document.missing


def test_why_a_model_is_not_on_the_edge_tpu_is_told_without_its_folder(library, tmp_path):
    session = a_session()
    path = write_models(tmp_path, with_compiled=False)

    measure_latency(session, LatencyPlan([str(path)], (1,)))

    why = session.document().missing["tiny on the Edge TPU"]
    assert why.startswith("there is no tiny_edgetpu.tflite, which `fer-edge convert tiny.tflite")
    assert str(tmp_path) not in str(session.document().to_dict())
    assert {f.of.get("device", "cpu") for f in session.document().figures} == {"cpu"}


def test_an_edge_tpu_that_was_lost_meanwhile_gives_no_figures(library, tmp_path, monkeypatch):
    path = write_models(tmp_path)
    real = latency_child.open_classifier

    def losing(*arguments, **keywords):
        classifier = real(*arguments, **keywords)
        classifier.accelerator._end(0.0)
        return classifier

    monkeypatch.setattr(latency_child, "open_classifier", losing)

    with pytest.raises(ModelError, match="lost while it was measured"):
        measure_model(a_run(path, device="tpu"))


def test_an_edge_tpu_that_is_lost_in_a_later_repetition_has_no_figures(
    library, tmp_path, monkeypatch
):
    path, asked = write_models(tmp_path), []
    real = latency.run_in_child

    def losing(measure, run, **limits):
        asked.append(run)
        if run.device == "tpu" and len(asked) > 2:
            raise ModelError(f"The Edge TPU of {path} was lost while it was measured.")
        return real(measure, run, **limits)

    monkeypatch.setattr(latency, "run_in_child", losing)
    monkeypatch.setattr(latency._DetectorJob, "measure", lambda self: None)
    session = a_session()

    measure_latency(session, LatencyPlan([str(path)], (1,)))

    document = session.document()
    assert [run.device for run in asked] == ["cpu", "tpu", "cpu", "tpu"]
    assert "was lost" in document.missing["tiny on the Edge TPU"]
    assert {f.of.get("device", "cpu") for f in document.figures} == {"cpu"}


# -------------------------------------------------------------------------------------- detectors


def test_detectors_over_sizes():
    run = DetectorRun((("haar", None, (160, 120)), ("haar", None, (640, 480))), None, 0.01, 0.0)

    small, large = measure_detectors(run)

    assert (small["detector"], small["size"], large["size"]) == ("haar", "160x120", "640x480")
    assert set(small["took"]) == {"load", *(f"detect_{p}" for p in PERCENTILES)}
    assert small["took"]["detect_p50"] < large["took"]["detect_p50"]
    assert large["faces"] > 0


def test_a_clip_is_not_enlarged(tmp_path):
    # The first size that it fits into shows it whole; the others would show the same.
    clip = write_clip(tmp_path / "clip.avi", 6, (176, 100))
    settings = tuple(("haar", None, size_wh) for size_wh in ((160, 120), (192, 144), (320, 240)))

    rows = measure_detectors(DetectorRun(settings, str(clip), 0.01, 0.0))

    assert [row.get("why", "") for row in rows] == [
        "",
        "",
        "the pictures have 176x100 and are not enlarged",
    ]


def test_a_damaged_detector_is_missing_and_its_folder_is_not_named(
    no_children, tiny_model, tmp_path, monkeypatch
):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"This is no YuNet.")
    answer = latency.run_in_child

    def answered(measure, run, **limits):
        return measure(run) if isinstance(run, DetectorRun) else answer(measure, run, **limits)

    monkeypatch.setattr(latency, "run_in_child", answered)
    session = a_session()

    measure_latency(session, LatencyPlan([str(tiny_model)], (1,), detector_model=bad))

    document = session.document()
    assert document.missing["yunet at 320x240"].startswith("bad.onnx is no YuNet that OpenCV")
    assert str(tmp_path) not in str(document.to_dict())
    assert any(figure.of.get("detector") == "haar" for figure in document.figures)
    digest = hashlib.sha256(bad.read_bytes()).hexdigest()
    assert digest in [model.sha256 for model in document.models if model.name == "yunet"]


def test_a_detector_that_cannot_be_had_is_missing(monkeypatch):
    def no_cascades(self, **_):
        raise ModelError("This OpenCV has no Haar cascades")

    monkeypatch.setattr(haar.HaarDetector, "__init__", no_cascades)

    (row,) = measure_detectors(DetectorRun((("haar", None, (160, 120)),), None, 0.01, 0.0))

    assert row["why"] == "This OpenCV has no Haar cascades"


def test_a_clip_without_faces_is_measured_and_said(no_children, tiny_model, tmp_path, monkeypatch):
    clip = tmp_path / "grey.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 30, (160, 120))
    for _ in range(6):
        writer.write(np.full((120, 160, 3), 90, np.uint8))
    writer.release()
    answer = latency.run_in_child

    def answered(measure, run, **limits):
        return measure(run) if isinstance(run, DetectorRun) else answer(measure, run, **limits)

    monkeypatch.setattr(latency, "run_in_child", answered)
    session = a_session()

    measure_latency(session, LatencyPlan([str(tiny_model)], (1,), clip=clip))

    (note,) = session.document().notes
    assert note.startswith("No detector found a face in grey.avi")
    # Over which pictures, as what a detector takes depends on them.
    looked = [figure for figure in session.document().figures if figure.metric == "detect_p50"]
    assert {figure.of["clip"] for figure in looked} == {"grey.avi"}
    assert {len(str(figure.of["clip_sha256"])) for figure in looked} == {12}
