"""A Google Coral: seen by its ids, its speed, its permissions, its library, and tried."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .child import Heard, Tell, ask, attempt
from .finding import MORE_TIME, NOTE, OK, PROBLEM, WARNING, Finding
from .interpreter import Interpreter
from .packages import version_of

# Before its first use a stick waits for its firmware under another maker's number.
_WAITING, _RUNNING, _PCI = ("1a6e", "089a"), ("18d1", "9302"), ("0x1ac1", "0x089a")
# USB 2 has 480 Mbit/s; a MobileNetV2 takes 10.6 ms there and 4.6 ms on USB 3.
_USB_3_MBPS = 5000
_LET_IN = (
    "scripts/pi-setup --coral\n"
    "# or: sudo install -m 644 scripts/60-fer-edge-coral.rules /etc/udev/rules.d/ && "
    "sudo udevadm control --reload && sudo udevadm trigger && sudo usermod -aG plugdev $USER\n"
    "# then plug the stick in again, log out and in"
)
_OTHER_BUILD = (
    "# of github.com/feranick/libedgetpu/releases the .deb for this system, then:\n"
    "sudo apt install ./libedgetpu1-std_*.deb"
)


@dataclass(frozen=True, slots=True)
class Device:
    """A Coral.

    Attributes:
        kind: ``usb`` or ``pci``.
        waiting: Whether it has no firmware yet, which its first use brings.
        speed_mbps: Of its USB connection, in Mbit/s; 0 where unknown.
        node: The file that a program opens; empty where there is none.
        allowed: Whether this user may.
    """

    kind: str
    waiting: bool = False
    speed_mbps: float = 0
    node: str = ""
    allowed: bool = True


def look(python: Interpreter, root: Path, limit_s: float) -> Iterator[Finding]:
    """The check; the library is loaded only where a Coral is."""
    devices, package = find_devices(root), library_package(root)
    model = _any_model() if devices else ""
    heard = ask(in_child, model, limit_s=limit_s) if devices else None
    yield from judge(devices, package, heard, version_of("ai-edge-litert"), python)


def find_devices(root: Path, may_use: Callable[[Path], bool] | None = None) -> list[Device]:
    """The Corals that the kernel knows.

    Args:
        root: Where /sys and /dev are.
        may_use: Whether this user may read and write a file.
    """
    may_use = may_use or (lambda path: os.access(path, os.R_OK | os.W_OK))
    found = []
    for folder in sorted(root.glob("sys/bus/usb/devices/*")):
        ids = _text(folder / "idVendor"), _text(folder / "idProduct")
        if ids in (_WAITING, _RUNNING):
            bus, number = _text(folder / "busnum"), _text(folder / "devnum")
            node = root / f"dev/bus/usb/{bus:0>3}/{number:0>3}"
            speed = _text(folder / "speed")
            mbps = float(speed) if re.fullmatch(r"\d+(\.\d+)?", speed) else 0
            found.append(Device("usb", ids == _WAITING, mbps, str(node), may_use(node)))
    for folder in sorted(root.glob("sys/bus/pci/devices/*")):
        if (_text(folder / "vendor"), _text(folder / "device")) == _PCI:
            nodes = sorted(root.glob("dev/apex_*"))
            node = (
                nodes[min(sum(d.kind == "pci" for d in found), len(nodes) - 1)] if nodes else None
            )
            allowed = node is not None and may_use(node)
            found.append(Device("pci", node=str(node or ""), allowed=allowed))
    return found


def library_package(root: Path) -> str:
    """Debian's package of libedgetpu with its version, or an empty text."""
    status = _text(root / "var/lib/dpkg/status")
    for stanza in status.split("\n\n"):
        name = re.search(r"^Package: (libedgetpu1\S*)$", stanza, re.MULTILINE)
        number = re.search(r"^Version: (\S+)$", stanza, re.MULTILINE)
        if name and number and re.search(r"^Status: .* installed$", stanza, re.MULTILINE):
            return f"{name[1]} {number[1]}"
    return ""


def judge(
    devices: list[Device], package: str, heard: Heard | None, litert: str, python: Interpreter
) -> Iterator[Finding]:
    """All of it.

    Args:
        devices: What is plugged in.
        package: Of libedgetpu, or an empty text.
        heard: The steps ``library``, ``version`` and ``delegate``; None where nothing was tried.
        litert: Version of LiteRT, or an empty text.
        python: What runs here.
    """
    if not devices:
        has = f"; {package} is installed" if package else ""
        yield Finding(OK, "Coral", f"none is seen{has}; the CPU reads the faces")
        return
    for device in devices:
        yield _judge_device(device)
    usable = any(device.allowed and device.node for device in devices)
    yield _judge_library(package, heard, litert, python, usable=usable)


