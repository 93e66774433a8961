"""Variants of a recipe, one after another."""

import json
from pathlib import Path

import pytest

from fer_edge.edge.errors import UsageError
from fer_edge.training.recipes import keys
from fer_edge.training.sweep import is_done, variants

from ..conftest import a_recipe

RECIPE = a_recipe()

# Each case: what is swept, the folders, the changes of each.
SWEEPS = [
    ((), [""], [()]),
    (
        ("seed=1,2",),
        ["seed-1", "seed-2"],
        [("seed=1",), ("seed=2",)],
    ),
    (
        ("seed=1, 2", "ferplus=none,head"),
        [
            "seed-1_ferplus-none",
            "seed-1_ferplus-head",
            "seed-2_ferplus-none",
            "seed-2_ferplus-head",
        ],
        [
            ("seed=1", "ferplus=none"),
            ("seed=1", "ferplus=head"),
            ("seed=2", "ferplus=none"),
            ("seed=2", "ferplus=head"),
        ],
    ),
    (
        ("widths=[8],[8,16]",),
        ["widths-8", "widths-8-16"],
        [("widths=[8]",), ("widths=[8, 16]",)],
    ),
    (("peak_rate=0.1,1e-3",), ["peak-rate-0.1", "peak-rate-0.001"], None),
    (("zoom=[0.9,1.1]",), ["zoom-0.9-1.1"], None),
    (
        ("precision=float32,mixed_bfloat16",),
        ["precision-float32", "precision-mixed-bfloat16"],
        None,
    ),
]


@pytest.mark.parametrize(("sweeps", "folders", "changes"), SWEEPS)
def test_every_combination_is_a_variant_with_a_folder_of_its_own(sweeps, folders, changes):
    made = variants(RECIPE, sweeps)

    assert [variant.folder for variant in made] == folders
    if changes is not None:
        assert [variant.changes for variant in made] == changes


def test_a_variant_is_the_recipe_with_its_changes():
    one, other = variants(RECIPE, ["dropout=0.1,0.5"])

    assert (one.recipe.options["dropout"], other.recipe.options["dropout"]) == (0.1, 0.5)
    others = {key: value for key, value in keys(one.recipe).items() if key != "options.dropout"}
    assert others.items() <= keys(RECIPE).items()


# Each case: a sweep that is none, and what is said.
REFUSED = [
    ("seed", "Expected --sweep key=a,b,c, got 'seed'"),
    ("seed=", "Expected --sweep key=a,b,c, got 'seed='"),
    ("seed=,", "Expected --sweep key=a,b,c"),
    ("sede=1,2", "has no key 'sede'. Did you mean seed?"),
    ("seed=1,two", "seed: expected int, got 'two'"),
    ("epochs=1,0", "schedule.epochs is 0"),
    ("seed=1,2,1", "names the same variant twice: seed-1"),
    ("dropout=0.1,0.10", "the same variant twice"),
]


@pytest.mark.parametrize(("sweep", "message"), REFUSED)
def test_a_sweep_that_cannot_be_run_is_refused_before_any_of_it(sweep, message):
    with pytest.raises(UsageError) as caught:
        variants(RECIPE, [sweep])
    assert message in str(caught.value)


def a_finished_run(folder: Path) -> Path:
    (folder / "recipe.json").write_text(json.dumps({"recipe": RECIPE.to_dict()}))
    for name in ("result.json", "architecture.txt"):
        (folder / name).write_text("{}")
    return folder


def test_a_variant_is_done_when_this_recipe_has_left_everything(tmp_path):
    assert not is_done(tmp_path, RECIPE)
    a_finished_run(tmp_path)

    assert is_done(tmp_path, RECIPE)
    assert not is_done(tmp_path, a_recipe(seed=2)), "another recipe's run is not this one's"


@pytest.mark.parametrize("name", ["recipe.json", "result.json", "architecture.txt"])
def test_a_variant_is_not_done_while_a_file_is_missing(tmp_path, name):
    (a_finished_run(tmp_path) / name).unlink()

    assert not is_done(tmp_path, RECIPE)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_a_variant_with_a_damaged_recipe_is_not_done(tmp_path, text):
    (a_finished_run(tmp_path) / "recipe.json").write_text(text)

    assert not is_done(tmp_path, RECIPE)
