"""A recipe as data: what ``--set`` may change in it, and what it refuses."""

import contextlib
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import UsageError
from fer_edge.training.recipe_book import RECIPES
from fer_edge.training.recipes import Recipe, check, keys, with_changes

from ..conftest import a_recipe

RECIPE = a_recipe()
TRANSFER = RECIPES["vgg16"]


def value_of(recipe: Recipe, key: str):
    return keys(recipe)[key]


# Each case: what is set, the key that it changes, and its value then.
CHANGES = [
    ("schedule.epochs=7", "schedule.epochs", 7),
    ("epochs=7", "schedule.epochs", 7),  # the last part is enough where there is one such key
    (" epochs = 7 ", "schedule.epochs", 7),
    ("peak_rate=1e-3", "schedule.peak_rate", 0.001),
    ("peak_rate=1", "schedule.peak_rate", 1.0),  # a whole number is a number
    ("dropout=.25", "options.dropout", 0.25),  # JSON does not know it, people write it
    ("widths=[8, 16]", "options.widths", [8, 16]),
    ("widths=8,16", "options.widths", [8, 16]),
    ("widths=8", "options.widths", [8]),
    ("zoom=0.8,1.1", "augmentation.zoom", (0.8, 1.1)),
    ("zoom=[1, 1]", "augmentation.zoom", (1.0, 1.0)),
    ("shape=plateau", "schedule.shape", "plateau"),
    ("ferplus=head", "targets.ferplus", "head"),
    ('optimiser.name="adam"', "optimiser.name", "adam"),
    ("seed=3", "seed", 3),
    ("precision=mixed_bfloat16", "precision", "mixed_bfloat16"),
]


@pytest.mark.parametrize(("change", "key", "value"), CHANGES)
def test_one_value_is_changed_and_no_other(change, key, value):
    changed = with_changes(RECIPE, [change])

    assert value_of(changed, key) == value
    assert type(value_of(changed, key)) is type(value)
    assert {k for k, v in keys(changed).items() if v != value_of(RECIPE, k)} <= {key}


def test_changes_are_made_in_their_order_and_leave_the_recipe_alone():
    before = RECIPE.to_dict()

    changed = with_changes(RECIPE, ["epochs=3", "epochs=5", "widths=8"])

    assert changed.schedule.epochs == 5
    assert RECIPE.to_dict() == before


def test_a_pair_that_is_only_wrong_on_the_way_is_taken():
    changed = with_changes(RECIPE, ["mixup=1", "cutmix=1", "mixup=0"])

    assert (changed.augmentation.mixup, changed.augmentation.cutmix) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("unfreeze=block4,block5", ("block4", "block5")),
        ("unfreeze=block4", ("block4",)),
        ("unfreeze=[]", ()),
    ],
)
def test_the_layers_of_a_base_are_a_list_of_names(change, expected):
    changed = with_changes(TRANSFER, [change])

    assert changed.transfer is not None
    assert changed.transfer.unfreeze == expected


