"""Boxes and labels in a picture: readable wherever the face is."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_edge.edge.draw import annotate, describe
from fer_edge.edge.records import Box, Face, Reading

from .conftest import a_face_at, a_reading_at, read_as, scores_of

PLATE, MUTE, TEXT = (np.array(c) for c in ((80, 220, 255), (205, 205, 205), (20, 20, 20)))
SIZES = [(640, 480), (320, 240), (1280, 720), (1920, 1080), (240, 320)]


def canvas(size_wh: tuple[int, int] = (640, 480), grey: int = 128) -> np.ndarray:
    return np.full((*size_wh[::-1], 3), grey, np.uint8)


def reading(box: Box, label: str = "happy", score: float = 0.7) -> Reading:
    return read_as(Face(box, 1.0, id=1), scores_of(label, score))


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


# ---------------------------------------------------------------- followed, marked, without colour

# Each case: a reading, what is said of it.
SAID = [
    (a_reading_at(0), "happy 70%"),
    (read_as(a_face_at(0), flaw="blurred"), "happy 70%, blurred"),  # it was read shortly before
    (Reading(a_face_at(0), 12.0, flaw="small"), "too small"),
    (Reading(a_face_at(0), 40.0, flaw="cut"), "cut by the border"),
    (Reading(a_face_at(0), 40.0, flaw="blurred"), "blurred"),
    (Reading(a_face_at(0), 40.0, flaw="of a later day"), "of a later day"),
    (Reading(a_face_at(0), 40.0), "not read yet"),  # others came first
]


@pytest.mark.parametrize(("read", "said"), SAID, ids=[said for _, said in SAID])
def test_what_is_said_of_a_face(read, said):
    assert describe(read) == said


def side_of(read: Reading, size_wh: tuple[int, int] = (640, 480)) -> np.ndarray:
    """Which pixels of the lower side of the box are drawn, from one corner to the other."""
    x, y, w, h = read.box.as_ints()
    return light(annotate(canvas(size_wh), [read]))[y + h, x : x + w]


def gaps(line: np.ndarray) -> int:
    """How often a line is interrupted."""
    return int((np.diff(line.astype(int)) == -1).sum()) - (not line[-1])


def marked(**changes) -> Reading:
    return read_as(a_face_at(100, 100, 160, **changes), flaw="blurred")


def test_a_detected_face_has_a_whole_box_and_a_followed_one_its_corners():
    assert side_of(a_reading_at(100, 100, 160)).all()

    followed = side_of(a_reading_at(100, 100, 160, detected=False))

    assert followed[:38].all()
    assert not followed[44:116].any()
    assert followed[-38:].all()


@pytest.mark.parametrize("detected", [True, False])
@pytest.mark.parametrize("size_wh", [(320, 240), (640, 480), (1280, 720)])
def test_a_marked_face_has_a_dashed_box(size_wh, detected):
    side = size_wh[1] / 4
    read = read_as(a_face_at(side, side, side, detected=detected), flaw="cut")
    dashes = side_of(read, size_wh)

    assert gaps(dashes) >= 2
    assert 0.3 < dashes.mean() < 0.75


def test_a_marked_face_of_few_pixels_is_dashed_still():
    small = Reading(a_face_at(100, 100, 14), 14.0, flaw="small")

    assert gaps(side_of(small)) >= 1


def test_a_face_without_a_label_has_a_grey_plate_with_the_reason():
    box = Box(100, 200, 160, 160)
    small = annotate(canvas(), [Reading(Face(box, 1.0, id=1), 12.0, flaw="small")])
    cut = annotate(canvas(), [Reading(Face(box, 1.0, id=1), 40.0, flaw="cut")])

    for drawn in (small, cut):
        above = drawn[:196]
        assert (cv2.inRange(above, MUTE - 6, MUTE + 6) > 0).sum() > 500
        assert not light(above).any()
        assert dark(above).sum() > 50
    assert (dark(small) != dark(cut)).any()


def test_a_text_that_does_not_fit_keeps_its_label():
    box = Box(20, 100, 60, 60)
    long = read_as(Face(box, 1.0, id=1), scores_of("surprise"), flaw="cut")
    short = read_as(Face(box, 1.0, id=1), scores_of("surprise"))
    narrow = (160, 240)

    def text(read: Reading) -> np.ndarray:
        return dark(annotate(canvas(narrow), [read]))

    np.testing.assert_array_equal(text(long), text(short))
    assert dark(annotate(canvas(), [long])).sum() > dark(annotate(canvas(), [short])).sum()


def test_a_plate_without_a_label_does_not_cover_one_with_it():
    """Whichever comes first."""
    named = a_reading_at(100, 200, 60)
    unnamed = Reading(a_face_at(130, 200, 60), 60.0, flaw="blurred")
    alone = annotate(canvas(), [named])[150:190, 100:170]

    for both in ([named, unnamed], [unnamed, named]):
        np.testing.assert_array_equal(annotate(canvas(), both)[150:190, 100:170], alone)


def test_a_grey_picture_is_drawn_in_colour():
    grey = canvas(grey=90)[:, :, 0]
    before = grey.copy()

    drawn = annotate(grey, [marked(), a_reading_at(400, 100, 100)])

    assert drawn.shape == (480, 640, 3)
    np.testing.assert_array_equal(
        drawn, annotate(canvas(grey=90), [marked(), a_reading_at(400, 100, 100)])
    )
    np.testing.assert_array_equal(grey, before)


@pytest.mark.parametrize("flaw", ["", "cut"])
def test_a_wild_box_that_was_followed_does_not_fail_or_take_long(flaw):
    wild = read_as(Face(Box(-1e6, -1e6, 3e6, 3e6), 1.0, id=1, detected=False), flaw=flaw)

    assert annotate(canvas(), [wild] * 20).shape == (480, 640, 3)


@pytest.mark.parametrize("size_wh", [(1920, 1080), (640, 480), (320, 240), (160, 120)])
@pytest.mark.parametrize("grey", [0, 255])
def test_a_notice_stands_whole_at_the_bottom_on_any_background(size_wh, grey):
    width, height = size_wh

    drawn = annotate(canvas(size_wh, grey), [], notice="Emotion recognition is running")

    strip = (drawn != grey).any(axis=(1, 2))
    assert strip.any()
    assert strip[-1]
    # OpenCV 5 has another font than 4.
    assert not strip[: round(0.8 * height)].any()
    text = (drawn[strip] > 200).all(axis=2)
    columns = np.flatnonzero(text.any(axis=0))
    assert 0 < columns[0] < columns[-1] < width - 1
    assert columns[-1] - columns[0] > width / 4


@pytest.mark.parametrize("size_wh", [(1, 1), (8, 3)])
def test_a_notice_in_a_tiny_picture_does_not_fail(size_wh):
    assert annotate(canvas(size_wh), [], notice="running").shape == (*size_wh[::-1], 3)
