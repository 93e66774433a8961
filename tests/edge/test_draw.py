"""Boxes and labels in a picture: readable wherever the face is."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge.draw import annotate
from fer_edge.edge.records import Box, Face, Reading

from .conftest import a_reading_at, scores_of

PLATE, TEXT = np.array((80, 220, 255)), np.array((20, 20, 20))
SIZES = [(640, 480), (320, 240), (1280, 720), (1920, 1080), (240, 320)]


def canvas(size_wh: tuple[int, int] = (640, 480), grey: int = 128) -> np.ndarray:
    return np.full((*size_wh[::-1], 3), grey, np.uint8)


def reading(box: Box, label: str = "happy", score: float = 0.7) -> Reading:
    return Reading(Face(box, 1.0, id=1), scores_of(label, score))


def dark(image: np.ndarray) -> np.ndarray:
    """Where the text is, bool ``(height, width)``; its smooth edges count in part."""
    return cv2.inRange(image, np.maximum(TEXT - 60, 0), TEXT + 60) > 0


def light(image: np.ndarray) -> np.ndarray:
    """Where the plate and the frame of the box are, bool ``(height, width)``."""
    return cv2.inRange(image, PLATE - 6, np.minimum(PLATE + 6, 255)) > 0


def extent(mask: np.ndarray) -> tuple[int, int]:
    """Width and height of what is in a mask."""
    rows, columns = np.nonzero(mask)
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def test_the_picture_itself_is_left_alone():
    image = canvas()
    before = image.copy()

    drawn = annotate(image, [a_reading_at(100, 100)])

    np.testing.assert_array_equal(image, before)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (drawn != image).any()


def test_a_picture_that_may_not_be_written_is_drawn_all_the_same():
    image = canvas()
    image.flags.writeable = False

    assert light(annotate(image, [a_reading_at(100, 100)])).any()


def test_without_readings_it_is_a_copy():
    image = canvas()

    drawn = annotate(image, [])

    assert drawn is not image
    np.testing.assert_array_equal(drawn, image)


def test_the_box_is_drawn_where_the_face_is():
    drawn = annotate(canvas(), [reading(Box(200.4, 149.6, 120, 160))])
    frame = light(drawn)

    for x, y in ((200, 230), (320, 230), (260, 310)):  # left, right and lower side
        assert frame[y, x]
    assert not frame[230, 260], "the face itself stays free"
    assert not frame[330, 260]


def faces_in(size_wh: tuple[int, int]):
    """Boxes that share a part with the picture, over any of its borders."""
    width, height = size_wh
    side = min(size_wh)
    return st.builds(
        lambda x, y, w, h: Box(x - w / 2, y - h / 2, w, h),
        st.floats(0, width),
        st.floats(0, height),
        st.floats(24, 1.5 * side),
        st.floats(24, 1.5 * side),
    )


@settings(max_examples=100)
@given(st.data())
def test_the_whole_text_is_visible_for_a_face_at_any_border(data):
    size_wh = data.draw(st.sampled_from([(640, 480), (320, 240), (240, 320)]))
    box = data.draw(faces_in(size_wh))
    label = data.draw(st.sampled_from(["happy", "surprise"]))
    middle = Box(size_wh[0] / 4, size_wh[1] / 2, size_wh[0] / 2, size_wh[1] / 4)
    expected = dark(annotate(canvas(size_wh), [reading(middle, label)]))

    found = dark(annotate(canvas(size_wh), [reading(box, label)]))

    assert expected.sum() > 50, "no text is drawn at all"
    assert found.sum() == expected.sum(), "a part of the text is cut off"
    assert extent(found) == extent(expected)


@pytest.mark.parametrize("size_wh", SIZES)
@pytest.mark.parametrize("grey", [0, 20, 128, 255])
def test_the_text_stands_on_its_plate_on_any_background(size_wh, grey):
    box = Box(size_wh[0] / 4, size_wh[1] / 2, size_wh[0] / 4, size_wh[1] / 4)
    drawn = annotate(canvas(size_wh, grey), [reading(box)])

    # The plate stands on the box, whose own frame is as light; what is not light is text.
    bottom = int(box.y_px)
    rows, columns = np.nonzero(light(drawn)[: bottom - 4])
    left = columns.min()
    plate = drawn[rows.min() : bottom, left : columns.max() + 1]
    text_w, text_h = extent(dark(plate))
    assert 0.05 < dark(plate).mean() < 0.5
    assert text_h >= 8, "too small to be read"
    assert text_h >= size_wh[1] / 50
    assert text_w < plate.shape[1]
    assert left >= box.x_px - 2
    border = np.concatenate([plate[0], plate[-1], plate[:, 0], plate[:, -1]])
    assert light(border[np.newaxis]).all(), "the text reaches the edge of its plate"


def test_label_and_score_are_in_the_text():
    """By comparison: another label or score is another text, another number is none."""
    box = Box(200, 200, 100, 100)
    shown = [
        dark(annotate(canvas(), [reading(box, label, score)]))
        for label, score in (("happy", 0.7), ("sad", 0.7), ("happy", 0.4), ("happy", 0.7004))
    ]

    assert (shown[0] != shown[1]).any()
    assert (shown[0] != shown[2]).any()
    assert (shown[0] == shown[3]).all()


def test_every_face_has_its_box_and_its_plate():
    image = canvas()
    left, right = a_reading_at(50, 200, 100), a_reading_at(400, 200, 100)

    both = annotate(image, [left, right])

    alone = annotate(image, [left]), annotate(image, [right])
    np.testing.assert_array_equal(both[:, :300], alone[0][:, :300])
    np.testing.assert_array_equal(both[:, 300:], alone[1][:, 300:])


@pytest.mark.parametrize("size_wh", [(64, 64), (65, 33), (2, 2)])
def test_a_tiny_picture_does_not_fail(size_wh):
    assert annotate(canvas(size_wh), [a_reading_at(0)]).shape == (*size_wh[::-1], 3)


def test_a_wild_box_does_not_fail():
    drawn = annotate(canvas(), [reading(Box(-1e6, -1e6, 3e6, 3e6)), a_reading_at(9e5, 9e5)])

    assert drawn.shape == (480, 640, 3)


def test_the_text_of_a_small_frame_is_not_smaller_than_can_be_read():
    """OpenCV's font at its smallest readable scale."""
    small = dark(annotate(canvas((320, 240)), [a_reading_at(100, 100)]))
    (_, text_h), _ = cv2.getTextSize("happy", cv2.FONT_HERSHEY_DUPLEX, 0.45, 1)

    assert extent(small)[1] >= text_h - 1
