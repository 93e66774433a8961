"""What happens around the epochs: the choice of the best, the rate, the end, the plot."""

import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.errors import FerEdgeError  # noqa: E402
from fer_edge.training import callbacks  # noqa: E402
from fer_edge.training.callbacks import (  # noqa: E402
    EarlyStopping,
    EpochEnd,
    FiniteLoss,
    HistoryPlot,
    ReduceLROnPlateau,
    SaveState,
)
from fer_edge.training.checkpoints import RunState, best_path, checkpoint_path  # noqa: E402
from fer_edge.training.history_plot import draw_history  # noqa: E402
from fer_edge.training.recipes import Schedule, with_changes  # noqa: E402

from ..conftest import a_dataset, a_recipe, files_in  # noqa: E402

# Keras 3.15 reads its variables through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

VALIDATION = a_dataset(PublicTest=4)  # 28 faces


class FakeNetwork:
    """Names so many faces right as it is told, with a margin of 10 in its logits."""

    def __init__(self):
        self.weights = [keras.Variable(np.zeros(2, np.float32))]
        self.layers: list = []
        self.right = 0

    def predict(self, faces, **_options):
        named = VALIDATION.labels.copy()
        named[self.right :] = (named[self.right :] + 1) % 7
        return 10 * np.eye(7, dtype=np.float32)[named]


class FakeModel:
    """As much of a compiled model as callbacks touch."""

    def __init__(self, rate: float = 0.1):
        self.optimizer = keras.optimizers.SGD(rate)
        self.trainable_variables: list = []
        self.stop_training = False


def an_epoch_end(out: Path, state: RunState, keep: str = "best") -> tuple[EpochEnd, FakeNetwork]:
    recipe = with_changes(a_recipe(), [f"keep={keep}"])
    (out / "checkpoints").mkdir(exist_ok=True)
    network = FakeNetwork()
    made = EpochEnd(out, state, network, network.weights, VALIDATION, VALIDATION, recipe)
    made.set_model(FakeModel())
    return made, network


def end_epochs(out: Path, state: RunState, *right: int, keep: str = "best") -> None:
    end, network = an_epoch_end(out, state, keep)
    save = SaveState(out, state)
    for number in right:
        epoch = state.epochs_done
        network.right = number
        network.weights[0].assign([epoch + 1, number])
        end.on_epoch_begin(epoch)
        end.on_epoch_end(epoch, {"loss": 1.0, "accuracy": 0.5})
        save.on_epoch_end(epoch)


# ------------------------------------------------------------------------------- the best epoch

# Each case: faces named right in each epoch, the best epoch counted from 1.
SCORES = [
    ([7], 1),
    ([7, 14], 2),
    ([14, 7, 3], 1),
    ([7, 21, 14, 21], 2),  # of equals the first, which was trained for less
    ([0, 0], 1),
]


@pytest.mark.parametrize(("right", "best"), SCORES)
def test_the_best_epoch_is_that_of_the_largest_accuracy(tmp_path, right, best):
    end_epochs(tmp_path, RunState([]), *right)

    state = json.loads((tmp_path / "checkpoints/state.json").read_text())
    assert state["best_epoch"] == best
    assert [entry["val_accuracy"] for entry in state["history"]] == [n / 28 for n in right]
    assert [entry["epoch"] for entry in state["history"]] == list(range(1, len(right) + 1))
    assert files_in(tmp_path / "checkpoints") == {
        "state.json",
        f"best-{best:03d}.npz",
        f"epoch-{len(right):03d}.npz",
    }
    with np.load(best_path(tmp_path, best)) as kept:
        assert kept["network/0000"].tolist() == [best, right[best - 1]]
    with np.load(checkpoint_path(tmp_path, len(right))) as kept:
        assert kept["model/0000"].tolist() == [len(right), right[-1]]


def test_the_last_epoch_is_kept_where_the_recipe_asks_for_it(tmp_path):
    end_epochs(tmp_path, RunState([]), 14, 21, 7, keep="last")

    assert json.loads((tmp_path / "checkpoints/state.json").read_text())["best_epoch"] == 3
    assert files_in(tmp_path / "checkpoints") == {"state.json", "best-003.npz", "epoch-003.npz"}
    with np.load(best_path(tmp_path, 3)) as kept:
        assert kept["network/0000"].tolist() == [3, 7]


