"""How much of a face may be missing before the label goes: accuracy over ten distortions.

What a camera does is done to the 48x48 training crop, as if the face had that size in the frame:
blur (Gaussian), noise (Gaussian, the same for every pixel), darkness and brightness (grey values
times a factor, clipped) and JPEG. A small face is shrunk by area averaging, as a sensor averages,
and enlarged by :mod:`..edge.framing`, as in the loop. What a detector does is done in a frame: the
crop is pasted in twice its size (:mod:`.scenes`) and cut out by :func:`..edge.framing.crop_square`,
turned, or with a box that is shifted or of another size.

The kinds follow Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations", ICLR 2019 (arXiv:1903.12261); the strengths are ours, around where
five points are lost. Limits: training turned, zoomed, shifted and brightened its crops, and made
none noisy or blurred. A face larger than 48 pixels is averaged down, and its noise with it. Around
a pasted face is its drawn-out border and a plain wall, so a box that is too large is harder in a
real room. A dark camera is also a noisy one, and real errors come together.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..edge.framing import crop_square, resized
from ..edge.records import Box, Image
from ..training.predictions import Predictor
from .scenes import paste

# Faces whose scenes are in memory at once.
_CHUNK = 256
# The face is twice its size in the scene, so that a box can be wrong by less than a pixel of it.
_SIDE_PX, _SCENE_WH = 96, (192, 192)
_SQUARE = Box(48, 48, _SIDE_PX, _SIDE_PX)


@dataclass(frozen=True, slots=True)
class Chance:
    """What is random about a face, the same at every strength and for every model.

    Attributes:
        share: 0 to 1, for a direction.
        seed: For noise.
    """

    share: float
    seed: int


#: From what was prepared of a face, a strength and the model's input size to a crop.
Distort = Callable[[Image, float, tuple[int, int], Chance], Image]


@dataclass(frozen=True, slots=True)
class Distortion:
    """One way to spoil a face.

    Attributes:
        name: Of its curve.
        unit: Of the strengths.
        strengths: The first is none.
        distort: Does it to what was prepared of a face.
        prepare: Makes of a training crop what all strengths start from.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    distort: Distort
    prepare: Callable[[Image], Image] = lambda crop: crop


def _in_scene(crop: Image) -> Image:
    return paste(crop, _SCENE_WH, _SQUARE).picture


def _shift(scene: Image, percent: float, size_wh: tuple[int, int], chance: Chance) -> Image:
    off, angle = _SIDE_PX * percent / 100, math.tau * chance.share
    x, y = _SQUARE.x_px + off * math.cos(angle), _SQUARE.y_px + off * math.sin(angle)
    return crop_square(scene, Box(x, y, _SIDE_PX, _SIDE_PX), size_wh)


def _scale(scene: Image, percent: float, size_wh: tuple[int, int], _: Chance) -> Image:
    side, (x, y) = _SIDE_PX * percent / 100, _SQUARE.center_px
    return crop_square(scene, Box(x - side / 2, y - side / 2, side, side), size_wh)


def _turn(crop: Image, degrees: float, size_wh: tuple[int, int], chance: Chance) -> Image:
    angle = math.copysign(degrees, chance.share - 0.5)
    return crop_square(paste(crop, _SCENE_WH, _SQUARE, angle).picture, _SQUARE, size_wh)


def _shrink(crop: Image, side_px: float, size_wh: tuple[int, int], _: Chance) -> Image:
    side = round(side_px)
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return resized(np.asarray(small, dtype=np.uint8)[np.newaxis], size_wh)[0]


def _blur(crop: Image, sigma_px: float, size_wh: tuple[int, int], _: Chance) -> Image:
    if not sigma_px:
        return crop
    made = cv2.GaussianBlur(crop, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(made, dtype=np.uint8)


def _noise(crop: Image, sigma: float, size_wh: tuple[int, int], chance: Chance) -> Image:
    noise = np.random.default_rng(chance.seed).standard_normal(crop.shape, np.float32)
    return _pixels(crop + sigma * noise)


def _expose(crop: Image, percent: float, size_wh: tuple[int, int], _: Chance) -> Image:
    return _pixels(crop.astype(np.float32) * (percent / 100))


def _jpeg(crop: Image, quality: float, size_wh: tuple[int, int], _: Chance) -> Image:
    if quality >= 100:
        return crop
    encoded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def _pixels(values: NDArray[np.floating]) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


_BOX, _GREY = "% of its side", "% of the grey values"
#: What a detector does first: its choice and its settings decide that.
DISTORTIONS = (
    Distortion("box shift", _BOX, (0, 5, 10, 15, 20, 30), _shift, _in_scene),
    Distortion("box too large", _BOX, (100, 110, 120, 130, 140, 160), _scale, _in_scene),
    Distortion("box too small", _BOX, (100, 90, 80, 70, 60, 50), _scale, _in_scene),
    Distortion("rotation", "degrees", (0, 5, 10, 20, 30, 45), _turn),
    Distortion("small face", "px", (48, 40, 32, 24, 16, 12), _shrink),
    Distortion("blur", "px", (0, 0.5, 0.75, 1, 1.5, 2), _blur),
    Distortion("noise", "grey levels", (0, 2, 5, 10, 15, 20), _noise),
    Distortion("darker", _GREY, (100, 70, 50, 30, 20, 10), _expose),
    Distortion("brighter", _GREY, (100, 130, 160, 200, 250, 300), _expose),
    Distortion("JPEG", "quality", (100, 90, 70, 50, 30, 10), _jpeg),
)


def answers(
    predictors: Sequence[Predictor], distortion: Distortion, images: Image, *, seed: int = 0
) -> NDArray[np.int64]:
    """What models name faces at each strength of a distortion.

    Args:
        predictors: The models.
        distortion: What is done to the faces.
        images: uint8, ``(n, 48, 48)``: training crops.
        seed: Of directions and noise.

    Returns:
        int64, ``(models, strengths, n)``, index into the data's emotions.

    Raises:
        ModelError: As :meth:`.Predictor.predict`.
    """
    generator = np.random.default_rng(seed)
    sizes = {predictor.contract.input_size_wh for predictor in predictors}
    named = np.empty((len(predictors), len(distortion.strengths), len(images)), np.int64)
    for start in range(0, len(images), _CHUNK):
        faces = [distortion.prepare(crop) for crop in images[start : start + _CHUNK]]
        chances = [Chance(generator.random(), int(generator.integers(1 << 63))) for _ in faces]
        rows = slice(start, start + len(faces))
        for place, strength in enumerate(distortion.strengths):
            crops = {
                size_wh: np.stack(
                    [
                        distortion.distort(face, strength, size_wh, chance)
                        for face, chance in zip(faces, chances, strict=True)
                    ]
                )
                for size_wh in sizes
            }
            for which, predictor in enumerate(predictors):
                seen = crops[predictor.contract.input_size_wh]
                named[which, place, rows] = predictor.predict(seen).named
    return named


def strength_at_loss(xs: Sequence[float], ys: Sequence[float], points: float = 5.0) -> float | None:
    """The strength at which a curve has first fallen by so much; linear between its points.

    Args:
        xs: Strengths, the first none.
        ys: What was found at each.
        points: By how much of ``ys[0]`` downwards.

    Returns:
        None where it never falls so far.
    """
    wanted = ys[0] - points
    for index in range(1, len(ys)):
        if ys[index] <= wanted:
            share = (ys[index - 1] - wanted) / (ys[index - 1] - ys[index])
            return xs[index - 1] + share * (xs[index] - xs[index - 1])
    return None
