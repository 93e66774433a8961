"""Other people's TFLite detectors, on a small model that ends in the operation that theirs end in.

It finds red squares: the mean of the red channel over each of 4x4 cells is the score of a box of
two cells around it, and the operation itself drops the weaker of two that overlap.
"""

import hashlib

import numpy as np
import pytest
from flatbuffers import flexbuffers

from fer_edge.edge.detectors import AUTO, open_detector
from fer_edge.edge.detectors.ssd import SsdDetector
from fer_edge.edge.errors import ModelError, UsageError
from fer_edge.edge.trust import remember

from ..convert.builders import Graph

SIDE, CELLS = 64, 4
CELL = SIDE // CELLS
# What a picture's value of 0 and of 255 is for the model: between 0 and 1.
STEPS = {"UINT8": ((1 / 255,), 0), "INT8": ((1 / 255,), -128), "FLOAT32": ((), 0)}
# As the converters of TensorFlow 1 and 2 name the boxes, classes, scores and their number.
NAMES = ("boxes", "classes", "scores", "count")
# Settings of the operation, as the object detection API writes them.
OPTIONS = {
    "max_detections": 10,
    "max_classes_per_detection": 1,
    "detections_per_class": 100,
    "use_regular_nms": False,
    "nms_score_threshold": 0.1,
    "nms_iou_threshold": 0.3,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
}


def red_finder(
    dtype: str = "UINT8",
    *,
    depth: int = 3,
    order: tuple[int, ...] = (0, 1, 2, 3),
    classes: int = 1,
    inputs: int = 1,
) -> bytes:
    """A detector of red squares; a grey one finds bright ones.

    Args:
        dtype: Of the input.
        depth: Channels of the input.
        order: How the model lists boxes, classes, scores and their number.
        classes: So many, of which the last is what it finds.
        inputs: Pictures that it takes.
    """
    graph, cells = Graph(), CELLS**2
    scales, zero_point = STEPS[dtype]
    shape = (inputs, SIDE, SIDE, depth)
    image = pixels = graph.tensor(shape, dtype, scales=scales, zero_point=zero_point)
    if dtype != "FLOAT32":
        pixels = graph.tensor(shape, "FLOAT32")
        graph.operation("DEQUANTIZE", [image], [pixels], version=2, options="DequantizeOptions")
    weights = np.zeros((classes, CELL, CELL, depth))
    weights[-1, ..., 0] = 1 / CELL**2
    grid = graph.tensor((inputs, CELLS, CELLS, classes), "FLOAT32")
    graph.operation(
        "CONV_2D",
        [
            pixels,
            graph.tensor(weights.shape, "FLOAT32", values=weights),
            graph.tensor((classes,), "FLOAT32", values=0),
        ],
        [grid],
        options="Conv2DOptions",
        strideW=CELL,
        strideH=CELL,
    )
    scores = graph.tensor((1, cells, classes), "FLOAT32")
    sides = graph.tensor((3,), "INT32", values=np.array([1, cells, classes]))
    graph.operation("RESHAPE", [grid, sides], [scores])
    y, x = (np.indices((CELLS, CELLS)).reshape(2, -1) + 0.5) / CELLS
    anchors = np.stack([y, x, np.full(cells, 2 / CELLS), np.full(cells, 2 / CELLS)], axis=1)
    made = [
        graph.tensor(shape, "FLOAT32", name=name)
        for shape, name in zip(((1, 10, 4), (1, 10), (1, 10), (1,)), NAMES, strict=True)
    ]
    graph.operation(
        "TFLite_Detection_PostProcess",
        [
            graph.tensor((1, cells, 4), "FLOAT32", values=0),
            scores,
            graph.tensor((cells, 4), "FLOAT32", values=anchors),
        ],
        made,
    )
    graph.operations[-1].customOptions = list(flexbuffers.Dumps(OPTIONS | {"num_classes": classes}))
    return graph.build([image], [made[place] for place in order])