def _judge_device(device: Device) -> Finding:
    if device.kind == "pci" and not device.node:
        found = "on PCIe, but its driver has made no /dev/apex_0"
        cure = "sudo apt install -y gasket-dkms && sudo modprobe apex"
        return Finding(PROBLEM, "Coral", found, f"{cure}\n# from coral.ai/docs/m2/get-started")
    if not device.allowed:
        cure = _LET_IN
        if device.kind == "pci":
            cure = "sudo usermod -aG apex $USER\n# then log out and in again"
        return Finding(PROBLEM, "Coral", f"this user may not use {device.node}", cure)
    if device.kind == "pci":
        return Finding(OK, "Coral", f"on PCIe, {device.node}")
    if device.waiting:
        return Finding(OK, "Coral", "on USB, without firmware yet, which its first use brings")
    if 0 < device.speed_mbps < _USB_3_MBPS:
        found = f"on USB 2 ({device.speed_mbps:g} Mbit/s), which doubles the time of a call"
        cure = "# plug it into a blue socket (USB 3), with the cable that came with it\nlsusb -t"
        return Finding(WARNING, "Coral", found, cure)
    return Finding(OK, "Coral", f"on USB, {device.speed_mbps:g} Mbit/s")


def _judge_library(
    package: str, heard: Heard | None, litert: str, python: Interpreter, *, usable: bool
) -> Finding:
    heard = heard or Heard()
    library, delegate = heard.get("library"), heard.get("delegate")
    if library is None or library.why:
        why = library.why if library else heard.lost or "the runtime must load first"
        return Finding(WARNING, "libedgetpu", f"was not looked at: {why}", "fer-edge doctor")
    if not library.value:
        found = "is not installed, so the CPU reads the faces (docs/coral.md)"
        return Finding(NOTE, "libedgetpu", found, _OTHER_BUILD)
    what = ", ".join(filter(None, (package or library.value, heard.value("version"))))
    known = f" {_known_bad(litert)}" if is_google_s(package) else ""
    if delegate is not None and not delegate.why:
        found = f"{what} loads.{known}" if known else f"{what}: the Edge TPU answers"
        return Finding(WARNING if known else OK, "libedgetpu", found, _OTHER_BUILD if known else "")
    # To ask it for its version has ended the process already, where the delegate was not tried.
    failed = delegate or heard.get("version") or library
    why = (failed.why or heard.lost).removeprefix("ModelError: ")
    if not failed.kind and "ended its process" in why:
        return Finding(PROBLEM, "libedgetpu", f"{what}: {why}.{known}", _OTHER_BUILD)
    if failed.late_s:
        # A stick without firmware gets it then, and comes back as another device.
        return Finding(WARNING, "libedgetpu", f"{what}: {why}", MORE_TIME)
    if not usable:
        return Finding(PROBLEM, "libedgetpu", f"{what}: {why}", _LET_IN)
    cure = "# unplug the Coral, plug it in again without a hub; then:\nfer-edge doctor"
    return Finding(PROBLEM, "libedgetpu", f"{what}: {why}", cure)


def is_google_s(package: str) -> bool:
    """Whether it is Google's own build: feranick's have the version of TensorFlow in theirs."""
    return bool(package) and not re.search(r"tf-?\d", package, re.IGNORECASE)


def _known_bad(litert: str) -> str:
    with_what = f" (here LiteRT {litert})" if litert else ""
    return (
        f"Google's own builds are known to crash with TensorFlow Lite from 2.12 on{with_what}: "
        f"google-coral/libedgetpu issues 53 and 67"
    )


def _any_model() -> str:
    from ..models import model_path

    return str(model_path())


def in_child(tell: Tell, model: str) -> None:
    """Find the library, ask it for its version, and load a model with it."""
    library = attempt(tell, "library", _library)
    if library.value and not attempt(tell, "version", _version, library.value).why:
        attempt(tell, "delegate", _delegate, library.value, model)


def _library() -> str:
    from ..tpu import find_library

    return find_library() or ""


def _version(library: str) -> str:
    """Such as ``RuntimeVersion(14)``, where the library tells."""
    import ctypes

    tells = getattr(ctypes.CDLL(library), "edgetpu_version", None)
    if tells is None:
        return ""
    tells.restype = ctypes.c_char_p
    said = (tells() or b"").decode(errors="replace")
    number = re.search(r"RuntimeVersion\(\d+\)", said)
    return number[0] if number else said[:60]


def _delegate(library: str, model: str) -> None:
    """Load the library as a delegate, which opens the device; no model of ours is compiled."""
    from ..runtime import Delegate, load_network

    load_network(Path(model).read_bytes(), delegate=Delegate(library, {"device": ""}))


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace").strip()
    return ""
