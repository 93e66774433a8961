"""Our own detector: what is between its model and a face, on a model that finds bright blobs.

How its raw boxes are decoded is tested with the training; where the training crop is, seen from
it, in test_framing_measured.py once a model ships.
"""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.contract_file import embed_contract, load_model
from fer_edge.edge.detectors import AUTO, fer_face, open_detector
from fer_edge.edge.detectors.fer_face import FerFaceDetector, cells, find
from fer_edge.edge.detectors.scaling import letterbox, shrunk_size
from fer_edge.edge.errors import ModelError
from fer_edge.edge.records import Box
from fer_edge.edge.tpu import EdgeTpu

from ..conftest import a_contract, a_face, tiny_tflite
from .blob_finder import SIZE_WH, bare_finder, blob_finder, blobs, center, write_finder
from .tpu_standins import compile_standin

SMALL_WH = (192, 144)
# Logits, where what they decode to is another's.
SURE = np.full((2, 1), 9.0, np.float32)


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    """Models of these tests need no trial in a child; test_trust.py has that."""
    monkeypatch.setattr("fer_edge.edge.detectors.fer_face.require_harmless", lambda *_: None)


def a_detector(**options) -> FerFaceDetector:
    size_wh = options.pop("size_wh", SIZE_WH)
    content = bare_finder(size_wh, options.pop("dtype", "INT8"))
    runner = options.pop("runner", None)
    contract = a_contract(kind="face-detector", input_size_wh=size_wh, **options)
    return FerFaceDetector(content, contract, runner=runner)


# ----------------------------------------------------------------------------------- what it finds


@pytest.mark.parametrize("dtype", ["INT8", "FLOAT32"])
@pytest.mark.parametrize("size_wh", [SIZE_WH, SMALL_WH])
def test_a_blob_is_found_where_it_is(size_wh, dtype):
    (face,) = a_detector(size_wh=size_wh, dtype=dtype).detect(blobs((6, 3), size_wh=size_wh))

    assert face.box.center_px == pytest.approx(center((6, 3)))
    # Mean 255: a logit of 127 / 16.
    assert face.score == pytest.approx(1 / (1 + math.exp(-127 / 16)), abs=1e-3)
    assert face.landmarks_px is None
    assert all(isinstance(value, float) for value in (face.score, face.box.x_px, face.box.w_px))


def test_faces_in_two_places_are_two_and_nothing_is_none():
    detector = a_detector()

    assert detector.detect(blobs()) == []
    found = {face.box.center_px for face in detector.detect(blobs((2, 2), (12, 9)))}
    assert found == {center((2, 2)), center((12, 9))}


def test_the_threshold_is_the_contracts():
    # A mean of 128 + 16 x 1.5 is a score of 0.82.
    picture = blobs((6, 3), value=152)

    assert len(a_detector(score_threshold=0.8).detect(picture)) == 1
    assert a_detector(score_threshold=0.84).detect(picture) == []


# Each case: the camera's frame, and where its blob is in it.
FRAMES = {
    "twice the input": ((640, 480), 2.0),
    "wide, padded below": ((640, 360), 2.0),
    "high, padded to the right": ((480, 640), 640 / 240),
    "as it is": ((320, 240), 1.0),
    "smaller than the input": ((200, 150), 1.0),
}


@pytest.mark.parametrize("case", FRAMES)
def test_boxes_come_back_to_the_frames_pixels(case):
    size_wh, factor = FRAMES[case]
    whole = cv2.resize(blobs((6, 3)), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    frame = np.full(size_wh[::-1], 40, np.uint8)
    part = whole[: size_wh[1], : size_wh[0]]
    frame[: part.shape[0], : part.shape[1]] = part

    (face,) = a_detector().detect(frame)

    x, y = center((6, 3))
    assert face.box.center_px == pytest.approx((x * factor, y * factor), abs=1)


def test_a_frame_in_colour_is_made_grey():
    picture = blobs((6, 3))
    detector = a_detector()

    assert detector.colour is False
    assert detector.detect(np.dstack([picture] * 3)) == detector.detect(picture)


def test_the_frame_is_left_alone():
    picture = blobs((6, 3))
    before = picture.copy()

    a_detector().detect(picture)

    np.testing.assert_array_equal(picture, before)


def test_the_order_of_the_outputs_is_found_by_their_shapes():
    content = bare_finder(boxes_first=False)
    turned = FerFaceDetector(content, a_contract(kind="face-detector"))

    assert turned.detect(blobs((6, 3))) == a_detector().detect(blobs((6, 3)))


def test_another_one_like_it_finds_the_same():
    detector = a_detector()

    assert detector.renew().detect(blobs((6, 3))) == detector.detect(blobs((6, 3)))


# ----------------------------------------------------------------------------- one face, one box


def kept_by_the_book(boxes: list[Box], scores: list[float], threshold: float) -> list[int]:
    """Greedy suppression in plain Python: the best first, then whatever it does not overlap."""
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda index: -scores[index]):
        if scores[index] >= threshold and all(
            boxes[index].iou(boxes[other]) <= fer_face._NMS_IOU for other in kept
        ):
            kept.append(index)
    return kept


