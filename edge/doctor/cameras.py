"""Cameras that deliver, or why they do not: USB (from :mod:`.vision`) and CSI."""

import grp
import os
import pwd
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .child import Heard, Outcome, Tell, ask, attempt
from .finding import MORE_TIME, NOTE, OK, PROBLEM, WARNING, Finding, one_line
from .interpreter import Interpreter, see_system_packages
from .packages import explain

# How kernels name the sensors of CSI cameras, and the nodes that a Raspberry Pi makes for them.
_SENSOR = re.compile(r"(imx|ov|ar|arducam)[\w-]*\d")
_CSI_NODES = ("unicam", "rp1-cfe")
# A wait for a frame ends after 2 s: a camera that took longer is stuck in its driver.
_FRAME_S = 2.5
_AGAIN = "# plug it in again, into another socket and without a hub; then:\nfer-edge cameras"
_RIBBON = "# seat the ribbon cable anew with the power off; then:\nrpicam-hello --list-cameras"
_NO_CAMERA = "# plug one in, or play the demo:\nfer-edge run --camera demo"
_INSTALL = "sudo apt install -y --no-install-recommends python3-picamera2"


# USB -----------------------------------------------------------------------------------------


def judge_usb(
    heard: Heard, holders: Callable[[str], list[str]], group: str, source: str
) -> Iterator[Finding]:
    """The V4L2 devices, or the one source that was asked for.

    Args:
        heard: The step ``devices`` and a step ``camera …`` for each of :mod:`.vision`.
        holders: Names the programs that have a device open.
        group: Of the user and the group ``video``: ``in``, ``soon`` (at the next login), ``out``.
        source: What ``--camera`` said, or an empty text.
    """
    if source:
        yield _judge_source(source, heard.get(f"camera {source}"))
        return
    devices = heard.get("devices")
    if devices is None or devices.why:
        why = devices.why if devices else "NumPy and OpenCV must load first"
        yield Finding(WARNING, "cameras", f"were not looked at: {why}", "fer-edge cameras")
        return
    for device in devices.value:
        outcome = heard.get(f"camera {device['address']}")
        finding = _judge_device(device, outcome or Outcome(why="not tried"), holders, group)
        if finding is not None:
            yield finding


def _judge_source(source: str, outcome: Outcome | None) -> Finding:
    shown = one_line(source)
    name = f"camera {shown}"
    if outcome is None:
        found = "was not looked at: NumPy and OpenCV must load first"
        return Finding(WARNING, name, found, "fer-edge doctor")
    if outcome.late_s:
        return Finding(WARNING, name, outcome.why, MORE_TIME)
    if outcome.why or not outcome.value["size_wh"]:
        why = outcome.why.removeprefix("CameraError: ") or "delivered no frame"
        return Finding(PROBLEM, name, why, f"fer-edge run --frames 1 --camera {shlex.quote(shown)}")
    return Finding(OK, name, f"{outcome.value['name']}: {_size(outcome)}")


def _judge_device(
    device: dict[str, Any], outcome: Outcome, holders: Callable[[str], list[str]], group: str
) -> Finding | None:
    """None for a node that is no camera."""
    address, value = device["address"], outcome.value or {}
    name, called = f"camera {address}", device["name"]
    if value.get("captures") is False:
        return None
    if value.get("allowed") is False:
        if group == "soon":
            cure = "# log out and in again: you have joined the group video since"
        else:
            cure = "sudo usermod -aG video $USER\n# then log out and in again"
        return Finding(PROBLEM, name, f"{called}: this user may not use it", cure)
    if value.get("size_wh"):
        return Finding(OK, name, f"{called}: {_size(outcome)}")
    if held := holders(address):
        found = f"{called}: {' and '.join(held)} has it open"
        return Finding(NOTE, name, found, f"sudo fuser -v {shlex.quote(address)}")
    if 0 < outcome.late_s < _FRAME_S:
        return Finding(WARNING, name, f"{called}: {outcome.why}", MORE_TIME)
    if outcome.why:
        return Finding(PROBLEM, name, f"{called}: {outcome.why}", _AGAIN)
    if device["usb"]:
        return Finding(PROBLEM, name, f"{called}: delivers no frame", _AGAIN)
    # Boards have nodes of many kinds that OpenCV cannot read.
    return Finding(NOTE, name, f"{called}: delivers no frame and is not on USB", "fer-edge cameras")


def _size(outcome: Outcome) -> str:
    width, height = outcome.value["size_wh"]
    return f"delivers, {width}x{height}"


def none_at_all(findings: list[Finding]) -> list[Finding]:
    """The findings, with one that says so where not one is about a camera."""
    if any(finding.name.startswith("camera") for finding in findings):
        return findings
    return [*findings, Finding(NOTE, "cameras", "no camera was found here", _NO_CAMERA)]


def holders(root: Path, device: str) -> list[str]:
    """Programs that have a device open, as far as this user may know."""
    found = set()
    for link in root.glob("proc/[0-9]*/fd/*"):
        with suppress(OSError):
            if str(link.readlink()) == device and link.parts[-3] != str(os.getpid()):
                command = (link.parents[1] / "comm").read_text(errors="replace").strip()
                found.add(f"{command} (process {link.parts[-3]})")
    return sorted(found)


def video_group() -> str:
    """Whether this process is ``in`` the group video, will be ``soon``, or is ``out``."""
    if os.geteuid() == 0:
        return "in"
    try:
        video, user = grp.getgrnam("video"), pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "out"
    if video.gr_gid in os.getgroups():
        return "in"
    return "soon" if user in video.gr_mem else "out"


# CSI -----------------------------------------------------------------------------------------


