"""The ribbon cable, against a picamera2 that is made up: what is asked of it, and its failures.

tests/edge/test_virtual_csi.py runs the same code against real picamera2 and libcamera.
"""

import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.cameras import csi, open_camera
from fer_edge.edge.cameras.csi import capture_time_ns, csi_cameras, y_plane
from fer_edge.edge.errors import CameraError

from .conftest import wait_until
from .fake_picamera2 import SIZE, FakePicamera2, Transform, names, open_csi

SECOND_NS = 1_000_000_000


# ----------------------------------------------------------------------------- what is asked for

YUV = {"size": SIZE, "format": "YUV420"}
# libcamera's name for what NumPy sees as blue, green, red.
BGR = {"size": SIZE, "format": "RGB888"}


@pytest.mark.parametrize(
    ("colour", "streams"),
    [(True, {"main": BGR, "lores": YUV}), (False, {"main": YUV})],
)
def test_the_camera_is_asked_for_streams_and_a_rate(picamera2, colour, streams):
    open_csi(colour=colour)

    rest = {
        "transform": Transform(hflip=False, vflip=False),
        # That of a film has no grey below 16 and above 235.
        "colour_space": "full range",
        "controls": {"FrameRate": 25.0},
        "queue": False,
    }
    assert picamera2.calls == [
        ("info",),
        ("open", 0),
        ("create", streams | rest),
        ("configure",),
        ("start",),
    ]


def test_the_rate_is_one_that_the_camera_has(picamera2):
    assert open_csi(fps=25.0).fps == 25.0
    csi._held.clear()
    assert open_csi(fps=90.0).fps == 50.0


# Rotation and mirroring, and what the camera is to flip: left with right, top with bottom.
FLIPS = [
    (0, False, (False, False)),
    (0, True, (True, False)),
    (180, False, (True, True)),
    (180, True, (False, True)),
]


@pytest.mark.parametrize(("rotate", "mirror", "flips"), FLIPS)
@pytest.mark.parametrize("can_flip", [True, False])
def test_the_picture_is_turned_by_the_camera_or_by_pixels(
    picamera2, rotate, mirror, flips, can_flip
):
    picamera2.can_flip = can_flip
    camera = open_csi(rotate=rotate, mirror=mirror)
    frame = camera.read()

    asked = picamera2.calls[2][1]["transform"]
    assert (asked.hflip, asked.vflip) == flips
    # The one corner that differs: this camera says that it turns the picture, but does not.
    corner = (0, 0) if can_flip else (-1 if flips[1] else 0, -1 if flips[0] else 0)
    assert frame.image[corner].tolist() == [255, 255, 255]
    assert frame.luma[corner] == 255
    assert np.count_nonzero(frame.luma == 255) == 1


@pytest.mark.parametrize("changes", [{"rotate": 90}, {"fps": 0.0}, {"fps": float("nan")}])
def test_what_no_camera_can_do_is_refused(picamera2, changes):
    with pytest.raises(CameraError, match="0 or 180 degrees"):
        open_csi(**changes)


# ---------------------------------------------------------------------------------------- frames


def test_frames_are_counted_and_asked_for_with_a_limit(picamera2):
    camera = open_csi()
    frames = [camera.read() for _ in range(3)]

    assert [frame.index for frame in frames] == [0, 1, 2]
    assert {frame.size_wh for frame in frames} == {SIZE}
    # Without a limit, capture_request() waits for ever.
    assert [call for call in picamera2.calls if call[0] == "capture"] == [("capture", 2.0)] * 3
    assert (camera.lossless, camera.name) == (False, "imx708 (CSI 0)")


@pytest.mark.parametrize("stride", [0, 64])
def test_colours_and_their_grey_picture_are_of_one_request(picamera2, stride):
    picamera2.stride = stride
    camera = open_csi()
    camera.read()
    frame = camera.read()

    assert frame.image[5, 5].tolist() == [1, 2, 3]
    assert np.unique(frame.luma).tolist() == [101, 255]
    assert frame.luma.shape == SIZE[::-1]
    assert frame.luma.flags.c_contiguous
    assert frame.image.flags.c_contiguous


