"""Run in the root as ``make_frames.py FOLDER``: the film that the virtual camera plays.

Pictures of the project's own demo, so that faces are found in it and nobody is shown.
"""

import sys
from pathlib import Path

import cv2

from fer_edge.edge.cameras.demo import DemoCamera

COUNT, STEP = 42, 7

if __name__ == "__main__":
    demo = DemoCamera(lossless=True)
    for number in range(COUNT):
        # OpenCV writes 4:2:0, which is what libcamera's virtual pipeline handler takes.
        path = Path(sys.argv[1], f"{number}.jpg")
        cv2.imwrite(str(path), demo.image(number * STEP), [cv2.IMWRITE_JPEG_QUALITY, 95])
