"""Frames whose truth is known: one training crop pasted into a plain picture, also turned."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..edge.records import Box, Image

# What is around the crop: its border drawn out by so many sides and fading into the wall. A hard
# edge would be a feature that no camera sees, and mirrored content shows ghosts of eyes.
_MARGIN = 0.25


@dataclass(frozen=True, slots=True)
class Scene:
    """A frame with one face.

    Attributes:
        picture: uint8, ``(height, width)`` grey.
        square: Where the training crop is, before it was turned about its centre, in pixels.
        roll_deg: By how much it is turned, clockwise as one sees it.
    """

    picture: Image
    square: Box
    roll_deg: float


def paste(crop: Image, size_wh: tuple[int, int], square: Box, roll_deg: float = 0.0) -> Scene:
    """Put a training crop into a frame.

    Args:
        crop: uint8, ``(side, side)`` grey.
        size_wh: Width and height of the frame in pixels.
        square: Where its upright outline goes.
        roll_deg: Turn it by so much about the square's centre, clockwise.
    """
    side = len(crop)
    margin = round(_MARGIN * side)
    wide = cv2.copyMakeBorder(crop, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    cos, sin = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    scale = square.w_px / side
    turn = scale * np.array([[cos, -sin], [sin, cos]])
    # OpenCV counts from the middle of a pixel, a box from its corner: hence the halves.
    centers = np.array(square.center_px) - 0.5, np.full(2, (len(wide) - 1) / 2)
    matrix = np.column_stack([turn, centers[0] - turn @ centers[1]])
    face = cv2.warpAffine(
        wide, matrix, size_wh, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    mask = cv2.warpAffine(_fading(len(wide), side), matrix, size_wh, flags=cv2.INTER_LINEAR)
    wall = _wall(size_wh, float(np.median(crop)))
    mixed = wall * (1 - mask) + face.astype(np.float32) * mask
    return Scene(np.clip(np.rint(mixed), 0, 255).astype(np.uint8), square, roll_deg)


def place(
    size_wh: tuple[int, int], sides: tuple[float, float], generator: np.random.Generator
) -> Box:
    """A random square in a frame, its side between two shares of the frame's shorter side."""
    width, height = size_wh
    side = generator.uniform(*sides) * min(width, height)
    x, y = generator.uniform(0, width - side), generator.uniform(0, height - side)
    return Box(x, y, side, side)


def _fading(size: int, side: int) -> NDArray[np.float32]:
    """1 over the crop, falling to 0 at the edge of its margin: ``(size, size)``."""
    away = np.abs(np.arange(size) - (size - 1) / 2)
    away = np.maximum.outer(away, away) / (side / 2)
    return np.clip((1 + 1.6 * _MARGIN - away) / (1.6 * _MARGIN), 0, 1).astype(np.float32)


def _wall(size_wh: tuple[int, int], grey: float) -> NDArray[np.float32]:
    """A background about as bright as the face, lighter above."""
    light = np.linspace(1.1, 0.8, size_wh[1], dtype=np.float32)
    return np.repeat((grey * light)[:, np.newaxis], size_wh[0], axis=1)
