"""Hard negatives: what the network takes for a face in pictures that have none.

After A. Shrivastava, A. Gupta and R. Girshick, "Training Region-based Object Detectors with Online
Hard Example Mining", CVPR 2016 (arXiv:1604.03540), though in rounds: what is found is written
beside the checkpoints, so that a run that was killed goes on with it.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...edge.errors import UsageError
from ..checkpoints import write_whole
from .compose import HardSpot
from .found import found_by_network
from .recipe import Mining
from .scenes import Scene

# A texture that is harmless as it is may look like a face when it is farther away.
_SIZES_WH = ((320, 320), (192, 192))


def mine(network: Any, negatives: Sequence[Scene], settings: Mining) -> list[HardSpot]:
    """Search pictures without a face, at two sizes.

    Args:
        network: With the weights of the moment.
        negatives: The pictures.
        settings: From which score on, and how many a picture.
    """
    spots = []
    for size_wh in _SIZES_WH:
        found = found_by_network(network, negatives, size_wh=size_wh, lowest=settings.score)
        for index, boxes in enumerate(found):
            width, height = negatives[index].size_wh
            for x, y, w, h, score in boxes[: settings.per_scene].tolist():
                # Some lie where the picture was padded, and show nothing.
                if 0 <= x + w / 2 < width and 0 <= y + h / 2 < height:
                    spots.append(HardSpot(index, (x, y, w, h), score))
    return spots


def write_spots(out: Path, epoch: int, spots: Sequence[HardSpot]) -> None:
    """Keep what was found after so many whole epochs."""
    document = [dataclasses.asdict(spot) for spot in spots]
    write_whole(_path(out, epoch), lambda path: path.write_text(json.dumps(document)))


def read_spots(out: Path, after: Sequence[int], epoch: int) -> list[HardSpot]:
    """What the last round up to an epoch found.

    Args:
        out: The run folder.
        after: Whole epochs after which there was a round.
        epoch: Whole epochs done.

    Raises:
        UsageError: The file of that round is gone or damaged.
    """
    rounds = [number for number in after if number <= epoch]
    if not rounds:
        return []
    path = _path(out, max(rounds))
    try:
        return [
            HardSpot(entry["scene"], tuple(entry["box"]), entry["score"])
            for entry in json.loads(path.read_text())
        ]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise UsageError(f"Cannot read {path}: {exc}. Start a new --out.") from exc


def _path(out: Path, epoch: int) -> Path:
    return out / "checkpoints" / f"hard-{epoch:03d}.json"
