"""What only YuNet does: landmarks, colour, and the ways in which its model or OpenCV can fail."""

import cv2
import numpy as np
import pytest

from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.detectors.yunet import YuNetDetector, _usable
from fer_edge.edge.errors import ModelError
from fer_edge.edge.framing import to_grey

from ..conftest import REAL_YUNET, SHARED

pytestmark = pytest.mark.skipif(not REAL_YUNET.is_file(), reason=f"needs a YuNet: no {REAL_YUNET}")
WALKING = SHARED / "media" / "face-demographics-walking.gif"


class FakeNetwork:
    """Stands in for OpenCV's detector: answers what it is told, and counts."""

    def __init__(self, rows=None, error: str = ""):
        self.rows, self.error, self.sizes, self.shapes = rows, error, [], []

    def setInputSize(self, size_wh):  # noqa: N802 - OpenCV's name
        self.sizes.append(size_wh)

    def detect(self, pixels):
        self.shapes.append(pixels.shape)
        if self.error:
            raise cv2.error(self.error)
        return 1, self.rows


@pytest.fixture
def detector() -> YuNetDetector:
    return YuNetDetector(REAL_YUNET)


def with_network(detector: YuNetDetector, network: FakeNetwork) -> YuNetDetector:
    detector._network, detector._input_wh = network, (0, 0)
    return detector


def a_row(x: float = 10.0, side: float = 50.0, score: float = 0.9) -> list[float]:
    """As OpenCV answers: box, five points, score."""
    return [x, 20, side, side, *range(10), score]


# ----------------------------------------------------------------------------- what it finds


def test_the_landmarks_are_where_they_belong_in_the_face(detector):
    demo = DemoCamera(lossless=True)
    for index in (5, 47, 89):
        square = demo.truth(index).box
        (face,) = detector.detect(demo.image(index))
        points = np.array(face.landmarks_px) - (square.x_px, square.y_px)
        right_eye, left_eye, nose, right_mouth, left_mouth = points / square.w_px

        # The person's right is the picture's left; in shares of the training crop.
        assert 0.2 < right_eye[0] < 0.45 < 0.55 < left_eye[0] < 0.8
        assert 0.25 < right_eye[1] < 0.5
        assert abs(right_eye[1] - left_eye[1]) < 0.05
        assert 0.4 < nose[0] < 0.6
        assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])
        assert right_mouth[0] < nose[0] < left_mouth[0]


def test_its_score_is_a_share(detector):
    (face,) = detector.detect(DemoCamera(lossless=True).image(5))

    assert 0.6 <= face.score <= 1


def test_a_row_is_read_into_a_face_and_scaled_back(detector):
    network = FakeNetwork(rows=np.array([a_row()], np.float32))

    (face,) = with_network(detector, network).detect(np.zeros((480, 640), np.uint8))

    assert network.shapes == [(240, 320, 3)]
    assert face.box.as_ints() == (20, 40, 100, 100)
    assert face.score == pytest.approx(0.9)
    assert face.landmarks_px == ((0, 2), (4, 6), (8, 10), (12, 14), (16, 18))


def test_the_network_is_told_of_a_size_only_when_it_changes(detector):
    network = FakeNetwork()
    with_network(detector, network)

    for size_hw in [(480, 640), (480, 640), (100, 90), (100, 90), (480, 640)]:
        detector.detect(np.zeros(size_hw, np.uint8))

    assert network.sizes == [(320, 240), (90, 100), (320, 240)]


# Each case: a row that cannot be a face. OpenCV gives the infinities for pictures of a few lines.
NO_FACES = {
    "nothing": None,
    "infinite": [[np.inf, *a_row()[1:]]],
    "not a number": [[*a_row()[:-1], np.nan]],
    "without a width": [a_row(side=0)],
    "turned inside out": [a_row(side=-5)],
}


@pytest.mark.parametrize("rows", NO_FACES.values(), ids=NO_FACES)
def test_what_cannot_be_a_box_is_left_out(rows):
    assert _usable(None if rows is None else np.array(rows, np.float32)) == []


@pytest.mark.skipif(not WALKING.is_file(), reason=f"needs a clip: no {WALKING}")
def test_two_people_who_walk_are_found_in_colour_better_than_in_grey():
    """The reason why detectors are given the frame and not its grey version."""
    clip, frames = cv2.VideoCapture(str(WALKING)), []
    while (got := clip.read())[0]:
        frames.append(got[1])

    def faces_per_frame(size_wh, pictures) -> float:
        detector = YuNetDetector(REAL_YUNET, size_wh=size_wh)
        return np.mean([len(detector.detect(picture)) for picture in pictures])

    grey = [to_grey(frame) for frame in frames]
    assert faces_per_frame((480, 270), frames) >= 1.9
    assert faces_per_frame((480, 270), grey) >= 1.9
    assert faces_per_frame((320, 240), frames) >= 1.5 * faces_per_frame((320, 240), grey)


# ---------------------------------------------------------------------------------- failures


# Each case: what a file given as a model holds.
BAD_FILES = {
    "empty": lambda good: b"",
    "text": lambda good: b"version https://git-lfs.github.com/spec/v1\n",
    "cut off": lambda good: good[: len(good) // 2],
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_no_model_is_told_with_the_cure(tmp_path, case, capfd):
    path = tmp_path / "bad.onnx"
    path.write_bytes(BAD_FILES[case](REAL_YUNET.read_bytes()))

    with pytest.raises(ModelError, match=r"bad\.onnx is no YuNet .*models get yunet"):
        YuNetDetector(path)
    assert capfd.readouterr().err == ""


def test_another_network_is_told_at_once_and_not_by_the_first_frame(tmp_path, monkeypatch):
    """A valid ONNX file of something else loads, and fails when it is run."""
    monkeypatch.setattr(
        cv2.FaceDetectorYN, "create", lambda *_: FakeNetwork(error="no output named loc")
    )

    with pytest.raises(ModelError, match=r"is no YuNet .*\(no output named loc\).*get yunet"):
        YuNetDetector(REAL_YUNET)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"There is no model file .*none\.onnx"):
        YuNetDetector(tmp_path / "none.onnx")


def test_a_failure_in_the_loop_names_the_model_and_the_picture(detector):
    network = FakeNetwork(error="out of memory")

    with pytest.raises(ModelError, match=r"cannot run .*on a picture of 100x80 \(out of memory\)"):
        with_network(detector, network).detect(np.zeros((80, 100), np.uint8))

    # The size is told again afterwards: who knows what the network remembers.
    network.error = ""
    assert detector.detect(np.zeros((80, 100), np.uint8)) == []
    assert network.sizes == [(100, 80), (100, 80)]


# Each case: how an OpenCV that cannot do it differs.
@pytest.mark.parametrize("change", ["old", "without"])
def test_an_opencv_that_is_too_old_is_told_with_two_cures(monkeypatch, change):
    if change == "old":
        monkeypatch.setattr(cv2, "__version__", "4.6.0")
    else:
        monkeypatch.delattr(cv2, "FaceDetectorYN")

    with pytest.raises(ModelError, match=r"expected 4\.8\.1.*pip install.*--detector haar"):
        YuNetDetector(REAL_YUNET)
