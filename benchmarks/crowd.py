"""Clips with a known number of averaged faces, 0 to 8, each in a place of its own."""

from pathlib import Path

import cv2
import numpy as np

from ..edge.cameras.demo import DemoCamera
from ..edge.errors import SinkError
from ..edge.records import Image

#: At most so many faces.
MOST_FACES = 8
SIZE_WH = (640, 480)
_COLUMNS, _ROWS = 4, 2
_FRAMES, _FPS = 120, 30.0
# So that not all of them change their expression in the same frame.
_APART = 37


def write_crowd(path: Path, faces: int) -> Path:
    """Write four seconds of 640x480 motion JPEG, as USB cameras deliver it.

    Args:
        path: An .avi file.
        faces: How many, 0 to 8.

    Raises:
        ValueError: More faces.
        SinkError: The file cannot be written.
    """
    if not 0 <= faces <= MOST_FACES:
        raise ValueError(f"expected 0 to {MOST_FACES} faces, got {faces}")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), _FPS, SIZE_WH)
    if not writer.isOpened():
        raise SinkError(f"Cannot write the clip {path}: does its folder exist?")
    try:
        tile_wh = SIZE_WH[0] // _COLUMNS, SIZE_WH[1] // _ROWS
        people = [DemoCamera(size_wh=tile_wh, lossless=True) for _ in range(faces)]
        for index in range(_FRAMES):
            writer.write(_picture(people, index, tile_wh))
    finally:
        writer.release()
    return path


def _picture(people: list[DemoCamera], index: int, tile_wh: tuple[int, int]) -> Image:
    """uint8, ``(height, width, 3)`` blue-green-red."""
    width, height = tile_wh
    picture = np.full((SIZE_WH[1], SIZE_WH[0], 3), (140, 130, 120), np.uint8)
    for place, person in enumerate(people):
        # Every second place first, so that few faces do not stand in one corner.
        column, row = place % _COLUMNS, (place + place // _COLUMNS) % _ROWS
        x, y = column * width, row * height
        picture[y : y + height, x : x + width] = person.image(index + _APART * place)
    return picture
