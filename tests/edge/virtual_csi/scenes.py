"""What tests/edge/test_virtual_csi.py has done in the root: ``scenes.py NAME`` prints JSON.

Everything here goes through real picamera2 and libcamera; only the camera itself is virtual.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import libcamera
import numpy as np
import vcam_compat
from make_frames import COUNT, STEP

from fer_edge.edge.cameras.csi import CsiCamera, csi_cameras
from fer_edge.edge.cameras.demo import DemoCamera
from fer_edge.edge.errors import CameraError
from fer_edge.edge.framing import to_grey
from fer_edge.edge.records import Frame

SIZE_WH = (640, 480)


def open_face(**changes: Any) -> CsiCamera:
    options = {"name": "virtual-face", "size_wh": SIZE_WH, "fps": 30.0}
    return CsiCamera(0, **{**options, **changes})


def film(size_wh: tuple[int, int] = SIZE_WH) -> list[np.ndarray]:
    """The pictures that the camera shows."""
    demo = DemoCamera(lossless=True)
    pictures = (demo.image(index * STEP) for index in range(COUNT))
    return [cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA) for picture in pictures]


def distance(picture: np.ndarray, pictures: list[np.ndarray]) -> float:
    """The mean difference to the one that is most alike, in grey levels."""
    return min(float(cv2.absdiff(picture, other).mean()) for other in pictures)


def error_of(call: Callable[[], object]) -> dict[str, Any]:
    """The CameraError that a call raises, and after how long."""
    began = time.monotonic()
    try:
        call()
        said = None
    except CameraError as exc:
        said = str(exc)
    return {"said": said, "after_s": time.monotonic() - began}


def descriptors() -> int:
    """How many are open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def handed_over_ages_ms(camera: CsiCamera, count: int) -> tuple[list[Frame], list[float]]:
    frames, ages_ms = [], []
    for _ in range(count):
        frame = camera.read()
        ages_ms.append((time.monotonic_ns() - frame.captured_ns) / 1e6)
        frames.append(frame)
    return frames, ages_ms


def reading(width: str, height: str, colour: str) -> dict[str, Any]:
    """Read 60 frames."""
    size_wh = (int(width), int(height))
    with open_face(size_wh=size_wh, colour=bool(int(colour))) as camera:
        frames, ages_ms = handed_over_ages_ms(camera, 60)
    gaps_ms = np.diff([frame.captured_ns for frame in frames]) / 1e6
    shown = film(camera.size_wh)
    if frames[0].image.ndim == 2:
        shown = [to_grey(picture) for picture in shown]
    lumas = [frame for frame in frames if frame.luma is not None]
    return {
        "size_wh": camera.size_wh,
        "fps": camera.fps,
        "shape": frames[0].image.shape,
        "indexes": [frame.index for frame in frames],
        "median_gap_ms": float(np.median(gaps_ms)),
        "ages_ms": [min(ages_ms), max(ages_ms)],
        "distance": max(distance(frame.image, shown) for frame in frames[::10]),
        "lumas": [frame.luma.shape for frame in lumas],
        "luma_against_grey": [
            float(cv2.absdiff(frame.luma, to_grey(frame.image)).mean()) for frame in lumas
        ],
    }


def turning(rotate: str, mirror: str) -> dict[str, float]:
    """How much the pictures are like the film when it is turned, and when it is not."""
    with open_face(rotate=int(rotate), mirror=bool(int(mirror))) as camera:
        frames = [camera.read() for _ in range(5)]
    shown = film()
    turned = [cv2.rotate(picture, cv2.ROTATE_180) if int(rotate) else picture for picture in shown]
    turned = [cv2.flip(picture, 1) if int(mirror) else picture for picture in turned]
    return {
        "turned": max(distance(frame.image, turned) for frame in frames),
        "luma": max(distance(frame.luma, [to_grey(each) for each in turned]) for frame in frames),
        "upright": min(distance(frame.image, shown) for frame in frames),
    }


def frozen() -> dict[str, Any]:
    """Pull the ribbon, wait for the error, put it back, open again."""
    camera = open_face()
    for _ in range(10):
        camera.read()
    vcam_compat.freeze()

    def read_on() -> None:
        for _ in range(100):
            camera.read()

    facts: dict[str, Any] = {"lost": error_of(read_on)}
    facts["close"] = error_of(camera.close)
    dark = camera.renew()
    facts["dark"] = error_of(dark.read)
    dark.close()
    vcam_compat.thaw()
    with dark.renew() as again:
        frames, ages_ms = handed_over_ages_ms(again, 30)
    facts["again"] = [frame.index for frame in frames]
    facts["ages_ms"] = [min(ages_ms), max(ages_ms)]
    facts["threads"] = threading.active_count()
    return facts


def thawed_without_closing() -> dict[str, Any]:
    """Errors that nobody acts on cost no buffer: there are six, and ten errors."""
    with open_face() as camera:
        camera.read()
        for _ in range(10):
            vcam_compat.freeze()
            while error_of(camera.read)["said"] is None:
                pass
            vcam_compat.thaw()
        return {"frames": [camera.read().index for _ in range(20)]}


def closing_while_reading() -> dict[str, Any]:
    """Another thread closes a frozen camera that a read waits for."""
    camera = open_face()
    camera.read()
    found: list[dict[str, Any]] = []

    def read_on() -> None:
        while camera.read():
            pass

    thread = threading.Thread(target=lambda: found.append(error_of(read_on)))
    thread.start()
    vcam_compat.freeze()
    # What was queued before is delivered still.
    time.sleep(1.5)
    close = error_of(camera.close)
    thread.join(10)
    return {"read": found, "close": close}


