"""The list of cameras, and which of them is opened where none is named."""

import os
from pathlib import Path

import pytest

from fer_edge.edge import cameras
from fer_edge.edge.cameras import csi, list_cameras, open_camera, v4l2
from fer_edge.edge.cameras.listing import CameraInfo
from fer_edge.edge.cameras.shape import ShapedCamera
from fer_edge.edge.errors import CameraError

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
