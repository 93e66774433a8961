"""Cutting a stream of bytes into whole JPEG pictures, whatever comes and in whatever pieces."""

import struct
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge.cameras.mjpeg import (
    JpegSplitter,
    PictureStream,
    decode_picture,
    whole_jpeg,
)
from fer_edge.edge.errors import CameraError

from ..conftest import a_face, encode


def a_jpeg(seed: int = 0, size_wh=(48, 40), *options: int) -> bytes:
    good, data = cv2.imencode(".jpg", a_face(seed, size_wh), list(options))
    assert good
    return data.tobytes()


def with_segment(jpeg: bytes, payload: bytes, marker: int = 0xE1) -> bytes:
    """A JPEG with another segment first, as cameras put thumbnails into APP1."""
    return (
        jpeg[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]
    )


PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 1)
KINDS = [
    a_jpeg(1),
    a_jpeg(2, (48, 40), *PROGRESSIVE),  # several scans, tables between them
    a_jpeg(3, (48, 40), *RESTARTS),  # markers within the coded data
    with_segment(a_jpeg(4), a_jpeg(5)),  # a whole picture as a thumbnail
    with_segment(a_jpeg(6), b"\xff\xd9\xff\xd8\xff" * 5),
    with_segment(a_jpeg(7), b"", 0xFE),  # an empty comment
    a_jpeg(8).replace(b"\xff\xd9", b"\xff\xff\xff\xd9"),  # fill bytes before a marker
]


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(at)]


def split(pieces) -> tuple[list[bytes], int]:
    splitter = JpegSplitter()
    pictures = [picture for piece in pieces for picture in splitter.feed(piece)]
    splitter.end()
    return pictures, splitter.damaged


cuts = st.lists(st.integers(0, 1 << 20), max_size=30)
# Between two pictures anything but the start of one may stand.
between = st.binary(max_size=80).map(lambda data: data.replace(b"\xff\xd8", b"--"))
# A last 0xFF would make a start with the next picture's own.
between = between.map(lambda data: data.rstrip(b"\xff"))


@given(st.lists(st.tuples(between, st.sampled_from(KINDS)), max_size=6), between, cuts)
def test_pictures_come_whole_whatever_stands_between_and_however_it_is_cut(parts, last, where):
    data = b"".join(gap + picture for gap, picture in parts) + last

    pictures, damaged = split(pieces_of(data, where))

    assert pictures == [picture for _, picture in parts]
    assert damaged == 0


def test_a_byte_at_a_time():
    data = b"".join(KINDS)

    assert split(data[i : i + 1] for i in range(len(data))) == (KINDS, 0)


# As multipart streams have it between two pictures.
HEAD = b"\r\n--boundary\r\nContent-Type: image/jpeg\r\n\r\n"


@settings(max_examples=300)
@given(st.sampled_from([*KINDS[:3], KINDS[6]]), st.integers(0, 10_000), cuts, st.booleans())
def test_a_cut_picture_is_left_out_and_the_ones_around_it_are_not(picture, keep, where, bare):
    # From behind its first segment, which may hold anything, to all but its end.
    keep = 20 + keep % (len(picture) - 21)
    data = KINDS[0] + picture[:keep] + (b"" if bare else HEAD) + KINDS[0] * 3

    pictures, damaged = split(pieces_of(data, where))

    assert pictures == [KINDS[0]] * 4
    assert damaged >= 1


