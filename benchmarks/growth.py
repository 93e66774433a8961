"""Whether the loop grows: over the demo, its memory, its threads and its open files.

It has the parts of ``fer-edge run``: the pipeline, a JSON-lines sink, the status.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..edge.cameras.demo import DemoCamera
from ..edge.classifier import EmotionClassifier
from ..edge.detectors import open_detector
from ..edge.errors import FerEdgeError, UsageError
from ..edge.memory import use_one_heap
from ..edge.pipeline import Pipeline
from ..edge.sinks.group import SinkGroup
from ..edge.sinks.jsonl import JsonLinesSink
from ..edge.sinks.status import StatusSink
from .host import Host, read_host

SCHEMA_VERSION = 1
#: By this frame every buffer, cache and thread has been used.
FROM_FRAME = 1000
#: More than this between there and frame 10,000 would be a leak. A sample holds the frames that are
#: between the stages at its moment, 0.9 MB each.
WANTED_MB = 5.0
_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process held when it had delivered so many results.

    Attributes:
        frame: How many.
        rss_bytes: Resident memory.
        threads: Native ones, too.
        descriptors: Open files, pipes and sockets.
    """

    frame: int
    rss_bytes: int
    threads: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Growth:
    """How what a run holds developed.

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
    def constant(self) -> bool:
        """Whether from ``from_frame`` on threads and descriptors stayed as many."""
        settled = [sample for sample in self.samples if sample.frame >= self.from_frame]
        return len({(sample.threads, sample.descriptors) for sample in settled}) <= 1

    @property
    def good(self) -> bool:
        """Whether it is as wanted."""
        return self.constant and self.growth_mb <= WANTED_MB

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values, schema version 1."""
        return {
            "schema": SCHEMA_VERSION,
            "benchmark": "growth",
            "growth_mb": round(self.growth_mb, 3),
            "wanted_mb": WANTED_MB,
            "constant": self.constant,
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


def take_sample(frame: int) -> Sample:
    """What this process holds now."""
    threads, descriptors = (
        len(list(Path(f"/proc/self/{name}").iterdir())) for name in ("task", "fd")
    )
    return Sample(frame, rss_bytes(), threads, descriptors)


def measure_growth(
    frames: int,
    *,
    model: str | None = None,
    from_frame: int = FROM_FRAME,
    every: int | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Growth:
    """Run the loop over the demo, as fast as it goes.

    Args:
        frames: How many results to wait for.
        model: Name or file of the ``.tflite``; None is the default model.
        from_frame: Where growth is counted from, below ``frames``.
        every: How many frames lie between two samples; None makes some twenty.
        progress: Takes what the loop tells people, and the summary at its end.

    Raises:
        UsageError: There are too few frames.
        FerEdgeError: The run failed.
    """
    if frames <= from_frame:
        raise UsageError(f"Expected more than the first {from_frame} frames, got {frames}.")
    every = every or max(1, frames // _SAMPLES)
    use_one_heap()
    host = read_host()
    classifier, detector = EmotionClassifier.open(model), open_detector("haar")
    samples: list[Sample] = []
    with DemoCamera(lossless=True) as camera, SinkGroup(progress) as sinks:
        pipeline = Pipeline(camera, detector, classifier, say=progress)
        # /dev/null exists, which a sink does not write to otherwise.
        sinks.add("JSON lines", JsonLinesSink(os.devnull, overwrite=True))
        sinks.add("The status", StatusSink(pipeline.snapshot, camera=camera.name), counts=False)
        for count, result in enumerate(pipeline.results(), start=1):
            sinks.write(result)
            if count in (from_frame, frames) or count % every == 0:
                samples.append(take_sample(count))
            if count == frames:
                break
    return Growth(tuple(samples), from_frame, host)