def plain(names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> bytes:
    """A model without that operation whose outputs are zeros of these shapes and names."""
    graph = Graph()
    source = graph.tensor((1, 8, 8, 3), "UINT8", scales=(1.0,))
    made = []
    for name, shape in zip(names, shapes, strict=True):
        made.append(graph.tensor(shape, "FLOAT32", name=name))
        zeros = graph.tensor(shape, "FLOAT32", values=0)
        graph.operation("ADD", [zeros, zeros], [made[-1]], options="AddOptions")
    return graph.build([source], made)


@pytest.fixture
def opened(tmp_path):
    """Opens a detector from a model's bytes, as one that was loaded here before."""

    def open_bytes(content: bytes) -> SsdDetector:
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
        remember(hashlib.sha256(content).hexdigest())
        return SsdDetector(path)

    return open_bytes


def a_square(left: int, top: int, side: int = 16, *, size_wh=(SIDE, SIDE)) -> np.ndarray:
    """A picture in which a red square lies on blue-green: blue-green-red."""
    picture = np.zeros((*size_wh[::-1], 3), np.uint8)
    picture[..., :2] = 120
    picture[top : top + side, left : left + side] = (0, 0, 255)
    return picture


# ----------------------------------------------------------------------------------- what it finds


@pytest.mark.parametrize("dtype", STEPS)
def test_a_red_square_is_found_where_it_is(opened, dtype):
    """Each type of input is fed as such models were trained: 0 to 255, or -1 to 1."""
    detector = opened(red_finder(dtype))

    (face,) = detector.detect(a_square(32, 16))

    # The cell of the square, and half a cell around.
    assert face.box.as_ints() == (24, 8, 32, 32)
    assert face.score == pytest.approx(1, abs=0.01)
    assert (detector.name, detector.colour, detector.size_wh) == ("ssd", True, (64, 64))


def test_a_larger_frame_is_shrunk_and_the_box_brought_back(opened):
    # 256x128 becomes 64x32, so that a cell is 64 pixels and the lower half of the input is empty.
    picture = a_square(128, 64, 64, size_wh=(256, 128))

    (face,) = opened(red_finder()).detect(picture)

    assert face.box.as_ints() == (96, 32, 128, 128)


def test_a_grey_model_takes_a_camera_s_own_grey(opened):
    detector = opened(red_finder(depth=1))
    grey = a_square(32, 16)[..., 2]

    assert detector.colour is False
    assert detector.detect(grey)[0].box.as_ints() == (24, 8, 32, 32)
    # What is red is rather dark as grey.
    assert detector.detect(a_square(32, 16)) == []


def test_a_colour_model_takes_a_grey_picture(opened):
    (face,) = opened(red_finder()).detect(a_square(32, 16)[..., 2])

    assert face.box.as_ints() == (24, 8, 32, 32)


def test_what_scores_less_than_half_is_no_face(opened):
    detector = opened(red_finder())

    assert detector.detect(a_square(0, 0, 11)) == []  # 121 of the 256 pixels of its cell
    assert len(detector.detect(a_square(0, 0, 12))) == 1  # 144


def test_the_largest_face_comes_first(opened, monkeypatch):
    detector = opened(red_finder())
    rows = np.array([[0.1, 0.1, 0.2, 0.2, 0, 0.9], [0.3, 0.3, 0.6, 0.6, 0, 0.6]], np.float32)
    answers = rows[None, :, :4], rows[None, :, 4], rows[None, :, 5], np.array([2], np.float32)
    monkeypatch.setattr(detector._network, "run_all", lambda _: answers)

    scores = [face.score for face in detector.detect(a_square(0, 0))]

    assert scores == pytest.approx([0.6, 0.9])


def test_only_the_first_class_is_a_face(opened):
    assert opened(red_finder(classes=2)).detect(a_square(32, 16)) == []


def test_another_one_like_it_finds_the_same(opened):
    detector = opened(red_finder())

    assert detector.renew().detect(a_square(32, 16)) == detector.detect(a_square(32, 16))


# ----------------------------------------------------------------------- the order of the outputs


# As TensorFlow 1 and TensorFlow 2 write it, and one that nobody writes.
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (3, 2, 1, 0)])
def test_the_order_of_the_outputs_is_found_by_the_operation(opened, order):
    (face,) = opened(red_finder(order=order)).detect(a_square(32, 16))

    assert face.box.as_ints() == (24, 8, 32, 32)
    assert face.score == pytest.approx(1, abs=0.01)


SHAPES = ((1, 5), (1, 5, 4), (1,), (1, 5))


