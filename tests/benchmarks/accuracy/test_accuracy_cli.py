"""``fer-edge benchmark accuracy``: what is refused, the command, and the shipped models."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fer_edge.benchmarks.accuracy import AccuracyPlan, refuse_seen
from fer_edge.benchmarks.document import read_document
from fer_edge.edge.cli import cli
from fer_edge.edge.errors import DataError, FerEdgeError, ModelError, UsageError
from fer_edge.edge.models import shipped_models
from fer_edge.training import predictions

from ...conftest import EMOTIONS, a_contract
from .runs import (
    a_model,
    measured,
    plan_of,
    values,
)

# --------------------------------------------------------------------------------- refused

TRAINED = {"name": "fer.csv", "counts": {"Training": 9, "PublicTest": 9}}

# Each case: what the contract says, the split, what is wrong.
SEEN = [
    ({"training_data": TRAINED}, "Training", "was trained on Training"),
    ({"training_data": {"split": "Test"}}, "Test", "was trained on Test"),
    ({"calibration": {"source": "fer.csv", "count": 9}}, "Training", "was calibrated on Training"),
    ({"calibration": {"split": "PublicTest"}}, "PublicTest", "was calibrated on PublicTest"),
    # PublicTest was in the file, and nothing was learned from it.
    ({"training_data": TRAINED, "calibration": {"count": 9}}, "PublicTest", None),
    # It says nothing, which a note tells.
    ({}, "Training", None),
]


@pytest.mark.parametrize(("fields", "split", "message"), SEEN)
def test_a_model_is_not_tested_on_what_it_was_made_with(fields, split, message):
    contract = a_contract(**fields)

    if message is None:
        refuse_seen("tiny", contract, split)
        return
    with pytest.raises(UsageError, match=message):
        refuse_seen("tiny", contract, split)


def test_a_model_that_was_chosen_on_the_split_says_so(tmp_path, data):
    chosen = a_model(tmp_path / "c.tflite", training_data={**TRAINED, "chosen_on": "PublicTest"})

    assert any("chosen on PublicTest" in note for note in measured(plan_of(data, chosen)).notes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"data": Path("no.csv")}, DataError, "There is no data at no.csv"),
        ({"split": "Test"}, DataError, "has no split 'Test'; it has Training .7., PublicTest .14"),
        ({"models": ("no",)}, ModelError, "There is no model 'no'"),
        ({"with_keras": True, "keras": Path("no.keras")}, ModelError, "There is no model no.keras"),
    ],
)
def test_what_cannot_be_measured_is_refused(data, model, changes, error, message):
    fields = {"data": data, "models": (str(model),), "with_keras": False, "curves": False}

    with pytest.raises(error, match=message):
        measured(AccuracyPlan(**{**fields, **changes}))


def test_a_master_of_another_model_is_refused(tmp_path, data, keras):
    other = a_model(tmp_path / "other.tflite", parent_sha256="a" * 64)

    with pytest.raises(UsageError, match="none of other was converted from it"):
        measured(plan_of(data, other, keras=keras, with_keras=True))


def test_a_model_with_other_labels_is_refused(tmp_path, data):
    other = a_model(tmp_path / "other.tflite", labels=(*EMOTIONS[:-1], "contempt"))

    with pytest.raises(ModelError, match="FER-2013 has"):
        measured(plan_of(data, other))


def test_two_files_of_one_name_are_told_apart(tmp_path, data, model):
    (tmp_path / "b").mkdir()
    again = a_model(tmp_path / "b" / "small.tflite", temperature=2.0)

    found = measured(plan_of(data, model, again))

    assert {figure.of["model"] for figure in found.figures} == {"small", "small-2"}


# ----------------------------------------------------------------------------- the command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["benchmark", "accuracy", *map(str, arguments)])


def test_the_command_leaves_a_document(tmp_path, data, model):
    out = tmp_path / "out.json"
    words = [model, "--data", data, "--no-keras", "--images", "7", "--json", "--out", out]

    done, again = run(*words), run(*words)

    assert done.exit_code == 0, done.output
    found = read_document(out)
    assert found.state == "complete"
    assert len(found.curves) == 3
    assert json.loads(done.stdout)["figures"] == found.to_dict()["figures"]
    assert found.command == (
        "fer-edge benchmark accuracy small.tflite --data fer.csv --no-keras --images 7"
    )
    assert again.exit_code == 1
    assert "out.json exists" in again.stderr


def test_the_table_names_what_was_not_measured(data, model):
    done = run(model, "--data", data, "--no-keras", "--no-curves")

    assert done.exit_code == 0, done.output
    assert "recall" in done.stdout
    assert "not measured: small, keras: left out by --no-keras" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "--data"),
        (["--data", "fer.csv", "--images", "6"], 2, "--images"),
        (["--data", "fer.csv", "--tpu", "moon"], 2, "--tpu"),
        (["--data", "fer.csv", "--keras", "a.keras", "--no-keras"], 2, "pass one of them"),
        (["--data", "fer.csv", "--no-keras", "--split", "Training"], 2, "--split PublicTest"),
        (["--data", "no.csv", "--no-keras"], 1, "There is no data at no.csv"),
        (["no.tflite", "--data", "fer.csv"], 4, "There is no model 'no.tflite'"),
    ],
)
def test_mistakes_have_a_code_and_a_sentence(tmp_path, data, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)

    done = run(*words)

    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert done.exception is None or not isinstance(done.exception, FerEdgeError)


@pytest.mark.slow
def test_the_shipped_models_reach_what_their_contracts_say(real_data):
    found = measured(AccuracyPlan(real_data / "fer2013.csv.gz", with_keras=False, curves=False))

    for name, path in shipped_models().items():
        (wanted,) = [
            metric["value"]
            for metric in predictions.open_predictor(path).contract.metrics
            if (metric["name"], metric["of"]) == ("accuracy", "int8")
        ]
        reached = values(found, "int8", model=name)["accuracy"] / 100
        assert reached == pytest.approx(wanted, abs=1e-5)