@pytest.mark.parametrize("stride", [0, 64])
def test_without_colour_the_picture_is_the_y_plane_and_nothing_else_is_copied(picamera2, stride):
    picamera2.stride = stride
    frame = open_csi(colour=False).read()

    assert np.unique(frame.image).tolist() == [100, 255]
    assert frame.image.shape == SIZE[::-1]
    assert frame.luma is None
    assert "make_array" not in names(picamera2)
    assert [call for call in picamera2.calls if call[0] == "map"] == [("map", "main", False, False)]


def test_a_size_that_the_camera_cannot_have_is_adjusted(picamera2):
    picamera2.adjusts = {"main": (320, 240), "lores": (320, 240)}
    camera = open_csi()

    assert camera.size_wh == camera.read().size_wh == (320, 240)


def test_a_grey_picture_of_another_size_is_left_out(picamera2):
    picamera2.adjusts = {"lores": (320, 240)}
    frame = open_csi().read()

    assert frame.size_wh == SIZE
    assert frame.luma is None


@pytest.mark.parametrize("fails", [None, "metadata", "map", "make_array"])
def test_the_buffers_are_given_back_at_once(picamera2, fails):
    camera = open_csi()
    if fails:
        picamera2.fails[fails] = RuntimeError("failed to find buffer")
        with pytest.raises(CameraError, match="failed to find buffer"):
            camera.read()
    else:
        camera.read()

    assert names(picamera2).count("release") == 1


