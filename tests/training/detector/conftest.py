"""Scenes without a person: bright rectangles on noise, and where the real ones lie."""

import json
from pathlib import Path

import numpy as np
import pytest

from fer_edge.training.detector.scenes import Scene

from ...conftest import SHARED, encode

REAL_FACES = SHARED / "data" / "faces"


@pytest.fixture(scope="session")
def real_faces() -> Path:
    """The folder of the labelled scenes, which stay out of the repository."""
    if not (REAL_FACES / "eval.jsonl").is_file():
        pytest.skip(f"needs the labelled scenes: no {REAL_FACES / 'eval.jsonl'}")
    return REAL_FACES


def boxes_of(*boxes: tuple[float, ...]) -> np.ndarray:
    """Boxes as arrays hold them, ``(n, 4)`` or more columns."""
    return np.array(boxes, np.float32).reshape(len(boxes), len(boxes[0]) if boxes else 4)


def a_scene(
    *boxes: tuple[float, float, float, float],
    size_wh: tuple[int, int] = (96, 64),
    name: str = "a.png",
    seed: int = 0,
    **changes,
) -> Scene:
    """Dark noise with a bright rectangle in the place of each face."""
    image = np.random.default_rng(seed).integers(0, 60, size_wh[::-1], dtype=np.uint8)
    for x, y, w, h in boxes:
        image[round(y) : round(y + h), round(x) : round(x + w)] = 220
    fields = {
        "name": name,
        "image": image,
        "boxes": boxes_of(*boxes),
        "ignore": boxes_of(),
        "source": "made",
    }
    return Scene(**{**fields, **changes})


def a_line(scene: Scene, **changes) -> str:
    """A scene as a line of the file."""
    width, height = scene.size_wh
    entry = {
        "file": scene.name,
        "width": width,
        "height": height,
        "boxes": scene.boxes.tolist(),
        "ignore": scene.ignore.tolist(),
        "source": scene.source,
    }
    if scene.kinds:
        entry["kind"] = list(scene.kinds)
    if scene.tight:
        entry["tight"] = True
    return json.dumps({**entry, **changes})


def write_scenes(folder: Path, scenes: list[Scene]) -> Path:
    """The pictures of scenes and the file of lines that names them."""
    for scene in scenes:
        (folder / scene.name).write_bytes(encode(scene.image))
    target = folder / "scenes.jsonl"
    target.write_text("".join(f"{a_line(scene)}\n" for scene in scenes))
    return target
