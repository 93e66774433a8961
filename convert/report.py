"""The report of a conversion: one HTML page that can be mailed, and the same as Markdown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..edge.errors import ModelError
from ..edge.files import replacing
from ..training import pages, plots
from ..training.datasets import EMOTIONS
from ..training.markdown import table as markdown_table
from ..training.temperature import Fitted
from .debug import LayerError
from .describe import describe
from .gate import Judged, Verdict
from .quantize import Converted
from .source import Source


class Report(Protocol):
    """What can be written as a report: it names what was converted, and has its content."""

    @property
    def source(self) -> Source:
        """What was converted."""
        ...

    def sections(self) -> list[pages.Section]:
        """The content, without anything that is of one form only."""
        ...


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What is known of a conversion; the parts that were not asked for are empty.

    Attributes:
        source: What was converted.
        models: What it was converted to.
        kept: Name of the file of each model, or "" where the gate refused it.
        verdict: The gate's figures, or None without ``--data``.
        layers: The layers of the int8 model, the worst first.
    """

    source: Source
    models: Sequence[Converted]
    kept: Sequence[str]
    verdict: Verdict | None = None
    layers: Sequence[LayerError] = ()

    def sections(self) -> list[pages.Section]:
        """The content, without anything that is of one form only."""
        made = [pages.Section("Files", items=[self._files()])]
        if self.verdict is not None:
            made += _measured(self.verdict)
        if self.layers:
            made.append(ranking(self.layers))
        return made

    def _files(self) -> pages.Table:
        rows = []
        for model, kept in zip(self.models, self.kept, strict=True):
            parity = model.parity
            rows.append(
                [
                    model.kind,
                    kept or "not kept",
                    operations_of(model.content),
                    f"{len(model.content) / 1e6:.2f} MB",
                    f"{parity.agreement:.2%} of {parity.count}",
                    f"{parity.largest_difference:.3f}",
                    f"{parity.mean_difference:.4f}",
                ]
            )
        columns = (
            "kind",
            "file",
            "operations",
            "size",
            "same emotion as Keras",
            "largest difference",
            "mean",
        )
        unit = self.source.contract.output
        caption = f"Parity on faces that no range was taken from; differences of {unit}"
        return pages.Table(columns, rows, caption, text_columns=3)


def operations_of(content: bytes) -> str:
    """How many of which: ``13 CONV_2D, 6 ADD, 1 MEAN``, the most frequent first."""
    names = Counter(operation.name for operation in describe(content).operations)
    return ", ".join(f"{count} {name}" for name, count in names.most_common())


def write_report(report: Report, html: Path, markdown: Path) -> None:
    """Write both forms, each whole or not at all.

    Raises:
        ModelError: They cannot be written.
    """
    contract = report.source.contract
    title = f"Conversion of {report.source.path.name}"
    subtitle = f"{contract.name}, SHA-256 {contract.content_sha256[:16]}…"
    sections = report.sections()
    try:
        pages.write_page(html, title, subtitle, sections)
        with replacing(markdown) as partial:
            partial.write_text(as_markdown(title, subtitle, sections), encoding="utf-8")
    except OSError as exc:
        raise ModelError(f"Cannot write the report {html}: {exc.strerror}.") from exc


