"""The file of a model's answers: what goes in comes out, and what is damaged is refused."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_edge.edge.errors import DataError
from fer_edge.training.logits_file import LogitsFile, read_logits, write_logits

from ..conftest import EMOTIONS


def answers(**changes) -> LogitsFile:
    """Answers to three images, with these fields changed."""
    fields = {
        "logits": np.arange(21, dtype=np.float32).reshape(3, 7),
        "origins": np.array(["1", "2", "train/happy/ä.jpg"]),
        "data_sha256": "d" * 64,
        "split": "Training",
        "model_sha256": "e" * 64,
    }
    return LogitsFile(**{**fields, **changes})


def arrays(**changes) -> dict[str, np.ndarray]:
    """The arrays of a good file, with these changed; None leaves one out."""
    good = {
        "logits": np.zeros((2, 7), np.float32),
        "origins": np.array(["1", "2"]),
        "labels_order": np.array(",".join(EMOTIONS)),
        "data_sha256": np.array("d" * 64),
        "split": np.array("Training"),
        "model_sha256": np.array("e" * 64),
    }
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


def test_what_is_written_is_read_back(tmp_path):
    path, written = tmp_path / "teacher.npz", answers()

    write_logits(path, written)
    found = read_logits(path)

    assert found.logits.dtype == np.float32
    assert found.logits.tolist() == written.logits.tolist()
    assert found.origins.tolist() == written.origins.tolist()
    assert (found.split, found.data_sha256, found.model_sha256) == ("Training", "d" * 64, "e" * 64)
    assert [item.name for item in tmp_path.iterdir()] == ["teacher.npz"]


def test_the_arrays_of_the_file_are_those_that_are_documented(tmp_path):
    write_logits(tmp_path / "teacher.npz", answers())

    with np.load(tmp_path / "teacher.npz", allow_pickle=False) as file:
        assert set(file.files) == set(arrays())
        assert str(file["labels_order"]) == "angry,disgust,fear,happy,sad,surprise,neutral"


def test_a_file_that_exists_is_replaced_only_on_demand(tmp_path):
    path = tmp_path / "teacher.npz"
    path.write_text("precious")

    with pytest.raises(DataError, match="--overwrite"):
        write_logits(path, answers())
    assert path.read_text() == "precious"

    write_logits(path, answers(), overwrite=True)
    assert len(read_logits(path).logits) == 3


# Each case: the name of the file, and what is said.
BAD_PATHS = [
    ("teacher.npy", "to a .npz file, got"),
    ("teacher", "to a .npz file, got"),
    ("no/teacher.npz", "the folder .*no does not exist"),
]


@pytest.mark.parametrize(("name", "said"), BAD_PATHS)
def test_a_path_that_cannot_be_written_is_refused(tmp_path, name, said):
    with pytest.raises(DataError, match=said):
        write_logits(tmp_path / name, answers())


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)

    with pytest.raises(DataError, match="No space left on device"):
        write_logits(tmp_path / "teacher.npz", answers())
    assert list(tmp_path.iterdir()) == []


# Each case: what is changed in a good file, and what is said.
BAD_FILES = [
    ({"logits": None}, "lacks logits"),
    ({"origins": None, "split": None}, "lacks origins, split"),
    ({"logits": np.zeros((2, 6), np.float32)}, r"float32 \(n, 7\), got float32 \(2, 6\)"),
    ({"logits": np.zeros(14, np.float32)}, r"got float32 \(14,\)"),
    ({"logits": np.zeros((2, 7))}, "got float64"),
    ({"logits": np.full((2, 7), np.nan, np.float32)}, "finite numbers"),
    ({"logits": np.zeros((0, 7), np.float32), "origins": np.array([], "<U1")}, "one row of logits"),
    ({"origins": np.array(["1"])}, "one origin a row"),
    ({"origins": np.array([1, 2])}, "one origin a row"),
    ({"origins": np.array(["1", "1"])}, "each origin once"),
    ({"labels_order": np.array(",".join(EMOTIONS[::-1]))}, "in the order neutral,surprise"),
    ({"labels_order": np.array(",".join(EMOTIONS[:6]))}, "in the order angry"),
    ({"split": np.array(["Training"])}, "expected a text as split"),
    ({"data_sha256": np.array(7)}, "expected a text as data_sha256"),
    # An array of Python objects would have to be unpickled, which runs what it says.
    ({"origins": np.array(["1", None], dtype=object)}, "cannot be read as logits"),
]


@pytest.mark.parametrize(("changes", "said"), BAD_FILES)
def test_a_file_of_something_else_is_refused(tmp_path, changes, said):
    path = tmp_path / "teacher.npz"
    np.savez(path, **arrays(**changes))

    with pytest.raises(DataError, match=said):
        read_logits(path)


def test_a_missing_file_is_refused_with_the_command_that_writes_one(tmp_path):
    with pytest.raises(DataError, match="fer-edge evaluate MODEL"):
        read_logits(tmp_path / "teacher.npz")


# Each case: the content of the file.
FOREIGN = [b"", b"This is no file of logits.", b"PK\x03\x04", b"\x93NUMPY\x01\x00"]


@pytest.mark.parametrize("content", FOREIGN)
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "teacher.npz"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"teacher\.npz"):
        read_logits(path)


def test_a_single_array_is_refused(tmp_path):
    path = tmp_path / "teacher.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros((2, 7), np.float32))

    with pytest.raises(DataError, match=r"teacher\.npz"):
        read_logits(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_refused_or_says_the_same(tmp_path, data):
    """A changed byte may lie where nothing depends on it, such as in the date of a member."""
    path = tmp_path / "teacher.npz"
    write_logits(path, answers(), overwrite=True)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path.write_bytes(content)

    with suppress(DataError):
        found = read_logits(path)
        assert found.logits.tolist() == answers().logits.tolist()
        assert found.origins.tolist() == answers().origins.tolist()
        assert (found.split, found.data_sha256) == ("Training", "d" * 64)
