"""A face detector that was never trained: its contract's form, and weights set by hand.

A cell of the middle grid (stride 16) scores by the mean of its own 16x16 pixels: below 128 no face,
at 255 surely one. The other grids see nothing, and every box reaches a stride to each side of its
cell's centre.
"""

from pathlib import Path

import numpy as np

from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.detectors.fer_face_decode import RAW_MIDDLE, STRIDES

from ..conftest import a_contract
from ..convert.builders import Graph

SIZE_WH = (320, 240)
FIRING = 16
# Grey values from a score of a half to one of 0.73, and the scales of int8 scores and boxes.
_PER_LOGIT, SCORE_SCALE, BOX_SCALE = 16.0, 0.1, 0.05


def bare_finder(
    size_wh: tuple[int, int] = SIZE_WH,
    dtype: str = "INT8",
    *,
    boxes_first: bool = True,
    strides: tuple[int, ...] = STRIDES,
    depth: int = 1,
) -> bytes:
    """The model without its contract."""
    graph, (width, height) = Graph(), size_wh
    pixels = graph.tensor((1, height, width, depth), dtype, scales=(1.0,), zero_point=-128)
    parts: dict[int, list[int]] = {1: [], 4: []}
    for stride in strides:
        for channels, row in parts.items():
            row.append(_head(graph, pixels, size_wh, stride, channels, dtype, depth))
    made = {}
    for channels, row in parts.items():
        count = sum(graph.tensors[number].shape[1] for number in row)
        scale = SCORE_SCALE if channels == 1 else BOX_SCALE
        made[channels] = graph.tensor((1, count, channels), dtype, scales=(scale,))
        graph.operation(
            "CONCATENATION",
            row,
            [made[channels]],
            version=2,
            options="ConcatenationOptions",
            axis=1,
        )
    return graph.build([pixels], [made[4], made[1]] if boxes_first else [made[1], made[4]])


def _head(graph: Graph, pixels: int, size_wh, stride: int, channels: int, dtype: str, depth: int):
    """The scores or the boxes of one grid, ``(1, cells, channels)``; the number of its tensor."""
    width, height = (-(-side // stride) for side in size_wh)
    out = (SCORE_SCALE,) if channels == 1 else (BOX_SCALE,)
    fires = channels == 1 and stride == FIRING
    weight = 1 / (_PER_LOGIT * stride**2)
    bias = RAW_MIDDLE if channels == 4 else -128 / _PER_LOGIT
    is_float = dtype == "FLOAT32"
    weights = graph.tensor(
        (channels, stride, stride, depth),
        dtype,
        values=0 if not fires else weight if is_float else 1,
        scales=(weight,) * channels,
    )
    biases = graph.tensor(
        (channels,), dtype if is_float else "INT32", values=bias if is_float else bias / weight
    )
    grid = graph.tensor((1, height, width, channels), dtype, scales=out)
    graph.operation(
        "CONV_2D",
        [pixels, weights, biases],
        [grid],
        version=3,
        options="Conv2DOptions",
        strideW=stride,
        strideH=stride,
    )
    flat = graph.tensor((1, width * height, channels), dtype, scales=out)
    sides = graph.tensor((3,), "INT32", values=np.array([1, width * height, channels]))
    graph.operation("RESHAPE", [grid, sides], [flat])
    return flat


def blob_finder(size_wh: tuple[int, int] = SIZE_WH, dtype: str = "INT8", **changes) -> bytes:
    """The model with its contract inside; ``changes`` are fields of that."""
    contract = a_contract(kind="face-detector", input_size_wh=size_wh, name="blobs", **changes)
    return embed_contract(bare_finder(size_wh, dtype), contract)


def write_finder(folder: Path, size_wh: tuple[int, int] = SIZE_WH) -> Path:
    """The model as a file, named as one that ships."""
    path = folder / f"fer_face_{size_wh[0]}x{size_wh[1]}_int8.tflite"
    path.write_bytes(blob_finder(size_wh))
    return path


def blobs(*cells: tuple[int, int], size_wh: tuple[int, int] = SIZE_WH, value: int = 255):
    """A grey picture, uint8 ``(h, w)``, in which these cells (column, row) are bright."""
    picture = np.full(size_wh[::-1], 40, np.uint8)
    for column, row in cells:
        x, y = column * FIRING, row * FIRING
        picture[y : y + FIRING, x : x + FIRING] = value
    return picture


def center(cell: tuple[int, int]) -> tuple[float, float]:
    """Where a cell's middle is in the model's input, in pixels."""
    return (cell[0] + 0.5) * FIRING, (cell[1] + 0.5) * FIRING
