"""What a run keeps while it is going: whole files, whatever happens in the middle of one."""

import csv
import json
import os
import resource
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="needs the extra [train]")

from fer_edge.edge.errors import FerEdgeError, UsageError  # noqa: E402
from fer_edge.training.checkpoints import (  # noqa: E402
    RunState,
    best_path,
    checkpoint_path,
    has_state,
    open_run,
    read_arrays,
    write_arrays,
    write_state,
    write_whole,
)

from ..conftest import files_in  # noqa: E402

# Keras 3.15 reads its variables through an __array__ of before NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

ABOUT = {"recipe": {"name": "tiny"}, "data_sha256": "d" * 64, "weights": "none"}


def entry(epoch: int, accuracy: float = 0.5) -> dict[str, float]:
    return {"epoch": epoch, "loss": 1.0, "val_loss": 1.5, "val_accuracy": accuracy}


def variables(*shapes: tuple[int, ...], seed: int = 0) -> list:
    generator = np.random.default_rng(seed)
    return [keras.Variable(generator.normal(size=shape).astype(np.float32)) for shape in shapes]


def values(variables: list) -> list[list]:
    return [keras.ops.convert_to_numpy(variable).tolist() for variable in variables]


@contextmanager
def a_full_disk(room: int):
    """No file may grow beyond so many bytes: what writes more gets an OSError from the kernel."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# ----------------------------------------------------------------------------------- the run folder


def test_a_new_folder_gets_the_recipe_and_an_empty_state(tmp_path):
    out = tmp_path / "runs" / "first"

    state = open_run(out, ABOUT, resume=False)

    assert state == RunState([])
    assert files_in(tmp_path) == {"runs/first/recipe.json"}
    assert json.loads((out / "recipe.json").read_text()) == ABOUT
    assert not has_state(out)


@pytest.mark.parametrize("resume", [False, True])
def test_an_empty_folder_is_taken(tmp_path, resume):
    open_run(tmp_path, ABOUT, resume=resume)

    assert files_in(tmp_path) == {"recipe.json"}


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_was_killed_as_it_began_is_begun_again(tmp_path, resume):
    """Between making the folder and writing the recipe there is nothing to lose."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "part-4711-recipe.json").write_text('{"rec')

    open_run(tmp_path, ABOUT, resume=resume)

    assert files_in(tmp_path) == {"recipe.json"}


# Each case: what lies in the folder, whether to resume, and what is said.
TAKEN = [
    ("thesis.tex", False, "is not empty: pass --resume to go on, or another --out"),
    ("recipe.json", False, "is not empty: pass --resume to go on, or another --out"),
    ("thesis.tex", True, "holds no run to resume, or another --out"),
    ("checkpoints/epoch-001.npz", True, "holds no run to resume"),
]


@pytest.mark.parametrize(("name", "resume", "message"), TAKEN)
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, name, resume, message):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")

    with pytest.raises(UsageError, match=message):
        open_run(tmp_path, ABOUT, resume=resume)
    assert files_in(tmp_path) == {name}
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path, resume):
    (tmp_path / "out").write_text("mine")

    with pytest.raises(UsageError, match=r"out .*or another --out|Cannot make the run folder"):
        open_run(tmp_path / "out", ABOUT, resume=resume)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_run_goes_on_where_its_state_is(tmp_path):
    open_run(tmp_path, ABOUT, resume=False)
    write_state(tmp_path, RunState([entry(1), entry(2)], best_epoch=2))
    (tmp_path / "checkpoints/part-4711-state.json").write_text("{")  # killed while it wrote
    (tmp_path / "part-4711-model.keras").write_bytes(b"PK")

    state = open_run(tmp_path, ABOUT, resume=True)

    assert state == RunState([entry(1), entry(2)], best_epoch=2)
    assert state.epochs_done == 2
    assert files_in(tmp_path) == {"recipe.json", "log.csv", "checkpoints/state.json"}


def test_another_run_is_not_gone_on_with_and_what_differs_is_named(tmp_path):
    open_run(tmp_path, ABOUT, resume=False)
    before = (tmp_path / "recipe.json").read_bytes()

    for changes, named in [
        ({"recipe": {"name": "big"}}, "recipe.name"),
        ({"data_sha256": "e" * 64, "weights": "imagenet"}, "data_sha256, weights"),
        ({"teachers": ["t"]}, "teachers"),
    ]:
        with pytest.raises(UsageError, match=rf"recipe\.json differs in {named} from what was ask"):
            open_run(tmp_path, {**ABOUT, **changes}, resume=True)
    assert (tmp_path / "recipe.json").read_bytes() == before


# Each case: the file, what a person or a disk made of it.
DAMAGE = [
    ("recipe.json", ""),
    ("recipe.json", '{"recipe": '),
    ("recipe.json", "[1, 2]"),
    ("recipe.json", "\0\0\0"),
    ("checkpoints/state.json", ""),
    ("checkpoints/state.json", "[]"),
    ("checkpoints/state.json", '{"history": [], "bestest": 1}'),
    ("checkpoints/state.json", '{"best_epoch": 1}'),
]


@pytest.mark.parametrize(("name", "text"), DAMAGE)
def test_a_damaged_run_is_no_traceback(tmp_path, name, text):
    open_run(tmp_path, ABOUT, resume=False)
    write_state(tmp_path, RunState([entry(1)], best_epoch=1))
    (tmp_path / name).write_text(text)

    with pytest.raises(UsageError, match=r"Start a new --out"):
        open_run(tmp_path, ABOUT, resume=True)


# -------------------------------------------------------------------------------------- the weights


