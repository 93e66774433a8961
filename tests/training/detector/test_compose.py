"""Composed pictures: the boxes stay on what they are of, and nothing but the generator decides."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.training.detector.compose import Composer, HardSpot, Sources, finish
from fer_edge.training.detector.recipe import Composition

from .conftest import a_scene, boxes_of

SIDE = 128
#: What would make the boxes of the pictures below less than exact, or faces of other things.
PLAIN = Composition(crop_px=SIDE, face_px=(14.0, 80.0), rotate_deg=0.0, distractors=0.0)
KINDS = {
    "negatives": {"negatives": 1.0, "scenes": 0.0, "mosaics": 0.0},
    "scenes": {"negatives": 0.0, "scenes": 1.0, "mosaics": 0.0},
    "mosaics": {"negatives": 0.0, "scenes": 0.0, "mosaics": 1.0},
    "pasted": {"negatives": 0.0, "scenes": 0.0, "mosaics": 0.0},
}


def sources(**changes) -> Sources:
    """Bright rectangles on black, and pictures that are black."""

    def black(scene):
        return dataclasses.replace(scene, image=np.where(scene.image > 60, scene.image, 0))

    fields = {
        "scenes": [black(a_scene((60, 40, 30, 36), size_wh=(160, 120)))],
        "negatives": [black(a_scene(size_wh=(160, 120)))],
        "tight": [black(a_scene((12, 8, 60, 72), size_wh=(84, 88), tight=True))],
    }
    return Sources(**{**fields, **changes})


def composed(kind: str, seed: int, settings: Composition = PLAIN, given: Sources | None = None):
    settings = dataclasses.replace(settings, **KINDS[kind])
    return Composer(given or sources(), settings).compose(np.random.default_rng(seed))


def centre_of_light(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The middle of what is bright around a box."""
    left, top = np.maximum(np.floor(box[:2] - 4), 0).astype(int)
    right, bottom = np.ceil(box[:2] + box[2:] + 4).astype(int)
    part = image[top:bottom, left:right].astype(float)
    x = (part.sum(axis=0) * (np.arange(part.shape[1]) + 0.5)).sum() / part.sum() + left
    y = (part.sum(axis=1) * (np.arange(part.shape[0]) + 0.5)).sum() / part.sum() + top
    return np.array([x, y])


@pytest.mark.parametrize("kind", ["scenes", "mosaics", "pasted"])
def test_the_boxes_stay_on_the_faces(kind):
    settings = dataclasses.replace(PLAIN, most_pasted=1)
    seen = 0
    for seed in range(40):
        picture = composed(kind, seed, settings)
        for box in picture.boxes:
            middle = box[:2] + box[2:] / 2
            beside = [
                other
                for other in (*picture.boxes, *picture.ignore)
                if (other != box).any()
                and (
                    np.abs(other[:2] + other[2:] / 2 - middle) < (other[2:] + box[2:]) / 2 + 8
                ).all()
            ]
            if beside:
                continue  # the light is not only of this one
            seen += 1
            away = np.abs(centre_of_light(picture.image, box) - middle)
            # What is pasted fades out towards the border of its patch.
            allowed = 0.15 if kind != "pasted" else 0.3 + 0.03 * box[2:].max()
            assert (away < allowed).all(), (seed, box)
    assert seen >= 20


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 2**32))
def test_the_boxes_lie_in_the_picture_and_are_large_enough(kind, seed):
    scene = a_scene((60, 40, 30, 36), (2, 2, 12, 12), (100, 4, 9, 30), size_wh=(160, 120))
    settings = dataclasses.replace(PLAIN, rotate_deg=20.0, distractors=0.5)
    picture = composed(kind, seed, settings, sources(scenes=[scene]))

    assert picture.image.shape == (SIDE, SIDE)
    assert picture.image.dtype == np.uint8
    for boxes in (picture.boxes, picture.ignore):
        assert boxes.dtype == np.float32
        assert boxes.shape[1:] == (4,)
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= SIDE + 1e-3).all()
        assert (boxes[:, 2:] > 0).all()
    assert (picture.boxes[:, 2:].min(axis=1, initial=99) >= 8).all()
    if kind == "negatives":
        assert len(picture.boxes) == len(picture.ignore) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_generator_gives_the_same_picture(kind):
    one, same, other = (composed(kind, seed) for seed in (3, 3, 4))

    for field in ("image", "boxes", "ignore"):
        np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    if kind != "negatives":  # black is black
        assert not np.array_equal(one.image, other.image)


