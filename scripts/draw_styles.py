"""Draws docs/pictures/drawing.png from the demo: every way in which a face can be marked.

Usage: python scripts/draw_styles.py
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.draw import annotate
from fer_edge.edge.records import Box, EmotionScores, Face, Image, Reading

OUT = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "drawing.png"
FRAME = 5
SIZE_WH = (640, 480)
DEMO = DemoCamera(size_wh=SIZE_WH, lossless=True)


def reading(box: Box, **changes: object) -> Reading:
    """A face of the demo's emotion at 87 %."""
    scores = EmotionScores(("angry", "sad"), (0.87, 0.13))
    whole = Reading(Face(box, 1.0, id=1), box.w_px, "angry", scores, scores)
    return replace(whole, **changes)


def tile(readings: list[Reading], image: Image, notice: str = "") -> Image:
    """One way of drawing, in a frame of thin grey."""
    drawn = annotate(image, readings, notice=notice)
    return cv2.copyMakeBorder(drawn, 6, 6, 6, 6, cv2.BORDER_CONSTANT, value=(200, 200, 200))


def crowd() -> tuple[Image, list[Reading]]:
    """Faces so close that their labels have to make way for each other."""
    image, truth = DEMO.image(FRAME), DEMO.truth(FRAME).box
    x, y, w, h = truth.as_ints()
    face = cv2.resize(image[y : y + h, x : x + w], (120, 120), interpolation=cv2.INTER_AREA)
    canvas = cv2.GaussianBlur(DEMO.image(FRAME), (0, 0), 120)
    found = []
    for number, (left, top) in enumerate([(60, 90), (190, 110), (320, 90), (450, 115), (250, 250)]):
        canvas[top : top + 120, left : left + 120] = face
        found.append(reading(Box(left, top, 120, 120), flaw="" if number != 4 else "blurred"))
    return canvas, found


def main() -> None:
    """Write the picture."""
    image, box = DEMO.image(FRAME), DEMO.truth(FRAME).box
    plain = reading(box)
    followed = reading(box, face=replace(plain.face, detected=False))
    unread = reading(box, label=None, scores=None, raw=None, flaw="small")
    held = reading(box, raw=None, flaw="blurred")
    many = crowd()
    rows = [
        [tile([plain], image), tile([followed], image), tile([unread], image)],
        [
            tile([held], image),
            tile(many[1], many[0]),
            tile([plain], image, "Emotion recognition is running"),
        ],
    ]
    picture = np.vstack([np.hstack(row) for row in rows])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    small = cv2.resize(picture, None, fx=2 / 3, fy=2 / 3, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(OUT), small, (cv2.IMWRITE_PNG_COMPRESSION, 9))
    print(OUT)


if __name__ == "__main__":
    main()
