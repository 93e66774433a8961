"""Runs set side by side: ratios, what is not comparable, and changes against their noise."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from fer_edge.benchmarks.document import Curve, Document, Figure, ModelFile
from fer_edge.benchmarks.side_by_side import (
    Comparison,
    Row,
    compare,
    name_runs,
    to_dict,
    told_apart,
)

from .documents import a_document, a_figure, a_machine, a_model, an_invented_pi, an_invented_run


def side_by_side(*documents: Document) -> Comparison:
    runs, left_out = name_runs([(Path(f"run{at}.json"), each) for at, each in enumerate(documents)])
    assert left_out == []
    return compare(runs)


def pair(before: Figure, after: Figure, **changes) -> Comparison:
    """Two runs of one host with a figure each."""
    later = {"date": "2026-11-22T12:00:00+00:00", **changes}
    return side_by_side(a_document(before), a_document(after, **later))


def only_row(comparison: Comparison) -> Row:
    (row,) = comparison.rows
    return row


# ----------------------------------------------------------------------------------------- the runs


def test_runs_are_named_by_their_files() -> None:
    documents = [a_document(date=f"2026-11-2{day}T00:00:00+00:00") for day in range(5)]
    paths = ["a/pi.json", "b/pi.json", "c/pi (2).json", "a.b.json", f"{'x' * 30}.json"]
    runs, left_out = name_runs(list(zip(map(Path, paths), documents, strict=True)))

    assert [run.name for run in runs] == ["pi", "pi (2)", "pi (2) (2)", "a.b", "x" * 23 + "…"]
    assert left_out == []


def test_a_run_that_was_given_twice_is_left_out() -> None:
    document = a_document(a_figure())
    runs, left_out = name_runs(
        [(Path("a.json"), document), (Path("b.json"), a_document()), (Path("copy.json"), document)]
    )

    assert [run.name for run in runs] == ["a", "b"]
    assert left_out == ["copy.json is the same run as a: left out."]


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "run0"),
        ({"quick": True}, "run0 (quick)"),
        ({"quick": True, "state": "interrupted"}, "run0 (quick, interrupted)"),
    ],
)
def test_a_title_says_what_its_figures_are_worth(changes: dict, title: str) -> None:
    assert side_by_side(a_document(**changes)).runs[0].title == title


# ------------------------------------------------------------------------------------------- ratios


@pytest.mark.parametrize(
    ("first", "second", "ratio", "difference"),
    [
        # The medians', not the means'.
        (a_figure(1.0, 2.0, 9.0), a_figure(3.0, 4.0, 4.5), 2.0, None),
        # Of shares the difference.
        (a_figure(68.9, unit="%"), a_figure(68.4, unit="%"), None, -0.5),
        (a_figure(0.0, unit="points"), a_figure(0.25, unit="points"), None, 0.25),
        # Nothing is 0 times as much.
        (a_figure(0.0, unit="MB"), a_figure(2.0, unit="MB"), None, None),
        # What must not be quoted has no ratio, on either side.
        (a_figure(1.0, invalid="throttled"), a_figure(2.0), None, None),
        (a_figure(1.0), a_figure(2.0, invalid="throttled"), None, None),
    ],
)
def test_ratio(first: Figure, second: Figure, ratio, difference) -> None:
    cell = only_row(pair(first, second)).cells[1]

    assert cell.ratio == ratio
    assert cell.difference == (None if difference is None else pytest.approx(difference))
    assert cell.no_ratio == ""


def test_figures_are_matched_by_what_they_are_of() -> None:
    found = side_by_side(
        a_document(a_figure(1.0), a_figure(2.0, of={"model": "fast", "threads": 2})),
        # Another order of the same keys, and 1.0 for 1.
        a_document(a_figure(3.0, of={"threads": 1.0, "model": "fast"}), a_figure(4.0, metric="x")),
    )

    ratios = [row.cells[1].ratio for row in found.rows]
    assert ratios == [3.0, None, None]
    assert [row.cells[0].figure is None for row in found.rows] == [False, False, True]


def test_all_cores_of_one_machine_are_compared_with_all_of_another() -> None:
    desktop = a_document(a_figure(1.0, of={"cores": 2}), a_figure(2.0, of={"cores": 1}))
    pi = a_document(
        a_figure(5.0, of={"cores": 4}), a_figure(6.0, of={"cores": 1}), machine=an_invented_pi()
    )

    found = side_by_side(desktop, pi)

    assert [(row.of, row.cells[1].ratio) for row in found.rows] == [
        ({"cores": "all"}, 5.0),
        ({"cores": 1}, 3.0),
    ]


def test_a_figure_that_stands_twice_in_its_document_is_not_quoted() -> None:
    figure = only_row(side_by_side(a_document(a_figure(1.0), a_figure(2.0)))).cells[0].figure

    assert figure is not None
    assert figure.invalid == "twice in its document"


KERAS = {"model": "fast", "kind": "keras"}


@pytest.mark.parametrize(
    ("of", "first", "second", "apart"),
    [
        ({"model": "fast"}, [a_model("fast", "a")], [a_model("fast", "b")], True),
        ({"model": "fast"}, [a_model("fast", "a")], [a_model("fast", "a")], False),
        # Another model that differs is no reason.
        (
            {"model": "fast"},
            [a_model("fast"), a_model("accurate", "c")],
            [a_model("fast"), a_model("accurate", "d")],
            False,
        ),
        # Nothing is known of one.
        ({"model": "fast"}, [a_model("fast", "a")], [], False),
        # A detector's file as well.
        ({"detector": "yunet"}, [a_model("yunet", "a")], [a_model("yunet", "b")], True),
        # The float master goes by a name of its own.
        (KERAS, [a_model("fast", "a")], [a_model("fast", "b")], False),
        (KERAS, [a_model("fast, keras", "a")], [a_model("fast, keras", "b")], True),
    ],
)
def test_models_of_one_name_must_be_one_file(
    of: dict, first: list[ModelFile], second: list[ModelFile], apart: bool
) -> None:
    found = side_by_side(
        a_document(a_figure(1.0, of=of), models=tuple(first)),
        a_document(a_figure(2.0, of=of), models=tuple(second)),
    )

    cell = only_row(found).cells[1]
    assert (cell.ratio is None) == apart
    assert ("another file" in cell.no_ratio) == apart
    # Nor is it a change of the host.
    assert (found.changes[0].changes == ()) == apart


def test_units_must_be_the_same() -> None:
    cell = only_row(pair(a_figure(1.0), a_figure(0.001, unit="s"))).cells[1]

    assert cell.ratio is None
    assert cell.no_ratio == "run1 has it in s, run0 in ms"


def test_the_points_of_a_curve_are_rows() -> None:
    curve = Curve("accuracy", "blur", "px", "%", {"model": "fast"}, (0, 1.5), (68.0, 50.0))
    worse = dataclasses.replace(curve, ys=(68.0, 45.0))

    found = side_by_side(a_document(curves=(curve,)), a_document(curves=(worse,)))

    assert [(row.section, row.metric, row.of["strength"]) for row in found.rows] == [
        ("robustness", "blur", "0 px"),
        ("robustness", "blur", "1.5 px"),
    ]
    assert found.rows[1].cells[1].difference == -5.0


# ---------------------------------------------------------------------------------------- the noise


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # Five and five that do not overlap: 2 of 252 orders.
        ((1, 2, 3, 4, 5), (6, 7, 8, 9, 10), True),
        ((6, 7, 8, 9, 10), (1, 2, 3, 4, 5), True),
        # They touch, they overlap, one lies within the other.
        ((1, 2, 3, 4, 5), (5, 6, 7, 8, 9), False),
        ((1, 2, 3, 4, 5), (4.9, 7, 8, 9, 10), False),
        ((1, 2, 3, 4, 50), (10, 11, 12, 13, 14), False),
        # Four and four: 2 of 70. Three and three: 2 of 20, which chance does too often.
        ((1, 2, 3, 4), (5, 6, 7, 8), True),
        ((1, 2, 3), (4, 5, 6), False),
        # Three and five: 2 of 56.
        ((1, 2, 3), (4, 5, 6, 7, 8), True),
        # Measured once, even if it is far off.
        ((1,), (100,), False),
        ((1,), (100, 101, 102, 103, 104), False),
    ],
)
def test_told_apart(before: tuple, after: tuple, expected: bool) -> None:
    assert told_apart(a_figure(*before), a_figure(*after)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # The same model gives the same answers to the same images.
        ({"section": "accuracy", "metric": "accuracy", "unit": "%"}, True),
        ({"metric": "size", "unit": "MB"}, True),
        ({"metric": "memory", "unit": "MB"}, False),
    ],
)
def test_what_does_not_vary_needs_no_repetitions(changes: dict, expected: bool) -> None:
    assert told_apart(a_figure(68.0, **changes), a_figure(67.0, **changes)) == expected
    assert not told_apart(a_figure(68.0, **changes), a_figure(68.0, **changes))


FIVE, MORE = (10.0, 10.1, 10.2, 10.3, 10.4), (12.0, 12.1, 12.2, 12.3, 12.4)


@pytest.mark.parametrize(
    ("better", "percent", "worse"),
    [("lower", 19.6, True), ("higher", 19.6, False)],
)
def test_a_change(better, percent: float, worse: bool) -> None:
    found = pair(a_figure(*FIVE, better=better), a_figure(*MORE, better=better))

    (changes,) = found.changes
    (change,) = changes.changes
    assert (changes.before, changes.after) == ("run0", "run1")
    assert change.percent == pytest.approx(percent, abs=0.1)
    assert (change.told, change.worse) == (True, worse)


@pytest.mark.parametrize(
    ("before", "after", "regressions"),
    [
        # 19.6 %, told apart.
        (a_figure(*FIVE), a_figure(*MORE), 1),
        # Better.
        (a_figure(*MORE), a_figure(*FIVE), 0),
        # Neither good nor bad.
        (a_figure(*FIVE, better="none"), a_figure(*MORE, better="none"), 0),
        # Less than is asked for.
        (a_figure(*FIVE), a_figure(*(1.05 * value for value in FIVE)), 0),
        # Within the noise.
        (a_figure(*FIVE[:4], 20.0), a_figure(*MORE), 0),
        # Invalid, on either side.
        (a_figure(*FIVE, invalid="throttled"), a_figure(*MORE), 0),
        (a_figure(*FIVE), a_figure(*MORE, invalid="throttled"), 0),
        # From nothing to something.
        (a_figure(*[0.0] * 5), a_figure(*MORE), 1),
        # A tenth more of a loss of a tenth of a point is nothing: accuracy itself tells.
        (
            a_figure(0.1, section="accuracy", unit="points"),
            a_figure(0.2, section="accuracy", unit="points"),
            0,
        ),
    ],
)
def test_regressions(before: Figure, after: Figure, regressions: int) -> None:
    (changes,) = pair(before, after).changes

    assert len(changes.regressions(10)) == regressions


def test_quick_runs_call_no_regression() -> None:
    (changes,) = pair(a_figure(*FIVE), a_figure(*MORE), quick=True).changes

    assert changes.rough
    assert changes.changes[0].told
    assert changes.regressions(10) == ()


@pytest.mark.parametrize(
    ("machine", "same"),
    [
        # After an update.
        (a_machine(python="3.13.5", packages={"numpy": "2.5.0"}, kernel="Linux 6.12"), True),
        (a_machine(memory_bytes=8_199_000_000), True),
        (a_machine(system="Debian GNU/Linux 13 (trixie)"), False),
        (a_machine(cores=4), False),
        (a_machine(processor="another"), False),
        (an_invented_pi(), False),
    ],
)
def test_what_makes_a_host(machine, same: bool) -> None:
    found = side_by_side(a_document(a_figure()), a_document(a_figure(2.0), machine=machine))

    assert bool(found.changes) == same


def test_each_run_is_compared_with_the_first_of_its_host() -> None:
    pi = {"machine": an_invented_pi()}
    found = side_by_side(
        a_document(a_figure(1.0)),
        a_document(a_figure(5.0), **pi),
        a_document(a_figure(6.0), **pi),
        a_document(a_figure(7.0), **pi),
        a_document(a_figure(1.1)),
    )

    pairs = [(each.before, each.after) for each in found.changes]
    assert pairs == [("run1", "run2"), ("run1", "run3"), ("run0", "run4")]


def test_the_comparison_as_json_has_no_infinity() -> None:
    found = pair(a_figure(*[0.0] * 5), a_figure(*MORE))
    assert math.isinf(found.changes[0].changes[0].percent)

    values = json.loads(json.dumps(to_dict(found), allow_nan=False))

    assert values["changes"][0]["percent"] is None
    assert values["changes"][0]["told_apart"]
    assert values["rows"][0]["runs"][1]["median"] == 12.2


def test_a_whole_run_beside_itself_five_times_slower() -> None:
    found = side_by_side(an_invented_run(), an_invented_run(5.0, machine=an_invented_pi()))

    ratios = {
        (row.metric, row.of.get("threads")): row.cells[1].ratio
        for row in found.rows
        if row.of.get("model") == "fast" and row.section == "latency"
    }
    assert ratios["classify_p50", 1] == pytest.approx(5.0)
    assert ratios["memory", 2] == 1.0
    capacity = next(row for row in found.rows if row.metric == "fps")
    assert capacity.cells[1].ratio == pytest.approx(0.2)
