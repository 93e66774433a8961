"""Which layer an int8 conversion loses most at: ``convert --debug``."""

import csv
import io
import tempfile
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..edge.errors import ModelError
from ..edge.native_log import native_stderr_silenced
from ..edge.records import Image
from .keras_backend import import_keras
from .quantize import make_converter
from .source import Source


@dataclass(frozen=True, slots=True)
class LayerError:
    """The quantisation error of one layer's output.

    Attributes:
        name: Of its tensor.
        operation: Such as ``CONV_2D``.
        steps: Root of the mean squared error against float, in steps of its int8 output: rounding
            alone gives 1 / sqrt(12), about 0.29; more was cut off at the ends of the range.
        noise: The same as a share of the spread (standard deviation) of the layer's output.
    """

    name: str
    operation: str
    steps: float
    noise: float


def rank_layers(source: Source, calibrate: Image, check: Image) -> list[LayerError]:
    """The layers of the int8 model, the worst first.

    By TensorFlow's QuantizationDebugger: each quantised layer beside its float twin, both fed with
    the same quantised input.

    Args:
        source: The Keras model.
        calibrate: Faces for the ranges, uint8 ``(n, h, w)``.
        check: Other faces to measure on.

    Raises:
        ModelError: TensorFlow cannot convert or debug this model.
    """
    _, tensorflow = import_keras()
    inputs = source.pixels(calibrate).astype(np.float32)
    others = source.pixels(check).astype(np.float32)
    table = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # It interprets with tf.lite.Interpreter, which announces its own end at every use.
        warnings.simplefilter("ignore")
        # It raises whatever the converter's passes and the interpreter raise.
        try:
            with native_stderr_silenced():
                lite = tensorflow.lite.experimental
                debugger = lite.QuantizationDebugger(
                    converter=make_converter(source, "int8", inputs, folder),
                    debug_dataset=lambda: ([face[None]] for face in others),
                    debug_options=lite.QuantizationDebugOptions(
                        layer_direct_compare_metrics={"noise": _noise}
                    ),
                )
                debugger.run()
                debugger.layer_statistics_dump(table)
        except Exception as exc:
            raise ModelError(f"TensorFlow cannot debug the conversion: {exc}") from exc
    table.seek(0)
    found = [_read(row) for row in csv.DictReader(table)]
    return sorted(found, key=lambda layer: -layer.noise)


def _noise(
    expected: NDArray[np.float32], found: NDArray[np.int8], scale: float, zero_point: int
) -> float:
    """The error of one output as a share of its spread."""
    error = (found.astype(np.float32) - zero_point) * scale - expected
    return float(np.sqrt(np.mean(error**2)) / max(float(np.std(expected)), 1e-12))


def _read(row: dict[str, str]) -> LayerError:
    scale = float(row["scale"])
    # "net/stage1a_relu_1/Relu;net/stage1a_norm_1/…" is one fused layer of several names.
    names = [
        part.split("/")[1].removesuffix("_1")
        for part in row["tensor_name"].split(";")
        if "/" in part
    ]
    return LayerError(
        name=", ".join(dict.fromkeys(names)) or row["tensor_name"],
        operation=row["op_name"],
        steps=float(row["mean_squared_error"]) ** 0.5 / scale if scale else 0.0,
        noise=float(row["noise"]),
    )
