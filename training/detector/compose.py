"""The training pictures: crops, mosaics and pasted faces. NumPy and OpenCV only.

Boxes follow what is done to the pixels. A turned face keeps the size of its box: within the few
degrees of a recipe the upright box around it would grow by what is hair and background.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from ...edge.records import Image
from .recipe import Composition
from .scenes import Boxes, Scene

# Of a face, what a crop must leave for it to be learnt; of less nobody says what it is.
_LEAST_SEEN = 0.6
# As in the data: a smaller box is not judged.
_LEAST_PX = 8.0
# Two faces that are pasted may share so much of the smaller one.
_MOST_HIDDEN = 0.15


@dataclass(frozen=True, slots=True)
class HardSpot:
    """Where a picture without a face was taken for one.

    Attributes:
        scene: Index among the pictures without a face.
        box: Left, top, width, height in its pixels.
        score: How sure the network was, 0 to 1.
    """

    scene: int
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """What pictures are composed of.

    Attributes:
        scenes: With faces, and more than these in the picture.
        negatives: Without any face.
        tight: Faces that fill their picture, one box each.
    """

    scenes: Sequence[Scene]
    negatives: Sequence[Scene]
    tight: Sequence[Scene]

    @classmethod
    def of(cls, scenes: Sequence[Scene], more: Sequence[Scene] = ()) -> "Sources":
        """Sort scenes; those that only have something to ignore are none of the three."""
        faces = [scene for scene in scenes if len(scene.boxes) and not scene.tight]
        bare = [scene for scene in scenes if not len(scene.boxes) and not len(scene.ignore)]
        tight = [scene for scene in scenes if scene.tight and len(scene.boxes) == 1]
        return cls(faces, bare, [*tight, *more])


@dataclass(slots=True, eq=False)
class _Canvas:
    image: Image
    boxes: list[Boxes] = field(default_factory=list)
    ignore: list[Boxes] = field(default_factory=list)

    def placed(self) -> NDArray[np.float32]:
        return np.concatenate([np.empty((0, 4), np.float32), *self.boxes, *self.ignore])


@dataclass(frozen=True, slots=True)
class Picture:
    """A composed picture: uint8 ``(side, side)``, and its boxes, ``(n, 4)`` and ``(m, 4)``."""

    image: Image
    boxes: Boxes
    ignore: Boxes


class Composer:
    """Composes pictures; the generator that is handed in is the only source of chance."""

    def __init__(self, sources: Sources, settings: Composition, hard_share: float = 0.0):
        """Take what to compose of.

        Args:
            sources: Of each of the three kinds at least one.
            settings: How.
            hard_share: Of the pictures without a face and of the pasted patches, how many show one
                of :attr:`hard`.
        """
        self._sources, self._settings, self._hard_share = sources, settings, hard_share
        # A crowd teaches more than a portrait, though not by every one of its faces.
        crowd = np.sqrt([len(scene.boxes) for scene in sources.scenes])
        self._by_crowd = np.cumsum(crowd) / crowd.sum()
        #: Where the network was wrong; renewed by mining.
        self.hard: Sequence[HardSpot] = ()

    def compose(self, generator: np.random.Generator) -> Picture:
        """One training picture."""
        settings, sources, kind = self._settings, self._sources, generator.random()
        side = settings.crop_px
        if kind < settings.negatives:
            canvas = self._without_face(generator)
        elif kind < settings.negatives + settings.scenes:
            canvas = self._without_face(generator)
            scene = sources.scenes[int(np.searchsorted(self._by_crowd, generator.random()))]
            # Never so small that the picture is mostly another one.
            self._add_scene(canvas, canvas.image, (0, 0), scene, generator, least=0.8)
        elif kind < settings.negatives + settings.scenes + settings.mosaics:
            canvas = self._mosaic(generator)
        else:
            canvas = self._without_face(generator)
            self._paste_faces(canvas, generator)
        return finish(canvas.image, canvas.boxes, canvas.ignore, side)

    # ------------------------------------------------------------------------ without a face

    def _without_face(self, generator: np.random.Generator) -> _Canvas:
        settings = self._settings
        side = settings.crop_px
        index, middle, scale = self._spot(generator)
        image = self._sources.negatives[index].image
        matrix = self._view(generator, middle, generator.uniform(0, side, 2), scale)
        canvas = _Canvas(_warp(image, matrix, (side, side), cv2.BORDER_REFLECT_101))
        if generator.random() < settings.distractors:
            for _ in range(generator.integers(1, 4)):
                self._paste_patch(canvas, generator)
        return canvas

    def _spot(self, generator: np.random.Generator) -> tuple[int, NDArray[np.float64], float]:
        """A place in a picture without a face, and how much to magnify it."""
        negatives, settings = self._sources.negatives, self._settings
        if self.hard and generator.random() < self._hard_share:
            spot = self.hard[int(generator.integers(len(self.hard)))]
            x, y, w, h = spot.box
            scale = float(np.exp(generator.uniform(-0.5, 0.5)))
            # What is smaller than the smallest face need not be learnt.
            scale = max(scale, settings.face_px[0] / math.sqrt(w * h))
            return spot.scene, np.array([x + w / 2, y + h / 2]), scale
        index = int(generator.integers(len(negatives)))
        middle = generator.uniform(0, negatives[index].size_wh)
        return index, middle, float(np.exp(generator.uniform(math.log(0.5), math.log(2.0))))

    def _paste_patch(self, canvas: _Canvas, generator: np.random.Generator) -> None:
        """Paste what is no face as faces are pasted."""
        index, middle, scale = self._spot(generator)
        image = self._sources.negatives[index].image
        size = self._face_px(generator)
        half = size / 2 / scale
        box = np.array([middle[0] - half, middle[1] - half, 2 * half, 2 * half], np.float32)
        self._paste(canvas, image, box, size, generator)

    # ----------------------------------------------------------------------------- with faces

    def _add_scene(
        self,
        canvas: _Canvas,
        region: Image,
        at: tuple[int, int],
        scene: Scene,
        generator: np.random.Generator,
        *,
        least: float = 0.0,
    ) -> None:
        """Lay a scene over a region, with one of its faces in it, at a drawn size.

        Args:
            canvas: Gets the boxes.
            region: The part of its picture.
            at: Where that begins, x and y.
            scene: With a face.
            generator: The source of chance.
            least: How much of the region's shorter side the scene's shorter one has at least.
        """
        x, y, w, h = scene.boxes[generator.integers(len(scene.boxes))]
        height, width = region.shape
        size = min(self._face_px(generator), 0.9 * min(height, width))
        scale = min(size / math.sqrt(w * h), self._settings.enlarge)
        scale = max(scale, least * min(height, width) / min(scene.size_wh))
        half = np.minimum(scale * np.array([w, h]) / 2, np.array([width, height]) / 2)
        target = generator.uniform(half, (width, height) - half)
        matrix = self._view(generator, (x + w / 2, y + h / 2), target, scale)
        _warp(scene.image, matrix, (width, height), cv2.BORDER_TRANSPARENT, onto=region)
        for listed, boxes in ((canvas.boxes, scene.boxes), (canvas.ignore, scene.ignore)):
            moved, hidden = _within(_moved(boxes, matrix), (width, height))
            listed.append(moved + np.array([*at, 0, 0], np.float32))
            canvas.ignore.append(hidden + np.array([*at, 0, 0], np.float32))

    def _mosaic(self, generator: np.random.Generator) -> _Canvas:
        """Four pictures around a point."""
        side = self._settings.crop_px
        canvas = self._without_face(generator)
        middle = generator.integers(int(0.3 * side), int(0.7 * side), 2)
        for left, right in ((0, middle[0]), (middle[0], side)):
            for top, bottom in ((0, middle[1]), (middle[1], side)):
                kind = generator.random()
                if kind < 0.2:
                    continue
                scenes = self._sources.tight if kind < 0.45 else self._sources.scenes
                region = canvas.image[top:bottom, left:right]
                scene = scenes[int(generator.integers(len(scenes)))]
                self._add_scene(canvas, region, (int(left), int(top)), scene, generator)
        return canvas

    def _paste_faces(self, canvas: _Canvas, generator: np.random.Generator) -> None:
        for _ in range(generator.integers(1, self._settings.most_pasted + 1)):
            face = self._sources.tight[int(generator.integers(len(self._sources.tight)))]
            size = self._face_px(generator)
            box = self._paste(canvas, face.image, face.boxes[0], size, generator)
            if box is not None:
                canvas.boxes.append(box)

    def _paste(
        self,
        canvas: _Canvas,
        image: Image,
        box: NDArray[np.float32],
        size: float,
        generator: np.random.Generator,
    ) -> Boxes | None:
        """Paste the surroundings of a box with soft edges, where there is room for it.

        Returns:
            Where the box lies, ``(1, 4)``; None where another one is in the way.
        """
        image, box = _around(image, box)
        x, y, w, h = (float(value) for value in box)
        side = self._settings.crop_px
        scale = size / math.sqrt(w * h)
        target = generator.uniform(size / 2, max(size / 2 + 1, side - size / 2), 2)
        matrix = self._view(generator, (x + w / 2, y + h / 2), target, scale)
        moved = _moved(box[None], matrix)
        others = canvas.placed()
        if len(others):
            ends = np.minimum(moved[:, :2] + moved[:, 2:], others[:, :2] + others[:, 2:])
            shared = np.clip(ends - np.maximum(moved[:, :2], others[:, :2]), 0, None).prod(1)
            smaller = np.minimum(moved[:, 2:].prod(), others[:, 2:].prod(1))
            if (shared > _MOST_HIDDEN * smaller).any():
                return None
        mask = _soft_mask(image.shape[:2], (x, y, w, h), generator)
        # Only the part of the canvas that the patch can reach.
        reach = 0.9 * size + 2
        low = np.maximum(np.floor(target - reach), 0).astype(int)
        high = np.minimum(np.ceil(target + reach), side).astype(int)
        local = matrix.copy()
        local[:, 2] -= low
        area_wh = int(high[0] - low[0]), int(high[1] - low[1])
        patch = _warp(image, local, area_wh, cv2.BORDER_REPLICATE).astype(np.float32)
        alpha = _warp(mask, local, area_wh, cv2.BORDER_CONSTANT).astype(np.float32) / 255
        region = canvas.image[low[1] : high[1], low[0] : high[0]]
        # Partly in the light of the place, which would else give every pasted face away.
        weight = alpha / max(1e-6, float(alpha.sum()))
        own, there = float((patch * weight).sum()), float(region.mean())
        light = own + generator.uniform(0, 0.7) * (there - own)
        patch = (patch - own) * generator.uniform(0.6, 1.2) + light
        region[:] = np.clip(region * (1 - alpha) + patch * alpha, 0, 255).astype(np.uint8)
        return moved

    # ------------------------------------------------------------------------------- amounts

    def _face_px(self, generator: np.random.Generator) -> float:
        return float(np.exp(generator.uniform(*np.log(self._settings.face_px))))

    def _view(
        self,
        generator: np.random.Generator,
        source: Sequence[float] | NDArray[np.float64],
        target: NDArray[np.float64],
        scale: float,
    ) -> NDArray[np.float64]:
        """A ``(2, 3)`` matrix that brings a point to another: mirrored, turned, stretched."""
        settings = self._settings
        angle = math.radians(generator.uniform(-settings.rotate_deg, settings.rotate_deg))
        stretch = math.exp(generator.uniform(-settings.stretch, settings.stretch) / 2)
        mirror = -1.0 if generator.random() < settings.flip else 1.0
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        linear = turn @ np.diag([scale * stretch * mirror, scale / stretch])
        return np.column_stack([linear, target - linear @ np.asarray(source, np.float64)])


def finish(image: Image, boxes: Sequence[Boxes], ignore: Sequence[Boxes], side: int) -> Picture:
    """Sort the boxes of a picture: what is too small is to be ignored."""
    none = np.empty((0, 4), np.float32)
    faces, hidden = _within(np.concatenate([none, *boxes]), (side, side))
    small = faces[:, 2:].min(axis=1) < _LEAST_PX
    unknown, _ = _within(np.concatenate([none, *ignore]), (side, side), least=0.0)
    return Picture(image, faces[~small], np.concatenate([unknown, hidden, faces[small]]))


def _moved(boxes: Boxes, matrix: NDArray[np.float64]) -> Boxes:
    """Boxes after a matrix: their centres moved, their sides scaled, upright still."""
    scales = np.hypot(matrix[0, :2], matrix[1, :2])
    centres = (boxes[:, :2] + boxes[:, 2:] / 2) @ matrix[:, :2].T + matrix[:, 2]
    sides = boxes[:, 2:] * scales
    return np.concatenate([centres - sides / 2, sides], axis=1).astype(np.float32)


def _within(
    boxes: Boxes, size_wh: tuple[int, int], least: float = _LEAST_SEEN
) -> tuple[Boxes, Boxes]:
    """Boxes cut to a picture: those of which enough is left, and the rest of what is in it."""
    starts = np.clip(boxes[:, :2], 0, size_wh)
    sides = np.clip(boxes[:, :2] + boxes[:, 2:], 0, size_wh) - starts
    seen = sides.prod(axis=1) / np.maximum(boxes[:, 2:].prod(axis=1), 1e-9)
    cut = np.concatenate([starts, sides], axis=1).astype(np.float32)
    enough = (seen >= least) & (seen > 0)
    return cut[enough], cut[~enough & (seen > 0)]


def _warp(
    image: Image,
    matrix: NDArray[np.float64],
    size_wh: tuple[int, int],
    border: int,
    onto: Image | None = None,
) -> Image:
    """A picture after a matrix in pixel coordinates (the corner of the first pixel is 0, 0)."""
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    height, width = image.shape
    shrunk = max(1, round(width * scale)), max(1, round(height * scale))
    matrix = matrix.copy()
    if scale < 0.7:
        # Averaged, as a detector's picture is; the interpolation below would skip pixels.
        image = np.asarray(cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA), np.uint8)
        matrix[:, :2] *= (width / shrunk[0], height / shrunk[1])
    # OpenCV counts from the middle of the first pixel.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    flags = cv2.INTER_LINEAR
    if onto is None:
        made = cv2.warpAffine(image, matrix, size_wh, flags=flags, borderMode=border)
        return np.asarray(made, np.uint8)
    # A copy, because a part of a larger picture is not what OpenCV writes into.
    whole = np.ascontiguousarray(onto)
    onto[:] = cv2.warpAffine(image, matrix, size_wh, dst=whole, flags=flags, borderMode=border)
    return onto


def _around(image: Image, box: NDArray[np.float32]) -> tuple[Image, NDArray[np.float32]]:
    """A picture cut to what is pasted of it, and the box in that part."""
    height, width = image.shape
    x, y, w, h = box
    left, right = (int(np.clip(value, 0, width)) for value in (x - w / 2, x + 1.5 * w))
    top, bottom = (int(np.clip(value, 0, height)) for value in (y - h / 2, y + 1.5 * h))
    # At least two pixels of the picture, however far at its border the box is.
    left, top = max(0, min(left, width - 2)), max(0, min(top, height - 2))
    part = image[top : max(bottom, top + 2), left : max(right, left + 2)]
    return part, box - np.array([left, top, 0, 0], np.float32)


def _soft_mask(
    shape: tuple[int, ...], box: tuple[float, float, float, float], generator: np.random.Generator
) -> Image:
    """How much of each pixel is pasted, 0 to 255: an ellipse around a box, or nearly all of it."""
    x, y, w, h = box
    grow = generator.uniform(1.0, 1.35)
    mask = np.zeros(shape, np.uint8)
    middle = (round(x + w / 2), round(y + h / 2))
    axes = max(1, round(w / 2 * grow)), max(1, round(h / 2 * grow))
    if generator.random() < 0.6:
        cv2.ellipse(mask, middle, axes, 0, 0, 360, (255,), -1)
    else:
        start, end = (
            tuple(m + sign * a for m, a in zip(middle, axes, strict=True)) for sign in (-1, 1)
        )
        cv2.rectangle(mask, start, end, 255, -1)
    # Nothing at the border of what is pasted, or it would be a hard edge.
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    # Twice the mean of a square is nearly a Gaussian, and takes the same time for any width.
    soft = 2 * round(generator.uniform(0.02, 0.1) * max(w, h)) + 1
    for _ in range(2):
        mask = cv2.blur(mask, (soft, soft), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(mask, np.uint8)
