"""A run that is killed, at any moment and however often, ends where the whole one does."""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.errors import UsageError  # noqa: E402
from fer_edge.training import callbacks, train  # noqa: E402
from fer_edge.training.progress import Progress  # noqa: E402
from fer_edge.training.recipes import with_changes  # noqa: E402

from ..conftest import a_dataset, a_recipe, files_in  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
# Keras 3.15 writes its variables to HDF5 through an __array__ of before NumPy 2.
pytestmark = [
    pytest.mark.usefixtures("module_undrawn"),
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

#: Everything that has a state of its own: momentum or Adam's moments, averaged weights, a rate that
#: is lowered, a second head, dropout, mixing, batch norm, sharp steps; pieces before whole images.
EVERYTHING = with_changes(
    a_recipe(),
    [
        "epochs=4",
        "optimiser.name=adam",
        "average=0.5",
        "norm_images=20",
        "sam_radius=0.05",
        "peak_rate=0.3",
        "clip_norm=1",
        "weight_decay=0.1",
        "shape=plateau",
        "plateau_patience=0",
        "stop_patience=5",
        "ferplus=head",
        "class_weights=effective",
        "mixup=0.4",
        "cutmix=0.4",
        "crop_px=24",
        "crop_share=0.5",
    ],
)


def some_data():
    """42 images to train on (three batches) with votes, 21 to choose on."""
    data = a_dataset(Training=6, PublicTest=3)
    votes = np.random.default_rng(0).integers(0, 5, (len(data), 10))
    return dataclasses.replace(data, votes=votes)


@pytest.fixture(scope="module")
def data():
    return some_data()


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The folder of the uninterrupted run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train.train(data, out, EVERYTHING)
    return out


def history(out: Path) -> list[dict]:
    """Without the time, which is no part of the result."""
    entries = json.loads((out / "checkpoints/state.json").read_text())["history"]
    return [{key: entry[key] for key in entry if key != "seconds"} for entry in entries]


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def assert_same_run(out: Path, whole: Path) -> None:
    assert history(out) == history(whole)
    assert files_in(out) == files_in(whole), "nothing is left of the kill"
    for path in (whole / "checkpoints").glob("*.npz"):
        one, other = arrays(out / "checkpoints" / path.name), arrays(path)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    models = [keras.saving.load_model(folder / "model.keras") for folder in (out, whole)]
    for one, other in zip(*[model.get_weights() for model in models], strict=True):
        np.testing.assert_array_equal(one, other)


class KilledError(Exception):
    """Stands for a kill: nothing in the code expects it."""


def killed_in(epoch: int, batch: int):
    """A callback in the place of the progress display, which ends the run there."""

    class Kill(Progress):
        def on_train_batch_end(self, batch_, logs=None):
            if (len(self._history) + 1, batch_ + 1) == (epoch, batch):
                raise KilledError

    return Kill


def test_the_run_uses_all_that_it_is_to_prove(whole):
    """Else the test below would prove less than it says."""
    entries = history(whole)
    rates = [entry["learning_rate"] for entry in entries]
    state = arrays(whole / "checkpoints/epoch-004.npz")

    assert len(entries) == 4
    assert min(rates) < max(rates), "the rate was never lowered"
    # Two moments and an average of each trainable weight, the rate, and the count of steps.
    learnt = [name for name in state if name.startswith("model/")]
    assert len([name for name in state if name.startswith("optimiser/")]) == 3 * 13 + 2
    assert len(learnt) == 13 + 6  # and the means and variances of three batch norms
    assert [8] in [list(state[name].shape) for name in learnt], "the votes have no head"


def test_a_run_that_is_killed_between_two_epochs_ends_where_the_whole_one_does(
    data, whole, tmp_path
):
    for epoch, batch in ((2, 1), (4, 3)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "Progress", killed_in(epoch, batch))
            with pytest.raises(KilledError):
                train.train(data, tmp_path, EVERYTHING, resume=True)
        assert len(history(tmp_path)) == epoch - 1
        assert not (tmp_path / "model.keras").exists()

    train.train(data, tmp_path, EVERYTHING, resume=True)

    assert_same_run(tmp_path, whole)


def test_a_kill_between_two_files_loses_the_epoch_and_no_more(data, whole, tmp_path, monkeypatch):
    """Behind the weights and before the state that names them."""
    real, calls = callbacks.write_state, []

    def killed(*arguments, **options):
        calls.append(options)
        if len(calls) == 3:  # by then a best epoch and a last one are there
            raise KilledError
        return real(*arguments, **options)

    monkeypatch.setattr(callbacks, "write_state", killed)
    with pytest.raises(KilledError):
        train.train(data, tmp_path, EVERYTHING)
    monkeypatch.undo()

    train.train(data, tmp_path, EVERYTHING, resume=True)

    assert_same_run(tmp_path, whole)


CHILD = """
from pathlib import Path
import sys
from tests.training.test_train_resume import EVERYTHING, some_data
from fer_edge.training.train import train
train(some_data(), Path(sys.argv[1]), EVERYTHING, resume=True)
"""


def killed_for_real(out: Path, *, after_epochs: int, then_s: float) -> None:
    """Start a run in a process of its own and SIGKILL it some time after so many epochs."""
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CHILD, str(out)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        state = out / "checkpoints/state.json"
        while not (state.exists() and len(history(out)) >= after_epochs):
            assert child.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(then_s)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(4))
