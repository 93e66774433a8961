"""The parts of a training run, without training: batches, the seeds of chance, the stages."""

import dataclasses
import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.training import measure, train  # noqa: E402
from fer_edge.training.architectures import build_network  # noqa: E402
from fer_edge.training.augment import Augmentation  # noqa: E402
from fer_edge.training.batches import Batches, EpochStart  # noqa: E402
from fer_edge.training.recipes import Targets, Transfer, with_changes  # noqa: E402
from fer_edge.training.stages import Stage, stages  # noqa: E402
from fer_edge.training.targets import make_targets, soften  # noqa: E402

from ..conftest import a_dataset, a_recipe  # noqa: E402

# Keras 3.15 reads its variables through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

RECIPE = a_recipe()
STILL = Augmentation(0.0, 0.0, (1.0, 1.0), 0.0, 0.0, (1.0, 1.0), 0.0)


@pytest.fixture(scope="module")
def training():
    """42 images with votes; the fourth has none for our classes."""
    data = a_dataset(Training=6)
    votes = np.random.default_rng(0).integers(0, 5, (len(data), 10))
    votes[3] = [0, 0, 0, 0, 0, 0, 0, 0, 5, 5]
    return dataclasses.replace(data, votes=votes)


def batches_of(data, recipe=RECIPE, teacher=None) -> Batches:
    return Batches(data, make_targets(data, recipe.targets, teacher), recipe)


def epoch_of(batches: Batches) -> list:
    return [batches[index] for index in range(len(batches))]


def assert_same(one: list, other: list) -> None:
    for batch, other_batch in zip(one, other, strict=True):
        for part, other_part in zip(batch, other_batch, strict=True):
            assert part.keys() == other_part.keys()
            for name in part:
                np.testing.assert_array_equal(part[name], other_part[name])


# ---------------------------------------------------------------------------------------- batches


def test_an_epoch_shows_each_image_with_its_own_label(training):
    recipe = a_recipe(augmentation=STILL, targets=Targets(label_smoothing=0.0))

    batches = epoch_of(batches_of(training, recipe))

    shown = {
        np.rint(face).astype(np.uint8).tobytes(): int(target.argmax())
        for inputs, targets, _ in batches
        for face, target in zip(inputs["pixels"], targets["logits"], strict=True)
    }
    assert shown == {
        image.tobytes(): label
        for image, label in zip(training.images, training.labels.tolist(), strict=True)
    }


@pytest.mark.parametrize(
    ("images", "size", "steps"), [(42, 16, 3), (32, 16, 2), (6, 6, 1), (5, 6, 1)]
)
def test_every_batch_is_full_with_images_shown_at_most_once_more(training, images, size, steps):
    """And even, as an odd one ends TensorFlow 2.21 with some nets: batches.py."""
    part = training.take(np.arange(len(training)) < images)

    batches = epoch_of(batches_of(part, a_recipe(augmentation=STILL)))

    faces = np.concatenate([inputs["pixels"] for inputs, _, _ in batches])
    assert [len(inputs["pixels"]) for inputs, _, _ in batches] == [size] * steps
    assert len(np.unique(faces[:images], axis=0)) == images
    assert len(np.unique(faces[images:], axis=0)) == size * steps - images


def test_every_part_of_a_batch_is_of_the_same_images(training):
    """Votes, weights and a teacher's answers stay with their image through the shuffling."""
    teacher = np.random.default_rng(1).normal(size=(42, 7)).astype(np.float32)
    settings = Targets(ferplus="head", class_weights="balanced", temperature=2.0)
    recipe = a_recipe(augmentation=STILL, targets=settings)
    uneven = training.take(np.arange(42) != 0)
    whole = make_targets(uneven, settings, teacher[1:])
    place = {image.tobytes(): number for number, image in enumerate(uneven.images)}

    for inputs, targets, weights in epoch_of(batches_of(uneven, recipe, teacher[1:])):
        rows = [place[np.rint(f).astype(np.uint8).tobytes()] for f in inputs["pixels"]]
        np.testing.assert_array_equal(targets["logits"], whole.logits[rows])
        np.testing.assert_array_equal(targets["votes"], whole.votes[rows])
        np.testing.assert_array_equal(inputs["teacher"], soften(teacher[1:], 2.0)[rows])
        np.testing.assert_array_equal(weights["logits"], whole.weights[rows])
        expected = whole.weights[rows] * whole.vote_weights[rows]
        np.testing.assert_array_equal(weights["votes"], expected)
        assert "teacher" not in targets


def test_without_votes_and_teacher_a_batch_has_neither(training):
    inputs, targets, weights = batches_of(training)[0]

    assert (inputs.keys(), targets.keys(), weights.keys()) == ({"pixels"}, {"logits"}, {"logits"})


