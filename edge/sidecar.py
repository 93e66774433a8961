"""The contract beside a ``.keras`` file, which has no room for one inside.

``model.keras`` travels with ``model.contract.json``; its ``content_sha256`` is the digest of the
``.keras`` file.
"""

import dataclasses
import hashlib
from pathlib import Path

from .contract import ModelContract
from .errors import ModelError
from .files import replacing


def sidecar_path(keras_path: Path) -> Path:
    """Where the contract of a ``.keras`` file lies: ``model.keras`` -> ``model.contract.json``."""
    return keras_path.with_suffix(".contract.json")


def write_sidecar(keras_path: Path, contract: ModelContract) -> ModelContract:
    """Write the contract beside a ``.keras`` file, with the file's digest, and return it."""
    contract = dataclasses.replace(contract, content_sha256=file_sha256(keras_path))
    target = sidecar_path(keras_path)
    try:
        with replacing(target) as partial:
            partial.write_text(contract.to_json() + "\n")
    except OSError as exc:
        raise ModelError(f"Cannot write the contract {target}: {exc.strerror}.") from exc
    return contract


def read_sidecar(keras_path: Path) -> ModelContract:
    """Read the contract beside a ``.keras`` file and check the file against it.

    Raises:
        ModelError: No model or contract there, or one that does not match the file.
    """
    path = sidecar_path(keras_path)
    if not keras_path.is_file():
        raise ModelError(f"There is no model {keras_path}.")
    try:
        contract = ModelContract.from_json(path.read_bytes())
    except FileNotFoundError as exc:
        raise ModelError(
            f"{keras_path} has no contract: expected {path} beside it, as `fer-edge train` writes "
            f"it. Copy that file along with the model."
        ) from exc
    except OSError as exc:
        raise ModelError(f"Cannot read the contract {path}: {exc.strerror}.") from exc
    if file_sha256(keras_path) != contract.content_sha256:
        raise ModelError(
            f"{keras_path} is not the file that {path} describes: their digests differ. Copy both "
            f"again from the run that made them."
        )
    return contract


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        ModelError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise ModelError(f"Cannot read {path}: {exc.strerror}.") from exc
