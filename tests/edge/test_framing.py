"""From a face box to the numbers that the network eats."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fer_edge.edge.framing import Framing, crop_square, to_float, to_grey, to_int8
from fer_edge.edge.records import Box

from ..conftest import a_face

SIZE = (48, 48)
IMAGE = a_face(seed=1, size_wh=(80, 60))

places = st.floats(-300, 300)
sides = st.floats(0, 300)
pictures = st.builds(
    lambda seed, w, h: a_face(seed, (w, h)),
    st.integers(0, 99),
    st.integers(1, 90),
    st.integers(1, 90),
)


def square(x: float, y: float, side: float) -> Box:
    return Box(x, y, side, side)


def scaled(crop: np.ndarray, size_wh: tuple[int, int] = SIZE) -> np.ndarray:
    """What a crop must look like at the network's size."""
    method = cv2.INTER_AREA if crop.shape[1] > size_wh[0] else cv2.INTER_LINEAR
    return cv2.resize(crop, size_wh, interpolation=method)


# ---------------------------------------------------------------------------------------- crops


@given(pictures, places, places, sides, st.tuples(st.integers(1, 64), st.integers(1, 64)))
def test_every_square_gives_a_picture_of_the_asked_size(image, x, y, side, size_wh):
    crop = crop_square(image, square(x, y, side), size_wh)

    assert crop.shape == size_wh[::-1]
    assert crop.dtype == np.uint8
    assert crop.min() >= image.min()
    assert crop.max() <= image.max()


@given(st.data())
def test_a_crop_inside_is_the_slice_scaled(data):
    side = data.draw(st.integers(1, 60))
    x, y = data.draw(st.integers(0, 80 - side)), data.draw(st.integers(0, 60 - side))

    crop = crop_square(IMAGE, square(x, y, side), SIZE)

    np.testing.assert_array_equal(crop, scaled(IMAGE[y : y + side, x : x + side]))


@given(st.integers(-100, 100), st.integers(-100, 100), st.integers(1, 200))
def test_what_lies_outside_repeats_the_border(x, y, side):
    rows = np.clip(np.arange(y, y + side), 0, 59)
    columns = np.clip(np.arange(x, x + side), 0, 79)

    crop = crop_square(IMAGE, square(x, y, side), SIZE)

    np.testing.assert_array_equal(crop, scaled(IMAGE[np.ix_(rows, columns)]))


# Each case: a square wholly outside, the pixel of the border that is nearest to it.
OUTSIDE = [
    (square(-100, -100, 50), (0, 0)),
    (square(200, -100, 50), (0, 79)),
    (square(-100, 200, 50), (59, 0)),
    (square(80, 60, 50), (59, 79)),  # touches the corner, shares no pixel
    (square(1e6, 1e6, 50), (59, 79)),
]


@pytest.mark.parametrize(("box", "pixel"), OUTSIDE)
def test_a_square_beyond_a_corner_is_filled_with_that_corner(box, pixel):
    np.testing.assert_array_equal(crop_square(IMAGE, box, SIZE), np.full(SIZE, IMAGE[pixel]))


def test_a_square_of_the_input_size_is_not_resampled():
    np.testing.assert_array_equal(crop_square(IMAGE, square(7, 5, 48), SIZE), IMAGE[5:53, 7:55])


def test_places_and_sides_are_rounded_to_whole_pixels():
    np.testing.assert_array_equal(
        crop_square(IMAGE, square(6.6, 5.4, 47.7), SIZE), IMAGE[5:53, 7:55]
    )


def test_a_square_without_a_side_is_one_pixel():
    np.testing.assert_array_equal(
        crop_square(IMAGE, square(7, 5, 0), SIZE), np.full(SIZE, IMAGE[5, 7])
    )


def test_shrinking_averages_what_it_leaves_out():
    # Stripes of one pixel: skipping pixels would give black or white, or a moiré of both.
    stripes = np.zeros((480, 480), np.uint8)
    stripes[:, ::2] = 255

    assert set(crop_square(stripes, square(0, 0, 480), SIZE).ravel()) <= {127, 128}


def test_the_frame_is_left_as_it_is():
    before = IMAGE.copy()

    crop_square(IMAGE, square(-10, -10, 48), SIZE)[:] = 0
    crop_square(IMAGE, square(0, 0, 48), SIZE)[:] = 0

    np.testing.assert_array_equal(IMAGE, before)


# -------------------------------------------------------------------------------------- framings

BOX = Box(100, 50, 60, 80)

