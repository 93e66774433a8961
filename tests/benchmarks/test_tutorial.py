"""The baseline does what the tutorials do: same calls, same pixels, same drawing."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.benchmarks.baselines.tutorial import open_cascade, run_tutorial
from fer_edge.edge.errors import CameraError

from ..conftest import EMOTIONS


class FakeModel:
    """Stands for a Keras model: notes what it is shown and always answers with one class."""

    def __init__(self, answer: int = 3):
        self.answer = answer
        self.seen: list[np.ndarray] = []
        self.verbose: set[int] = set()

    def predict(self, x: np.ndarray, *, verbose: int) -> np.ndarray:
        self.seen.append(x)
        self.verbose.add(verbose)
        return np.eye(len(EMOTIONS), dtype=np.float32)[[self.answer]]


class FakeCascade:
    """Finds these boxes in every frame."""

    def __init__(self, *boxes: tuple[int, int, int, int]):
        self.boxes = boxes
        self.shapes: set[tuple[int, ...]] = set()

    def detectMultiScale(self, grey, *, scaleFactor, minNeighbors):  # noqa: N802, N803
        assert (scaleFactor, minNeighbors) == (1.3, 5)
        self.shapes.add(grey.shape)
        return self.boxes


@pytest.mark.parametrize(
    ("boxes", "loops", "frames", "faces"),
    [
        # Nobody there: the model is not called.
        ([], 1, 10, 0),
        # One call a face a frame.
        ([(10, 20, 100, 100)], 1, 10, 10),
        ([(10, 20, 100, 100), (150, 20, 80, 80)], 1, 10, 20),
        # The clip from its beginning each time.
        ([(10, 20, 100, 100)], 3, 30, 30),
    ],
)
def test_counts(clip: Path, boxes, loops: int, frames: int, faces: int) -> None:
    model, cascade = FakeModel(), FakeCascade(*boxes)

    played = run_tutorial(clip, model, EMOTIONS, cascade, loops=loops)

    assert (played.frames, played.faces) == (frames, faces)
    assert len(model.seen) == faces
    # Not shrunk: that is the point of the baseline.
    assert cascade.shapes == {(240, 320)}


def test_the_model_is_shown_raw_grey_pixels(clip: Path) -> None:
    model = FakeModel()

    run_tutorial(clip, model, EMOTIONS, FakeCascade((100, 40, 120, 120)), size_wh=(40, 48))

    assert model.verbose == {0}
    assert {(x.shape, x.dtype.name) for x in model.seen} == {((1, 48, 40, 1), "float32")}
    # 0..255, not 0..1: the models of this project scale in their first layer.
    assert all(1 < x.max() <= 255 for x in model.seen)


def test_box_and_label_are_drawn_into_the_frame(clip: Path) -> None:
    shown: list[np.ndarray] = []
    capture = cv2.VideoCapture(str(clip))
    _, plain = capture.read()
    capture.release()

    run_tutorial(clip, FakeModel(), EMOTIONS, FakeCascade((100, 60, 90, 90)), show=shown.append)

    assert len(shown) == 10
    assert shown[0].shape == plain.shape
    changed = (shown[0] != plain).any(axis=2)
    # The left side of the box, and the text above it.
    assert changed[70:140, 100].all()
    assert changed[25:55, 100:190].any()


def test_the_real_cascade_finds_the_demo_s_face(clip: Path) -> None:
    model = FakeModel()

    played = run_tutorial(clip, model, EMOTIONS, open_cascade())

    assert played.frames == 10
    assert played.faces >= 8


@pytest.mark.parametrize(
    "content",
    [
        # Not there.
        None,
        # Something else.
        b"no video",
    ],
)
def test_no_clip(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "clip.avi"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(CameraError, match=r"clip\.avi is no video"):
        run_tutorial(path, FakeModel(), EMOTIONS, FakeCascade())


def test_an_opencv_without_cascades_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_edge.edge.errors import ModelError

    monkeypatch.delattr(cv2, "CascadeClassifier")

    with pytest.raises(ModelError, match="has no Haar cascades"):
        open_cascade()
