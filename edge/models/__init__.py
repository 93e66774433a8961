"""The int8 models that ship with fer-edge. Their licence is in LICENSE-WEIGHTS.md."""

import re
from pathlib import Path

from ..errors import ModelError

DEFAULT = "accurate"
_FOLDER = Path(__file__).parent
_DETECTOR = re.compile(r"fer_face_(\d+)x(\d+)_int8")


def shipped_models() -> dict[str, Path]:
    """Name to file of each emotion model in the package, in alphabetical order."""
    return {
        path.stem.removesuffix("_int8"): path
        for path in sorted(_FOLDER.glob("*.tflite"))
        if not _DETECTOR.fullmatch(path.stem)
    }


def shipped_detectors() -> dict[tuple[int, int], Path]:
    """Width and height of the input to file of each detector in the package, the largest first."""
    named = [(_DETECTOR.fullmatch(path.stem), path) for path in _FOLDER.glob("*.tflite")]
    found = {(int(name[1]), int(name[2])): path for name, path in named if name}
    return dict(sorted(found.items(), reverse=True))


def model_path(name_or_path: str | Path | None = None) -> Path:
    """The file of a model: a shipped one by its name, any other by its path, the default by None.

    Raises:
        ModelError: There is neither such a shipped model nor such a file.
    """
    shipped = shipped_models()
    name = str(name_or_path or DEFAULT)
    if name in shipped:
        return shipped[name]
    path = Path(name)
    try:
        found = path.is_file()
    except (OSError, ValueError):
        # A name too long for any file, or with a NUL in it.
        found = False
    if not found:
        raise ModelError(
            f"There is no model {name!r}: expected a .tflite file, or one that ships with fer-edge "
            f"({', '.join(shipped) or 'none is installed'})."
        )
    return path
