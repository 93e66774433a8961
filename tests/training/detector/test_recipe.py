"""The detector's recipe: what can be set, and what is refused."""

import json

import pytest

from fer_edge.edge.errors import UsageError
from fer_edge.training.detector.recipe import DetectorRecipe, check
from fer_edge.training.recipes import keys, with_changes

RECIPE = DetectorRecipe()

# Each case: what is set, the key, the value.
GOOD = [
    ("epochs=3", "schedule.epochs", 3),
    ("mining.after=[]", "mining.after", ()),
    ("after=4,9", "mining.after", (4, 9)),
    ("face_px=12,40", "composition.face_px", (12.0, 40.0)),
    ("widths=8,8,16,16", "options.widths", [8, 8, 16, 16]),
    ("precision=float32", "precision", "float32"),
    ("scenes=0.4", "composition.scenes", 0.4),
]


@pytest.mark.parametrize(("change", "key", "value"), GOOD)
def test_every_number_can_be_set(change, key, value):
    assert keys(with_changes(RECIPE, [change], check))[key] == value


# What is set, and what is said.
BAD = [
    ("crop_px=100", "a multiple of 32"),
    ("crop_px=32", "expected 64 to 640"),
    ("negatives=0.9", "their sum is 1.35"),
    ("face_px=40,12", "the smaller first"),
    ("shape=plateau", "expected schedule.shape cosine or constant"),
    ("stop_patience=3", "no stop_patience"),
    ("mining.after=0", "expected 1 to 10000"),
    ("widths=[]", "options.widths is"),
    ("calibration_frames=3", "expected 4"),
    ("epoch=3", "Did you mean schedule.epochs"),
]


@pytest.mark.parametrize(("change", "said"), BAD)
def test_what_no_run_can_be_made_with_is_refused(change, said):
    with pytest.raises(UsageError, match=said):
        with_changes(RECIPE, [change], check)


def test_the_recipe_is_plain_json_and_its_defaults_are_good():
    check(RECIPE)
    assert json.loads(json.dumps(RECIPE.to_dict())) == RECIPE.to_dict()
