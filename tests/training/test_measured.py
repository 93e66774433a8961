"""The figures that `fer-edge recipes` shows are those of the runs in the repository."""

import json
from pathlib import Path

import pytest

from fer_edge.training.measured import read_measured
from fer_edge.training.recipe_book import RECIPES

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
MEASURED = read_measured()
#: Recipes that had another name when their run was made.
FORMERLY = dict.fromkeys(
    ("teacher-pieces", "teacher-mild", "teacher-camera", "teacher-residual"), "accurate"
) | {"accurate": "accurate-mirror", "teacher-fast": "fast"}


def test_every_recipe_has_its_costs():
    assert list(MEASURED) == list(RECIPES)
    assert all(about.parameters > 0 and about.multiply_adds > 0 for about in MEASURED.values())


def test_an_accuracy_names_the_run_that_reached_it():
    assert all((about.accuracy is None) == (about.run is None) for about in MEASURED.values())


@pytest.mark.parametrize("name", [name for name, about in MEASURED.items() if about.run])
def test_a_figure_is_that_of_its_run(name):
    about = MEASURED[name]

    result = json.loads((RESULTS / about.run / "result.json").read_text())

    assert (result["recipe"], result["chosen_on"]) == (FORMERLY.get(name, name), "PublicTest")
    assert result["accuracy"] == about.accuracy
    assert (result["parameters"], result["multiply_adds"]) == (
        about.parameters,
        about.multiply_adds,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED)
def test_the_costs_are_those_of_the_network(name):
    pytest.importorskip("keras", reason="needs the extra [train]")
    from fer_edge.training.architectures import build_network
    from fer_edge.training.costs import multiply_adds

    network = build_network(RECIPES[name])

    assert network.count_params() == MEASURED[name].parameters
    assert multiply_adds(network) == MEASURED[name].multiply_adds