def test_what_is_mixed_is_mixed_with_all_that_is_taught(training):
    teacher = np.random.default_rng(1).normal(size=(42, 7)).astype(np.float32)
    recipe = a_recipe(
        augmentation=dataclasses.replace(STILL, mixup=1.0),
        targets=Targets(label_smoothing=0.0, ferplus="head", class_weights="balanced"),
    )

    inputs, targets, weights = batches_of(training, recipe, teacher)[0]

    assert ((targets["logits"] > 0).sum(axis=1) == 2).any()
    for distribution in (targets["logits"], targets["votes"], inputs["teacher"]):
        np.testing.assert_allclose(distribution.sum(axis=1), 1, rtol=1e-5)
    assert inputs["pixels"].dtype == weights["votes"].dtype == np.float32


def test_the_first_epochs_learn_from_pieces_and_the_rest_from_whole_images(training):
    recipe = with_changes(
        a_recipe(augmentation=STILL), ["epochs=4", "crop_share=0.5", "crop_px=20"]
    )
    batches = batches_of(training, recipe)

    sides = []
    for epoch in range(4):
        batches.begin(epoch)
        sides.append({batches[batch][0]["pixels"].shape[1:] for batch in range(len(batches))})

    assert sides == [{(20, 20, 1)}] * 2 + [{(48, 48, 1)}] * 2


def test_pieces_are_cut_out_of_their_images_anywhere(training):
    recipe = with_changes(a_recipe(augmentation=STILL), ["crop_share=1", "crop_px=46"])
    labels = training.labels
    windows = np.lib.stride_tricks.sliding_window_view(training.images, (46, 46), axis=(1, 2))

    places = set()
    for inputs, targets, _ in epoch_of(batches_of(training, recipe)):
        for piece, target in zip(inputs["pixels"][..., 0], targets["logits"], strict=True):
            image, *place = np.argwhere((windows == piece).all(axis=(3, 4)))[0]
            assert target.argmax() == labels[image]
            places.add(tuple(place))

    assert len(places) > 5, "of the nine places that there are"


def test_epoch_and_position_alone_decide_what_a_batch_holds(training):
    recipe = with_changes(RECIPE, ["mixup=0.5", "cutmix=0.5"])
    whole, resumed = batches_of(training, recipe), batches_of(training, recipe)
    first = epoch_of(whole)

    assert_same([whole[2], whole[0]], [first[2], first[0]])  # drawn again, in another order
    whole.begin(1)
    second = epoch_of(whole)
    whole.begin(2)
    resumed.begin(2)
    assert_same(epoch_of(whole), epoch_of(resumed))
    resumed.begin(1)
    assert_same(second, epoch_of(resumed))
    assert not np.array_equal(first[0][0]["pixels"], second[0][0]["pixels"])


def test_an_image_is_changed_otherwise_in_each_epoch(training):
    batches = batches_of(training)
    first, order = batches[0], batches._order

    batches.begin(1)
    batches._order = order

    assert not np.array_equal(batches[0][0]["pixels"], first[0]["pixels"])
    np.testing.assert_array_equal(batches[0][1]["logits"], first[1]["logits"])


def test_keras_cannot_move_the_batches_on_by_itself(training):
    """Keras calls ``on_epoch_end`` once more than there are epochs."""
    batches = batches_of(training)
    first = epoch_of(batches)

    batches.on_epoch_end()

    assert_same(epoch_of(batches), first)


def test_another_seed_gives_other_batches(training):
    one, other = batches_of(training)[0][0], batches_of(training, a_recipe(seed=2))[0][0]

    assert not np.array_equal(one["pixels"], other["pixels"])


def test_a_part_of_the_training_images_is_the_same_of_each_class(training):
    recipe = a_recipe(share=0.5)

    part = train.training_part(training, recipe)

    assert np.bincount(part.labels).tolist() == [3] * 7
    assert part.images.tobytes() == train.training_part(training, recipe).images.tobytes()


# ---------------------------------------------------------------------------------------- dropout


def states(recipe, seed: int, epoch: int, training) -> list[list[int]]:
    network = build_network(recipe)
    start = EpochStart(batches_of(training, recipe), network, seed)
    start.on_epoch_begin(epoch)
    dropouts = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    return [np.array(layer.seed_generator.state).tolist() for layer in dropouts]


CUSTOM = a_recipe(network="custom_cnn", options={"widths": [4, 4], "dense": 8, "dropout": 0.25})


