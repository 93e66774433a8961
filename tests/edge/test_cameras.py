"""Opening clips, pictures and sources, and what is said where there is none."""

from pathlib import Path

import numpy as np
import pytest

from fer_edge.edge import cameras
from fer_edge.edge.cameras import make_frame, open_camera
from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.cameras.listing import CameraInfo
from fer_edge.edge.errors import CameraError

from ..conftest import encode
from .conftest import write_clip

NO_CAMERAS = "No camera was found here. --camera takes a number .* usb:N, .* rtsp://.* or demo"


@pytest.fixture
def without_cameras(monkeypatch):
    """A machine without a camera, whatever the one that runs the tests has."""
    monkeypatch.setattr(cameras, "list_cameras", list)


def pictures(camera) -> list[np.ndarray]:
    """All frames of a camera that ends; their indices count from 0 without a gap."""
    frames = []
    while (frame := camera.read()) is not None:
        frames.append(frame)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = [frame.captured_ns for frame in frames]
    assert times == sorted(times)
    return [frame.image for frame in frames]


# -------------------------------------------------------------------------- clips and pictures


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_clip_gives_every_frame(tmp_path, suffix):
    path = write_clip(tmp_path / f"clip{suffix}", count=12, size_wh=(320, 240))
    demo = DemoCamera(size_wh=(320, 240), lossless=True)

    with open_camera(path) as camera:
        assert (camera.name, camera.lossless, camera.fps) == (path.name, True, 25)
        seen = pictures(camera)
        assert camera.read() is None, "the end stays the end"

    assert len(seen) == 12
    for number, image in enumerate(seen):
        assert image.shape == (240, 320, 3)
        # Compressed, and yet each at its place.
        assert np.abs(image.astype(int) - demo.image(7 * number)).mean() < 6


def test_a_path_is_taken_as_text_too(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=3)

    with open_camera(str(path)) as camera:
        assert len(pictures(camera)) == 3


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".PNG", ".webp", ".jpg", ".tiff"])
def test_a_picture_is_a_clip_of_one_frame(tmp_path, suffix):
    path = tmp_path / f"face{suffix}"
    shown = DemoCamera(lossless=True).image(0)
    path.write_bytes(encode(shown, suffix.lower()))

    with open_camera(path) as camera:
        assert (camera.name, camera.lossless, camera.fps) == (path.name, True, 0)
        (image,) = pictures(camera)
        assert camera.read() is None

    assert np.abs(image.astype(int) - shown).mean() < 3


def test_a_grey_picture_comes_in_three_colours(tmp_path):
    path = tmp_path / "grey.png"
    path.write_bytes(encode(np.arange(64, dtype=np.uint8).reshape(8, 8)))

    (image,) = pictures(open_camera(path))

    assert image.shape == (8, 8, 3)
    assert (image == image[..., :1]).all()


def test_the_demo_is_live_unless_told_otherwise():
    assert open_camera("demo").lossless is False
    lossless = open_camera("demo", size_wh=(160, 120), fps=5, lossless=True)

    assert (lossless.lossless, lossless.fps) == (True, 5)
    assert lossless.read().size_wh == (160, 120)


@pytest.mark.parametrize("make", [lambda p: write_clip(p / "c.mp4"), lambda p: "demo"])
def test_closing_twice_does_nothing(tmp_path, make):
    with open_camera(make(tmp_path)) as camera:
        camera.read()
        camera.close()
    camera.close()


# Each case: what is given, which does not exist as a camera; what the error says.
NOWHERE = [
    ("no-such-clip.mp4", "'no-such-clip.mp4' does not exist"),
    ("demos", "'demos' does not exist"),
    ("-1", "'-1' does not exist"),
    ("", "'' does not exist"),
    (Path("no/such/picture.png"), "picture.png' does not exist"),
    (0, "There is no camera 0"),
    ("0", "There is no camera 0"),
    (7, "There is no camera 7"),
    ("99999999999999999999", "There is no camera 9999"),
    (2**31, "There is no camera 2147483648"),
    ("9" * 5000, "There is no camera 9999"),  # more digits than int() takes
    ("csi:0", "There is no camera csi:0"),
    ("usb:0", "There is no camera usb:0"),
    ("usb:" + "9" * 30, "There is no camera usb:9999"),
    ("rtmp://me:secret@host/live", "There is no camera 'rtmp://host/live'"),
    ("-:nv12", "can be -:yuv420, -:bgr24, -:gray, got '-:nv12'"),
    ("a\0b.mp4", "does not exist"),
    ("x" * 300 + ".mp4", "does not exist"),  # longer than a name can be: stat() itself fails
]


@pytest.mark.parametrize(("source", "said"), NOWHERE, ids=[repr(s)[:20] for s, _ in NOWHERE])
@pytest.mark.usefixtures("without_cameras")
def test_what_is_no_camera_is_answered_with_what_there_is(source, said):
    with pytest.raises(CameraError, match=NO_CAMERAS) as caught:
        open_camera(source)

    assert said in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_wrong_number_is_answered_with_the_right_ones(monkeypatch):
    there = [CameraInfo(0, "csi", "0", "imx708"), CameraInfo(1, "usb", "/dev/video8", "C920")]
    monkeypatch.setattr(cameras, "list_cameras", lambda: there)

    with pytest.raises(CameraError, match=r"no camera 2\. Cameras here: 0 \(imx708\); 1 \(C920\)"):
        open_camera(2)


