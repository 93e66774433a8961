"""Turned, mirrored, smaller, grey and fewer pictures, of any source."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.cameras import CameraBase, open_camera
from fer_edge.edge.cameras.shape import Shape, ShapedCamera
from fer_edge.edge.errors import CameraError
from fer_edge.edge.records import Frame

from .conftest import write_clip

# One picture of two rows and three columns, each pixel another: 1 2 3 / 4 5 6.
GREY = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)


class Still(CameraBase):
    """The same picture for ever, in colour and with its luma, at a rate of its own."""

    name, lossless = "still", False

    def __init__(self, image=None, luma=GREY, fps=30.0, lossless=False, jitter=()):
        self.image = cv2.cvtColor(GREY, cv2.COLOR_GRAY2BGR) if image is None else image
        self.luma, self.fps, self.lossless = luma, fps, lossless
        self.read_frames, self.closed, self._jitter = 0, False, jitter

    def read(self):
        index, self.read_frames = self.read_frames, self.read_frames + 1
        late_s = self._jitter[index % len(self._jitter)] if self._jitter else 0.0
        at_ns = round((index / self.fps + late_s) * 1e9)
        return Frame(index, self.image, at_ns, at_ns / 1e9, self.luma)

    def close(self):
        self.closed = True

    def renew(self):
        return Still(self.image, self.luma, self.fps)

    def reachable(self):
        return True


TURNED = [
    (Shape(rotate=90), [[4, 1], [5, 2], [6, 3]]),
    (Shape(rotate=180), [[6, 5, 4], [3, 2, 1]]),
    (Shape(rotate=270), [[3, 6], [2, 5], [1, 4]]),
    (Shape(mirror=True), [[3, 2, 1], [6, 5, 4]]),
    (Shape(rotate=90, mirror=True), [[1, 4], [2, 5], [3, 6]]),  # mirrored as it is seen
]


@pytest.mark.parametrize(("shape", "expected"), TURNED)
def test_pictures_and_their_luma_turn_clockwise_and_then_mirror(shape, expected):
    frame = ShapedCamera(Still(), shape).read()

    assert frame.luma.tolist() == expected
    assert frame.image[..., 1].tolist() == expected
    assert frame.image.shape[2] == 3


def test_without_colour_the_luma_is_the_picture():
    luma = GREY + 100  # not what a conversion would give
    frame = ShapedCamera(Still(luma=luma), Shape(colour=False, mirror=True)).read()

    assert frame.luma is None
    assert frame.image.tolist() == luma[:, ::-1].tolist()


def test_without_colour_and_luma_the_picture_is_converted():
    frame = ShapedCamera(Still(luma=None), Shape(colour=False)).read()

    assert frame.image.tolist() == GREY.tolist()


sides = st.integers(1, 200)


@given(st.tuples(sides, sides), st.tuples(sides, sides))
def test_pictures_shrink_to_fit_and_keep_their_proportions(size, within):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    frame = ShapedCamera(Still(image, luma=image[..., 0]), Shape(within_wh=within)).read()
    width, height = frame.size_wh

    assert width <= max(within[0], 1)
    assert height <= max(within[1], 1)
    assert frame.luma.shape == (height, width)
    if size[0] <= within[0] and size[1] <= within[1]:
        assert frame.size_wh == size, "never enlarged"
    else:
        # One side fits exactly, the other as well as whole pixels let it.
        scale = min(within[0] / size[0], within[1] / size[1])
        assert abs(width - size[0] * scale) <= 1
        assert abs(height - size[1] * scale) <= 1


# Each case: the camera's rate, the rate that is wanted, how often at least and at most its frames
# come of 300.
RATES = [(30, 10, 99, 101), (30, 15, 149, 151), (30, 25, 245, 251), (30, 30, 300, 300)]


@pytest.mark.parametrize(("fps", "wanted", "least", "most"), RATES)
def test_frames_beyond_the_rate_are_left_out(fps, wanted, least, most):
    still = Still(fps=fps)
    camera = ShapedCamera(still, Shape(at_most_fps=wanted))
    while still.read_frames < 300:
        frame = camera.read()

    assert least <= frame.index + 1 <= most
    assert camera.fps == wanted


def test_jitter_loses_no_frame_of_a_camera_of_just_this_rate():
    still = Still(fps=30, jitter=(0.0, 0.012, -0.012, 0.005, -0.01))
    camera = ShapedCamera(still, Shape(at_most_fps=30))
    for _ in range(300):
        camera.read()

    assert still.read_frames == 300


def test_no_frame_of_a_lossless_source_is_left_out():
    still = Still(fps=30, lossless=True)
    camera = ShapedCamera(still, Shape(at_most_fps=1))
    for _ in range(20):
        camera.read()

    assert still.read_frames == 20


def test_the_rest_is_the_camera_s_own():
    still = Still()
    camera = ShapedCamera(still, Shape(rotate=90))
    still._skipped = 3

    assert (camera.name, camera.lossless, camera.fps, camera.skipped) == ("still", False, 30, 3)
    assert camera.reachable() is True
    assert camera.renew().read().size_wh == (2, 3)
    camera.close()
    assert still.closed


def test_a_clip_can_be_turned_shrunk_and_grey(tmp_path):
    path = write_clip(tmp_path / "clip.avi", count=3)

    with open_camera(path, size_wh=(160, 160), rotate=90, colour=False) as camera:
        frames = list(iter(camera.read, None))

    assert [(frame.index, frame.image.shape) for frame in frames] == [
        (index, (160, 120)) for index in range(3)
    ]


def test_without_wishes_nothing_stands_between():
    assert not isinstance(open_camera("demo", size_wh=(160, 120), fps=5), ShapedCamera)


def test_a_lost_camera_is_heard_of_through_it():
    class Gone(Still):
        def read(self):
            raise CameraError("gone")

    with pytest.raises(CameraError, match="gone"):
        ShapedCamera(Gone(), Shape(mirror=True)).read()
