"""What a model file says about itself, and the proof that it is whole.

Every ``.tflite`` that fer-edge writes carries a JSON document in a named metadata buffer of its
flatbuffer; a ``.keras`` file travels with the same document beside it (``model.contract.json``).
Its ``content_sha256`` is the digest of the *whole* file with only the 64 hexadecimal digits of that
digest replaced by zeros. So a changed byte anywhere is seen, in the weights and in the contract
alike (docs/decisions/0001-contract-digest.md). It guards against damage and mix-ups, not against
somebody who forges a contract.
"""

import dataclasses
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ModelError

SCHEMA_VERSION = 1
BUFFER_NAME = "fer_edge.contract"
CLASSIFIER, DETECTOR = "emotion-classifier", "face-detector"
KINDS = (CLASSIFIER, DETECTOR)
# What a person does with a model of the other kind.
_CURES = {
    CLASSIFIER: "an emotion model is given by --model",
    DETECTOR: "a detector is given by --detector fer-face --detector-model",
}
# What only a detector has.
_OF_DETECTOR = ("strides", "score_threshold")
OUTPUTS = ("logits", "probabilities")

_ZERO_DIGEST = "0" * 64
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


@dataclass(frozen=True, slots=True)
class ModelContract:
    """What a model is, eats and answers.

    Attributes:
        name: A short name for people.
        labels: The classes in the order of the outputs. Nothing else on the device knows them.
        input_size_wh: Width and height of the input in pixels.
        framing: Name of the crop that the model was trained on (see ``framing.py``); of a detector,
            of the boxes that it draws (``detectors/fer_face.py``).
        output: ``logits`` (the softmax is ours to do) or ``probabilities``.
        kind: ``emotion-classifier`` or ``face-detector``.
        input_channels: 1 (grey) or 3 (red-green-blue).
        input_range: Smallest and largest pixel value that goes in; scaling is inside the model.
        temperature: Logits are divided by it before the softmax.
        quantisation: Type of the weights and of input and output, with scales; empty for float.
        calibration: The images that int8 ranges were taken from: count, seed, source digest.
        training_data: Name, split and digest of the data, and what was left out.
        recipe: The hyper-parameters of the training run.
        metrics: Measured figures, each with its split and the number of images.
        strides: Of a detector: pixels from cell to cell on each of its grids, in the order in which
            its rows of boxes and scores follow each other; of a classifier ``()``.
        score_threshold: Of a detector: what scores less is no face, 0 to 1; of a classifier 0.
        licence: Terms of the weights.
        parent_sha256: Digest of the file that this one was made from, or "".
        content_sha256: Digest of the file that carries this contract (see the module's text).
    """

    name: str
    labels: tuple[str, ...]
    input_size_wh: tuple[int, int]
    framing: str
    output: str
    kind: str = "emotion-classifier"
    input_channels: int = 1
    input_range: tuple[int, int] = (0, 255)
    temperature: float = 1.0
    quantisation: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    training_data: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()
    strides: tuple[int, ...] = ()
    score_threshold: float = 0.0
    licence: str = ""
    parent_sha256: str = ""
    content_sha256: str = _ZERO_DIGEST

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ModelError: Names the field, what it must be and what it is.
        """
        _require(isinstance(self.name, str) and bool(self.name), "name", "a text", self.name)
        _require(self.kind in KINDS, "kind", f"one of {KINDS}", self.kind)
        _require(
            isinstance(self.labels, tuple)
            and len(self.labels) >= 1
            and all(isinstance(label, str) and label for label in self.labels)
            and len(set(self.labels)) == len(self.labels),
            "labels",
            "a list of different names",
            self.labels,
        )
        _require(
            _is_pair(self.input_size_wh) and min(self.input_size_wh) > 0,
            "input_size_wh",
            "two whole numbers above 0",
            self.input_size_wh,
        )
        _require(
            self.input_channels in (1, 3) and not isinstance(self.input_channels, bool),
            "input_channels",
            "1 or 3",
            self.input_channels,
        )
        _require(
            _is_pair(self.input_range) and self.input_range[0] < self.input_range[1],
            "input_range",
            "two whole numbers, the smaller first",
            self.input_range,
        )
        for name in ("framing", "licence"):
            value = getattr(self, name)
            text = isinstance(value, str) and (bool(value) or name == "licence")
            _require(text, name, "a text", value)
        _require(self.output in OUTPUTS, "output", f"one of {OUTPUTS}", self.output)
        _require(
            isinstance(self.temperature, int | float)
            and not isinstance(self.temperature, bool)
            and 0 < self.temperature < float("inf"),
            "temperature",
            "a number above 0",
            self.temperature,
        )
        for name in ("quantisation", "calibration", "training_data", "recipe"):
            value = getattr(self, name)
            _require(isinstance(value, Mapping), name, "an object", value)
        _require(
            isinstance(self.metrics, tuple)
            and all(isinstance(metric, Mapping) for metric in self.metrics),
            "metrics",
            "a list of objects",
            self.metrics,
        )
        self._check_detection()
        for name in ("parent_sha256", "content_sha256"):
            value = getattr(self, name)
            _require(
                isinstance(value, str)
                and (_is_digest(value) or (name == "parent_sha256" and value == "")),
                name,
                "64 hexadecimal digits",
                value,
            )

    def _check_detection(self) -> None:
        strides, threshold = self.strides, self.score_threshold
        found = self.kind == DETECTOR
        _require(
            isinstance(strides, tuple)
            and all(type(stride) is int and stride > 0 for stride in strides)
            and bool(strides) == found,
            "strides",
            "a list of whole numbers above 0" if found else "empty, as this is no detector",
            strides,
        )
        _require(
            type(threshold) in (int, float) and (0 < threshold < 1 if found else threshold == 0),
            "score_threshold",
            "a number between 0 and 1" if found else "0, as this is no detector",
            threshold,
        )

    def require_kind(self, kind: str) -> None:
        """Refuse a model of another kind than is wanted.

        Raises:
            ModelError: It is of another kind; the message says where it belongs.
        """
        if self.kind != kind:
            article = "an" if kind == CLASSIFIER else "a"
            raise ModelError(
                f"Expected {article} {kind}, got {self.name!r}, whose contract says {self.kind}: "
                f"{_CURES[self.kind]}."
            )

    def to_json(self) -> str:
        """Return the contract as the JSON document that goes into a file."""
        fields = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        if self.kind != DETECTOR:
            # As before there were detectors, so that earlier versions read it.
            fields = {name: fields[name] for name in fields if name not in _OF_DETECTOR}
        return json.dumps({"schema_version": SCHEMA_VERSION, **fields}, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelContract":
        """Read a contract back from its JSON document.

        Raises:
            ModelError: The text is no JSON, of another schema version, or a field is missing,
                unknown or out of its range.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise ModelError(f"The model's contract is not readable as JSON: {exc}") from exc
        if not isinstance(document, dict):
            raise ModelError(
                f"The model's contract must be a JSON object, got {type(document).__name__}."
            )
        version = document.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise ModelError(
                f"The model's contract has schema version {version!r}; this fer-edge reads "
                f"{SCHEMA_VERSION}. Convert the model again, or update fer-edge."
            )
        known = {item.name: item for item in dataclasses.fields(cls)}
        unknown = sorted(set(document) - set(known))
        if unknown:
            raise ModelError(
                f"The model's contract has unknown fields {unknown}: valid fields are "
                f"{sorted(known)}."
            )
        for name in ("labels", "input_size_wh", "input_range", "metrics", "strides"):
            if isinstance(document.get(name), list):
                document[name] = tuple(document[name])
            elif name in document:
                raise ModelError(f"The contract's {name} must be a list, got {document[name]!r}.")
        try:
            return cls(**document)
        except TypeError as exc:
            raise ModelError(f"The model's contract is incomplete: {exc}.") from exc


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
    text = dataclasses.replace(contract, content_sha256=_ZERO_DIGEST).to_json().encode()
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
    blank = content[:offset] + _ZERO_DIGEST.encode() + content[offset + 64 :]
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
    if contract.content_sha256 not in (_ZERO_DIGEST, found):
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


def _require(good: bool, name: str, expected: str, value: object) -> None:
    if not good:
        raise ModelError(f"The contract's {name} must be {expected}, got {value!r}.")


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    )


def _is_digest(value: str) -> bool:
    return len(value) == 64 and all(digit in "0123456789abcdef" for digit in value)
