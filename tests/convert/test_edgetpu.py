"""What would run on the Edge TPU, and its compiler: a stand-in that writes the public format."""

import dataclasses

import pytest

from fer_edge.convert.describe import describe
from fer_edge.convert.edgetpu import (
    COMPILED,
    adopt,
    compile_commands,
    compile_edgetpu,
    find_compiler,
    preflight,
)
from fer_edge.convert.edgetpu_log import parse_log
from fer_edge.edge.contract_file import embed_contract, read_contract
from fer_edge.edge.errors import FerEdgeError, GateError, ModelError
from fer_edge.edge.models import model_path, shipped_models

from ..conftest import a_contract
from ..edge.conftest import is_gone, wait_until
from .builders import Graph, a_net, conv_weights, ints, one_operation
from .fake_edgetpu_compiler import VERSION, compiled

SHIPPED = model_path("fast").read_bytes()
NET = embed_contract(a_net(), a_contract(quantisation={"type": "int8"}))
RELU = 1


# -------------------------------------------------------------------------------------- preflight


def where(content: bytes) -> str:
    """A letter an operation: T on the Edge TPU, c on the CPU, - on the CPU behind the cut."""
    told = preflight(describe(content))
    return "".join(
        "T" if place.on_tpu else "-" if place.behind_cut else "c" for place in told.placements
    )


@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_model_runs_on_the_edge_tpu_as_a_whole(name):
    content = model_path(name).read_bytes()

    told = preflight(describe(content))

    assert told.share == 1.0
    assert told.on_tpu == len(told.placements)
    assert not told.uncertain
    assert not told.refused
    assert told.fits == "yes"
    assert told.weight_bytes == describe(content).weight_bytes


# A net, and where its operations run: CONV_2D, (one after it), MAX_POOL_2D, MEAN, FULLY_CONNECTED.
PARTITIONS = [
    (a_net(), "TTTT"),
    (a_net(after="HARD_SWISH"), "Tc---"),  # all behind the first that is not supported
    (a_net(pool_activation=RELU), "Tc--"),
    (a_net(after="RELU6"), "TTTTT"),
    (a_net(head="float"), "cTTTT"),  # its QUANTIZE stays behind on the CPU, and cuts nothing
    (a_net(tail="float"), "TTTTc"),
    (a_net(head="float", tail="float"), "cTTTTc"),
]


@pytest.mark.parametrize(("content", "expected"), PARTITIONS)
def test_one_run_of_operations_is_mapped(content, expected):
    assert where(content) == expected


def test_the_share_is_of_the_multiply_adds_in_front_of_the_cut():
    model = describe(a_net(after="HARD_SWISH"))

    convolution, dense = 8 * 8 * 8 * 9 * 4, 7 * 8
    assert preflight(model).share == convolution / (convolution + dense)


def test_a_file_that_the_compiler_cannot_read_does_not_run_there_at_all():
    graph = Graph()
    tensors = [graph.tensor((1, 8)) for _ in range(3)]
    graph.operation("RELU", tensors[:1], tensors[1:2])
    graph.operation("ADD", [tensors[1], tensors[1]], tensors[2:], version=5)  # TensorFlow 2.13

    told = preflight(describe(graph.build(tensors[:1], tensors[2:])))

    assert told.on_tpu == 0
    assert [item.rule.name for item in told.refused] == ["version"]
    assert told.placements[0].behind_cut


def test_what_only_may_keep_it_off_is_counted_and_told():
    content = one_operation("SQUEEZE", (5, 1, 10), (5, 10))
    told = preflight(describe(content))

    assert told.on_tpu == 1
    assert [place.findings[0].rule.name for place in told.uncertain] == ["squeeze"]


def test_a_model_without_products_has_no_share():
    assert preflight(describe(one_operation("RELU", (1, 8), (1, 8)))).share == 0.0


def dense_of(megabytes: float) -> bytes:
    side = int((megabytes * 2**20) ** 0.5)
    weights = ((side, side), "INT8", 1)
    return one_operation(
        "FULLY_CONNECTED", (1, side), (1, side), weights, options="FullyConnectedOptions"
    )


@pytest.mark.parametrize(
    ("megabytes", "fits"), [(0.1, "yes"), (5.9, "yes"), (7, "perhaps"), (7.95, "no"), (20, "no")]
)
def test_weights_fit_as_the_logs_of_the_compiler_say(megabytes, fits):
    assert preflight(describe(dense_of(megabytes))).fits == fits


def test_weights_that_stay_on_the_cpu_need_no_room():
    told = preflight(describe(a_net(after="HARD_SWISH")))

    assert told.weight_bytes == 8 * 9 * 4 + 8 * 4


