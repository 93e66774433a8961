"""The command `fer-edge cameras`."""

import json

import pytest
from click.testing import CliRunner

from fer_edge.edge import cameras
from fer_edge.edge.cameras.listing import CameraInfo
from fer_edge.edge.cameras.v4l2_modes import CameraMode
from fer_edge.edge.cameras_cli import cameras as command
from fer_edge.edge.errors import CameraError

THERE = [
    CameraInfo(0, "csi", "0", "imx708"),
    CameraInfo(
        1,
        "usb",
        "/dev/video8",
        "HD Pro Webcam C920",
        "/dev/v4l/by-id/usb-046d_C920-video-index0",
        (CameraMode("MJPG", (1280, 720), (30.0, 7.5)), CameraMode("YUYV", (640, 480))),
    ),
]


def call(*arguments: str):
    return CliRunner().invoke(command, arguments)


def test_the_list_is_for_people(monkeypatch):
    monkeypatch.setattr(cameras, "list_cameras", lambda: THERE)

    assert call().output.splitlines() == [
        "0  csi  0  imx708",
        "1  usb  /dev/video8  HD Pro Webcam C920",
        "     always: --camera usb:/dev/v4l/by-id/usb-046d_C920-video-index0",
        "     MJPG  1280x720   30, 7.5 frames/s",
        "     YUYV  640x480",
    ]


def test_or_for_programs(monkeypatch):
    monkeypatch.setattr(cameras, "list_cameras", lambda: THERE)

    first, second = json.loads(call("--json").output)

    assert first == {
        "position": 0,
        "kind": "csi",
        "address": "0",
        "name": "imx708",
        "stable": "",
        "modes": [],
    }
    assert second["stable"] == "/dev/v4l/by-id/usb-046d_C920-video-index0"
    assert second["modes"] == [
        {"format": "MJPG", "size_wh": [1280, 720], "fps": [30.0, 7.5]},
        {"format": "YUYV", "size_wh": [640, 480], "fps": []},
    ]


def test_where_there_is_none_that_is_an_error_or_an_empty_list(monkeypatch):
    monkeypatch.setattr(cameras, "list_cameras", list)

    assert call("--json").output == "[]\n"
    assert isinstance(call().exception, CameraError)
    with pytest.raises(CameraError, match="--camera demo"):
        CliRunner().invoke(command, [], catch_exceptions=False)
