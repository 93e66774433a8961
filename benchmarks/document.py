"""What a benchmark leaves: one versioned JSON document (``assets/benchmark.schema.json``).

Version 2. Version 1 were the documents of single benchmarks, each of its own form; :mod:`.older`
reads those that this project has published.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from ..edge.errors import DataError
from .decode import decode
from .results import write_result

SCHEMA_VERSION = 2
KIND = "fer-edge-benchmark"
# Sums and ratios of what is smaller stay numbers.
_LARGEST = 1e15

#: What a figure is of: model, threads, faces, rate and the like, by name.
Of = Mapping[str, str | int | float]
#: Which direction of a figure is good; ``none`` for what is neither.
Better = Literal["lower", "higher", "none"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity.

    Attributes:
        section: The benchmark that measured it, such as ``latency``.
        metric: What, such as ``invoke_p50``.
        unit: Of the values: ``ms``, ``s``, ``frames/s``, ``MB``, ``%``, ``points``, ``cores``,
            ``images`` or ``frames``.
        better: Which direction is good.
        of: What was measured, by name; figures of two documents with the same section, metric and
            ``of`` are compared.
        values: One a repetition, in their order.
        invalid: Why it must not be quoted; empty where it may.
    """

    section: str
    metric: str
    unit: str
    better: Better
    of: Of
    values: tuple[float, ...]
    invalid: str = ""

    @property
    def median(self) -> float:
        """Of the repetitions."""
        return median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest repetition."""
        return min(self.values), max(self.values)

    @property
    def key(self) -> tuple[Any, ...]:
        """What figures of two documents are matched by."""
        return self.section, self.metric, tuple(sorted(self.of.items()))


@dataclass(frozen=True, slots=True)
class Curve:
    """A quantity over another one, such as accuracy over blur.

    Attributes:
        section: The benchmark that measured it.
        name: What was changed, such as ``blur``.
        x_unit: Of ``xs``, such as ``px``.
        y_unit: Of ``ys``, such as ``%``.
        of: What was measured, by name.
        xs: Strengths; the first is none.
        ys: What was found at each.
    """

    section: str
    name: str
    x_unit: str
    y_unit: str
    of: Of
    xs: tuple[float, ...]
    ys: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine at one moment; None is what it does not tell.

    Attributes:
        governor: Of the processor's clock, such as ``ondemand``.
        clock_mhz: Of the first core.
        temperature_c: Of the processor.
        throttled_now: Kinds of throttling at the moment, of :data:`..edge.board.KINDS`.
        throttled_since_boot: Kinds at any time since the machine started.
        load_1min: Processes that ran or waited in the minute before.
    """

    governor: str | None = None
    clock_mhz: float | None = None
    temperature_c: float | None = None
    throttled_now: tuple[str, ...] | None = None
    throttled_since_boot: tuple[str, ...] | None = None
    load_1min: float | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured; nothing that names a person, a network or a folder.

    Attributes:
        board: Such as ``Raspberry Pi 5 Model B Rev 1.0``; empty where there is none.
        processor: Its model.
        architecture: Such as ``aarch64``.
        cores: CPUs that the process may use.
        memory_bytes: Of the machine.
        system: Name and version of the distribution.
        kernel: Name and release.
        python: Version.
        packages: Versions by name, of what figures depend on.
    """

    board: str
    processor: str
    architecture: str
    cores: int
    memory_bytes: int
    system: str
    kernel: str
    python: str
    packages: Mapping[str, str]

    @property
    def title(self) -> str:
        """How a report names it."""
        return self.board or self.processor


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that took part.

    Attributes:
        name: How figures call it in their ``of``.
        sha256: Of the file.
        size_bytes: Of the file.
    """

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Document:
    """One run of a benchmark.

    Attributes:
        date: When it began, UTC, ISO 8601.
        version: Of fer-edge.
        command: What repeats it.
        quick: Whether it was made with ``--quick``, whose figures are rough.
        state: ``interrupted`` where it was ended before it was done.
        machine: Where.
        before: Conditions at the start.
        after: Conditions at the end.
        models: That took part.
        figures: What was measured.
        curves: The same, over something.
        missing: What was asked for and could not be measured, with the reason.
        notes: Sentences that a reader of the figures needs.
    """

    date: str
    version: str
    command: str
    quick: bool
    state: Literal["complete", "interrupted"]
    machine: Machine
    before: Conditions
    after: Conditions
    models: tuple[ModelFile, ...] = ()
    figures: tuple[Figure, ...] = ()
    curves: tuple[Curve, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def invalid(self) -> tuple[str, ...]:
        """Why figures of it must not be quoted, each reason once."""
        return tuple(dict.fromkeys(figure.invalid for figure in self.figures if figure.invalid))

    def to_dict(self) -> dict[str, Any]:
        """The document as JSON values, with the medians and spreads that readers want."""
        fields = dataclasses.asdict(self)
        for figure, made in zip(self.figures, fields["figures"], strict=True):
            made |= {"median": figure.median, "spread": list(figure.spread)}
        return json.loads(json.dumps({"schema": SCHEMA_VERSION, "kind": KIND, **fields}))


def write_document(path: Path, document: Document, *, overwrite: bool) -> None:
    """Write a document as a JSON file.

    Raises:
        SinkError: The file exists and ``overwrite`` is False, or it cannot be written.
    """
    write_result(path, document.to_dict(), overwrite=overwrite)


def read_document(path: Path) -> Document:
    """Read a document of this version, or of an older one.

    Raises:
        DataError: There is none, it is cut off, no benchmark's, or of a version to come.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise DataError(f"Cannot read {path}: {exc.strerror}.") from exc
    except json.JSONDecodeError as exc:
        raise DataError(
            f"{path} is no whole JSON document ({exc.msg} in line {exc.lineno}). Was it cut off? "
            f"Copy it again, or measure again."
        ) from exc
    except (ValueError, RecursionError) as exc:
        # Other bytes than text, a number of thousands of digits, or brackets without end.
        raise DataError(f"{path} is no JSON of `fer-edge benchmark`.") from exc
    if not isinstance(fields, dict):
        raise DataError(f"{path} is no JSON of `fer-edge benchmark`.")
    if fields.get("kind") != KIND:
        from .older import from_version_1

        return from_version_1(fields, path)
    if fields.get("schema") != SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema version {str(fields.get('schema'))[:40]!r}; this fer-edge reads 1 "
            f"to {SCHEMA_VERSION}. Update it: pip install --upgrade fer-edge."
        )
    try:
        return document_from(fields)
    except ValueError as exc:
        raise DataError(
            f"{path} does not have the form of version {SCHEMA_VERSION}: {exc}."
        ) from exc


def document_from(fields: Mapping[str, Any]) -> Document:
    """The document that :meth:`Document.to_dict` made these values of.

    Raises:
        ValueError: A field is missing or of another kind; says which.
    """
    document = decode(Document, fields)
    for at, figure in enumerate(document.figures):
        _check_numbers(f"figures[{at}].values", figure.values)
    for at, curve in enumerate(document.curves):
        _check_numbers(f"curves[{at}].xs", curve.xs)
        _check_numbers(f"curves[{at}].ys", curve.ys)
        if len(curve.xs) != len(curve.ys):
            raise ValueError(f"curves[{at}] has {len(curve.xs)} xs and {len(curve.ys)} ys")
    return document


def _check_numbers(where: str, values: tuple[float, ...]) -> None:
    if not values:
        raise ValueError(f"{where} is empty")
    if max(map(abs, values)) > _LARGEST:
        raise ValueError(f"{where} has a number that nothing measures: beyond {_LARGEST:g}")