def test_a_process_that_is_killed_again_and_again_loses_nothing(data, whole, tmp_path, attempt):
    moments = random.Random(attempt)
    for epochs in (1, 2, 3):
        killed_for_real(tmp_path, after_epochs=epochs, then_s=moments.uniform(0, 0.8))

    train.train(data, tmp_path, EVERYTHING, resume=True)

    assert_same_run(tmp_path, whole)


# ------------------------------------------------------------------------------------- the end


def test_a_finished_run_can_be_resumed_to_write_its_model_again(data, whole, tmp_path):
    for name in files_in(whole):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    (tmp_path / "model.keras").unlink()

    train.train(data, tmp_path, EVERYTHING, resume=True)

    assert_same_run(tmp_path, whole)


def test_a_run_of_a_version_that_knew_fewer_keys_is_gone_on_with(data, whole, tmp_path):
    """What came later stood at its default, and where it does not now the run is another."""
    shutil.copytree(whole, tmp_path / "run")
    about = json.loads((tmp_path / "run/recipe.json").read_text())
    del about["start"]
    assert about["recipe"]["augmentation"].pop("camera") == 0
    (tmp_path / "run/recipe.json").write_text(json.dumps(about))

    train.train(data, tmp_path / "run", EVERYTHING, resume=True)
    camera = with_changes(EVERYTHING, ["camera=0.5"])
    with pytest.raises(UsageError, match=r"differs in recipe\.augmentation\.camera from what was"):
        train.train(data, tmp_path / "run", camera, resume=True)

    assert_same_run(tmp_path / "run", whole)


def test_a_run_is_not_resumed_with_another_recipe_or_other_data(data, whole):
    before = {name: (whole / name).read_bytes() for name in files_in(whole)}
    longer = with_changes(EVERYTHING, ["epochs=7"])
    other = dataclasses.replace(data, digest="e" * 64)

    with pytest.raises(UsageError, match=r"in recipe\.schedule\.epochs from .*start a new --out"):
        train.train(data, whole, longer, resume=True)
    with pytest.raises(UsageError, match=r"differs in data_sha256, left_out_sha256 from"):
        train.train(other, whole, EVERYTHING, train.Run(left_out="f" * 64), resume=True)
    assert {name: (whole / name).read_bytes() for name in files_in(whole)} == before


def test_a_run_that_stopped_early_is_not_gone_on_with(data, tmp_path, monkeypatch, capsys):
    falling = iter([0.5, 0.4, 0.3, 0.2, 0.1])
    monkeypatch.setattr(
        callbacks, "_scores", lambda *_: {"val_loss": 1.0, "val_accuracy": next(falling)}
    )
    recipe = with_changes(a_recipe(), ["epochs=5", "shape=constant", "stop_patience=2"])

    train.train(data, tmp_path, recipe)
    assert "stopped early after epoch 3" in capsys.readouterr().err
    before = (tmp_path / "checkpoints/state.json").read_bytes()
    train.train(data, tmp_path, recipe, resume=True)

    assert len(history(tmp_path)) == 3
    assert json.loads(before)["stopped"] is True
    assert (tmp_path / "checkpoints/state.json").read_bytes() == before
    assert json.loads((tmp_path / "result.json").read_text())["best_epoch"] == 1


def test_patience_with_whole_images_begins_with_them(data, tmp_path, monkeypatch, capsys):
    falling = iter([0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    monkeypatch.setattr(
        callbacks, "_scores", lambda *_: {"val_loss": 1.0, "val_accuracy": next(falling)}
    )
    changes = ["epochs=6", "shape=constant", "stop_patience=1", "crop_share=0.5", "crop_px=24"]

    train.train(data, tmp_path, with_changes(a_recipe(), changes))

    # Three with pieces, whatever they bring; the fourth is the first whole one, the fifth is worse.
    assert "stopped early after epoch 5" in capsys.readouterr().err
