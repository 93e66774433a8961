"""Average precision and recall, against cases that are counted by hand."""

import numpy as np
import pytest

from fer_edge.training.detector.score import FALSE_AN_IMAGE, Rules, overlap, score

from .conftest import a_scene, boxes_of

FACE, OTHER = (10.0, 10.0, 20.0, 20.0), (50.0, 10.0, 20.0, 20.0)
FAR, FARTHER = (10.0, 40.0, 16.0, 16.0), (70.0, 40.0, 16.0, 16.0)


def found(*rows: tuple) -> np.ndarray:
    """Rows of a box and its score."""
    return np.array([[*box, sure] for box, sure in rows], np.float32).reshape(-1, 5)


# What is found in a scene of two faces: average precision and recall at no false box.
ONE_SCENE = [
    ([(FACE, 0.9), (OTHER, 0.8)], 1.0, 1.0),
    ([], 0.0, 0.0),
    ([(FAR, 0.9)], 0.0, 0.0),
    ([(FACE, 0.9)], 0.5, 0.5),
    # A wrong one in front: the precision of both faces is that of the last.
    ([(FAR, 0.9), (FACE, 0.8), (OTHER, 0.7)], 2 / 3, 0.0),
    # … in the middle: 1 for the first face, 2/3 for the second.
    ([(FACE, 0.9), (FAR, 0.8), (OTHER, 0.7)], 0.5 + 0.5 * 2 / 3, 0.5),
    # … at the end, where it costs nothing.
    ([(FACE, 0.9), (OTHER, 0.8), (FAR, 0.7)], 1.0, 1.0),
    # A face is found once.
    ([(FACE, 0.9), (FACE, 0.8), (OTHER, 0.7)], 0.5 + 0.5 * 2 / 3, 0.5),
    # The better one has the face, whatever the order of the rows.
    ([(OTHER, 0.7), (FACE, 0.8), (FACE, 0.9)], 0.5 + 0.5 * 2 / 3, 0.5),
    # Equal scores stand and fall together.
    ([(FACE, 0.9), (FAR, 0.9), (OTHER, 0.9)], 2 / 3, 0.0),
]


@pytest.mark.parametrize(("rows", "precision", "recall"), ONE_SCENE)
def test_one_scene_of_two_faces(rows, precision, recall):
    reached = score([found(*rows)], [a_scene(FACE, OTHER)])

    assert (reached.average_precision, reached.recall) == pytest.approx((precision, recall))
    assert (reached.faces, reached.images) == (2, 1)


def test_a_tenth_of_a_false_box_an_image_is_allowed():
    scenes = [a_scene(FACE) for _ in range(20)]
    rows = [found((FACE, 0.5 + number / 100)) for number in range(20)]
    assert FALSE_AN_IMAGE * len(scenes) == 2

    # Three false boxes: two above all faces, the third above the last five.
    for number, sure in enumerate((0.99, 0.98, 0.545)):
        rows[number] = np.concatenate([rows[number], found((FAR, sure))])
    reached = score(rows, scenes)

    assert reached.recall == 15 / 20
    assert reached.threshold == pytest.approx(0.55)
    # And at one in twenty images the best of them alone.
    fewer = score(rows, scenes, Rules(false_an_image=0.05))
    assert (fewer.recall, fewer.threshold) == (0.0, pytest.approx(0.99))
    assert fewer.average_precision == reached.average_precision


# Intersection over union of a box with FACE that is moved to the right, and the rules.
MOVED = [(0.0, 0.5, 1), (6.6, 0.5, 1), (6.7, 0.5, 0), (6.7, 0.3, 1), (10.7, 0.3, 1), (10.8, 0.3, 0)]


@pytest.mark.parametrize(("right", "iou", "hit"), MOVED)
def test_from_which_overlap_on_a_face_is_found(right, iou, hit):
    moved = (FACE[0] + right, *FACE[1:])

    reached = score([found((moved, 0.9))], [a_scene(FACE)], Rules(iou=iou))

    assert reached.average_precision == hit


# Of a scene, what is neither right nor wrong: boxes, changes of the scene, rules.
LENIENT = [
    ([FARTHER], {"ignore": boxes_of(FARTHER)}, {}),
    # Half of the box in the ignored region is enough, however large that is.
    ([(70, 32, 16, 16)], {"ignore": boxes_of((40, 40, 50, 24))}, {}),
    # A face that is too small, or of the size of another line of the table.
    ([FAR], {"boxes": boxes_of(FACE, FAR)}, {"min_px": 17}),
    ([FAR], {"boxes": boxes_of(FACE, FAR)}, {"min_px": 20, "max_px": 21}),
    # A masked one.
    ([FAR], {"boxes": boxes_of(FACE, FAR), "kinds": ("nomask", "mask")}, {}),
]


@pytest.mark.parametrize(("boxes", "changes", "rules"), LENIENT)
def test_what_is_ignored_is_neither_right_nor_wrong(boxes, changes, rules):
    scene = a_scene(FACE, **changes)
    rows = found(*((box, 0.9) for box in boxes), (FACE, 0.5))

    reached = score([rows], [scene], Rules(**rules))

    assert (reached.average_precision, reached.recall, reached.faces) == (1.0, 1.0, 1)


def test_less_than_half_inside_what_is_ignored_is_wrong():
    scene = a_scene(FACE, ignore=boxes_of((40, 40, 50, 24)))
    rows = found(((70, 31, 16, 16), 0.9), (FACE, 0.5))

    assert score([rows], [scene]).average_precision == 0.5


def test_a_face_counts_though_it_lies_in_what_is_ignored():
    scene = a_scene(FACE, ignore=boxes_of((0, 0, 96, 64)))

    assert score([found((FACE, 0.9))], [scene]).average_precision == 1.0


def test_masked_faces_count_where_they_are_asked_for():
    scene = a_scene(FACE, FAR, kinds=("nomask", "mask"))

    assert score([found((FACE, 0.9))], [scene], Rules(masked=True)).average_precision == 0.5
    # A mask that hides nothing is as none.
    wrong = a_scene(FACE, FAR, kinds=("nomask", "mask_wrong"))
    assert score([found((FACE, 0.9))], [wrong]).average_precision == 0.5


def test_without_a_face_there_is_nothing_to_reach():
    reached = score([found((FACE, 0.9))], [a_scene()])

    assert (reached.average_precision, reached.recall, reached.faces) == (0.0, 0.0, 0)


def test_what_is_found_and_what_is_there_belong_together():
    with pytest.raises(ValueError, match="longer"):
        score([found()], [a_scene(FACE), a_scene(FACE)])


def test_overlap_is_that_of_the_devices_boxes():
    from fer_edge.edge.records import Box

    rng = np.random.default_rng(0)
    boxes = rng.uniform(1, 40, (20, 4)).astype(np.float32)
    found_ = overlap(boxes, boxes[::-1])

    for row, one in enumerate(boxes.tolist()):
        for column, other in enumerate(boxes[::-1].tolist()):
            assert found_[row, column] == pytest.approx(Box(*one).iou(Box(*other)), abs=1e-5)
