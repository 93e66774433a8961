"""Which cameras this machine has, in an order that stays: picamera2's first, then V4L2 devices."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Device nodes of a Pi that are no camera to read from: the raw ends of the CSI pipeline (libcamera
# owns them), the image processor and the codecs. Reading one costs the whole time-out.
_NOT_CAMERAS = ("unicam", "rp1-cfe", "pispbe", "bcm2835-isp", "bcm2835-codec", "rpi-hevc", "rpivid")


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """A camera that can be opened by its position.

    Attributes:
        position: What ``--camera`` takes, from 0 on.
        kind: ``csi`` (picamera2) or ``usb`` (V4L2).
        address: Picamera2's number, or the device file.
        name: Model or driver name, for people.
    """

    position: int
    kind: str
    address: str
    name: str


def list_cameras(
    *,
    csi: Callable[[], Sequence[dict[str, Any]]] | None = None,
    devices: Path = Path("/dev"),
    names: Path = Path("/sys/class/video4linux"),
    delivers: Callable[[str], bool] | None = None,
) -> list[CameraInfo]:
    """The cameras of this machine.

    The arguments stand in for the machine: picamera2's list, the folder of the device files, the
    folder where the kernel names them, and the trial read of a device.
    """
    if csi is None:
        from .csi import csi_cameras as csi
    if delivers is None:
        from .v4l2 import delivers
    found = [
        ("csi", str(info.get("Num", number)), str(info.get("Model", "CSI camera")))
        for number, info in enumerate(csi())
        # libcamera lists USB webcams too; V4L2 reads them with less in between.
        if "usb" not in str(info.get("Id", "")).lower()
    ]
    for device in sorted(devices.glob("video*"), key=_natural):
        name = _driver_name(names / device.name / "name")
        if not name.startswith(_NOT_CAMERAS) and delivers(str(device)):
            found.append(("usb", str(device), name or device.name))
    return [CameraInfo(position, *camera) for position, camera in enumerate(found)]


def _driver_name(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _natural(path: Path) -> tuple[int, str]:
    number = re.search(r"\d+$", path.name)
    return (int(number.group()) if number else -1, path.name)
