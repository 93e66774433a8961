"""Reading scenes: what a line may hold, and what is said of one that cannot be used."""

import json

import numpy as np
import pytest

from fer_edge.edge.errors import DataError
from fer_edge.training.detector.scenes import held_out, read_scenes

from ...conftest import encode
from .conftest import a_line, a_scene, boxes_of, write_scenes


def test_a_scene_is_read_as_it_was_written(tmp_path):
    scene = a_scene(
        (10, 8, 20, 24.5),
        (-3, 30, 9, 9),  # reaches over the border
        ignore=boxes_of((60, 10, 9, 9)),
        kinds=("nomask", "mask"),
        tight=True,
    )
    read = read_scenes(write_scenes(tmp_path, [scene, a_scene(name="b.png")]))

    first, second = read.scenes
    assert (first.name, first.kinds, first.tight, first.source) == (
        "a.png",
        ("nomask", "mask"),
        True,
        "made",
    )
    np.testing.assert_array_equal(first.image, scene.image)
    np.testing.assert_array_equal(first.boxes, scene.boxes)
    np.testing.assert_array_equal(first.ignore, scene.ignore)
    assert second.boxes.shape == second.ignore.shape == (0, 4)
    assert (read.faces, read.skipped, len(read.sha256)) == (2, 0, 64)


def test_only_file_and_boxes_need_be_there_and_other_keys_are_not_read(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(a_scene().image))
    path = tmp_path / "lines.jsonl"
    path.write_text('{"file": "a.png", "boxes": [], "landmarks": "?"}\n\n', encoding="utf-8-sig")

    (scene,) = read_scenes(path).scenes

    assert (scene.kinds, scene.source, scene.tight, scene.size_wh) == ((), "", False, (96, 64))


def test_colour_is_read_where_it_is_asked_for(tmp_path):
    path = write_scenes(tmp_path, [a_scene((10, 10, 20, 20))])

    assert read_scenes(path, colour=True).scenes[0].image.shape == (64, 96, 3)


# What a line says beside what is right, and what is said of it.
BAD = [
    ({"file": 3}, 'expected an object with "file"'),
    ({"file": "gone.png"}, "cannot read gone.png"),
    ({"file": "text.png"}, "text.png is no picture"),
    ({"file": "empty.png"}, "empty.png is no picture"),
    ({"width": 97}, r"width is 97, but a\.png has 96"),
    ({"height": "64"}, r"height is 64, but a\.png has 64"),
    ({"boxes": None}, r"boxes is None; expected a list of \[x, y, width, height\]"),
    ({"boxes": [[1, 2, 3]]}, r"boxes\[0\] is \[1, 2, 3\]"),
    ({"boxes": [[1, 2, 3, "4"]]}, r"boxes\[0\]"),
    ({"boxes": [[1, 2, 3, True]]}, r"boxes\[0\]"),
    ({"boxes": [[1, 2, 3, 4], [1, 2, 0, 4]]}, r"boxes\[1\] .* the last two above 0"),
    ({"boxes": [[1, float("nan"), 3, 4]]}, r"boxes\[0\]"),
    ({"boxes": [[96, 2, 3, 4]]}, "beyond a picture of 96x64"),
    ({"boxes": [[1, -9, 3, 4]]}, "beyond a picture of 96x64"),
    ({"ignore": [5]}, r"ignore\[0\] is 5"),
    ({"ignore": {}}, "ignore is {}"),
    ({"kind": ["nomask", "mask"]}, "2 in kind, but 1 boxes"),
    ({"kind": ["beard"]}, "expected a list of nomask, mask, mask_wrong"),
    ({"kind": "mask"}, "kind is 'mask'"),
]


@pytest.mark.parametrize(("changes", "said"), BAD)
def test_a_line_that_cannot_be_used_is_named_and_can_be_left_out(tmp_path, changes, said):
    good = a_scene((10, 10, 20, 20))
    path = write_scenes(tmp_path, [good])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    path.write_text(f"{a_line(good)}\n\n{a_line(good, **changes)}\n")

    with pytest.raises(DataError, match=rf"1 lines cannot be used:\nline 3: .*{said}") as caught:
        read_scenes(path)
    assert "--skip-bad" in str(caught.value)

    read = read_scenes(path, skip_bad=True)
    assert (len(read.scenes), read.skipped) == (1, 1)


@pytest.mark.parametrize("line", ["{", "[]", "3", '"a.png"'])
def test_what_is_no_object_is_named(tmp_path, line):
    path = tmp_path / "lines.jsonl"
    path.write_text(line)

    with pytest.raises(DataError, match="line 1: "):
        read_scenes(path)


def test_of_many_bad_lines_ten_are_named(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text("x\n" * 12)

    with pytest.raises(DataError, match=r"(?s)12 lines.*line 10:.*and 2 more\nMend"):
        read_scenes(path)


# What the file is, and what is said of it.
FILES = [
    (None, "No such file"),
    (b"", "holds no scene: expected lines such as"),
    (b"\xff\xfe\x00", "is no text"),
]


@pytest.mark.parametrize(("content", "said"), FILES)
def test_a_file_that_holds_nothing_is_refused(tmp_path, content, said):
    path = tmp_path / "lines.jsonl"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DataError, match=said):
        read_scenes(path)


def test_a_file_of_bad_lines_alone_is_refused_though_they_may_be_left_out(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text(json.dumps({"file": "gone.png", "boxes": []}))

    with pytest.raises(DataError, match="holds no scene"):
        read_scenes(path, skip_bad=True)


def test_what_is_held_out_goes_by_the_name_and_never_by_the_order():
    scenes = [a_scene(name=f"{number}.png") for number in range(400)]

    kept, held = held_out(scenes, 0.2)

    assert len(kept) + len(held) == 400
    assert 40 < len(held) < 120
    again = held_out(scenes[::-1], 0.2)[1]
    assert [scene.name for scene in again[::-1]] == [scene.name for scene in held]
    fewer = {scene.name for scene in held_out(scenes, 0.1)[1]}
    assert fewer < {scene.name for scene in held}


# Width, height, tight, and whether any may be held out.
HELD = [((96, 64), False, True), ((64, 96), False, False), ((64, 64), False, False)]
HELD += [((64, 64), True, True)]


@pytest.mark.parametrize(("size_wh", "tight", "may"), HELD)
def test_series_of_the_same_people_are_not_held_out(size_wh, tight, may):
    scenes = [a_scene(name=str(n), size_wh=size_wh, tight=tight) for n in range(50)]

    assert bool(held_out(scenes, 0.5)[1]) is may
