"""One run of a benchmark: collects figures, keeps what was finished, and marks what is invalid."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ..edge.version import __version__
from .document import Better, Conditions, Curve, Document, Figure, Machine, ModelFile
from .rules import Effort, Repeated, read_conditions, read_machine, say_throttled


class Session:
    """What a benchmark fills; :meth:`document` may be asked for at any time.

    ::

        session = Session("fer-edge benchmark latency --quick", QUICK, say=print)
        with session.section("latency"):
            session.add("invoke_p50", "ms", "lower", {"model": "fast"}, values)
        session.document()

    An interruption inside of a section leaves it with the figures that it has; the session is
    marked and the exception goes on.
    """

    def __init__(
        self,
        command: str,
        effort: Effort,
        *,
        say: Callable[[str], None] = lambda line: None,
        conditions: Callable[[], Conditions] = read_conditions,
        machine: Callable[[], Machine] = read_machine,
    ):
        """Look at the machine.

        Args:
            command: What repeats the run.
            effort: By which it measures.
            say: Is told what is measured before it is.
            conditions: Reads the state of the machine.
            machine: Reads what the machine is.
        """
        self.effort, self.say = effort, say
        self._command, self._read = command, conditions
        self._date = datetime.now(UTC).isoformat(timespec="seconds")
        self._machine, self._before = machine(), conditions()
        self._section = ""
        self._state: Literal["complete", "interrupted"] = "complete"
        self._models: dict[str, ModelFile] = {}
        self._figures: list[Figure] = []
        self._curves: list[Curve] = []
        self._missing: dict[str, str] = {}
        self._notes: list[str] = []

    @contextmanager
    def section(self, name: str, *, timed: bool = True) -> Iterator[None]:
        """Measure one thing.

        Args:
            name: Of the section.
            timed: Whether its figures depend on time, and so are invalid where the machine was
                throttled meanwhile.
        """
        before, first = self._read(), len(self._figures)
        self._section = name
        try:
            yield
        except BaseException:
            self._state = "interrupted"
            raise
        finally:
            throttled = say_throttled(before, self._read()) if timed else ""
            if throttled:
                self._figures[first:] = [
                    dataclasses.replace(each, invalid=each.invalid or throttled)
                    for each in self._figures[first:]
                ]

    def add(
        self,
        metric: str,
        unit: str,
        better: Better,
        of: Mapping[str, str | int | float],
        values: float | tuple[float, ...],
        *,
        invalid: str = "",
    ) -> None:
        """Take a figure of the open section; see :class:`.document.Figure`."""
        given = values if isinstance(values, tuple) else (float(values),)
        self._figures.append(Figure(self._section, metric, unit, better, dict(of), given, invalid))

    def add_repeated(
        self,
        found: Repeated,
        units: Mapping[str, tuple[str, Better]],
        of: Mapping[str, str | int | float],
    ) -> None:
        """Take all that repetitions gave.

        Args:
            found: By the names of the metrics.
            units: Unit and good direction of each.
            of: What was measured.
        """
        for metric, values in found.values.items():
            unit, better = units[metric]
            self.add(metric, unit, better, of, values, invalid=found.invalid)

    def add_curve(
        self,
        name: str,
        x_unit: str,
        y_unit: str,
        of: Mapping[str, str | int | float],
        xs: tuple[float, ...],
        ys: tuple[float, ...],
    ) -> None:
        """Take a curve of the open section; see :class:`.document.Curve`."""
        self._curves.append(Curve(self._section, name, x_unit, y_unit, dict(of), xs, ys))

    def add_model(self, name: str, path: Path) -> None:
        """Name a model that takes part."""
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        self._models[name] = ModelFile(name, digest, len(content))

    def miss(self, what: str, why: str) -> None:
        """Note what cannot be measured here, and say so."""
        self._missing[what] = why
        self.say(f"not measured: {what}: {why}")

    def note(self, sentence: str) -> None:
        """Add what a reader of the figures needs."""
        self._notes.append(sentence)

    def document(self) -> Document:
        """All that there is by now."""
        return Document(
            date=self._date,
            version=__version__,
            command=self._command,
            quick=self.effort.quick,
            state=self._state,
            machine=self._machine,
            before=self._before,
            after=self._read(),
            models=tuple(self._models.values()),
            figures=tuple(self._figures),
            curves=tuple(self._curves),
            missing=dict(self._missing),
            notes=tuple(self._notes),
        )
