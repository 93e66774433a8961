"""Training the detector on rectangles: what is refused, what a run leaves, and how it goes on."""

import dataclasses
import json
import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from click.testing import CliRunner  # noqa: E402

from fer_edge.edge.cli import cli  # noqa: E402
from fer_edge.edge.contract import DETECTOR  # noqa: E402
from fer_edge.edge.detectors.fer_face_decode import STRIDES  # noqa: E402
from fer_edge.edge.errors import DataError, ModelError, UsageError  # noqa: E402
from fer_edge.edge.sidecar import read_sidecar  # noqa: E402
from fer_edge.training.callbacks import HistoryPlot  # noqa: E402
from fer_edge.training.checkpoints import RunState  # noqa: E402
from fer_edge.training.detector import mining, train  # noqa: E402
from fer_edge.training.detector.compose import HardSpot  # noqa: E402
from fer_edge.training.detector.evaluate import evaluate  # noqa: E402
from fer_edge.training.detector.mining import read_spots, write_spots  # noqa: E402
from fer_edge.training.detector.recipe import DetectorRecipe, Mining, check  # noqa: E402
from fer_edge.training.detector.scenes import Scenes, read_scenes  # noqa: E402
from fer_edge.training.detector.train import DetectorData, train_detector  # noqa: E402
from fer_edge.training.progress import Progress  # noqa: E402
from fer_edge.training.recipes import with_changes  # noqa: E402

from ...conftest import files_in  # noqa: E402
from .conftest import a_scene, write_scenes  # noqa: E402

# Keras 3.15 reads its variables through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

CHANGES = [
    "stem=4",
    "widths=8,8,8,8",
    "blocks=1,1,1,1",
    "crop_px=64",
    "face_px=12,40",
    "epochs=3",
    "batch=8",
    "steps=6",
    "warmup_epochs=1",
    "peak_rate=0.01",
    "average=0.5",
    "mining.after=[1]",
    "mining.score=0.001",  # whatever the network says: something is always found
    "held_out=0.4",
    "validation_crops=6",
    "calibration_frames=8",
    "precision=float32",
]
RECIPE = with_changes(DetectorRecipe(), CHANGES, check)


def scenes_of(count: int = 12) -> list:
    """So many of each kind."""
    made = []
    for number in range(count):
        x, y = 8 + 5 * (number % 8), 6 + 2 * (number % 5)
        made += [
            a_scene((x, y, 20, 24), name=f"face{number}.png", seed=number),
            a_scene(name=f"none{number}.png", seed=100 + number),
            a_scene(
                (4, 4, 40, 40), size_wh=(48, 48), name=f"t{number}.png", seed=number, tight=True
            ),
        ]
    return made


def some_data(scenes: list, folder) -> DetectorData:
    return DetectorData(Scenes(folder / "scenes.jsonl", "d" * 64, tuple(scenes)))


# ------------------------------------------------------------------------------- what is refused

# What is missing, and what is said.
LACKING = [
    ("face", "no pictures with faces in their surroundings"),
    ("none", "no pictures without any face"),
    ("t", "no pictures of tight faces, to paste"),
]


@pytest.mark.parametrize(("lacking", "said"), LACKING)
def test_pictures_of_each_kind_are_needed(tmp_path, lacking, said):
    scenes = [scene for scene in scenes_of() if not scene.name.startswith(lacking)]

    with pytest.raises(DataError, match=said):
        train_detector(some_data(scenes, tmp_path), tmp_path / "run", RECIPE)
    assert not (tmp_path / "run").exists()


def test_something_must_be_held_out(tmp_path):
    high = [
        dataclasses.replace(scene, image=np.zeros((96, 64), np.uint8)) if not scene.tight else scene
        for scene in scenes_of()
    ]

    with pytest.raises(DataError, match=r"No scene of .* was held out"):
        train_detector(some_data(high, tmp_path), tmp_path / "run", RECIPE)


