"""The command ``fer-edge convert``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..edge.cli_options import Size

if TYPE_CHECKING:
    from ..edge.contract import ModelContract
    from .gate import Verdict
    from .quantize import Converted
    from .source import Source

_KINDS = ("int8", "float32", "float16", "dynamic")
# Points of accuracy that an emotion model may lose.
_MAX_LOSS = 0.5


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: MODEL with .tflite.")
@click.option(
    "--to",
    "kinds",
    multiple=True,
    type=click.Choice(_KINDS),
    default=("int8",),
    show_default=True,
    help="May be given several times.",
)
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    help="Faces, or frames of a detector, for the int8 ranges: an .npz or FER-2013. Default: those "
    "that training left.",
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=Size(),
    help="Input of a face detector; several from the same weights. Default: its contract's.",
)
@click.option("--labels", help="Classes in the order of the outputs, of a model without contract.")
@click.option("--input-range", help="What black and white are for it, such as 0,1. Default: 0,255.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="FER-2013, or a detector's images (.jsonl), to measure on.",
)
@click.option("--split", default="PublicTest", show_default=True, help="Which rows of it.")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows of --data out and count them.")
@click.option(
    "--max-loss",
    type=click.FloatRange(min=0),
    show_default="0.5; a detector 3",
    help="Points of accuracy, or of a detector's average precision, on --data that a model may "
    "lose and still be kept.",
)
@click.option("--edgetpu", is_flag=True, help="Also compile the int8 model for the Edge TPU.")
@click.option("--allow-cpu", is_flag=True, help="Keep it where operations stay on the CPU.")
@click.option(
    "--compiled",
    type=click.Path(path_type=Path),
    help="What edgetpu_compiler made elsewhere of MODEL, an int8 .tflite: put the contract back.",
)
@click.option("--debug", is_flag=True, help="Rank the layers by their quantisation error.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def convert(
    model: Path,
    out: Path | None,
    kinds: tuple[str, ...],
    calibrate: Path | None,
    sizes: tuple[tuple[int, int], ...],
    labels: str | None,
    input_range: str | None,
    data: Path | None,
    split: str,
    skip_bad: bool,
    max_loss: float | None,
    edgetpu: bool,
    allow_cpu: bool,
    compiled: Path | None,
    debug: bool,
    overwrite: bool,
) -> None:
    """Turn MODEL (.keras) into TFLite, and check it against MODEL on real faces.

    The contract beside it says whether it names emotions or finds faces (fer-edge train-detector).
    Ends with code 5, and leaves no file, where they do not agree or too much accuracy is lost.
    With --edgetpu or --compiled, MODEL may be an int8 .tflite of ours, too.
    """
    if model.suffix == ".tflite" and (edgetpu or compiled):
        from .edgetpu_files import compile_file

        compile_file(model, out, compiled, allow_cpu=allow_cpu, overwrite=overwrite)
        return
    from ..edge.errors import GateError, ModelError, UsageError
    from ..edge.tpu import edgetpu_path
    from .calibration import faces_beside, load_calibration
    from .source import load_source, read_words

    if model.suffix != ".keras":
        raise ModelError(f"Expected a single .keras file, got {model}.")
    if compiled:
        raise UsageError("--compiled takes the int8 .tflite that was compiled as MODEL.")
    if edgetpu and "int8" not in kinds:
        raise UsageError("--edgetpu compiles the int8 model: leave --to out, or add --to int8.")
    kinds = tuple(dict.fromkeys(kinds))
    names = [part.strip() for part in labels.split(",")] if labels else []
    span = _range(input_range)
    contract = _detector_contract(model)
    if contract is not None:
        from .detector_files import MAX_LOSS, DetectorJob, convert_file

        read_words(model, names, span)
        job = DetectorJob(
            model,
            sizes or (contract.input_size_wh,),
            kinds,
            out,
            calibrate,
            data,
            skip_bad=skip_bad,
            max_loss=MAX_LOSS if max_loss is None else max_loss,
            edgetpu=edgetpu,
            allow_cpu=allow_cpu,
            debug=debug,
            overwrite=overwrite,
        )
        convert_file(job)
        return
    if sizes:
        raise UsageError(
            f"--size is for a face detector, whose network takes any; {model} is none. Leave it "
            f"out."
        )
    max_loss = _MAX_LOSS if max_loss is None else max_loss
    targets = _targets(model, out, kinds)
    page, text = (_report_path(model, out, suffix) for suffix in (".html", ".md"))
    compiled_target = edgetpu_path(targets[kinds.index("int8")]) if edgetpu else None
    for path in filter(None, (*targets, page, text, compiled_target)):
        if path.exists() and not overwrite:
            raise ModelError(f"{path} exists. Pass --overwrite to replace it, or another --out.")
    # All that can be told before TensorFlow is loaded, which takes seconds, is told.
    read_words(model, names, span)
    calibration = load_calibration(calibrate or faces_beside(model))
    dataset = _load_data(data, skip_bad=skip_bad) if data else None

    from .debug import rank_layers
    from .gate import judge
    from .keras_backend import require_harmless
    from .quantize import convert as convert_model
    from .report import ConversionReport, write_report

    require_harmless(model)
    source = load_source(model, labels=names, input_range=span, faces=calibration.check)
    made = [convert_model(source, kind, calibration) for kind in kinds]
    verdict = judge(source, made, dataset, split, max_loss=max_loss) if dataset else None
    passed = [item.passed for item in verdict.models] if verdict else [True] * len(made)
    if verdict:
        made = _with_metrics(made, verdict)
    layers = rank_layers(source, calibration.calibrate, calibration.check) if debug else ()
    kept = [target.name if good else "" for target, good in zip(targets, passed, strict=True)]
    for item, target, good in zip(made, targets, passed, strict=True):
        if good:
            item.write(target, overwrite=overwrite)
            click.echo(_line(item, target, source))
    write_report(ConversionReport(source, made, kept, verdict, layers), page, text)
    if verdict:
        _print_verdict(verdict)
    for layer in layers[:10]:
        click.echo(f"{layer.noise:7.2%} of its spread, {layer.steps:.2f} steps: {layer.name}")
    click.echo(f"report: {page}, {text.name}")
    refused = [item.kind for item, good in zip(made, passed, strict=True) if not good]
    if refused:
        raise GateError(
            f"{', '.join(refused)} lost more than {max_loss:g} points on {split} and was not kept; "
            f"{page} says where. See with --debug which layer loses most, calibrate on other faces "
            f"(--calibrate), or allow more with --max-loss."
        )
    if edgetpu:
        from .edgetpu_files import compile_file

        compile_file(
            targets[kinds.index("int8")], None, None, allow_cpu=allow_cpu, overwrite=overwrite
        )


def _detector_contract(model: Path) -> "ModelContract | None":
    """The contract beside a model, where it is a face detector's."""
    from ..edge.contract import DETECTOR, ModelContract
    from ..edge.sidecar import sidecar_path

    beside = sidecar_path(model)
    if not beside.is_file():
        return None
    contract = ModelContract.from_json(beside.read_bytes())
    return contract if contract.kind == DETECTOR else None