def test_dropout_begins_each_epoch_where_the_seed_says(training):
    first, again = states(CUSTOM, 1, 3, training), states(CUSTOM, 1, 3, training)

    assert first == again
    assert first != states(CUSTOM, 1, 4, training)
    assert first != states(CUSTOM, 2, 3, training)


def test_what_is_dropped_depends_on_the_epoch_alone_on_every_backend(training):
    """PyTorch keeps its chance in the process and not in the layers."""
    network = build_network(CUSTOM)
    start = EpochStart(batches_of(training, CUSTOM), network, 1)
    pixels = np.full((4, 48, 48, 1), 100, np.float32)

    def in_training(epoch: int) -> np.ndarray:
        start.on_epoch_begin(epoch)
        return keras.ops.convert_to_numpy(network(pixels, training=True))

    first = in_training(3)

    assert not np.array_equal(first, in_training(4))
    assert np.array_equal(first, in_training(3))


def test_two_dropouts_of_a_net_do_not_drop_the_same_units(training):
    found = states(CUSTOM, 1, 3, training)

    assert len(found) == 3
    assert len({tuple(state) for state in found}) == 3


def test_an_epoch_of_steps_moves_dropout_to_the_next_epoch_s_beginning(training):
    """So that a resumed run and an uninterrupted one go through the same numbers."""
    network = build_network(CUSTOM)
    start = EpochStart(batches_of(training, CUSTOM), network, 1)
    start.on_epoch_begin(0)
    for _ in range(3):  # three batches
        network(np.zeros((1, 48, 48, 1), np.float32), training=True)

    moved = [np.array(x.seed_generator.state).tolist() for x in network.layers if "drop" in x.name]

    assert moved == states(CUSTOM, 1, 1, training)


def test_a_net_without_dropout_needs_no_seed(training):
    """Keras makes none for a rate of 0."""
    recipe = a_recipe(options={"stem": 4, "widths": [4], "dropout": 0.0})

    EpochStart(batches_of(training, recipe), build_network(recipe), 1).on_epoch_begin(0)


# ----------------------------------------------------------------------------------------- stages


def test_a_network_from_scratch_has_one_stage():
    assert stages(RECIPE) == [Stage(0, 2, 0.01, (), (0, 2))]


# Each case: the share of ten epochs that learns from pieces, and epochs and side of each stage.
PARTED = [
    (0.0, [(0, 10, 48)]),
    (0.04, [(0, 10, 48)]),
    (0.7, [(0, 7, 40), (7, 10, 48)]),
    (1.0, [(0, 10, 40)]),
]


@pytest.mark.parametrize(("share", "expected"), PARTED)
def test_one_optimiser_goes_on_where_pieces_end(share, expected):
    found = stages(with_changes(RECIPE, ["epochs=10", f"crop_share={share}"]))

    assert [(stage.first, stage.end, stage.side_px) for stage in found] == expected
    assert {stage.span for stage in found} == {(0, 10)}


def test_pieces_may_end_within_a_stage_of_transfer_learning():
    recipe = with_changes(
        a_recipe(transfer=Transfer(head_epochs=2, fine_tune_rate=1e-5)),
        ["epochs=10", "crop_share=0.5"],
    )

    found = [(stage.first, stage.end, stage.span, stage.side_px) for stage in stages(recipe)]

    assert found == [(0, 2, (0, 2), 40), (2, 5, (2, 10), 40), (5, 10, (2, 10), 48)]


# Each case: epochs of the head, epochs in all, the epochs of each stage.
STAGES = [(1, 3, [(0, 1), (1, 3)]), (3, 3, [(0, 3)]), (9, 3, [(0, 3)]), (0, 3, [(0, 3)])]


@pytest.mark.parametrize(("head", "epochs", "expected"), STAGES)
def test_transfer_learning_has_a_stage_for_the_head_and_one_for_the_rest(head, epochs, expected):
    recipe = with_changes(
        a_recipe(transfer=Transfer(head_epochs=head, unfreeze=("a",), fine_tune_rate=1e-5)),
        [f"epochs={epochs}"],
    )

    found = stages(recipe)

    assert [(stage.first, stage.end) for stage in found] == expected
    for stage in found:
        tuned = stage.first == head
        assert (stage.rate, stage.unfreeze) == ((1e-5, ("a",)) if tuned else (0.01, ()))


def test_a_share_of_the_data_is_what_the_training_accuracy_is_of(tmp_path, monkeypatch):
    """Otherwise the gap of an ablation would count images that the model never saw."""
    seen = []

    def named(network, part):
        seen.append(len(part))
        return part.labels

    monkeypatch.setattr(measure, "_named", named)

    train.train(a_dataset(Training=6, PublicTest=3), tmp_path / "run", a_recipe(share=0.5))

    assert sorted(seen) == [21, 21]