rectangles = st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 40)] * 2)


@given(st.lists(rectangles, max_size=20, unique=True), st.integers(0, 1000))
def test_what_is_kept_is_what_the_book_keeps(rectangles, seed):
    generator = np.random.default_rng(seed)
    xywh = np.array(rectangles, np.float32).reshape(-1, 4)
    # Different, so that no tie decides.
    scores = generator.permutation(np.linspace(0.02, 0.98, len(xywh))).astype(np.float32)
    boxes = [Box(*row) for row in xywh.tolist()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fer_face, "decode", lambda *_: (xywh, scores))
        found = find(xywh, SURE, SIZE_WH, 0.3)

    expected = kept_by_the_book(boxes, scores.tolist(), 0.3)
    assert [Box(*box) for box, _ in found] == [boxes[index] for index in expected]
    assert [score for _, score in found] == [float(scores[index]) for index in expected]


# Each case: a box that a strange answer decodes to.
NO_BOXES = {
    "infinite": (0, 0, np.inf, 5),
    "not a number": (np.nan, 0, 5, 5),
    "without a width": (0, 0, 0, 5),
    "inside out": (0, 0, 5, -5),
}


@pytest.mark.parametrize("case", NO_BOXES)
def test_what_cannot_be_a_box_is_left_out(monkeypatch, case):
    xywh = np.array([NO_BOXES[case], (1, 2, 3, 4)], np.float32)
    monkeypatch.setattr(fer_face, "decode", lambda *_: (xywh, np.array([0.9, 0.8], np.float32)))

    assert find(xywh, SURE, SIZE_WH, 0.5) == [((1, 2, 3, 4), pytest.approx(0.8))]


# ------------------------------------------------------------------------------------ letterbox

sizes = st.tuples(st.integers(1, 700), st.integers(1, 700))


@given(sizes, st.tuples(st.integers(1, 400), st.integers(1, 400)))
def test_a_letterbox_has_its_size_and_the_picture_in_its_corner(size_wh, into_wh):
    boxed = letterbox(np.full(size_wh[::-1], 200, np.uint8), into_wh)
    width, height = shrunk_size(size_wh, into_wh)

    assert boxed.picture.shape == into_wh[::-1]
    assert (boxed.picture[:height, :width] == 200).all()
    assert boxed.picture.sum() == 200 * width * height, "there is something in the padding"
    # The picture's own corner comes back to the frame's.
    whole = boxed.box(0, 0, width, height)
    assert (whole.w_px, whole.h_px) == pytest.approx(size_wh, rel=1e-12)


@given(
    st.tuples(st.integers(50, 2000), st.integers(50, 2000)),
    st.tuples(*[st.floats(0, 1)] * 2, *[st.floats(0.01, 1)] * 2),
)
def test_a_box_goes_into_a_letterbox_and_back(size_wh, shares):
    """Forth by the definition of shrinking, back by the code, for any frame."""
    boxed = letterbox(np.zeros(size_wh[::-1], np.uint8), SIZE_WH)
    width, height = shrunk_size(size_wh, SIZE_WH)
    inside = (shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height)

    box = boxed.box(*inside)

    expected = (share * side for share, side in zip(shares, size_wh * 2, strict=True))
    assert (box.x_px, box.y_px, box.w_px, box.h_px) == pytest.approx(tuple(expected), abs=1e-6)


def test_a_picture_that_fills_it_is_not_copied():
    picture = a_face(1, SIZE_WH)

    assert letterbox(picture, SIZE_WH).picture is picture


def test_a_letterbox_in_colour_keeps_its_channels():
    assert letterbox(np.ones((10, 20, 3), np.uint8), (40, 30)).picture.shape == (30, 40, 3)