def as_markdown(title: str, subtitle: str, sections: Sequence[pages.Section]) -> str:
    """The texts and tables of a report as Markdown; pictures are left to the page."""
    lines = [f"# {title}", "", subtitle, ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for paragraph in section.paragraphs:
            lines += [paragraph, ""]
        for item in section.items:
            if isinstance(item, pages.Table):
                lines += [*_markdown_table(item), ""]
    return "\n".join(lines)


def _markdown_table(table: pages.Table) -> list[str]:
    lines = markdown_table(table.columns, table.rows, text_columns=table.text_columns)
    return [table.caption, "", *lines] if table.caption else lines


def _measured(verdict: Verdict) -> list[pages.Section]:
    rows = [["Keras", f"{verdict.keras.accuracy:.2%}", f"{verdict.keras.macro_f1:.4f}", *["–"] * 5]]
    for model in verdict.models:
        loss = model.loss
        rows.append(
            [
                model.kind,
                f"{model.scores.accuracy:.2%}",
                f"{model.scores.macro_f1:.4f}",
                f"{loss.points:.2f}",
                f"{loss.low:.2f} to {loss.high:.2f}",
                f"{model.agreement:.2%}",
                f"{model.latency.median_ms:.2f} / {model.latency.p90_ms:.2f}",
                "passed" if model.passed else "refused",
            ]
        )
    columns = (
        "model",
        "accuracy",
        "macro-F1",
        "lost, points",
        "95 % interval",
        "same answer",
        "ms a face, median / p90",
        f"limit {verdict.max_loss:g}",
    )
    text = (
        f"{verdict.split} of {verdict.data}, {verdict.count} images. The interval is of the paired "
        f"difference (Agresti and Min, 2005). Milliseconds are of this machine with one thread, "
        f"at this moment."
    )
    made = [pages.Section("Accuracy", [text], [pages.Table(columns, rows)])]
    made.append(pages.Section("Each class", items=[_classes(verdict)]))
    fitted = [(model.kind, model.fitted) for model in verdict.models if model.fitted]
    if fitted:
        made.append(_sureness(fitted))
    changed = [_changes(model) for model in verdict.models if np.sum(model.changed)]
    if changed:
        made.append(pages.Section("What changed into what", items=changed))
    return made


def _sureness(fitted: Sequence[tuple[str, Fitted]]) -> pages.Section:
    rows = [
        [kind, f"{each.temperature:g}"]
        + [f"{error:.3f}" for error in (each.error_before, each.error, each.by_chance)]
        for kind, each in fitted
    ]
    columns = ("model", "temperature", "calibration error at 1", "with it", "by chance")
    text = (
        "Logits are divided by the temperature, which makes the model as sure as it is right and "
        "changes no answer (Guo et al., 2017). It is fitted on these images; its error is that of "
        "one fitted on a half of them and measured on the other, in the mean over 20 halvings. It "
        "is 1 where that is no better than none. By "
        "chance: what a model measures on so many whose probabilities are exactly right."
    )
    return pages.Section("How sure it is", [text], [pages.Table(columns, rows)])


def _classes(verdict: Verdict) -> pages.Table:
    columns = ["class", "images", "recall, Keras", *(f"{m.kind}, change" for m in verdict.models)]
    rows = []
    for index, row in enumerate(verdict.keras.classes):
        found = [model.scores.classes[index].recall for model in verdict.models]
        changes = [f"{100 * (recall - row.recall):+.2f}" for recall in found]
        rows.append([row.label, str(row.support), f"{row.recall:.2%}", *changes])
    return pages.Table(columns, rows, "Recall, and its change in points")


def _changes(model: Judged) -> pages.Picture:
    made = plots.figure(900, 700)
    axes = made.add_subplot()
    counts = np.array(model.changed)
    texts = [[str(n) if n else "" for n in row] for row in counts]
    plots.heatmap(axes, counts / counts.max(), texts, EMOTIONS)
    axes.set_xlabel(f"{model.kind} says")
    axes.set_ylabel("Keras says")
    total = int(counts.sum())
    axes.set_title(f"{model.kind}: {total} of {model.scores.count} answers changed", loc="left")
    words = f"Table of the {total} images that Keras and the {model.kind} model name differently."
    return pages.Picture(plots.png(made), words, "Images, by what each model says.")


def ranking(layers: Sequence[LayerError]) -> pages.Section:
    """The layers of an int8 model by the error that quantisation leaves."""
    rows = [
        [layer.name, layer.operation, f"{layer.noise:.2%}", f"{layer.steps:.2f}"]
        for layer in layers
    ]
    columns = ("layer", "operation", "error, share of its spread", "error, steps")
    text = (
        "Each quantised layer beside its float twin, both fed with the same quantised input. An "
        "error of 0.29 steps is rounding alone."
    )
    return pages.Section(
        "Layers by quantisation error", [text], [pages.Table(columns, rows, "", 2)]
    )