def look_at_csi(python: Interpreter, root: Path, tried: bool, limit_s: float) -> Iterator[Finding]:
    """The check of the ribbon cable.

    Args:
        python: Where picamera2 should be.
        root: Where /sys is.
        tried: Whether to open the cameras that are found.
        limit_s: The time it has.
    """
    sensors = csi_sensors(root)
    try:
        installed = find_spec("picamera2") is not None
    except (ImportError, ValueError):
        installed = True
    heard = ask(in_child, tried, limit_s=limit_s) if installed else None
    yield from judge_csi(heard, sensors, python)


def csi_sensors(root: Path) -> list[str]:
    """Sensors on ribbon cables, as the kernel names them."""
    found = []
    for path in sorted(root.glob("sys/class/video4linux/*/name")):
        with suppress(OSError):
            name = path.read_text(errors="replace").strip()
            if _SENSOR.match(name) if "subdev" in path.parent.name else name.startswith(_CSI_NODES):
                found.append(name)
    sensors = [name for name in found if not name.startswith(_CSI_NODES)]
    return sensors or found[:1]


def judge_csi(heard: Heard | None, sensors: list[str], python: Interpreter) -> Iterator[Finding]:
    """picamera2 and the cameras that it finds.

    Args:
        heard: The steps ``picamera2``, ``csi`` and ``camera csi:…``; None where picamera2 is not
            seen from this environment.
        sensors: What the kernel knows of.
        python: Where picamera2 should be.
    """
    there = f"a camera is on the ribbon cable ({', '.join(sensors)})" if sensors else ""
    if heard is None:
        yield _judge_absent(there, python)
        return
    loaded = heard.get("picamera2")
    if loaded is None or loaded.why:
        why = loaded.why if loaded else heard.lost or heard.said or "nothing was told"
        if heard.late:
            yield Finding(WARNING, "picamera2", f"loads slowly or never: {why}", MORE_TIME)
            return
        cause, cure = explain(f"{why} {heard.said}", python, "picamera2")
        if not cause:
            cure = _INSTALL.replace(" install ", " install --reinstall ")
        # Without a camera nobody misses it: the loop passes over a picamera2 that does not load.
        state = PROBLEM if there else WARNING
        yield Finding(state, "picamera2", f"{cause}: {why}" if cause else why, cure)
        return
    listed = heard.get("csi")
    if listed is None or listed.why:
        why = listed.why if listed else heard.lost
        cure = MORE_TIME if heard.late else _RIBBON
        yield Finding(WARNING, "picamera2", f"does not list its cameras: {why}", cure)
        return
    count = len(listed.value)
    yield Finding(OK, "picamera2", f"{loaded.value}; {count} CSI camera{'s' * (count != 1)}")
    if there and not listed.value:
        yield Finding(PROBLEM, "camera csi:0", f"{there}, libcamera does not find it", _RIBBON)
    for camera in listed.value:
        name = f"camera csi:{camera['position']}"
        outcome = heard.get(name)
        if outcome is None:
            continue
        if not outcome.why:
            yield Finding(OK, name, f"{camera['model']}: {_size(outcome)}")
        elif 0 < outcome.late_s < _FRAME_S:
            yield Finding(WARNING, name, f"{camera['model']}: {outcome.why}", MORE_TIME)
        elif re.search(r"in use|acquire|[Bb]usy", outcome.why):
            found = f"{camera['model']}: another program has it open"
            yield Finding(NOTE, name, found, "sudo fuser -v /dev/media*")
        else:
            why = outcome.why.removeprefix("CameraError: ")
            yield Finding(PROBLEM, name, f"{camera['model']}: {why}", _RIBBON)


def _judge_absent(there: str, python: Interpreter) -> Finding:
    """picamera2 is not to be seen; whether that matters, and how to make it seen."""
    if not python.apt_picamera2:
        cure = _INSTALL
        if not python.system_packages:
            cure += f"\n{see_system_packages(python)}"
        found = "is not installed"
    elif not python.system_packages:
        cure, found = see_system_packages(python), f"{python.prefix} does not see apt's packages"
    else:
        cure = "/usr/bin/python3 -m venv --system-site-packages .venv && .venv/bin/pip install ."
        found = f"apt's is for another Python than {python.executable}"
    if there:
        return Finding(PROBLEM, "picamera2", f"{there}, and picamera2 {found}", cure)
    if python.board:
        return Finding(NOTE, "picamera2", f"{found}; only a camera on the ribbon needs it", cure)
    return Finding(OK, "picamera2", f"{found}; only a camera on the ribbon cable needs it")


def in_child(tell: Tell, tried: bool) -> None:
    """Load picamera2, list its cameras, and read a frame of each."""
    if attempt(tell, "picamera2", _picamera2).why:
        return
    listed = attempt(tell, "csi", _listed)
    for camera in listed.value or () if tried else ():
        attempt(tell, f"camera csi:{camera['position']}", _frame, camera)


def _picamera2() -> str:
    import logging

    logging.getLogger("picamera2").setLevel(logging.CRITICAL)
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    import picamera2  # type: ignore[import-not-found]

    return str(picamera2.__file__)


def _listed() -> list[dict[str, Any]]:
    from ..cameras.csi import csi_cameras

    found = [info for info in csi_cameras() if "usb" not in str(info.get("Id", "")).lower()]
    return [
        {"position": position, "number": info["Num"], "model": str(info.get("Model", "camera"))}
        for position, info in enumerate(found)
    ]


def _frame(camera: dict[str, Any]) -> dict[str, Any]:
    from ..cameras.csi import CsiCamera

    model, number = camera["model"], camera["number"]
    with CsiCamera(number, name=model, size_wh=(640, 480), fps=30.0) as opened:
        frame = opened.read()
        return {"size_wh": None if frame is None else frame.size_wh}
