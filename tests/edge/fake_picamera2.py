"""A picamera2 that is made up: what is asked of it, and how it fails."""

import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np

from fer_edge.edge.cameras import csi
from fer_edge.edge.cameras.csi import CsiCamera

from .conftest import HANG_S

SIZE = (640, 480)


class Transform(SimpleNamespace):
    def __init__(self, *, hflip: bool, vflip: bool):
        super().__init__(hflip=hflip, vflip=vflip)


class FakeRequest:
    """Both planes of one moment: the colours are (i, i + 1, i + 2), Y is 100 + i."""

    def __init__(self, camera: "FakePicamera2"):
        self._camera = camera
        self.index = len(camera.requests)
        self.released = False

    def get_metadata(self):
        self._camera.called("metadata")
        return self._camera.metadata

    def make_array(self, stream):
        self._camera.called("make_array", stream)
        width, height = self._camera.made["main"]["size"]
        image = np.empty((height, width, 3), np.uint8)
        image[:] = np.arange(3) + self.index
        image[0, 0] = 255
        return image

    def buffer(self, stream) -> np.ndarray:
        (width, height), stride = (self._camera.made[stream][key] for key in ("size", "stride"))
        buffer = np.full(stride * height * 3 // 2, 200, np.uint8)  # 200: chroma and padding
        luma = buffer[: stride * height].reshape(height, stride)[:, :width]
        luma[:] = 100 + self.index
        luma[0, 0] = 255
        return buffer

    def release(self):
        self.released = True
        self._camera.called("release")


class FakeMappedArray:
    def __init__(self, request, stream, reshape=True, write=True):
        request._camera.called("map", stream, reshape, write)
        self._request, self._stream = request, stream

    def __enter__(self):
        self.array = self._request.buffer(self._stream)
        return self

    def __exit__(self, *_):
        # The memory is the camera's again: who kept a view of it sees another frame.
        self.array[:] = 0


class FakePicamera2:
    """Notes what is asked of it, in the order of the calls; ``fails`` names calls that raise."""

    calls: ClassVar[list[tuple]]
    fails: ClassVar[dict[str, Exception]]
    metadata: ClassVar[dict]
    infos = ({"Model": "imx708", "Num": 0, "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"},)
    adjusts: ClassVar[dict] = {}
    stride, can_flip = 0, True
    hangs: ClassVar[threading.Event | None] = None

    @classmethod
    def called(cls, name: str, *details) -> None:
        cls.calls.append((name, *details))
        if name in cls.fails:
            raise cls.fails[name]

    def __init__(self, number: int):
        self.notifyme_w, self.camera_idx = -1, number
        self.requests: list[FakeRequest] = []
        self.camera_controls = {"FrameDurationLimits": (20_000, 1_000_000, None)}
        self.called("open", number)

    @classmethod
    def global_camera_info(cls):
        cls.called("info")
        return list(cls.infos)

    def create_video_configuration(self, **asked):
        self.called("create", asked)
        return asked

    def configure(self, asked):
        self.called("configure")
        self.made = {"transform": asked["transform"], "lores": None}
        if not self.can_flip:
            self.made["transform"] = Transform(hflip=False, vflip=False)
        for stream in {"main", "lores"} & asked.keys():
            size = self.adjusts.get(stream, asked[stream]["size"])
            self.made[stream] = {"size": size, "stride": size[0] + self.stride}

    def camera_configuration(self):
        return self.made

    def start(self):
        self.called("start")

    def capture_request(self, wait=None):
        self.called("capture", wait)
        self.requests.append(FakeRequest(self))
        return self.requests[-1]

    def cancel_all_and_flush(self):
        self.called("cancel")

    def close(self):
        self.called("close")
        if self.hangs is not None:
            self.hangs.wait(HANG_S)


def install(monkeypatch) -> type[FakePicamera2]:
    """A picamera2 that can be imported here."""

    class Fresh(FakePicamera2):
        calls, fails, metadata = [], {}, {}

    module, libcamera = ModuleType("picamera2"), ModuleType("libcamera")
    module.Picamera2, module.MappedArray = Fresh, FakeMappedArray
    libcamera.Transform = Transform
    libcamera.ColorSpace = SimpleNamespace(Sycc=lambda: "full range")
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    monkeypatch.setattr(csi, "_held", set())
    return Fresh


def open_csi(number: int = 0, **changes) -> CsiCamera:
    options = {"name": "imx708", "size_wh": SIZE, "fps": 25.0}
    return CsiCamera(number, **{**options, **changes})


def names(fake: type[FakePicamera2]) -> list[str]:
    return [call[0] for call in fake.calls]
