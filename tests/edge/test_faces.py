"""Crops of faces: only where asked for, one a change, whole or not at all."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.errors import SinkError
from fer_edge.edge.records import Box, EmotionScores, Face, Frame, Reading, Result
from fer_edge.edge.sinks.faces import FacesSink, cut_out

LABELS = ("happy", "sad/so so")
IMAGE = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
#: 2026-11-21 09:30:00 UTC.
MORNING_S = 1_795_253_400.0


def a_reading(number: int, label: str | None, *, fresh: bool = True) -> Reading:
    scores = EmotionScores(LABELS, (0.25, 0.75) if label == LABELS[1] else (0.75, 0.25))
    face = Face(Box(40, 30, 40, 40), 1.0, id=number)
    return Reading(face, 40.0, label, scores if label else None, scores if fresh else None)


def at(seconds: float, *readings: Reading) -> Result:
    return Result(Frame(0, IMAGE, 0, MORNING_S + seconds), readings, 0)


def test_a_face_is_saved_when_it_is_named_and_when_that_changes(tmp_path: Path) -> None:
    with FacesSink(tmp_path / "faces") as sink:
        sink.write(at(0, a_reading(1, None)))
        sink.write(at(0.5, a_reading(1, "happy"), a_reading(2, "happy", fresh=False)))
        sink.write(at(1, a_reading(1, "happy")))
        sink.write(at(1.25, a_reading(1, "sad/so so")))

    names = sorted(path.name for path in (tmp_path / "faces").iterdir())
    assert names == [
        "20261121-093000.500-face1-happy-75.jpg",
        "20261121-093001.250-face1-sad_so_so-75.jpg",
    ]
    crop = cv2.imread(str(tmp_path / "faces" / names[0]))
    assert crop is not None
    assert crop.shape == (60, 60, 3)


@given(
    st.floats(-500, 500), st.floats(-500, 500), st.floats(0, 400), st.floats(0, 400), st.booleans()
)
def test_a_crop_is_a_part_of_the_picture(x, y, w, h, grey) -> None:
    image = IMAGE[..., 0] if grey else IMAGE

    crop = cut_out(image, Box(x, y, w, h))

    assert crop.ndim == image.ndim
    assert all(0 <= side <= whole for side, whole in zip(crop.shape, image.shape, strict=True))


def test_who_is_outside_the_picture_is_not_saved(tmp_path: Path) -> None:
    reading = a_reading(1, "happy")
    outside = dataclasses.replace(
        reading, face=dataclasses.replace(reading.face, box=Box(900, 900, 9, 9))
    )

    with FacesSink(tmp_path) as sink:
        sink.write(at(0, outside))

    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path) -> None:
    with (
        FacesSink(tmp_path, keep_free_bytes=10**15) as sink,
        pytest.raises(SinkError, match=r"face1-happy-75\.jpg: less than 1000000000 MB are free"),
    ):
        sink.write(at(0, a_reading(1, "happy")))

    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "faces").touch()

    with pytest.raises(SinkError, match=r"Cannot make the folder .*: File exists"):
        FacesSink(tmp_path / "faces").__enter__()


def test_a_folder_that_is_taken_away_is_told(tmp_path: Path) -> None:
    with FacesSink(tmp_path / "faces") as sink:
        (tmp_path / "faces").rmdir()
        with pytest.raises(SinkError, match="No such file or directory"):
            sink.write(at(0, a_reading(1, "happy")))
