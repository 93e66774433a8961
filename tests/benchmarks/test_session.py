"""A run collects figures; what was finished is kept, and what must not be quoted is marked."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.benchmarks.document import Conditions, Machine
from fer_edge.benchmarks.rules import FULL, QUICK, Repeated
from fer_edge.benchmarks.session import Session

MACHINE = Machine("Raspberry Pi 5", "arm", "aarch64", 4, 8 << 30, "Debian", "Linux", "3.11", {})
FINE, HOT = Conditions(throttled_now=()), Conditions(throttled_now=("throttled",))


def a_session(*states: Conditions, said: list[str] | None = None, effort=FULL) -> Session:
    """A session on a Pi whose state is read in this order; the last one stays."""
    left = list(states) or [FINE]

    def conditions() -> Conditions:
        return left.pop(0) if len(left) > 1 else left[0]

    say = (lambda _: None) if said is None else said.append
    return Session("command", effort, say=say, conditions=conditions, machine=lambda: MACHINE)


def add(session: Session, metric: str, invalid: str = "") -> None:
    session.add(metric, "ms", "lower", {"model": "fast"}, (1.0, 3.0, 2.0), invalid=invalid)


def test_a_whole_run():
    session = a_session(FINE, FINE, FINE, Conditions(temperature_c=60.0))
    of = {"model": "fast"}
    with session.section("latency"):
        session.add("load", "ms", "lower", of, 5)
        found = Repeated({"invoke_p50": (1.0, 2.0), "fps": (3.0, 4.0)}, "disturbed: much")
        units = {"fps": ("frames/s", "higher"), "invoke_p50": ("ms", "lower")}
        session.add_repeated(found, units, {**of, "threads": 1})
        session.add_curve("blur", "px", "%", of, (0.0, 1.0), (70.0, 60.0))
    of["model"] = "changed afterwards"
    session.note("a sentence")

    document = session.document()

    load, invoke, fps = document.figures
    assert (load.section, load.metric, load.values, load.invalid) == ("latency", "load", (5.0,), "")
    assert load.of == {"model": "fast"}
    assert (invoke.unit, invoke.better, invoke.values) == ("ms", "lower", (1.0, 2.0))
    assert (fps.unit, fps.better, fps.of) == ("frames/s", "higher", {"model": "fast", "threads": 1})
    assert {invoke.invalid, fps.invalid} == {"disturbed: much"}
    (curve,) = document.curves
    assert (curve.section, curve.ys) == ("latency", (70.0, 60.0))
    assert (document.command, document.quick, document.state) == ("command", False, "complete")
    assert (document.machine, document.before) == (MACHINE, FINE)
    assert document.after.temperature_c == 60.0
    assert document.notes == ("a sentence",)


def test_quick_is_marked():
    assert a_session(effort=QUICK).document().quick


@pytest.mark.parametrize(
    ("states", "timed", "expected"),
    [
        # Read at the start of the session, then at both ends of each section.
        ([FINE, FINE, FINE, FINE, FINE], True, ["", "mine", "", ""]),
        # Throttled in the first section only; what was invalid before keeps its reason.
        ([FINE, FINE, HOT, FINE], True, ["throttled: throttled", "mine", "", ""]),
        (
            [FINE, FINE, FINE, FINE, HOT],
            True,
            ["", "mine", "throttled: throttled", "throttled: throttled"],
        ),
        # Accuracy does not depend on the clock.
        ([FINE, FINE, HOT, HOT, HOT], False, ["", "mine", "", ""]),
    ],
)
def test_a_throttled_section_is_invalid_and_no_other(states, timed, expected):
    session = a_session(*states)
    with session.section("one", timed=timed):
        add(session, "a")
        add(session, "b", invalid="mine")
    with session.section("two", timed=timed):
        add(session, "c")
        add(session, "d")

    assert [figure.invalid for figure in session.document().figures] == expected


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("broken"), SystemExit(1)])
def test_what_was_finished_before_an_interruption_is_kept(error):
    session = a_session(FINE, FINE, HOT)

    def measure() -> None:
        with session.section("latency"):
            add(session, "a")
            raise error

    with pytest.raises(type(error)):
        measure()

    document = session.document()
    assert document.state == "interrupted"
    assert [figure.metric for figure in document.figures] == ["a"]
    # The machine is looked at nevertheless.
    assert document.invalid == ("throttled: throttled",)


def test_a_document_may_be_asked_for_at_any_time():
    session = a_session()
    with session.section("latency"):
        add(session, "a")
        early = session.document()
        add(session, "b")

    assert len(early.figures) == 1
    assert len(session.document().figures) == 2


def test_what_is_missing_is_said_at_once():
    said = []
    session = a_session(said=said)

    session.miss("Edge TPU", "there is none")

    assert said == ["not measured: Edge TPU: there is none"]
    assert session.document().missing == {"Edge TPU": "there is none"}


def test_a_model_is_named_by_its_digest_and_without_its_folder(tmp_path):
    path = tmp_path / "secret" / "model.tflite"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    session = a_session()

    session.add_model("fast", path)
    session.add_model("fast", path)

    (model,) = session.document().models
    assert (model.name, model.size_bytes) == ("fast", 7)
    assert model.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert "secret" not in str(session.document().to_dict())


@given(st.lists(st.lists(st.tuples(st.text(max_size=3), st.booleans()), max_size=3), max_size=4))
def test_figures_keep_their_order_and_their_sections(sections):
    """Each section: the metrics in it, and whether the machine is throttled at its end."""
    states = [FINE]
    for metrics in sections:
        states += [FINE, HOT if any(hot for _, hot in metrics) else FINE]
    session = a_session(*states, FINE)
    for number, metrics in enumerate(sections):
        with session.section(str(number)):
            for metric, _ in metrics:
                add(session, metric)

    figures = session.document().figures
    assert [(figure.section, figure.metric) for figure in figures] == [
        (str(number), metric) for number, some in enumerate(sections) for metric, _ in some
    ]
    assert [bool(figure.invalid) for figure in figures] == [
        any(hot for _, hot in some) for some in sections for _ in some
    ]
