"""The faces for the int8 ranges: two sets that share none, or a sentence about why not."""

from pathlib import Path

import numpy as np
import pytest

from fer_edge.convert.calibration import faces_beside, load_calibration
from fer_edge.edge.errors import DataError
from fer_edge.edge.sidecar import file_sha256

from ..conftest import rows_of_each, write_csv
from .conftest import patterned_faces, write_faces


@pytest.fixture
def faces(tmp_path) -> Path:
    return write_faces(tmp_path / "m.calibration.npz", *patterned_faces())


def as_set(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_faces_lie_beside_the_model():
    assert faces_beside(Path("runs/a.b/model.keras")) == Path("runs/a.b/model.calibration.npz")


def test_the_ranges_and_the_check_share_no_face(faces):
    made = load_calibration(faces)

    assert made.calibrate.shape == (7 * 72, 48, 48)
    assert made.check.shape == (7 * 28, 48, 48)
    assert made.calibrate.dtype == made.check.dtype == np.uint8
    assert not as_set(made.calibrate) & as_set(made.check)
    assert as_set(made.calibrate) | as_set(made.check) == as_set(patterned_faces()[0])
    assert (made.source, made.sha256) == (faces.name, file_sha256(faces))


def test_every_class_has_the_same_share(faces):
    images, labels = patterned_faces()
    label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}

    made = load_calibration(faces)

    for chosen, share in ((made.calibrate, 72), (made.check, 28)):
        counts = np.bincount([label_of[image.tobytes()] for image in chosen], minlength=7)
        assert counts.tolist() == [share] * 7


def test_the_choice_is_the_same_each_time(faces):
    one, other = load_calibration(faces), load_calibration(faces)

    np.testing.assert_array_equal(one.calibrate, other.calibrate)
    np.testing.assert_array_equal(one.check, other.check)


def test_fer2013_gives_training_faces(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = write_csv(tmp_path / "fer2013.csv", rows_of_each(Training=75, PublicTest=1))

    made = load_calibration(source)

    assert len(made.calibrate) == 7 * 72
    assert len(made.check) == 7 * 3, "PublicTest must not be touched"
    assert (made.source, made.sha256) == (source.name, file_sha256(source))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def turned(path: Path) -> None:
    """A byte in the middle of the compressed pixels is another one."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def as_text(path: Path) -> None:
    path.write_text("no faces")


def as_one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, patterned_faces()[0])


def as_pickle(path: Path) -> None:
    np.savez(path, images=np.array([{}], dtype=object), labels=np.zeros(1))


def without_labels(path: Path) -> None:
    np.savez(path, images=patterned_faces()[0])


# What is in the file instead.
DAMAGED = [cut, turned, as_text, as_one_array, as_pickle, without_labels, empty]


@pytest.mark.parametrize("damage", DAMAGED, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_refused_by_its_name(faces, damage):
    damage(faces)

    with pytest.raises(DataError, match=r"calibration.npz") as caught:
        load_calibration(faces)

    assert caught.value.exit_code == 1


def test_a_missing_file_says_where_to_name_another(tmp_path):
    with pytest.raises(DataError, match=r"no calibration faces at .*m\.npz.*--calibrate"):
        load_calibration(tmp_path / "m.npz")


IMAGES, LABELS = patterned_faces()

# Each case: images and labels that do not fit.
MISFITS = {
    "float": (IMAGES.astype(np.float32), LABELS),
    "another size": (IMAGES[:, :40, :40], LABELS),
    "colour": (np.stack([IMAGES] * 3, axis=-1), LABELS),
    "fewer labels": (IMAGES, LABELS[:-1]),
    "one image": (IMAGES[0], LABELS[:1]),
}


@pytest.mark.parametrize(("images", "labels"), MISFITS.values(), ids=MISFITS)
def test_faces_of_another_kind_are_refused(tmp_path, images, labels):
    path = write_faces(tmp_path / "m.npz", images, labels)

    with pytest.raises(DataError, match=r"expected uint8 images of \(n, 48, 48\) and n labels"):
        load_calibration(path)


@pytest.mark.parametrize("per_class", [1, 72])
def test_too_few_faces_leave_none_to_check_on(tmp_path, per_class):
    path = write_faces(tmp_path / "m.npz", *patterned_faces(per_class))

    with pytest.raises(DataError, match=f"has {7 * per_class} faces: expected over 72 of a class"):
        load_calibration(path)