@given(
    size_wh=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    padding=st.integers(0, 17),
    below=st.integers(0, 50),
)
def test_the_y_plane_of_every_size_and_padding(size_wh, padding, below):
    width, height = size_wh
    stride = width + padding
    picture = np.arange(width * height, dtype=np.uint32).astype(np.uint8).reshape(height, width)
    rows = np.pad(picture, ((0, 0), (0, padding)), constant_values=99)
    buffer = np.concatenate([rows.ravel(), np.full(stride * (height // 2) + below, 77, np.uint8)])

    found = y_plane(buffer, size_wh, stride)

    np.testing.assert_array_equal(found, picture)
    assert not np.shares_memory(found, buffer)


# ------------------------------------------------------------------------------ time of capture

NOW, SLEPT = 100 * SECOND_NS, 5000 * SECOND_NS
# The stamp, what CLOCK_BOOTTIME is ahead by, the age that is believed.
STAMPS = [
    (NOW - 40_000_000, 0, 40_000_000),  # The clocks agree.
    (NOW - 40_000_000, SLEPT, 40_000_000),  # As drivers of the Pi do it: monotonic.
    (NOW + SLEPT - 40_000_000, SLEPT, 40_000_000),  # As libcamera documents it.
    (NOW - 40_000_000, 50_000_000, 40_000_000),  # Both could be: the Pi's is the likelier.
    (NOW + SLEPT - 40_000_000, 50_000_000, 0),  # Ahead of both.
    (NOW - 11 * SECOND_NS, 0, 0),  # More than 10 s old.
    (NOW - 11 * SECOND_NS, SLEPT, 0),
    (NOW, 0, 0),
    (None, 0, 0),
    (0, 0, 0),
    (-5, 0, 0),
]


@pytest.mark.parametrize(("stamp_ns", "ahead_ns", "age_ns"), STAMPS)
def test_the_time_of_capture(stamp_ns, ahead_ns, age_ns):
    assert capture_time_ns(stamp_ns, NOW, NOW + ahead_ns) == NOW - age_ns


def test_a_stamp_of_nothing_is_none_just_after_the_start_of_the_machine():
    assert capture_time_ns(0, SECOND_NS, SECOND_NS) == SECOND_NS


def test_a_frame_is_as_old_as_its_stamp_says(picamera2):
    picamera2.metadata = {"SensorTimestamp": time.monotonic_ns() - 3 * SECOND_NS}
    before = time.time()
    frame = open_csi().read()

    assert frame.captured_ns == picamera2.metadata["SensorTimestamp"]
    assert frame.captured_unix_s - before == pytest.approx(-3, abs=1)


def test_a_frame_without_a_stamp_is_of_now(picamera2):
    before = time.monotonic_ns()
    frame = open_csi().read()

    assert before <= frame.captured_ns <= time.monotonic_ns()


# ------------------------------------------------------------------------- one number, one camera


def test_a_second_opening_is_refused_before_it_can_harm_the_first(picamera2):
    first = open_csi()
    with pytest.raises(CameraError, match="open in this program already"):
        open_csi()

    assert names(picamera2).count("open") == 1
    first.read()
    first.close()
    open_csi().read()


def test_a_camera_that_the_rest_of_the_program_has_open_is_left_alone(picamera2):
    """Its own Picamera2(0), which picamera2 keeps under libcamera's number."""
    picamera2.infos = ({"Model": "imx708", "Num": 3, "Id": "/base/imx708@1a"},)
    picamera2._cm = SimpleNamespace(cameras={3: object()})

    with pytest.raises(CameraError, match="rest of this program has it open"):
        open_csi()

    assert "open" not in names(picamera2)


def test_two_cameras_can_be_open(picamera2):
    picamera2.infos = (*picamera2.infos, {"Model": "imx219", "Num": 1, "Id": "/base/imx219@10"})

    with open_csi(0) as first, open_csi(1) as second:
        assert first.read().index == second.read().index == 0


def test_renewing_opens_another_like_it(picamera2):
    first = open_csi(colour=False, rotate=180, size_wh=(320, 240), mirror=True)
    first.read()
    second = first.renew()

    created = [call[1] for call in picamera2.calls if call[0] == "create"]
    assert created[0] == created[1]
    assert (second.name, second.read().index) == (first.name, 0)
    # In this order: open twice, both would be lost.
    assert [name for name in names(picamera2) if name in ("open", "close")] == [
        "open",
        "close",
        "open",
    ]


def test_closing_a_camera_whose_driver_hangs_comes_back(picamera2, monkeypatch):
    monkeypatch.setattr(csi, "_CLOSE_LIMIT_S", 0.05)
    picamera2.hangs = threading.Event()
    camera = open_csi()

    camera.close()

    with pytest.raises(CameraError, match="its driver hangs"):
        camera.renew()
    picamera2.hangs.set()
    wait_until(lambda: not csi._held)
    camera.renew().read()


# -------------------------------------------------------------------------------------- listing


def test_cameras_are_numbered_as_picamera2_opens_them(picamera2):
    """``Num`` of its own list is libcamera's, and sorted otherwise."""
    picamera2.infos = (
        {"Model": "imx708", "Num": 1, "Id": "/base/imx708@1a"},
        {"Model": "imx219", "Num": 0, "Id": "/base/imx219@10"},
    )

    assert [(info["Model"], info["Num"], info["Modes"]) for info in csi_cameras()] == [
        ("imx708", 0, ()),
        ("imx219", 1, ()),
    ]


def test_the_modes_of_a_sensor_are_listed_without_opening_it(picamera2, monkeypatch):
    sizes = {
        "SRGGB10": [
            SimpleNamespace(width=640, height=480),
            SimpleNamespace(width=1640, height=1232),
        ],
        "SRGGB8": [SimpleNamespace(width=640, height=480)],
    }
    formats = SimpleNamespace(pixel_formats=list(sizes), sizes=sizes.get)
    stream = SimpleNamespace(formats=formats)
    asked = []

    def generate_configuration(roles):
        asked.append(roles)
        return SimpleNamespace(at=lambda index: stream)

    device = SimpleNamespace(generate_configuration=generate_configuration)
    manager = SimpleNamespace(get={FakePicamera2.infos[0]["Id"]: device}.__getitem__)
    libcamera = sys.modules["libcamera"]
    libcamera.CameraManager = SimpleNamespace(singleton=lambda: manager)
    libcamera.StreamRole = SimpleNamespace(Raw="raw")

    assert csi_cameras()[0]["Modes"] == ("SRGGB10 640x480", "SRGGB10 1640x1232", "SRGGB8 640x480")
    assert asked == [["raw"]]
    assert "open" not in names(picamera2)


def test_a_libcamera_that_does_not_start_has_no_cameras(picamera2):
    picamera2.fails["info"] = RuntimeError("Failed to start the camera manager")

    assert csi_cameras() == []


def test_a_position_opens_the_camera_with_that_number(picamera2):
    picamera2.infos = (
        {"Model": "imx708", "Num": 1, "Id": "/base/imx708@1a"},
        {"Model": "imx219", "Num": 0, "Id": "/base/imx219@10"},
    )

    with open_camera("csi:1", size_wh=(320, 240), fps=10) as camera:
        assert camera.name == "imx219 (CSI 1)"

    assert ("open", 1) in picamera2.calls
    created = next(call[1] for call in picamera2.calls if call[0] == "create")
    assert created["main"]["size"] == (320, 240)
    assert created["controls"] == {"FrameRate": 10}
