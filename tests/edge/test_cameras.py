"""Opening every kind of source, and what is said where there is none."""

import os
from pathlib import Path

import numpy as np
import pytest

from fer_edge.edge import cameras
from fer_edge.edge.cameras import csi, list_cameras, make_frame, open_camera, v4l2
from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.cameras.listing import CameraInfo
from fer_edge.edge.cameras.shape import ShapedCamera
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


# ------------------------------------------------------------------------------- V4L2 and the list


@pytest.fixture
def machine(tmp_path):
    """A folder of device files and one of their names, to be filled by a test."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "names").mkdir()

    def add(**names: str | None) -> None:
        for device, name in names.items():
            (tmp_path / "dev" / device).touch()
            if name is not None:
                (tmp_path / "names" / device).mkdir()
                (tmp_path / "names" / device / "name").write_text(name + "\n")

    add.dev, add.names = tmp_path / "dev", tmp_path / "names"
    return add


def listed(
    machine, csi=(), delivers=lambda device: True, ask=lambda device: (True, ())
) -> list[tuple[int, str, str, str]]:
    found = list_cameras(
        csi=lambda: list(csi), devices=machine.dev, names=machine.names, delivers=delivers, ask=ask
    )
    return [(c.position, c.kind, c.address.rpartition("/")[2], c.name) for c in found]


def test_a_machine_without_cameras_has_an_empty_list(machine):
    assert listed(machine) == []


def test_the_ribbon_cable_comes_first_then_usb_by_number(machine):
    machine(video10="C920", video2="Brio", video0="UVC Camera")
    csi = [{"Model": "imx708", "Num": 0, "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}]

    assert listed(machine, csi) == [
        (0, "csi", "0", "imx708"),
        (1, "usb", "video0", "UVC Camera"),
        (2, "usb", "video2", "Brio"),  # before 10, as numbers and not as text
        (3, "usb", "video10", "C920"),
    ]


def test_usb_cameras_in_picamera2_s_list_are_left_to_v4l2(machine):
    machine(video0="C920")
    csi = [
        {
            "Model": "HD Pro",
            "Num": 0,
            "Id": "/base/scb/pcie@7d500000/pci/usb@0,0-1.2:1.0-046d:082d",
        },
        {"Model": "imx219", "Num": 1, "Id": "/base/soc/i2c0mux/i2c@1/imx219@10"},
    ]

    assert listed(machine, csi) == [(0, "csi", "1", "imx219"), (1, "usb", "video0", "C920")]


def test_what_picamera2_leaves_out_is_filled_in(machine):
    assert listed(machine, [{}, {"Model": "ov5647"}]) == [
        (0, "csi", "0", "CSI camera"),
        (1, "csi", "1", "ov5647"),
    ]


# Names of nodes on a Pi 3, 4 and 5 that are no cameras.
NOT_CAMERAS = [
    "unicam-image",
    "unicam-embedded",
    "rp1-cfe-csi2_ch0",
    "rp1-cfe-fe_image0",
    "pispbe-output0",
    "bcm2835-isp-capture0",
    "bcm2835-codec-decode",
    "rpi-hevc-dec",
    "rpivid",
]


@pytest.mark.parametrize("name", NOT_CAMERAS)
def test_the_inner_nodes_of_a_pi_are_not_even_tried(machine, name):
    machine(video0=name, video1="C920")
    tried = []

    found = listed(machine, delivers=lambda device: tried.append(device) or True)

    assert found == [(0, "usb", "video1", "C920")]
    assert [Path(device).name for device in tried] == ["video1"]


def test_nodes_that_deliver_nothing_are_left_out(machine):
    # A webcam has a second node for its metadata, under the same name.
    machine(video0="C920", video1="C920", video2=None)

    found = listed(machine, delivers=lambda device: not device.endswith("video1"))

    assert found == [(0, "usb", "video0", "C920"), (1, "usb", "video2", "video2")]


def test_nodes_whose_driver_captures_nothing_are_not_even_tried(machine):
    machine(video0="C920", video1="C920")
    tried = []

    found = listed(
        machine,
        delivers=lambda device: tried.append(device) or True,
        ask=lambda device: (device.endswith("video1"), ()),
    )

    assert found == [(0, "usb", "video1", "C920")]
    assert [Path(device).name for device in tried] == ["video1"]


def test_positions_stay_from_one_call_to_the_next(machine):
    machine(**{f"video{n}": f"camera {n}" for n in (12, 3, 1, 20, 0)})

    first, second = listed(machine), listed(machine)

    assert first == second
    assert [address for _, _, address, _ in first] == [f"video{n}" for n in (0, 1, 3, 12, 20)]


def test_other_files_in_dev_are_no_cameras(machine):
    machine(video0="C920", media0="C920", v4l="x", **{"vcio": "x"})

    assert len(listed(machine)) == 1


def test_a_device_that_cannot_be_opened_is_explained(monkeypatch, tmp_path):
    there = [CameraInfo(0, "usb", str(tmp_path / "video0"), "C920")]
    monkeypatch.setattr(cameras, "list_cameras", lambda: there)

    with pytest.raises(CameraError, match=r"Cannot open C920 .*video0\): it is not plugged in"):
        open_camera(0)


def test_opencv_waits_two_seconds_for_a_camera_not_ten():
    # It reads this when it is loaded; importing fer_edge.edge, above, has set it before.
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == "2"


@pytest.fixture
def three_cameras(monkeypatch):
    """A machine with a CSI camera, two USB cameras; opening one says which."""
    there = [
        CameraInfo(0, "csi", "1", "imx708"),
        CameraInfo(1, "usb", "/dev/video8", "Brio"),
        CameraInfo(2, "usb", "/dev/video10", "C920"),
    ]
    monkeypatch.setattr(cameras, "list_cameras", lambda: there)
    opened = []

    class Fake:
        fps, lossless, skipped = 30.0, False, 0

        def __init__(self, address, **asked):
            self.name = asked["name"]
            opened.append((address, asked))

    monkeypatch.setattr(v4l2, "V4l2Camera", Fake)
    monkeypatch.setattr(csi, "CsiCamera", Fake)
    return opened


# Each case: what is asked for, which camera is opened.
POSITIONS = [
    ("0", 1),
    ("csi:0", 1),
    ("1", "/dev/video8"),
    ("usb:0", "/dev/video8"),
    ("usb:1", "/dev/video10"),
    ("2", "/dev/video10"),
    ("usb:/dev/v4l/by-id/usb-046d-video-index0", "/dev/v4l/by-id/usb-046d-video-index0"),
    ("/dev/null", "/dev/null"),  # any character device is taken for a camera
]


@pytest.mark.parametrize(("source", "address"), POSITIONS)
def test_a_device_is_opened_by_position_kind_or_path(three_cameras, source, address):
    open_camera(source, size_wh=(320, 240), fps=15)

    ((opened, asked),) = three_cameras
    assert (opened, asked["size_wh"], asked["fps"]) == (address, (320, 240), 15)


def test_a_device_is_asked_for_vga_at_30_by_default(three_cameras):
    open_camera("usb:0")

    assert three_cameras[0][1]["size_wh"] == (640, 480)
    assert three_cameras[0][1]["fps"] == 30.0


# Each case: what is wanted, what the CSI camera is asked for: it turns by 0 and 180 itself.
TURNS = [
    ({"rotate": 0}, (0, False)),
    ({"mirror": True}, (0, True)),
    ({"rotate": 180, "mirror": True}, (180, True)),
    ({"rotate": 90, "mirror": True}, (0, False)),
    ({"rotate": 270}, (0, False)),
]


@pytest.mark.parametrize(("wanted", "asked"), TURNS)
def test_a_csi_camera_turns_what_it_can_itself(three_cameras, wanted, asked):
    camera = open_camera("0", **wanted)

    assert (three_cameras[0][1]["rotate"], three_cameras[0][1]["mirror"]) == asked
    assert isinstance(camera, ShapedCamera) == (wanted.get("rotate") in (90, 270))


@pytest.mark.parametrize("rotate", [1, -90, 360, 45])
def test_pictures_turn_by_quarters_only(rotate):
    with pytest.raises(CameraError, match=f"turned by .* degrees, got {rotate}"):
        open_camera("demo", rotate=rotate)


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
