"""Which detector runs, and with which model: one that ships, the nearest size, one of one's own."""

from pathlib import Path

import pytest

from fer_edge.edge import models
from fer_edge.edge.detectors import AUTO, open_detector
from fer_edge.edge.detectors.fer_face import nearest
from fer_edge.edge.errors import ModelError
from fer_edge.edge.models import listing, shipped_detectors, shipped_models

from ..conftest import needs_cascades
from .blob_finder import SIZE_WH, blobs, write_finder

SMALL_WH = (192, 144)


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    """Models of these tests need no trial in a child; test_trust.py has that."""
    monkeypatch.setattr("fer_edge.edge.detectors.fer_face.require_harmless", lambda *_: None)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of shipped models of the test's own: call it with the sizes that ship."""
    monkeypatch.setattr(models, "_FOLDER", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no yunet"))

    def ship(*sizes_wh: tuple[int, int]) -> Path:
        for size_wh in sizes_wh:
            write_finder(tmp_path, size_wh)
        return tmp_path

    return ship


def test_auto_is_fer_face_where_its_model_ships(shipped):
    shipped(SIZE_WH)

    detector = open_detector(AUTO)
    assert detector.name == "fer-face"
    assert len(detector.detect(blobs((6, 3)))) == 1


@needs_cascades
def test_auto_is_haar_where_no_model_ships(shipped):
    assert open_detector(AUTO).name == "haar"


# Each case: what is asked for, the input that is taken of the two.
NEAREST = [
    ((320, 240), SIZE_WH),
    ((640, 480), SIZE_WH),
    ((192, 144), SMALL_WH),
    ((160, 120), SMALL_WH),
    ((240, 135), SMALL_WH),
    ((280, 210), SIZE_WH),
    ((144, 192), SMALL_WH),  # on its side: by the number of pixels
]


@pytest.mark.parametrize(("asked", "taken"), NEAREST)
def test_the_nearest_shipped_size_is_taken(shipped, asked, taken):
    shipped(SMALL_WH, SIZE_WH)

    assert open_detector("fer-face", size_wh=asked).size_wh == taken


def test_a_shipped_detector_is_no_emotion_model(shipped):
    folder = shipped(SMALL_WH, SIZE_WH)

    assert shipped_models() == {}
    assert list(shipped_detectors()) == [SIZE_WH, SMALL_WH]
    rows = {row["name"]: row for row in listing.listed()}
    row = rows["fer_face_320x240"]
    assert (row["kind"], row["state"]) == ("face-detector", "shipped")
    assert row["about"] == "320x240, detector fer-face"
    assert row["path"] == str(folder / "fer_face_320x240_int8.tflite")


def test_where_none_ships_it_says_what_else_there_is(shipped):
    with pytest.raises(
        ModelError, match=r"No model of the detector fer-face ships.*--detector-model.*haar"
    ):
        open_detector("fer-face")
    with pytest.raises(ModelError):
        nearest({}, SIZE_WH)


@pytest.mark.parametrize("name", ["fer-face", AUTO])
def test_a_model_of_ones_own_has_its_own_size(tmp_path, name):
    detector = open_detector(name, model=write_finder(tmp_path, SMALL_WH), size_wh=(640, 480))

    assert (detector.name, detector.size_wh) == ("fer-face", SMALL_WH)