def test_the_figures_of_an_epoch_are_those_of_keras(tmp_path):
    state = RunState([])
    logs = {"loss": 1.25, "logits_accuracy": 0.75}  # as with two heads
    end, network = an_epoch_end(tmp_path, state)
    network.right = 7

    end.on_epoch_begin(0)
    end.on_epoch_end(0, logs)

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    entry = state.history[0]
    expected = float(loss(VALIDATION.labels, network.predict(None)))
    assert entry["val_loss"] == pytest.approx(expected, rel=1e-5)
    assert (entry["loss"], entry["accuracy"], entry["val_accuracy"]) == (1.25, 0.75, 0.25)
    assert entry["learning_rate"] == pytest.approx(0.1)
    assert entry["seconds"] >= 0
    assert {key: logs[key] for key in ("val_loss", "val_accuracy")} == {
        key: entry[key] for key in ("val_loss", "val_accuracy")
    }, "the callbacks behind this one look at them"


def test_large_logits_overflow_nothing():
    scores = callbacks._scores(np.array([[1e6, 0, 0, 0, 0, 0, 0.0]]), np.array([1]))

    assert scores == {"val_loss": 1e6, "val_accuracy": 0.0}


# -------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_the_first_batch_without_a_finite_loss_is_named(tmp_path, loss):
    watch = FiniteLoss(tmp_path, RunState([{"epoch": 1}]))

    watch.on_train_batch_end(6, {"loss": 1e30})
    with pytest.raises(FerEdgeError, match=rf"The loss became {loss} in epoch 2, batch 8\. Lower"):
        watch.on_train_batch_end(7, {"loss": loss})


def test_weights_that_the_last_step_spoilt_are_not_kept(tmp_path):
    """The loss of the last batch is looked at before its step is made."""
    state = RunState([])
    end_epochs(tmp_path, state, 7)
    before = files_in(tmp_path)
    end, network = an_epoch_end(tmp_path, state)
    network.predict = lambda faces, **_options: np.full((28, 7), np.nan)

    end.on_epoch_begin(1)
    with pytest.raises(FerEdgeError, match=r"The validation loss became nan in epoch 2\. Lower"):
        end.on_epoch_end(1, {"loss": 1.0, "accuracy": 0.5})

    assert files_in(tmp_path) == before
    assert len(state.history) == 1


def test_a_full_disk_at_the_checkpoint_keeps_the_epoch_before(tmp_path, monkeypatch):
    state = RunState([])
    end_epochs(tmp_path, state, 7)
    before = {name: (tmp_path / name).read_bytes() for name in files_in(tmp_path)}

    def full(file, **arrays):
        file.write(b"PK")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(FerEdgeError, match=r"Cannot write .*-002\.npz: No space.*--resume"):
        end_epochs(tmp_path, state, 14)

    assert {name: (tmp_path / name).read_bytes() for name in files_in(tmp_path)} == before


# -------------------------------------------------------------- the rate and the end, after a kill

LOSSES = [2.0, 1.9, 1.95, 1.96, 1.97, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0]


def reduced(losses: list[float], patience: int, *, killed_after: int | None = None) -> list[float]:
    """The rate after each epoch; after so many epochs the run is killed and gone on with."""
    schedule = Schedule(shape="plateau", plateau_patience=patience, plateau_factor=0.5)
    history: list[dict[str, float]] = []
    rates: list[float] = []

    def begin() -> ReduceLROnPlateau:
        made = ReduceLROnPlateau(schedule, 0.1, history)
        made.set_model(FakeModel(rate=0.7))  # whatever the optimiser's rate was
        made.on_train_begin()
        return made

    callback = begin()
    for epoch, loss in enumerate(losses):
        if epoch == killed_after:
            callback = begin()
        entry = {"epoch": epoch + 1, "val_loss": loss, "learning_rate": 0.0}
        callback.on_epoch_end(epoch, dict(entry))
        history.append(entry)
        rates.append(float(keras.ops.convert_to_numpy(callback.model.optimizer.learning_rate)))
    return rates


# Each case: patience, and after which epochs the rate is halved.
PLATEAUS = [(1, [3, 4, 5, 7, 8, 9, 10, 11]), (2, [4, 8, 10]), (4, [10]), (20, [])]


