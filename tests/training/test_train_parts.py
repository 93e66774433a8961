"""The parts of a training run, without training: batches, schedule, checkpoints."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.errors import FerEdgeError
from fer_edge.training.architectures import plain_net
from fer_edge.training.augment import Augmentation
from fer_edge.training.train import Batches, Checkpoint, Recipe, RunState, build

from ..conftest import a_dataset, a_recipe

RECIPE = a_recipe()
STILL = Augmentation(0.0, 0.0, (1.0, 1.0), 0.0, 0.0, (1.0, 1.0), 0.0)


@pytest.fixture(scope="module")
def training():
    return a_dataset(Training=6)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------ checkpoints


class FakeModel:
    """Saves one byte, or fails."""

    error: OSError | None = None

    def save(self, path: str) -> None:
        Path(path).write_bytes(b"m")
        if self.error:
            raise self.error


@pytest.fixture
def checkpoint(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    made = Checkpoint(tmp_path, RunState([]))
    made.set_model(FakeModel())
    return made


def end_epochs(checkpoint: Checkpoint, *scores: float) -> None:
    for epoch, score in enumerate(scores):
        checkpoint.on_epoch_end(epoch, {"loss": 1.0, "val_accuracy": np.float32(score)})


# Each case: the accuracy of each epoch on validation, the best epoch counted from 1.
SCORES = [
    ([0.25], 1),
    ([0.25, 0.5], 2),
    ([0.5, 0.25, 0.125], 1),
    ([0.25, 0.75, 0.5, 0.75], 2),  # of equals the first, which was trained for less
    ([0.0, 0.0], 1),
]


@pytest.mark.parametrize(("scores", "best"), SCORES)
def test_the_best_epoch_is_that_of_the_largest_accuracy(checkpoint, tmp_path, scores, best):
    end_epochs(checkpoint, *scores)

    state = json.loads((tmp_path / "checkpoints/state.json").read_text())
    assert state["best_epoch"] == best
    assert [entry["val_accuracy"] for entry in state["history"]] == scores
    assert names(tmp_path / "checkpoints") == {
        "state.json",
        f"epoch-{best:03d}.keras",
        f"epoch-{len(scores):03d}.keras",
    }


def test_a_full_disk_keeps_the_epoch_before(checkpoint, tmp_path):
    end_epochs(checkpoint, 0.25)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    checkpoint.model.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FerEdgeError, match=r"Cannot write .*epoch-002\.keras: No space.*--resume"):
        checkpoint.on_epoch_end(1, {"loss": 1.0, "val_accuracy": 0.5})

    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_the_first_batch_without_a_finite_loss_is_named(checkpoint, loss):
    end_epochs(checkpoint, 0.25)

    checkpoint.on_train_batch_end(6, {"loss": 1e30})
    with pytest.raises(FerEdgeError, match=rf"became {loss} in epoch 2, batch 8\."):
        checkpoint.on_train_batch_end(7, {"loss": loss})


# ----------------------------------------------------------------------------- batches and recipe


def epoch_of(batches: Batches) -> list[tuple[np.ndarray, np.ndarray]]:
    return [batches[index] for index in range(len(batches))]


def assert_same(one: list, other: list) -> None:
    for (faces, targets), (other_faces, other_targets) in zip(one, other, strict=True):
        np.testing.assert_array_equal(faces, other_faces)
        np.testing.assert_array_equal(targets, other_targets)


def test_an_epoch_shows_each_image_once_with_its_own_label(training):
    recipe = a_recipe(augmentation=STILL)

    batches = epoch_of(Batches(training, recipe))

    assert [faces.shape for faces, _ in batches] == [
        (16, 48, 48, 1),
        (16, 48, 48, 1),
        (10, 48, 48, 1),
    ]
    shown = {
        np.rint(face).astype(np.uint8).tobytes(): int(target.argmax())
        for faces, targets in batches
        for face, target in zip(faces, targets, strict=True)
    }
    assert shown == {
        image.tobytes(): label
        for image, label in zip(training.images, training.labels.tolist(), strict=True)
    }


def test_epoch_and_position_alone_decide_what_a_batch_holds(training):
    whole, resumed = Batches(training, RECIPE), Batches(training, RECIPE)
    first = epoch_of(whole)

    assert_same([whole[2], whole[0]], [first[2], first[0]])  # drawn again, in another order
    whole.begin(1)
    second = epoch_of(whole)
    whole.begin(2)
    resumed.begin(2)
    assert_same(epoch_of(whole), epoch_of(resumed))
    resumed.begin(1)
    assert_same(second, epoch_of(resumed))
    assert not np.array_equal(first[0][0], second[0][0])


def test_keras_cannot_move_the_batches_on_by_itself(training):
    """Keras calls ``on_epoch_end`` once more than there are epochs."""
    batches = Batches(training, RECIPE)
    first = epoch_of(batches)

    batches.on_epoch_end()

    assert_same(epoch_of(batches), first)


def test_another_seed_gives_other_batches(training):
    other = a_recipe(seed=2)

    assert not np.array_equal(Batches(training, RECIPE)[0][0], Batches(training, other)[0][0])


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    recipe = a_recipe(epochs=10, warmup_epochs=2.0, peak_rate=0.06)
    optimiser = build(recipe, steps_per_epoch=100).optimizer

    rates = []
    for step in (0, 100, 200, 600, 1000):
        optimiser.iterations.assign(step)
        rates.append(float(optimiser.learning_rate))

    assert rates == pytest.approx([0, 0.03, 0.06, 0.03, 0], abs=1e-6)


def test_weight_decay_shrinks_the_kernels_only():
    model = build(RECIPE, steps_per_epoch=3)

    decayed = {v.name for v in model.trainable_variables if model.optimizer._use_weight_decay(v)}

    assert decayed == {"kernel"}


def test_the_default_recipe_has_the_documented_size():
    recipe = Recipe()
    model = plain_net(stem=recipe.stem, widths=recipe.widths, dropout=recipe.dropout)

    assert 1_100_000 < model.count_params() < 1_250_000
