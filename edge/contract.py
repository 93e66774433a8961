"""What a model says about itself: the document that travels inside of its file or beside it.

How it gets into a ``.tflite`` and proves that the file is whole: :mod:`.contract_file`.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ModelError

SCHEMA_VERSION = 1
CLASSIFIER, DETECTOR = "emotion-classifier", "face-detector"
KINDS = (CLASSIFIER, DETECTOR)
# What a person does with a model of the other kind.
_CURES = {
    CLASSIFIER: "an emotion model is given by --model",
    DETECTOR: "a detector is given by --detector fer-face --detector-model",
}
# What only a detector has.
_OF_DETECTOR = ("strides", "score_threshold")
_OBJECTS = ("neutral_gaps", "quantisation", "calibration", "training_data", "recipe", "card")
# What says nothing where it is empty.
_LATER = ("card", "neutral_gaps")
OUTPUTS = ("logits", "probabilities")

#: In the place of the digest while it is computed.
ZERO_DIGEST = "0" * 64


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
        neutral_gaps: By label, how far its logit (after the temperature) lies below the one of
            "neutral" on a neutral face that the model names so, in the mean; empty where it was
            not measured (see ``profile.py``).
        quantisation: Type of the weights and of input and output, with scales; empty for float.
        calibration: The images that int8 ranges were taken from: count, seed, source digest.
        training_data: Name, split and digest of the data, and what was left out.
        recipe: The hyper-parameters of the training run.
        metrics: Measured figures, each with its split and the number of images.
        card: The model card in short: what it is for and unfit for, its limits, the law, its cost.
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
    neutral_gaps: Mapping[str, float] = field(default_factory=dict)
    quantisation: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    training_data: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)
    strides: tuple[int, ...] = ()
    score_threshold: float = 0.0
    licence: str = ""
    parent_sha256: str = ""
    content_sha256: str = ZERO_DIGEST

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
            _is_finite(self.temperature) and self.temperature > 0,
            "temperature",
            "a number above 0",
            self.temperature,
        )
        for name in _OBJECTS:
            value = getattr(self, name)
            _require(isinstance(value, Mapping), name, "an object", value)
        _require(
            not self.neutral_gaps
            or (
                set(self.neutral_gaps) == set(self.labels) >= {"neutral"}
                and all(_is_finite(gap) for gap in self.neutral_gaps.values())
            ),
            "neutral_gaps",
            "empty, or a number for each label, 'neutral' among them",
            self.neutral_gaps,
        )
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
        # What earlier versions do not know is left out where it says nothing, so that they read it.
        left_out = () if self.kind == DETECTOR else _OF_DETECTOR
        left_out += tuple(name for name in _LATER if not getattr(self, name))
        fields = {name: fields[name] for name in fields if name not in left_out}
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


def _require(good: bool, name: str, expected: str, value: object) -> None:
    if not good:
        raise ModelError(f"The contract's {name} must be {expected}, got {value!r}.")


def _is_finite(value: object) -> bool:
    # Compared, as a whole number of 400 digits cannot be made a float.
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    )


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    )


def _is_digest(value: str) -> bool:
    return len(value) == 64 and all(digit in "0123456789abcdef" for digit in value)