def test_a_compiled_model_is_known_as_one():
    assert preflight(describe(compiled(NET, 4))).is_compiled
    assert not preflight(describe(NET)).is_compiled


def test_the_commands_quote_the_name_of_the_file():
    commands = compile_commands("my model's.tflite")

    assert commands.count("""'my model'"'"'s.tflite'""") == 2
    assert "edgetpu_compiler -s" in commands
    assert "coral-edgetpu-stable main" in commands
    assert "-m 13" in commands


# ------------------------------------------------------------------------------------ its output

PUBLIC_LOG = """\
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 2653 ms.

Input model: yolov5s-int8.tflite
Input size: 7.31MiB
Output model: yolov5s-int8_edgetpu.tflite
Output size: 8.34MiB
On-chip memory used for caching model parameters: 6.08MiB
On-chip memory remaining for caching model parameters: 0.00B
Off-chip memory used for streaming uncached model parameters: 1.70MiB
Number of Edge TPU subgraphs: 2
Total number of operations: 294
Operation log: yolov5s-int8_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU.
Number of operations that will run on Edge TPU: 289
Number of operations that will run on CPU: 5

Operator                       Count      Status

RESIZE_NEAREST_NEIGHBOR        2          Mapped to Edge TPU
CONCATENATION                  1          Operation is otherwise supported, but not mapped due to \
some unspecified limitation
MAX_POOL_2D                    286        Mapped to Edge TPU
RESHAPE                        4          More than one subgraph is not supported
Compilation child process completed within timeout period.
Compilation succeeded!
"""


def test_a_public_log_is_read():
    log = parse_log(PUBLIC_LOG)

    assert log.version == "16.0.384591198"
    assert (log.on_tpu, log.on_cpu) == (289, 5)
    assert log.cached_bytes == int(6.08 * 2**20)
    assert log.streamed_bytes == int(1.70 * 2**20)
    assert [(item.name, item.count) for item in log.operations if not item.on_tpu] == [
        ("CONCATENATION", 1),
        ("RESHAPE", 4),
    ]
    assert log.operations[1].status.endswith("some unspecified limitation")


def test_a_log_without_the_two_counts_is_of_a_model_that_was_mapped_whole():
    lines = [line for line in PUBLIC_LOG.splitlines() if "that will run on" not in line]
    lines = [line for line in lines if "subgraph is" not in line and "otherwise" not in line]

    log = parse_log("\n".join(lines))

    assert (log.on_tpu, log.on_cpu) == (288, 0)


OTHER_FORMATS = [
    "",
    "Done.",
    "Edge TPU Compiler version 16.0\n",  # and nothing behind it
    PUBLIC_LOG.replace("Compiler version", "Compiler"),
]


@pytest.mark.parametrize("text", OTHER_FORMATS, ids=range(len(OTHER_FORMATS)))
def test_an_output_of_another_format_is_refused(text):
    with pytest.raises(ModelError, match="not in the known format"):
        parse_log(text)


# ---------------------------------------------------------------------------------- the compiler


def test_a_model_is_compiled_and_keeps_its_contract(compiler):
    compiler("all")

    made = compile_edgetpu(NET)

    assert [item.name for item in describe(made.content).operations] == [COMPILED]
    contract, before = read_contract(made.content), read_contract(NET)
    assert contract == made.contract
    assert contract.quantisation == {"type": "int8", "edgetpu_compiler": VERSION}
    assert contract.parent_sha256 == before.content_sha256
    # All else is the int8 model's.
    same = dataclasses.replace(
        contract,
        quantisation=before.quantisation,
        parent_sha256=before.parent_sha256,
        content_sha256=before.content_sha256,
    )
    assert same == before
    assert (made.log.version, made.log.on_tpu, made.log.on_cpu) == (VERSION, 4, 0)
    assert made.log.streamed_bytes == 0


def test_the_shipped_model_goes_through_it(compiler):
    compiler("all")

    made = compile_edgetpu(SHIPPED, minimum_runtime=13)

    assert made.contract.labels == read_contract(SHIPPED).labels
    assert made.log.on_tpu == 32
    assert "(for runtime 13)" in made.log.text


def test_the_package_in_the_custom_operation_is_not_touched(compiler):
    compiler("all")

    assert b"DarwiNN package " * 20 in compile_edgetpu(NET).content


@pytest.mark.parametrize("mode", ["newer", "table in the log"])
def test_other_ways_to_say_that_all_is_well_are_understood(compiler, mode):
    compiler(mode)

    made = compile_edgetpu(NET)

    assert made.log.on_tpu == 4
    assert made.contract.quantisation["edgetpu_compiler"] == (
        "17.2.1" if mode == "newer" else VERSION
    )


