"""What calls cost: the processes that measure, and the figures that are made of their answers."""

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fer_edge.benchmarks import latency, latency_child
from fer_edge.benchmarks.latency import LatencyPlan, measure_latency
from fer_edge.benchmarks.latency_child import (
    ModelRun,
    measure_model,
)
from fer_edge.benchmarks.rules import FULL, QUICK, Effort
from fer_edge.convert import keras_backend
from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.errors import CameraError, ModelError, UsageError
from fer_edge.edge.sidecar import write_sidecar

from ..conftest import a_contract, tiny_tflite
from .conftest import write_clip
from .latency_runs import CALLS, NO_LIBRARY, SHORT, STEPS, a_run, a_session

pytestmark = pytest.mark.usefixtures("left_as_before")


# ------------------------------------------------------------------------------------ the whole


def test_the_whole_of_it_in_processes_of_their_own(tiny_model, tmp_path):
    stranger = tmp_path / "stranger.tflite"
    stranger.write_bytes(tiny_tflite())
    clip = write_clip(tmp_path / "clip.avi", 12, (192, 144))
    said = []
    session = a_session(said=said)

    measure_latency(session, LatencyPlan([str(tiny_model), str(stranger)], (1,), clip=clip))

    document = session.document()
    detectors = {"fer_face_320x240_int8", "fer_face_192x144_int8"}
    assert {model.name for model in document.models} == {"tiny", "stranger", *detectors}
    found = {(f.of.get("model") or f.of["detector"], f.metric): f for f in document.figures}
    assert {metric for name, metric in found if name == "tiny"} == {
        "size",
        "memory",
        *CALLS,
        *STEPS,
    }
    # What to cut for it, nobody knows.
    assert {metric for name, metric in found if name == "stranger"} == {"size", "memory", *CALLS}
    assert "no contract" in document.missing["classify step of stranger"]
    for name in ("tiny", "stranger"):
        figure = found[name, "invoke_p50"]
        assert figure.of == {"model": name, "runtime": "litert", "device": "cpu", "threads": 1}
        assert (figure.section, figure.unit, figure.better) == ("latency", "ms", "lower")
        assert len(figure.values) == SHORT.repeats
        assert min(figure.values) > 0
        assert 0 < found[name, "invoke_p50"].median <= found[name, "invoke_p99"].median
        assert found[name, "memory"].median > 0
    # The step holds the invoke.
    assert found["tiny", "classify_p50"].median > found["tiny", "invoke_p50"].median
    assert found["tiny", "size"].values == (tiny_model.stat().st_size / 1e6,)
    looked = [f.of for f in document.figures if f.metric == "detect_p50"]
    sizes = [of["size"] for of in looked if of["detector"] == "haar"]
    assert sizes == ["160x120", "192x144"]
    # Which has models of two sizes, whatever the pictures have.
    sizes = [of["size"] for of in looked if of["detector"] == "fer-face"]
    assert sizes == ["320x240", "192x144"]
    # They are not enlarged.
    assert "192x144" in document.missing["haar at 640x480"]
    assert "fer-edge models get yunet" in document.missing["yunet"]
    assert NO_LIBRARY not in document.missing["Edge TPU"]
    assert "latency: about 1 min on a desktop" in said
    assert str(tmp_path) not in str(document.to_dict())


def test_repetitions_take_turns_and_become_values_in_their_order(no_children, tiny_model):
    said = []
    session = a_session(Effort(repeats=3, seconds=1.0, warmup_s=0.5), said)

    measure_latency(session, LatencyPlan([str(tiny_model), "fast"], (2, 1, 1)))

    figures = [f for f in session.document().figures if f.metric == "invoke_p50"]
    assert [(f.of["model"], f.of["threads"]) for f in figures] == [
        ("tiny", 2),
        ("tiny", 1),
        ("fast", 2),
        ("fast", 1),
    ]
    # Each answer of these processes tells its place among all of them: two models, the detectors.
    assert [f.values for f in figures[1:3]] == [(10.0, 40.0, 70.0), (20.0, 50.0, 80.0)]
    runs = [run for run in no_children.asked if isinstance(run, ModelRun)]
    assert len(runs) == 6
    assert {(run.threads, run.seconds, run.warmup_s) for run in runs} == {((2, 1), 1.0, 0.5)}
    assert "latency: 2 of 3: tiny on the CPU, threads 2 and 1" in said


