"""Lets unmodified picamera2 use libcamera's virtual camera. TEST USE ONLY.

From this project's own shared tools; row padding and flips were added. ``sitecustomize.py`` imports
it where ``VCAM`` is set. Needs ``vcam_shim.so`` in ``LD_PRELOAD``. It bridges three gaps:

1. ``Picamera2()`` asks every camera for its raw modes; the virtual handler has none and answers
   None. Here the answer is its viewfinder configuration, as a USB camera's would be.
2. picamera2's DmaAllocator makes buffers of one plane; the virtual handler writes through two and
   would write outside. Here each buffer is described as two planes of one descriptor.
3. The virtual handler delivers NV12 only, which ``make_array()`` refuses, upright and without
   padding. Here the stream keeps the format and the transform that were asked for, rows are padded
   to ``VCAM_ALIGN`` bytes, and the shim converts (on a Pi the image processor does).
   ``VCAM_FLIPS=0`` is a camera that cannot flip.
Beside these, the virtual handler of libcamera 0.4 leaves a frame's status as it finds it in memory:
now and then frames count as failed or cancelled, and reading hangs. ``GLIBC_TUNABLES`` of
tests/edge/test_virtual_csi.py make all memory 0 at first, which is Success.

:func:`freeze` stops frames as a pulled ribbon does (requests never complete, stopping works);
:func:`thaw` lets them flow again. :func:`hang_in_stop` makes stopping the camera hang as some Pi
kernels do.
"""

import ctypes
import os
import threading

import libcamera
from picamera2 import Picamera2
from picamera2.allocators import DmaAllocator

# Format: bytes a pixel and where red is. 0 bytes: planar YUV420; -1: it stays NV12.
FORMATS = {
    "NV12": (-1, 0),
    "YUV420": (0, 0),
    "RGB888": (3, 2),
    "BGR888": (3, 0),
    "XRGB8888": (4, 2),
    "XBGR8888": (4, 0),
}
ALIGN = int(os.environ.get("VCAM_ALIGN", "1"))
CAN_FLIP = os.environ.get("VCAM_FLIPS", "1") != "0"

_shim = ctypes.CDLL(None)
if not hasattr(_shim, "vcam_isp"):
    raise ImportError("vcam_compat needs vcam_shim.so in LD_PRELOAD")
_target = None  # While buffers are allocated: what each one to come is for.
_lock = threading.Lock()
_frozen = False
_held = []
_stop_may_end = threading.Event()
_stop_may_end.set()

_real_generate = libcamera.Camera.generate_configuration
_real_queue = libcamera.Camera.queue_request
_real_stop = libcamera.Camera.stop
_RealFrameBuffer = libcamera.FrameBuffer
_real_make = Picamera2._make_libcamera_config
_real_update = Picamera2._update_camera_config
_real_allocate = DmaAllocator.allocate


def _generate(self, roles):
    if list(roles) == [libcamera.StreamRole.Raw]:
        roles = [libcamera.StreamRole.Viewfinder]
    return _real_generate(self, roles)


def _frame_buffer(planes, *rest):
    if _target is None or len(planes) != 1:
        return _RealFrameBuffer(planes, *rest)
    (width, height), isp = next(_target)
    luma, chroma = planes[0], libcamera.FrameBuffer.Plane()
    _shim.vcam_isp(luma.fd, *isp)
    # The allocator knows the buffer by the descriptor in planes[0], so that object must come first.
    luma.length = width * height
    chroma.fd, chroma.offset, chroma.length = luma.fd, luma.length, luma.length // 2
    return _RealFrameBuffer([luma, chroma], *rest)


class _FrameBuffer:
    Plane = _RealFrameBuffer.Plane
    __new__ = staticmethod(lambda cls, *planes: _frame_buffer(*planes))


def _make(self, camera_config):
    names = [name for name in ("main", "lores") if camera_config[name] is not None]
    self._vcam_asked = [camera_config[name]["format"] for name in names]
    self._vcam_transform = camera_config["transform"]
    return _real_make(self, camera_config)


def _update(self, camera_config, libcamera_config):
    _real_update(self, camera_config, libcamera_config)
    if not isinstance(self.allocator, DmaAllocator):
        return  # LibcameraAllocator's buffers have two planes and stay NV12.
    transform = self._vcam_transform if CAN_FLIP else libcamera.Transform()
    camera_config["transform"] = transform
    flips = int(transform.hflip) | int(transform.vflip) << 1
    names = [name for name in ("main", "lores") if camera_config[name] is not None]
    self.allocator.vcam_streams = []
    for index, (name, asked) in enumerate(zip(names, self._vcam_asked, strict=True)):
        stream = camera_config[name]
        if asked not in FORMATS:
            asked = "NV12"
        (width, height), (bytes_, red) = stream["size"], FORMATS[asked]
        stride = -(-width * max(bytes_, 1) // ALIGN) * ALIGN
        size = stride * height if bytes_ > 0 else stride * height * 3 // 2
        stream.update(format=asked, stride=stride, framesize=size)
        isp = (index, width, height, bytes_, red, stride, flips)
        self.allocator.vcam_streams.append((size, ((width, height), isp)))


def _allocate(self, libcamera_config, *rest):
    """Make the buffers, stream by stream; ``_frame_buffer`` is told whose each one is."""
    global _target
    targets = []
    for stream, (size, target) in zip(libcamera_config, self.vcam_streams, strict=True):
        stream.frame_size = size
        targets += [target] * stream.buffer_count
    _target = iter(targets)
    try:
        return _real_allocate(self, libcamera_config, *rest)
    finally:
        _target = None


def _queue(self, request):
    with _lock:
        if _frozen:
            _held.append((self, request))
            return
    _real_queue(self, request)


def _stop(self):
    _stop_may_end.wait()
    with _lock:
        _held[:] = [held for held in _held if held[0] is not self]
    return _real_stop(self)


def freeze():
    """Let no frame come any more."""
    global _frozen
    with _lock:
        _frozen = True


def thaw():
    """Let frames come again."""
    global _frozen
    with _lock:
        _frozen = False
        held, _held[:] = list(_held), []
    for camera, request in held:
        _real_queue(camera, request)


def hang_in_stop(*, hang):
    """Make every camera that is stopped hang in it, or let them all go on."""
    _stop_may_end.clear() if hang else _stop_may_end.set()


libcamera.Camera.generate_configuration = _generate
libcamera.Camera.queue_request = _queue
libcamera.Camera.stop = _stop
libcamera.FrameBuffer = _FrameBuffer
Picamera2._make_libcamera_config = _make
Picamera2._update_camera_config = _update
DmaAllocator.allocate = _allocate
