"""``fer-edge average``: the mean of several models' weights, as a run folder."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.cli import cli  # noqa: E402
from fer_edge.edge.errors import DataError, ModelError, UsageError  # noqa: E402
from fer_edge.edge.framing import to_float  # noqa: E402
from fer_edge.edge.sidecar import file_sha256, read_sidecar, write_sidecar  # noqa: E402
from fer_edge.training import recipe_book  # noqa: E402
from fer_edge.training.architectures import build_network  # noqa: E402
from fer_edge.training.average import average  # noqa: E402
from fer_edge.training.compare import compare, table  # noqa: E402
from fer_edge.training.norms import drawn, measure_norms, norm_statistics  # noqa: E402
from fer_edge.training.recipes import with_changes  # noqa: E402

from ..conftest import (  # noqa: E402
    a_contract,
    a_dataset,
    a_recipe,
    files_in,
    rows_of_each,
    write_csv,
)

# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

PLAIN = a_recipe()


@pytest.fixture(scope="module")
def data():
    return a_dataset(Training=4, PublicTest=3)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    """Three of the recipe, each with weights of its own."""
    folder = tmp_path_factory.mktemp("models")
    return [a_model(folder / f"{seed}.keras", seed) for seed in (1, 2, 3)]


def a_model(path: Path, seed: int, **changes) -> Path:
    keras.utils.set_random_seed(seed)
    network = build_network(a_recipe(**changes))
    for value in norm_statistics(network):
        value.assign(np.full(value.shape, seed, np.float32))
    network.save(path)
    write_sidecar(path, a_contract())
    return path


def weights(path: Path) -> dict[str, np.ndarray]:
    model = keras.saving.load_model(path, compile=False)
    return {each.path: np.asarray(each).copy() for each in model.weights}


def test_every_weight_is_the_mean(tmp_path, data, models):
    average(data, tmp_path / "run", PLAIN, models)

    found, each = weights(tmp_path / "run/model.keras"), [weights(path) for path in models]
    assert len(found) > 4
    for name in (name for name in found if "moving" not in name):
        expected = np.mean([one[name] for one in each], axis=0)
        np.testing.assert_allclose(found[name], expected, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("asked", "count"), [(20, 20), (0, 28)])
def test_the_norms_are_measured_over_the_training_images(tmp_path, data, models, asked, count):
    recipe = with_changes(PLAIN, [f"norm_images={asked}", "seed=4"])

    average(data, tmp_path / "run", recipe, models)

    saved = keras.saving.load_model(tmp_path / "run/model.keras", compile=False)
    found = [np.asarray(value).copy() for value in norm_statistics(saved)]
    measure_norms(saved, drawn(data.split("Training").images, count, 4))
    for one, value in zip(found, norm_statistics(saved), strict=True):
        np.testing.assert_allclose(one, np.asarray(value), rtol=1e-4, atol=1e-5)
    assert not np.allclose(found[0], 2.0), "the mean of the models' own"


def test_what_is_saved_says_what_it_is(tmp_path, data, models):
    out = tmp_path / "run"

    contract = average(data, out, PLAIN, models, "CC0-1.0")

    assert contract == read_sidecar(out / "model.keras")
    assert contract.training_data["averaged"] == [file_sha256(path) for path in models]
    assert contract.licence == "CC0-1.0"
    public = data.split("PublicTest")
    model = keras.saving.load_model(out / "model.keras", compile=False)
    named = model.predict(to_float(public.images), verbose=0).argmax(axis=1)
    (metric,) = contract.metrics
    assert metric["value"] == pytest.approx((named == public.labels).mean(), abs=1e-5)
    assert (metric["split"], metric["count"]) == ("PublicTest", 21)
    assert files_in(out) == {
        "model.keras",
        "model.contract.json",
        "model.calibration.npz",
        "recipe.json",
        "result.json",
    }
    about = json.loads((out / "recipe.json").read_text())
    assert about["averaged"] == contract.training_data["averaged"]


def test_it_is_compared_with_runs(tmp_path, data, models):
    average(data, tmp_path / "run", PLAIN, models)

    found = compare([tmp_path / "run"])

    assert found.runs[0].variant == "mean of 3 models"
    columns, (row,) = table(found)
    assert dict(zip(columns, row, strict=True))["epoch"] == "–"


# ---------------------------------------------------------------------------------------- refused


def test_one_model_is_no_mean(tmp_path, data, models):
    with pytest.raises(UsageError, match=r"two models or more to average, got 1\."):
        average(data, tmp_path / "run", PLAIN, models[:1])


def test_the_same_model_twice_is_refused(tmp_path, data, models):
    copy = tmp_path / "copy.keras"
    copy.write_bytes(models[0].read_bytes())

    with pytest.raises(UsageError, match=r"copy\.keras is the same model as .*1\.keras"):
        average(data, tmp_path / "run", PLAIN, [*models, copy])

    assert not (tmp_path / "run").exists()


def test_another_network_is_refused_before_the_folder_is_made(tmp_path, data, models):
    other = a_model(tmp_path / "wide.keras", 1, options={"stem": 5, "widths": [4], "dropout": 0.3})

    with pytest.raises(ModelError, match=r"wide\.keras is of another network than the recipe's"):
        average(data, tmp_path / "run", PLAIN, [*models, other])

    assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_there_is_named(tmp_path, data, models):
    with pytest.raises(ModelError, match=r"gone\.keras"):
        average(data, tmp_path / "run", PLAIN, [*models, tmp_path / "gone.keras"])


def test_a_run_folder_is_not_written_over(tmp_path, data, models):
    (tmp_path / "model.keras").write_text("mine")

    with pytest.raises(UsageError, match=r"is not empty: pass another --out"):
        average(data, tmp_path, PLAIN, models)

    assert (tmp_path / "model.keras").read_text() == "mine"


def test_a_folder_that_cannot_be_made_says_why(tmp_path, data, models):
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match=r"Cannot make the run folder .*file: File exists"):
        average(data, tmp_path / "file", PLAIN, models)


def test_data_without_training_is_refused(tmp_path, models):
    with pytest.raises(DataError, match="Training"):
        average(a_dataset(PublicTest=3), tmp_path / "run", PLAIN, models)


# ------------------------------------------------------------------------------------ the command


@pytest.fixture
def csv(tmp_path) -> Path:
    return write_csv(tmp_path / "fer.csv", rows_of_each(Training=3, PublicTest=2))


def run(*words: object):
    return CliRunner().invoke(cli, ["average", *map(str, words)])


def test_the_command(tmp_path, csv, models, monkeypatch):
    monkeypatch.setitem(recipe_book.RECIPES, "tiny", PLAIN)
    out = tmp_path / "run"

    done = run(*models, "--recipe", "tiny", "--data", csv, "--out", out, "--set", "norm_images=8")

    assert done.exit_code == 0, done.output
    assert "of 14 images of PublicTest" in done.stdout
    assert f"Next: fer-edge convert {out}/model.keras" in done.stdout
    assert (out / "architecture.txt").is_file()
    assert read_sidecar(out / "model.keras").recipe["norm_images"] == 8


def test_mistakes_have_a_code_and_a_sentence(tmp_path, csv, models):
    out = ["--data", csv, "--out", tmp_path / "run"]
    cases = [
        ([*out], 2, "Missing argument"),
        ([*models, "--recipe", "acurate", *out], 2, "Did you mean accurate?"),
        ([*models, *out], 4, "is of another network than the recipe's"),
        ([*models, "--data", "no.csv", "--out", tmp_path / "run"], 1, "no.csv"),
    ]
    for words, code, message in cases:
        done = run(*words)
        assert (done.exit_code, message in done.stderr) == (code, True), done.output
