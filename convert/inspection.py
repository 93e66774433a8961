"""Everything that ``fer-edge inspect`` says of a file, gathered; drawing it is elsewhere."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..edge.contract import ModelContract
from ..edge.contract_file import BUFFER_NAME, read_contract
from ..edge.errors import ModelError
from ..edge.runtime import RUNTIMES, load_network
from ..edge.sandbox import run_in_child
from ..edge.trust import is_known
from .describe import Tensor, TfliteModel, describe, read_model_file
from .edgetpu import Preflight, compile_commands, preflight
from .edgetpu_rules import SOURCES
from .operations import MinimumRuntime, minimum_runtime

SCHEMA_VERSION = 1
_PACKAGES = {"litert": "ai-edge-litert", "tflite": "tflite-runtime"}
# How runtime.py begins what it says of a model that it loaded and has no use for, and of a runtime
# that does not fit this machine.
_OTHER_OUTCOMES = {
    "The model must have one": "loads",
    "No TFLite runtime works here": "unusable",
}


@dataclass(frozen=True, slots=True)
class RuntimeTrial:
    """What a runtime did with the file.

    Attributes:
        name: ``litert`` or ``tflite``.
        version: Of its package; "" where it is not installed.
        outcome: ``runs``, ``loads`` (it has several inputs), ``refuses``, ``fails``
            (crashed, hung or took too much memory), ``unusable`` (the runtime, whatever the model)
            or ``absent``.
        reason: Its own words, where it does not run.
    """

    name: str
    version: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """A model file, taken apart.

    Attributes:
        path: Of the file.
        model: What the flatbuffer says.
        contract: None where there is none, or none that can be trusted.
        problem: What is wrong with the contract or with loading the file; "" for nothing.
        needs: The oldest TFLite runtime that knows its operations.
        trials: One a runtime.
        edgetpu: The preflight, where it was asked for.
    """

    path: Path
    model: TfliteModel
    contract: ModelContract | None
    problem: str
    needs: MinimumRuntime
    trials: tuple[RuntimeTrial, ...]
    edgetpu: Preflight | None

    @property
    def contract_status(self) -> str:
        """``good``, ``none`` or ``damaged``."""
        if self.contract is not None:
            return "good"
        return "damaged" if BUFFER_NAME in self.model.metadata else "none"


def inspect(path: Path, *, edgetpu: bool = False) -> Inspection:
    """Take a model file apart. One that is not known here is loaded in a child process.

    Raises:
        ModelError: It cannot be read, or is no TFLite model.
    """
    content = read_model_file(path)
    model = describe(content, str(path))
    contract, problem = None, ""
    if BUFFER_NAME in model.metadata:
        try:
            contract = read_contract(content, str(path))
        except ModelError as exc:
            problem = str(exc)
    trusted = contract is not None and is_known(model.sha256)
    trials = tuple(_try_runtime(name, content, trusted, str(path)) for name in RUNTIMES)
    if not problem:
        problem = next((trial.reason for trial in trials if trial.outcome == "fails"), "")
    return Inspection(
        path=path,
        model=model,
        contract=contract,
        problem=problem,
        needs=minimum_runtime(
            (item.name, item.version) for item in model.operations if not item.is_custom
        ),
        trials=trials,
        edgetpu=preflight(model) if edgetpu else None,
    )


def _try_runtime(name: str, content: bytes, trusted: bool, path: str) -> RuntimeTrial:
    try:
        version = metadata.version(_PACKAGES[name])
    except metadata.PackageNotFoundError:
        return RuntimeTrial(name, "", "absent", f"{_PACKAGES[name]} is not installed")
    try:
        if trusted:
            outcome, reason = run_once(content, name)
        else:
            outcome, reason = run_in_child(run_once, content, name, what=path)
    except ModelError as exc:
        return RuntimeTrial(name, version, "fails", str(exc))
    return RuntimeTrial(name, version, outcome, reason)


def run_once(content: bytes, runtime: str) -> tuple[str, str]:
    """Load a model and run it once on zeros.

    Returns:
        The outcome and the reason, as in :class:`RuntimeTrial`.
    """
    try:
        network = load_network(content, runtime=runtime)
        network.run_all(np.zeros(network.input.shape, network.input.dtype))
    except ModelError as exc:
        said = str(exc)
        found = (name for start, name in _OTHER_OUTCOMES.items() if said.startswith(start))
        return next(found, "refuses"), said
    return "runs", ""


def operation_counts(model: TfliteModel) -> list[tuple[str, int, int, int]]:
    """Name, version, count and multiply-adds of each kind of operation, the costliest first."""
    counts = Counter((item.name, item.version) for item in model.operations)
    costs: Counter[tuple[str, int]] = Counter()
    for item in model.operations:
        costs[item.name, item.version] += item.multiply_adds
    rows = [
        (name, version, count, costs[name, version]) for (name, version), count in counts.items()
    ]
    return sorted(rows, key=lambda row: (-row[3], row[0], row[1]))


# --------------------------------------------------------------------------------------- as JSON


def to_document(found: Inspection) -> dict[str, Any]:
    """What ``fer-edge inspect --json`` prints; -1 in a shape is a size that is open."""
    model, contract = found.model, found.contract
    return {
        "schema_version": SCHEMA_VERSION,
        "file": {"path": str(found.path), "bytes": model.size_bytes, "sha256": model.sha256},
        "contract": {
            "status": found.contract_status,
            "content_sha256": contract.content_sha256 if contract else None,
            "document": json.loads(contract.to_json()) if contract else None,
        },
        "problem": found.problem or None,
        "inputs": [_tensor(tensor) for tensor in model.inputs],
        "outputs": [_tensor(tensor) for tensor in model.outputs],
        "tensors": [_tensor(tensor) for tensor in model.tensors],
        "operations": [
            {
                "index": item.index,
                "name": item.name,
                "version": item.version,
                "custom": item.is_custom,
                "inputs": [None if tensor is None else tensor.index for tensor in item.inputs],
                "outputs": [tensor.index for tensor in item.outputs],
                "options": {key: _finite(value) for key, value in item.options.items()},
                "multiply_adds": item.multiply_adds,
            }
            for item in model.operations
        ],
        "operation_counts": [
            {"name": name, "version": version, "count": count, "multiply_adds": cost}
            for name, version, count, cost in operation_counts(model)
        ],
        "multiply_adds": model.multiply_adds,
        "weight_bytes": model.weight_bytes,
        "subgraphs": model.subgraph_count,
        "metadata": list(model.metadata),
        "minimum_runtime": {
            "version": found.needs.version or None,
            "due_to": found.needs.due_to or None,
            "unlisted": list(found.needs.unlisted),
            "in_file": model.minimum_runtime or None,
        },
        "runtimes": [
            {
                "name": trial.name,
                "version": trial.version or None,
                "outcome": trial.outcome,
                "reason": trial.reason or None,
            }
            for trial in found.trials
        ],
        "edgetpu": None if found.edgetpu is None else _edgetpu(found.edgetpu, found.path),
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {
        "index": tensor.index,
        "name": tensor.name,
        "shape": list(tensor.signature),
        "dtype": tensor.dtype,
        "constant_bytes": len(tensor.data),
        "scales": [_finite(scale) for scale in tensor.scales],
        "zero_points": list(tensor.zero_points),
    }


def _edgetpu(told: Preflight, path: Path) -> dict[str, Any]:
    return {
        "compiled": told.is_compiled,
        "refused": bool(told.refused),
        "operations_on_tpu": told.on_tpu,
        "operations_on_cpu": len(told.placements) - told.on_tpu,
        "multiply_adds_on_tpu": told.share,
        "weight_bytes": told.weight_bytes,
        "weights_fit": told.fits,
        "operations": [
            {
                "index": place.operation.index,
                "name": place.operation.name,
                "on_tpu": place.on_tpu,
                "behind_cut": place.behind_cut,
                "findings": [
                    {
                        "rule": item.rule.name,
                        "found": item.found,
                        "limitation": item.rule.limitation,
                        "source": SOURCES[item.rule.source],
                        "published": item.rule.published,
                        "blocks": item.rule.blocks,
                    }
                    for item in place.findings
                ],
            }
            for place in told.placements
        ],
        "commands": compile_commands(path.name) if told.on_tpu else None,
    }


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
