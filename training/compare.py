"""Finished runs side by side: what each reached and what it costs. Knows no TensorFlow."""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..edge.errors import DataError
from .markdown import table as markdown_table
from .metrics import percent, percent_interval, wilson_interval
from .published import PUBLISHED, Published
from .result import SCHEMA_VERSION, Result

#: Of ``result.json`` as ``fer-edge train`` writes it, and of ``compare.json``.
RESULT = "result.json"
_EVALUATIONS = ("evaluation.json", "evaluation/evaluation.json")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What ``fer-edge evaluate`` wrote into the folder of a run.

    Attributes:
        model: File name of the model.
        split: What it was measured on.
        accuracy: 0 to 1.
        calibration_error: 0 to 1.
        flip_averaged: Accuracy, 0 to 1, or None.
        without_duplicates: Accuracy without images that are in Training too, 0 to 1, or None.
    """

    model: str
    split: str
    accuracy: float
    calibration_error: float
    flip_averaged: float | None
    without_duplicates: float | None


@dataclass(frozen=True, slots=True)
class Run(Result):
    """One finished run: what its ``result.json`` says, and what is known beside it.

    Attributes:
        folder: Its folder, as it was given.
        evaluated: A later evaluation, or None.
    """

    folder: str = ""
    evaluated: Evaluated | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """Of the accuracy, 95 %."""
        return wilson_interval(round(self.accuracy * self.count), self.count)

    @property
    def gap(self) -> float:
        """How much better it is on the images that it learnt from, -1 to 1."""
        return self.training_accuracy - self.accuracy

    def to_dict(self) -> dict[str, Any]:
        """The run as plain JSON values."""
        return {**dataclasses.asdict(self), "interval": self.interval, "gap": self.gap}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs, the best first, and what they are compared with.

    Attributes:
        runs: Sorted by accuracy; of equal ones the cheaper first.
        skipped: Folders that hold no finished run, each with the reason.
        published: What others report.
    """

    runs: tuple[Run, ...]
    skipped: tuple[str, ...]
    published: tuple[Published, ...] = PUBLISHED

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the accuracies are of, in alphabetical order."""
        return tuple(sorted({run.chosen_on for run in self.runs}))

    @property
    def measured_on(self) -> str:
        """The split and its images, where all runs share them; else that they do not."""
        kinds = {(run.chosen_on, run.count) for run in self.runs}
        if len(kinds) == 1:
            ((split, count),) = kinds
            return f"{split}, {count:,} images"
        return f"different splits or images ({', '.join(self.splits)})"

    def names(self) -> tuple[str, ...]:
        """A different name for each run: recipe and variant, and where needed seed or folder."""
        plain = [f"{run.recipe} {run.variant}".strip() for run in self.runs]
        seeded = [
            f"{name} seed {run.seed}" if plain.count(name) > 1 else name
            for name, run in zip(plain, self.runs, strict=True)
        ]
        often = Counter(seeded)
        return tuple(
            f"{name} ({run.folder})" if often[name] > 1 else name
            for name, run in zip(seeded, self.runs, strict=True)
        )

    def short_names(self) -> tuple[str, ...]:
        """The recipe alone where no other run is of it, else the name: what a plot has room for."""
        often = Counter(run.recipe for run in self.runs)
        return tuple(
            run.recipe if often[run.recipe] == 1 else name
            for name, run in zip(self.names(), self.runs, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "runs": [run.to_dict() for run in self.runs],
            "skipped": list(self.skipped),
            "published": [dataclasses.asdict(item) for item in self.published],
        }


def compare(folders: Sequence[Path]) -> Comparison:
    """Read the runs in these folders; one that is given twice counts once.

    Raises:
        DataError: None of them holds a finished run.
    """
    runs, skipped = [], []
    for folder in {folder.resolve(): folder for folder in folders}.values():
        try:
            runs.append(read_run(folder))
        except DataError as exc:
            skipped.append(str(exc))
    if not runs:
        said = "; ".join(skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        raise DataError(
            f"There is no finished run to compare: expected folders of `fer-edge train` with a "
            f"{RESULT} inside, got {said or 'none'}."
        )
    runs.sort(key=lambda run: (-run.accuracy, run.multiply_adds, run.folder))
    return Comparison(tuple(runs), tuple(skipped))


def read_run(folder: Path) -> Run:
    """Read one run.

    Raises:
        DataError: The folder holds no finished run, or its ``result.json`` is not what is expected.
    """
    path = folder / RESULT
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder")
    if not path.is_file():
        raise DataError(f"{folder}: no {RESULT}, the run is unfinished or none")
    document = _read_json(path)
    if document.get("schema_version") != SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema version {document.get('schema_version')!r}, expected {SCHEMA_VERSION}"
        )
    found = {}
    for field in dataclasses.fields(Run):
        if field.name in ("folder", "evaluated"):
            continue
        if field.name not in document:
            raise DataError(f"{path}: {field.name} is missing")
        value = document[field.name]
        if not _fits(value, field.type):
            raise DataError(f"{path}: {field.name} is {value!r}, expected {_named(field.type)}")
        found[field.name] = value
    for name in ("accuracy", "training_accuracy", "macro_f1"):
        if not 0 <= found[name] <= 1:
            raise DataError(f"{path}: {name} is {found[name]!r}, expected 0 to 1")
    for name in ("count", "parameters", "multiply_adds"):
        if found[name] < 1:
            raise DataError(f"{path}: {name} is {found[name]!r}, expected 1 or more")
    converted = folder / "model.tflite"
    if found["tflite_bytes"] is None and converted.is_file():
        # A run is converted after it has finished.
        found["tflite_bytes"] = converted.stat().st_size
    return Run(folder=str(folder), evaluated=_read_evaluation(folder), **found)


def table(comparison: Comparison) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Column names and one row of texts a run; the first two columns are rank and name."""
    mixed = len({(run.chosen_on, run.count) for run in comparison.runs}) > 1
    columns = ["", "run", "accuracy", "95 % interval", "gap", "macro-F1", "parameters"]
    columns += ["multiply-adds", "size", "epoch"]
    rows = []
    for rank, (run, name) in enumerate(zip(comparison.runs, comparison.names(), strict=True), 1):
        row = [
            str(rank),
            name,
            percent(run.accuracy),
            percent_interval(run.interval),
            f"{run.gap * 100:+.1f}",
            f"{run.macro_f1:.3f}",
            short(run.parameters),
            short(run.multiply_adds),
            size(run),
            _seconds(run.epoch_s),
        ]
        rows.append((*row, f"{run.chosen_on}, {run.count:,}") if mixed else tuple(row))
    return (*columns, "split") if mixed else tuple(columns), rows