def _targets(model: Path, out: Path | None, kinds: tuple[str, ...]) -> list[Path]:
    """The file of each kind: OUT itself where there is only one, else its name with the kind."""
    base = out or model.with_suffix(".tflite")
    if len(kinds) == 1 and (out or kinds == ("int8",)):
        return [base]
    return [base.with_name(f"{base.stem}_{kind}.tflite") for kind in kinds]


def _report_path(model: Path, out: Path | None, suffix: str) -> Path:
    base = out or model
    return base.with_name(f"{base.stem}.conversion{suffix}")


def _load_data(data: Path, *, skip_bad: bool):
    from ..training.datasets import load

    return load(data, skip_bad=skip_bad)


def _range(text: str | None) -> tuple[float, float] | None:
    from ..edge.errors import UsageError

    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as exc:
        raise UsageError(f"Expected --input-range LOW,HIGH such as -1,1, got {text!r}.") from exc
    return low, high


def _with_metrics(made: list["Converted"], verdict: "Verdict") -> list["Converted"]:
    """The models with what was measured of them in their contracts."""
    told = []
    for model, judged in zip(made, verdict.models, strict=True):
        common = {"split": verdict.split, "count": verdict.count, "of": model.kind}
        metrics = [{"name": "accuracy", "value": round(judged.scores.accuracy, 5), **common}]
        points = {name: round(value, 3) for name, value in asdict(judged.loss).items()}
        metrics.append({"name": "lost_points", "value": points.pop("points"), **points, **common})
        fitted = judged.fitted
        if fitted:
            # Of images that the temperature was not fitted on.
            error = {"value": round(fitted.error, 4), "by_chance": round(fitted.by_chance, 4)}
            metrics.append({"name": "calibration_error", **error, **common})
        fields = {"temperature": fitted.temperature} if fitted else {}
        told.append(model.with_metrics(*metrics, neutral_gaps=judged.neutral_gaps, **fields))
    return told


def _line(item: "Converted", target: Path, source: "Source") -> str:
    parity = item.parity
    return (
        f"{target}: {item.kind}, {len(item.content) / 1e6:.2f} MB; the same emotion as "
        f"{source.path} on {parity.agreement:.1%} of {parity.count} faces, largest difference "
        f"{parity.largest_difference:.2f} (mean {parity.mean_difference:.3f}), in "
        f"{source.contract.output}."
    )


def _print_verdict(verdict: "Verdict") -> None:
    click.echo(
        f"on {verdict.count} images of {verdict.split}: Keras {verdict.keras.accuracy:.2%}, "
        f"macro-F1 {verdict.keras.macro_f1:.4f}"
    )
    for model in verdict.models:
        loss, latency = model.loss, model.latency
        click.echo(
            f"  {model.kind}: {model.scores.accuracy:.2%}, lost {loss.points:.2f} points "
            f"({loss.low:.2f} to {loss.high:.2f}), macro-F1 {model.scores.macro_f1:.4f}, same "
            f"answer {model.agreement:.2%}, {latency.median_ms:.2f} ms a face here"
        )
        if model.fitted:
            click.echo(
                f"    as sure as it is right at temperature {model.fitted.temperature:g}: "
                f"calibration error {model.fitted.error_before:.3f} at 1, "
                f"{model.fitted.error:.3f} with it (fitted on one half, measured on the other; 1 "
                f"where none is better; {model.fitted.by_chance:.3f} by chance alone)"
            )
