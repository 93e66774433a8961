"""`fer-edge inspect`: what it says of good, foreign, damaged and hostile files, and its code."""

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys

import jsonschema
import pytest
from click.testing import CliRunner, Result

from fer_edge.convert import inspection
from fer_edge.edge.cli import cli
from fer_edge.edge.contract_file import embed_contract, read_contract
from fer_edge.edge.errors import ModelError
from fer_edge.edge.models import model_path

from ..conftest import a_contract, tiny_tflite
from .builders import Graph, a_net, one_operation
from .fake_edgetpu_compiler import compiled

SHIPPED = model_path("fast").read_bytes()
GOOD = embed_contract(a_net(), a_contract())
FOREIGN = a_net(after="HARD_SWISH")
AT = GOOD.index(b"pixels")
DAMAGED = GOOD[:AT] + b"q" + GOOD[AT + 1 :]

_NUMBER, _TEXT = {"type": "integer", "minimum": 0}, {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("schema_version", "file", "contract", "problem", "inputs", "outputs", "tensors"),
        *("operations", "operation_counts", "multiply_adds", "weight_bytes", "subgraphs"),
        *("metadata", "minimum_runtime", "runtimes", "edgetpu"),
    ],
    "properties": {
        "schema_version": {"const": 1},
        "file": {
            "type": "object",
            "required": ["path", "bytes", "sha256"],
            "properties": {"bytes": _NUMBER, "sha256": {"pattern": "^[0-9a-f]{64}$"}},
        },
        "contract": {
            "type": "object",
            "required": ["status", "content_sha256", "document"],
            "properties": {"status": {"enum": ["good", "none", "damaged"]}},
        },
        "problem": _MAYBE_TEXT,
        "inputs": {"type": "array", "minItems": 1},
        "outputs": {"type": "array", "minItems": 1},
        "tensors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "name", "shape", "dtype", "scales", "zero_points"],
            },
        },
        "operations": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "name", "version", "inputs", "outputs", "multiply_adds"],
            },
        },
        "operation_counts": {"type": "array"},
        "multiply_adds": _NUMBER,
        "weight_bytes": _NUMBER,
        "subgraphs": _NUMBER,
        "metadata": {"type": "array", "items": _TEXT},
        "minimum_runtime": {"type": "object"},
        "runtimes": {
            "type": "array",
            "items": {
                "properties": {
                    "outcome": {
                        "enum": ["runs", "loads", "refuses", "fails", "unusable", "absent"]
                    },
                }
            },
        },
        "edgetpu": {"type": ["object", "null"]},
    },
}


@pytest.fixture
def inspect(tmp_path, monkeypatch):
    """Inspects a file with these bytes, in its folder, as a user would type it."""
    monkeypatch.chdir(tmp_path)

    def call(content: bytes, *options: str) -> Result:
        (tmp_path / "m.tflite").write_bytes(content)
        return typed("m.tflite", *options)

    return call


