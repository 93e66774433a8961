"""Stand-in for Raspberry Pi OS's python3-kms++, which Debian lacks.

picamera2 imports it at its start, for its preview window only; nothing here works beyond that.
"""


class PixelFormat:
    RGB888 = BGR888 = XRGB8888 = XBGR8888 = YUV420 = YVU420 = NV12 = None


PixelFormats = PixelFormat  # The name that picamera2 0.3.31 and later look for.
