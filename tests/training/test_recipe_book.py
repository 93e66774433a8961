"""The named recipes: that all are there, and that each is what it is said to be."""

import dataclasses
from pathlib import Path

import pytest

from fer_edge.edge import models
from fer_edge.edge.errors import UsageError
from fer_edge.training.augment import Augmentation
from fer_edge.training.measured import read_measured
from fer_edge.training.recipe_book import DEFAULT, RECIPES, find_recipe

TRANSFER = ("vgg16", "resnet50", "resnet50v2", "mobilenetv2", "efficientnet-b0")
SCRATCH = (
    "accurate",
    "accurate-last",
    "teacher-pieces",
    "teacher-mild",
    "teacher-camera",
    "teacher-residual",
    "fast",
    "teacher-fast",
    "vgg-small",
    "custom-cnn",
    "custom-cnn-aug",
    "mini-xception",
)


def test_the_book_holds_what_people_train_on_fer2013():
    assert set(RECIPES) == {*SCRATCH, *TRANSFER}
    assert DEFAULT == "accurate"
    assert next(iter(RECIPES)) == DEFAULT


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_found_by_its_name_and_says_what_it_is(name):
    recipe = find_recipe(name)

    assert recipe.name == name
    assert recipe.summary
    assert "\n" not in recipe.summary


# Each case: what is asked for, and the name that is offered.
TYPOS = [("acurate", "accurate"), ("vgg-smal", "vgg-small"), ("resnet50-v2", "resnet50v2")]


@pytest.mark.parametrize(("asked", "near"), TYPOS)
def test_a_typo_is_answered_with_the_nearest_name(asked, near):
    with pytest.raises(
        UsageError, match=rf"no recipe '{asked}'\. Did you mean {near}\? There are:"
    ):
        find_recipe(asked)


def test_a_name_like_no_other_is_answered_with_all_of_them():
    with pytest.raises(UsageError, match=r"no recipe 'zzz'\. There are: accurate, accurate-last,"):
        find_recipe("zzz")


def test_the_classic_baseline_is_trained_on_the_images_as_they_are():
    nothing = RECIPES["custom-cnn"].augmentation

    assert (nothing.flip, nothing.rotate_deg, nothing.shift, nothing.erase) == (0, 0, 0, 0)
    assert (nothing.brightness, nothing.mixup, nothing.cutmix) == (0, 0, 0)
    assert nothing.zoom == nothing.contrast == (1.0, 1.0)


def test_its_second_form_differs_in_rotation_zoom_and_flip_and_in_how_long():
    plain, changed = RECIPES["custom-cnn"], RECIPES["custom-cnn-aug"]
    seen = changed.augmentation

    assert (seen.rotate_deg, seen.zoom, seen.flip) == (20.0, (0.85, 1.15), 0.5)
    assert (
        dataclasses.replace(seen, rotate_deg=0.0, zoom=(1.0, 1.0), flip=0.0) == plain.augmentation
    )
    assert (plain.network, plain.options) == (changed.network, changed.options)
    assert (plain.optimiser, plain.targets) == (changed.optimiser, changed.targets)
    assert plain.optimiser.name == "adam"


@pytest.mark.parametrize("name", TRANSFER)
def test_transfer_learning_has_two_stages_and_class_weights(name):
    recipe = RECIPES[name]

    assert recipe.transfer is not None
    assert 0 < recipe.transfer.head_epochs < recipe.schedule.epochs
    assert recipe.transfer.unfreeze
    assert recipe.transfer.fine_tune_rate < recipe.schedule.peak_rate / 5
    assert recipe.targets.class_weights == "balanced"
    assert recipe.options["input_px"] == 224


def test_the_augmentation_without_arguments_mixes_no_images():
    assert (Augmentation().mixup, Augmentation().cutmix) == (0.0, 0.0)


def test_every_recipe_has_its_cost_published_and_its_accuracy_or_none():
    measured = read_measured()

    assert measured.keys() == RECIPES.keys()
    for about in measured.values():
        assert about.parameters > 0
        assert about.multiply_adds > 0
        assert (about.accuracy is None) == (about.run is None)
        assert about.accuracy is None or 0 < about.accuracy < 1


@pytest.mark.parametrize(
    "chain",
    [
        ("accurate-last", "accurate"),
        ("teacher-pieces", "teacher-mild", "teacher-camera", "teacher-residual"),
    ],
)
def test_what_a_model_starts_from_is_the_same_network(chain):
    """`--start` refuses another one; dropout has no weights."""
    recipes = [RECIPES[name] for name in chain]

    made = {(each.network, str({**each.options, "dropout": 0})) for each in recipes}

    assert len(made) == 1


@pytest.mark.parametrize(
    "name", ["accurate", "fast", "teacher-residual", "teacher-fast", "vgg-small"]
)
def test_what_people_begin_with_needs_no_trained_model(name):
    assert not RECIPES[name].needs_start


# Each case: bytes of the int8 file and multiply-adds, at the most.
BUDGETS = {"accurate": (2_000_000, 200e6), "fast": (300_000, 25e6)}


@pytest.mark.parametrize("name", BUDGETS)
def test_the_two_that_ship_keep_to_their_budget(name):
    size, work = BUDGETS[name]
    shipped = Path(models.__file__).with_name(f"{name}_int8.tflite")

    assert shipped.stat().st_size <= size
    assert read_measured()[name].multiply_adds <= work