# Each case: what is set, and what the answer says.
REFUSED = [
    ("epochs", "Expected --set key=value, got 'epochs'"),
    ("epoch=3", "has no key 'epoch'. Did you mean schedule.epochs? Its keys are: options.stem,"),
    ("widhts=3", "Did you mean options.widths?"),
    ("schedule.batchsize=3", "Did you mean schedule.batch?"),
    ("xyzzy=3", "has no key 'xyzzy'. Its keys are"),  # nothing is near
    ("name=other", "optimiser.name: expected one of sgd, adam, adamw"),  # the recipe keeps its own
    ("network=residual", "has no key 'network'"),
    ("head_epochs=3", "has no key 'head_epochs'"),  # no transfer learning
    ("epochs=many", "schedule.epochs: expected int, got 'many'"),
    ("epochs=2.5", "expected int, got 2.5"),
    ("epochs=true", "expected int, got True"),
    ("epochs=[3]", r"expected int, got [3]"),
    ("peak_rate=fast", "schedule.peak_rate: expected float, got 'fast'"),
    ("peak_rate=", "expected float, got ''"),
    ("peak_rate=null", "expected float, got None"),
    ("shape=triangle", "expected one of cosine, constant, plateau, got 'triangle'"),
    ("shape=3", "expected one of cosine, constant, plateau, got 3"),
    ("zoom=1.1", "augmentation.zoom: expected 2 values, got 1.1"),
    ("zoom=1,2,3", "expected 2 values, got [1, 2, 3]"),
    ("zoom=near,far", "expected float, got 'near'"),
    ("widths=wide", "options.widths: expected int, got 'wide'"),
    ("widths=8,wide", "expected int, got 'wide'"),
    ("widths=8.5", "expected int, got 8.5"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_a_recipe_does_not_take_is_refused(change, message):
    with pytest.raises(UsageError) as caught:
        with_changes(RECIPE, [change])
    assert message in str(caught.value)


def test_a_key_that_ends_two_others_is_asked_back():
    twice = a_recipe(options={**RECIPE.options, "seed": 3, "batch": 4})

    with pytest.raises(UsageError, match=r"batch: there are several: options\.batch, schedule\.ba"):
        with_changes(twice, ["batch=8"])
    assert with_changes(twice, ["seed=8"]).seed == 8  # a whole key is itself


# Each case: a number that a run cannot be made with, and what is said of it.
BEYOND = [
    ("epochs=0", "tiny: schedule.epochs is 0; expected 1 to 10000"),
    ("batch=0", "schedule.batch is 0"),
    ("batch=-8", "schedule.batch is -8"),
    ("peak_rate=0", "schedule.peak_rate is 0.0"),
    ("peak_rate=-0.1", "schedule.peak_rate is -0.1"),
    ("peak_rate=NaN", "schedule.peak_rate is nan"),
    ("peak_rate=1e999", "schedule.peak_rate is inf"),
    ("seed=-1", "seed is -1"),
    ("seed=4294967296", "seed is 4294967296"),
    ("dropout=1", "options.dropout is 1.0; expected 0 to 0.95"),
    ("widths=0", r"options.widths is [0]; expected 1 to 4096"),
    ("widths=8,-8", "options.widths is [8, -8]"),
    ("widths=[]", "options.widths is []"),
    ("flip=1.5", "augmentation.flip is 1.5; expected 0 to 1"),
    ("zoom=0,1", "augmentation.zoom is (0.0, 1.0); expected 0.1 to 10"),
    ("zoom=1.2,0.8", "augmentation.zoom is 1.2 to 0.8; expected the smaller first"),
    ("erase_area=0.5,0.1", "the smaller first"),
    ("label_smoothing=1", "targets.label_smoothing is 1.0"),
    ("effective_beta=1", "targets.effective_beta is 1.0"),  # the weights would be 0 / 0
    ("temperature=0", "targets.temperature is 0.0"),
    ("teacher_weight=1.5", "targets.teacher_weight is 1.5"),
    ("average=1", "optimiser.average is 1.0"),  # the average would never move
    ("plateau_factor=1", "schedule.plateau_factor is 1.0"),
    ("mix_alpha=0", "augmentation.mix_alpha is 0.0"),
    ("calibration_per_class=0", "calibration_per_class is 0"),
    ("batch=1", "schedule.batch is 1"),
    ("batch=63", "schedule.batch is 63; expected an even number"),
]


@pytest.mark.parametrize(("change", "message"), BEYOND)
def test_a_number_that_no_run_can_be_made_with_is_refused(change, message):
    with pytest.raises(UsageError) as caught:
        with_changes(RECIPE, [change])
    assert message in str(caught.value)


def test_two_chances_of_one_batch_are_at_most_1_together():
    with pytest.raises(UsageError, match=r"mixup and cutmix are probabilities.*their sum is 1\.2"):
        with_changes(RECIPE, ["mixup=0.6", "cutmix=0.6"])


def test_a_share_of_the_target_is_at_most_1_and_the_weight_of_a_head_is_not():
    with pytest.raises(UsageError, match="with ferplus=soft, ferplus_weight is a share"):
        with_changes(RECIPE, ["ferplus=soft", "ferplus_weight=2"])
    assert with_changes(RECIPE, ["ferplus=head", "ferplus_weight=2"]).targets.ferplus_weight == 2


def test_options_of_a_wrong_kind_from_code_are_refused_too():
    with pytest.raises(UsageError, match=r"options\.stem is wide"):
        check(a_recipe(options={"stem": "wide"}))


# ------------------------------------------------------------------------------------ all of them

BOOK = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())


@BOOK
def test_a_recipe_survives_json(recipe):
    assert json.loads(json.dumps(recipe.to_dict())) == recipe.to_dict()
    assert recipe.to_dict().keys() == {item.name for item in dataclasses.fields(Recipe)}


@BOOK
def test_every_key_can_be_set_to_what_it_is(recipe):
    changes = [f"{key}={json.dumps(value)}" for key, value in keys(recipe).items()]

    assert with_changes(recipe, changes) == recipe


@BOOK
def test_every_number_of_a_recipe_is_within_its_limits(recipe):
    check(recipe)


@given(st.text(max_size=12), st.text(max_size=12))
def test_whatever_is_typed_gives_a_recipe_or_a_usage_error(key, value):
    for change in (f"{key}={value}", f"epochs={value}", f"widths={value}", f"zoom={value}"):
        with contextlib.suppress(UsageError):
            assert isinstance(with_changes(RECIPE, [change]), Recipe)
