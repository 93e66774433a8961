"""What ``fer-edge models list`` shows: what ships, and what can be fetched."""

from typing import Any

from ..contract import CLASSIFIER, DETECTOR, ModelContract
from ..contract_file import load_model
from ..errors import ModelError
from . import DEFAULT, shipped_detectors, shipped_models
from .catalogue import FETCHABLE, place_of, state_of


def listed() -> list[dict[str, Any]]:
    """A row for each model, ready for JSON.

    Each has ``name``, ``kind``, ``state`` (``shipped``, ``default``, ``there``, ``missing`` or
    ``damaged``), ``size_bytes``, ``path``, ``licence`` and ``about`` for people; one that ships
    also ``metrics`` as its contract has them.
    """
    rows: list[dict[str, Any]] = []
    detectors = {path.stem.removesuffix("_int8"): path for path in shipped_detectors().values()}
    for name, path in (shipped_models() | detectors).items():
        kind = DETECTOR if name in detectors else CLASSIFIER
        row = {"name": name, "kind": kind, "size_bytes": path.stat().st_size}
        try:
            _, contract = load_model(path)
            state = "default" if name == DEFAULT else "shipped"
            row |= {"state": state, "about": _about(contract), "licence": contract.licence}
            row |= {"metrics": [dict(metric) for metric in contract.metrics]}
        except ModelError as exc:
            row |= {"state": "damaged", "about": str(exc), "licence": "", "metrics": []}
        rows.append({**row, "path": str(path)})
    for model in FETCHABLE.values():
        state = state_of(model)
        cure = {
            "there": "",
            "missing": f"; `fer-edge models get {model.name}` fetches it",
            "damaged": f"; delete it and run `fer-edge models get {model.name}`",
        }[state]
        rows.append(
            {
                "name": model.name,
                "kind": DETECTOR,
                "state": state,
                "size_bytes": model.size_bytes,
                "about": f"{model.about}, {model.licence}{cure}",
                "licence": model.licence,
                "path": str(place_of(model)),
            }
        )
    return rows


def _about(contract: ModelContract) -> str:
    """Size of the input and the accuracies, as the contract tells them."""
    width, height = contract.input_size_wh
    if contract.kind == DETECTOR:
        return f"{width}x{height}, detector fer-face"
    parts = [f"{width}x{height}, {len(contract.labels)} emotions"]
    measured = [
        metric
        for metric in contract.metrics
        if metric.get("name") == "accuracy" and {"value", "split"} <= set(metric)
    ]
    # The file itself is int8; its float parent's figure counts only where that was not measured.
    own = [metric for metric in measured if metric.get("of") == "int8"] or measured
    parts += [
        f"{100 * float(metric['value']):.1f} % of {metric.get('count', '?')} in {metric['split']}"
        + (f" ({metric['of']})" if "of" in metric else "")
        for metric in own
    ]
    return ", ".join(parts)
