"""Measuring a detector on labelled scenes: what ``fer-edge evaluate-detector`` prints."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...edge.contract import DETECTOR
from ...edge.errors import ModelError, UsageError
from ...edge.native_log import native_stderr_silenced
from ...edge.sidecar import read_sidecar
from .found import found_by_detector, found_by_network, open_judged
from .scenes import read_scenes
from .score import FALSE_AN_IMAGE, SIZES, Rules, score

if TYPE_CHECKING:
    from rich.table import Table

_IOUS = (0.5, 0.3)
_LEAST_PX = 16.0


def evaluate(
    model: str,
    data: Path,
    detector_model: Path | None = None,
    *,
    masked: bool = False,
    skip_bad: bool = False,
) -> dict[str, Any]:
    """Measure a detector by every rule: faces from 16 pixels on, and each size for itself.

    Args:
        model: A ``.keras`` or ``.tflite`` file, or the name of one of the device's detectors.
        data: Scenes as JSON lines.
        detector_model: The model file of a named detector.
        masked: Whether masked faces count.
        skip_bad: Leave bad lines out.

    Returns:
        A JSON document.

    Raises:
        UsageError: There is no such detector.
        ModelError: The model cannot be used.
        DataError: The scenes cannot be read.
    """
    if model.lower().endswith(".keras"):
        if detector_model is not None:
            raise UsageError(f"{model} is a model itself: leave --detector-model out.")
        network, name = _load(Path(model)), model
        scenes = read_scenes(data, skip_bad=skip_bad)
        found = found_by_network(network, scenes.scenes)
    else:
        detector = open_judged(model, detector_model)
        name = detector.name if model == detector.name else f"{detector.name} ({model})"
        scenes = read_scenes(data, colour=detector.colour, skip_bad=skip_bad)
        found = found_by_detector(detector, scenes.scenes)
    rows = []
    for low, high in ((_LEAST_PX, math.inf), *SIZES):
        for iou in _IOUS:
            reached = score(found, scenes.scenes, Rules(iou, low, high, masked))
            rows.append(
                {
                    "min_px": low,
                    "max_px": high if high < SIZES[-1][1] else None,
                    "iou": iou,
                    "faces": reached.faces,
                    "average_precision": round(reached.average_precision, 4),
                    "recall": round(reached.recall, 4),
                    "threshold": round(reached.threshold, 4)
                    if math.isfinite(reached.threshold)
                    else None,
                }
            )
    return {
        "detector": name,
        "data": data.name,
        "data_sha256": scenes.sha256,
        "images": len(scenes.scenes),
        "skipped": scenes.skipped,
        "masked": masked,
        "false_an_image": FALSE_AN_IMAGE,
        "scores": rows,
    }


def table(report: dict[str, Any]) -> "Table":
    """The figures of a report, a line a size."""
    from rich.table import Table

    rows = report["scores"]
    made = Table("shorter side", "faces", box=None)
    for iou in _IOUS:
        for name in ("AP", "recall"):
            made.add_column(f"{name} {iou:g}", justify="right")
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        low, high = first["min_px"], first["max_px"]
        size = f"{low:g} px and more" if high is None else f"{low:g} to {high:g} px"
        figures = [one[key] for one in (first, second) for key in ("average_precision", "recall")]
        made.add_row(size, str(first["faces"]), *(f"{figure:.3f}" for figure in figures))
    counted = "masked faces count" if report["masked"] else "masked faces are ignored"
    made.caption = (
        f"AP and recall at an IoU of so much; recall with at most {FALSE_AN_IMAGE:g} false boxes "
        f"an image; {counted}."
    )
    return made


def _load(path: Path) -> Any:
    contract = read_sidecar(path)
    contract.require_kind(DETECTOR)
    with native_stderr_silenced():
        import keras
    try:
        return keras.saving.load_model(path, safe_mode=True, compile=False)
    # Whatever a file that is none makes Keras raise.
    except Exception as exc:
        raise ModelError(f"Keras cannot load {path}: {' '.join(str(exc).split())[:200]}") from exc
