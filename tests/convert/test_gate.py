"""The gate: what a conversion cost on labelled images, and what is kept."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.convert.calibration import load_calibration  # noqa: E402
from fer_edge.convert.gate import judge, paired_loss  # noqa: E402
from fer_edge.convert.quantize import convert  # noqa: E402
from fer_edge.convert.source import load_source  # noqa: E402
from fer_edge.edge.classifier import EmotionClassifier  # noqa: E402
from fer_edge.edge.contract_file import load_model  # noqa: E402
from fer_edge.edge.errors import DataError, UsageError  # noqa: E402
from fer_edge.edge.sidecar import write_sidecar  # noqa: E402
from fer_edge.training.datasets import EMOTIONS, Dataset  # noqa: E402

from ..conftest import a_contract, write_csv  # noqa: E402
from .conftest import call, patterned_faces  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture(scope="module")
def source(trained):
    return load_source(trained)


@pytest.fixture(scope="module")
def models(source, trained):
    calibration = load_calibration(trained.with_suffix(".calibration.npz"))
    return [convert(source, kind, calibration) for kind in ("int8", "float32")]


def labelled(per_class: int = 12) -> Dataset:
    images, labels = patterned_faces(per_class, seed=11)
    count = len(labels)
    return Dataset(
        name="patterns",
        digest="e" * 64,
        images=images,
        labels=labels,
        splits=np.full(count, "PublicTest"),
        origins=np.arange(count).astype(str),
        votes=None,
        skipped=0,
    )


# ---------------------------------------------------------------------------- the paired interval


def test_the_loss_counts_only_what_changed():
    before = np.array([True] * 60 + [False] * 40)
    after = before.copy()
    after[:5] = False  # five lost
    after[60:63] = True  # three gained

    found = paired_loss(before, after)

    assert found.points == pytest.approx(2.0)
    # By hand: b = 5.5, c = 3.5, n = 102.
    middle, spread = 2 / 102, 1.959964 * math.sqrt(9 - 4 / 102) / 102
    assert found.low == pytest.approx(100 * (middle - spread))
    assert found.high == pytest.approx(100 * (middle + spread))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_the_interval_holds_its_middle_and_turns_with_the_order(answers):
    before, after = (np.array(column) for column in zip(*answers, strict=True))

    found, turned = paired_loss(before, after), paired_loss(after, before)

    assert found.points == pytest.approx(100 * (before.mean() - after.mean()))
    assert -100 <= found.low < found.high <= 100
    assert (turned.points, turned.low) == pytest.approx((-found.points, -found.high))


def test_two_models_that_never_differ_still_have_an_interval():
    """Nothing seen in 3,589 images does not mean that nothing can be lost."""
    same = np.ones(3589, bool)

    found = paired_loss(same, same)

    assert found.points == 0
    assert 0 < found.high < 0.1


# ------------------------------------------------------------------------------------- the verdict


def test_each_model_is_measured_on_every_image(source, models):
    data = labelled()

    verdict = judge(source, models, data, "PublicTest", max_loss=5)

    assert (verdict.split, verdict.count, verdict.data_sha256) == ("PublicTest", 84, "e" * 64)
    assert [judged.kind for judged in verdict.models] == ["int8", "float32"]
    for judged, model in zip(verdict.models, models, strict=True):
        assert judged.size_bytes == len(model.content)
        assert judged.scores.count == 84
        difference = verdict.keras.accuracy - judged.scores.accuracy
        assert judged.loss.points == pytest.approx(100 * difference)
        assert judged.agreement == pytest.approx(1 - np.sum(judged.changed) / 84)
        assert 0 < judged.latency.median_ms <= judged.latency.p90_ms
    assert verdict.models[1].agreement == 1.0, "float32 is the same net"
    assert verdict.models[1].passed


def test_the_answers_that_changed_are_counted_by_both_names(source, models):
    """A gain and a loss may cancel out in the accuracy; the table still shows both."""
    verdict = judge(source, models[:1], labelled(60), "PublicTest", max_loss=5)

    changed = np.array(verdict.models[0].changed)

    assert changed.shape == (7, 7)
    assert changed.trace() == 0
    assert changed.sum() == round((1 - verdict.models[0].agreement) * verdict.count)


def test_a_limit_below_the_loss_refuses(source, models):
    data = labelled(30)
    loss = judge(source, models[:1], data, "PublicTest", max_loss=5).models[0].loss.points

    for limit, passed in ((loss + 0.01, True), (loss, True), (loss - 0.01, False)):
        verdict = judge(source, models[:1], data, "PublicTest", max_loss=limit)
        assert verdict.models[0].passed is passed


def test_a_model_of_other_classes_cannot_be_measured_on_fer2013(source, models, tmp_path):
    path = tmp_path / "model.keras"
    source.model.save(path)
    write_sidecar(path, a_contract(labels=tuple("abcdefg")))

    with pytest.raises(UsageError, match="leave --data out"):
        judge(load_source(path), models, labelled(), "PublicTest", max_loss=1)


def test_labels_in_another_order_are_matched_by_their_names(source, models, trained):
    """The same answers under turned names are other emotions, and are scored as those."""
    import dataclasses

    turned = dataclasses.replace(
        source, contract=dataclasses.replace(source.contract, labels=EMOTIONS[::-1])
    )
    data = labelled()

    straight = judge(source, models[1:], data, "PublicTest", max_loss=1)
    reverse = judge(turned, models[1:], data, "PublicTest", max_loss=1)

    assert straight.keras.accuracy > 0.9
    assert reverse.keras.accuracy < 0.4


def test_what_a_neutral_face_gets_is_measured_where_there_are_enough(source, models):
    few, many = labelled(20), labelled(70)

    (without,) = judge(source, models[1:], few, "PublicTest", max_loss=1).models
    (judged,) = judge(source, models[1:], many, "PublicTest", max_loss=1).models

    assert without.neutral_gaps == {}
    model = models[1]
    neutral = EMOTIONS.index("neutral")
    logits = EmotionClassifier(model.content, model.contract).outputs(
        many.images[many.labels == neutral]
    )
    assert model.contract.labels == EMOTIONS
    right = logits[logits.argmax(axis=1) == neutral] / judged.fitted.temperature
    gaps = (right[:, [neutral]] - right).mean(axis=0)
    assert list(judged.neutral_gaps) == list(EMOTIONS)
    assert list(judged.neutral_gaps.values()) == pytest.approx(gaps, abs=0.001)
    told = model.with_metrics(neutral_gaps=judged.neutral_gaps)
    assert told.contract.neutral_gaps == judged.neutral_gaps


def test_a_split_that_is_not_there_is_named(source, models):
    with pytest.raises(DataError, match="no split 'Test'; it has PublicTest"):
        judge(source, models, labelled(), "Test", max_loss=1)


# ------------------------------------------------------------------------------------- the command


@pytest.fixture
def data(tmp_path):
    faces = labelled()
    rows = [
        [str(label), " ".join(map(str, image.ravel())), "PublicTest"]
        for image, label in zip(faces.images, faces.labels, strict=True)
    ]
    return write_csv(tmp_path / "patterns.csv", rows)


def test_the_measured_accuracy_is_in_the_contract_of_the_file(copied, data):
    result = call(copied, "--data", data, "--max-loss", 5)

    assert result.exit_code == 0, result.output
    assert "on 84 images of PublicTest: Keras" in result.stdout
    _, contract = load_model(copied.with_suffix(".tflite"))
    parent, ours, lost, error = contract.metrics
    assert parent["name"] == ours["name"] == "accuracy"
    assert (ours["of"], ours["split"], ours["count"]) == ("int8", "PublicTest", 84)
    assert f"int8: {ours['value']:.2%}" in result.stdout
    assert lost["name"] == "lost_points"
    assert lost["low"] <= lost["value"] <= lost["high"]
    said = f"lost {lost['value']:.2f} points ({lost['low']:.2f} to {lost['high']:.2f})"
    assert said in result.stdout
    assert error["name"] == "calibration_error"
    assert contract.temperature != 1
    assert f"at temperature {contract.temperature:g}: calibration error" in result.stdout
    assert "How sure it is" in copied.with_suffix(".conversion.md").read_text()


def test_what_loses_too_much_is_not_kept_and_the_report_says_why(copied, data, monkeypatch):
    from fer_edge.convert import gate

    def lossy(before, after):
        return gate.Loss(2.5, 1.0, 4.0)

    monkeypatch.setattr(gate, "paired_loss", lossy)

    result = call(copied, "--data", data)

    assert result.exit_code == 5
    assert "int8 lost more than 0.5 points on PublicTest and was not kept" in result.stderr
    assert not copied.with_suffix(".tflite").exists()
    report = (copied.parent / "model.conversion.md").read_text()
    assert "| int8 | not kept |" in report
    assert " CONV_2D, " in report
    assert "| 2.50 | 1.00 to 4.00 |" in report


def test_several_kinds_are_written_under_names_of_their_own(copied, compiler):
    """Each once, however often it is named."""
    compiler("all")

    result = call(copied, "--to", "float32", "--to", "int8", "--to", "float32", "--edgetpu")

    assert result.exit_code == 0, result.output
    made = {path.name for path in copied.parent.glob("*.tflite")}
    assert made == {"model_int8.tflite", "model_int8_edgetpu.tflite", "model_float32.tflite"}
    assert load_model(copied.parent / "model_float32.tflite")[1].quantisation == {"type": "float32"}


# Each case: what is asked, the file that it goes to.
TARGETS = [
    (["--to", "float16"], "model_float16.tflite"),
    (["--to", "float16", "-o", "OUT/small.tflite"], "small.tflite"),
    (["-o", "OUT/a.tflite"], "a.tflite"),
]


@pytest.mark.parametrize(("asked", "name"), TARGETS)
def test_one_kind_goes_to_the_name_that_was_asked_for(copied, asked, name):
    result = call(copied, *(part.replace("OUT", str(copied.parent)) for part in asked))

    assert result.exit_code == 0, result.output
    assert [path.name for path in copied.parent.glob("*.tflite")] == [name]


def test_a_report_that_exists_is_not_overwritten(copied):
    report = copied.parent / "model.conversion.md"
    report.write_text("precious")

    refused = call(copied)

    assert (refused.exit_code, report.read_text()) == (4, "precious")
    assert not copied.with_suffix(".tflite").exists()
    assert call(copied, "--overwrite").exit_code == 0
    assert report.read_text().startswith("# Conversion of model.keras")


def test_debug_ranks_the_layers(copied):
    result = call(copied, "--debug")

    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if "of its spread" in line]
    shares = [float(line.partition("%")[0]) for line in lines]
    assert len(lines) >= 4
    assert shares == sorted(shares, reverse=True)
    assert any("stem" in line for line in lines)
    page = (copied.parent / "model.conversion.html").read_text()
    assert "Layers by quantisation error" in page


@pytest.mark.parametrize("text", ["1", "a,b", "0,1,2", ""])
def test_a_range_that_is_none_is_refused(copied, text):
    result = call(copied, "--input-range", text)

    assert result.exit_code == 2
    assert "--input-range" in result.stderr
