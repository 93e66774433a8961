"""``fer-edge benchmark accuracy``: figures that can be counted by hand, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fer_edge.benchmarks import accuracy
from fer_edge.benchmarks.accuracy import AccuracyPlan, measure_accuracy, refuse_seen
from fer_edge.benchmarks.document import Conditions, Document, read_document
from fer_edge.benchmarks.robustness import DISTORTIONS
from fer_edge.benchmarks.rules import FULL, QUICK
from fer_edge.benchmarks.session import Session
from fer_edge.convert.gate import paired_loss
from fer_edge.edge.cli import cli
from fer_edge.edge.contract_file import embed_contract
from fer_edge.edge.errors import DataError, FerEdgeError, ModelError, UsageError
from fer_edge.edge.models import shipped_models
from fer_edge.edge.sidecar import write_sidecar
from fer_edge.training import predictions

from ..conftest import EMOTIONS, a_contract, a_row, rows_of_each, tiny_tflite, write_csv, write_zip

TINY = a_contract(quantisation={"type": "int8"})


def a_face_of(named: str | int, usage: str, label: int) -> list[str]:
    """A row whose label is this and which the tiny model names so."""
    pixels = np.full((48, 48), 90)
    pixels[0, named if isinstance(named, int) else EMOTIONS.index(named)] = 250
    return a_row(label, usage, pixels=" ".join(map(str, pixels.ravel())))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """PublicTest: 14 images, two a class; the tiny model takes each second one for neutral."""
    rows = [a_face_of(which, "PublicTest", label) for label in range(7) for which in (label, 6)]
    return write_csv(tmp_path / "fer.csv", [*rows_of_each(Training=1), *rows])


@pytest.fixture
def keras(tmp_path: Path) -> Path:
    """A master, whose bytes nobody reads."""
    path = tmp_path / "master.keras"
    write_zip(path, dict.fromkeys(("metadata.json", "config.json", "model.weights.h5"), b""))
    write_sidecar(path, a_contract())
    return path


@pytest.fixture
def model(tmp_path: Path, keras: Path) -> Path:
    """What was converted from it."""
    return a_model(
        tmp_path / "small.tflite", parent_sha256=write_sidecar(keras, TINY).content_sha256
    )


@pytest.fixture
def all_happy(monkeypatch) -> None:
    """Keras names every face happy, and is not loaded."""

    def opened(path, contract):
        row = [[float(label == "happy") for label in EMOTIONS]]
        return lambda images: np.repeat(np.array(row, np.float32), len(images), axis=0)

    monkeypatch.setattr(predictions, "_open_keras", opened)


@pytest.fixture(autouse=True)
def three_distortions(monkeypatch):
    """One of each kind will do, but where all are asked for."""
    monkeypatch.setattr(accuracy, "DISTORTIONS", tuple(DISTORTIONS[at] for at in (0, 5, 7)))


def a_model(path: Path, **changes) -> Path:
    contract = {"quantisation": {"type": "int8"}, **changes}
    path.write_bytes(embed_contract(tiny_tflite(), a_contract(**contract)))
    return path


def a_session(effort=FULL, **options) -> Session:
    return Session("test", effort, conditions=Conditions, **options)


def measured(plan: AccuracyPlan, effort=FULL) -> Document:
    session = a_session(effort)
    measure_accuracy(session, plan)
    return session.document()


def plan_of(data: Path, *models: Path, **changes) -> AccuracyPlan:
    fields = {"models": tuple(map(str, models)), "curves": False, "with_keras": False}
    return AccuracyPlan(data, **{**fields, **changes})


def values(document: Document, kind: str, **of) -> dict[str, float]:
    """Metric to value of one model."""
    return {
        figure.metric: figure.median
        for figure in document.figures
        if figure.of["kind"] == kind and all(figure.of.get(key) == of[key] for key in of)
    }


# --------------------------------------------------------------------------------- figures


def test_the_figures_are_those_of_the_gate(data, model, keras, all_happy):
    found = measured(plan_of(data, model, keras=keras, with_keras=True))

    ours, theirs = values(found, "int8"), values(found, "keras")
    # All neutral ones and the first of each other class: eight of 14; happy: two of 14.
    right, happy = np.zeros((2, 14), bool)
    right[[0, 2, 4, 6, 8, 10, 12, 13]] = happy[[6, 7]] = True
    loss = paired_loss(happy, right)
    assert ours["accuracy"] == pytest.approx(100 * 8 / 14)
    assert theirs["accuracy"] == pytest.approx(100 * 2 / 14)
    assert (ours["loss"], ours["loss_low"], ours["loss_high"]) == pytest.approx(
        (loss.points, loss.low, loss.high)
    )
    assert loss.points == pytest.approx(-100 * 6 / 14)
    assert ours["agreement"] == pytest.approx(100 * 1 / 14)
    assert "loss" not in theirs
    assert ours["accuracy_low"] < ours["accuracy"] < ours["accuracy_high"]
    assert values(found, "int8", **{"class": "fear"})["recall"] == pytest.approx(50)
    assert values(found, "int8", **{"class": "neutral"})["recall"] == pytest.approx(100)
    assert [each.name for each in found.models] == ["small", "small, keras"]
    assert found.missing == {}
    assert not any(figure.invalid for figure in found.figures)


def test_a_figure_says_what_it_is_of(data, model):
    found = measured(plan_of(data, model))

    (figure,) = [each for each in found.figures if each.metric == "accuracy"]
    assert figure.of == {"model": "small", "kind": "int8", "split": "PublicTest", "images": 14}
    assert (figure.section, figure.unit, figure.better) == ("accuracy", "%", "higher")
    assert any("fer.csv" in note for note in found.notes)
    assert any("does not say what it was trained on" in note for note in found.notes)


def test_the_master_beside_a_model_is_found(data, model, keras, all_happy):
    keras.rename(model.with_suffix(".keras"))
    keras.with_suffix(".contract.json").rename(model.with_suffix(".contract.json"))

    assert values(measured(plan_of(data, model, with_keras=True)), "keras")


def test_a_keras_model_is_measured_for_itself_without_curves(data, keras, all_happy):
    found = measured(plan_of(data, keras, curves=True))

    assert values(found, "keras", model="master")["accuracy"] == pytest.approx(100 * 2 / 14)
    assert found.curves == ()


def test_a_throttled_machine_does_not_spoil_what_depends_on_no_time(data, model):
    states = iter([Conditions(), Conditions(), Conditions(throttled_now=("throttled",))])
    session = Session("test", FULL, conditions=lambda: next(states, Conditions()))

    measure_accuracy(session, plan_of(data, model))

    assert session.document().invalid == ()


def test_votes_add_the_accuracy_against_the_majority(tmp_path, data, model):
    votes = tmp_path / "fer2013new.csv"
    head = (
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    )
    usages = ["Training"] * 7 + ["PublicTest"] * 14
    # All are happy, but one that has no majority.
    lines = [f"{usage},fer{at:07}.png,0,9,0,0,0,0,0,0,1,0" for at, usage in enumerate(usages)]
    lines[-1] = "PublicTest,fer0000020.png,5,5,0,0,0,0,0,0,0,0"
    votes.write_text("\n".join([head, *lines]) + "\n")

    found = measured(plan_of(data, model, votes=votes))

    (figure,) = [each for each in found.figures if each.metric == "accuracy_ferplus"]
    assert figure.median == pytest.approx(100 / 13)
    assert figure.of["images"] == 13


def test_a_sample_is_balanced_and_labelled(data, model):
    found = measured(plan_of(data, model, images=7))

    recalls = [each for each in found.figures if each.metric == "recall"]
    assert [each.of["images"] for each in recalls] == [1] * 7
    assert {each.of["images"] for each in found.figures if each.metric == "accuracy"} == {7}
    assert any("A sample of 7 images" in note for note in found.notes)
    assert measured(plan_of(data, model, images=7)).figures == found.figures


# ---------------------------------------------------------------------------------- curves


def test_a_curve_for_each_model_and_distortion(tmp_path, data, model):
    found = measured(plan_of(data, model, a_model(tmp_path / "other.tflite"), curves=True))

    assert [(curve.name, curve.of["model"]) for curve in found.curves] == [
        (name, name_of)
        for name in ("box shift", "blur", "darker")
        for name_of in ("small", "other")
    ]
    darker = found.curves[-1]
    # The brightest pixel stays the brightest.
    assert darker.ys == (pytest.approx(100 * 8 / 14, abs=0.001),) * 6
    assert darker.xs == (100, 70, 50, 30, 20, 10)
    assert darker.of["images"] == 14


def test_the_notes_say_where_five_points_are_lost(data, model):
    notes = measured(plan_of(data, model, curves=True)).notes

    (note,) = [note for note in notes if "loses 5 points" in note]
    assert note.startswith("small, int8")
    assert "box shift" in note
    assert "darker" not in note


def test_an_interruption_keeps_the_curves_that_were_finished(data, model, monkeypatch):
    real = accuracy.answers

    def interrupted(predictors, distortion, images, *, seed):
        if distortion.name == "blur":
            raise KeyboardInterrupt
        return real(predictors, distortion, images, seed=seed)

    monkeypatch.setattr(accuracy, "answers", interrupted)
    session = a_session()

    with pytest.raises(KeyboardInterrupt):
        measure_accuracy(session, plan_of(data, model, curves=True))

    found = session.document()
    assert found.state == "interrupted"
    assert [curve.name for curve in found.curves] == ["box shift"]
    assert values(found, "int8")["accuracy"] == pytest.approx(100 * 8 / 14)


def test_quick_takes_a_sample_and_leaves_out_what_there_is_no_time_for(data, model, monkeypatch):
    monkeypatch.setattr(accuracy, "QUICK_IMAGES", 7)
    monkeypatch.setattr(accuracy, "_QUICK_S", -1.0)

    found = measured(plan_of(data, model, curves=True), QUICK)

    assert found.quick
    assert {each.of["images"] for each in found.figures if each.metric == "accuracy"} == {7}
    assert found.curves == ()
    assert list(found.missing)[1:] == [
        f"accuracy over {name}" for name in ("box shift", "blur", "darker")
    ]


# --------------------------------------------------------------------------------- missing


def test_without_tensorflow_the_rest_is_measured(data, model, keras, monkeypatch):
    def missing(path, contract):
        raise ModuleNotFoundError("No module named 'keras'", name="keras")

    monkeypatch.setattr(predictions, "_open_keras", missing)

    found = measured(plan_of(data, model, keras=keras, with_keras=True))

    assert 'pip install "fer-edge[train]"' in found.missing["small, keras"]
    assert values(found, "int8")["accuracy"] == pytest.approx(100 * 8 / 14)
    assert "loss" not in values(found, "int8")


def test_a_model_without_a_master_says_what_to_name(tmp_path, data):
    alone = a_model(tmp_path / "alone.tflite", parent_sha256="a" * 64)

    assert "--keras" in measured(plan_of(data, alone, with_keras=True)).missing["alone, keras"]


def test_the_masters_of_the_shipped_models_are_those_of_the_clone():
    if not list(accuracy._RELEASED.glob("*.keras")):
        pytest.skip("no clone: the masters are not in the wheel")
    for name, path in shipped_models().items():
        contract = predictions.open_predictor(path).contract

        assert accuracy._find_master(path, contract, None) == accuracy._RELEASED / f"{name}.keras"


class Stick:
    """A classifier on an Edge TPU that names every face angry; it may be lost."""

    contract = TINY
    accelerator = "stick"

    def __init__(self, lost: int = 0):
        self.lost, self.closed = lost, False

    def outputs(self, images):
        return np.repeat(np.eye(7, dtype=np.float32)[:1], len(images), axis=0)

    def close(self):
        self.closed = True


@pytest.fixture
def stick(monkeypatch) -> Stick:
    made = Stick()

    def opened(path, *, tpu, say):
        if made.lost:
            say("it was pulled out.")
        return made

    monkeypatch.setattr(accuracy, "open_classifier", opened)
    return made


def test_an_edge_tpu_is_measured_beside_the_cpu(data, model, stick):
    found = measured(plan_of(data, model))

    assert values(found, "edgetpu")["accuracy"] == pytest.approx(100 * 2 / 14)
    assert values(found, "int8")["accuracy"] == pytest.approx(100 * 8 / 14)
    assert stick.closed


def test_what_the_cpu_answers_for_a_lost_edge_tpu_does_not_count(data, model, stick):
    stick.lost = 1

    with pytest.raises(ModelError, match="lost while small was measured: it was pulled out"):
        measured(plan_of(data, model))


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
