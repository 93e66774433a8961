"""What a .tflite holds, read without an interpreter: the good, and a sentence for the others."""

import hashlib
import struct
import time

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.convert import describe as module
from fer_edge.convert.describe import TfliteModel, describe, read_model_file
from fer_edge.convert.edgetpu import preflight
from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.errors import ModelError
from fer_edge.edge.models import model_path

from ..conftest import a_contract, tiny_tflite
from .builders import Graph, a_net, one_operation

SHIPPED = model_path("fast").read_bytes()
SMALL = embed_contract(tiny_tflite(), a_contract())


# ------------------------------------------------------------------------------------- good files


def test_inputs_and_outputs_are_those_that_an_interpreter_reports():
    interpreter = Interpreter(model_content=SHIPPED)
    model = describe(SHIPPED)

    for ours, theirs in (
        (model.inputs, interpreter.get_input_details()),
        (model.outputs, interpreter.get_output_details()),
    ):
        assert [tensor.index for tensor in ours] == [detail["index"] for detail in theirs]
        for tensor, detail in zip(ours, theirs, strict=True):
            assert tensor.name == detail["name"]
            assert tensor.shape == tuple(detail["shape"])
            assert tensor.dtype == np.dtype(detail["dtype"]).name.upper()
            assert (tensor.scales[0], tensor.zero_points[0]) == detail["quantization"]


def test_tensors_are_those_that_an_interpreter_reports():
    details = {d["index"]: d for d in Interpreter(model_content=SHIPPED).get_tensor_details()}

    for tensor in describe(SHIPPED).tensors:
        detail = details[tensor.index]
        quantised = detail["quantization_parameters"]
        assert (tensor.name, tensor.shape) == (detail["name"][:300], tuple(detail["shape"]))
        np.testing.assert_array_equal(tensor.scales, quantised["scales"])


def test_the_constants_are_the_weights():
    interpreter = Interpreter(model_content=SHIPPED)
    interpreter.allocate_tensors()

    dense = next(item for item in describe(SHIPPED).operations if item.name == "FULLY_CONNECTED")
    weights = dense.inputs[1]

    expected = interpreter.get_tensor(weights.index)
    np.testing.assert_array_equal(weights.values().reshape(weights.shape), expected)


def test_the_shipped_model_is_what_its_net_is():
    model = describe(SHIPPED)

    assert [item.name for item in model.operations].count("CONV_2D") == 21
    assert model.operations[0].options["activation"] == "RELU"
    assert model.operations[0].version == 3
    assert [item.name for item in model.operations].count("ADD") == 6
    assert model.operations[-1].name == "FULLY_CONNECTED"
    assert model.inputs[0].shape == (1, 48, 48, 1)
    assert model.metadata[-1] == "fer_edge.contract"
    assert model.minimum_runtime == "1.14.0"
    assert model.subgraph_count == 1
    assert model.size_bytes == len(SHIPPED)
    assert model.sha256 == hashlib.sha256(SHIPPED).hexdigest()
    # Weights in one byte, biases in four; the axes of MEAN too.
    parameters = sum(
        int(np.prod(tensor.shape))
        for tensor in model.tensors
        if tensor.dtype == "INT8" and tensor.data
    )
    biases = sum(len(tensor.data) for tensor in model.tensors if tensor.dtype == "INT32")
    assert model.weight_bytes == parameters + biases


def test_an_open_size_is_seen():
    model = describe(one_operation("RELU", (1, 8), (1, 8), signature=(-1, 8)))

    assert model.inputs[0].is_dynamic
    assert model.inputs[0].shape == (1, 8)
    assert model.inputs[0].signature == (-1, 8)
    assert not model.outputs[0].is_dynamic


def test_an_optional_tensor_that_is_left_out_is_none():
    dense = describe(a_net()).operations[-1]

    assert dense.inputs[2] is None


def test_a_custom_operation_goes_by_its_own_name():
    (operation,) = describe(one_operation("edgetpu-custom-op", (1, 8), (1, 8))).operations

    assert (operation.name, operation.is_custom) == ("edgetpu-custom-op", True)


def test_lists_among_the_options_are_read():
    content = one_operation(
        "SQUEEZE", (1, 5, 10), (5, 10), options="SqueezeOptions", squeezeDims=[0]
    )

    assert describe(content).operations[0].options == {"squeeze_dims": (0,)}


def test_an_operation_that_this_schema_does_not_know_has_its_number():
    model = schema.ModelT.InitFromPackedBuf(tiny_tflite())
    model.operatorCodes[0].builtinCode = 9999
    assert describe(pack(model)).operations[0].name == "operator 9999"


def test_control_characters_of_a_name_do_not_reach_a_terminal():
    graph = Graph()
    source = graph.tensor((1, 8), name="\x1b[2Jpixels\x07\n")
    graph.operation("RELU", [source], [graph.tensor((1, 8))])

    assert describe(graph.build([source], [1])).tensors[0].name == "\ufffd[2Jpixels\ufffd\ufffd"


def test_only_the_first_graph_is_described_and_the_others_counted():
    graph = Graph()
    source, target = graph.tensor((1, 8)), graph.tensor((1, 8))
    graph.operation("RELU", [source], [target])

    model = describe(graph.build([source], [target], subgraphs=3))

    assert (model.subgraph_count, len(model.operations)) == (3, 1)


# ---------------------------------------------------------------------------------- damaged files


