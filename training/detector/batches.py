"""Batches of composed pictures; seed, epoch and position alone decide what each one holds."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ..degrade import degrade
from .compose import Composer
from .recipe import DetectorRecipe
from .targets import assign


class DetectorBatches(keras.utils.PyDataset):
    """The pictures of one epoch after another.

    Each item is ``(pixels, targets)``: float32 ``(b, side, side, 1)``, 0..255, and a dict of
    ``boxes`` ``(b, N, 5)`` and ``scores`` ``(b, N, 2)`` as in :class:`~.targets.CellTargets`.
    """

    def __init__(self, composer: Composer, recipe: DetectorRecipe):
        super().__init__()
        #: Whose hard spots mining renews.
        self.composer = composer
        self._recipe = recipe
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Draw other pictures in this epoch, counted from 0; see :class:`..batches.EpochStart`."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], dict[str, Any]]:
        recipe = self._recipe
        generator = np.random.default_rng((recipe.seed, self._epoch, index))
        settings = recipe.composition
        side = settings.crop_px
        pictures = [self.composer.compose(generator) for _ in range(recipe.schedule.batch)]
        pixels = np.stack([picture.image for picture in pictures]).astype(np.float32)
        means = pixels.mean(axis=(1, 2), keepdims=True)
        contrast = generator.uniform(*settings.contrast, means.shape).astype(np.float32)
        added = generator.uniform(-settings.brightness, settings.brightness, means.shape)
        # In place, as in augment.py.
        pixels -= means
        pixels *= contrast
        pixels += means + added.astype(np.float32)
        np.clip(pixels, 0, 255, out=pixels)
        degrade(pixels, settings.as_camera(), generator)
        taught = [
            assign(picture.boxes, picture.ignore, (side, side), recipe.teaching.radius)
            for picture in pictures
        ]
        targets = {
            "boxes": np.stack([one.boxes for one in taught]),
            "scores": np.stack([one.scores for one in taught]),
        }
        return pixels[..., np.newaxis], targets
