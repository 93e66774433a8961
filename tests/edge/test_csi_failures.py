"""The ribbon cable, against a made-up picamera2 that fails, or that is not there."""

import sys
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest

from fer_edge.edge.cameras import csi
from fer_edge.edge.cameras.listing import list_cameras
from fer_edge.edge.errors import CameraError

from .fake_picamera2 import FakePicamera2, names, open_csi

# ------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "none for 2 s"),
        (CancelledError(), "CancelledError"),  # Another thread closed the camera.
        (RuntimeError("Camera frontend has timed out!"), "frontend has timed out"),
        (AttributeError("'NoneType' object has no attribute 'metadata'"), "no attribute"),
    ],
)
def test_a_camera_that_stops_delivering_is_a_camera_error(picamera2, error, said):
    with open_csi() as camera:
        camera.read()
        picamera2.fails["capture"] = error
        with pytest.raises(CameraError, match=rf"imx708 \(CSI 0\) stopped.*{said}.*ribbon"):
            camera.read()
        # The wish itself is still in picamera2's list, and would take a frame for good.
        assert names(picamera2)[-1] == "cancel"

    assert names(picamera2)[-2:] == ["cancel", "close"]


def test_leaving_closes_the_camera_once(picamera2):
    with open_csi() as camera:
        assert "close" not in names(picamera2)
        camera.close()

    assert names(picamera2).count("close") == 1
    with pytest.raises(CameraError, match="is closed"):
        camera.read()


# Each case: the call that fails, how picamera2 does so.
FAILURES = [
    ("open", RuntimeError("Camera __init__ sequence did not complete.")),
    ("info", RuntimeError("Failed to start the camera manager")),
    ("create", RuntimeError("no such format")),
    ("configure", RuntimeError("Failed to configure")),
    ("configure", KeyError("ScalerCrop")),
    ("start", RuntimeError("Failed to start camera: Device or resource busy")),
    ("start", OSError(12, "Cannot allocate memory")),
]


@pytest.mark.parametrize(("call", "error"), FAILURES)
def test_a_camera_that_does_not_open_is_a_camera_error(picamera2, call, error):
    picamera2.fails[call] = error
    with pytest.raises(CameraError, match=r"Cannot open imx708 \(CSI 0\).*may hold it"):
        open_csi()

    if call != "info":
        # Left open it would block every later try, in this process and in others.
        assert names(picamera2)[-1] == "close"
    picamera2.fails.clear()
    open_csi().read()


def test_the_first_cause_is_told(picamera2):
    error = RuntimeError("Camera __init__ sequence did not complete.")
    error.__cause__ = RuntimeError("Failed to acquire camera: Device or resource busy")
    picamera2.fails["open"] = error

    with pytest.raises(CameraError, match="Failed to acquire camera: Device or resource busy"):
        open_csi()


def test_ctrl_c_while_opening_lets_the_camera_go(picamera2, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(picamera2, "start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_csi()
    assert names(picamera2)[-1] == "close"
    assert csi._held == set()


@pytest.mark.parametrize("number", [1, -1])
def test_a_number_that_is_not_there(picamera2, number):
    with pytest.raises(CameraError, match="picamera2 finds 1 of them, counted from 0"):
        open_csi(number)

    # A failing Picamera2() leaves descriptors behind.
    assert "open" not in names(picamera2)


@pytest.mark.parametrize("closed", [False, True])
def test_what_a_failing_constructor_leaves_behind_is_swept_up(picamera2, monkeypatch, closed):
    """Else a program that waits for its camera runs out of descriptors."""
    swept = []
    monkeypatch.setattr(csi.os, "close", swept.append)
    read_end = SimpleNamespace(closed=closed, close=lambda: swept.append("read end"))
    picamera2.notifymeread = read_end
    table = SimpleNamespace(cameras={}, cleanup=lambda index: swept.append(f"entry {index}"))
    picamera2._cm = table
    picamera2.fails["open"] = RuntimeError("busy")

    with pytest.raises(CameraError):
        open_csi()

    # Closed twice, a descriptor may be another file's the second time.
    assert swept == (["entry 0"] if closed else ["read end", -1, "entry 0"])


def test_a_picamera2_that_cannot_limit_a_wait_is_refused(picamera2, monkeypatch):
    monkeypatch.delattr(FakePicamera2, "cancel_all_and_flush")

    with pytest.raises(CameraError, match="full-upgrade"):
        open_csi()


# -------------------------------------------------------------------------------- no picamera2


@pytest.fixture
def cannot_import(monkeypatch):
    """Make ``import picamera2`` raise."""

    def install(error: Exception) -> None:
        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "picamera2":
                    raise error

        monkeypatch.delitem(sys.modules, "picamera2", raising=False)
        monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])

    return install


# How an import fails: absent, without libcamera's bindings, or built for another NumPy.
IMPORT_ERRORS = [
    ModuleNotFoundError("No module named 'picamera2'", name="picamera2"),
    ModuleNotFoundError("No module named 'libcamera'", name="libcamera"),
    ImportError("libcamera.so.0.5: cannot open shared object file"),
    ValueError("numpy.dtype size changed, may indicate binary incompatibility"),
]


@pytest.mark.parametrize("error", IMPORT_ERRORS, ids=lambda error: str(error)[:24])
def test_a_picamera2_that_cannot_be_imported_is_explained(cannot_import, error):
    cannot_import(error)

    with pytest.raises(CameraError, match=r"apt install\s+python3-picamera2.*system-site-packages"):
        open_csi()


@pytest.mark.parametrize("error", IMPORT_ERRORS, ids=lambda error: str(error)[:24])
def test_without_picamera2_usb_cameras_are_still_listed(cannot_import, error, tmp_path):
    cannot_import(error)
    (tmp_path / "video0").touch()

    found = list_cameras(devices=tmp_path, names=tmp_path, delivers=lambda device: True)

    assert [camera.kind for camera in found] == ["usb"]