# ------------------------------------------------------------------------------ what is no model


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# Each case: the bytes of a model file, what the error says.
BAD_FILES = {
    "an emotion model": (
        embed_contract(tiny_tflite(), a_contract()),
        r"Expected a face-detector, got 'tiny'.*emotion-classifier: .*by --model",
    ),
    "without a contract": (bare_finder(), r"carries no contract.*--detector ssd"),
    "damaged": (blob_finder()[:-9] + b"\0\1\2\3\4\5\6\7\x08", r"is damaged"),
    "no model": (b"nothing", r"carries no contract"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_no_detector_is_told_with_the_cure(tmp_path, case):
    content, said = BAD_FILES[case]

    with pytest.raises(ModelError, match=said):
        open_detector("fer-face", model=written(tmp_path / "model.tflite", content))


def test_a_missing_file_is_told(tmp_path):
    for name in ("fer-face", AUTO):
        with pytest.raises(ModelError, match=r"Cannot read the model .*none\.tflite"):
            open_detector(name, model=tmp_path / "none.tflite")


# Each case: a contract that is not the model's, or of a model for another fer-edge.
OTHER_CONTRACTS = [
    ({"input_size_wh": SMALL_WH}, r"input of \(1, 144, 192, 1\).*has \(1, 240, 320, 1\)"),
    ({"strides": (8, 16)}, r"at strides \(8, 16, 32\), got .* at \(8, 16\)"),
    ({"framing": "yunet"}, "of fer-face boxes .*got one of 'yunet' boxes"),
    ({"input_channels": 3}, r"Expected a grey detector.*in 3 channel"),
]


@pytest.mark.parametrize(("changes", "said"), OTHER_CONTRACTS)
def test_a_model_that_is_not_what_its_contract_says_is_refused(changes, said):
    with pytest.raises(ModelError, match=said):
        FerFaceDetector(bare_finder(), a_contract(kind="face-detector", **changes))


# Each case: a model whose outputs are other ones than promised.
OTHER_MODELS = {
    "a grid too few": {"strides": (8, 16)},
    "in colour": {"depth": 3},
}


@pytest.mark.parametrize("case", OTHER_MODELS)
def test_a_model_with_another_answer_is_refused(case):
    with pytest.raises(ModelError, match="The contract promises"):
        FerFaceDetector(bare_finder(**OTHER_MODELS[case]), a_contract(kind="face-detector"))


def test_a_first_load_is_a_trial_in_a_child(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(fer_face, "require_harmless", lambda content, name: tried.append(name))
    path = write_finder(tmp_path)

    FerFaceDetector.open(path)

    assert tried == [str(path)]


@pytest.mark.parametrize("size_wh", [SIZE_WH, SMALL_WH, (300, 200)])
def test_a_cell_is_counted_where_a_grid_reaches_over_the_border(size_wh):
    expected = sum(math.ceil(size_wh[0] / s) * math.ceil(size_wh[1] / s) for s in (8, 16, 32))

    assert cells(size_wh) == expected


# --------------------------------------------------------------------------- on something else


class FakeRunner:
    """Answers as the CPU does, until it is told to fail."""

    def __init__(self, size_wh: tuple[int, int] = SIZE_WH):
        self._network = a_detector(size_wh=size_wh)._network
        self.input, self.outputs = self._network.input, self._network.outputs
        self.runs, self.error = 0, None

    def run_all(self, inputs):
        self.runs += 1
        if self.error is not None:
            raise self.error
        return self._network.run_all(inputs)


def test_another_runner_is_used_and_left_when_it_fails(caplog):
    runner = FakeRunner()
    detector = a_detector(runner=runner)
    picture = blobs((6, 3))
    expected = a_detector().detect(picture)

    assert detector.detect(picture) == expected
    assert runner.runs == 1
    runner.error = ModelError("its process ended (SIGABRT).")
    assert detector.detect(picture) == expected
    assert detector.detect(picture) == expected
    assert runner.runs == 2, "what failed once is not asked again"
    assert "goes on on the CPU: its process ended" in caplog.text


def test_a_runner_of_another_model_is_refused():
    with pytest.raises(ModelError, match="The contract promises"):
        a_detector(runner=FakeRunner(SMALL_WH))


def test_the_process_of_an_edge_tpu_runs_a_detector(tmp_path):
    """In the child that holds the delegate; the stand-in leaves what is not compiled to its CPU."""
    library = compile_standin(tmp_path)
    content, contract = load_model(write_finder(tmp_path))
    device = EdgeTpu(content, str(library), start_s=60.0, request_s=60.0)
    picture = blobs((6, 3))

    detector = FerFaceDetector(content, contract, runner=device)
    found = detector.detect(picture)

    assert detector._runner is device, "it was given up"
    assert found == FerFaceDetector(content, contract).detect(picture)
    device.close()
    assert detector.detect(picture) == found, "the CPU goes on"
