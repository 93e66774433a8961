"""Shuffled, augmented batches; seed, epoch and position alone decide what each one holds."""

import math
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from .augment import augment
from .datasets import Dataset
from .degrade import degrade
from .mixing import mix
from .recipes import Recipe
from .targets import TargetArrays


class Batches(keras.utils.PyDataset):
    """The training images of one epoch after another, in batches of one size, which is even.

    Each item is ``(inputs, targets, weights)``, dicts of arrays by name: input ``pixels`` float32
    ``(b, 48, 48, 1)``, 0..255, or of the side ``crop_px`` in the epochs that learn from pieces, and
    ``teacher`` float32 ``(b, 7)`` where logits of a teacher are given; targets and weights as in
    :class:`~.targets.TargetArrays`.
    """

    def __init__(self, data: Dataset, targets: TargetArrays, recipe: Recipe):
        super().__init__()
        self._images, self._targets, self._recipe = data.images, targets, recipe
        self._size = min(recipe.schedule.batch, len(data.images) + len(data.images) % 2)
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Shuffle for an epoch, counted from 0.

        Seeded by the epoch, so that a resumed run sees what the uninterrupted one would have.
        Called by :class:`EpochStart` and not by Keras's ``on_epoch_end``, which comes once more
        before the first epoch.
        """
        self._epoch = epoch
        generator = np.random.default_rng((self._recipe.seed, epoch))
        # The last batch is filled up with the first images. A step of another size would weigh its
        # few images more, and one of an odd size may end the process: in TensorFlow 2.21 oneDNN's
        # gradient of a 1x1 convolution with stride 2 from fewer than 16 channels writes past its
        # memory there.
        order = generator.permutation(len(self._images))
        self._order = np.resize(order, len(self) * self._size)

    def __len__(self) -> int:
        return math.ceil(len(self._images) / self._size)

    def __getitem__(self, index: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        rows = self._order[index * self._size : (index + 1) * self._size]
        generator = np.random.default_rng((self._recipe.seed, self._epoch, index))
        settings, targets = self._recipe.augmentation, self._targets
        faces = augment(self._images[rows], settings, generator)
        degrade(faces, settings, generator)
        batch = {"logits": targets.logits[rows]}
        for name in ("votes", "teacher"):
            values: NDArray[np.float32] | None = getattr(targets, name)
            if values is not None:
                batch[name] = values[rows]
        weights = {"logits": targets.weights[rows]}
        if targets.vote_weights is not None:
            weights["votes"] = targets.weights[rows] * targets.vote_weights[rows]
        if self._epoch < self._recipe.crop_epochs:
            faces = _cut_out(faces, self._recipe.crops.crop_px, generator)
        faces, batch, weights = mix(faces, batch, weights, settings, generator)
        inputs = {"pixels": faces[..., np.newaxis]}
        if "teacher" in batch:
            inputs["teacher"] = batch.pop("teacher")
        return inputs, batch, weights


def _cut_out(
    faces: NDArray[np.float32], side: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """A square of each image, at a place of its own: float32 ``(n, side, side)``."""
    count, height, width = faces.shape
    tops = generator.integers(0, height - side + 1, count)
    lefts = generator.integers(0, width - side + 1, count)
    places = zip(faces, tops, lefts, strict=True)
    return np.stack([face[top : top + side, left : left + side] for face, top, left in places])


class EpochStart(keras.callbacks.Callback):
    """Sets all chance of an epoch from the seed, because no checkpoint holds its state."""

    def __init__(self, batches: Any, network: keras.Model, seed: int):
        """Take the :class:`Batches` (or others with ``begin``), the network and the run's seed."""
        super().__init__()
        self._batches, self._seed, self._steps = batches, seed, len(batches)
        self._dropouts = [x for x in network.layers if isinstance(x, keras.layers.Dropout)]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Shuffle the images, and put every dropout where an uninterrupted run would have it."""
        self._batches.begin(epoch)
        if keras.backend.backend() == "torch":
            # Keras leaves an unseeded dropout to PyTorch's own, which draws from the one
            # generator of the process and not from the layer's.
            import torch  # pyright: ignore[reportMissingImports]

            torch.manual_seed(int(np.random.SeedSequence([self._seed, epoch]).generate_state(1)[0]))
        for place, layer in enumerate(self._dropouts):
            if layer.rate > 0:
                # A seed each: two layers with the same one would drop the same units.
                layer.seed_generator.state.assign([self._seed + place, epoch * self._steps])
