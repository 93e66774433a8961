"""The document of a run: what is written comes back, and what is damaged is refused in words."""

import copy
import dataclasses
import json
from contextlib import suppress
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fer_edge.benchmarks
from fer_edge.benchmarks.document import (
    Conditions,
    Curve,
    Document,
    Figure,
    Machine,
    ModelFile,
    document_from,
    read_document,
    write_document,
)
from fer_edge.benchmarks.older import from_version_1
from fer_edge.benchmarks.rules import QUICK
from fer_edge.benchmarks.session import Session
from fer_edge.edge.errors import DataError, SinkError

from .documents import a_document, a_figure, a_machine, an_invented_run, as_json, save

SCHEMA_FILE = Path(fer_edge.benchmarks.__file__).parent / "assets" / "benchmark.schema.json"


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    """The schema that ships."""
    document = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


# -------------------------------------------------------------------------------------- strategies

texts = st.text(max_size=8)
names = st.text(min_size=1, max_size=8)
numbers = st.floats(-1e12, 1e12)
of = st.dictionaries(names, texts | st.integers(-(10**9), 10**9) | numbers, max_size=3)
figures = st.builds(
    Figure,
    names,
    names,
    names,
    st.sampled_from(["lower", "higher", "none"]),
    of,
    st.lists(numbers, min_size=1, max_size=5).map(tuple),
    texts,
)


@st.composite
def curves(draw) -> Curve:
    points = draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4))
    xs, ys = zip(*points, strict=True)
    return Curve(draw(names), draw(names), draw(texts), draw(names), draw(of), xs, ys)


kinds = st.none() | st.lists(st.sampled_from(["throttled", "undervoltage"])).map(tuple)
positive = st.floats(0, 1e6)
conditions = st.builds(
    Conditions,
    st.none() | texts,
    st.none() | positive,
    st.none() | numbers,
    kinds,
    kinds,
    st.none() | positive,
)
machines = st.builds(
    Machine,
    *[texts] * 3,
    st.integers(1, 256),
    st.integers(0, 10**13),
    *[texts] * 3,
    st.dictionaries(names, texts, max_size=3),
)
models = st.builds(
    ModelFile, names, st.from_regex("[0-9a-f]{64}", fullmatch=True), st.integers(0, 10**9)
)
dates = st.just("") | st.datetimes().map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}+00:00".zfill(25))
documents = st.builds(
    Document,
    dates,
    texts,
    texts,
    st.booleans(),
    st.sampled_from(["complete", "interrupted"]),
    machines,
    conditions,
    conditions,
    st.lists(models, max_size=2).map(tuple),
    st.lists(figures, max_size=3).map(tuple),
    st.lists(curves(), max_size=2).map(tuple),
    st.dictionaries(names, texts, max_size=2),
    st.lists(texts, max_size=2).map(tuple),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=4,
)


# ------------------------------------------------------------------------------------- there, back


@given(document=documents)
def test_what_is_written_comes_back(schema, document: Document) -> None:
    values = as_json(document)

    schema.validate(values)
    assert document_from(values) == document


def test_a_file_comes_back(tmp_path: Path) -> None:
    (path,) = save(tmp_path, run=an_invented_run())

    assert read_document(path) == an_invented_run()


def test_a_file_is_not_replaced_by_accident(tmp_path: Path) -> None:
    (path,) = save(tmp_path, run=a_document())

    with pytest.raises(SinkError, match="--overwrite"):
        write_document(path, an_invented_run(), overwrite=False)
    assert read_document(path) == a_document()


def test_what_a_session_leaves_is_such_a_document(schema) -> None:
    session = Session("fer-edge benchmark latency --quick", QUICK, machine=a_machine)
    with session.section("latency"):
        session.add("invoke_p50", "ms", "lower", {"model": "fast", "threads": 1}, (1.0, 1.1))
        session.add_curve("blur", "px", "%", {"model": "fast"}, (0, 1), (68.0, 60.5))
        session.add_model("fast", SCHEMA_FILE)
    session.miss("tpu", "there is none")
    session.note("a note")

    schema.validate(as_json(session.document()))


