"""That each detector's framing leads to the crop of the training, measured on faces in frames.

A classifier that is fed with another crop loses points without a word. The table that the framings
come from is in docs/detectors.md.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from fer_edge.benchmarks.scenes import Scene, paste, place
from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.detectors import open_detector
from fer_edge.edge.framing import Framing, to_grey
from fer_edge.edge.records import Box, Image
from fer_edge.training.datasets import load

from ..conftest import needs_cascades

# In sides of the training crop. Augmentation moves by more, but a bias adds to that.
WITHIN = 0.08
# A box with less of the face is something else.
MIN_IOU = 0.4
# Frames of the demo in which the face stands still, at many places and sizes and in all emotions.
STILL = range(5, 42 * 28, 42)
# Frame, detect size, and the faces' sides in shares of the frame's height.
SETTINGS = {
    "as the loop has it": ((640, 480), (320, 240), (0.3, 0.8)),
    "whole frame, smaller faces": ((640, 480), (640, 480), (0.15, 0.5)),
    "small frame": ((320, 240), (320, 240), (0.4, 0.8)),
    "wide frame": ((1280, 720), (480, 270), (0.3, 0.7)),
}


def offsets(scenes: Iterable[tuple[Image, Box]], detector) -> np.ndarray:
    """Where each face's training square is seen, ``(n, 3)``: x, y and side, in true sides."""
    found = []
    for picture, truth in scenes:
        squares = [detector.framing.training_square(face.box) for face in detector.detect(picture)]
        hits = [square for square in squares if square.iou(truth) >= MIN_IOU]
        if hits:
            square = max(hits, key=truth.iou)
            shift = np.subtract(square.center_px, truth.center_px) / truth.w_px
            found.append((*shift, square.w_px / truth.w_px - 1))
    return np.array(found).reshape(-1, 3)


def check(found: np.ndarray, shown: int, least: float) -> None:
    """That enough was found, and that it is right in the middle of what was found."""
    assert len(found) >= least * shown, "too few faces were found to measure anything"
    assert np.abs(np.median(found, axis=0)).max() <= WITHIN, np.median(found, axis=0).round(3)
    # Single faces lie to all sides, but half of them within this too.
    assert np.median(np.linalg.norm(found[:, :2], axis=1)) <= WITHIN


def demo_scenes(size_wh: tuple[int, int]) -> Iterator[tuple[Image, Box]]:
    demo = DemoCamera(size_wh=size_wh, lossless=True)
    for index in STILL:
        assert demo.truth(index).label is not None
        yield demo.image(index), demo.truth(index).box


@pytest.mark.parametrize("size_wh", [(640, 480), (320, 240), (1280, 720)])
def test_the_framing_leads_to_the_training_crop_of_the_demos_faces(opened, size_wh):
    """Averaged faces, which always are there: an average is smoother than any face."""
    check(offsets(demo_scenes(size_wh), opened()), len(STILL), least=0.9)


def real_scenes(images: Image, setting: str) -> Iterator[tuple[Image, Box]]:
    size_wh, _, sides = SETTINGS[setting]
    generator = np.random.default_rng(7)
    for image in images:
        scene = paste(image, size_wh, place(size_wh, sides, generator))
        yield scene.picture, scene.square


@pytest.fixture(scope="module")
def crops(real_data) -> Image:
    return load(real_data / "fer2013.csv.gz").split("Training").sampled(0.006, seed=2).images


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_framing_leads_to_the_training_crop_of_real_faces(opened, crops, setting):
    detector = opened(size_wh=SETTINGS[setting][1])

    # Some of FER-2013 are drawings, or heads turned so far that no detector finds them.
    check(offsets(real_scenes(crops, setting), detector), len(crops), least=0.5)


# ------------------------------------------------------------ the measure itself can fail


# Each case: a framing that is wrong by a little more than is allowed.
WRONG = {
    "too large": Framing(0.525 * 1.15, 0.525 * 1.15),
    "too small": Framing(0.525 * 0.85, 0.525 * 0.85),
    "to the right": Framing(0.525, 0.525, shift_x=0.12),
    "up": Framing(0.525, 0.525, shift_y=-0.12),
}


@needs_cascades
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_framing_is_noticed(case):
    detector = open_detector("haar")
    detector.framing = WRONG[case]

    with pytest.raises(AssertionError):
        check(offsets(demo_scenes((640, 480)), detector), len(STILL), least=0.9)


def test_a_detector_that_is_right_is_right():
    """Of a scene whose truth is told, the offsets are nothing."""

    class Knowing:
        framing = Framing()

        def __init__(self, scenes: list[Scene]):
            self.scenes = iter(scenes)

        def detect(self, _: Image):
            return [type("Face", (), {"box": next(self.scenes).square})]

    crop = to_grey(DemoCamera(size_wh=(64, 64), lossless=True).image(5))
    generator = np.random.default_rng(1)
    scenes = [paste(crop, (320, 240), place((320, 240), (0.4, 0.8), generator)) for _ in range(4)]

    found = offsets([(scene.picture, scene.square) for scene in scenes], Knowing(scenes))

    np.testing.assert_allclose(found, 0, atol=1e-12)
    assert len(found) == 4
