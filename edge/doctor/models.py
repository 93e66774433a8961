"""The shipped models by their digests, run on a runtime; and models that were fetched."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .child import Heard, Tell, ask, attempt
from .finding import MORE_TIME, NOTE, OK, PROBLEM, WARNING, Finding
from .interpreter import Interpreter
from .packages import explain, version_of


def look(python: Interpreter, limit_s: float) -> Iterator[Finding]:
    """The check of the models that ship, and of the runtime."""
    from ..models import shipped_detectors, shipped_models

    paths = {name: str(path) for name, path in shipped_models().items()}
    paths |= {path.stem: str(path) for path in shipped_detectors().values()}
    heard = ask(in_child, paths, limit_s=limit_s)
    litert = version_of("ai-edge-litert") or "not installed"
    yield from judge(heard, list(paths), python, litert)


def judge(
    heard: Heard, names: Sequence[str], python: Interpreter, litert: str
) -> Iterator[Finding]:
    """The runtime, then each model.

    Args:
        heard: Steps ``digest NAME`` and ``run NAME``.
        names: Of the models that should be there.
        python: Where they are installed.
        litert: The version of LiteRT.
    """
    again = python.pip("install --force-reinstall --no-deps fer-edge")
    if not names:
        yield Finding(PROBLEM, "models", "none ships with this installation", again)
        return
    yield _judge_runtime(heard, names, python, litert)
    for name in names:
        outcome = heard.get(f"digest {name}")
        if outcome is None or (outcome.why and outcome.kind != ModelError.__name__):
            found = "its digest was not checked: the runtime must load first"
            yield Finding(WARNING, f"model {name}", found, "fer-edge doctor")
        elif outcome.why:
            why = outcome.why.removeprefix(f"{ModelError.__name__}: ")
            yield Finding(PROBLEM, f"model {name}", why, again)
        else:
            yield Finding(OK, f"model {name}", f"whole, {outcome.value[:12]}…")


def _judge_runtime(heard: Heard, names: Sequence[str], python: Interpreter, litert: str) -> Finding:
    runs = [outcome for name in names if (outcome := heard.get(f"run {name}")) is not None]
    good = [outcome for outcome in runs if not outcome.why]
    if good and len(good) == len(runs):
        which = good[0].value["runtime"]
        return Finding(OK, "runtime", f"{which} (LiteRT {litert}) ran {len(good)} models")
    digests = [outcome for name in names if (outcome := heard.get(f"digest {name}")) is not None]
    bad = [outcome for outcome in (*runs, *digests) if outcome.why]
    if not runs and digests and all(outcome.kind == ModelError.__name__ for outcome in digests):
        found = "was not tried: no shipped model is whole"
        return Finding(WARNING, "runtime", found, "fer-edge inspect accurate")
    if heard.late and all(outcome.late_s for outcome in bad):
        return Finding(WARNING, "runtime", f"slow, or it hangs: {heard.lost}", MORE_TIME)
    why = bad[0].why if bad else heard.lost or heard.said or "nothing was told"
    # LiteRT's reason is the one to mend; its predecessor is missing nearly everywhere.
    why = re.sub(r"; tflite: No module named '[\w.]+'", "", why).partition(" Install one:")[0]
    cause, cure = explain(f"{why} {heard.said}", python, "ai-edge-litert")
    why = why.removeprefix(f"{ModelError.__name__}: ")
    return Finding(PROBLEM, "runtime", f"{cause}: {why}" if cause else why, cure)


def in_child(tell: Tell, paths: dict[str, str]) -> None:
    """Check the digests, then build an interpreter for each model and run it once."""
    good = [
        name
        for name, path in paths.items()
        if not attempt(tell, f"digest {name}", _digest, path).why
    ]
    for name in good:
        attempt(tell, f"run {name}", _run, paths[name])


def _digest(path: str) -> str:
    from ..contract_file import load_model

    return load_model(Path(path))[1].content_sha256


def _run(path: str) -> dict[str, Any]:
    import numpy as np

    from ..runtime import load_network

    network = load_network(Path(path).read_bytes())
    answers = network.run_all(np.zeros(network.input.shape, network.input.dtype))
    if not all(np.isfinite(answer).all() for answer in answers):
        raise ModelError(f"{network.runtime} answers with what is no number")
    return {"runtime": network.runtime}


# Fetched models ------------------------------------------------------------------------------


def look_at_fetched(_limit_s: float) -> Iterator[Finding]:
    """The check of the user's cache."""
    from ..models.catalogue import FETCHABLE, place_of, state_of

    for model in FETCHABLE.values():
        yield judge_fetched(model.name, state_of(model), str(place_of(model)))


def judge_fetched(name: str, state: str, path: str) -> Finding:
    """A model that can be fetched.

    Args:
        name: Of the model.
        state: As ``catalogue.state_of`` tells it.
        path: Where it lies.
    """
    get = f"fer-edge models get {name}"
    if state == "there":
        return Finding(OK, f"model {name}", f"whole, {path}")
    if state == "missing":
        return Finding(
            NOTE, f"model {name}", "not fetched; it finds more small faces than fer-face", get
        )
    damaged = f"{path} is not the known file, or cannot be read"
    return Finding(PROBLEM, f"model {name}", damaged, f"rm {shlex.quote(path)} && {get}")
