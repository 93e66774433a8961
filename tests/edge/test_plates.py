"""Where labels go: never one over another, never over the border where there is room."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.plates import place

SIZE = (320, 240)
SIDES = st.integers(1, 120)
BOXES = st.tuples(st.integers(-200, 400), st.integers(-200, 400), st.integers(0, 500), SIDES)
LABELS = st.lists(st.tuples(st.tuples(SIDES, st.integers(1, 60)), BOXES), max_size=12)


def overlap(one, other) -> bool:
    w = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    h = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return w > 0 and h > 0


@given(LABELS, st.booleans())
def test_labels_are_apart_and_inside(labels, strip) -> None:
    taken = [(0, 200, 320, 40)] if strip else []

    spots = place([plate for plate, _ in labels], [box for _, box in labels], SIZE, taken)

    placed = [
        (*spot, *plate) for spot, (plate, _) in zip(spots, labels, strict=True) if spot is not None
    ]
    assert not any(overlap(one, other) for one, other in combinations([*placed, *taken], 2))
    for x, y, w, h in placed:
        assert 0 <= x <= SIZE[0] - w
        assert 0 <= y <= SIZE[1] - h
    if labels and not strip:
        assert spots[0] is not None


def test_a_label_stands_above_its_face_where_there_is_room() -> None:
    assert place([(60, 20)], [(100, 80, 50, 50)], SIZE) == [(100, 60)]


def test_a_second_one_at_the_same_place_goes_below() -> None:
    box = (100, 80, 60, 50)

    assert place([(60, 20)] * 2, [box] * 2, SIZE) == [(100, 60), (100, 130)]


def test_one_without_room_is_left_out_rather_than_put_over_another() -> None:
    assert place([(300, 200), (300, 200)], [(0, 0, 300, 200)] * 2, SIZE)[1] is None
