"""Interpreters: which runtime is taken, and how each of them fails where it does not fit."""

import sys
from types import ModuleType

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from fer_edge.edge.errors import FerEdgeError, ModelError
from fer_edge.edge.runtime import RUNTIMES, Delegate, load_network

from ..conftest import tiny_tflite
from ..convert.builders import Graph
from ..convert.fake_edgetpu_compiler import compiled
from .conftest import as_float, requantised, row_of, tiny_variant

LITERT, TFLITE = RUNTIMES["litert"], RUNTIMES["tflite"]


def int8_row(*pixels: int) -> np.ndarray:
    return (row_of(*pixels) ^ 0x80).view(np.int8)[..., np.newaxis]


class Runtime:
    """A module with an interpreter: a working one, or one that fails in its own way."""

    def __init__(self, fails_with: Exception | None = None):
        self.built = 0
        runtime = self

        class Building(Interpreter):
            def __init__(self, **options):
                runtime.built += 1
                runtime.options = options
                if fails_with is not None:
                    raise fails_with
                super().__init__(**options)

        self.module = ModuleType("fake")
        self.module.Interpreter = Building


@pytest.fixture
def install(monkeypatch):
    """Put a stand-in in the place of a runtime's module; None takes the module away."""

    def put(module_name: str, runtime: Runtime | None) -> Runtime | None:
        monkeypatch.setitem(sys.modules, module_name, runtime.module if runtime else None)
        return runtime

    return put


# -------------------------------------------------------------------------------------- one model


@pytest.mark.parametrize("runtime", ["auto", "litert"])
def test_an_int8_model_runs_and_its_answer_is_dequantised(runtime):
    network = load_network(tiny_tflite(), runtime=runtime)

    answer = network.run(int8_row(0, 1, 127, 128, 200, 254, 255))

    assert network.runtime == "litert"
    assert (network.input.shape, network.input.dtype) == ((1, 48, 48, 1), np.int8)
    assert (network.input.scale, network.input.zero_point) == (1.0, -128)
    assert answer.dtype == np.float32
    assert answer.tolist() == [[0, 1, 127, 128, 200, 254, 255]]


# Each case: scale and zero point of the output, an int8 answer, what it means.
STEPS = [(1.0, -128, -128, 0.0), (0.5, 0, 100, 50.0), (0.25, -20, -120, -25.0), (2.0, 127, 127, 0)]


@pytest.mark.parametrize(("scale", "zero_point", "step", "meant"), STEPS)
def test_the_answer_is_scaled_by_the_output_tensor(scale, zero_point, step, meant):
    network = load_network(requantised(scale, zero_point))
    tensor = np.full((1, 48, 48, 1), step, np.int8)

    assert network.run(tensor).tolist() == [[meant] * 7]


def test_a_float_model_runs():
    network = load_network(tiny_variant(as_float))
    tensor = np.full((1, 48, 48, 1), 0.1, np.float32)

    assert (network.input.dtype, network.output.scale) == (np.float32, 0)
    assert network.run(tensor).tolist() == [[np.float32(0.1)] * 7]


def test_an_answer_is_a_copy_that_the_next_call_leaves_alone():
    network = load_network(tiny_tflite())

    first = network.run(int8_row(1, 2, 3))
    second = network.run(int8_row(7, 8, 9))

    assert first[0, :3].tolist() == [1, 2, 3]
    assert second[0, :3].tolist() == [7, 8, 9]


# Each case: an input that is not the model's.
WRONG_INPUTS = [
    np.zeros((1, 40, 40, 1), np.int8),
    np.zeros((2, 48, 48, 1), np.int8),
    np.zeros((48, 48), np.int8),
    np.zeros((1, 48, 48, 1), np.float32),
]


@pytest.mark.parametrize("tensor", WRONG_INPUTS, ids=lambda t: f"{t.dtype}{t.shape}")
def test_an_input_of_another_shape_or_type_is_refused(tensor):
    with pytest.raises(ModelError, match="could not be run"):
        load_network(tiny_tflite()).run(tensor)


def two_outputs(model) -> None:
    model.subgraphs[0].outputs = [5, 3]


def two_inputs(model) -> None:
    second = model.subgraphs[0].tensors[0]
    model.subgraphs[0].tensors.append(second)
    model.subgraphs[0].inputs = [0, 6]


def test_a_model_with_more_than_one_input_is_refused():
    with pytest.raises(ModelError, match="one input, it has 2"):
        load_network(tiny_variant(two_inputs))


def test_each_of_several_outputs_is_dequantised_with_its_own_scale():
    graph = Graph()
    source = graph.tensor((1, 4), scales=(1.0,), zero_point=-128)
    coarse = graph.tensor((1, 4), scales=(2.0,), zero_point=-100)
    fine = graph.tensor((1, 4), scales=(0.5,), zero_point=0)
    for made in (coarse, fine):
        graph.operation("QUANTIZE", [source], [made], version=2, options="QuantizeOptions")
    network = load_network(graph.build([source], [coarse, fine]))

    found = network.run_all(np.array([[-128, -118, -68, -28]], np.int8))

    assert [output.scale for output in network.outputs] == [2.0, 0.5]
    # The coarse one cuts off above 454, the fine one above 63.5.
    assert [row.tolist() for row in found] == [[[0, 10, 60, 100]], [[0, 10, 60, 63.5]]]


