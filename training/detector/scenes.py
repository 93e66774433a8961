"""Pictures with the boxes of their faces, from JSON lines. Knows no Keras.

A line is an object: ``file`` (relative to the file of lines), ``boxes`` and ``ignore`` (lists of
``[x, y, width, height]`` in pixels; what is in ``ignore`` may be a face or not), ``source``,
``kind`` (a name for each box: ``nomask``, ``mask``, ``mask_wrong``) and ``tight`` (the face fills
the picture). All but ``file`` and ``boxes`` may be left out; other keys are not read.
"""

import hashlib
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...edge.errors import DataError
from ...edge.records import Image

Boxes = NDArray[np.float32]
#: What a box can be of: a bare face, a masked one, one whose mask hides no mouth or nose.
KINDS = ("nomask", "mask", "mask_wrong")
# Of the lines that cannot be used, so many are named.
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture with the boxes of its faces.

    Attributes:
        name: Its file, as the line names it.
        image: uint8, ``(h, w)`` grey or ``(h, w, 3)`` blue-green-red.
        boxes: float32, ``(n, 4)``: left, top, width, height in pixels.
        ignore: float32, ``(m, 4)``, likewise: where nobody says whether a face is there.
        kinds: Of :data:`KINDS`, one a box; empty where the line does not tell.
        source: Where the picture is from, for tables and for the choice of scenes.
        tight: Whether the face fills the picture.
    """

    name: str
    image: Image
    boxes: Boxes
    ignore: Boxes
    kinds: tuple[str, ...] = ()
    source: str = ""
    tight: bool = False

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, slots=True, eq=False)
class Scenes:
    """What a file of lines holds.

    Attributes:
        path: The file.
        sha256: Its digest, without that of the pictures.
        scenes: In the order of the lines.
        skipped: Bad lines that were left out.
    """

    path: Path
    sha256: str
    scenes: tuple[Scene, ...]
    skipped: int = 0

    @property
    def faces(self) -> int:
        """Number of boxes."""
        return sum(len(scene.boxes) for scene in self.scenes)


def read_scenes(path: Path, *, colour: bool = False, skip_bad: bool = False) -> Scenes:
    """Read a file of lines and the pictures that it names.

    Args:
        path: JSON lines.
        colour: Read blue-green-red, not grey.
        skip_bad: Leave out lines that cannot be used, and count them.

    Raises:
        DataError: The file cannot be read or holds nothing; or a line cannot be used: each is
            named, with what is wrong with it.
    """
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as exc:
        raise DataError(f"Cannot read {path}: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise DataError(f"{path} is no text: expected JSON lines ({exc.reason}).") from exc
    scenes, bad = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            scenes.append(_read_line(line, path.parent, colour=colour))
        except ValueError as exc:
            bad.append(f"line {number}: {exc}")
    if bad and not skip_bad:
        more = f"\n… and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else ""
        named = "\n".join(bad[:_MOST_NAMED])
        raise DataError(
            f"{path}: {len(bad)} lines cannot be used:\n{named}{more}\nMend them, or pass "
            f"--skip-bad to leave them out and count them."
        )
    if not scenes:
        raise DataError(
            f'{path} holds no scene: expected lines such as {{"file": "a.jpg", "boxes": '
            f"[[x, y, width, height]]}}."
        )
    return Scenes(path, hashlib.sha256(content).hexdigest(), tuple(scenes), len(bad))


def _read_line(line: str, folder: Path, *, colour: bool) -> Scene:
    """One scene; a ValueError says what is wrong with the line."""
    try:
        entry = json.loads(line)
    except ValueError as exc:
        raise ValueError(f"no JSON ({exc})") from exc
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
        raise ValueError('expected an object with "file": a name relative to the file of lines')
    flags = cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE
    image = None
    try:
        encoded = np.fromfile(folder / entry["file"], np.uint8)
        image = cv2.imdecode(encoded, flags) if len(encoded) else None
    except (OSError, cv2.error) as exc:
        raise ValueError(f"cannot read {entry['file']} ({exc})") from exc
    if image is None:
        raise ValueError(f"{entry['file']} is no picture that OpenCV reads")
    height, width = image.shape[:2]
    for key, found in (("width", width), ("height", height)):
        if entry.get(key, found) != found:
            raise ValueError(f"{key} is {entry[key]}, but {entry['file']} has {found}")
    boxes = _read_boxes(entry, "boxes", (width, height))
    kinds = entry.get("kind", [])
    if not isinstance(kinds, list) or not set(map(str, kinds)) <= set(KINDS):
        raise ValueError(f"kind is {kinds!r}; expected a list of {', '.join(KINDS)}")
    if kinds and len(kinds) != len(boxes):
        raise ValueError(f"{len(kinds)} in kind, but {len(boxes)} boxes; expected one a box")
    return Scene(
        name=entry["file"],
        image=np.asarray(image, np.uint8),
        boxes=boxes,
        ignore=_read_boxes(entry, "ignore", (width, height)),
        kinds=tuple(kinds),
        source=str(entry.get("source", "")),
        tight=bool(entry.get("tight", False)),
    )


def _read_boxes(entry: dict[str, Any], key: str, size_wh: tuple[int, int]) -> Boxes:
    listed = entry.get(key, None if key == "boxes" else [])
    if not isinstance(listed, list):
        raise ValueError(f"{key} is {listed!r}; expected a list of [x, y, width, height]")
    for index, box in enumerate(listed):
        numbers = (
            isinstance(box, list)
            and len(box) == 4
            and all(type(value) in (int, float) and math.isfinite(value) for value in box)
        )
        if not numbers or min(box[2:]) <= 0:
            raise ValueError(
                f"{key}[{index}] is {box!r}; expected [x, y, width, height] in pixels, the last "
                f"two above 0"
            )
        beyond = any(box[i] >= size_wh[i] or box[i] + box[i + 2] <= 0 for i in (0, 1))
        if beyond:
            raise ValueError(
                f"{key}[{index}] is {box!r}, beyond a picture of {size_wh[0]}x{size_wh[1]}"
            )
    return np.array(listed, np.float32).reshape(-1, 4)


def held_out(scenes: Sequence[Scene], share: float) -> tuple[list[Scene], list[Scene]]:
    """Part scenes into those to train on and those to choose the epoch on.

    By a checksum of the file's name, so that it needs no seed and stays when scenes are added. A
    picture in portrait format is never held out: those of mask853 are series of the same people,
    and the one who is trained on would be the one who is validated on.

    Args:
        scenes: All.
        share: Of the landscape and the tight pictures, what is held out, 0 to 1.

    Returns:
        The scenes to train on, and those held out.
    """
    parts: tuple[list[Scene], list[Scene]] = [], []
    for scene in scenes:
        width, height = scene.size_wh
        drawn = zlib.crc32(scene.name.encode()) % 1000 < 1000 * share
        parts[drawn and (scene.tight or width > height)].append(scene)
    return parts
