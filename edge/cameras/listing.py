"""Which cameras this machine has, in an order that stays: picamera2's first, then V4L2 devices."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .v4l2_modes import CameraMode, ask_driver

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
        stable: A name of the device under ``/dev/v4l`` that stays when it is plugged in elsewhere
            or again; ``""`` where there is none.
        modes: Formats and sizes as the driver lists them; empty where it does not. Of a CSI camera
            those of its sensor, from which libcamera makes any size.
    """

    position: int
    kind: str
    address: str
    name: str
    stable: str = ""
    modes: tuple[CameraMode, ...] = ()


def list_cameras(
    *,
    csi: Callable[[], Sequence[dict[str, Any]]] | None = None,
    devices: Path = Path("/dev"),
    names: Path = Path("/sys/class/video4linux"),
    delivers: Callable[[str], bool] | None = None,
    ask: Callable[[str], tuple[bool, tuple[CameraMode, ...]]] = ask_driver,
) -> list[CameraInfo]:
    """The cameras of this machine. A camera that another program holds is not among them.

    The arguments stand in for the machine: picamera2's list, the folder of the device files, the
    folder where the kernel names them, the trial read of a device, and what its driver says.
    """
    from .v4l2 import delivers as has_frame
    from .v4l2 import stable_name

    if csi is None:
        from .csi import csi_cameras as csi
    delivers = has_frame if delivers is None else delivers
    found = [
        CameraInfo(
            -1,
            "csi",
            str(info.get("Num", number)),
            str(info.get("Model", "CSI camera")),
            modes=_sensor_modes(info.get("Modes", ())),
        )
        for number, info in enumerate(csi())
        # libcamera lists USB webcams too; V4L2 reads them with less in between.
        if "usb" not in str(info.get("Id", "")).lower()
    ]
    for device in sorted(devices.glob("video*"), key=_natural):
        address, name = str(device), _driver_name(names / device.name / "name")
        if name.startswith(_NOT_CAMERAS):
            continue
        able, modes = ask(address)
        if able and delivers(address):
            stable = stable_name(address, devices / "v4l")
            stable = "" if stable == address else stable
            found.append(CameraInfo(-1, "usb", address, name or device.name, stable, modes))
    return [replace(camera, position=position) for position, camera in enumerate(found)]


def _sensor_modes(texts: Sequence[str]) -> tuple[CameraMode, ...]:
    """``SRGGB10 1640x1232`` as format and size; what looks otherwise is left out."""
    found = [re.fullmatch(r"(\S+) (\d+)x(\d+)", text) for text in texts]
    return tuple(CameraMode(m[1], (int(m[2]), int(m[3]))) for m in found if m)


def _driver_name(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _natural(path: Path) -> tuple[int, str]:
    number = re.search(r"\d+$", path.name)
    return (int(number.group()) if number else -1, path.name)