def test_a_model_with_several_outputs_has_no_only_one():
    network = load_network(tiny_variant(two_outputs))

    with pytest.raises(ModelError, match="one output, it has 2"):
        network.run(int8_row(0))
    with pytest.raises(ModelError, match="one output, it has 2"):
        _ = network.output


# Each case: bytes that are no model.
NO_MODELS = [b"", b"This is no model.", tiny_tflite()[:300], b"\0" * 1000]


@pytest.mark.parametrize("content", NO_MODELS, ids=lambda c: f"{len(c)} bytes")
def test_bytes_that_are_no_model_are_refused_at_once(content, install):
    other = install(TFLITE, Runtime())

    with pytest.raises(ModelError, match="litert refuses the model"):
        load_network(content)

    assert other.built == 0, "another runtime cannot mend a bad model"


def test_an_operation_that_the_runtime_does_not_know_is_refused():
    def newer(model) -> None:
        model.operatorCodes[1].version = 999

    with pytest.raises(ModelError, match="litert refuses the model"):
        load_network(tiny_variant(newer))


def test_a_model_for_the_edge_tpu_is_answered_with_what_to_pass():
    with pytest.raises(ModelError, match=r"compiled for the Edge TPU.*the compiled one beside it"):
        load_network(compiled(tiny_tflite(), 2))


def test_a_delegate_is_loaded_with_its_options_by_the_runtime_that_is_used(install):
    runtime, asked = install(TFLITE, Runtime()), []

    def load_delegate(library: str, options: dict):
        asked.append((library, options))
        raise ValueError(f"Failed to load delegate from {library}\n")

    runtime.module.load_delegate = load_delegate
    with pytest.raises(
        ModelError, match=r"cannot be used: Failed to load delegate from lib\.so\.$"
    ):
        load_network(
            tiny_tflite(), runtime="tflite", delegate=Delegate("lib.so", {"device": "usb"})
        )

    assert asked == [("lib.so", {"device": "usb"})]
    assert runtime.built == 0


def test_the_runtime_s_chatter_stays_off_the_terminal(capfd):
    load_network(tiny_tflite())

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_set_explicitly(threads, install):
    runtime = install(LITERT, Runtime())

    load_network(tiny_tflite(), threads=threads)

    assert runtime.options["num_threads"] == threads


def test_one_thread_is_the_default(install):
    runtime = install(LITERT, Runtime())

    load_network(tiny_tflite())

    assert runtime.options["num_threads"] == 1


# ----------------------------------------------------------------------------------- two runtimes

# How a runtime that does not fit this machine fails, as seen on real ones.
UNFIT = [
    None,  # not installed
    Runtime(ImportError("/lib/aarch64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found")),
    Runtime(OSError("libstdc++.so.6: cannot open shared object file")),
    Runtime(AttributeError("_ARRAY_API not found")),  # tflite-runtime under numpy 2
    Runtime(SystemError("<built-in method InterpreterWrapper> returned a result with an error")),
    Runtime(RuntimeError("module compiled against ABI version 0x1000009 but NumPy has 0x2000000")),
]
unfit = pytest.mark.parametrize("unfit", UNFIT, ids=range(len(UNFIT)))


@unfit
def test_where_litert_does_not_fit_tflite_is_taken(install, unfit):
    install(LITERT, unfit)
    tflite = install(TFLITE, Runtime())

    network = load_network(tiny_tflite())

    assert network.runtime == "tflite"
    assert tflite.built == 1
    assert network.run(int8_row(5)).shape == (1, 7)


@unfit
def test_where_none_fits_both_are_named_with_their_reasons(install, unfit):
    install(LITERT, unfit)
    install(TFLITE, Runtime(AttributeError("_ARRAY_API not found")))

    with pytest.raises(ModelError, match=r"pip install ai-edge-litert.*tflite-runtime") as caught:
        load_network(tiny_tflite())

    assert "litert: " in str(caught.value)
    assert "tflite: _ARRAY_API not found" in str(caught.value)


def test_litert_is_taken_where_both_fit(install):
    litert, tflite = install(LITERT, Runtime()), install(TFLITE, Runtime())

    assert load_network(tiny_tflite()).runtime == "litert"
    assert (litert.built, tflite.built) == (1, 0)


# Each case: the runtime asked for, the other one, which works and must not be taken.
ASKED = [("litert", LITERT, TFLITE), ("tflite", TFLITE, LITERT)]


@pytest.mark.parametrize(("name", "asked", "other"), ASKED)
def test_a_runtime_that_is_asked_for_is_not_replaced(install, name, asked, other):
    install(asked, None)
    working = install(other, Runtime())

    with pytest.raises(ModelError, match=f"No TFLite runtime works here \\({name}: "):
        load_network(tiny_tflite(), runtime=name)

    assert working.built == 0


def test_an_unknown_runtime_is_answered_with_the_known_ones():
    with pytest.raises(FerEdgeError, match=r"litert.*tflite"):
        load_network(tiny_tflite(), runtime="tensorrt")
