"""Model cards: what a contract and an evaluation say, and nothing else."""

import pytest
from click.testing import CliRunner

pytest.importorskip("sklearn", reason="needs the extra [report]")

from fer_edge.edge.cli import cli
from fer_edge.edge.errors import DataError
from fer_edge.training.card import classifier_card, detector_card
from fer_edge.training.evaluate import Report, report
from fer_edge.training.model_card import model_card, write_card
from fer_edge.training.recipe_book import find_recipe
from fer_edge.training.recipes import with_changes

from .spoken import NAMED, TRUTH, a_tflite, faces_that_say, write_spoken_csv

DATA = {
    "name": "fer2013.csv",
    "counts": {"Training": 28709, "PublicTest": 3589},
    "ferplus": "head",
    "teachers": ["ab" * 32, "cd" * 32],
    "start_sha256": "ef" * 32,
    "chosen_on": "PublicTest",
}
LOST = {"name": "lost_points", "value": -0.03, "low": -0.28, "high": 0.23, "split": "PublicTest"}
HALVES = {"name": "calibration_error", "value": 0.021, "split": "PublicTest"}
CHANGES = ["epochs=90", "seed=2", "zoom=0.7,1.2", "keep=last"]


def a_report(folder, **changes) -> Report:
    """An evaluation of a model that was made in every way there is, with this changed in it."""
    recipe = with_changes(find_recipe("teacher-pieces"), CHANGES).to_dict()
    fields = {
        "name": "teacher-pieces",
        "recipe": {**recipe, "best_epoch": 77},
        "training_data": DATA,
        "calibration": {"count": 504},
        "quantisation": {"type": "int8"},
        "metrics": (LOST, HALVES),
        "temperature": 1.25,
        "card": classifier_card(parameters=1_905_895, multiply_adds=196_339_008),
        "licence": "CC-BY-NC-4.0",
    }
    model = a_tflite(folder, **{**fields, **changes})
    return report(model, faces_that_say(NAMED, TRUTH), "PublicTest")


def test_the_card_of_a_model(tmp_path):
    found = a_report(tmp_path)

    text = model_card(found, 1_969_560)

    # Each from the contract or the evaluation.
    for said in (
        "# Model card: teacher-pieces",
        "| size | 1.97 MB int8, 1,905,895 parameters, 196.3 million multiply-adds a face |",
        "FER-2013 (28,709 Training images) and the FER+ votes",
        "recipe `teacher-pieces`; started from an earlier model's weights; taught by 2 other "
        "models; 90 epochs of sgd, cosine; seed 2; epoch 77, the last, whatever it reached",
        "ranges from 504 Training faces; costs -0.03 points of PublicTest (-0.28 to 0.23)",
        "| licence | CC-BY-NC-4.0 |",
        found.contract.content_sha256[:16],
        "**It was chosen on PublicTest**",
        "| accuracy | **70.00 %** (39.68–89.22 %) |",
        "at temperature 1.25; with one that was fitted on a half of PublicTest",
        "| with flip averaging |",
        "- For whom it is worse nobody knows",
        "**Unfit for** any decision about a person",
        "AI Act, Art. 5(1)(f)",
        "The model that it starts from has the SHA-256 `efefefefefef…`.",
        "The teachers' files have the SHA-256 `abababababab…`, `cdcdcdcdcdcd…`.",
    ):
        assert said in text
    for group in found.groupings:
        assert f"| {group.name}, {group.unit} |" in text
    for row in found.scores.classes:
        assert f"| {row.label} | " in text


def test_the_command_that_repeats_it_holds_what_was_changed(tmp_path):
    text = model_card(a_report(tmp_path), 1)

    command = text.partition("```\n")[2].partition("\nfer-edge convert")[0]
    assert " ".join(command.replace("\\\n", " ").split()) == (
        "fer-edge train --recipe teacher-pieces --data fer2013.csv --votes fer2013new.csv "
        "--start EARLIER.keras --teacher-logits TEACHER0.npz --teacher-logits TEACHER1.npz "
        "--set augmentation.zoom=0.7,1.2 --set schedule.epochs=90 --set schedule.keep=last "
        "--set seed=2 --out runs/teacher-pieces"
    )


