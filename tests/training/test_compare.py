"""Runs side by side: what is read of a run, in which order, and what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import DataError
from fer_edge.training.compare import compare, markdown, read_run, short, table
from fer_edge.training.metrics import wilson_interval
from fer_edge.training.published import PUBLISHED

RESULT = {
    "schema_version": 1,
    "recipe": "accurate",
    "variant": "",
    "seed": 1,
    "parameters": 1_903_111,
    "multiply_adds": 196_400_000,
    "keras_bytes": 7_700_000,
    "tflite_bytes": None,
    "epochs": 42,
    "best_epoch": 40,
    "epoch_s": 160.4,
    "backend": "tensorflow",
    "precision": "float32",
    "host": "x86_64, Linux",
    "chosen_on": "PublicTest",
    "training_accuracy": 0.812,
    "accuracy": 0.692,
    "macro_f1": 0.663,
    "count": 3589,
    "finished": "2026-11-21",
}


def a_run(folder: Path, **changes: object) -> Path:
    """The folder of a finished run, with these figures changed."""
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({**RESULT, **changes}))
    return folder


def test_a_run_is_read_with_its_interval_and_its_gap(tmp_path):
    found = read_run(a_run(tmp_path / "run"))

    assert (found.folder, found.recipe, found.accuracy) == (
        str(tmp_path / "run"),
        "accurate",
        0.692,
    )
    assert found.gap == pytest.approx(0.12)
    # 0.692 of 3,589 images, to the nearest image.
    assert found.interval == wilson_interval(2484, 3589)
    assert found.evaluated is None
    assert json.loads(json.dumps(found.to_dict()))["gap"] == pytest.approx(0.12)


def test_whole_numbers_are_numbers_too(tmp_path):
    """JSON writes 160.0 as 160 in some languages."""
    assert read_run(a_run(tmp_path / "run", epoch_s=160, accuracy=1)).epoch_s == 160


def test_a_model_that_was_converted_later_gives_the_size(tmp_path):
    folder = a_run(tmp_path / "run")
    (folder / "model.tflite").write_bytes(b"x" * 1_950_000)

    assert read_run(folder).tflite_bytes == 1_950_000
    assert "1.95 MB" in markdown(compare([folder]))
    assert "7.70 MB float" in markdown(compare([a_run(tmp_path / "other")]))


# Each case: what is changed in a good result.json, and what is said.
BAD = [
    ({"accuracy": 69.2}, r"accuracy is 69\.2, expected 0 to 1"),
    ({"macro_f1": -0.1}, "macro_f1 is -0.1, expected 0 to 1"),
    ({"count": 0}, "count is 0, expected 1 or more"),
    ({"multiply_adds": 0}, "multiply_adds is 0"),
    ({"seed": "1"}, "seed is '1', expected a whole number"),
    ({"seed": True}, "seed is True, expected a whole number"),
    ({"epoch_s": None}, "epoch_s is None, expected a number"),
    ({"accuracy": float("nan")}, "accuracy is nan, expected a number"),
    ({"recipe": None}, "recipe is None, expected a text"),
    ({"tflite_bytes": 1.5}, "tflite_bytes is 1.5, expected a whole number or null"),
    ({"schema_version": 2}, "schema version 2, expected 1"),
]


@pytest.mark.parametrize(("changes", "said"), BAD)
def test_a_result_with_a_wrong_value_is_named(tmp_path, changes, said):
    with pytest.raises(DataError, match=said):
        read_run(a_run(tmp_path / "run", **changes))


@pytest.mark.parametrize("name", sorted(set(RESULT) - {"schema_version"}))
def test_a_result_that_lacks_a_value_is_named(tmp_path, name):
    folder = a_run(tmp_path / "run")
    rest = {key: value for key, value in RESULT.items() if key != name}
    (folder / "result.json").write_text(json.dumps(rest))

    with pytest.raises(DataError, match=f"{name} is missing"):
        read_run(folder)


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[]", b"\xff", b'"x"', b"[" * 100_000])
def test_a_result_that_is_none_is_named(tmp_path, content):
    folder = a_run(tmp_path / "run")
    (folder / "result.json").write_bytes(content)

    with pytest.raises(DataError, match=r"result\.json: "):
        read_run(folder)


# -------------------------------------------------------------------------------------- comparison


def test_the_best_comes_first_and_of_equal_ones_the_cheaper(tmp_path):
    folders = [
        a_run(tmp_path / "a", recipe="dear", accuracy=0.66, multiply_adds=200),
        a_run(tmp_path / "b", recipe="best", accuracy=0.70),
        a_run(tmp_path / "c", recipe="cheap", accuracy=0.66, multiply_adds=100),
    ]

    assert compare(folders).names() == ("best", "cheap", "dear")


def test_folders_without_a_finished_run_are_skipped_with_a_reason(tmp_path):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    good = a_run(tmp_path / "good")

    found = compare([tmp_path / "unfinished", tmp_path / "notes.txt", good, tmp_path / "none"])

    assert len(found.runs) == 1
    assert [reason.removeprefix(f"{tmp_path}/") for reason in found.skipped] == [
        "unfinished: no result.json, the run is unfinished or none",
        "notes.txt: not a folder",
        "none: not a folder",
    ]


def test_nothing_to_compare_is_an_error_with_the_reasons(tmp_path):
    with pytest.raises(DataError, match=r"no finished run.*got .*x: not a folder\."):
        compare([tmp_path / "x"])
    with pytest.raises(DataError, match="no finished run"):
        compare([])


def test_a_run_that_is_given_twice_counts_once(tmp_path):
    folder = a_run(tmp_path / "run")

    assert len(compare([folder, tmp_path / "run/../run"]).runs) == 1


# Each case: recipe, variant and seed of some runs, and their names.
NAMES = [
    ([("a", "", 1), ("b", "", 1)], ["a", "b"]),
    ([("a", "", 1), ("a", "mixup=0", 1)], ["a", "a mixup=0"]),
    ([("a", "", 1), ("a", "", 2)], ["a seed 1", "a seed 2"]),
    ([("a", "", 1), ("a", "", 1)], ["a seed 1 (0)", "a seed 1 (1)"]),
]


@pytest.mark.parametrize(("kinds", "names"), NAMES)
def test_each_run_has_a_name_of_its_own(tmp_path, monkeypatch, kinds, names):
    monkeypatch.chdir(tmp_path)
    folders = [
        a_run(Path(str(index)), recipe=recipe, variant=variant, seed=seed)
        for index, (recipe, variant, seed) in enumerate(kinds)
    ]

    assert list(compare(folders).names()) == names


def test_a_recipe_is_name_enough_where_one_run_is_of_it(tmp_path):
    many = [a_run(tmp_path / value, variant=f"mixup={value}") for value in ("0", "1")]
    one = a_run(tmp_path / "one", recipe="fast", variant="precision=mixed_bfloat16")

    found = compare([*many, one])

    assert sorted(found.short_names()) == ["accurate mixup=0", "accurate mixup=1", "fast"]


def test_runs_on_different_splits_say_so(tmp_path):
    same = compare([a_run(tmp_path / "a"), a_run(tmp_path / "b", seed=2)])
    mixed = compare([tmp_path / "a", a_run(tmp_path / "c", chosen_on="Validation", count=2871)])

    assert same.measured_on == "PublicTest, 3,589 images"
    assert "split" not in table(same)[0]
    assert mixed.measured_on == "different splits or images (PublicTest, Validation)"
    assert table(mixed)[0][-1] == "split"
    assert {row[-1] for row in table(mixed)[1]} == {"PublicTest, 3,589", "Validation, 2,871"}


def test_the_table_as_markdown(tmp_path):
    found = compare([a_run(tmp_path / "run", variant="optimiser=a|b")])

    header, rule, row = markdown(found).splitlines()

    assert header.startswith("|  | run | accuracy | 95 % interval | gap | macro-F1 | parameters |")
    assert rule.count("---:") == 8
    assert row == (
        "| 1 | accurate optimiser=a\\|b | 69.20 % | 67.68–70.70 % | +12.0 | 0.663 | 1.90 M | 196 M "
        "| 7.70 MB float | 160 s |"
    )


# ------------------------------------------------------------------------------------- evaluations


@pytest.mark.parametrize("place", ["evaluation.json", "evaluation/evaluation.json"])
def test_an_evaluation_beside_a_run_is_read(tmp_path, place):
    folder = a_run(tmp_path / "run")
    document = {
        "model": "model.tflite",
        "split": "PublicTest",
        "accuracy": 0.69,
        "calibration": {"error": 0.03},
        "flip_averaged": {"accuracy": 0.7},
        "without_training_duplicates": None,
    }
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text(json.dumps(document))

    found = read_run(folder).evaluated

    assert found is not None
    assert (found.model, found.accuracy, found.calibration_error) == ("model.tflite", 0.69, 0.03)
    assert (found.flip_averaged, found.without_duplicates) == (0.7, None)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"calibration": 7}', '{"flip_averaged": 1}'])
def test_an_evaluation_that_cannot_be_read_hides_no_run(tmp_path, content):
    folder = a_run(tmp_path / "run")
    (folder / "evaluation.json").write_text(content)

    assert read_run(folder).evaluated is None


# --------------------------------------------------------------------------------------- published


def test_published_figures_have_a_source_and_a_split():
    assert len({item.name for item in PUBLISHED}) == len(PUBLISHED)
    for item in PUBLISHED:
        assert item.source
        assert item.split
        assert 0.5 < (item.lowest or item.accuracy) <= item.accuracy < 0.8
        # A cost is there with how it was counted.
        assert (item.parameters is None) == (item.multiply_adds is None)
        assert item.parameters is None or "ost" in item.note


def test_none_is_on_the_split_that_runs_are_chosen_on():
    assert not any(item.comparable("PublicTest") for item in PUBLISHED)
    # The same split is not enough where several views are averaged.
    assert [item.name for item in PUBLISHED if item.comparable("PrivateTest")] == ["fer 25.10.3"]


def test_the_costs_of_published_networks_are_those_of_their_layers():
    """Counted anew, layer by layer, for the two that are small enough to write down."""
    by_name = {item.name: item for item in PUBLISHED}

    deepface = [
        (44, 25, 1, 64),
        (18, 9, 64, 64),
        (16, 9, 64, 64),
        (5, 9, 64, 128),
        (3, 9, 128, 128),
    ]
    dense = [(128, 1024), (1024, 1024), (1024, 7)]
    multiplied = sum(side**2 * kernel * i * o for side, kernel, i, o in deepface)
    weights = sum(kernel * i * o + o for _, kernel, i, o in deepface)
    assert by_name["deepface"].multiply_adds == multiplied + sum(i * o for i, o in dense)
    assert by_name["deepface"].parameters == weights + sum(i * o + o for i, o in dense)

    # mini_XCEPTION: two 3x3 convolutions, four modules of two separable ones beside a 1x1.
    multiplied, weights = 62**2 * 9 * 8 + 60**2 * 9 * 64, 9 * 8 + 9 * 64 + 2 * 4 * 8
    side, wide = 60, 8
    for width in (16, 32, 64, 128):
        half = -(-side // 2)
        multiplied += half**2 * wide * width + side**2 * (9 * wide + wide * width)
        multiplied += side**2 * (9 * width + width**2)
        weights += wide * width + 9 * wide + wide * width + 9 * width + width**2 + 3 * 4 * width
        side, wide = half, width
    assert by_name["fer 25.10.3"].multiply_adds == multiplied + side**2 * 9 * 128 * 7
    assert by_name["fer 25.10.3"].parameters == weights + 9 * 128 * 7 + 7


# Each case: a count and its text.
SHORT = [
    (7, "7"),
    (999, "999"),
    (1000, "1.00 k"),
    (58_423, "58.4 k"),
    (999_600, "1.00 M"),
    (1_903_111, "1.90 M"),
    (196_400_000, "196 M"),
    (21_903_232_512, "21.9 G"),
]


@pytest.mark.parametrize(("number", "text"), SHORT)
def test_counts_in_three_digits(number, text):
    assert short(number) == text


@given(st.integers(1, 10**12))
def test_a_short_count_is_within_half_a_percent(number):
    value, _, unit = short(number).partition(" ")

    factor = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[unit]
    assert float(value) * factor == pytest.approx(number, rel=0.0051)
