"""The usual tutorial on facial emotions, as it stands in a hundred notebooks: one loop, one thread.

It reads a frame, looks for faces in all of it with OpenCV's Haar cascade, calls Keras ``predict``
once a face, draws, and takes the next frame. Kept here as the baseline of ``fer-edge benchmark
loop``; do not improve it. It differs from what people write in three things only: it shows no
window (what is drawn goes to ``show``, which stands where ``cv2.imshow`` would), it counts, and the
pixels go in raw, because the models of this project scale them in their first layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ...edge.errors import CameraError, ModelError


class KerasLike(Protocol):
    """What the tutorial needs of a model; ``keras.Model`` is one, a fake can be another."""

    def predict(self, x: NDArray[np.float32], *, verbose: int) -> NDArray[Any]:
        """Scores ``(n, classes)`` of float32 faces ``(n, height, width, 1)``, 0 to 255."""
        ...


@dataclass(frozen=True, slots=True)
class Played:
    """What was seen in a clip, over all its repetitions.

    Attributes:
        frames: Its frames.
        faces: Faces found in them.
        marked: Of these, those that were not read.
    """

    frames: int
    faces: int
    marked: int = 0


def open_cascade() -> Any:
    """The cascade that tutorials use, ``haarcascade_frontalface_default.xml``.

    Raises:
        ModelError: This OpenCV has none (5.x).
    """
    try:
        from cv2.data import haarcascades

        return cv2.CascadeClassifier(f"{haarcascades}haarcascade_frontalface_default.xml")
    except (ImportError, AttributeError) as exc:
        raise ModelError(
            f"This OpenCV ({cv2.__version__}) has no Haar cascades, which the tutorial needs: "
            f"expected a 4.x from PyPI."
        ) from exc


def _show_nothing(frame: np.ndarray) -> None:
    """No window: on a screen its refresh would be measured, and most test machines have none."""


def run_tutorial(
    clip: Path,
    model: KerasLike,
    labels: Sequence[str],
    cascade: Any,
    *,
    size_wh: tuple[int, int] = (48, 48),
    loops: int = 1,
    show: Callable[[np.ndarray], None] = _show_nothing,
) -> Played:
    """Play a clip through the tutorial.

    Args:
        clip: A video that OpenCV decodes.
        model: Loaded, eating float32 ``(1, height, width, 1)``, 0 to 255.
        labels: Of the model's outputs, in their order.
        cascade: From :func:`open_cascade`; loading it is no part of the loop.
        size_wh: Width and height of the model's input in pixels.
        loops: How often the clip is played.
        show: Is handed every frame after drawing: uint8, ``(height, width, 3)``, blue-green-red.

    Raises:
        CameraError: OpenCV reads no frame from the clip.
    """
    frames = faces = 0
    for _ in range(loops):
        capture = cv2.VideoCapture(str(clip))
        while True:
            good, frame = capture.read()
            if not good:
                break
            frames += 1
            grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            for x, y, w, h in cascade.detectMultiScale(grey, scaleFactor=1.3, minNeighbors=5):
                faces += 1
                crop = cv2.resize(grey[y : y + h, x : x + w], size_wh)
                crop = crop.astype("float32")[np.newaxis, :, :, np.newaxis]
                scores = model.predict(crop, verbose=0)[0]
                label = labels[int(np.argmax(scores))]
                cv2.rectangle(frame, (x, y), (x + w, y + h), (255, 0, 0), 2)
                place = (x, y - 10)
                cv2.putText(frame, label, place, cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 255, 0), 2)
            show(frame)
        capture.release()
    if frames == 0:
        raise CameraError(f"{clip} is no video that this OpenCV can read.")
    return Played(frames, faces)
