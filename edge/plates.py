"""Where labels go: beside their faces, none over another, all within the picture. Pure."""

from collections.abc import Iterator, Sequence

Rectangle = tuple[int, int, int, int]
"""``x, y, width, height`` in whole pixels."""


def place(
    plates: Sequence[tuple[int, int]],
    boxes: Sequence[Rectangle],
    size_wh: tuple[int, int],
    taken: Sequence[Rectangle] = (),
) -> list[tuple[int, int] | None]:
    """Find a place for each label, the first ones first.

    Above its box, below it, inside it at the top or the bottom, to its right or left: the first
    place that is free. One that has none gets None, rather than cover another.

    Args:
        plates: Width and height of each label in pixels.
        boxes: The face of each.
        size_wh: Width and height of the picture in pixels.
        taken: What must stay visible beside them.

    Returns:
        The left and upper edge of each label, or None.
    """
    used = list(taken)
    found: list[tuple[int, int] | None] = []
    for (w, h), box in zip(plates, boxes, strict=True):
        spot = next(
            (
                (x, y)
                for x, y in _candidates(w, h, box, size_wh)
                if not any(_overlap((x, y, w, h), other) for other in used)
            ),
            None,
        )
        found.append(spot)
        if spot is not None:
            used.append((*spot, w, h))
    return found


def _candidates(
    w: int, h: int, box: Rectangle, size_wh: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    x, y, box_w, box_h = box
    # A label that is wider than the picture begins at its border.
    most_x, most_y = max(0, size_wh[0] - w), max(0, size_wh[1] - h)
    lefts = [min(max(0, edge), most_x) for edge in (x, x + box_w - w)]
    tops = (y - h, y + box_h)
    for top in tops:
        if 0 <= top <= most_y:
            yield from ((left, top) for left in lefts)
    inside = [min(max(0, edge), most_y) for edge in (y, y + box_h - h)]
    yield from ((left, top) for top in inside for left in lefts)
    for left in (x + box_w, x - w):
        if 0 <= left <= most_x:
            yield from ((left, top) for top in inside)


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )
