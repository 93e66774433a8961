"""Builders of documents of ``fer-edge benchmark``, with figures that nobody measured.

The machines and their figures are INVENTED, the Raspberry Pi's above all: they have the shape of
real ones, so that reports of them look like reports.
"""

import json
from pathlib import Path

from fer_edge.benchmarks.document import (
    Conditions,
    Curve,
    Document,
    Figure,
    Machine,
    ModelFile,
    write_document,
)

INVENTED = "INVENTED for a test"
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def a_machine(**changes) -> Machine:
    fields = {
        "board": "",
        "processor": f"Desktop, {INVENTED}",
        "architecture": "x86_64",
        "cores": 2,
        "memory_bytes": 8_200_000_000,
        "system": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "Linux 6.1.0",
        "python": "3.11.7",
        "packages": {"ai-edge-litert": "2.3.0", "numpy": "2.4.6"},
    }
    return Machine(**{**fields, **changes})


def an_invented_pi(**changes) -> Machine:
    fields = {
        "board": f"Raspberry Pi 5, {INVENTED}",
        "processor": "Cortex-A76",
        "architecture": "aarch64",
        "cores": 4,
        "kernel": "Linux 6.12.0-rpi",
        "packages": {"ai-edge-litert": "2.3.0", "numpy": "1.24.2", "picamera2": "0.3.19"},
    }
    return a_machine(**{**fields, **changes})


def a_figure(*values: float, **changes) -> Figure:
    """``invoke_p50`` of the model ``fast`` in ms; one repetition a value."""
    fields = {
        "section": "latency",
        "metric": "invoke_p50",
        "unit": "ms",
        "better": "lower",
        "of": {"model": "fast", "threads": 1},
        "values": values or (1.0,),
    }
    return Figure(**{**fields, **changes})


def a_document(*figures: Figure, **changes) -> Document:
    fields = {
        "date": "2026-11-21T12:00:00+00:00",
        "version": "0.1.0",
        "command": "fer-edge benchmark all",
        "quick": False,
        "state": "complete",
        "machine": a_machine(),
        "before": Conditions(),
        "after": Conditions(),
        "figures": figures,
    }
    return Document(**{**fields, **changes})


def five(median: float, spread: float = 0.03) -> tuple[float, ...]:
    """Five repetitions around a median."""
    return tuple(median * (1 + spread * step) for step in (0.2, -1.0, 0.0, 1.0, -0.4))


def a_model(name: str, digit: str = "a") -> ModelFile:
    return ModelFile(name, digit * 64, 253352)


def an_invented_run(slower: float = 1.0, *, invalid: str = "", **changes) -> Document:
    """What ``benchmark all`` leaves, as many times slower as is asked for."""
    models = {"accurate": (0.9, 68.9), "fast": (0.2, 67.6)}
    figures: list[Figure] = []
    for name, (ms, accuracy) in models.items():
        for threads in (1, 2):
            of = {"model": name, "runtime": "litert", "device": "cpu", "threads": threads}
            for metric, more in (("invoke", 0.0), ("classify", 0.1)):
                for part, times in (("p50", 1.0), ("p90", 1.1), ("p99", 1.6)):
                    values = five(slower * times * (ms / threads**0.5 + more))
                    figures.append(a_figure(*values, metric=f"{metric}_{part}", of=of))
            figures.append(a_figure(*five(12 * slower), metric="load", of=of))
            figures.append(a_figure(61.0 + threads, metric="memory", unit="MB", of=of))
        for kind, lost in (("keras", 0.0), ("int8", 0.2)):
            of = {"model": name, "kind": kind, "split": "PublicTest", "images": 3589}
            shares = {"section": "accuracy", "unit": "%", "better": "higher"}
            figures.append(a_figure(accuracy - lost, metric="accuracy", of=of, **shares))
            for at, label in enumerate(CLASSES):
                recall = accuracy - 3 * at - lost * (at - 2)
                part = {**of, "class": label, "images": 400 + at}
                figures.append(a_figure(recall, metric="recall", of=part, **shares))
        loss = {"section": "accuracy", "metric": "loss", "unit": "points"}
        figures.append(a_figure(0.2, of=of, **loss))
    for size, ms in (("160x120", 1.3), ("320x240", 3.1), ("640x480", 12.0)):
        of = {"detector": "yunet", "size": size, "device": "cpu", "threads": 1}
        for part, times in (("p50", 1.0), ("p99", 1.4)):
            values = five(slower * times * ms)
            figures.append(a_figure(*values, metric=f"detect_{part}", of=of))
    cores = changes.get("machine", a_machine()).cores
    loop = {"model": "accurate", "detector": "yunet", "cores": cores}
    for faces in range(9):
        of = {**loop, "faces": faces, "rate": 0}
        values = five(400 / slower / (1 + 0.3 * faces))
        figures.append(
            a_figure(
                *values,
                section="loop",
                metric="fps",
                unit="frames/s",
                better="higher",
                of=of,
                invalid=invalid if faces > 5 else "",
            )
        )
    for rate in (15, 30, 60, 120):
        of = {**loop, "faces": 1, "rate": rate}
        for part, ms in (("p50", 3.0), ("p95", 8.0), ("p99", 11.0)):
            values = five(ms * slower, 0.1)
            figures.append(a_figure(*values, section="loop", metric=f"age_{part}", of=of))
        figures.append(a_figure(0.0, section="loop", metric="dropped", unit="%", of=of))
        figures.append(a_figure(*five(107), section="loop", metric="memory", unit="MB", of=of))
    curves = [
        Curve(
            "accuracy",
            name,
            unit,
            "%",
            {"model": model, "kind": "int8", "images": 3589},
            xs,
            tuple(accuracy * share for share in (1, 0.97, 0.9, 0.8, 0.6, 0.4)),
        )
        for name, unit, xs in (
            ("box shift", "% of its side", (0, 5, 10, 15, 20, 30)),
            ("small face", "px", (48, 36, 24, 16, 12, 8)),
            ("blur", "px", (0, 0.5, 1, 1.5, 2, 3)),
        )
        for model, (_, accuracy) in models.items()
    ]
    fields = {
        "models": tuple(map(a_model, models)),
        "curves": tuple(curves),
        "notes": (f"All figures are {INVENTED}.",),
        "before": Conditions("ondemand", 1800.0, 45.0, (), (), 0.1),
        "after": Conditions("ondemand", 2400.0, 61.5, (), (), 1.2),
    }
    return a_document(*figures, **{**fields, **changes})


def save(folder: Path, **documents: Document) -> list[Path]:
    """Write documents under their names."""
    paths = []
    for name, document in documents.items():
        path = folder / f"{name}.json"
        write_document(path, document, overwrite=True)
        paths.append(path)
    return paths


def as_json(document: Document) -> dict:
    """What a file of it holds."""
    return json.loads(json.dumps(document.to_dict()))
