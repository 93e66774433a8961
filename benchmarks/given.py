"""The models that a command was given, looked at before minutes of measuring begin."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..edge.contract_file import BUFFER_NAME, read_contract
from ..edge.errors import ModelError
from ..edge.models import model_path, shipped_models
from ..edge.trust import require_harmless


@dataclass(frozen=True, slots=True)
class GivenModel:
    """A model that takes part.

    Attributes:
        name: How figures call it: that of a shipped model, else the file's stem.
        path: The file.
        contract: Whether it says what it is.
    """

    name: str
    path: Path
    contract: bool

    @property
    def keras(self) -> bool:
        """Whether it is a ``.keras`` file; else it is a ``.tflite``."""
        return self.path.suffix == ".keras"


def find_models(given: Sequence[str]) -> list[GivenModel]:
    """The models by names of shipped ones or by paths, each file once; all shipped ones by none.

    A ``.tflite`` that this machine does not know is loaded in a child process first. Of files with
    the same stem the second is called ``stem-2``.

    Raises:
        ModelError: One is missing, damaged or no model.
    """
    shipped = shipped_models()
    names = {path.resolve(): name for name, path in shipped.items()}
    found: dict[Path, GivenModel] = {}
    for each in given or shipped:
        path = model_path(each)
        if path.resolve() in found:
            continue
        wanted = names.get(path.resolve(), path.stem)
        taken = {model.name for model in found.values()}
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}-{number}"
        look = _look_at_keras if path.suffix == ".keras" else _look_at_tflite
        found[path.resolve()] = GivenModel(name, path, look(path))
    return list(found.values())


def _look_at_keras(path: Path) -> bool:
    from ..convert.keras_backend import check_archive
    from ..edge.sidecar import read_sidecar, sidecar_path

    check_archive(path)
    if not sidecar_path(path).is_file():
        return False
    read_sidecar(path)
    return True


def _look_at_tflite(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ModelError(f"Cannot read the model {path}: {exc.strerror}.") from exc
    # A stranger's model has none, which is no damage.
    contract = BUFFER_NAME.encode() in content or content[4:8] != b"TFL3"
    if contract:
        read_contract(content, str(path))
    try:
        require_harmless(content, str(path))
    except ModelError as exc:
        # What an interpreter says names no file, and several were given.
        raise exc if str(path) in str(exc) else ModelError(f"{path}: {exc}") from exc
    return contract
