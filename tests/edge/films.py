"""Films of faces for a tracker, by hand and by Hypothesis."""

from hypothesis import strategies as st

from fer_edge.edge.records import Box, Face
from fer_edge.edge.tracking import Tracker

from .conftest import a_face_at

FRAME_NS = 33_000_000
FORGET_NS = 500_000_000

boxes = st.builds(
    Box, st.floats(-50, 600), st.floats(-50, 400), st.floats(10, 200), st.floats(10, 200)
)
faces = st.builds(Face, boxes, st.floats(0, 10))
# Frames of up to five faces, with the pause before each: from the same moment to long gone.
films = st.lists(st.tuples(st.lists(faces, max_size=5), st.integers(0, 2 * FORGET_NS)), max_size=8)


def ids(numbered: list[Face]) -> list[int]:
    return [face.id or 0 for face in numbered]


def play(*frames: list[Face], pause_ns: int = FRAME_NS) -> list[list[int]]:
    """The numbers that a new tracker gives to the faces of a film."""
    tracker = Tracker()
    return [ids(tracker.update(found, n * pause_ns)) for n, found in enumerate(frames)]


def a_weak_face_at(x: float) -> Face:
    return a_face_at(x, score=0.5)