def _seconds(epoch_s: float) -> str:
    """Of an epoch; a mean of models has none."""
    if not epoch_s:
        return "–"
    return f"{epoch_s:.0f} s" if epoch_s >= 10 else f"{epoch_s:.1f} s"


def markdown(comparison: Comparison) -> str:
    """The table as GitHub's Markdown."""
    columns, rows = table(comparison)
    return "\n".join(markdown_table(columns, rows, text_columns=2))


def short(number: float) -> str:
    """A count with three digits and a unit: ``58.4 k``, ``1.18 M``, ``21.9 G``."""
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        # From here on it would be rounded to 1000 of the unit below.
        if number >= factor * 0.9995:
            value = number / factor
            return f"{value:.{max(0, 2 - int(math.log10(max(value, 1))))}f}{unit}"
    return str(round(number))


def size(run: Run) -> str:
    """The size of a run's model: the converted one, or the float one where there is none."""
    if run.tflite_bytes is not None:
        return f"{run.tflite_bytes / 1e6:.2f} MB"
    return f"{run.keras_bytes / 1e6:.2f} MB float"


def _read_evaluation(folder: Path) -> Evaluated | None:
    """What `fer-edge evaluate --out` left in a run, if it can be read: it is an addition only."""
    for name in _EVALUATIONS:
        if not (folder / name).is_file():
            continue
        try:
            document = _read_json(folder / name)
            flipped = document.get("flip_averaged") or {}
            unseen = document.get("without_training_duplicates") or {}
            return Evaluated(
                model=str(document["model"]),
                split=str(document["split"]),
                accuracy=float(document["accuracy"]),
                calibration_error=float(document["calibration"]["error"]),
                flip_averaged=_float(flipped.get("accuracy")),
                without_duplicates=_float(unseen.get("accuracy")),
            )
        except (DataError, KeyError, TypeError, ValueError, AttributeError):
            continue
    return None


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as exc:
        raise DataError(f"{path}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise DataError(f"{path}: not readable as JSON ({exc})") from exc
    if not isinstance(document, dict):
        raise DataError(f"{path}: expected an object, got {type(document).__name__}")
    return document


def _fits(value: Any, kind: Any) -> bool:
    """Whether a JSON value is of the type of a field."""
    if isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def _named(kind: Any) -> str:
    return {str: "a text", int: "a whole number", float: "a number"}.get(
        kind, "a whole number or null"
    )