def test_a_disturbed_model_is_invalid_and_no_other(no_children, tiny_model):
    session = a_session()
    no_children.answers["cpu"] = {"others_cores": 1.5}

    measure_latency(session, LatencyPlan([str(tiny_model), "fast"], (1,)))

    invalid = {
        f.of.get("model"): f.invalid for f in session.document().figures if f.metric == "load"
    }
    assert invalid == {
        "tiny": "disturbed: other processes used 1.5 cores",
        "fast": "",
        None: "",
    }


def test_more_threads_than_cores_are_missing(no_children, tiny_model):
    session = a_session()

    measure_latency(session, LatencyPlan([str(tiny_model)], (1, 2, 4)))

    assert session.document().missing["4 threads"] == "this process may use 2 cores"
    assert {run.threads for run in no_children.asked if isinstance(run, ModelRun)} == {(1, 2)}


def test_only_more_threads_than_cores_is_a_mistake(no_children, tiny_model):
    with pytest.raises(UsageError, match=r"--threads 4: this process may use 2 cores"):
        measure_latency(a_session(), LatencyPlan([str(tiny_model)], (8, 4)))

    assert no_children.asked == []


@pytest.mark.parametrize(
    ("plan", "error", "said"),
    [
        (LatencyPlan(["no.tflite"]), ModelError, "There is no model"),
        (LatencyPlan(["fast"], clip=Path("no.mp4")), CameraError, "There is no clip no.mp4"),
        (LatencyPlan(["fast"], clip=Path(__file__)), CameraError, "is no video"),
        (LatencyPlan(["fast"], detector_model=Path("no")), ModelError, "no model file no"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(no_children, plan, error, said):
    session = a_session()

    with pytest.raises(error, match=said):
        measure_latency(session, plan)

    assert no_children.asked == []
    assert session.document().figures == ()


@pytest.mark.parametrize(("effort", "sizes"), [(QUICK, 3), (FULL, 5)])
def test_quick_leaves_sizes_out(no_children, tiny_model, effort, sizes):
    measure_latency(a_session(effort), LatencyPlan([str(tiny_model)], (1,)))

    settings = no_children.asked[-1].settings
    assert len([size_wh for name, _, size_wh in settings if name == "haar"]) == sizes
    # Of our own, those that ship, or the larger one alone.
    assert [size_wh for name, _, size_wh in settings if name == "fer-face"] == [
        (320, 240),
        (192, 144),
    ][: 1 if effort.quick else 2]


def test_it_says_how_long_a_full_run_takes(no_children):
    said = []

    measure_latency(a_session(FULL, said), LatencyPlan())

    (line,) = [line for line in said if "about" in line]
    # Two models, two threads, twelve sizes, five times ten seconds each.
    assert line == "latency: about 15 min on a desktop"


def test_an_interruption_keeps_what_was_finished(no_children, tiny_model, monkeypatch):
    answer = latency.run_in_child

    def interrupted(measure, run, **limits):
        if len(no_children.asked) == 3:
            raise KeyboardInterrupt
        return answer(measure, run, **limits)

    monkeypatch.setattr(latency, "run_in_child", interrupted)
    session = a_session()

    with pytest.raises(KeyboardInterrupt):
        measure_latency(session, LatencyPlan([str(tiny_model)], (1,)))

    document = session.document()
    assert document.state == "interrupted"
    found = {figure.metric: figure.values for figure in document.figures}
    # Both repetitions of the model, and the only one of the detectors.
    assert (found["invoke_p50"], found["detect_p50"]) == ((10.0, 30.0), (2.0,))


# --------------------------------------------------------------------------------------- a model


def test_another_kind_of_model_is_only_invoked(tmp_path):
    path = tmp_path / "detector.tflite"
    path.write_bytes(embed_contract(tiny_tflite(), a_contract(kind="face-detector")))

    answer = measure_model(a_run(path, threads=(1, 2)))

    assert [set(row) for row in answer["rows"]] == [CALLS, CALLS]
    assert "Expected an emotion-classifier" in answer["why"]


def test_the_percentiles_are_in_order_and_in_milliseconds(tiny_model):
    answer = measure_model(a_run(tiny_model, seconds=0.05))

    (row,) = answer["rows"]
    assert 0 < row["invoke_p50"] <= row["invoke_p90"] <= row["invoke_p99"] < 1000
    assert row["invoke_p50"] < row["classify_p50"] < 1000
    assert row["load"] > 0
    assert (answer["runtime"], answer["why"]) == ("litert", "")


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float32])
def test_random_inputs_use_the_whole_range(dtype):
    inputs = latency_child._random((1, 48, 48, 1), np.dtype(dtype))

    assert (inputs.shape, inputs.dtype) == ((1, 48, 48, 1), dtype)
    assert float(inputs.max()) - float(inputs.min()) > 240


class FakeKeras:
    """Keras and TensorFlow, as far as they are called; its logits are the first seven pixels."""

    input_shape = (None, 48, 48, 1)

    def __init__(self):
        self.threads: list[int] = []
        #: Before the answers of the next calls, the last one first.
        self.pauses_s: list[float] = []
        self.inputs: list[np.ndarray] = []
        kept = SimpleNamespace(
            set_intra_op_parallelism_threads=self.threads.append,
            set_inter_op_parallelism_threads=lambda _: None,
        )
        self.tensorflow = SimpleNamespace(config=SimpleNamespace(threading=kept))

    def __call__(self, inputs: np.ndarray, *, training: bool) -> np.ndarray:
        assert not training
        self.inputs.append(inputs)
        time.sleep(self.pauses_s.pop() if self.pauses_s else 0)
        return inputs[:, 0, :7, 0]


@pytest.fixture
def keras(monkeypatch) -> FakeKeras:
    fake = FakeKeras()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(keras_backend, "import_keras", lambda: (fake, fake.tensorflow))
    monkeypatch.setattr(keras_backend, "require_harmless", lambda path: None)
    monkeypatch.setattr(keras_backend, "load_keras_model", lambda path: fake)
    return fake


@pytest.mark.parametrize(
    ("contract", "channels", "shape", "metrics"),
    [
        (True, 1, (1, 48, 48, 1), CALLS | STEPS),
        (True, 3, (1, 48, 48, 3), CALLS | STEPS),
        (False, 1, (1, 48, 48, 1), CALLS),
    ],
)
def test_a_keras_model(tmp_path, keras, contract, channels, shape, metrics):
    path = tmp_path / "model.keras"
    path.write_bytes(b"weights")
    if contract:
        write_sidecar(path, a_contract(input_channels=channels))

    answer = measure_model(a_run(path, contract=contract, threads=(2,)))

    (row,) = answer["rows"]
    assert (set(row), answer["runtime"]) == (metrics, "keras")
    assert keras.threads == [2]
    assert keras.inputs[0].shape == shape
    assert keras.inputs[0].max() > 1, "raw pixels: the scaling is the network's first layer"
    assert bool(answer["why"]) == (not contract)


def test_the_first_call_and_the_warm_up_do_not_count(tmp_path, keras):
    path = tmp_path / "model.keras"
    path.write_bytes(b"weights")
    # The first call, one of warm-up, and the only one that counts.
    keras.pauses_s = [0.0, 0.3, 0.3]

    (row,) = measure_model(a_run(path, contract=False, seconds=0.0))["rows"]

    assert row["first_invoke"] >= 300
    assert row["invoke_p99"] < 150


def test_keras_takes_a_process_for_each_number_of_threads(no_children, tmp_path, monkeypatch):
    monkeypatch.setattr(
        latency,
        "find_models",
        lambda _: [latency.GivenModel("master", tmp_path / "model.keras", True)],
    )
    (tmp_path / "model.keras").write_bytes(b"weights")
    monkeypatch.setattr(latency, "find_spec", lambda _: object())
    session = a_session()

    measure_latency(session, LatencyPlan(["x"], (1, 2)))

    runs = [run.threads for run in no_children.asked if isinstance(run, ModelRun)]
    assert runs == [(1,), (2,), (1,), (2,)]
    memory = [f for f in session.document().figures if f.metric == "memory"]
    assert len(memory) == 1


def test_keras_without_tensorflow_is_missing(no_children, tmp_path, monkeypatch):
    monkeypatch.setattr(
        latency,
        "find_models",
        lambda _: [latency.GivenModel("master", tmp_path / "model.keras", True)],
    )
    (tmp_path / "model.keras").write_bytes(b"weights")
    monkeypatch.setattr(latency, "find_spec", lambda _: None)
    session = a_session()

    measure_latency(session, LatencyPlan(["x"], (1,)))

    assert 'pip install "fer-edge[train]"' in session.document().missing["master"]
    # The file has its size all the same.
    assert session.document().figures[0].metric == "size"
