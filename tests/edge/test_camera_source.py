"""What --camera can say, and what of it may be repeated in messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.cameras.source import Source, parse_source, without_password
from fer_edge.edge.errors import CameraError

SOURCES = [
    ("demo", Source("demo")),
    ("0", Source("position", "0")),
    ("12", Source("position", "12")),
    ("csi:1", Source("csi", "1")),
    ("usb:0", Source("usb", "0")),
    ("usb:/dev/v4l/by-id/a:b", Source("device", "/dev/v4l/by-id/a:b")),
    ("rtsp://h/x", Source("rtsp", "rtsp://h/x")),
    ("rtsps://h/x", Source("rtsp", "rtsps://h/x")),
    ("http://h:81/?action=stream", Source("http", "http://h:81/?action=stream")),
    ("https://h/", Source("http", "https://h/")),
    ("-", Source("stdin")),
    ("-:yuv420", Source("stdin", "yuv420")),
    ("-:yuv420p", Source("stdin", "yuv420")),  # ffmpeg's name for it
    ("-:bgr24", Source("stdin", "bgr24")),
    ("-:gray", Source("stdin", "gray")),
    ("/dev/null", Source("device", "/dev/null")),
]


@pytest.mark.parametrize(("text", "source"), SOURCES)
def test_every_form_is_told_from_the_others(text, source):
    assert parse_source(text) == source


def test_files_are_told_apart_by_what_they_are(tmp_path):
    (tmp_path / "clip.mkv").touch()
    (tmp_path / "face.JPG").touch()
    (tmp_path / "usb:0").touch()

    kinds = [parse_source(str(tmp_path / name)).kind for name in ("clip.mkv", "face.JPG", "")]

    assert kinds == ["clip", "picture", "folder"]
    assert parse_source(str(tmp_path / "usb:0")).kind == "clip", "a path with a colon"


# Each case: what is no source.
NONE = ["", "demos", "csi:", "csi:x", "usb:video0", "-1", "--", "-:", "-:rgb", "udp://h:1", "1.5"]


@pytest.mark.parametrize("text", NONE)
def test_what_has_no_form_is_refused(text):
    with pytest.raises(CameraError):
        parse_source(text)


ADDRESSES = [
    ("rtsp://h:554/stream1", "rtsp://h:554/stream1"),
    ("rtsp://me:secret@h/x", "rtsp://h/x"),
    ("rtsp://me:sec@ret/1@h/x", "rtsp://h/x"),  # not escaped, as people write it
    ("rtsp://me:sec#ret?@h/x", "rtsp://h/x"),
    ("http://h/video?user=me&pwd=secret", "http://h/video"),
    ("rtsp://h/user=me&password=secret&channel=1", "rtsp://h/…"),
    ("rtsp://h", "rtsp://h"),
]


@pytest.mark.parametrize(("address", "shown"), ADDRESSES)
def test_an_address_is_shown_without_its_secrets(address, shown):
    assert without_password(address) == shown


@given(st.text(min_size=1), st.sampled_from(["rtsp", "http", "rtpp", "x"]))
def test_no_password_is_ever_shown(secret, scheme):
    marked = f"MARK{secret}MARK"
    address = f"{scheme}://me:{marked}@host/path"

    assert "MARK" not in without_password(address)
    if scheme in ("rtpp", "x"):
        with pytest.raises(CameraError) as caught:
            parse_source(address)
        assert "MARK" not in str(caught.value)
