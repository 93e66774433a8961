"""The command ``fer-edge convert``."""

from pathlib import Path

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: MODEL with .tflite.")
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    help="Faces for the int8 ranges: an .npz or FER-2013. Default: those that training left.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def convert(model: Path, out: Path | None, calibrate: Path | None, overwrite: bool) -> None:
    """Turn MODEL (.keras) into an int8 .tflite, and check it against MODEL on real faces.

    Ends with code 5, and leaves no file, where both agree on fewer than 97 % of the faces.
    """
    from ..edge.errors import ModelError
    from ..edge.sidecar import read_sidecar
    from .calibration import faces_beside, load_calibration
    from .quantize import convert as convert_model

    if model.suffix != ".keras":
        raise ModelError(f"Expected a single .keras file, got {model}.")
    target = out or model.with_suffix(".tflite")
    if target.exists() and not overwrite:
        raise ModelError(f"{target} exists. Pass --overwrite to replace it, or another --out.")
    # Before TensorFlow is loaded, which takes seconds: a missing contract is told at once.
    read_sidecar(model)
    converted = convert_model(model, load_calibration(calibrate or faces_beside(model)))
    converted.write(target, overwrite=overwrite)
    parity = converted.parity
    click.echo(
        f"{target}: {len(converted.content) / 1e6:.2f} MB, int8 in and out; the same emotion as "
        f"{model} on {parity.agreement:.1%} of {parity.count} faces, largest difference "
        f"{parity.largest_difference:.2f} logits (mean {parity.mean_difference:.3f})."
    )