@given(st.sampled_from(KINDS), st.integers(0, 10_000))
def test_wherever_a_picture_is_cut_it_finds_its_way_back(picture, keep):
    """A thumbnail that was cut is skipped by the length of the whole, with what follows."""
    cut = picture[: 3 + keep % (len(picture) - 4)]
    after = KINDS[0] * (2 + 70_000 // len(KINDS[0]))

    pictures, _ = split([KINDS[0] + cut + HEAD + after])

    assert pictures[0] == KINDS[0]
    assert pictures[-1] == KINDS[0]


def test_a_picture_that_the_end_cuts_is_counted():
    assert split([KINDS[0] + KINDS[1][:-1]]) == ([KINDS[0]], 1)


@given(st.binary(max_size=3000), cuts)
def test_no_bytes_at_all_upset_it_and_pieces_change_nothing(data, where):
    data = data.replace(b"\x00", b"\xff\xd8\xff")

    assert split(pieces_of(data, where)) == split([data])


@settings(max_examples=300)
@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255))))
def test_after_damaged_bytes_it_finds_its_way_back(picture, changes):
    spoilt = bytearray(picture)
    for at, value in changes:
        spoilt[at % len(spoilt)] = value
    # A length that was changed may reach over up to 64 KiB of what follows.
    after = KINDS[0] * (1 + 70_000 // len(KINDS[0]))

    pictures, _ = split([bytes(spoilt) + after])

    assert pictures[-1] == KINDS[0]


# Each case: what comes, what is too much of it.
TOO_MUCH = [
    (b"x" * 3000, "no JPEG picture in 2 KiB"),
    (KINDS[0][:-2] + b"x" * 5000, "picture of over"),
]


@pytest.mark.parametrize(("data", "said"), TOO_MUCH)
def test_what_never_becomes_a_picture_is_given_up(data, said):
    splitter = JpegSplitter(max_picture_bytes=5000, max_between_bytes=2048)

    with pytest.raises(CameraError, match=said):
        any(splitter.feed(piece) for piece in pieces_of(data, list(range(0, len(data), 100))))


def test_nothing_is_kept_of_what_was_passed():
    splitter = JpegSplitter()
    for _ in range(200):
        splitter.feed(b"gap" + KINDS[0])

    assert len(splitter._bytes) < 10


# Each case: bytes, whether there is a whole picture at their start.
WHOLE = [
    (KINDS[0], True),
    (KINDS[0] + bytes(500), True),  # a buffer of a driver, longer than what is in it
    (KINDS[0][:-1], False),
    (b"\x00" + KINDS[0], False),
    (b"", False),
    (b"\xff\xd8\xff\xd9", False),  # nothing between start and end
]


@pytest.mark.parametrize(("data", "whole"), WHOLE)
def test_a_single_picture_is_whole_or_not(data, whole):
    assert whole_jpeg(data) == (KINDS[0] if whole else None)


def test_opencv_itself_takes_a_picture_that_is_cut():
    """Why all this is there: OpenCV 4.8.1 took any, later ones take one with something after it."""
    cut = a_jpeg(1, (320, 240))[:-3000] + KINDS[0]

    assert decode_picture(cut).shape == (240, 320, 3)
    assert whole_jpeg(cut) is None


def test_pictures_are_decoded_in_colour_or_grey():
    jpeg = a_jpeg(0)

    assert decode_picture(jpeg).shape == (40, 48, 3)
    assert decode_picture(jpeg, colour=False).shape == (40, 48)
    assert decode_picture(b"") is None
    assert decode_picture(b"text") is None


# ------------------------------------------------------------------------------ with its pictures


def a_stream(said: list[str], **changes) -> PictureStream:
    fields = {"name": "it", "newest": False, "colour": True, "say": said.append}
    return PictureStream(**{**fields, **changes})


def reader(*pieces: bytes):
    waiting = list(pieces)
    return lambda limit_s: waiting.pop(0) if waiting else b""


def shades(stream: PictureStream, read) -> list[int]:
    """The mean of each picture of a stream, until its end."""
    return [round(image.mean()) for image, _ in iter(lambda: stream.next(read, 1.0), None)]


def flat(shade: int) -> bytes:
    return encode(np.full((16, 16, 3), shade, np.uint8), ".jpg")


def test_every_picture_counts_or_only_the_newest():
    pieces = [flat(10) + flat(20), flat(30), flat(40) + flat(50) + flat(60)[:9], flat(60)[9:]]

    assert shades(a_stream([]), reader(*pieces)) == [10, 20, 30, 40, 50, 60]
    assert shades(a_stream([], newest=True), reader(*pieces)) == [20, 30, 50, 60]


def test_damaged_pictures_are_said_once_and_counted():
    said: list[str] = []
    # Whole by its markers, and yet nothing that can be decoded.
    empty = b"\xff\xd8\xff\xda\x00\x02\xff\xd9"
    stream = a_stream(said)

    assert shades(stream, reader(flat(10) + empty + flat(20)[:-2] + flat(30) + empty)) == [10, 30]
    assert stream.skipped == 3
    assert said == ["it sent a damaged picture; such are left out and counted."]


def test_bytes_without_a_picture_are_no_frame_in_time():
    with pytest.raises(CameraError, match="it stopped delivering"):
        a_stream([]).next(lambda limit_s: b"x", 0.05)


def test_what_is_no_motion_jpeg_is_said_to_be_none():
    with pytest.raises(CameraError, match=r"^it: no JPEG picture in 1024 KiB; expected Motion"):
        a_stream([]).next(lambda limit_s: bytes(1 << 17), 20.0)
