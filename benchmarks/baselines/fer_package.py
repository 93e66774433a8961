"""The package ``fer``, run over films in memory: a script for its own environment, not a module.

``python fer_package.py ANSWER.json < request`` under a Python that has ``fer``; it cannot import
fer_edge, so what it knows of the request and of the answer stands in ``benchmarks/protocol.py``.
``fer`` is called as its README does, with Haar (``mtcnn=False``) and its default model.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path

_WARM_UP_CALLS = 3


def _busy_seconds() -> float:
    """As ``host.busy_seconds``: the CPU time that all processes have used, in seconds."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(ticks[:3]) + sum(ticks[5:])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Play what standard input asks for, and leave the answer in the file named by the argument."""
    request = json.load(sys.stdin)
    # First, because NumPy, OpenCV and TensorFlow size their thread pools when they are imported.
    os.sched_setaffinity(0, request["cores"])
    from importlib.metadata import version

    import cv2
    import numpy as np
    from fer.fer import FER  # pyright: ignore[reportMissingImports]

    cv2.setNumThreads(1)
    films = [np.load(path) for path in request["films"]]
    detector = FER(mtcnn=False)
    for _ in range(_WARM_UP_CALLS):
        detector.detect_emotions(films[0][0])
    frames = faces = 0
    busy_began, cpu_began, began = _busy_seconds(), time.process_time(), time.perf_counter()
    for film in films:
        for picture in film:
            faces += len(detector.detect_emotions(picture))
            frames += 1
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    others_seconds = _busy_seconds() - busy_began - cpu_seconds
    answer = {
        "contender": request["contender"],
        "frames": frames,
        "faces": faces,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "others_cores": max(0.0, others_seconds / seconds),
        "cores": sorted(os.sched_getaffinity(0)),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "tensorflow": version("tensorflow"),
            "fer": version("fer"),
        },
    }
    Path(sys.argv[1]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