def pack(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def is_read(content: bytes) -> bool:
    """Whether it is read; any error but ModelError fails the test."""
    try:
        read_everything(describe(content, "m.tflite"))
    except ModelError as exc:
        said = str(exc)
    else:
        return True
    assert "m.tflite" in said
    return False


def read_everything(model: TfliteModel) -> None:
    """All that can be asked of it, as inspect does."""
    preflight(model)
    model.multiply_adds, model.weight_bytes, model.minimum_runtime  # noqa: B018
    for tensor in model.tensors:
        tensor.values()
        assert tensor.name.isprintable()


def test_every_changed_byte_of_a_small_model_is_read_or_refused():
    for byte in range(len(SMALL)):
        for value in (0, 0x7F, 0x80, 0xFF):
            changed = bytearray(SMALL)
            changed[byte] = value
            is_read(bytes(changed))


def test_every_truncation_is_read_or_refused():
    for length in range(0, len(SMALL), 3):
        is_read(SMALL[:length])


@given(st.data())
def test_changed_words_of_a_net_are_read_or_refused(data):
    """Offsets and lengths are four bytes: turn several of them into others."""
    changed = bytearray(NET)
    for _ in range(data.draw(st.integers(1, 6))):
        place = 4 * data.draw(st.integers(0, len(NET) // 4 - 1))
        value = data.draw(st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 8, 2**31, 2**32 - 1]))
        struct.pack_into("<I", changed, place, value)
    is_read(bytes(changed))


NET = a_net()


@given(st.binary(max_size=400))
def test_random_bytes_behind_the_identifier_are_refused(rest):
    assert not is_read(b"\x14\0\0\0TFL3" + rest)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"PK\3\4" + bytes(64), SMALL[:15]])
def test_what_is_no_model_is_told_by_its_first_bytes(content):
    with pytest.raises(ModelError, match=r"m is no TFLite model: expected the identifier TFL3"):
        describe(content, "m")


def with_many(count: int) -> bytes:
    """A small file of which one list has so many entries, all of them the same tensor."""
    builder = flatbuffers.Builder(1024)
    name = builder.CreateString("tensor")
    schema.TensorStart(builder)
    schema.TensorAddName(builder, name)
    tensor = schema.TensorEnd(builder)
    builder.StartVector(4, count, 4)
    for _ in range(count):
        builder.PrependUOffsetTRelative(tensor)
    tensors = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graph = schema.SubGraphEnd(builder)
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    schema.BufferStart(builder)
    buffer = schema.BufferEnd(builder)
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(buffer)
    buffers = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    schema.ModelAddBuffers(builder, buffers)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def test_tables_that_point_at_the_same_bytes_are_read_only_so_often():
    assert len(describe(with_many(100)).tensors) == 100
    # A file of 240 KB; one with a list in each tensor could claim gigabytes.
    content = with_many(60_000)

    started = time.monotonic()
    with pytest.raises(ModelError, match="claim more than 2,000,000 entries"):
        describe(content)

    assert time.monotonic() - started < 10


def test_a_list_that_claims_four_billion_entries_is_refused_at_once():
    content = with_many(100)
    place = content.index(struct.pack("<I", 100))
    changed = content[:place] + struct.pack("<I", 0xFFFFFFFF) + content[place + 4 :]

    started = time.monotonic()
    assert not is_read(changed)
    assert time.monotonic() - started < 5


def test_a_shape_of_more_sizes_than_make_sense_is_refused():
    with pytest.raises(ModelError, match="a list of 17 numbers where at most 16 make sense"):
        describe(one_operation("RELU", (1,) * 17, (1, 8)))


def test_a_graph_without_tensors_that_it_names_is_refused():
    model = schema.ModelT.InitFromPackedBuf(tiny_tflite())
    model.subgraphs[0].operators[0].inputs = [77]
    with pytest.raises(ModelError, match="there is no tensor 77"):
        describe(pack(model))


def test_a_negative_tensor_is_not_taken_from_the_end():
    model = schema.ModelT.InitFromPackedBuf(tiny_tflite())
    model.subgraphs[0].outputs = [-2]
    with pytest.raises(ModelError, match="there is no tensor -2"):
        describe(pack(model))


def test_a_buffer_outside_the_file_is_refused():
    model = schema.ModelT.InitFromPackedBuf(tiny_tflite())
    model.buffers[1].data = None
    model.buffers[1].offset, model.buffers[1].size = 1 << 40, 16
    with pytest.raises(ModelError, match="buffer 1 lies outside the file"):
        describe(pack(model))


def test_a_constant_behind_the_flatbuffer_is_read():
    model = schema.ModelT.InitFromPackedBuf(tiny_tflite())
    model.buffers[1].data = None
    model.buffers[1].offset, model.buffers[1].size = 2000, 16
    content = pack(model).ljust(2000, b"\0") + np.arange(4, dtype="<i4").tobytes()

    assert describe(content).tensors[1].values().tolist() == [0, 1, 2, 3]


def test_a_model_without_a_graph_is_refused():
    model = schema.ModelT.InitFromPackedBuf(tiny_tflite())
    model.subgraphs = []
    with pytest.raises(ModelError, match="holds no graph"):
        describe(pack(model))


# ------------------------------------------------------------------------------------------ files


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.tflite"
    path.write_bytes(SMALL)
    monkeypatch.setattr(module, "MAX_MODEL_BYTES", 100)

    with pytest.raises(ModelError, match=r"large\.tflite has 0 MB: expected .* at most"):
        read_model_file(path)
    with pytest.raises(ModelError, match="is larger than"):
        describe(SMALL)


def test_a_file_that_is_not_there_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match=r"Cannot read the model .*gone: No such file"):
        read_model_file(tmp_path / "gone")
