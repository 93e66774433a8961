"""Who is who between frames: stable numbers for faces, by overlap and motion, greedily.

On a frame with detection :meth:`Tracker.update` gives the faces their numbers; on one without,
:meth:`Tracker.follow` says where they went. :mod:`.schedule` says which frame is which.
All limits are in seconds of the frames' own time stamps, so that neither the frame rate nor a busy
machine changes them. docs/tracking.md has the measurements behind the figures here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .motion import Patch, find_patch, take_patch
from .quality import cut_share
from .records import Box, Face, Image
from .schedule import FrameClock

#: By the name of a detector: what scores less is so often no face that it has to be seen twice. On
#: the project's clips Haar's four false boxes reached 0.6, of its 208 true ones two were below 1; a
#: printed face on a shirt reached 0.62 and 0.70 with YuNet, true faces of 30 pixels 0.7 to 0.8.
#: With fer-face 13 of 18 false boxes were below 0.65, and of the true faces tiny ones alone.
STRONG_SCORES = {"haar": 1.0, "yunet": 0.7, "fer-face": 0.65}

# Half a second: a blink of the detector keeps its number, a person who left does not hand it on.
_FORGET_NS = 500_000_000
# Who was last seen reaching over the border and is not detected there has left.
_FORGET_AT_BORDER_NS = 100_000_000
# So long a face is still reported that the detector misses and the motion still finds.
_SHOW_NS = 250_000_000
# Share of a box beyond the border: more than rounding and less than a face that is leaving.
_OVER_BORDER = 0.02
_MIN_IOU = 0.3
# Correlation from which on a followed face counts as found.
_GOOD_MATCH = 0.5
# Velocities are means over about so long, and good for a step of that length.
_VELOCITY_NS = 100_000_000
_LONGEST_STEP_NS = 200_000_000
# In sizes of the face: what lies beyond is no prediction but a slip of the detector.
_LONGEST_STEP = 0.5
# In sizes of the face since it was detected: then the box is worth a fresh look.
_FAR = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class _Track:
    """A face over time; times on the tracker's own clock.

    Attributes:
        face: As last reported, with the number, which is None as long as it is only a suspicion.
        detected_box: Where it was last detected.
        seen_ns: When that was.
        seen: How often it was detected.
        alive_ns: When anything, detector or motion, last saw it.
        moved_ns: When its box was last set.
        found: Whether detector or motion saw it in the last frame.
        missed_ns: When a detection first went without it since; or None.
        velocity: Of its centre, ``(x, y)`` in pixels a second.
        patch: How it looked when it was detected.
    """

    face: Face
    detected_box: Box
    seen_ns: int
    alive_ns: int
    moved_ns: int
    seen: int = 1
    found: bool = True
    missed_ns: int | None = None
    velocity: tuple[float, float] = (0.0, 0.0)
    patch: Patch | None = None

    def shown(self, now_ns: int) -> bool:
        """Whether it is to be reported in a frame without its detection."""
        # What was detected once and then not is as likely to have been no face.
        if self.face.id is None or (self.missed_ns is not None and self.seen < 2):
            return False
        since_ns = self.alive_ns if self.missed_ns is None else min(self.alive_ns, self.missed_ns)
        return now_ns - since_ns <= _SHOW_NS


class Tracker:
    """Gives each face the number of the one it overlaps most, greedily, or a new one.

    It belongs to one thread. A number is never given twice.
    """

    def __init__(self, *, strong_score: float = float("-inf"), first_id: int = 1) -> None:
        """Start without faces.

        Args:
            strong_score: A face that the detector gives less than this must be seen a second time
                before it is reported; see :data:`STRONG_SCORES`. The default trusts the detector.
            first_id: The number of the first face.
        """
        self._strong_score = strong_score
        self._clock = FrameClock()
        self._tracks: list[_Track] = []
        #: The number that the next face gets.
        self.next_id = first_id
        #: Why a detection would help at once: "new" (a suspicion), "lost", "moved", or "" (not).
        self.doubt = ""

    def update(
        self, faces: Sequence[Face], captured_ns: int, grey: Image | None = None
    ) -> list[Face]:
        """Number the faces of a frame with detection.

        Args:
            faces: What the detector found.
            captured_ns: Monotonic time of the frame, in nanoseconds.
            grey: The frame, uint8, ``(height, width)``. With it, faces that the detector missed
                are searched for, and :meth:`follow` knows what to look for.

        Returns:
            The faces in their order, each with its ``id``, but those that are only a suspicion;
            behind them, by number and with ``detected=False``, those that were missed and are
            still there.
        """
        now_ns = self._clock.tick(captured_ns)
        tracks = [track for track in self._tracks if now_ns - track.alive_ns <= _FORGET_NS]
        owners = _assign(faces, tracks, now_ns, grey)
        found: dict[int, _Track] = {}
        # Births in an order of their own, so that the detector's order does not matter.
        for row in sorted(range(len(faces)), key=lambda row: _place(faces[row])):
            old = owners.get(row)
            found[row] = self._seen(faces[row], old, now_ns, grey)
        taken = {id(track) for track in owners.values()}
        missed = [_miss(track, now_ns, grey) for track in tracks if id(track) not in taken]
        kept = [track for track in missed if not _ended(track, now_ns, grey)]
        self._tracks = [*(found[row] for row in range(len(faces))), *kept]
        self._think(now_ns)
        numbered = [found[row].face for row in range(len(faces)) if found[row].face.id is not None]
        # What neither the detector nor the motion sees is remembered and not reported.
        unseen = _report([track for track in kept if track.found], now_ns)
        return numbered + [face for face in unseen if _apart(face, numbered)]

    def follow(self, grey: Image, captured_ns: int) -> list[Face]:
        """Where the known faces are in a frame without detection.

        Args:
            grey: The frame, uint8, ``(height, width)``, of the size of those before.
            captured_ns: Monotonic time of the frame, in nanoseconds.

        Returns:
            By number, with ``detected=False`` and the box and landmarks moved.
        """
        now_ns = self._clock.tick(captured_ns)
        moved = [_moved(track, now_ns, grey) for track in self._tracks]
        self._tracks = [
            track
            for track in moved
            if now_ns - track.alive_ns <= _FORGET_NS and _inside(track.face.box, grey)
        ]
        self._think(now_ns)
        return _report(self._tracks, now_ns)

    def end(self) -> None:
        """End all tracks, as when the camera was gone; the numbers go on."""
        self._tracks, self.doubt = [], ""

    def _seen(self, face: Face, old: _Track | None, now_ns: int, grey: Image | None) -> _Track:
        number = None if old is None else old.face.id
        # Seen twice, or strong enough.
        if number is None and (old is not None or face.score >= self._strong_score):
            number, self.next_id = self.next_id, self.next_id + 1
        return _Track(
            face=replace(face, id=number),
            detected_box=face.box,
            seen_ns=now_ns,
            alive_ns=now_ns,
            moved_ns=now_ns,
            seen=1 if old is None else old.seen + 1,
            velocity=(0.0, 0.0) if old is None else _velocity(old, face.box, now_ns),
            patch=None if grey is None else take_patch(grey, face.box),
        )

    def _think(self, now_ns: int) -> None:
        reasons = {_doubt(track, now_ns) for track in self._tracks}
        self.doubt = next((reason for reason in ("lost", "new", "moved") if reason in reasons), "")


def _assign(
    faces: Sequence[Face], tracks: Sequence[_Track], now_ns: int, grey: Image | None
) -> dict[int, _Track]:
    """Row of a face to its track: by where it should be, where it was, and where it looks alike."""
    owners: dict[int, _Track] = {}
    stages: list[Callable[[_Track], Box | None]] = [
        lambda track: _ahead(track, now_ns),
        lambda track: track.face.box,
    ]
    if grey is not None:
        stages.append(lambda track: _found(track, now_ns, grey))
    for place in stages:
        taken = {id(track) for track in owners.values()}
        rows = [row for row in range(len(faces)) if row not in owners]
        free = [track for track in tracks if id(track) not in taken] if rows else []
        boxes = [(track, place(track)) for track in free]
        pairs = [
            (faces[row].box.iou(box), row, track)
            for row in rows
            for track, box in boxes
            if box is not None
        ]
        # Ties are broken by who was there first and by place, never by the detector's order.
        pairs.sort(key=lambda pair: (-pair[0], _age(pair[2]), _place(faces[pair[1]])))
        for iou, row, track in pairs:
            if iou >= _MIN_IOU and row not in owners and id(track) not in taken:
                owners[row] = track
                taken.add(id(track))
    return owners


def _place(face: Face) -> tuple[float, ...]:
    """Largest first, as detectors order them, then from the left: an order of what is seen."""
    box = face.box
    return -box.area_px2, box.x_px, box.y_px, box.w_px, -face.score


def _age(track: _Track) -> tuple[float, ...]:
    """Numbers by their order, suspicions behind them."""
    return track.face.id or float("inf"), *_place(track.face)


def _size(box: Box) -> float:
    return max(box.w_px, box.h_px)


def _shifted(box: Box, dx: float, dy: float) -> Box:
    return replace(box, x_px=box.x_px + dx, y_px=box.y_px + dy)


def _report(tracks: Sequence[_Track], now_ns: int) -> list[Face]:
    """The faces to report in a frame in which none of these was detected, by number."""
    faces = [track.face for track in tracks if track.shown(now_ns)]
    return sorted(faces, key=lambda face: face.id or 0)


def _ahead(track: _Track, now_ns: int) -> Box:
    """Where a face should be by its velocity."""
    step_s = min(now_ns - track.moved_ns, _LONGEST_STEP_NS) / 1e9
    dx, dy = (speed * step_s for speed in track.velocity)
    length, limit = max(abs(dx), abs(dy)), _LONGEST_STEP * _size(track.face.box)
    shorter = limit / length if length > limit else 1.0
    return _shifted(track.face.box, dx * shorter, dy * shorter)


def _velocity(track: _Track, box: Box, now_ns: int) -> tuple[float, float]:
    """The mean velocity after a face was seen at another place."""
    step_ns = now_ns - track.moved_ns
    if step_ns <= 0:
        return track.velocity
    # The share of the new value grows with the time that it covers.
    share = step_ns / (step_ns + _VELOCITY_NS)
    pairs = zip(track.velocity, track.face.box.center_px, box.center_px, strict=True)
    vx, vy = (
        old + share * ((after - before) * 1e9 / step_ns - old) for old, before, after in pairs
    )
    return vx, vy


def _found(track: _Track, now_ns: int, grey: Image) -> Box | None:
    """Where a face looks like itself, near the place where it should be."""
    if track.patch is None:
        return None
    match = find_patch(grey, track.patch, _ahead(track, now_ns))
    return match.box if match is not None and match.score >= _GOOD_MATCH else None


def _moved(track: _Track, now_ns: int, grey: Image) -> _Track:
    """A track in a frame without its detection: found by its looks, or where it should be."""
    found = _found(track, now_ns, grey)
    alive_ns = track.alive_ns if found is None else now_ns
    velocity = track.velocity if found is None else _velocity(track, found, now_ns)
    box = found or _ahead(track, now_ns)
    dx, dy = box.x_px - track.face.box.x_px, box.y_px - track.face.box.y_px
    marks = track.face.landmarks_px
    marks = None if marks is None else tuple((x + dx, y + dy) for x, y in marks)
    face = replace(track.face, box=box, detected=False, landmarks_px=marks)
    return replace(
        track,
        face=face,
        alive_ns=alive_ns,
        moved_ns=now_ns,
        found=found is not None,
        velocity=velocity,
    )


def _miss(track: _Track, now_ns: int, grey: Image | None) -> _Track:
    """A track that the detector did not see in this frame."""
    since_ns = now_ns if track.missed_ns is None else track.missed_ns
    face = replace(track.face, detected=False)
    missed = replace(track, face=face, found=False, missed_ns=since_ns)
    return missed if grey is None else _moved(missed, now_ns, grey)


def _ended(track: _Track, now_ns: int, grey: Image | None) -> bool:
    """Whether a missed track is over."""
    limit_ns = _FORGET_NS
    if grey is not None:
        if not _inside(track.face.box, grey):
            return True
        if cut_share(track.face.box, grey.shape[::-1]) > _OVER_BORDER:
            limit_ns = _FORGET_AT_BORDER_NS
    return track.missed_ns is not None and now_ns - track.missed_ns > limit_ns


def _inside(box: Box, grey: Image) -> bool:
    (x, y), (height, width) = box.center_px, grey.shape
    return 0 <= x < width and 0 <= y < height


def _apart(face: Face, others: Sequence[Face]) -> bool:
    """Whether nobody else was detected at the place where a missed face is."""
    return all(face.box.iou(other.box) < _MIN_IOU for other in others)


def _doubt(track: _Track, now_ns: int) -> str:
    if track.face.id is None:
        return "new"
    if not track.shown(now_ns):
        return ""
    if not track.found or track.missed_ns is not None:
        return "lost"
    (x, y), (old_x, old_y) = track.face.box.center_px, track.detected_box.center_px
    far = max(abs(x - old_x), abs(y - old_y)) > _FAR * _size(track.face.box)
    return "moved" if far else ""
