"""What the tests of latency share: short runs, and processes that answer at once."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2

from fer_edge.benchmarks import latency, latency_child
from fer_edge.benchmarks.document import Conditions
from fer_edge.benchmarks.latency_child import (
    DetectorRun,
    ModelRun,
)
from fer_edge.benchmarks.rules import Effort
from fer_edge.benchmarks.session import Session
from fer_edge.edge import tpu

SHORT = Effort(repeats=2, seconds=0.02, warmup_s=0.01)
PERCENTILES = ("p50", "p90", "p99")
CALLS = {"load", "first_invoke", *(f"invoke_{p}" for p in PERCENTILES)}
STEPS = {f"classify_{p}" for p in PERCENTILES}
NO_LIBRARY = "libedgetpu-that-nobody-has.so.1"


def left_as_before(monkeypatch) -> Iterator[None]:
    """What a child changes of its process is put back in this one."""
    threads = cv2.getNumThreads()
    monkeypatch.setattr(latency_child, "use_one_heap", lambda: True)
    monkeypatch.setattr(tpu, "LIBRARY", NO_LIBRARY)
    monkeypatch.delenv(tpu.LIBRARY_VARIABLE, raising=False)
    yield
    cv2.setNumThreads(threads)


def a_session(effort: Effort = SHORT, said: list[str] | None = None) -> Session:
    say = (lambda _: None) if said is None else said.append
    return Session("command", effort, say=say, conditions=Conditions)


def a_run(path: Path | str, **changes) -> ModelRun:
    fields = {
        "path": str(path),
        "contract": True,
        "device": "cpu",
        "threads": (1,),
        "seconds": 0.02,
        "warmup_s": 0.0,
    }
    return ModelRun(**{**fields, **changes})


def answers_here(monkeypatch) -> SimpleNamespace:
    """The processes answer at once, in this one; what was asked of them is in the list."""
    asked = []

    def ask(measure, run, **limits):
        asked.append(run)
        if isinstance(run, DetectorRun):
            return [
                {"detector": name, "size": f"{w}x{h}", **_row({"load": 1.0, "detect_p50": 2.0})}
                for name, _, (w, h) in run.settings
            ]
        rows = [dict.fromkeys([*CALLS, *STEPS], 10.0 * len(asked)) for _ in run.threads]
        answer = {"rows": rows, "memory": 5.0, "others_cores": 0.0, "runtime": "litert", "why": ""}
        return answer | answers.pop(run.device, {})

    def _row(took):
        return {"took": took, "others_cores": 0.0, "faces": 1}

    answers = {}
    ask.answers = answers
    monkeypatch.setattr(latency, "run_in_child", ask)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    return SimpleNamespace(asked=asked, answers=answers)
