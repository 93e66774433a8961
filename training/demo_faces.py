"""Seven faces of nobody: the averaged training images of each class, each exaggerated a little.

``python -m fer_edge.training.demo_faces --data fer2013.csv.gz --out edge/assets`` writes the strip
``demo_faces.png`` that the demo camera plays, and ``demo_faces.json``, which says what is on it.
"""

import json
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from ..edge.errors import SinkError
from ..edge.records import Image
from . import datasets

# How far each class is pushed away from the mean of all. At 1 all look alike; above 2 the averages
# turn into caricatures. Neutral stays plain: it is no expression.
EXAGGERATION = dict.fromkeys(datasets.EMOTIONS, 1.75) | {"neutral": 1.0}
# Averaging faces that are not aligned blurs them, by about this many pixels; unsharp masking brings
# eyes and mouths back. Without it the detector misses sad and surprised faces at some sizes.
_BLUR_PX, _SHARPEN = 2.0, 3.0
# Grey level and spread of the pictures: a face in soft light.
_MEAN_GREY, _SPREAD_GREY = 128.0, 55.0


def average_faces(data: datasets.Dataset) -> NDArray[np.float64]:
    """The mean image of each class, sharpened; each image is brought to mean 0 and spread 1 first.

    Args:
        data: Training images.

    Returns:
        float64, ``(7, 48, 48)``.
    """
    images = data.images.astype(np.float64)
    spread = images.std(axis=(1, 2), keepdims=True)
    # Blank images have no spread and nothing to say.
    usable = spread[:, 0, 0] > 1.0
    normal = (images - images.mean(axis=(1, 2), keepdims=True)) / np.maximum(spread, 1.0)
    faces = [
        normal[usable & (data.labels == label)].mean(axis=0)
        for label in range(len(datasets.EMOTIONS))
    ]
    # A mean face is symmetric; what is left of asymmetry is noise of the smaller classes.
    faces = [(face + face[:, ::-1]) / 2 for face in faces]
    return np.stack([face + _SHARPEN * (face - _blurred(face)) for face in faces])


def _blurred(face: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(face, (0, 0), _BLUR_PX), dtype=np.float64)


def exaggerate(means: NDArray[np.float64]) -> Image:
    """Push each class away from the mean of all and bring it to the greys of a photograph.

    Returns:
        uint8, ``(7, 48, 48)``.
    """
    grand = means.mean(axis=0)
    factors = np.array([EXAGGERATION[name] for name in datasets.EMOTIONS])[:, None, None]
    faces = grand + factors * (means - grand)
    faces = (faces - faces.mean(axis=(1, 2), keepdims=True)) / faces.std(axis=(1, 2), keepdims=True)
    return np.clip(np.rint(faces * _SPREAD_GREY + _MEAN_GREY), 0, 255).astype(np.uint8)


def write(faces: Image, data: datasets.Dataset, out: Path) -> Path:
    """Write the strip and its description; return the strip's path.

    Raises:
        SinkError: The folder cannot be written.
    """
    path = out / "demo_faces.png"
    document = {
        "labels": list(datasets.EMOTIONS),
        "side_px": datasets.SIDE_PX,
        "source": {"name": data.name, "sha256": data.digest, "split": "Training"},
        "exaggeration": EXAGGERATION,
        "licence": "CC-BY-NC-4.0, see LICENSE-WEIGHTS.md",
        "made_by": "python -m fer_edge.training.demo_faces",
    }
    try:
        if not cv2.imwrite(str(path), np.concatenate(list(faces), axis=1)):
            raise SinkError(f"Cannot write {path}: expected an existing folder that is writable.")
        (out / "demo_faces.json").write_text(json.dumps(document, indent=1) + "\n")
    except OSError as exc:
        raise SinkError(f"Cannot write into {out}: {exc.strerror}.") from exc
    return path


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path), help="FER-2013.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="An existing folder.")
def main(data: Path, out: Path) -> None:
    """Make the demo's seven averaged faces from the training images of FER-2013."""
    training = datasets.load(data).split("Training")
    click.echo(write(exaggerate(average_faces(training)), training, out))


if __name__ == "__main__":
    main()