def test_what_is_held_out_is_not_trained_on(tmp_path):
    parts = train.part(some_data(scenes_of(), tmp_path), RECIPE)

    sources = parts.training
    names = {
        scene.name for kind in (sources.scenes, sources.negatives, sources.tight) for scene in kind
    }
    held = {scene.name for scene in parts.validation[: parts.scenes]}
    assert names
    assert held
    assert not names & held
    assert len(parts.validation) == parts.scenes + RECIPE.validation_crops


def test_what_is_found_beside_a_picture_is_no_hard_negative(monkeypatch):
    """A picture of 64x48 is searched with padding below it and to its right."""
    inside, below, right = (10, 8, 12, 12, 0.9), (20, 60, 10, 10, 0.8), (70, 10, 8, 8, 0.7)
    found = np.array([below, inside, right], np.float32)
    monkeypatch.setattr(mining, "found_by_network", lambda *_, **__: [found])
    spots = mining.mine(None, [a_scene(size_wh=(64, 48))], Mining())

    # At each of the two sizes.
    assert spots == [HardSpot(0, inside[:4], float(np.float32(0.9)))] * 2


def test_hard_negatives_are_those_of_the_last_round(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    spots = {epoch: [HardSpot(epoch, (1.0, 2.0, 3.0, 4.5), 0.5)] for epoch in (2, 5)}
    for epoch, found in spots.items():
        write_spots(tmp_path, epoch, found)

    read = {epoch: read_spots(tmp_path, (2, 5, 9), epoch) for epoch in (1, 2, 4, 5, 8)}

    assert read == {1: [], 2: spots[2], 4: spots[2], 5: spots[5], 8: spots[5]}
    with pytest.raises(UsageError, match=r"Cannot read .*hard-009\.json"):
        read_spots(tmp_path, (2, 5, 9), 9)


def test_the_plot_and_the_progress_tell_what_a_detector_is_chosen_by(tmp_path, capsys):
    entry = {"epoch": 1, "loss": 1.0, "val_loss": 1.5, "learning_rate": 0.1}
    state = RunState([], best_epoch=1)
    progress = Progress(state.history, 2, 10, "average_precision")
    state.history.append(entry | {"val_average_precision": 0.25, "val_recall": 0.5})

    HistoryPlot(tmp_path, state, "average_precision").on_epoch_end(0)
    progress.on_epoch_end(0)

    assert (tmp_path / "history.png").is_file()
    said = capsys.readouterr().err
    assert "loss 1.0000  validation 0.2500 (best 0.2500)" in said
    assert "accuracy" not in said


# ------------------------------------------------------------------------------------- whole runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("detector")


@pytest.fixture(scope="module")
def data(folder):
    return DetectorData(read_scenes(write_scenes(folder, scenes_of())), licence="none")


@pytest.fixture(scope="module")
def whole(folder, data):
    out = folder / "whole"
    train_detector(data, out, RECIPE)
    return out


def history(out) -> list[dict]:
    entries = json.loads((out / "checkpoints/state.json").read_text())["history"]
    return [{key: entry[key] for key in entry if key != "seconds"} for entry in entries]


@pytest.mark.slow
def test_what_a_run_leaves(whole, data):
    state = RunState(**json.loads((whole / "checkpoints/state.json").read_text()))
    best = state.best_epoch

    assert files_in(whole) == {
        "model.keras",
        "model.contract.json",
        "model.calibration.npz",
        "detection.json",
        "recipe.json",
        "log.csv",
        "history.png",
        "checkpoints/state.json",
        "checkpoints/epoch-003.npz",
        f"checkpoints/best-{best:03d}.npz",
        "checkpoints/hard-001.json",
    }
    contract = read_sidecar(whole / "model.keras")
    assert (contract.kind, contract.labels, contract.strides) == (DETECTOR, ("face",), STRIDES)
    assert (contract.input_size_wh, contract.input_channels) == ((320, 240), 1)
    assert 0.2 <= contract.score_threshold <= 0.8
    assert contract.training_data["counts"] == {"scenes": 36, "faces": 24}
    assert contract.recipe["best_epoch"] == best
    (metric,) = contract.metrics
    assert metric["value"] == pytest.approx(
        state.history[best - 1]["val_average_precision"], abs=1e-3
    )
    with np.load(whole / "model.calibration.npz") as kept:
        assert kept["frames"].shape == (8, 240, 320)
        assert kept["frames"].dtype == np.uint8
    assert json.loads((whole / "checkpoints/hard-001.json").read_text())
    losses = [entry["loss"] for entry in state.history]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_the_saved_model_takes_any_size_without_its_training(whole):
    network = keras.saving.load_model(whole / "model.keras", safe_mode=True)

    answers = network.predict(np.zeros((1, 48, 64, 1), np.float32), verbose=0)

    assert answers["boxes"].shape == (1, 8 * 6 + 4 * 3 + 2 * 2, 4)
    assert not network.compiled


class KilledError(Exception):
    """Stands for a kill: nothing in the code expects it."""


@pytest.mark.slow
def test_a_run_that_is_killed_ends_where_the_whole_one_does(whole, data, tmp_path, monkeypatch):
    """In the second epoch, which sees the hard negatives that the first one's end found."""

    class Kill(Progress):
        def on_train_batch_end(self, batch, logs=None):
            if (len(self._history) + 1, batch + 1) == (2, 4):
                raise KilledError

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(train, "Progress", Kill)
        with pytest.raises(KilledError):
            train_detector(data, out, RECIPE)
    train_detector(data, out, RECIPE, resume=True)

    assert history(out) == history(whole)
    assert files_in(out) == files_in(whole)
    one, other = (np.load(path / "checkpoints/epoch-003.npz") for path in (out, whole))
    with one, other:
        for name in other.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    # … and it is not begun anew with other words.
    with pytest.raises(UsageError, match="differs in recipe"):
        train_detector(data, out, with_changes(RECIPE, ["seed=5"], check), resume=True)


@pytest.mark.slow
def test_rectangles_are_learnt(folder, data):
    """Far from a face, but whatever stands between the data and the score is in it."""
    recipe = with_changes(
        RECIPE,
        ["epochs=6", "steps=16", "batch=16", "mining.after=[4]", "mining.score=0.3"],
        check,
    )
    train_detector(data, folder / "longer", recipe)

    report = evaluate(str(folder / "longer/model.keras"), folder / "scenes.jsonl")

    first = report["scores"][0]
    assert (first["min_px"], first["iou"], first["faces"]) == (16.0, 0.5, 24)
    assert first["average_precision"] > 0.6


@pytest.mark.slow
def test_the_commands(whole, folder):
    runner, lines = CliRunner(), str(folder / "scenes.jsonl")
    sets = [word for change in CHANGES for word in ("--set", change)]
    out = folder / "cli"
    words = ["train-detector", "--data", lines, "--out", str(out), *sets]

    planned = runner.invoke(cli, [*words, "--dry-run"])
    assert planned.exit_code == 0, planned.output
    assert "18 steps, in all about" in planned.output
    assert not out.exists()
    done = runner.invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "Next: fer-edge convert" in done.output
    again = runner.invoke(cli, words)
    assert again.exit_code == 2
    assert "is not empty: pass --resume" in again.output

    judged = runner.invoke(cli, ["evaluate-detector", str(out / "model.keras"), "--data", lines])
    assert judged.exit_code == 0, judged.output
    assert "36 scenes of scenes.jsonl" in judged.output
    (out / "model.contract.json").unlink()
    refused = runner.invoke(cli, ["evaluate-detector", str(out / "model.keras"), "--data", lines])
    assert refused.exit_code == ModelError.exit_code
    assert "has no contract" in refused.output
