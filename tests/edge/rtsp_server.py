"""Serve a folder of pictures over RTSP with GStreamer, again and again: PORT FOLDER.

Needs the system's Python:

sudo apt install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{good,ugly}
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

port, pictures = sys.argv[1:]
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f'( multifilesrc location="{pictures}/%02d.jpg" loop=true caps="image/jpeg,framerate=25/1" '
    "! jpegdec ! videoconvert ! video/x-raw,format=I420 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
factory.set_shared(True)
server.get_mount_points().add_factory("/demo", factory)
if server.attach(None) == 0:
    sys.exit(f"port {port} is taken")
print("serving", flush=True)
GLib.MainLoop().run()
