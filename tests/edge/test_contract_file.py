"""The contract inside a model file and beside one: any changed byte is seen."""

import dataclasses
import hashlib

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.contract import ModelContract
from fer_edge.edge.contract_file import BUFFER_NAME, embed_contract, load_model, read_contract
from fer_edge.edge.errors import ModelError
from fer_edge.edge.sidecar import file_sha256, read_sidecar, sidecar_path, write_sidecar

from ..conftest import a_contract, a_face, tiny_tflite

BARE = tiny_tflite()
MODEL = embed_contract(BARE, a_contract())
KEY = b'"content_sha256": "'


def run(model: bytes, face: np.ndarray) -> list[int]:
    """The seven int8 outputs that LiteRT computes for a grey face."""
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    pixels = (face ^ 0x80).view(np.int8).reshape(1, 48, 48, 1)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].tolist()


def without_digest(contract: ModelContract) -> ModelContract:
    return dataclasses.replace(contract, content_sha256="0" * 64)


def flipped(content: bytes, *bits: int) -> bytes:
    """The bytes with these bits (counted over the whole file) turned over."""
    changed = bytearray(content)
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def is_refused(content: bytes) -> bool:
    """Whether reading the contract raises ModelError; any other exception fails the test."""
    try:
        read_contract(content)
    except ModelError:
        return True
    return False


# ------------------------------------------------------------------------------------ round trip

# Each case: a contract whose text could confuse the reader.
AWKWARD = [
    a_contract(),
    a_contract(name="ä 表情 \U0001f642"),
    a_contract(recipe={"content_sha256": "f" * 64}),  # the key of the digest, as a name inside
    a_contract(licence='"content_sha256": "' + "e" * 64),  # and as a text
    a_contract(licence="x" * 100_000),  # a document that is longer than the model
    a_contract(parent_sha256="a" * 64, content_sha256="b" * 64),  # a digest that is not its own
]


@pytest.mark.parametrize("contract", AWKWARD, ids=range(len(AWKWARD)))
def test_a_model_gives_back_the_contract_that_was_put_in(contract):
    model = embed_contract(BARE, contract)

    assert without_digest(read_contract(model)) == without_digest(contract)


def test_the_digest_is_that_of_the_file_with_the_digest_zeroed():
    digest = read_contract(MODEL).content_sha256

    blank = MODEL.replace(digest.encode(), b"0" * 64)

    assert MODEL.count(digest.encode()) == 1
    assert hashlib.sha256(blank).hexdigest() == digest


def test_a_second_contract_replaces_the_first():
    again = embed_contract(MODEL, a_contract(name="second"))

    assert read_contract(again).name == "second"
    assert again.count(KEY) == 1, "the first contract is still in the file"
    assert again.count(BUFFER_NAME.encode()) == 1


def test_embedding_the_contract_that_was_read_changes_nothing():
    assert embed_contract(MODEL, read_contract(MODEL)) == MODEL


def test_litert_runs_the_model_as_before():
    face = a_face(seed=3)

    before, after = run(BARE, face), run(MODEL, face)

    assert before == after == (face[0, :7].astype(int) - 128).tolist()


def test_other_metadata_stays():
    model = schema.ModelT.InitFromPackedBuf(BARE)
    entry = schema.MetadataT()
    entry.name, entry.buffer = "min_runtime_version", len(model.buffers)
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = list(b"1.14.0")
    model.metadata = [entry]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")

    made = embed_contract(bytes(builder.Output()), a_contract())

    after = schema.ModelT.InitFromPackedBuf(made)
    kept = next(item for item in after.metadata if item.name == b"min_runtime_version")
    assert bytes(after.buffers[kept.buffer].data) == b"1.14.0"
    assert read_contract(made).name == "tiny"


# ---------------------------------------------------------------------------------------- damage


def test_every_flipped_bit_of_the_whole_file_is_refused():
    unseen = [bit for bit in range(8 * len(MODEL)) if not is_refused(flipped(MODEL, bit))]

    assert unseen == []


@given(st.sets(st.integers(0, 8 * len(MODEL) - 1), min_size=2))
def test_several_flipped_bits_are_refused(bits):
    assert is_refused(flipped(MODEL, *bits))


def test_damage_is_reported_with_the_name_of_the_file():
    nameless = []
    for byte in range(len(MODEL)):
        with pytest.raises(ModelError) as caught:
            read_contract(flipped(MODEL, 8 * byte), "pi/fer.tflite")
        if "pi/fer.tflite" not in str(caught.value):
            nameless.append((byte, str(caught.value)))

    assert not nameless, f"{len(nameless)} bytes, the first: {nameless[0]}"


def test_every_truncation_is_refused():
    assert [length for length in range(len(MODEL)) if not is_refused(MODEL[:length])] == []


@given(st.binary(min_size=1))
def test_appended_bytes_are_refused(more):
    with pytest.raises(ModelError, match="damaged"):
        read_contract(MODEL + more)


@given(st.integers(0, 64), st.binary(max_size=300))
def test_random_bytes_behind_the_identifier_are_refused(root, rest):
    content = root.to_bytes(4, "little") + b"TFL3" + rest

    assert is_refused(content)


@given(st.binary())
def test_random_bytes_are_refused(content):
    with pytest.raises(ModelError, match="no TFLite model"):
        read_contract(content)