def test_variables_come_back_bit_for_bit(tmp_path):
    shapes = (3, 3, 1, 4), (4,), ()
    model, optimiser = variables(*shapes), [keras.Variable(7, dtype="int32"), *variables((2,))]
    write_arrays(tmp_path / "a.npz", model=model, optimiser=optimiser)
    others, other_optimiser = variables(*shapes, seed=1), [keras.Variable(0, dtype="int32")]
    other_optimiser += variables((2,), seed=1)
    assert values(others) != values(model)

    read_arrays(tmp_path / "a.npz", model=others, optimiser=other_optimiser)

    assert values(others) == values(model)
    assert values(other_optimiser) == values(optimiser)
    assert files_in(tmp_path) == {"a.npz"}


def test_a_group_can_be_read_without_the_others(tmp_path):
    """The next stage of a run takes the network and leaves the optimiser behind."""
    model = variables((2, 3))
    write_arrays(tmp_path / "a.npz", model=model, optimiser=variables((5,)))
    other = variables((2, 3), seed=1)

    read_arrays(tmp_path / "a.npz", model=other)

    assert values(other) == values(model)


def test_more_than_ten_variables_keep_their_order(tmp_path):
    many = [keras.Variable(float(number)) for number in range(120)]
    write_arrays(tmp_path / "a.npz", model=many)
    others = [keras.Variable(0.0) for _ in many]

    read_arrays(tmp_path / "a.npz", model=others)

    assert values(others) == list(range(120))


@pytest.mark.parametrize("shapes", [[(2, 4)], [(2, 3), (1,)], []])
def test_weights_of_another_model_are_refused(tmp_path, shapes):
    write_arrays(tmp_path / "a.npz", model=variables((2, 3)))

    with pytest.raises(UsageError, match="is of a model with other weights; start a new --out"):
        read_arrays(tmp_path / "a.npz", model=variables(*shapes))


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"Cannot read the checkpoint .*a\.npz"):
        read_arrays(tmp_path / "a.npz", model=[])


def test_whatever_a_disk_makes_of_a_checkpoint_it_is_no_traceback(tmp_path):
    path, model = tmp_path / "a.npz", variables((3, 4), (4,))
    write_arrays(path, model=model)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole[: generator.integers(len(whole) + 1)])
        for place in generator.integers(0, max(1, len(damaged)), 4):
            damaged[place : place + 1] = bytes([generator.integers(256)])
        path.write_bytes(damaged)
        with suppress(UsageError):
            read_arrays(path, model=variables((3, 4), (4,)))


# ------------------------------------------------------------------------------------ whole or not


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    path = tmp_path / "epoch-001.npz"
    write_arrays(path, model=variables((4,)))
    before = path.read_bytes()

    with (
        a_full_disk(room=10_000),
        pytest.raises(FerEdgeError, match=r"Cannot write .*epoch-001\.npz: .*--resume"),
    ):
        write_arrays(path, model=variables((100, 100)))

    assert path.read_bytes() == before
    assert files_in(tmp_path) == {"epoch-001.npz"}


def test_a_full_disk_leaves_the_model_before(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"the one before")
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(100)])

    with (
        a_full_disk(room=10_000),
        pytest.raises(FerEdgeError, match=r"Cannot write .*model\.keras"),
    ):
        write_whole(path, model.save)

    assert path.read_bytes() == b"the one before"
    assert files_in(tmp_path) == {"model.keras"}


def test_a_folder_that_is_gone_is_no_traceback(tmp_path):
    with pytest.raises(FerEdgeError, match=r"Cannot write .*No such file"):
        write_whole(tmp_path / "gone" / "log.csv", lambda path: path.write_text("x"))


# ---------------------------------------------------------------------------------------- the state


def a_run_of(out: Path, *accuracies: float) -> RunState:
    """What a run with these validation accuracies leaves."""
    open_run(out, ABOUT, resume=False)
    state = RunState([])
    for epoch, accuracy in enumerate(accuracies, start=1):
        write_arrays(checkpoint_path(out, epoch), model=[])
        if accuracy > max([item["val_accuracy"] for item in state.history], default=-1):
            write_arrays(best_path(out, epoch), network=[])
            state.best_epoch = epoch
        state.history.append(entry(epoch, accuracy))
        write_state(out, state)
    return state


# Each case: validation accuracies, and the checkpoints that are left.
KEPT = [
    ([0.5], {"best-001", "epoch-001"}),
    ([0.5, 0.6], {"best-002", "epoch-002"}),
    ([0.6, 0.5, 0.4], {"best-001", "epoch-003"}),
]


@pytest.mark.parametrize(("accuracies", "kept"), KEPT)
def test_only_the_last_and_the_best_checkpoint_are_kept(tmp_path, accuracies, kept):
    a_run_of(tmp_path, *accuracies)

    found = files_in(tmp_path / "checkpoints")
    assert found == {"state.json", *(f"{name}.npz" for name in kept)}


def test_the_log_has_a_row_an_epoch_with_every_figure(tmp_path):
    state = a_run_of(tmp_path, 0.25, 0.5)

    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{key: float(value) for key, value in row.items()} for row in rows] == state.history


def test_no_checkpoint_goes_before_the_state_that_no_longer_names_it(tmp_path):
    a_run_of(tmp_path, 0.5)
    state = RunState([entry(1, 0.5), entry(2, 0.6)], best_epoch=2)
    before = files_in(tmp_path)

    with a_full_disk(room=10), pytest.raises(FerEdgeError, match=r"Cannot write .*state\.json"):
        write_state(tmp_path, state)

    assert files_in(tmp_path) == before
    assert open_run(tmp_path, ABOUT, resume=True).epochs_done == 1
