"""The doctor before USB cameras and libraries for the Coral that do not work, for real."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fer_edge.edge.doctor import coral, vision
from fer_edge.edge.doctor.finding import Finding

from ..conftest import encode
from .conftest import HANG_S
from .findings import HERE, look_at_natives, stick, told
from .test_board import write_tree
from .tpu_standins import compile_standin

# -------------------------------------------------------------------------------- USB cameras


@pytest.fixture
def camera(tmp_path, monkeypatch) -> Path:
    """A made-up camera for the children of this process, at dev/video0 of this root."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc (apt) to build the made-up device")
    library, devices = tmp_path / "fake_v4l2.so", tmp_path / "dev"
    source = Path(__file__).with_name("fake_v4l2.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    write_tree(tmp_path, {"dev/video0": "", "sys/class/video4linux/video0/name": "C920\n"})
    (tmp_path / "sys/devices/usb1").mkdir(parents=True)
    (tmp_path / "sys/class/video4linux/video0/device").symlink_to(tmp_path / "sys/devices/usb1")
    for number in range(3):
        picture = np.full((240, 320, 3), 50 * number, np.uint8)
        (devices / f"{number}.jpg").write_bytes(encode(picture, ".jpg"))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAKE_V4L2", str(devices))
    return tmp_path


def test_a_usb_camera_delivers(camera):
    finding = look_at_natives(camera)[f"camera {camera}/dev/video0"]

    assert (finding.state, finding.found) == ("ok", "C920: delivers, 640x480")


def test_a_silent_camera_and_what_is_none(camera):
    (camera / "dev/mute").touch()
    write_tree(camera, {"dev/video7": "", "sys/class/video4linux/video7/name": "rkisp_mainpath"})
    write_tree(camera, {"dev/video9": "", "sys/class/video4linux/video9/name": "bcm2835-isp"})

    found = look_at_natives(camera)

    silent = found[f"camera {camera}/dev/video0"]
    assert (silent.state, silent.found) == ("problem", "C920: delivers no frame")
    assert found[f"camera {camera}/dev/video7"].state == "note"
    assert f"camera {camera}/dev/video9" not in found


@pytest.mark.slow
def test_a_stuck_camera_holds_nobody_up(camera, monkeypatch):
    # The driver does not come back from a wait for a frame.
    monkeypatch.setenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "600")
    (camera / "dev/mute").touch()
    (camera / "dev/video1").touch()

    found = look_at_natives(camera, 6.0)

    stuck = found[f"camera {camera}/dev/video0"]
    assert stuck.state == "problem"
    assert "did not come back within" in stuck.found
    assert "delivers no frame" in found[f"camera {camera}/dev/video1"].found
    assert found["OpenCV"].state == "ok"


def test_a_camera_that_is_somebody_else_s(tmp_path, monkeypatch):
    (tmp_path / "video0").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert vision._frame(str(tmp_path / "video0")) == {"allowed": False}


# Each case: a source, the state.
@pytest.mark.parametrize(("source", "state"), [("demo", "ok"), ("no-such.mp4", "problem")])
def test_a_source_is_tried(tmp_path, source, state):
    found = list(vision.look(HERE, tmp_path, source, HANG_S))

    assert [f.state for f in found if f.name == f"camera {source}"] == [state]


# -------------------------------------------------------------------------------------- Coral

CRASHING = """
#include <stdlib.h>
const char *edgetpu_version(void) { return "BuildLabel(COMPILER=6.3.0), RuntimeVersion(14)"; }
#ifdef AT_ONCE
__attribute__((constructor)) static void begin(void) { abort(); }
#endif
void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*e)(const char *)) {
    abort();
}
void tflite_plugin_destroy_delegate(void *d) {}
"""


@pytest.fixture
def pi(tmp_path) -> Path:
    """A machine with a Coral that is in use, and Google's library as Debian knows it."""
    text = "Package: libedgetpu1-std\nStatus: install ok installed\nVersion: 16.0\n"
    return write_tree(
        tmp_path / "pi", {**stick("18d1", "9302", "5000"), "var/lib/dpkg/status": text}
    )


def tried(pi: Path, limit_s: float = HANG_S) -> Finding:
    """The finding of the library."""
    found = list(coral.look(HERE, pi, limit_s))
    assert [name for _, name in told(found)] == ["Coral", "libedgetpu"]
    return found[1]


# Each case: what the stand-in does, the time it has, the state, a part of the text.
FAULTS = [
    ("", HANG_S, "warning", "libedgetpu1-std 16.0 loads. Google's own builds are known to crash"),
    ("nodevice", HANG_S, "problem", "Failed to load delegate"),
    ("hangstart", 1.0, "warning", "did not come back within 1.0 s"),
]


@pytest.mark.parametrize(("fault", "limit_s", "state", "text"), FAULTS)
def test_a_library_is_loaded_in_the_child(tmp_path, pi, monkeypatch, fault, limit_s, state, text):
    monkeypatch.setenv("FER_EDGE_EDGETPU_LIB", str(compile_standin(tmp_path)))
    monkeypatch.setenv("TPU_STANDIN", fault)

    finding = tried(pi, limit_s)

    assert finding.state == state
    assert text in finding.found


@pytest.mark.parametrize(
    ("option", "version"), [("-DLATER", "RuntimeVersion(14)"), ("-DAT_ONCE", "")]
)
def test_a_library_that_crashes_is_known_bad(tmp_path, pi, monkeypatch, option, version):
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc (apt) for the stand-in of libedgetpu")
    (tmp_path / "crash.c").write_text(CRASHING)
    library = tmp_path / "libedgetpu.so.1"
    command = ["gcc", "-shared", "-fPIC", option, "-o", library, tmp_path / "crash.c"]
    subprocess.run(command, check=True)
    monkeypatch.setenv("FER_EDGE_EDGETPU_LIB", str(library))

    finding = tried(pi)

    assert finding.state == "problem"
    assert "SIGABRT" in finding.found
    assert "issues 53 and 67" in finding.found
    assert version in finding.found
    assert "feranick" in finding.cure


def test_without_a_library_the_cpu_reads_the_faces(tmp_path, pi, monkeypatch):
    monkeypatch.delenv("FER_EDGE_EDGETPU_LIB", raising=False)
    (pi / "var/lib/dpkg/status").unlink()

    assert tried(pi).state == "note"
