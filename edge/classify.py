"""Stills: the faces of photographs and folders of them, one after the other."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from .cameras.files import read_image
from .cameras.folder import natural_key
from .cameras.source import PICTURE_SUFFIXES
from .draw import annotate
from .errors import DataError, FerEdgeError, SinkError, UsageError
from .native_log import native_stderr_silenced
from .reader import EmotionReader
from .records import Reading
from .sinks import refuse_to_overwrite

# What OpenCV always writes; others, such as .gif, become .png.
_WRITTEN = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True)
class Still:
    """A picture that was asked for.

    Attributes:
        path: The file.
        place: Where it belongs below a folder of results: its name, or its path below the folder
            that was given.
    """

    path: Path
    place: Path


@dataclass(frozen=True, slots=True)
class StillResult:
    """What became of a picture.

    Attributes:
        still: Which.
        size_wh: Width and height in pixels, upright; None where it could not be read.
        readings: Of its faces, largest first.
        annotated: The copy with its faces boxed, where one was written.
        error: Why it, or its copy, failed; or "".
    """

    still: Still
    size_wh: tuple[int, int] | None = None
    readings: tuple[Reading, ...] = ()
    annotated: Path | None = None
    error: str = ""


def find_stills(paths: Iterable[Path], *, recursive: bool = False) -> list[Still]:
    """The pictures of some files and folders: files as they are, of folders what looks like one.

    A file that is not there is listed too: reading it says so.

    Args:
        paths: Files and folders, in the order wanted; the pictures of a folder follow each other
            by name, ``face2`` before ``face10``.
        recursive: Whether folders are searched through all their sub-folders; links are not
            followed.

    Raises:
        UsageError: A folder cannot be listed or holds no picture.
    """
    stills = []
    for path in paths:
        if not path.is_dir():
            stills.append(Still(path, Path(path.name)))
            continue
        found = sorted(_pictures(path, recursive=recursive), key=natural_key)
        if not found:
            raise UsageError(
                f"The folder {path} holds no picture{'' if recursive else ' (see --recursive)'}. "
                f"Expected files such as {', '.join(sorted(PICTURE_SUFFIXES)[:4])}."
            )
        stills += [Still(file, file.relative_to(path)) for file in found]
    return stills


def _pictures(folder: Path, *, recursive: bool) -> Iterator[Path]:
    def refuse(exc: OSError) -> None:
        raise UsageError(f"Cannot read the folder {exc.filename}: {exc.strerror}.") from exc

    for here, folders, names in os.walk(folder, onerror=refuse):
        for name in names:
            if Path(name).suffix.lower() in PICTURE_SUFFIXES:
                yield Path(here, name)
        if not recursive:
            folders.clear()


class Copies:
    """Where the annotated copies go."""

    def __init__(self, folder: Path, *, overwrite: bool = False):
        """Make the folder.

        Raises:
            SinkError: It cannot be made.
        """
        self._folder, self._overwrite = folder, overwrite
        self._made: set[Path] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SinkError(f"Cannot make the folder {folder}: {exc.strerror}.") from exc

    def write(self, still: Still, image: cv2.typing.MatLike) -> Path:
        """Write the copy of a picture; of two with the same name the second gets a number.

        Raises:
            SinkError: There is such a file already, it is the picture itself, or it cannot be
                written.
        """
        target = self._folder / still.place
        if target.suffix.lower() not in _WRITTEN:
            target = target.with_suffix(".png")
        number, stem = 1, target.stem
        while target in self._made:
            number += 1
            target = target.with_stem(f"{stem}-{number}")
        # Never the photograph, whatever was allowed.
        if target.exists() and target.samefile(still.path):
            raise SinkError(f"{target} is the picture itself; give --annotate another folder.")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            refuse_to_overwrite(target, overwrite=self._overwrite)
            with native_stderr_silenced():
                good, encoded = cv2.imencode(target.suffix.lower(), image)
            if not good:
                raise SinkError(f"Cannot write {target}: OpenCV cannot encode it.")
            target.write_bytes(encoded.tobytes())
        except (OSError, cv2.error) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "OpenCV cannot encode it"
            raise SinkError(f"Cannot write {target}: {why}.") from exc
        self._made.add(target)
        return target


def classify(
    stills: Iterable[Still], reader: EmotionReader, copies: Copies | None = None
) -> Iterator[StillResult]:
    """Read one picture after the other; what fails is told in its result, and the next follows.

    Args:
        stills: The pictures.
        reader: Reads them.
        copies: Takes a copy of each with its faces boxed; None writes nothing.
    """
    for still in stills:
        try:
            image = read_image(still.path)
            readings = tuple(reader.read(image))
        except DataError as exc:
            yield StillResult(still, error=str(exc))
            continue
        size_wh = image.shape[1], image.shape[0]
        annotated, error = None, ""
        if copies is not None:
            try:
                annotated = copies.write(still, annotate(image, readings))
            except FerEdgeError as exc:
                error = str(exc)
        yield StillResult(still, size_wh, readings, annotated, error)