def hanging_driver() -> dict[str, Any]:
    """Stopping the camera never comes back; later it does."""
    camera = open_face()
    camera.read()
    vcam_compat.freeze()
    vcam_compat.hang_in_stop(hang=True)
    facts: dict[str, Any] = {"close": error_of(camera.close), "renew": error_of(camera.renew)}
    vcam_compat.thaw()
    vcam_compat.hang_in_stop(hang=False)
    deadline = time.monotonic() + 20
    while (again := error_of(lambda: camera.renew().read()))["said"] is not None:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return facts | {"again": again}


def leaving_while_it_hangs() -> dict[str, Any]:
    """The process ends although the camera cannot be stopped; that it does is the test."""
    camera = open_face()
    camera.read()
    vcam_compat.hang_in_stop(hang=True)
    return {"close": error_of(camera.close)}


def leaving_without_closing() -> dict[str, Any]:
    """The process ends although nobody closed the frozen camera."""
    camera = open_face()
    camera.read()
    vcam_compat.freeze()
    return {"lost": error_of(lambda: [camera.read() for _ in range(20)])}


def reopening() -> dict[str, Any]:
    """Threads and descriptors over 30 reopenings."""
    csi_cameras()
    camera = open_face()
    camera.read()
    counts = []
    for _ in range(30):
        camera = camera.renew()
        camera.read()
        counts.append((threading.active_count(), descriptors()))
    camera.close()
    return {"counts": counts, "at_the_end": threading.active_count()}


def second_opening() -> dict[str, Any]:
    """Opened twice, by us and by the rest of the program."""
    from picamera2 import Picamera2

    with open_face() as camera:
        facts: dict[str, Any] = {"ours": error_of(open_face)}
        facts["first"] = [camera.read().index for _ in range(30)]
    theirs = Picamera2(0)
    theirs.configure(theirs.create_video_configuration())
    theirs.start()
    facts["theirs"] = error_of(open_face)
    facts["their_frames"] = [len(theirs.capture_array(wait=5.0)) for _ in range(10)]
    theirs.close()
    with open_face() as camera:
        facts["afterwards"] = camera.read().index
    return facts


def the_trap() -> dict[str, Any]:
    """What the guard is for: without it, does a failing Picamera2(0) still kill the first one?"""
    from picamera2 import Picamera2

    with open_face() as camera:
        camera.read()
        try:
            Picamera2(0)
            second = None
        except RuntimeError as exc:
            second = str(exc)
        return {"second": second, "first": error_of(lambda: [camera.read() for _ in range(10)])}


def busy() -> dict[str, Any]:
    """Another program holds the camera: tried 20 times, then it lets go."""
    holder = libcamera.CameraManager.singleton().cameras[0]
    holder.acquire()
    counts = []
    for _ in range(20):
        said = error_of(open_face)["said"]
        counts.append((threading.active_count(), descriptors()))
    holder.release()
    with open_face() as camera:
        index = camera.read().index
    return {"said": said, "counts": counts, "then": index}


def listing() -> dict[str, Any]:
    """The list, while the first camera is open and delivers."""
    with open_face() as camera:
        camera.read()
        cameras = csi_cameras()
        return {"cameras": cameras, "frames": [camera.read().index for _ in range(5)]}


def two_cameras() -> dict[str, Any]:
    """Both at once, each with its own picture."""
    bars = csi_cameras()[1]
    with (
        open_face() as first,
        CsiCamera(bars["Num"], name=bars["Model"], size_wh=SIZE_WH, fps=30.0) as second,
    ):
        frames = [(first.read(), second.read()) for _ in range(10)]
    shown = film()
    return {
        "face": max(distance(one.image, shown) for one, _ in frames),
        "bars": min(distance(other.image, shown) for _, other in frames),
    }


def costs(count: str) -> dict[str, float]:
    """Processor time of the reading thread in ms, means over so many calls.

    ``read`` is of a camera at its rate, so the caches are cold; the parts are repeated on a frame.
    Without the image processor (the shim), which is hardware on a Pi, and picamera2's own threads.
    """
    repeats = int(count)

    def mean_ms(call: Callable[[], object]) -> float:
        began = time.thread_time()
        for _ in range(repeats):
            call()
        return (time.thread_time() - began) * 1e3 / repeats

    found = {}
    for name, colour in (("read, colour", True), ("read, grey", False)):
        with open_face(colour=colour) as camera:
            found[name] = mean_ms(camera.read)
    with open_face() as camera:
        request = camera._camera.capture_request(wait=2.0)
        main = request.make_array("main")
        found["Y of lores"] = mean_ms(lambda: camera._copy_luma(request))
        found["copy of main"] = mean_ms(lambda: request.make_array("main"))
        found["cvtColor of main"] = mean_ms(lambda: to_grey(main))
        found["get_metadata"] = mean_ms(request.get_metadata)
        request.release()
    return found


def ribbon_in_a_loop(*arguments: str) -> None:
    """``fer-edge run``, while the ribbon is pulled after 3 s and put back after 8 s."""
    from fer_edge.edge.cli import main

    for after_s, what in ((3.0, vcam_compat.freeze), (8.0, vcam_compat.thaw)):
        timer = threading.Timer(after_s, what)
        timer.daemon = True
        timer.start()
    sys.argv = ["fer-edge", "run", *arguments]
    main()


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    print(json.dumps(globals()[name](*arguments)), flush=True)
