"""Documents of version 1, each of a benchmark of its own, as documents of today.

Their sections have names of their own, so that figures of theirs stand beside each other and never
beside those of version 2, which are measured otherwise.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..edge.errors import DataError
from .document import Better, Document, document_from
from .rules import say_disturbed

_UNKNOWN = {
    "governor": None,
    "clock_mhz": None,
    "temperature_c": None,
    "throttled_now": None,
    "throttled_since_boot": None,
    "load_1min": None,
}
# What version 1 called by the module is known by the name of the package today.
_PACKAGES = {"litert": "ai-edge-litert"}

Fields = Mapping[str, Any]


def from_version_1(fields: Fields, path: Path) -> Document:
    """Convert a document of version 1.

    Args:
        fields: What the file holds.
        path: The file, for messages.

    Raises:
        DataError: It is of a benchmark that cannot be compared, or does not have its form.
    """
    name = fields.get("benchmark")
    # The oldest one of all does not say what it is.
    if name is None and {"frames", "rounds", "scores", "host"} <= fields.keys():
        name = "detect"
    if name is None or ("schema" in fields and fields["schema"] != 1):
        raise DataError(f"{path} is no JSON of `fer-edge benchmark` that can be compared.")
    read = _READERS.get(name) if isinstance(name, str) else None
    if read is None:
        raise DataError(
            f"{path} is of `fer-edge benchmark {str(name)[:40]}`, whose figures stand for "
            f"themselves. Of schema version 1 these can be compared: {', '.join(_READERS)}."
        )
    try:
        figures = read(fields)
        return document_from(_document(name, fields, figures))
    except (AttributeError, ArithmeticError, IndexError, KeyError, TypeError, ValueError) as exc:
        raise DataError(
            f"{path} does not have the form of `fer-edge benchmark {name}`, schema version 1 "
            f"({type(exc).__name__}: {exc}). Was it changed by hand?"
        ) from exc


def _document(name: str, fields: Fields, figures: list[Fields]) -> Fields:
    host = fields["host"]
    versions = fields.get("versions", {})
    if name == "peers":
        # By contender; those of the peer are another environment's.
        versions = next((found for who, found in versions.items() if who != "fer"), {})
    load = {**_UNKNOWN, "load_1min": host["load_1min"]}
    return {
        "date": fields.get("date", ""),
        "version": "",
        "command": fields.get("command", f"fer-edge benchmark {name}"),
        "quick": False,
        "state": "complete",
        "machine": {
            "board": "",
            "processor": host["cpu"],
            "architecture": host["machine"],
            "cores": host["cores"],
            "memory_bytes": 0,
            "system": "",
            "kernel": host["system"],
            "python": versions.get("python", ""),
            "packages": {
                _PACKAGES.get(each, each): text
                for each, text in versions.items()
                if each != "python"
            },
        },
        # A document of `detect` has the load at its end.
        "before": _UNKNOWN if name == "detect" else load,
        "after": load if name == "detect" else _UNKNOWN,
        # Their digests are of the contents, not of the files.
        "models": [],
        "figures": figures,
        "curves": [],
        "missing": {},
        "notes": [
            f"Made of a document of schema version 1 (`fer-edge benchmark {name}`): runs of a few "
            f"seconds, fewer than the rules of version 2 ask for, the machine's state not looked "
            f"at.",
            *_digests(fields),
        ],
    }


def _digests(fields: Fields) -> list[str]:
    models = fields.get("models", {})
    named = [models[kind] for kind in ("keras", "int8") if kind in models]
    named += [fields["model"]] if "model" in fields else []
    return [f"{name}: content {digest}" for name, digest in named]


def _figure(
    section: str,
    metric: str,
    unit: str,
    better: Better,
    of: Fields,
    values: list[float],
    others_cores: float = 0.0,
) -> Fields:
    return {
        "section": section,
        "metric": metric,
        "unit": unit,
        "better": better,
        "of": of,
        "values": values,
        "invalid": say_disturbed(others_cores),
    }


def _loop(fields: Fields) -> list[Fields]:
    clip, cores, models = fields["clip"], fields["cores"], fields["models"]
    model = Path(models["int8"][0]).stem
    shared = {"clip": clip["name"], "clip_sha256": clip["sha256"][:12], "model": model}
    return _contenders("tutorial", fields, {**shared, "cores": cores})


def _peers(fields: Fields) -> list[Fields]:
    width, height = fields["size_wh"]
    clips = ", ".join(clip["name"] for clip in fields["clips"])
    model = Path(fields["model"][0]).stem
    return _contenders(
        "peers",
        fields,
        {"clip": clips, "size": f"{width}x{height}", "model": model, "cores": fields["cores"]},
    )


def _contenders(section: str, fields: Fields, shared: Fields) -> list[Fields]:
    groups: dict[str, list[Fields]] = {}
    for run in fields["runs"]:
        groups.setdefault(run["contender"], []).append(run)
    found = []
    for name, runs in groups.items():
        of = {**shared, "contender": name}
        others = max(run["others_cores"] for run in runs)
        fps = [run["frames"] / run["seconds"] for run in runs]
        cpu_ms = [1e3 * run["cpu_seconds"] / run["frames"] for run in runs]
        found.append(_figure(section, "fps", "frames/s", "higher", of, fps, others))
        found.append(_figure(section, "processor_time", "ms", "lower", of, cpu_ms, others))
    return found


def _paced(fields: Fields) -> list[Fields]:
    clip, found = fields["clip"], []
    for score in fields["scores"]:
        of = {
            "clip": clip["name"],
            "clip_sha256": clip["sha256"][:12],
            "cores": fields["cores"],
            "rate": score["fps"],
            "slowed": score["slowed"],
        }
        measured: list[tuple[str, str, Better, float]] = [
            ("age_p50", "ms", "lower", score["age_ms"]),
            ("age_p95", "ms", "lower", score["age_p95_ms"]),
            ("delivered", "frames", "higher", score["delivered"]),
            ("dropped", "frames", "lower", score["dropped"]),
            ("growth", "MB", "lower", score["growth_mb"]),
        ]
        for stage, took in score["stages"].items():
            measured.append((f"{stage}_p50", "ms", "lower", took["median_ms"]))
            measured.append((f"{stage}_p95", "ms", "lower", took["p95_ms"]))
        found += [
            _figure("paced", metric, unit, better, of, [value], score["others_cores"])
            for metric, unit, better, value in measured
        ]
    return found


def _detect(fields: Fields) -> list[Fields]:
    found = []
    for score in fields["scores"]:
        setting = score["setting"]
        width, height = setting["size_wh"]
        of = {
            "detector": setting["detector"],
            "size": f"{width}x{height}",
            "pictures": "grey" if setting["grey"] else "colour",
        }
        ms = [score["ms_per_frame"]]
        found.append(_figure("detect", "processor_time", "ms", "lower", of, ms))
        found += [
            _figure("detect", "faces_found", "faces", "none", {**of, "clip": clip}, [faces])
            for clip, faces in score["faces"].items()
        ]
    return found


_READERS: Mapping[str, Callable[[Fields], list[Fields]]] = {
    "loop": _loop,
    "paced": _paced,
    "peers": _peers,
    "detect": _detect,
}