def test_a_model_with_an_operation_of_its_own_is_understood_by_shapes_and_names(opened):
    content = plain(("detection_scores", "b", "n", "detection_classes"), SHAPES)

    detector = opened(content)

    assert detector._roles == (1, 3, 0, 2)
    assert detector.detect(a_square(0, 0)) == []


# Each case: names and shapes of outputs that are no detector's.
NO_DETECTORS = {
    "a classifier": (("scores",), ((1, 7),)),
    "nameless": (("a", "b", "c", "d"), SHAPES),
    "two of a kind": (("scores", "b", "n", "scores too"), SHAPES),
    "raw": (("boxes", "scores"), ((1, 1580, 4), (1, 1580, 1))),
}


@pytest.mark.parametrize("case", NO_DETECTORS)
def test_another_model_is_told_what_is_expected(opened, case):
    with pytest.raises(ModelError, match=r"four outputs of TFLite_Detection.*--detector fer-face"):
        opened(plain(*NO_DETECTORS[case]))


# ---------------------------------------------------------------------------------- failures


# Each case: a row of the answer (top, left, bottom, right, class, score) that is no face.
NO_FACES = {
    "not a number": (0.1, 0.1, 0.5, 0.5, 0, np.nan),
    "infinite": (0.1, 0.1, np.inf, 0.5, 0, 0.9),
    "without a width": (0.1, 0.5, 0.5, 0.5, 0, 0.9),
    "upside down": (0.5, 0.1, 0.1, 0.5, 0, 0.9),
    "weak": (0.1, 0.1, 0.5, 0.5, 0, 0.49),
    "something else": (0.1, 0.1, 0.5, 0.5, 1, 0.9),
    "beyond their number": (0.1, 0.1, 0.5, 0.5, 0, 0.9),
}


@pytest.mark.parametrize("case", NO_FACES)
def test_what_cannot_be_a_face_is_left_out(opened, monkeypatch, case):
    detector = opened(red_finder())
    good, bad = (0.2, 0.2, 0.4, 0.4, 0, 0.5), NO_FACES[case]
    rows = np.array([good, bad], np.float32)
    count = np.array([1 if case == "beyond their number" else 2], np.float32)
    answers = rows[None, :, :4], rows[None, :, 4], rows[None, :, 5], count
    monkeypatch.setattr(detector._network, "run_all", lambda _: answers)

    (face,) = detector.detect(a_square(0, 0))

    assert face.box.as_ints() == (13, 13, 13, 13)
    assert face.score == 0.5


@pytest.mark.parametrize(("depth", "inputs"), [(2, 1), (4, 1)])
def test_an_input_that_is_no_picture_is_refused(opened, depth, inputs):
    with pytest.raises(ModelError, match="expected one picture"):
        opened(red_finder(depth=depth, inputs=inputs))


@pytest.mark.parametrize("content", [b"", b"no model at all " * 4, red_finder()[:500]])
def test_a_damaged_file_is_told(opened, content):
    with pytest.raises(ModelError, match="refuses the model"):
        opened(content)


def test_an_unknown_model_is_loaded_in_a_child_first(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(
        "fer_edge.edge.trust.run_in_child", lambda load, content, **_: tried.append(content)
    )
    path = tmp_path / "model.tflite"
    # A few bytes behind the model's own, so that no other test has loaded it.
    path.write_bytes(red_finder() + b"\0" * 7)

    SsdDetector(path)

    assert tried == [path.read_bytes()]


def test_the_child_runs_a_model_with_four_outputs(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(red_finder() + b"\0" * 9)

    assert len(SsdDetector(path).detect(a_square(32, 16))) == 1


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"Cannot read the model .*none\.tflite: No such file"):
        SsdDetector(tmp_path / "none.tflite")


def test_ssd_without_a_model_asks_for_one():
    with pytest.raises(UsageError, match=r"name one with --detector-model FILE"):
        open_detector("ssd")


@pytest.mark.parametrize("name", ["ssd", AUTO])
def test_it_is_opened_by_its_name_and_by_a_tflite_of_others(tmp_path, name):
    path = tmp_path / "face.tflite"
    path.write_bytes(red_finder())

    assert open_detector(name, model=path).name == "ssd"
