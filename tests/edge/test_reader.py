"""One picture in, its readings out."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.edge import EmotionReader
from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.errors import DataError, ModelError, UsageError
from fer_edge.edge.framing import to_grey

from ..conftest import EMOTIONS, a_contract, encode, tiny_tflite

DEMO = DemoCamera(lossless=True)
PICTURE, TRUTH = DEMO.image(5), DEMO.truth(5).box


@pytest.fixture(scope="module")
def reader() -> EmotionReader:
    return EmotionReader()


def check(readings) -> None:
    """The demo's one face, with scores."""
    (reading,) = readings
    assert reading.box.iou(TRUTH) > 0.5
    assert sum(reading.scores.values) == pytest.approx(1)
    assert reading.label in EMOTIONS
    assert reading.face.id is None, "there is nobody to tell it from in one picture"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_a_file_is_read(reader, tmp_path, suffix):
    path = tmp_path / f"face{suffix}"
    path.write_bytes(encode(PICTURE, suffix))

    check(reader.read(path))
    check(reader.read(str(path)))


# Each case: the same picture, as an array in another form.
ARRAYS = {
    "colour": PICTURE,
    "grey": to_grey(PICTURE),
    "a view of colour": np.ascontiguousarray(PICTURE[:, ::-1])[:, ::-1],
    "a view of grey": np.ascontiguousarray(to_grey(PICTURE)[::-1])[::-1],
    "a slice": np.pad(PICTURE, ((0, 9), (0, 9), (0, 0)))[:-9, :-9],
    "read only": np.frombuffer(PICTURE.tobytes(), np.uint8).reshape(PICTURE.shape),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_is_read(reader, array):
    before = array.copy()

    readings = reader.read(array)

    check(readings)
    np.testing.assert_array_equal(array, before)


def test_an_array_and_its_file_say_the_same(reader, tmp_path):
    path = tmp_path / "face.png"
    path.write_bytes(encode(PICTURE))

    assert reader.read(path) == reader.read(PICTURE) == reader.read(PICTURE)


def test_the_emotions_of_the_demo_are_told_apart(reader):
    """Not how many are right, which depends on the model: that it does not say one for all."""
    found = [reader.read(DEMO.image(42 * number + 5)) for number in range(7)]

    assert [len(readings) for readings in found] == [1] * 7
    assert len({readings[0].label for readings in found}) >= 3


@pytest.mark.parametrize("size_wh", [(640, 480), (1, 1), (30, 20), (2000, 3)])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_where_no_face_is_the_list_is_empty(reader, size_wh, channels):
    assert reader.read(np.full((*size_wh[::-1], *channels), 120, np.uint8)) == []


def test_two_faces_are_read_the_larger_first(reader):
    small, large = DEMO.image(5), DemoCamera(size_wh=(900, 480), lossless=True).image(47)
    scene = np.concatenate([cv2.resize(small, (400, 480)), large], axis=1)

    readings = reader.read(scene)

    areas = [reading.box.area_px2 for reading in readings]
    assert areas == sorted(areas, reverse=True)
    assert len(readings) == 2


# Each case: an array that is no picture.
WRONG_ARRAYS = [
    PICTURE.astype(np.float32),
    PICTURE.astype(np.uint16),
    PICTURE > 100,
    np.zeros((480, 640, 4), np.uint8),
    np.zeros((480, 640, 1), np.uint8),
    np.zeros((3, 480, 640), np.uint8),
    np.zeros((1, 480, 640, 3), np.uint8),
    np.zeros(480, np.uint8),
    np.zeros((), np.uint8),
    np.zeros((0, 640, 3), np.uint8),
    np.zeros((480, 0), np.uint8),
]


@pytest.mark.parametrize("array", WRONG_ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_an_array_of_another_kind_is_refused(reader, array):
    with pytest.raises(DataError, match=r"Expected a uint8 picture of .* got") as caught:
        reader.read(array)

    assert f"{array.dtype} of {array.shape}" in str(caught.value)


def as_text(path: Path) -> None:
    path.write_text("no picture")


# Each case: a file that is no picture, what the error says.
NO_PICTURES = [
    ("missing.png", lambda path: None, "Cannot read the picture .*missing.png: No such file"),
    ("text.png", as_text, "is no picture"),
    ("text.jpg", as_text, "is no picture"),
    ("empty.png", Path.touch, "is no picture"),
    ("folder.png", Path.mkdir, "Cannot read the picture .*: Is a directory"),
]


@pytest.mark.parametrize(("name", "make", "said"), NO_PICTURES, ids=[n for n, _, _ in NO_PICTURES])
def test_a_file_that_is_no_picture_is_refused(reader, tmp_path, name, make, said):
    make(tmp_path / name)

    with pytest.raises(DataError, match=said) as caught:
        reader.read(tmp_path / name)

    assert caught.value.exit_code == 1


def test_a_model_of_ones_own_is_taken(tmp_path):
    path = tmp_path / "mine.tflite"
    path.write_bytes(embed_contract(tiny_tflite(), a_contract(labels=EMOTIONS[::-1])))

    mine = EmotionReader(path)

    assert mine.labels == EMOTIONS[::-1]
    check(mine.read(PICTURE))


def test_a_reader_that_cannot_be_built_says_why():
    with pytest.raises(ModelError, match="no model 'no-such'"):
        EmotionReader("no-such")
    with pytest.raises(UsageError, match="no detector 'no-such'"):
        EmotionReader(detector="no-such")


def test_what_cv2_imread_returns_for_a_wrong_name_is_explained():
    with pytest.raises(DataError, match=r"Got None for a picture: cv2\.imread"):
        EmotionReader().read(None)  # type: ignore[arg-type]
