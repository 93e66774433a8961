"""The report of runs: what stands on the page and in the Markdown."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.benchmarks.report_markdown import markdown
from fer_edge.benchmarks.report_page import sections, subtitle, title
from fer_edge.benchmarks.report_plots import draw
from fer_edge.benchmarks.report_text import describe, natural, number
from fer_edge.benchmarks.side_by_side import Comparison, compare, name_runs
from fer_edge.training.pages import Section, Struck, Table, page

from .documents import (
    a_document,
    a_figure,
    a_model,
    an_invented_pi,
    an_invented_run,
)

THROTTLED = "throttled: frequency capped"
LATER = "2026-11-22T12:00:00+00:00"


def compared(**documents) -> Comparison:
    runs, _ = name_runs([(Path(f"{name}.json"), each) for name, each in documents.items()])
    return compare(runs)


def tables(comparison: Comparison, heading: str) -> list[Table]:
    """The tables of the section with this heading."""
    (found,) = (each for each in sections(comparison, {}) if each.title == heading)
    return [item for item in found.items if isinstance(item, Table)]


def text_of(comparison: Comparison) -> str:
    return markdown(title(comparison), subtitle(comparison), sections(comparison, {}))


@pytest.fixture(scope="module")
def mixed() -> Comparison:
    """A desktop, a Pi in a hurry that was throttled, one that was interrupted; all invented."""
    pi = an_invented_pi()
    whole = an_invented_run(6.0, machine=pi, date=LATER)
    return compared(
        desktop=an_invented_run(),
        pi=an_invented_run(
            5.0, machine=pi, quick=True, invalid=THROTTLED, missing={"accurate, keras": "needs it"}
        ),
        cut=dataclasses.replace(
            whole,
            state="interrupted",
            figures=tuple(each for each in whole.figures if each.section == "latency"),
            curves=(),
            models=(a_model("accurate", "b"), a_model("fast")),
        ),
    )


# ------------------------------------------------------------------------------------- the contents


def test_every_column_of_figures_says_what_its_run_is_worth(mixed: Comparison) -> None:
    for section in sections(mixed, {}):
        for table in section.items:
            # Of machines and of what is missing no figure is quoted.
            if not isinstance(table, Table) or section.title.startswith(("Mach", "What", "Vali")):
                continue
            assert "pi" not in table.columns, section.title
            assert "cut" not in table.columns, section.title
            assert {"pi (quick)", "cut (interrupted)"} & {*table.columns}, section.title


def test_what_is_invalid_is_struck_and_its_reason_numbered(mixed: Comparison) -> None:
    (table,) = (each for each in tables(mixed, "Figures: loop") if each.caption.startswith("fps"))
    cells = {row[0]: row[2] for row in table.rows}

    assert len(cells) == 9
    for faces in range(9):
        cell = cells[f"{faces} face{'' if faces == 1 else 's'}"]
        assert isinstance(cell, Struck) == (faces > 5)
        # What must not be quoted is not set into a ratio either.
        assert ("×" in cell) == (faces <= 5)
    struck = next(cell for cell in cells.values() if isinstance(cell, Struck))
    (listed,) = tables(mixed, "Validity")
    assert [row[1] for row in listed.rows if f" {row[0]}" == struck.after] == [THROTTLED]


def test_another_model_of_the_same_name_is_said_beside_its_figures(mixed: Comparison) -> None:
    first = tables(mixed, "In short")[0].rows[0]
    (listed,) = tables(mixed, "Validity")
    reasons = dict(map(tuple, listed.rows))

    assert first[0] == "a face is read in, ms: accurate, litert, cpu, 1 thread"
    assert first[1].startswith("1.00\n")
    assert first[2].startswith("5.00 · 5.00×\n")
    # Its figure stands there without a ratio, and a number leads to the reason.
    mark = re.fullmatch(r"6\.00 (\[\d+\])\n5\.82 to 6\.18", first[3])
    assert mark is not None
    assert "accurate of cut is another file than that of desktop" in reasons[mark[1]]
    # The other model is the same one.
    assert "6.00×" in tables(mixed, "In short")[0].rows[1][3]


def test_hosts_are_told_apart(mixed: Comparison) -> None:
    (table,) = tables(mixed, "Machines and runs")
    rows = {row[0]: row[1:] for row in table.rows}

    assert list(table.columns) == ["", "desktop", "pi", "cut"]
    assert rows["numpy ≠"] == ["2.4.6", "1.24.2", "1.24.2"]
    assert rows["picamera2 ≠"][0] == "–"
    assert rows["Python"] == ["3.11.7"] * 3
    assert rows["temperature"][0] == "45 °C to 62 °C"
    assert rows["governor"][0] == "ondemand"
    assert rows["memory"][0] == "8.2 GB"
    assert rows["effort ≠"] == ["full", "--quick", "full"]
    assert rows["state ≠"][2] == "interrupted"


def test_what_is_missing_is_said_with_its_reason(mixed: Comparison) -> None:
    (table,) = tables(mixed, "What is missing")
    found = {(row[0], row[1]): row[2] for row in table.rows}

    assert found["pi", "accurate, keras"] == "needs it"
    assert found["cut", "loop"].startswith("all ")
    assert found["cut", "robustness"].startswith("all ")
    assert ("desktop", "loop") not in found


def test_missing_figures_of_a_section_are_counted() -> None:
    found = compared(
        a=a_document(a_figure(), a_figure(metric="load"), a_figure(metric="classify_p50")),
        b=a_document(a_figure(2.0)),
    )

    assert tables(found, "What is missing")[0].rows == [
        ("b", "latency", "2 of 3 figures: load (1), classify (1); others have them")
    ]


def test_changes_of_one_host_name_worse_and_noise() -> None:
    five = (10.0, 10.1, 10.2, 10.3, 10.4)
    more = tuple(1.2 * value for value in five)
    found = compared(
        a=a_document(
            a_figure(*five),
            a_figure(*more, metric="classify_p50"),
            a_figure(*five, metric="load"),
            a_figure(*five[:3], metric="first_invoke"),
            a_figure(1.0, metric="same"),
        ),
        b=a_document(
            a_figure(*more),
            a_figure(*five, metric="classify_p50"),
            a_figure(10.05, *five[1:], metric="load"),
            a_figure(*more[:3], metric="first_invoke"),
            a_figure(1.0, metric="same"),
            date=LATER,
        ),
    )

    (table,) = tables(found, "b after a, one host")
    verdicts = {row[0].split(",")[0].removeprefix("latency "): row[3:] for row in table.rows}
    assert verdicts["invoke p50"] == ["+20.0 %", "worse"]
    assert verdicts["classify p50"] == ["-16.7 %", "better"]
    assert verdicts["first invoke"] == ["+20.0 %", "too few repetitions"]
    # Nothing has changed: no row.
    assert "same" not in verdicts
    assert next(iter(verdicts)) == "invoke p50"


def test_of_ten_runs_the_tables_stay_narrow() -> None:
    runs = {f"run{at}": an_invented_run(1.0 + at, date=f"2026-11-2{at}") for at in range(10)}
    found = compared(**runs)

    seen = set()
    for table in tables(found, "In short"):
        assert len(table.columns) <= 5
        # What ratios are to is in each.
        assert table.columns[1] == "run0"
        assert {len(row) for row in table.rows} == {len(table.columns)}
        seen |= {*table.columns[1:]}
    assert seen == {*runs}


def test_one_run_alone_is_a_report_too() -> None:
    found = compared(only=an_invented_run())
    text = text_of(found)

    assert text.startswith("# fer-edge on Desktop, INVENTED for a test\n\nonly.\n")
    assert "×" not in text
    assert "No figure is marked invalid." in text


def test_a_run_without_a_figure_is_a_report_too() -> None:
    found = compared(empty=a_document(state="interrupted"))

    assert draw(found) == {}
    assert "empty was interrupted" in text_of(found)


def test_notes_of_documents_and_files_left_out_are_told(mixed: Comparison) -> None:
    (validity,) = (each for each in sections(mixed, {}, ["x is y."]) if each.title == "Validity")

    assert validity.paragraphs[0] == "x is y."
    assert "pi: All figures are INVENTED for a test." in validity.paragraphs


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.2, "points", "+0.20"),
        (68.849, "%", "68.85"),
        (0.0371, "ms", "0.0371"),
        (1.2345, "ms", "1.23"),
        (12.345, "ms", "12.3"),
        (334.66, "frames/s", "335"),
        (77.0, "faces", "77"),
        (1.5, "faces", "1.50"),
        (0.0, "MB", "0.0000"),
        (-3.2, "MB", "-3.20"),
        (1.5e9, "ms", "1.5e+09"),
    ],
)
def test_number(value: float, unit: str, expected: str) -> None:
    assert number(value, unit) == expected


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ({}, ""),
        ({"threads": 1, "model": "fast"}, "fast, 1 thread"),
        ({"faces": 2, "rate": 0, "cores": "all"}, "all cores, 2 faces, unpaced"),
        ({"rate": 29.97}, "at 29.97/s"),
        ({"clip": "a.mkv", "clip_sha256": "0123"}, "a.mkv"),
        # What nobody thought of is named with its key.
        ({"model": "fast", "slowed": 10, "threads": 4}, "fast, slowed 10, 4 threads"),
        # Nor does a wrong type end the report.
        ({"rate": "fast", "faces": "many"}, "many, at fast"),
    ],
)
def test_describe(of: dict, expected: str) -> None:
    assert describe(of) == expected


def test_natural_order() -> None:
    texts = ["10 faces", "2 faces", "640x480", "160x120", "b", "1.5 px"]

    assert sorted(texts, key=natural) == [
        "1.5 px",
        "2 faces",
        "10 faces",
        "160x120",
        "640x480",
        "b",
    ]


# ------------------------------------------------------------------------------------- the pictures


def test_pictures(mixed: Comparison) -> None:
    found = draw(mixed)

    assert [*found] == [
        "Latency by stage",
        "Capacity by faces",
        "Age of results",
        "Accuracy lost by class",
        "Robustness",
    ]
    for heading, picture in found.items():
        assert picture.png.startswith(b"\x89PNG")
        assert picture.alt
        # Of curves nothing is invalid.
        assert ("Hollow" in picture.caption) == (heading != "Robustness")
    assert draw(mixed) == found


@pytest.mark.parametrize(
    "changes",
    [
        # Nought is not on a logarithmic scale, and all of it is no scale at all.
        {"values": (0.0,)},
        {"values": (1e-9,)},
        {"values": (1e15,)},
        {"of": {}},
        {"section": "loop", "metric": "fps", "of": {"rate": 0, "faces": 1}},
        {"section": "loop", "metric": "fps", "of": {"rate": 0, "faces": "some"}},
        {"section": "loop", "metric": "age_p50", "of": {"rate": 30}},
        {"section": "accuracy", "metric": "recall", "of": {"class": "x", "kind": "int8"}},
    ],
)
def test_odd_figures_end_no_report(changes: dict) -> None:
    found = compared(a=a_document(a_figure(**changes)), b=a_document(a_figure(2.0)))

    html = page(title(found), subtitle(found), sections(found, draw(found)))
    assert "Machines and runs" in html


# ------------------------------------------------------------------------------------- the Markdown


def test_markdown_of_struck_cells_and_lines() -> None:
    table = Table(("", "a|b"), [["x_1", Struck("1.0\n0.9 to 1.1", " [1]")], ["y", "2\n3"]], "*c*")
    text = markdown("T", "s", [Section("S", ["p <b> #1"], [table])])

    assert text == (
        "# T\n\ns\n\n## S\n\np \\<b\\> \\#1\n\n**\\*c\\***\n\n"
        "|  | a\\|b |\n| --- | ---: |\n"
        "| x\\_1 | ~~1.0~~<br>~~0.9 to 1.1~~ [1] |\n"
        "| y | 2<br>3 |\n"
    )


@given(cells=st.lists(st.text(max_size=12), min_size=2, max_size=2))
def test_no_text_breaks_a_table_of_markdown(cells: list[str]) -> None:
    text = markdown("T", "", [Section("S", (), [Table(("", "b"), [cells])])])
    row = text.rstrip("\n").split("\n")[-1]

    # Bars that are not escaped part the cells: three of two.
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3
