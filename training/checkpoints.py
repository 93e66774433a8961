"""What is kept of a run while it is going, so that it can be killed at any moment.

``checkpoints/epoch-NNN.npz`` holds the model and its optimiser after a whole epoch,
``best-NNN.npz`` the network as it was when its validation was best, ``state.json`` the history. The
state file names whole files only and is replaced in one step after them; a kill in between leaves
the one before.
"""

import csv
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.errors import FerEdgeError, UsageError
from ..edge.files import replacing


@dataclass(slots=True)
class RunState:
    """What is known of a run after its last whole epoch; ``checkpoints/state.json`` on disk.

    Attributes:
        history: A dict of figures an epoch, ``epoch`` (from 1) among them.
        best_epoch: The epoch that is kept, from 1: the one with the best validation accuracy (the
            first of equals), or the last.
        stopped: Whether early stopping has ended the run.
    """

    history: list[dict[str, float]]
    best_epoch: int = 0
    stopped: bool = False

    @property
    def epochs_done(self) -> int:
        """Number of whole epochs."""
        return len(self.history)


def checkpoint_path(out: Path, epoch: int) -> Path:
    """Where the state after an epoch (counted from 1) lies."""
    return out / "checkpoints" / f"epoch-{epoch:03d}.npz"


def best_path(out: Path, epoch: int) -> Path:
    """Where the network of the best epoch (counted from 1) lies."""
    return out / "checkpoints" / f"best-{epoch:03d}.npz"


def has_state(out: Path) -> bool:
    """Whether a run in ``out`` has finished an epoch."""
    return (out / "checkpoints" / "state.json").is_file()


def open_run(
    out: Path, about: dict[str, Any], *, resume: bool, unsaid: Mapping[str, Any] | None = None
) -> RunState:
    """Make the run folder, or read back the state of the run in it.

    Args:
        out: The folder; it must be new or empty, unless ``resume``.
        about: What the run is made of: ``recipe.json``.
        resume: Go on with the run in ``out``.
        unsaid: What holds for a run of an earlier version that did not know a key of ``about``.

    Raises:
        UsageError: ``out`` holds something else, nothing to resume, or another run than this one;
            the message names what differs.
    """
    saved = out / "recipe.json"
    if resume and saved.is_file():
        there = _read_json(saved)
        one, other = dict(_leaves(unsaid or {})), dict(_leaves(unsaid or {}))
        one.update(_leaves(there))
        other.update(_leaves(about))
        different = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
        if different:
            raise UsageError(
                f"{saved} differs in {', '.join(different)} from what was asked for; go on with "
                f"the same arguments, or start a new --out."
            )
        _remove_partial(out)
        return _read_state(out) if has_state(out) else RunState([])
    try:
        if not _is_bare(out):
            what = "holds no run to resume" if resume else "is not empty: pass --resume to go on"
            raise UsageError(f"{out} {what}, or another --out.")
        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
        _remove_partial(out)
    except OSError as exc:
        raise UsageError(f"Cannot make the run folder {out}: {exc.strerror}.") from exc
    write_whole(saved, lambda path: path.write_text(json.dumps(about, indent=1) + "\n"))
    return RunState([])


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of objects in objects, by the path of its keys."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _is_bare(out: Path) -> bool:
    """Whether ``out`` is absent, empty, or what a run leaves that was killed as it began."""
    if not out.is_dir():
        return not out.exists()
    return all(path.name == "checkpoints" or _is_partial(path) for path in out.rglob("*"))


def _is_partial(path: Path) -> bool:
    return path.name.startswith("part-") and path.is_file()


def _remove_partial(out: Path) -> None:
    """Remove what a killed run was in the middle of writing."""
    for path in (*out.glob("part-*"), *(out / "checkpoints").glob("part-*")):
        if _is_partial(path):
            path.unlink()


def _read_state(out: Path) -> RunState:
    path = out / "checkpoints" / "state.json"
    try:
        return RunState(**_read_json(path))
    except TypeError as exc:
        raise UsageError(f"{path} is of another version. Start a new --out.") from exc


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise UsageError(f"Cannot read {path}: {exc}. Start a new --out.") from exc
    if not isinstance(found, dict):
        raise UsageError(f"Cannot read {path}: it holds no run. Start a new --out.")
    return found


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file by way of another name, so that it is whole or as it was before.

    Raises:
        FerEdgeError: The disk is full, or the folder cannot be written.
    """
    try:
        with replacing(path) as partial:
            write(partial)
    except OSError as exc:
        raise FerEdgeError(
            f"Cannot write {path}: {exc.strerror}. What was there before is kept; make room and "
            f"go on with --resume."
        ) from exc


def write_arrays(path: Path, **groups: Sequence[Any]) -> None:
    """Write lists of Keras variables as one ``.npz``, whole or not at all."""
    arrays: dict[str, Any] = {
        f"{group}/{index:04d}": _numpy(variable)
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }

    write_npz(path, arrays)


def write_npz(path: Path, arrays: Mapping[str, Any], *, compressed: bool = False) -> None:
    """Write arrays by their names as one ``.npz``, whole or not at all.

    Raises:
        FerEdgeError: As of :func:`write_whole`.
    """
    save = np.savez_compressed if compressed else np.savez

    def write(partial: Path) -> None:
        # A file object, because it would add .npz to the name of the partial file.
        with partial.open("wb") as file:
            save(file, **arrays)

    write_whole(path, write)


def read_arrays(path: Path, **groups: Sequence[Any]) -> None:
    """Give lists of Keras variables the values that :func:`write_arrays` wrote.

    Raises:
        UsageError: The file is missing, damaged, or of a model with other variables.
    """
    try:
        # Opened here, because NumPy leaves a file open that it cannot read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    # Whatever a damaged file makes NumPy and zipfile raise, it is that file's fault.
    except Exception as exc:
        raise UsageError(f"Cannot read the checkpoint {path}: {exc}. Start a new --out.") from exc
    for group, variables in groups.items():
        values = [arrays[name] for name in sorted(arrays) if name.startswith(f"{group}/")]
        if [value.shape for value in values] != [tuple(v.shape) for v in variables]:
            raise UsageError(f"{path} is of a model with other weights; start a new --out.")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _numpy(variable: Any) -> np.ndarray:
    from keras import ops

    return np.asarray(ops.convert_to_numpy(variable))


def write_state(out: Path, state: RunState) -> None:
    """Write ``state.json`` and ``log.csv``; delete the checkpoints that they no longer name."""
    write_whole(
        out / "checkpoints" / "state.json",
        lambda path: path.write_text(json.dumps(dataclasses.asdict(state), indent=1)),
    )
    keep = {checkpoint_path(out, state.epochs_done), best_path(out, state.best_epoch)}
    for old in set((out / "checkpoints").glob("*.npz")) - keep:
        old.unlink()
    write_whole(out / "log.csv", lambda path: _write_log(path, state.history))


def _write_log(path: Path, history: list[dict[str, float]]) -> None:
    columns = list(dict.fromkeys(name for entry in history for name in entry))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(history)