def test_nothing_is_done_to_the_pictures_that_are_composed_of():
    given = sources()
    before = [scene.image.copy() for scene in (*given.scenes, *given.negatives, *given.tight)]

    for kind in KINDS:
        composed(kind, 1, given=given)

    after = [scene.image for scene in (*given.scenes, *given.negatives, *given.tight)]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_faces_have_the_sizes_that_are_asked_for():
    settings = dataclasses.replace(PLAIN, most_pasted=1, stretch=0.0)
    sides = [
        float(np.sqrt(box[2] * box[3]))
        for seed in range(150)
        for box in composed("pasted", seed, settings).boxes
    ]

    assert len(sides) == 150
    assert min(sides) == pytest.approx(14, rel=0.2)
    assert max(sides) == pytest.approx(80, rel=0.2)
    # Evenly in the logarithm: the middle one is the geometric mean.
    assert np.median(sides) == pytest.approx(np.sqrt(14 * 80), rel=0.25)


def test_faces_that_are_pasted_do_not_hide_each_other():
    settings = dataclasses.replace(PLAIN, most_pasted=12, face_px=(30.0, 60.0))
    for seed in range(20):
        boxes = composed("pasted", seed, settings).boxes
        ends = boxes[:, :2] + boxes[:, 2:]
        for row, box in enumerate(boxes):
            others = np.delete(np.arange(len(boxes)), row)
            shared = np.minimum(ends[row], ends[others]) - np.maximum(box[:2], boxes[others, :2])
            assert (shared.clip(0).prod(axis=1) < 0.4 * box[2] * box[3]).all()


def test_what_is_ignored_in_a_scene_is_ignored_in_its_crops():
    scene = a_scene((60, 40, 30, 36), size_wh=(160, 120), ignore=boxes_of((92, 40, 20, 20)), seed=5)
    settings = dataclasses.replace(PLAIN, face_px=(30.0, 31.0), stretch=0.0)

    found = [composed("scenes", seed, settings, sources(scenes=[scene])) for seed in range(20)]

    assert sum(len(picture.ignore) > 0 for picture in found) >= 10
    assert all(len(picture.boxes) == 1 for picture in found)


def test_hard_negatives_are_shown_as_often_as_is_asked():
    """The hard spot is the only bright one in a picture that is hardly ever drawn."""
    dark = a_scene(size_wh=(160, 120))
    bright = a_scene((70, 50, 20, 20), size_wh=(160, 120))
    negatives = [dark] * 200 + [dataclasses.replace(bright, boxes=boxes_of())]
    settings = dataclasses.replace(PLAIN, **KINDS["negatives"])
    composer = Composer(sources(negatives=negatives), settings, hard_share=0.5)

    def share() -> float:
        pictures = [composer.compose(np.random.default_rng(seed)) for seed in range(200)]
        return float(np.mean([picture.image.max() > 150 for picture in pictures]))

    assert share() < 0.1
    composer.hard = [HardSpot(200, (70.0, 50.0, 20.0, 20.0), 0.9)]
    assert 0.35 < share() < 0.65


@given(
    st.floats(-300, 500), st.floats(-300, 500), st.floats(1, 200), st.floats(1, 200), st.integers(0)
)
def test_a_hard_negative_may_lie_anywhere(x, y, w, h, seed):
    """At the border of its picture, reaching over it, and even beyond it."""
    settings = dataclasses.replace(PLAIN, **KINDS["negatives"] | {"distractors": 1.0})
    composer = Composer(sources(), settings, hard_share=1.0)
    composer.hard = [HardSpot(0, (x, y, w, h), 0.5)]

    picture = composer.compose(np.random.default_rng(seed))

    assert (picture.image.shape, len(picture.boxes)) == ((SIDE, SIDE), 0)


# Boxes that were placed, and how many are faces and how many are to be ignored.
FINISHED = [
    ([(10, 10, 20, 20)], 1, 0),
    ([(10, 10, 7, 20)], 0, 1),  # too small to be judged
    ([(-5, 10, 20, 20)], 1, 0),  # three quarters of it are left
    ([(-10, 10, 20, 20)], 0, 1),  # half of it is
    ([(-20, 10, 20, 20)], 0, 0),  # nothing is
    ([(120, 10, 20, 20)], 0, 1),
]


@pytest.mark.parametrize(("boxes", "faces", "ignored"), FINISHED)
def test_what_becomes_of_a_box_at_the_border(boxes, faces, ignored):
    picture = finish(np.zeros((SIDE, SIDE), np.uint8), [boxes_of(*boxes)], [], SIDE)

    assert (len(picture.boxes), len(picture.ignore)) == (faces, ignored)


def test_scenes_are_sorted_by_what_can_be_made_of_them():
    face = (10, 10, 20, 20)
    crowd, bare, tight = a_scene(face), a_scene(), a_scene(face, tight=True)
    unknown = a_scene(ignore=boxes_of(face))  # perhaps a face: good for neither
    two = a_scene(face, (40, 10, 20, 20), tight=True)  # not one face
    more = a_scene(face, tight=True)

    sorted_ = Sources.of([crowd, bare, tight, unknown, two], [more])

    assert (sorted_.scenes, sorted_.negatives, sorted_.tight) == ([crowd], [bare], [tight, more])