# ------------------------------------------------------------------------------------------ schema


def test_every_field_is_described() -> None:
    undescribed = []

    def walk(part: object, where: str) -> None:
        if isinstance(part, dict):
            # What is no reference says itself what it is.
            if ("type" in part or "const" in part or "enum" in part or "$ref" in part) and (
                len(part.get("description", "")) < 4 and set(part) != {"$ref"}
            ):
                undescribed.append(where)
            for name, inner in part.items():
                walk(inner, f"{where}/{name}")

    walk(json.loads(SCHEMA_FILE.read_text()), "")
    assert undescribed == []


def test_the_schema_has_the_fields_of_the_dataclasses() -> None:
    document = json.loads(SCHEMA_FILE.read_text())
    made = {
        "": (Document, {"schema", "kind"}),
        "machine": (Machine, set()),
        "conditions": (Conditions, set()),
        "model": (ModelFile, set()),
        "figure": (Figure, {"median", "spread"}),
        "curve": (Curve, set()),
    }
    for name, (kind, more) in made.items():
        part = document["$defs"][name] if name else document
        fields = {each.name for each in dataclasses.fields(kind)} | more
        assert set(part["properties"]) == set(part["required"]) == fields, name


@pytest.mark.parametrize(
    ("place", "value"),
    [
        # A version to come, another kind of document.
        (["schema"], 3),
        (["kind"], "fer-edge-events"),
        # Values of another type, or none of those that there are.
        (["quick"], "yes"),
        (["state"], "done"),
        (["figures", 0, "better"], "bigger"),
        (["figures", 0, "values"], []),
        (["figures", 0, "values", 0], "1.0"),
        (["figures", 0, "of", "threads"], None),
        (["machine", "cores"], 0),
        (["before", "throttled_now"], ["hot"]),
        (["models", 0, "sha256"], "abc"),
        (["date"], "yesterday"),
        # What nobody described.
        (["operator"], "somebody"),
        (["machine", "hostname"], "pi-in-the-hall"),
    ],
)
def test_the_schema_refuses(schema, place: list, value: object) -> None:
    values = as_json(an_invented_run())
    schema.validate(values)
    *path, last = place
    part = values
    for step in path:
        part = part[step]
    part[last] = value

    with pytest.raises(jsonschema.ValidationError):
        schema.validate(values)


