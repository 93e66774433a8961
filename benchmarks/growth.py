"""Whether the loop's memory grows: ``fer-edge run`` over the demo, watched from inside.

It runs what the command runs (``edge/run.py``): the pipeline, a JSON-lines sink, the status sink.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..edge.cameras import Camera, CameraBase, open_camera
from ..edge.classifier import EmotionClassifier
from ..edge.detectors import open_detector
from ..edge.errors import EXIT_OK, FerEdgeError
from ..edge.records import Frame
from ..edge.run import Outputs, run_loop
from .host import Host, read_host

SCHEMA_VERSION = 1
#: By this frame nearly every buffer, cache and thread has been used.
FROM_FRAME = 200
#: More than this between there and frame 2,000 would be a leak, not noise.
WANTED_MB = 2.0
_EVERY_FRAMES = 100
# The demo as a camera of four times its usual rate. Played as fast as it goes, as files are, more
# or fewer frames wait between the stages at the moment of a sample, 0.9 MB each.
_FPS = 120.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The resident memory of the process when it captured a frame."""

    frame: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Growth:
    """How the memory of a run developed.

    Attributes:
        samples: In the order of their frames.
        from_frame: Where growth is counted from.
        host: Where it ran.
    """

    samples: tuple[Sample, ...]
    from_frame: int
    host: Host

    @property
    def growth_mb(self) -> float:
        """Resident memory at the end less that at ``from_frame``, in megabytes (10^6 bytes)."""
        return growth_mb(self.samples, self.from_frame)

    @property
    def good(self) -> bool:
        """Whether it grew by no more than is wanted."""
        return self.growth_mb <= WANTED_MB

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values, schema version 1."""
        return {
            "schema": SCHEMA_VERSION,
            "benchmark": "growth",
            "growth_mb": round(self.growth_mb, 3),
            "wanted_mb": WANTED_MB,
            **dataclasses.asdict(self),
        }


def growth_mb(samples: Sequence[Sample], from_frame: int) -> float:
    """Memory of the last sample less that of ``from_frame``, in megabytes; negative if it shrank.

    Raises:
        FerEdgeError: There is no sample of that frame.
    """
    base = next((sample for sample in samples if sample.frame == from_frame), None)
    if base is None:
        frames = [sample.frame for sample in samples]
        raise FerEdgeError(f"No sample was taken at frame {from_frame}, only at {frames}.")
    return (samples[-1].rss_bytes - base.rss_bytes) / 1e6


def rss_bytes() -> int:
    """Resident memory of this process in bytes."""
    try:
        import psutil
    except ImportError:
        # What psutil reads, too: the second number is in pages.
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return psutil.Process().memory_info().rss


class SampledCamera(CameraBase):
    """A camera that notes the memory of the process at some of its frames."""

    def __init__(self, camera: Camera, due: Callable[[int], bool]):
        """Wrap a camera.

        Args:
            camera: Opened; closing it is the caller's.
            due: Whether to note the frame with this number, counted from 1.
        """
        self.name, self.fps, self.lossless = camera.name, camera.fps, camera.lossless
        self.samples: list[Sample] = []
        self._camera, self._due = camera, due
        self._count = 0

    def read(self) -> Frame | None:
        """The wrapped camera's next frame."""
        frame = self._camera.read()
        if frame is not None:
            self._count += 1
            if self._due(self._count):
                self.samples.append(Sample(self._count, rss_bytes()))
        return frame


def measure_growth(
    frames: int,
    *,
    model: str | None = None,
    from_frame: int = FROM_FRAME,
    every: int = _EVERY_FRAMES,
) -> Growth:
    """Run the loop over the demo, played as a camera at 120 frames a second.

    Args:
        frames: How many results to wait for.
        model: Name or file of the ``.tflite``; None is the default model.
        from_frame: Where growth is counted from, below ``frames``.
        every: How many frames lie between two samples.

    Raises:
        FerEdgeError: The run did not come to its end, or failed.
        KeyboardInterrupt: Ctrl-C.
    """
    host = read_host()
    classifier, detector = EmotionClassifier.open(model), open_detector("haar")
    # /dev/null exists, which a sink does not write to otherwise.
    outputs = Outputs(jsonl=os.devnull, overwrite=True, window=False)

    def due(count: int) -> bool:
        # The loop runs a few frames ahead of its results: those after the last one do not count.
        return count <= frames and (count in (from_frame, frames) or count % every == 0)

    with open_camera("demo", fps=_FPS) as demo:
        camera = SampledCamera(demo, due)
        code = run_loop(camera, detector, classifier, outputs, frames=frames)
    if code != EXIT_OK:
        raise KeyboardInterrupt
    if not camera.samples or camera.samples[-1].frame != frames:
        raise FerEdgeError(f"The run was ended before frame {frames}.")
    return Growth(tuple(camera.samples), from_frame, host)
