"""Who is who between frames: stable numbers for faces, by the overlap of their boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .records import Box, Face

# Half a second: a blink of the detector keeps its number, a person who left does not hand it on.
_FORGET_AFTER_S = 0.5
_MIN_IOU = 0.3


@dataclass(frozen=True, slots=True)
class _Track:
    id: int
    box: Box
    seen_ns: int


class Tracker:
    """Gives each face the number of the one it overlaps most, greedily, or a new one."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._next_id = 1

    def update(self, faces: Sequence[Face], captured_ns: int) -> list[Face]:
        """Number the faces of one frame.

        Args:
            faces: What the detector found.
            captured_ns: Monotonic time of the frame, in nanoseconds.

        Returns:
            The same faces in the same order, each with its ``id``.
        """
        limit_ns = int(_FORGET_AFTER_S * 1e9)
        tracks = [track for track in self._tracks if captured_ns - track.seen_ns <= limit_ns]
        pairs = sorted(
            (
                (face.box.iou(track.box), row, column)
                for row, face in enumerate(faces)
                for column, track in enumerate(tracks)
            ),
            reverse=True,
        )
        ids: dict[int, int] = {}
        taken: set[int] = set()
        for iou, row, column in pairs:
            if iou >= _MIN_IOU and row not in ids and column not in taken:
                ids[row] = tracks[column].id
                taken.add(column)
        for row in range(len(faces)):
            if row not in ids:
                ids[row] = self._next_id
                self._next_id += 1
        numbered = [replace(face, id=ids[row]) for row, face in enumerate(faces)]
        unseen = [track for column, track in enumerate(tracks) if column not in taken]
        self._tracks = unseen + [
            _Track(ids[row], face.box, captured_ns) for row, face in enumerate(faces)
        ]
        return numbered