def test_a_model_without_a_contract_says_how_to_get_one():
    with pytest.raises(ModelError, match=r"carries no fer-edge contract.*fer-edge convert.*--con"):
        read_contract(BARE)


def test_a_contract_without_its_digest_is_refused():
    # As another tool could write it: the same JSON, but not where the digest can be found.
    model = MODEL.replace(KEY, b'"content_sha256" :"')

    with pytest.raises(ModelError, match="no content_sha256"):
        read_contract(model)


# Each case: bytes that no contract can be put into.
NO_MODELS = [
    b"",
    b"TFL3",
    b"\x89PNG\r\n\x1a\n" + bytes(64),
    BARE[:15],
    b"\xff\xff\xff\xffTFL3" + bytes(64),  # the root lies outside
    BARE[:200],
]


@pytest.mark.parametrize("content", NO_MODELS, ids=range(len(NO_MODELS)))
def test_nothing_is_embedded_in_what_is_no_model(content):
    with pytest.raises(ModelError):
        embed_contract(content, a_contract())


def test_embedding_into_a_damaged_model_never_fails_otherwise():
    for byte in range(len(MODEL)):
        try:
            embed_contract(flipped(MODEL, 8 * byte), a_contract())
        except ModelError:
            continue


# ----------------------------------------------------------------------------------------- files


def test_a_model_file_is_read_with_its_contract(tmp_path):
    path = tmp_path / "fer.tflite"
    path.write_bytes(MODEL)

    content, contract = load_model(path)

    assert content == MODEL
    assert contract == read_contract(MODEL)


def test_a_model_without_a_contract_takes_one_from_a_file(tmp_path):
    path, contract_path = tmp_path / "strange.tflite", tmp_path / "strange.json"
    path.write_bytes(BARE)
    contract_path.write_text(a_contract(name="stranger").to_json())

    content, contract = load_model(path, contract_path)

    assert content == BARE
    assert contract == a_contract(name="stranger")


def test_a_damaged_model_file_is_named(tmp_path):
    path = tmp_path / "fer.tflite"
    path.write_bytes(flipped(MODEL, 8 * MODEL.index(b"pixels")))

    with pytest.raises(ModelError, match=r"fer\.tflite is damaged"):
        load_model(path)


# Each case: what lies under model and contract (None: nothing), and what the error says.
BAD_FILES = [
    (None, None, r"Cannot read the model .*m\.tflite: No such file"),
    (b"no model", None, r"m\.tflite is no TFLite model: .*8 bytes"),
    (BARE, None, r"m\.tflite carries no fer-edge contract"),
    (b"no model", b"{}", r"m\.tflite is no TFLite model"),
    (BARE, b"{}", "schema version None"),
    (BARE, b"happy", "not readable as JSON"),
]


@pytest.mark.parametrize(("model", "contract", "said"), BAD_FILES)
def test_files_that_do_not_go_together_are_refused(tmp_path, model, contract, said):
    path, contract_path = tmp_path / "m.tflite", tmp_path / "m.json"
    if model is not None:
        path.write_bytes(model)
    if contract is not None:
        contract_path.write_bytes(contract)

    with pytest.raises(ModelError, match=said):
        load_model(path, contract_path if contract is not None else None)


def test_a_missing_contract_file_is_named(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(BARE)

    with pytest.raises(ModelError, match=r"Cannot read the contract .*gone\.json: No such file"):
        load_model(path, tmp_path / "gone.json")


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="Cannot read the model"):
        load_model(tmp_path)


# ------------------------------------------------------------------------------ beside a .keras


@pytest.fixture
def keras_path(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"weights")
    return path


def test_a_sidecar_is_read_back_with_the_digest_of_its_file(keras_path):
    written = write_sidecar(keras_path, a_contract())

    assert read_sidecar(keras_path) == written
    assert written == a_contract(content_sha256=hashlib.sha256(b"weights").hexdigest())
    assert sidecar_path(keras_path).name == "model.contract.json"
    assert {p.name for p in keras_path.parent.iterdir()} == {"model.keras", "model.contract.json"}


def test_a_sidecar_replaces_the_one_before(keras_path):
    write_sidecar(keras_path, a_contract(name="first"))
    write_sidecar(keras_path, a_contract(name="second"))

    assert read_sidecar(keras_path).name == "second"


def test_a_model_that_changed_behind_its_sidecar_is_refused(keras_path):
    write_sidecar(keras_path, a_contract())
    keras_path.write_bytes(b"Weights")

    with pytest.raises(ModelError, match=r"not the file that .*model\.contract\.json describes"):
        read_sidecar(keras_path)


def test_a_model_without_a_sidecar_says_which_file_is_missing(keras_path):
    with pytest.raises(ModelError, match=r"expected .*model\.contract\.json beside it"):
        read_sidecar(keras_path)


def test_a_sidecar_without_its_model_is_refused(keras_path):
    write_sidecar(keras_path, a_contract())
    keras_path.unlink()

    with pytest.raises(ModelError, match=r"There is no model .*model\.keras"):
        read_sidecar(keras_path)


def test_a_damaged_sidecar_is_refused(keras_path):
    write_sidecar(keras_path, a_contract())
    path = sidecar_path(keras_path)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(ModelError, match="JSON"):
        read_sidecar(keras_path)


def test_the_digest_of_a_file_that_is_not_there_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match=r"Cannot read .*gone: No such file"):
        file_sha256(tmp_path / "gone")
