"""The contract inside of a model file, and the proof that the file is whole.

Every ``.tflite`` that fer-edge writes carries its :class:`~.contract.ModelContract` as a JSON
document in a named metadata buffer of its flatbuffer; a ``.keras`` file travels with the same
document beside it (``model.contract.json``, :mod:`.sidecar`). Its ``content_sha256`` is the digest
of the *whole* file with only the 64 hexadecimal digits of that digest replaced by zeros. So a
changed byte anywhere is seen, in the weights and in the contract alike
(docs/decisions/0001-contract-digest.md). It guards against damage and mix-ups, not against somebody
who forges a contract.
"""

import dataclasses
import hashlib
import struct
from pathlib import Path
from typing import Any

from .contract import ZERO_DIGEST, ModelContract
from .errors import ModelError

BUFFER_NAME = "fer_edge.contract"

# A model of ours has two or three metadata entries; a damaged length can say four billion.
_MAX_METADATA = 64
# What reading a damaged flatbuffer raises: offsets that point outside, lengths that lie.
_FLATBUFFER_ERRORS = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    OverflowError,
    AttributeError,
    MemoryError,
)


def embed_contract(content: bytes, contract: ModelContract) -> bytes:
    """Return a ``.tflite`` file's bytes with the contract inside, replacing one that is there.

    Args:
        content: A whole TFLite flatbuffer.
        contract: What to embed; its ``content_sha256`` is computed here.

    Raises:
        ModelError: ``content`` is no TFLite flatbuffer.
    """
    from ai_edge_litert import schema_py_generated as schema

    _require_identifier(content, "The model")
    text = dataclasses.replace(contract, content_sha256=ZERO_DIGEST).to_json().encode()
    try:
        model = schema.ModelT.InitFromPackedBuf(content)
        packed = _pack_with(model, text)
    except _FLATBUFFER_ERRORS as exc:
        raise ModelError(f"The model is no readable TFLite flatbuffer: {exc}.") from exc
    digest = hashlib.sha256(packed).hexdigest()
    start = _digest_offset(packed, _contract_span(packed, "The model"), "The model")
    return packed[:start] + digest.encode() + packed[start + 64 :]


def _pack_with(model: Any, text: bytes) -> bytes:
    """The flatbuffer of a model object with the contract's text in its buffer."""
    import flatbuffers  # type: ignore[import-untyped]
    from ai_edge_litert import schema_py_generated as schema

    metadata: list[Any] = list(model.metadata or ())
    buffers: list[Any] = list(model.buffers or ())
    entry = next((item for item in metadata if item.name == BUFFER_NAME.encode()), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name = BUFFER_NAME
        entry.buffer = len(buffers)
        buffers.append(schema.BufferT())
        metadata.append(entry)
    buffers[entry.buffer].data = list(text)
    model.metadata, model.buffers = metadata, buffers
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def read_contract(content: bytes, name: str = "The model") -> ModelContract:
    """Read the contract out of a ``.tflite`` file's bytes and check the file against it.

    Args:
        content: The whole file.
        name: What error messages call it.

    Raises:
        ModelError: No TFLite file, no contract in it, a contract that does not hold together, or
            a byte of the file that is not the one it was written with.
    """
    _require_identifier(content, name)
    start, length = _contract_span(content, name)
    offset = _digest_offset(content, (start, length), name)
    promised = bytes(content[offset : offset + 64])
    blank = content[:offset] + ZERO_DIGEST.encode() + content[offset + 64 :]
    found = hashlib.sha256(blank).hexdigest()
    # Before the contract is parsed: a changed byte in it is damage, not a mistake of its author.
    if found.encode() != promised:
        raise ModelError(
            f"{name} is damaged: its contract promises content_sha256 {promised[:12]!r}…, its "
            f"bytes have {found[:12]}…. Copy or convert it again."
        )
    return ModelContract.from_json(content[start : start + length])


def load_model(path: Path, contract_path: Path | None = None) -> tuple[bytes, ModelContract]:
    """Read a ``.tflite`` file and its contract.

    Args:
        path: The model.
        contract_path: A JSON file with the contract of a model that carries none inside.

    Raises:
        ModelError: As :func:`read_contract`, or a file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ModelError(f"Cannot read the model {path}: {exc.strerror}.") from exc
    if contract_path is None:
        return content, read_contract(content, str(path))
    _require_identifier(content, str(path))
    try:
        text = contract_path.read_bytes()
    except OSError as exc:
        raise ModelError(f"Cannot read the contract {contract_path}: {exc.strerror}.") from exc
    contract = ModelContract.from_json(text)
    found = hashlib.sha256(content).hexdigest()
    # A contract written by hand may leave the digest out; one that has it must mean this file.
    if contract.content_sha256 not in (ZERO_DIGEST, found):
        raise ModelError(f"{contract_path} describes another file than {path}: the digests differ.")
    return content, contract


def _contract_span(content: bytes, name: str) -> tuple[int, int]:
    """Offset and length of the contract's bytes inside a flatbuffer."""
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(content, 0)
        count = model.MetadataLength()
        if count > _MAX_METADATA:
            raise ModelError(f"{name} is damaged: it claims {count} metadata entries.")
        for index in range(count):
            entry = model.Metadata(index)
            if entry is None or entry.Name() != BUFFER_NAME.encode():
                continue
            # The generated Buffer has no accessor for where its bytes lie, so ask its table.
            table = model.Buffers(entry.Buffer())._tab  # type: ignore[union-attr]
            vector = table.Offset(4)
            if vector == 0:
                break
            start, length = table.Vector(vector), table.VectorLen(vector)
            if start + length > len(content):
                raise ModelError(f"{name} is damaged: its contract lies outside the file.")
            return start, length
    except _FLATBUFFER_ERRORS as exc:
        raise ModelError(f"{name} is damaged or no TFLite model: {exc}.") from exc
    raise ModelError(
        f"{name} carries no fer-edge contract, so its labels and its input are unknown. Convert it "
        f"with `fer-edge convert`, or pass a contract file with --contract."
    )


def _digest_offset(content: bytes, span: tuple[int, int], name: str) -> int:
    """Where the 64 digits of ``content_sha256`` begin."""
    key = b'"content_sha256": "'
    start, length = span
    # The last one: the key is the last field of the document, and a recipe may quote it before.
    found = content.rfind(key, start, start + length)
    if found < 0 or found + len(key) + 64 > start + length:
        raise ModelError(f"{name} is damaged: its contract has no content_sha256.")
    return found + len(key)


def _require_identifier(content: bytes, name: str) -> None:
    if len(content) < 16 or content[4:8] != b"TFL3":
        raise ModelError(
            f"{name} is no TFLite model: expected the identifier TFL3 at byte 4, got "
            f"{bytes(content[4:8])!r} in a file of {len(content)} bytes."
        )