@pytest.mark.usefixtures("without_cameras")
def test_a_device_that_is_there_is_not_said_to_be_missing():
    with pytest.raises(CameraError) as caught:
        open_camera("/dev/null")

    assert "does not exist" not in str(caught.value)


def as_text(path: Path) -> None:
    path.write_text("This is no film.\n" * 50)


def as_noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(20_000))


def as_cut_clip(path: Path) -> None:
    """Half of a clip: an .mp4 keeps its table of contents at the end."""
    write_clip(path.with_name("whole.mp4"))
    whole = path.with_name("whole.mp4").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def as_cut_picture(path: Path) -> None:
    path.write_bytes(encode(DemoCamera(lossless=True).image(0))[:30])


def as_huge_picture(path: Path) -> None:
    """A picture whose header promises more pixels than OpenCV decodes."""
    header = bytearray(encode(np.zeros((4, 4), np.uint8), ".bmp"))
    header[18:26] = (1_000_000).to_bytes(4, "little") * 2
    path.write_bytes(header)


# Each case: a file name, what is in it, what the error says.
UNREADABLE = [
    ("film.mp4", as_text, "is no video"),
    ("film.txt", as_text, "is no video"),  # FFmpeg would paint its letters
    ("film01.mp4", as_text, "is no video"),  # OpenCV takes it for a series of pictures
    ("film.mp4", as_noise, "is no video"),
    ("film.gif", as_noise, "is no video"),
    ("film.mp4", Path.touch, "is no video"),
    ("film.mp4", as_cut_clip, "is no video"),
    ("face.png", as_text, "is no picture"),
    ("face.jpg", as_noise, "is no picture"),
    ("face.png", Path.touch, "is no picture"),
    ("face.png", as_cut_picture, "is no picture"),
    ("face.bmp", as_huge_picture, "has more than 67 megapixels"),
]


@pytest.mark.parametrize(
    ("name", "make", "said"), UNREADABLE, ids=[f"{n}-{m.__name__}" for n, m, _ in UNREADABLE]
)
def test_a_file_that_is_neither_is_refused_at_once(tmp_path, name, make, said):
    path = tmp_path / name
    make(path)

    with pytest.raises(CameraError, match=said) as caught:
        open_camera(path)

    assert str(path) in str(caught.value)


def test_a_clip_that_is_cut_in_the_middle_gives_what_is_whole(tmp_path):
    whole = write_clip(tmp_path / "whole.avi", count=12).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])

    with open_camera(cut) as camera:
        assert 1 <= len(pictures(camera)) < 12


# ------------------------------------------------------------------------------- every frame

# Each case: what a library hands over, what becomes of it.
ARRAYS = [
    (np.full((4, 6, 3), 7, np.uint8), ((4, 6, 3), 7)),
    (np.full((4, 6), 7, np.uint8), ((4, 6), 7)),
    (np.full((4, 6, 1), 7, np.uint8), ((4, 6), 7)),
    (np.full((4, 6, 4), 7, np.uint8), ((4, 6, 3), 7)),
    (np.full((4, 6), 7 << 8, np.uint16), ((4, 6), 7)),
    (np.full((4, 6, 3), 7 << 8, np.uint16), ((4, 6, 3), 7)),
]


@pytest.mark.parametrize(("array", "expected"), ARRAYS, ids=lambda a: str(getattr(a, "shape", "")))
def test_a_frame_is_bytes_in_two_or_three_dimensions(array, expected):
    image = make_frame(3, array).image

    assert (image.shape, image.flat[0]) == expected
    assert image.dtype == np.uint8


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 6, 3), np.float32),
        np.zeros((4, 6, 2), np.uint8),
        np.zeros((0, 6, 3), np.uint8),
        np.zeros(24, np.uint8),
        np.zeros((2, 4, 6, 3), np.uint8),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_what_is_no_picture_is_refused(array):
    with pytest.raises(CameraError, match="expected uint8 pictures"):
        make_frame(0, array)


def test_a_frame_may_be_older_than_its_hand_over():
    before = make_frame(0, np.zeros((2, 2), np.uint8))
    older = make_frame(0, np.zeros((2, 2), np.uint8), before.captured_ns - 5_000_000_000)

    assert before.captured_unix_s - older.captured_unix_s == pytest.approx(5, abs=1)


def test_what_ends_for_good_is_not_opened_again(tmp_path):
    with (
        open_camera(write_clip(tmp_path / "clip.mp4")) as camera,
        pytest.raises(CameraError, match=r"clip\.mp4 cannot be opened again"),
    ):
        camera.renew()
    assert camera.reachable() is None


def test_the_demo_begins_again():
    with open_camera("demo", lossless=True, size_wh=(160, 120), colour=False) as camera:
        first = camera.read()
        again = camera.renew().read()

    assert first.image.shape == (120, 160)
    assert np.array_equal(first.image, again.image)
    assert again.index == 0