def test_operations_that_stay_on_the_cpu_are_named_with_their_reasons(compiler):
    compiler("partial:1")
    model = embed_contract(a_net(after="HARD_SWISH"), a_contract())

    with pytest.raises(GateError) as caught:
        compile_edgetpu(model)

    said = str(caught.value)
    assert caught.value.exit_code == 5
    assert "4 of 5 operations stay on the CPU" in said
    assert "1 HARD_SWISH: Operation not supported" in said
    assert "1 MEAN: More than one subgraph is not supported" in said
    assert "HARD_SWISH (1): HARD_SWISH is not in the table" in said


def test_they_may_be_allowed(compiler):
    compiler("partial:2")

    made = compile_edgetpu(NET, allow_cpu=True)

    names = [item.name for item in describe(made.content).operations]
    assert names == [COMPILED, "MEAN", "FULLY_CONNECTED"]
    assert (made.log.on_tpu, made.log.on_cpu) == (2, 2)
    assert read_contract(made.content).name == "tiny"


# What the compiler does, and what is said of it.
FAILURES = [
    ("internal", "Internal compiler error. Aborting!"),
    ("large", "Compilation failed due to large activation tensors in model"),
    ("unread", "opcode 'CONV_2D' version '6'.*Model could not be parsed"),
    ("crash", r"did not compile the model \(ended with SIGSEGV\): it said nothing"),
    ("no log", "not in the known format.*Done"),
    ("garbage", "What the compiler wrote is no TFLite model"),
    ("lies", "says that 3 operations run on the Edge TPU and 1 on the CPU, but its file has 1"),
    ("other scales", "has other outputs than the one that went in"),
]


@pytest.mark.parametrize(("mode", "said"), FAILURES)
def test_a_compiler_that_fails_is_a_model_error_with_its_words(compiler, mode, said):
    compiler(mode)

    with pytest.raises(ModelError, match=said) as caught:
        compile_edgetpu(NET)

    assert caught.value.exit_code == 4


def test_a_compiler_that_hangs_is_stopped_with_its_children(compiler, tmp_path):
    compiler("hang")
    note = tmp_path / "note"

    # On a busy machine the time may be up before it has a child.
    for limit_s in (1, 5, 25):
        with pytest.raises(ModelError, match=f"did not end within {limit_s} s and was stopped"):
            compile_edgetpu(NET, timeout_s=limit_s)
        if note.exists() and note.read_text():
            break

    wait_until(lambda: is_gone(int(note.read_text())))


def test_a_failure_comes_with_what_the_preflight_finds(compiler):
    compiler("unread")
    content = one_operation(
        "CONV_2D",
        (1, 8, 8, 4),
        (1, 8, 8, 8),
        conv_weights(8, 4),
        ints(*[0] * 8),
        options="Conv2DOptions",
        version=6,
    )

    with pytest.raises(ModelError, match=r"preflight finds:\n.*version 6 is of TensorFlow 2\.9"):
        compile_edgetpu(embed_contract(content, a_contract()))


def test_without_a_compiler_the_commands_for_elsewhere_are_given(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_compiler() is None
    with pytest.raises(FerEdgeError, match=r"no edgetpu_compiler on the PATH(.|\n)*docker run"):
        compile_edgetpu(NET)


def test_a_compiler_that_cannot_be_started_is_told(compiler, tmp_path):
    (tmp_path / "bin" / "edgetpu_compiler").write_text("#!/no/such/shell\n")

    with pytest.raises(ModelError, match="cannot be started"):
        compile_edgetpu(NET)


def test_nothing_is_compiled_without_a_contract(compiler):
    compiler("all")

    with pytest.raises(ModelError, match="carries no fer-edge contract"):
        compile_edgetpu(a_net())


# --------------------------------------------------------------------------- compiled elsewhere


def test_a_model_that_was_compiled_elsewhere_gets_its_contract_back():
    whole, contract = adopt(compiled(NET, 4), NET)

    assert read_contract(whole) == contract
    assert contract.quantisation["edgetpu_compiler"] == "unknown"
    assert contract.labels == a_contract().labels


def test_another_model_is_not_given_the_contract():
    with pytest.raises(ModelError, match="has other outputs than the one that went in"):
        adopt(compiled(NET, 4, shift=3.0), NET)
    with pytest.raises(ModelError, match="has other inputs than the one that went in"):
        adopt(compiled(SHIPPED, 12), NET)
    with pytest.raises(ModelError, match="has no edgetpu-custom-op"):
        adopt(a_net(), NET)