@pytest.mark.parametrize(("patience", "halved"), PLATEAUS)
def test_the_rate_falls_when_the_loss_stands_still(patience, halved):
    rates = reduced(LOSSES, patience)

    expected = [0.1 * 0.5 ** sum(e <= epoch for e in halved) for epoch in range(1, 12)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("killed_after", range(1, 11))
@pytest.mark.parametrize("patience", [1, 2, 4])
def test_after_a_kill_the_rate_falls_where_it_would_have(patience, killed_after):
    assert reduced(LOSSES, patience, killed_after=killed_after) == reduced(LOSSES, patience)


def stopped(scores: list[float], patience: int, *, killed_after: int | None = None) -> int:
    """After which epoch the run ends."""
    schedule, state = Schedule(stop_patience=patience), RunState([])
    model = FakeModel()

    def begin() -> EarlyStopping:
        made = EarlyStopping(schedule, state.history, state)
        made.set_model(model)
        made.on_train_begin()
        return made

    callback = begin()
    for epoch, score in enumerate(scores):
        if epoch == killed_after:
            callback = begin()
            assert not model.stop_training
        entry = {"epoch": epoch + 1, "val_accuracy": score}
        state.history.append(entry)
        callback.on_epoch_end(epoch, dict(entry))
        assert state.stopped is model.stop_training
        if state.stopped:
            return epoch + 1
    return 0


ACCURACIES = [0.2, 0.3, 0.3, 0.25, 0.35, 0.34, 0.33, 0.32, 0.31, 0.4]


@pytest.mark.parametrize(("patience", "last"), [(1, 3), (2, 4), (3, 8), (4, 9), (5, 0)])
def test_the_run_ends_when_the_accuracy_stands_still(patience, last):
    """Equal is no better."""
    assert stopped(ACCURACIES, patience) == last


@pytest.mark.parametrize("killed_after", range(1, 8))
def test_after_a_kill_the_run_ends_where_it_would_have(killed_after):
    assert stopped(ACCURACIES, 3, killed_after=killed_after) == 8


# ---------------------------------------------------------------------------------------- the plot


def a_history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "loss": 2.0 / epoch,
            "val_loss": 2.2 / epoch,
            "accuracy": 1 - 0.8 / epoch,
            "val_accuracy": 0.9 - 0.8 / epoch,
            "learning_rate": 0.1 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]


def test_the_plot_is_renewed_after_each_epoch(tmp_path):
    state = RunState(a_history(1), best_epoch=1)
    plot = HistoryPlot(tmp_path, state)
    plot.on_epoch_end(0)
    first = (tmp_path / "history.png").read_bytes()

    state.history = a_history(5)
    plot.on_epoch_end(4)

    second = (tmp_path / "history.png").read_bytes()
    assert second != first
    picture = cv2.imdecode(np.frombuffer(second, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] >= 1280
    assert files_in(tmp_path) == {"history.png"}


# Each case: the accuracies of the epochs, the one that is kept, and what the plot says of it.
KEPT = [
    ([0.5, 0.625, 0.75], 3, "validation, best 75.00% in epoch 3"),
    ([0.5, 0.75, 0.625], 2, "validation, best 75.00% in epoch 2"),
    ([0.5, 0.75, 0.625], 3, "validation, kept 62.50% in epoch 3, best 75.00%"),
]


@pytest.mark.parametrize(("accuracies", "kept", "said"), KEPT)
def test_the_plot_has_a_ring_around_what_is_kept(accuracies, kept, said):
    history = a_history(3)
    for entry, accuracy in zip(history, accuracies, strict=True):
        entry["val_accuracy"] = accuracy

    axes = draw_history(history, kept).axes[1]

    lines = [line for line in axes.lines if line.get_fillstyle() == "none"]
    assert [line.get_xydata().tolist() for line in lines] == [[[kept, accuracies[kept - 1]]]]
    assert said in [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_plot_that_cannot_be_written_ends_no_run(tmp_path, capsys):
    HistoryPlot(tmp_path / "gone", RunState(a_history(2), best_epoch=2)).on_epoch_end(1)

    assert "history.png not written: No such file or directory" in capsys.readouterr().err


def test_an_accuracy_that_is_no_number_does_not_break_the_plot(tmp_path):
    history = a_history(3)
    history[1]["accuracy"] = math.nan

    HistoryPlot(tmp_path, RunState(history, best_epoch=3)).on_epoch_end(2)

    assert (tmp_path / "history.png").is_file()


def test_nothing_is_averaged_where_the_recipe_asks_for_none(tmp_path):
    end, _ = an_epoch_end(tmp_path, RunState([]))
    end.set_model(SimpleNamespace(trainable_variables=None))  # would fail if it were touched

    with end._as_saved():
        pass