# Each case: a framing, the training square of BOX (60 wide, 80 high, middle at 130, 90).
SQUARES = [
    (Framing(), square(95, 55, 70)),  # half of each side
    (Framing(1, 0), square(100, 60, 60)),  # the width alone
    (Framing(0, 1), square(90, 50, 80)),  # the height alone
    (Framing(0, 1.5), square(70, 30, 120)),  # larger, about the same middle
    (Framing(0, 1, shift_x=0.25), square(110, 50, 80)),  # a quarter of a side to the right
    (Framing(0, 1, shift_y=-0.1), square(90, 42, 80)),  # a tenth of a side up
]


@pytest.mark.parametrize(("framing", "expected"), SQUARES)
def test_a_framing_leads_from_the_box_to_the_square(framing, expected):
    made = framing.training_square(BOX)

    assert (made.x_px, made.y_px) == pytest.approx((expected.x_px, expected.y_px))
    assert (made.w_px, made.h_px) == pytest.approx((expected.w_px, expected.h_px))


shares = st.floats(0, 2)
shifts = st.floats(-1, 1)
framings = st.builds(Framing, shares, shares, shifts, shifts)


@given(framings, places, places, st.floats(1, 300), st.floats(1, 300), st.floats(0.25, 4))
def test_the_square_grows_with_the_box(framing, x, y, w, h, factor):
    """A face twice as near gives the same crop: all figures are shares of the box."""
    near = framing.training_square(Box(x * factor, y * factor, w * factor, h * factor))
    far = framing.training_square(Box(x, y, w, h))

    assert near.w_px == near.h_px
    assert near.w_px == pytest.approx(far.w_px * factor)
    assert near.center_px == pytest.approx([c * factor for c in far.center_px], abs=1e-6)


# --------------------------------------------------------------------------------------- numbers

faces = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
ALL_PIXELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)


@given(faces)
def test_raw_pixels_become_int8_by_subtracting_128(batch):
    made = to_int8(batch)

    assert made.dtype == np.int8
    assert made.shape == (*batch.shape, 1)
    np.testing.assert_array_equal(made[..., 0], batch.astype(int) - 128)


def test_the_fast_path_equals_the_general_one():
    # A scale beside 1 takes the general path and changes no rounding of 256 pixels.
    general = to_int8(ALL_PIXELS, scale=1.0 + 1e-6)

    np.testing.assert_array_equal(to_int8(ALL_PIXELS), general)


@given(faces, st.floats(1, 8), st.integers(-128, -1))
def test_what_is_not_clipped_can_be_turned_back(batch, scale, zero_point):
    steps = to_int8(batch, scale, zero_point)[..., 0].astype(float)
    free = (steps > -128) & (steps < 127)

    back = (steps - zero_point) * scale

    assert np.abs(back - batch)[free].max(initial=0) <= scale / 2 + 1e-3


# Each case: scale, zero point, a pixel, its int8 value.
STEPS = [
    (1.0, -128, 0, -128),
    (1.0, -128, 255, 127),
    (1.0, 0, 100, 100),
    (1.0, 0, 255, 127),  # clipped, not wrapped to -1
    (2.0, -128, 255, 0),  # 127.5 rounds to even: 128
    (2.0, -100, 20, -90),
    (0.5, -128, 200, 127),  # clipped
    (1.0, -127, 0, -127),
]


@pytest.mark.parametrize(("scale", "zero_point", "pixel", "value"), STEPS)
def test_pixels_become_steps_of_the_input_tensor(scale, zero_point, pixel, value):
    batch = np.full((1, 1, 1), pixel, np.uint8)

    assert to_int8(batch, scale, zero_point).item() == value


def test_int8_takes_a_view_that_is_not_contiguous():
    mirrored = ALL_PIXELS[:, :, ::-1]

    np.testing.assert_array_equal(to_int8(mirrored), to_int8(mirrored.copy()))


def test_the_network_s_floats_are_the_raw_pixels():
    made = to_float(ALL_PIXELS)

    assert made.dtype == np.float32
    assert made.shape == (1, 16, 16, 1)
    np.testing.assert_array_equal(made[..., 0], ALL_PIXELS)


# Each case: a colour in OpenCV's order, its grey by the weights of ITU-R BT.601.
GREYS = [
    ((255, 0, 0), 29),  # blue
    ((0, 255, 0), 150),  # green
    ((0, 0, 255), 76),  # red: 29 here would mean that red and blue are exchanged
    ((9, 9, 9), 9),
]


@pytest.mark.parametrize(("bgr", "grey"), GREYS)
def test_a_colour_picture_becomes_grey(bgr, grey):
    image = np.full((3, 5, 3), bgr, np.uint8)

    np.testing.assert_array_equal(to_grey(image), np.full((3, 5), grey))


def test_a_grey_picture_stays_the_same():
    assert to_grey(IMAGE) is IMAGE
