"""The documents that this project published before version 2."""

import json
from pathlib import Path

import jsonschema
import pytest

from fer_edge.benchmarks.document import Document, Figure, read_document
from fer_edge.edge.errors import DataError

from .documents import as_json
from .test_document import SCHEMA_FILE

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"


def read(name: str) -> Document:
    return read_document(RESULTS / f"{name}-2026-11-21.json")


def find(document: Document, metric: str, **wanted) -> Figure:
    """The only figure of a metric of which these are."""
    (found,) = (
        figure
        for figure in document.figures
        if figure.metric == metric and wanted.items() <= {**figure.of}.items()
    )
    return found


def test_loop() -> None:
    document = read_document(RESULTS / "loop-2026-11-21-again.json")

    # The figures of docs/benchmarks.md.
    ours = find(document, "fps", contender="fer-edge", clip="again.mkv", cores=2)
    assert ours.median == pytest.approx(334.66, abs=0.01)
    assert len(ours.values) == 3
    assert find(document, "processor_time", contender="tutorial").median == pytest.approx(
        103.08, abs=0.01
    )
    assert len(document.figures) == 10
    assert document.machine.python == "3.11.7"
    assert document.machine.packages["ai-edge-litert"] == "2.3.0"
    assert document.before.load_1min == 1.08


def test_paced() -> None:
    document = read("paced")

    assert find(document, "age_p95", rate=30, slowed=1).median == pytest.approx(8.18, abs=0.01)
    assert find(document, "dropped", rate=60, slowed=10).median == 0
    assert find(document, "classify_p50", rate=30, slowed=10).median == pytest.approx(
        6.06, abs=0.01
    )


def test_peers() -> None:
    document = read("peers")

    assert find(document, "fps", contender="fer").median == pytest.approx(28.6, abs=0.05)
    # The versions are those of our environment, not of fer's.
    assert document.machine.packages["opencv"] == "4.11.0"


def test_detect_which_does_not_say_what_it_is() -> None:
    document = read("detect")
    raw = json.loads((RESULTS / "detect-2026-11-21.json").read_text())["scores"][0]

    small = {"detector": "yunet", "size": "160x120", "pictures": "colour"}
    assert find(document, "processor_time", **small).median == raw["ms_per_frame"]
    assert find(document, "faces_found", clip="again.mkv", **small).values == (77,)
    assert document.date == ""


@pytest.mark.parametrize("name", ["loop-2026-11-21-again", "loop-2026-11-21-male"])
def test_a_note_says_what_it_was(name: str) -> None:
    notes = read_document(RESULTS / f"{name}.json").notes

    assert "schema version 1" in notes[0]
    assert any("f06379150601bfb3" in note for note in notes)


def test_every_published_document_is_read_or_refused_in_words() -> None:
    schema = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
    refused = {}
    for path in sorted(RESULTS.glob("*.json")):
        try:
            document = read_document(path)
        except DataError as exc:
            refused[path.name.partition("-2026")[0]] = str(exc)
        else:
            if document.version:
                continue
            schema.validate(as_json(document))

    # The oldest alignment has no more than its angles in it.
    assert "can be compared" in refused.pop("align")
    assert refused.keys() >= {"growth", "input", "overhead"}
    for message in refused.values():
        assert "loop, paced, peers, detect" in message


def test_a_disturbed_run_is_invalid(tmp_path: Path) -> None:
    fields = json.loads((RESULTS / "loop-2026-11-21-male.json").read_text())
    for run in fields["runs"]:
        run["others_cores"] = 0.7 if run["contender"] == "fer-edge" else 0.0
    (tmp_path / "busy.json").write_text(json.dumps(fields))

    document = read_document(tmp_path / "busy.json")

    assert find(document, "fps", contender="fer-edge").invalid == (
        "disturbed: other processes used 0.7 cores"
    )
    assert find(document, "fps", contender="tutorial").invalid == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmark": "weather"}, "benchmark weather"),
        ({"benchmark": None}, "that can be compared"),
        ({"benchmark": ["loop"]}, "whose figures"),
        ({"schema": 7}, "that can be compared"),
        ({"host": {}}, "KeyError"),
        ({"runs": [{}]}, "Was it changed by hand"),
    ],
)
def test_bad_input(tmp_path: Path, change: dict, message: str) -> None:
    fields = json.loads((RESULTS / "loop-2026-11-21-male.json").read_text())
    (tmp_path / "bad.json").write_text(json.dumps({**fields, **change}))

    with pytest.raises(DataError, match=r"bad\.json") as caught:
        read_document(tmp_path / "bad.json")
    assert message in str(caught.value)