def test_an_epoch_that_was_chosen_is_told_so(tmp_path):
    recipe = {**find_recipe("teacher-pieces").to_dict(), "best_epoch": 64}

    text = model_card(a_report(tmp_path, recipe=recipe), 1)

    assert "seed 1; epoch 64, chosen on PublicTest |" in text


def test_a_mean_of_models_is_repeated_by_averaging_them(tmp_path):
    data = {**DATA, "averaged": ["12" * 32, "34" * 32], "start_sha256": "", "teachers": []}

    text = model_card(a_report(tmp_path, training_data=data), 1)

    assert "| training | the mean of the weights of 2 models of this network; chosen on" in text
    command = text.partition("```\n")[2].partition("\nfer-edge convert")[0]
    assert " ".join(command.replace("\\\n", " ").split()) == (
        "fer-edge average MODEL0.keras MODEL1.keras --recipe teacher-pieces --data fer2013.csv "
        "--set augmentation.zoom=0.7,1.2 --set schedule.epochs=90 --set schedule.keep=last "
        "--set seed=2 --out runs/teacher-pieces"
    )
    assert "The averaged models have the SHA-256 `121212121212…`, `343434343434…`." in text
    assert "teachers" not in text


def test_a_recipe_that_nobody_knows_repeats_without_changes(tmp_path):
    text = model_card(a_report(tmp_path, recipe={"name": "my-own"}), 1)

    assert "fer-edge train --recipe my-own" in text
    assert "    --name teacher-pieces" in text, "which is not that of the recipe"
    assert "--set" not in text


def test_a_contract_that_says_little_makes_a_card_that_says_little(tmp_path):
    bare = {"recipe": {}, "training_data": {}, "calibration": {}, "quantisation": {}}
    found = a_report(tmp_path, **bare, metrics=(), card={}, licence="", temperature=1.0)

    text = model_card(found, 900)

    assert "| licence | none named |" in text
    assert "too good" not in text
    assert "Unfit" not in text
    assert "fer-edge convert" not in text
    # What was measured is there all the same.
    assert "**70.00 %**" in text


def test_what_neutral_faces_are_taken_for_is_told(tmp_path):
    text = model_card(a_report(tmp_path), 1)

    # One of the two neutral ones is named angry.
    assert "Of neutral faces it takes 50% for angry." in text
    assert "Recall differs by class: " in text


def test_a_card_is_replaced_only_if_asked(tmp_path):
    found = a_report(tmp_path)
    path = tmp_path / "card.md"

    write_card(path, found, 1)
    with pytest.raises(DataError, match=r"card\.md exists. Pass --overwrite"):
        write_card(path, found, 2)
    write_card(path, found, 1_000_000, overwrite=True)

    assert "1.00 MB" in path.read_text()


def test_the_command_writes_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = write_spoken_csv(tmp_path / "fer2013.csv", faces_that_say(NAMED, TRUTH))
    card = tmp_path / "card.md"
    arguments = ["evaluate", a_tflite(tmp_path), "--data", data, "--card", card]

    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])

    assert done.exit_code == 0, done.output
    assert card.read_text().startswith("# Model card: tiny\n")

    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])

    assert done.exit_code == DataError.exit_code
    assert "--overwrite" in done.stderr


def test_a_folder_that_is_not_there_is_told_before_the_work(tmp_path):
    path = tmp_path / "no folder" / "card.md"
    arguments = ["evaluate", "fast", "--data", tmp_path / "missing.csv", "--card", path]

    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])

    assert done.exit_code == DataError.exit_code
    assert "does not exist" in done.stderr


@pytest.mark.parametrize("make", [classifier_card, detector_card])
def test_what_a_contract_carries_is_short_and_whole(make):
    card = make(parameters=5, multiply_adds=7)

    assert (card["parameters"], card["multiply_adds"]) == (5, 7)
    assert card["use"]
    assert card["unfit_for"]
    assert "not legal advice" in card["law"].lower()
    assert all(limit.endswith(".") for limit in card["limits"])
    assert sum(map(len, map(str, card.values()))) < 1500
