"""Detectors: where the faces are, and that each box leads to the crop of the training."""

import cv2
import numpy as np
import pytest

from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.detectors import DETECTORS, open_detector
from fer_edge.edge.detectors.haar import HaarDetector
from fer_edge.edge.errors import ModelError, UsageError
from fer_edge.edge.framing import to_grey

from ..conftest import a_face

# Frames of the demo in which the face stands still, at many places and sizes and in all emotions.
STILL = range(5, 42 * 28, 42)


def detect_in(size_wh: tuple[int, int], detector, indices=STILL):
    """What was found in demo frames, with the training crop of the face that is in each."""
    demo = DemoCamera(size_wh=size_wh, lossless=True)
    for index in indices:
        truth = demo.truth(index)
        assert truth.label is not None
        yield detector.detect(to_grey(demo.image(index))), truth.box


@pytest.mark.parametrize("size_wh", [(640, 480), (320, 240), (1280, 720)])
@pytest.mark.parametrize("name", DETECTORS)
def test_the_framing_leads_to_the_training_crop(name, size_wh):
    """A classifier that is fed with another crop loses points without a word: so measure it."""
    detector = open_detector(name)
    shifts, scales = [], []
    for faces, truth in detect_in(size_wh, detector):
        squares = [detector.framing.training_square(face.box) for face in faces]
        hits = [square for square in squares if square.iou(truth) >= 0.4]
        if hits:
            square = max(hits, key=truth.iou)
            dx, dy = np.subtract(square.center_px, truth.center_px) / truth.w_px
            shifts.append((dx, dy))
            scales.append(square.w_px / truth.w_px)

    assert len(scales) >= 0.9 * len(STILL), "too few faces were found to measure anything"
    dx, dy = np.median(shifts, axis=0)
    # In sides of the training crop. Augmentation moves by more, but a bias adds to that.
    assert abs(dx) <= 0.08
    assert abs(dy) <= 0.08
    assert abs(np.median(scales) - 1) <= 0.08
    assert np.median(np.linalg.norm(shifts, axis=1)) <= 0.08


@pytest.mark.parametrize("name", DETECTORS)
def test_a_face_is_reported_once_as_floats_in_the_frame(name):
    detector = open_detector(name)
    for faces, truth in detect_in((640, 480), detector, STILL[:7]):
        assert 1 <= len(faces) <= 2
        best = faces[0]
        assert best.box.iou(truth) > 0.5
        assert all(isinstance(value, float) for value in (best.score, best.box.x_px, best.box.w_px))
        assert best.id is None
        assert best.detected


@pytest.mark.parametrize("name", DETECTORS)
def test_the_largest_face_comes_first(name):
    # A small face to the left, a large one to the right.
    small = to_grey(DemoCamera(size_wh=(200, 200), lossless=True).image(5))
    large = to_grey(DemoCamera(size_wh=(400, 400), lossless=True).image(5))
    scene = np.full((400, 640), 100, np.uint8)
    scene[100:300, 10:210], scene[:, 230:630] = small, large

    faces = open_detector(name).detect(scene)

    areas = [face.box.area_px2 for face in faces]
    assert len(faces) >= 2
    assert areas == sorted(areas, reverse=True)
    assert faces[0].box.center_px[0] > 230


@pytest.mark.parametrize("name", DETECTORS)
def test_the_box_does_not_hang_on_the_size_of_the_frame(name):
    """Twice the picture gives twice the box: shrinking for speed is undone."""
    grey = to_grey(DemoCamera(size_wh=(320, 240), lossless=True).image(5))
    double = cv2.resize(grey, (640, 480), interpolation=cv2.INTER_CUBIC)
    detector = open_detector(name)

    one, two = detector.detect(grey)[0].box, detector.detect(double)[0].box

    assert two.w_px == pytest.approx(2 * one.w_px, rel=0.1)
    assert two.center_px == pytest.approx([2 * c for c in one.center_px], abs=0.1 * two.w_px)


# Each case: a picture without a face.
FACELESS = {
    "black": np.zeros((480, 640), np.uint8),
    "white": np.full((480, 640), 255, np.uint8),
    "wall": to_grey(np.clip(DemoCamera()._wall, 0, 255).astype(np.uint8)),
    "one pixel": np.zeros((1, 1), np.uint8),
    "smaller than a face can be": a_face(1, (20, 20)),
    "one line": a_face(1, (640, 1)),
    "one column": a_face(1, (1, 640)),
    "wide": a_face(1, (3000, 2)),  # shrunk to 320 wide it would have no height
}


@pytest.mark.parametrize("grey", FACELESS.values(), ids=FACELESS)
@pytest.mark.parametrize("name", DETECTORS)
def test_where_no_face_is_none_is_found(name, grey):
    assert open_detector(name).detect(grey) == []


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("size_wh", [(64, 64), (96, 200), (200, 96), (641, 481), (1920, 1080)])
def test_frames_of_every_size_are_taken(name, size_wh):
    demo = DemoCamera(size_wh=size_wh, lossless=True)
    grey = to_grey(demo.image(5))
    before = grey.copy()

    faces = open_detector(name).detect(grey)

    np.testing.assert_array_equal(grey, before)
    for face in faces:
        assert face.box.iou(demo.truth(5).box) > 0.2


@pytest.mark.parametrize("name", DETECTORS)
def test_the_same_picture_gives_the_same_faces(name):
    grey = to_grey(DemoCamera(lossless=True).image(40))
    detector = open_detector(name)

    assert detector.detect(grey) == detector.detect(grey) == open_detector(name).detect(grey)


def test_a_wider_search_finds_smaller_faces():
    scene = np.full((960, 1280), 100, np.uint8)
    scene[400:510, 600:710] = to_grey(DemoCamera(size_wh=(110, 110), lossless=True).image(5))

    assert open_detector("haar", width=320).detect(scene) == []
    assert len(open_detector("haar", width=1280).detect(scene)) == 1


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match=f"no detector 'harr'.*{DETECTORS[0]}") as caught:
        open_detector("harr")

    assert caught.value.exit_code == 2


# How an OpenCV 5 differs: there is no classifier, or there is no data.
@pytest.mark.parametrize("gone", ["CascadeClassifier", "data"])
def test_an_opencv_without_cascades_is_told_apart_and_mended(monkeypatch, gone):
    monkeypatch.delattr(cv2, gone)

    with pytest.raises(ModelError, match=r'pip install "opencv-python-headless>=4.*<5"'):
        HaarDetector()
