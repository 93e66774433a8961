"""Detectors: what holds for each of them, and how one is chosen.

Where the training crop is, seen from each, is in test_framing_measured.py; what only YuNet does in
test_yunet.py.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.detectors import AUTO, BACKENDS, CHOICES, DETECTORS, open_detector
from fer_edge.edge.detectors.haar import HaarDetector
from fer_edge.edge.detectors.scaling import shrink, shrunk_size
from fer_edge.edge.errors import ModelError, UsageError
from fer_edge.edge.framing import to_grey
from fer_edge.edge.models import catalogue

from ..conftest import a_face, needs_cascades

# Frames of the demo in which the face stands still, at many places and sizes and in all emotions.
STILL = range(5, 42 * 28, 42)


def demo_scenes(size_wh: tuple[int, int], indices=STILL):
    """Demo frames in colour, with the training crop of the face that is in each."""
    demo = DemoCamera(size_wh=size_wh, lossless=True)
    for index in indices:
        yield demo.image(index), demo.truth(index).box


# ------------------------------------------------------------------------------- each of them


def test_a_face_is_reported_once_as_floats_in_the_frame(opened):
    detector = opened()
    for picture, truth in demo_scenes((640, 480), STILL[:7]):
        faces = detector.detect(picture)
        assert 1 <= len(faces) <= 2
        best = faces[0]
        assert best.box.iou(truth) > 0.4
        values = [best.score, best.box.x_px, best.box.y_px, best.box.w_px, best.box.h_px]
        values += [value for point in best.landmarks_px or () for value in point]
        assert all(isinstance(value, float) for value in values)
        assert best.id is None
        assert best.detected


def test_grey_and_colour_are_taken(opened):
    detector = opened()
    for picture, _ in demo_scenes((640, 480), STILL[:7]):
        one, two = detector.detect(picture)[0].box, detector.detect(to_grey(picture))[0].box
        assert one.iou(two) > 0.8


def test_the_largest_face_comes_first(opened):
    # A small face to the left, a large one to the right.
    small = to_grey(DemoCamera(size_wh=(200, 200), lossless=True).image(5))
    large = to_grey(DemoCamera(size_wh=(400, 400), lossless=True).image(5))
    scene = np.full((400, 640), 100, np.uint8)
    scene[100:300, 10:210], scene[:, 230:630] = small, large

    faces = opened().detect(scene)

    areas = [face.box.area_px2 for face in faces]
    assert len(faces) >= 2
    assert areas == sorted(areas, reverse=True)
    assert faces[0].box.center_px[0] > 230


def test_the_box_does_not_hang_on_the_size_of_the_frame(opened):
    """Twice the picture gives twice the box: shrinking for speed is undone."""
    grey = to_grey(DemoCamera(size_wh=(320, 240), lossless=True).image(5))
    double = cv2.resize(grey, (640, 480), interpolation=cv2.INTER_CUBIC)
    detector = opened()

    one, two = detector.detect(grey)[0].box, detector.detect(double)[0].box

    assert two.w_px == pytest.approx(2 * one.w_px, rel=0.1)
    assert two.center_px == pytest.approx([2 * c for c in one.center_px], abs=0.1 * two.w_px)


# Each case: a picture without a face.
FACELESS = {
    "black": np.zeros((480, 640), np.uint8),
    "white": np.full((480, 640), 255, np.uint8),
    "wall": np.clip(DemoCamera()._wall, 0, 255).astype(np.uint8),
    "one pixel": np.zeros((1, 1), np.uint8),
    "one pixel in colour": np.zeros((1, 1, 3), np.uint8),
    "smaller than a face can be": a_face(1, (20, 20)),
    "one line": a_face(1, (640, 1)),
    "one column": a_face(1, (1, 640)),
    "wide": a_face(1, (3000, 2)),  # shrunk to 320 wide it would have no height
}


@pytest.mark.parametrize("picture", FACELESS.values(), ids=FACELESS)
def test_where_no_face_is_none_is_found(opened, picture):
    assert opened().detect(picture) == []


@pytest.mark.parametrize("size_wh", [(64, 64), (96, 200), (200, 96), (641, 481), (1920, 1080)])
def test_frames_of_every_size_are_taken(opened, size_wh):
    ((picture, truth),) = demo_scenes(size_wh, [5])
    before = picture.copy()

    faces = opened().detect(picture)

    np.testing.assert_array_equal(picture, before)
    for face in faces:
        assert face.box.iou(truth) > 0.2


def test_frames_may_change_their_size(opened):
    """A camera that comes back may come back with another size."""
    detector = opened()
    for size_wh in [(640, 480), (320, 240), (480, 640), (640, 480)]:
        ((picture, truth),) = demo_scenes(size_wh, [5])
        assert detector.detect(picture)[0].box.iou(truth) > 0.4


def test_the_same_picture_gives_the_same_faces(opened):
    picture = DemoCamera(lossless=True).image(40)
    detector = opened()

    assert detector.detect(picture) == detector.detect(picture) == opened().detect(picture)


def test_a_larger_detect_size_finds_smaller_faces(opened):
    # YuNet still finds a face of 14 pixels, which Haar, trained at 24, does not.
    name = opened().name
    if name == "fer-face":
        pytest.skip("takes the sizes that ship, see test_fer_face_choice.py")
    side = {"haar": 110, "yunet": 60}[name]
    scene = np.full((960, 1280, 3), 100, np.uint8)
    face = DemoCamera(size_wh=(220, 220), lossless=True).image(5)
    scene[400 : 400 + side, 600 : 600 + side] = cv2.resize(
        face, (side, side), interpolation=cv2.INTER_AREA
    )

    assert opened(size_wh=(320, 240)).detect(scene) == []
    assert len(opened(size_wh=(1280, 960)).detect(scene)) == 1


# --------------------------------------------------------------------------------- shrinking

sizes = st.tuples(st.integers(1, 700), st.integers(1, 700))


@given(sizes, sizes)
def test_a_picture_is_shrunk_to_fit_and_never_enlarged(size_wh, limit_wh):
    width, height = shrunk_size(size_wh, limit_wh)

    # A strip keeps its last pixel, whatever the limit.
    assert 1 <= width <= min(size_wh[0], limit_wh[0])
    assert 1 <= height <= min(size_wh[1], limit_wh[1])
    # Its shape is kept, to the pixel, and no room is given away.
    if size_wh[0] <= limit_wh[0] and size_wh[1] <= limit_wh[1]:
        assert (width, height) == size_wh
    else:
        assert width == limit_wh[0] or height == limit_wh[1]
        factor = max(size_wh[0] / limit_wh[0], size_wh[1] / limit_wh[1])
        assert abs(width - size_wh[0] / factor) <= 1
        assert abs(height - size_wh[1] / factor) <= 1


@given(sizes, st.tuples(st.integers(1, 400), st.integers(1, 400)))
def test_boxes_and_points_scale_back_exactly(size_wh, limit_wh):
    small = shrink(np.zeros(size_wh[::-1], np.uint8), limit_wh)
    height, width = small.picture.shape

    whole = small.box(0, 0, width, height)

    assert (whole.x_px, whole.y_px) == (0, 0)
    assert (whole.w_px, whole.h_px) == pytest.approx(size_wh, rel=1e-12)
    assert small.points([(width, height), (0, 0)])[0] == pytest.approx(size_wh, rel=1e-12)


def test_a_picture_that_fits_is_not_copied():
    picture = a_face(1, (320, 240))

    assert shrink(picture, (320, 240)).picture is picture


# ----------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize("name", ["harr", "", "YUNET"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(UsageError, match=f"no detector '{name}'.*{', '.join(CHOICES)}") as caught:
        open_detector(name)

    assert caught.value.exit_code == 2


def test_every_backend_says_what_it_is():
    assert set(DETECTORS) == {"haar", "yunet", "fer-face", "ssd"}
    assert set(CHOICES) == {*DETECTORS, AUTO}
    assert all(len(kind.about) > 20 for kind in BACKENDS.values())


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder of the test's own; yields the place of YuNet in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = catalogue.place_of(catalogue.YUNET)
    place.parent.mkdir(parents=True)
    return place


def test_auto_is_our_own_where_nothing_was_fetched(own_cache):
    assert open_detector().name == open_detector(AUTO).name == "fer-face"


def test_auto_is_yunet_once_its_file_is_there(own_cache, yunet_file, monkeypatch):
    content = yunet_file.read_bytes()
    own_cache.write_bytes(content)
    known = hashlib.sha256(content).hexdigest()
    changed = replace(catalogue.YUNET, sha256=known)
    monkeypatch.setattr(catalogue, "YUNET", changed)
    monkeypatch.setattr("fer_edge.edge.detectors.yunet.YUNET", changed)

    assert open_detector(AUTO).name == "yunet"
    assert open_detector("fer-face").name == "fer-face"


def test_auto_is_yunet_where_a_model_is_given(own_cache, yunet_file):
    assert open_detector(AUTO, model=yunet_file).name == "yunet"


def test_auto_does_not_hide_a_damaged_file(own_cache):
    """Else a device would find fewer faces after a bad write, and nobody would know."""
    own_cache.write_bytes(b"damaged")

    with pytest.raises(ModelError, match=r"Delete it and run `fer-edge models get yunet`"):
        open_detector(AUTO)


def test_yunet_without_its_file_says_how_to_get_it(own_cache):
    with pytest.raises(
        ModelError, match=r"`fer-edge models get yunet` fetches it \(0\.2 MB, MIT\)"
    ):
        open_detector("yunet")


def test_a_model_for_a_detector_that_takes_none_is_a_mistake(tmp_path):
    with pytest.raises(UsageError, match=r"haar takes no model file.*choose yunet"):
        open_detector("haar", model=tmp_path / "x.onnx")


@pytest.mark.parametrize("size_wh", [(0, 240), (320, -1)])
def test_a_size_of_nothing_is_a_mistake(size_wh):
    with pytest.raises(UsageError, match="Expected a size of 1x1 or more"):
        open_detector("haar", size_wh=size_wh)


# --------------------------------------------------------------------------------------- Haar


# How an OpenCV 5 differs: there is no classifier, or there is no data.
@needs_cascades
@pytest.mark.parametrize("gone", ["CascadeClassifier", "data"])
def test_an_opencv_without_cascades_is_told_apart_and_mended(monkeypatch, gone):
    monkeypatch.delattr(cv2, gone)

    with pytest.raises(ModelError, match=r'pip install "opencv-python-headless>=4.*<'):
        HaarDetector()
