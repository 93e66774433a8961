"""What the doctor's tests share: what every finding must be, and facts of made-up machines."""

import subprocess
from pathlib import Path

from fer_edge.edge.doctor import vision
from fer_edge.edge.doctor.finding import Finding
from fer_edge.edge.doctor.interpreter import read_interpreter

from .conftest import HANG_S

#: The Python of the tests.
HERE = read_interpreter()
SENSOR = ["imx708_wide 10-001a"]


def told(findings) -> list[tuple[str, str]]:
    """States and names; every cure is there where it must be, and a shell takes it."""
    listed = list(findings)
    for finding in listed:
        assert finding.state == "ok" or finding.cure, finding
        done = subprocess.run(["bash", "-n"], input=finding.cure, text=True, check=False)
        assert done.returncode == 0, finding.cure
    return [(finding.state, finding.name) for finding in listed]


def only(findings) -> Finding:
    """The one finding, whose cure is checked as well."""
    listed = list(findings)
    told(listed)
    (finding,) = listed
    return finding


def look_at_natives(folder: Path, limit_s: float = HANG_S) -> dict[str, Finding]:
    """What is told of NumPy, OpenCV and the cameras in the folder of a machine without any."""
    found = list(vision.look(HERE, folder, "", limit_s))
    told(found)
    return {finding.name: finding for finding in found}


def stick(maker: str, product: str, speed: str) -> dict[str, str]:
    """Files of a machine with this on its USB."""
    at = "sys/bus/usb/devices/2-1"
    return {
        "sys/bus/usb/devices/usb2/idVendor": "1d6b\n",
        "sys/bus/usb/devices/usb2/idProduct": "0003\n",
        f"{at}/idVendor": f"{maker}\n",
        f"{at}/idProduct": f"{product}\n",
        f"{at}/speed": f"{speed}\n",
        f"{at}/busnum": "2\n",
        f"{at}/devnum": "13\n",
        "dev/bus/usb/002/013": "",
    }
