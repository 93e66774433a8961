"""A document for people: nothing of it is cut off, and what must not be quoted is marked."""

import dataclasses
import io

from rich.console import Console

from fer_edge.benchmarks.document import Conditions, Curve, Document, Figure, Machine
from fer_edge.benchmarks.show import print_document

MACHINE = Machine("Raspberry Pi 5", "arm", "aarch64", 4, 8 << 30, "Debian", "Linux", "3.11", {})


def a_figure(metric: str, *values: float, section: str = "latency", invalid: str = "", **of):
    return Figure(section, metric, "ms", "lower", of, values, invalid)


def a_document(*figures: Figure, **changes) -> Document:
    fields = {
        "date": "2026-11-21T12:00:00+00:00",
        "version": "1.0",
        "command": "fer-edge benchmark latency",
        "quick": False,
        "state": "complete",
        "machine": MACHINE,
        "before": Conditions(),
        "after": Conditions(),
        "figures": figures,
    }
    return Document(**{**fields, **changes})


def shown(document: Document, width: int = 80) -> list[str]:
    text = io.StringIO()
    print_document(document, Console(file=text, width=width))
    return [" ".join(line.split()) for line in text.getvalue().splitlines()]


ROWS = [
    a_figure(metric, value, 2 * value, 3 * value, model=model, device="cpu")
    for model in ("accurate", "fast")
    for metric, value in (("load", 30.0), ("invoke_p50", 0.25), ("invoke_p99", 0.5))
]


def test_figures_of_one_thing_make_a_row():
    last = dataclasses.replace(ROWS[-1], of=dict(reversed(ROWS[-1].of.items())))

    lines = shown(a_document(*ROWS[:-1], last))

    at = lines.index("latency, device cpu")
    # The longest words of a column make its width, and the header is broken there.
    assert lines[at + 1 : at + 6] == [
        "invoke",
        "p50/p99",
        "model load ms ms +- %",
        "accurate 60 0.5/1 50",
        "fast 60 0.5/1 50",
    ]
    assert lines[0] == ("Raspberry Pi 5 (aarch64, 4 cores, Debian), 2026-11-21T12:00:00+00:00")


def test_a_row_without_all_figures_and_another_kind_of_thing():
    size = a_figure("size", 1.5, model="accurate")

    lines = shown(a_document(*ROWS[:4], size))

    # A lone figure has no spread.
    assert lines[lines.index("latency") + 1 :][:2] == ["model size ms", "accurate 1.5"]
    assert "fast 60 50" in lines


def test_what_must_not_be_quoted_is_marked():
    bad = dataclasses.replace(ROWS[3], invalid="disturbed: by much")

    lines = shown(a_document(*ROWS[:3], bad, *ROWS[4:], quick=True, state="interrupted"))

    assert "fast 60 0.5/1 50!" in lines
    assert "accurate 60 0.5/1 50" in lines
    assert "! disturbed: by much" in lines
    assert "--quick: these figures are rough; do not quote them." in lines
    assert "Interrupted: this is what was finished." in lines
    # Wherever its figures appear.
    assert "latency, device cpu, quick, rough" in lines


def test_curves_what_is_missing_and_notes():
    curve = Curve("accuracy", "blur", "px", "%", {"model": "fast"}, (0.0, 1.5), (70.0, 60.25))

    lines = shown(
        a_document(curves=(curve,), missing={"Edge TPU": "none [here]"}, notes=("Mind this.",))
    )

    at = lines.index("accuracy, blur, model fast")
    assert lines[at + 1 : at + 3] == ["px 0 1.5", "% 70 60.2"]
    assert "not measured: Edge TPU: none [here]" in lines
    assert "Note: Mind this." in lines


def test_a_name_with_brackets_is_a_name():
    lines = shown(a_document(a_figure("load", 1.0, model="[red]x")))

    assert "[red]x 1" in lines


def test_a_table_as_of_latency_fits_into_a_terminal():
    of = {"model": "accurate", "runtime": "litert", "device": "cpu"}
    metrics = ["load", "first_invoke"]
    metrics += [f"{what}_p{p}" for what in ("invoke", "classify") for p in (50, 90, 99)]
    rows = [
        a_figure(name, 0.08123, 12.34, 99.99, threads=n, **of, invalid="bad")
        for n in (1, 2, 4)
        for name in metrics
    ]
    rows += [dataclasses.replace(row, of={**row.of, "model": "fast"}) for row in rows]

    lines = shown(a_document(*rows))

    (row,) = [line for line in lines if line.startswith("4 fast ")]
    assert row == "4 fast 12.3 12.3 12.3/12.3/12.3 12.3/12.3/12.3 710!"


def test_a_table_that_is_too_wide_is_parted():
    metrics = [f"metric_{name}" for name in "abcdefgh"]
    rows = [
        a_figure(name, 12.3, n=n, invalid="bad" * (name[-1] == "h"))
        for n in (1, 2)
        for name in metrics
    ]

    lines = shown(a_document(*rows), width=40)

    # Each part has the column that says what its rows are; the mark is where what is invalid is.
    assert [line for line in lines if line.startswith("1 ")] == [
        "1 12.3 12.3 12.3",
        "1 12.3 12.3 12.3",
        "1 12.3 12.3 !",
    ]
    assert not [line for line in lines if "…" in line]


def test_the_spread_is_that_of_the_middle_not_of_the_tail():
    tail = a_figure("load_p99", 1.0, 2.0, 9.0, m="a")

    lines = shown(a_document(a_figure("load_p50", 9.0, 10.0, 12.0, m="a"), tail))

    assert "a 10/2 20" in lines


def test_what_is_about_nothing_has_no_spread_in_percent_of_itself():
    lost = Figure("instruments", "lost", "%", "lower", {"telemetry": "on"}, (-3.0, 0.1, 3.0))

    lines = shown(a_document(lost))

    assert lines[-3:-1] == ["telemetry lost %", "on 0.1"]


def test_large_and_small_numbers():
    lines = shown(a_document(a_figure("load", 12345.6, m="a"), a_figure("load", 0.01234, m="b")))

    assert "a 12346" in lines
    assert "b 0.012" in lines