def typed(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["inspect", *arguments], env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def read_json(result: Result) -> dict:
    document = json.loads(result.stdout)
    jsonschema.validate(document, SCHEMA)
    return document


def litert(document: dict) -> dict:
    return next(item for item in document["runtimes"] if item["name"] == "litert")


# ------------------------------------------------------------------------------------ good files


def test_the_shipped_model_is_taken_apart():
    result = typed("fast", "--edgetpu")

    assert result.exit_code == 0
    for said in (
        hashlib.sha256(SHIPPED).hexdigest(),
        read_contract(SHIPPED).content_sha256,
        "24,670,272 a run",
        "angry, disgust, fear",
        r"litert \S+ +runs it",
        "needs +TFLite 1.14 or later, for CONV_2D v3",
        "1x48x48x1 +int8 +1 +-128",
        "CONV_2D +3 +21 +24,668,928 +100.0%",
        "96 scales",
        "operations +32 of 32 on the Edge TPU",
        "multiply-adds +100.0% on the Edge TPU",
        "fits, with room for the",
        "edgetpu_compiler -s fast_int8.tflite",
    ):
        assert re.search(said, result.stdout), said


def test_it_is_legible_at_80_columns(inspect):
    result = inspect(a_net(after="HARD_SWISH", head="float", tail="float"), "--edgetpu")

    words, _, commands = result.stdout.partition("To compile it")
    assert max(map(len, words.splitlines())) <= 80
    assert "…" not in words
    # Commands are for copying: each stays on its line.
    assert any(len(line) > 80 for line in commands.splitlines())


def test_a_shipped_model_needs_no_child(monkeypatch):
    def no_child(*arguments, **options):
        raise AssertionError("a child was started")

    monkeypatch.setattr(inspection, "run_in_child", no_child)

    assert typed("fast").exit_code == 0


def test_any_other_is_loaded_in_a_child(inspect, monkeypatch):
    seen = []

    def child(function, content, *arguments, **options):
        seen.append(content)
        return function(content, *arguments)

    monkeypatch.setattr(inspection, "run_in_child", child)

    assert inspect(GOOD).exit_code == 0
    assert seen[0] == GOOD


def test_the_document_says_what_the_tables_say(inspect):
    document = read_json(inspect(GOOD, "--json", "--edgetpu"))

    assert document["contract"]["status"] == "good"
    assert document["contract"]["document"]["labels"][0] == "angry"
    assert document["contract"]["content_sha256"] in GOOD.decode("latin-1")
    assert document["multiply_adds"] == 8 * 8 * 8 * 9 * 4 + 7 * 8
    assert document["operation_counts"][0] == {
        "name": "CONV_2D",
        "version": 3,
        "count": 1,
        "multiply_adds": 8 * 8 * 8 * 9 * 4,
    }
    assert document["inputs"][0]["zero_points"] == [-128]
    assert litert(document)["outcome"] == "runs"
    assert document["minimum_runtime"]["version"] == "1.14"
    assert document["edgetpu"]["multiply_adds_on_tpu"] == 1.0
    assert document["edgetpu"]["weights_fit"] == "yes"


def test_without_edgetpu_nothing_is_said_of_it(inspect):
    assert read_json(inspect(GOOD, "--json"))["edgetpu"] is None
    assert "Edge TPU" not in inspect(GOOD).stdout


def test_the_reasons_carry_their_source(inspect):
    found = read_json(inspect(FOREIGN, "--json", "--edgetpu"))["edgetpu"]

    assert [item["on_tpu"] for item in found["operations"]] == [True, False, False, False, False]
    assert [item["behind_cut"] for item in found["operations"]] == [False, False, True, True, True]
    (finding,) = found["operations"][1]["findings"]
    assert finding["rule"] == "operation"
    assert finding["published"]
    assert "coral.ai/docs/edgetpu/models-intro" in finding["source"]


def test_a_rule_that_is_not_published_says_so(inspect):
    content = one_operation("GELU", (1, 8), (1, 8))

    result = inspect(content, "--edgetpu")

    assert "not in the" in result.stdout
    assert "published table" in result.stdout
    assert "expected to refuse it" in result.stdout
    assert "To compile it" not in result.stdout, "nothing would run there"


def test_a_foreign_model_has_no_contract_and_that_is_no_error(inspect):
    result = inspect(FOREIGN)

    assert result.exit_code == 0
    assert "none: its labels and input are not known" in result.stdout
    assert read_json(inspect(FOREIGN, "--json"))["contract"]["status"] == "none"


def test_a_model_with_several_outputs_runs(inspect):
    graph = Graph()
    source, one, other = (graph.tensor((1, 8)) for _ in range(3))
    graph.operation("RELU", [source], [one])
    graph.operation("RELU", [source], [other])

    document = read_json(inspect(graph.build([source], [one, other]), "--json"))

    assert len(document["outputs"]) == 2
    assert litert(document)["outcome"] == "runs"


def test_a_model_with_several_inputs_is_loaded(inspect):
    graph = Graph()
    one, other, made = (graph.tensor((1, 8)) for _ in range(3))
    graph.operation("ADD", [one, other], [made], options="AddOptions")

    assert (
        litert(read_json(inspect(graph.build([one, other], [made]), "--json")))["outcome"]
        == "loads"
    )


def test_a_compiled_model_is_refused_by_a_runtime_without_an_edge_tpu(inspect):
    content = embed_contract(compiled(GOOD, 4), a_contract())

    result = inspect(content, "--edgetpu")

    assert result.exit_code == 0
    assert re.search(r"refuses it: The model was compiled for the Edge\s+TPU", result.stdout)
    assert "went through the Edge TPU compiler already" in result.stdout
    assert "To compile it" not in result.stdout


# ---------------------------------------------------------------------------------- damaged files


def test_a_damaged_contract_is_told_and_the_rest_still_shown(inspect):
    result = inspect(DAMAGED)

    assert result.exit_code == 4
    assert "m.tflite is damaged: its contract promises content_sha256" in result.stderr
    assert "damaged: nothing it says is shown" in result.stdout
    assert "qixels" in result.stdout
    assert "angry" not in result.stdout


def test_a_damaged_contract_is_in_the_document_too(inspect):
    result = inspect(DAMAGED, "--json")
    document = read_json(result)

    assert result.exit_code == 4
    assert document["contract"] == {"status": "damaged", "content_sha256": None, "document": None}
    assert "is damaged" in document["problem"]


# Bytes that are no model, and a part of what is said.
NO_MODELS = [
    (b"", "expected the identifier TFL3"),
    (b"PK\3\4" + bytes(100), "expected the identifier TFL3"),
    (GOOD[:200], "m.tflite is damaged or no TFLite model"),
]


@pytest.mark.parametrize(("content", "said"), NO_MODELS, ids=range(len(NO_MODELS)))
def test_what_is_no_model_is_a_sentence_and_code_4(inspect, content, said):
    result = inspect(content)

    assert result.exit_code == 4
    assert said in result.stderr
    assert result.stdout == ""


def test_a_name_that_is_not_there_lists_the_shipped_ones():
    result = typed("no-such-model")

    assert result.exit_code == 4
    assert "fast" in result.stderr


def test_a_model_that_crashes_its_runtime_ends_with_code_4(inspect, monkeypatch):
    def crash(*arguments, what, **options):
        raise ModelError(f"{what} crashed the process that loaded it (SIGSEGV).")

    monkeypatch.setattr(inspection, "run_in_child", crash)

    result = inspect(FOREIGN, "--json")

    assert result.exit_code == 4
    assert litert(read_json(result))["outcome"] == "fails"
    assert "m.tflite crashed the process that loaded it (SIGSEGV)" in result.stderr


def test_a_runtime_that_does_not_fit_the_machine_is_not_the_model_s_fault(inspect, monkeypatch):
    def broken(content, *, runtime):
        raise ModelError(f"No TFLite runtime works here ({runtime}: _ARRAY_API not found).")

    monkeypatch.setattr(inspection, "load_network", broken)

    assert inspection.run_once(GOOD, "tflite")[0] == "unusable"


def test_names_from_the_file_neither_colour_nor_move_anything(inspect):
    graph = Graph()
    source = graph.tensor((1, 8), name="[bold red]x[/] \x1b[31m")
    graph.operation("RELU", [source], [graph.tensor((1, 8), name="\x1b]0;title\x07")])

    result = inspect(graph.build([source], [1]), "--edgetpu")

    assert "[bold red]x[/]" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_scale_that_is_no_number_is_still_json(inspect):
    content = one_operation("RELU", (1, 8), (1, 8), scales=(float("nan"),))

    document = read_json(inspect(content, "--json"))

    assert document["inputs"][0]["scales"] == ["nan"]


def test_a_large_model_is_cut_for_people_only(inspect):
    graph = Graph()
    numbers = [graph.tensor((1, 8)) for _ in range(402)]
    for before, after in itertools.pairwise(numbers):
        graph.operation("RELU", [before], [after])
    content = graph.build(numbers[:1], numbers[-1:])

    drawn = inspect(content).stdout
    assert "… and 102 more: --json has all." in drawn
    assert "t299" in drawn
    assert "t300 " not in drawn
    assert len(read_json(inspect(content, "--json"))["tensors"]) == 402


# Places in a real model where a byte is turned over: header, tables, names, weights, contract.
@pytest.mark.parametrize("place", [4, 9, 24, 100, 2_000, 50_000, 120_000, 240_000, -5_000, -40])
def test_a_turned_byte_of_the_shipped_model_is_always_told(inspect, place):
    content = bytearray(SHIPPED)
    content[place] ^= 0x55

    result = inspect(bytes(content))

    assert result.exit_code == 4
    assert result.stderr.startswith("fer-edge: ")


def test_a_terminal_that_knows_few_letters_gets_those(tmp_path):
    path = tmp_path / "表情.tflite"
    path.write_bytes(FOREIGN)

    done = subprocess.run(
        [sys.executable, "-m", "fer_edge.edge.cli", "inspect", path.name, "--edgetpu"],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert b"??.tflite" in done.stdout


def test_neither_tensorflow_nor_opencv_is_needed():
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'cv2', 'matplotlib', 'sklearn'):\n"
        "    sys.modules[name] = None\n"
        "from fer_edge.edge.cli import cli\n"
        "cli(['inspect', 'fast', '--json'], standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["file"]["bytes"] == len(SHIPPED)


def test_a_tiny_model_with_a_slice_is_read(inspect):
    document = read_json(inspect(tiny_tflite(), "--json", "--edgetpu"))

    assert [item["name"] for item in document["operations"]] == ["SLICE", "RESHAPE"]
    assert document["edgetpu"]["operations_on_tpu"] == 2
