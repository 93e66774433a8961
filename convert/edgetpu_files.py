"""Compiling for the Edge TPU, as ``fer-edge convert`` does it with files."""

from pathlib import Path

import click

from ..edge.contract_file import load_model
from ..edge.errors import FerEdgeError, ModelError
from ..edge.files import replacing
from ..edge.tpu import edgetpu_path
from .describe import read_model_file
from .edgetpu import adopt, compile_commands, compile_edgetpu, find_compiler
from .edgetpu_log import COMPILER


def compile_file(
    model: Path, out: Path | None, compiled: Path | None, *, allow_cpu: bool, overwrite: bool
) -> None:
    """Write ``MODEL_edgetpu.tflite`` with its contract inside.

    Args:
        model: An int8 ``.tflite`` with its contract inside.
        out: Another name for the result.
        compiled: What the compiler made of it elsewhere; None compiles here.
        allow_cpu: Keep a model of which operations stay on the CPU.
        overwrite: Replace a file that exists.

    Raises:
        ModelError: A file cannot be read, used or written.
        GateError: Operations stay on the CPU.
        FerEdgeError: There is no compiler here.
    """
    target = out or edgetpu_path(model)
    if target.exists() and target != compiled and not overwrite:
        raise ModelError(f"{target} exists. Pass --overwrite to replace it, or another --out.")
    content, _ = load_model(model)
    if compiled is not None:
        whole, _ = adopt(read_model_file(compiled), content)
        told = "compiled elsewhere, the contract put back"
    elif find_compiler() is None:
        raise FerEdgeError(
            f"There is no {COMPILER} on the PATH. Compile on another machine, then put the "
            f"contract back with `fer-edge convert {model} --compiled FILE`:\n\n"
            f"{compile_commands(model.name)}"
        )
    else:
        made = compile_edgetpu(content, allow_cpu=allow_cpu)
        whole = made.content
        told = f"{made.log.on_tpu} operations on the Edge TPU, {made.log.on_cpu} on the CPU"
    try:
        with replacing(target) as partial:
            partial.write_bytes(whole)
    except OSError as exc:
        raise ModelError(f"Cannot write {target}: {exc.strerror}.") from exc
    click.echo(f"{target}: {len(whole) / 1e6:.2f} MB, {told}.")