# --------------------------------------------------------------------------------------- bad input


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "run.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no whole JSON document"),
        ("{", "Was it cut off?"),
        ("# Benchmarks\n", "no whole JSON document"),
        # Other bytes, brackets without end, a number of thousands of digits.
        (b"\x89PNG\r\n\x1a\n\xff", "no JSON of"),
        ("[" * 100_000, "no JSON of"),
        ("1" * 5000, "no JSON of"),
        # JSON, but not ours.
        ("[]", "no JSON of"),
        ("{}", "no JSON of"),
        ('{"schema": 2, "frame": 0}', "no JSON of"),
        ('{"schema": 1, "kind": "fer-edge-benchmark"}', "schema version '1'"),
        ('{"schema": 3, "kind": "fer-edge-benchmark"}', "pip install --upgrade fer-edge"),
        ('{"schema": 2, "kind": "fer-edge-benchmark"}', "date is missing"),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, content, message: str) -> None:
    with pytest.raises(DataError, match=r"run\.json") as caught:
        read_document(written(tmp_path, content))
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_document(tmp_path / "no.json")
    with pytest.raises(DataError, match="directory"):
        read_document(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Each names its place, what was expected and what came.
        ({"unit": 5}, r"figures\[0\]\.unit: expected text, got 5"),
        ({"values": "12"}, r"figures\[0\]\.values: expected a list, got '12'"),
        ({"values": []}, r"figures\[0\]\.values is empty"),
        ({"values": [1, None]}, r"figures\[0\]\.values\[1\]: expected a finite number, got null"),
        ({"values": [True]}, r"values\[0\]: expected a number, got True"),
        ({"values": [float("nan")]}, "expected a finite number, got nan"),
        ({"values": [10**400]}, "expected a finite number, got too much"),
        ({"values": [1e300]}, "nothing measures"),
        (
            {"of": {"threads": []}},
            r"figures\[0\]\.of\.threads: expected a finite number, got a list",
        ),
        ({"better": 1}, "expected one of lower, higher, none, got 1"),
        ({"of": None}, "expected an object, got null"),
        ({"section": "\ud800"}, "surrogates"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict, message: str) -> None:
    values = as_json(a_document(a_figure()))
    values["figures"][0] |= change

    with pytest.raises(DataError, match=message):
        read_document(written(tmp_path, json.dumps(values)))


def test_a_curve_with_a_point_too_few(tmp_path: Path) -> None:
    values = as_json(a_document(curves=(Curve("a", "b", "px", "%", {}, (0, 1), (1, 2)),)))
    values["curves"][0]["ys"].pop()

    with pytest.raises(DataError, match="2 xs and 1 ys"):
        read_document(written(tmp_path, json.dumps(values)))


def test_what_a_later_fer_edge_adds_is_passed_over(tmp_path: Path) -> None:
    values = as_json(a_document(a_figure()))
    values["weather"] = values["figures"][0]["mood"] = "fine"

    assert read_document(written(tmp_path, json.dumps(values))) == a_document(a_figure())


WHOLE = json.dumps(as_json(a_document(a_figure(1.0, 2.0)))).encode()


@given(length=st.integers(0, len(WHOLE) - 1))
def test_cut_off_at_any_byte(tmp_path_factory, length: int) -> None:
    path = written(tmp_path_factory.getbasetemp(), WHOLE[:length])

    with pytest.raises(DataError, match=r"cut off|no JSON"):
        read_document(path)


def places(part: dict | list, where: tuple = ()) -> list[tuple]:
    """All places in JSON values."""
    inner = part.items() if isinstance(part, dict) else enumerate(part)
    found = []
    for name, value in inner:
        found.append((*where, name))
        if isinstance(value, dict | list):
            found += places(value, (*where, name))
    return found


SMALL = as_json(
    a_document(
        a_figure(1.0, 2.0),
        models=(ModelFile("fast", "a" * 64, 1),),
        curves=(Curve("accuracy", "blur", "px", "%", {"model": "fast"}, (0, 1), (2, 1)),),
        before=Conditions("ondemand", 1800.0, 45.0, (), ("throttled",), 0.1),
        missing={"tpu": "none"},
        notes=("a",),
    )
)
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
OLD = [
    json.loads((RESULTS / f"{name}.json").read_text())
    for name in (
        "loop-2026-11-21-male",
        "paced-2026-11-21",
        "peers-2026-11-21",
        "detect-2026-11-21",
    )
]


@settings(max_examples=50)
@given(data=st.data(), value=json_values, remove=st.booleans())
@pytest.mark.parametrize("original", [SMALL, *OLD], ids=["2", "loop", "paced", "peers", "detect"])
def test_a_changed_value_is_read_or_refused(original: dict, data, value, remove: bool) -> None:
    values = copy.deepcopy(original)
    *path, last = data.draw(st.sampled_from(places(original)))
    part = values
    for step in path:
        part = part[step]
    if remove:
        del part[last]
    else:
        part[last] = value

    found = None
    # What `read_document` makes a DataError of, too.
    with suppress(ValueError if original is SMALL else DataError):
        if original is SMALL:
            found = document_from(values)
        else:
            found = from_version_1(values, Path("run.json"))
    if found is not None:
        assert document_from(as_json(found)) == found
