"""Converting a face detector, as ``fer-edge convert`` does it with files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..edge.errors import GateError, ModelError
from ..edge.tpu import edgetpu_path
from ..training import pages
from .calibration import faces_beside
from .debug import LayerError, rank_layers
from .detector import (
    ConvertedDetector,
    at_size,
    convert_detector,
    fitted,
    load_detector,
    load_frames,
)
from .detector_gate import Judged, judge, load_images, measured
from .edgetpu_files import compile_file
from .keras_backend import require_harmless
from .report import operations_of, ranking, write_report
from .source import Source

#: Points (hundredths) of average precision that a detector may lose.
MAX_LOSS = 3.0


@dataclass(frozen=True, slots=True)
class DetectorJob:
    """What to convert, and to what.

    Attributes:
        model: The ``.keras`` file.
        sizes_wh: Of the inputs, one or more.
        kinds: Of ``quantize.KINDS``.
        out: Where a single one goes; several are named after it, or after the model.
        calibrate: Frames for the ranges; None for those that training left.
        data: Images with boxes (JSON lines) to measure on, or None.
        skip_bad: Whether to leave bad lines of it out.
        max_loss: Points of average precision that a model may lose.
        edgetpu: Whether to compile the int8 models, too.
        allow_cpu: Whether operations may then stay on the CPU.
        debug: Whether to rank the layers of the first one by their error.
        overwrite: Whether to replace files.
    """

    model: Path
    sizes_wh: tuple[tuple[int, int], ...]
    kinds: tuple[str, ...]
    out: Path | None
    calibrate: Path | None
    data: Path | None
    skip_bad: bool
    max_loss: float
    edgetpu: bool
    allow_cpu: bool
    debug: bool
    overwrite: bool

    def target(self, size_wh: tuple[int, int], kind: str) -> Path:
        """Where one model goes: ``model_320x240_int8.tflite``, or ``out`` as it is."""
        if self.out and len(set(self.sizes_wh)) == len(self.kinds) == 1:
            return self.out
        base = self.out or self.model
        return base.with_name(f"{base.stem}_{size_wh[0]}x{size_wh[1]}_{kind}.tflite")


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """What is known of a conversion.

    Attributes:
        source: What was converted.
        models: What it was converted to, by the file.
        judged: What that cost; empty without ``--data``.
        layers: The layers of the first int8 model, the worst first, or none.
    """

    source: Source
    models: Mapping[Path, ConvertedDetector]
    judged: Mapping[Path, Judged]
    layers: Sequence[LayerError] = ()

    def sections(self) -> list[pages.Section]:
        """The content, without anything that is of one form only."""
        made = [pages.Section("Files", items=[self._files()])]
        if self.judged:
            made.append(measured(self.judged))
        if self.layers:
            made.append(ranking(self.layers))
        return made

    def _files(self) -> pages.Table:
        columns = (
            "input",
            "kind",
            "file",
            "operations",
            "size",
            "on the Edge TPU",
            "same faces as Keras",
            "largest difference",
            "mean",
        )
        rows = []
        for path, model in self.models.items():
            parity, (width, height) = model.parity, model.contract.input_size_wh
            kept = path not in self.judged or self.judged[path].passed
            rows.append(
                [
                    f"{width}x{height}",
                    model.kind,
                    path.name if kept else "not kept",
                    operations_of(model.content),
                    f"{len(model.content) / 1e6:.2f} MB",
                    f"{model.tpu_share:.1%}",
                    f"{parity.agreement:.2%} of {parity.faces}",
                    f"{parity.largest_difference:.3f}",
                    f"{parity.mean_difference:.4f}",
                ]
            )
        caption = (
            "Parity on frames that no range was taken from: faces that both find, differences of "
            "their scores. On the Edge TPU: share of the multiply-adds, by the published rules"
        )
        return pages.Table(columns, rows, caption, text_columns=4)


def convert_file(job: DetectorJob) -> None:
    """Convert to every size and kind, and write what passes, with a report.

    Args:
        job: What to do.

    Raises:
        ModelError: A file exists, or cannot be read, used or written.
        DataError: The frames or images cannot be used.
        GateError: A model finds other faces, or loses too much; it is not kept.
    """
    sizes = list(dict.fromkeys(job.sizes_wh))
    base = job.out or job.model
    page, text = (base.with_name(f"{base.stem}.conversion{end}") for end in (".html", ".md"))
    targets = {(size, kind): job.target(size, kind) for size in sizes for kind in job.kinds}
    compiled = [edgetpu_path(path) for (_, kind), path in targets.items() if kind == "int8"]
    for path in (*targets.values(), page, text, *(compiled if job.edgetpu else ())):
        if path.exists() and not job.overwrite:
            raise ModelError(f"{path} exists. Pass --overwrite to replace it, or another --out.")
    frames = load_frames(job.calibrate or faces_beside(job.model))
    images = load_images(job.data, skip_bad=job.skip_bad) if job.data else None
    require_harmless(job.model)
    source = load_detector(job.model)
    made: dict[Path, ConvertedDetector] = {}
    judged: dict[Path, Judged] = {}
    for size in sizes:
        sized = at_size(source, size)
        for kind in job.kinds:
            path = targets[size, kind]
            made[path] = convert_detector(sized, kind, frames)
            if images is not None:
                judged[path] = judge(sized, made[path], images, max_loss=job.max_loss)
                made[path] = made[path].with_metrics(*judged[path].metrics(kind))
    layers: Sequence[LayerError] = ()
    if job.debug:
        sized = at_size(source, sizes[0])
        layers = rank_layers(
            sized, fitted(frames.calibrate, sizes[0]), fitted(frames.check, sizes[0])
        )
    refused = [path for path, one in judged.items() if not one.passed]
    for path, one in made.items():
        if path not in refused:
            one.write(path, overwrite=job.overwrite)
            click.echo(_line(one, path, source))
        if path in judged:
            click.echo(f"  {judged[path]}")
    write_report(DetectorReport(source, made, judged, layers), page, text)
    for layer in layers[:10]:
        click.echo(f"{layer.noise:7.2%} of its spread, {layer.steps:.2f} steps: {layer.name}")
    click.echo(f"report: {page}, {text.name}")
    if refused:
        raise GateError(
            f"{', '.join(path.name for path in refused)} lost more than {job.max_loss:g} points of "
            f"average precision and was not kept. Calibrate on other frames (--calibrate), see "
            f"with --debug which layer loses most, or allow more with --max-loss."
        )
    if job.edgetpu:
        for (_, kind), path in targets.items():
            if kind == "int8":
                compile_file(path, None, None, allow_cpu=job.allow_cpu, overwrite=job.overwrite)


def _line(one: ConvertedDetector, path: Path, source: Source) -> str:
    parity = one.parity
    return (
        f"{path}: {one.kind}, {len(one.content) / 1e6:.2f} MB; the same faces as {source.path} for "
        f"{parity.agreement:.1%} of {parity.faces} in {parity.count} frames, largest difference of "
        f"a score {parity.largest_difference:.2f} (mean {parity.mean_difference:.3f}); "
        f"{one.tpu_share:.1%} of its multiply-adds map to an Edge TPU."
    )
