"""What a page costs the loop: what is computed from what the readers saw."""

import io
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

pytest.importorskip("uvicorn", reason="needs the extra [web]")

from fer_edge.benchmarks.host import read_host
from fer_edge.benchmarks.page import PagePlan, PageReport, PageScore, behind, measure_page
from fer_edge.benchmarks.report import print_page

from .conftest import write_clip


@pytest.mark.parametrize(
    ("times", "states", "expected"),
    [
        # Each result has a state of its own, 10 ms later.
        ([1.0, 2.0], [(1.01, 2), (2.01, 3)], [10, 10]),
        # The second is in the state that the first waits for.
        ([1.0, 1.05], [(1.1, 3)], [100, 50]),
        # The last never came to the page before it was closed.
        ([1.0, 2.0], [(1.01, 2)], [10]),
        # What was there before the first result counts for none.
        ([1.0], [(0.5, 1), (1.02, 2)], [20]),
        ([], [(0.5, 1)], []),
        ([1.0], [], []),
    ],
)
def test_a_result_is_behind_until_a_state_has_it_or_a_newer(times, states, expected) -> None:
    assert list(behind(times, states, first_number=2)) == pytest.approx(expected)


@given(st.lists(st.floats(0.001, 1.0), min_size=1), st.integers(1, 7))
def test_fewer_states_never_make_a_page_younger(pauses: list[float], every: int) -> None:
    times = [sum(pauses[:index]) for index in range(len(pauses))]
    whole = [(time_s + 0.001, number) for number, time_s in enumerate(times, 2)]

    some = list(behind(times, whole[every - 1 :: every], first_number=2))

    assert all(a <= b for a, b in zip(behind(times, whole, first_number=2), some, strict=False))
    # Between two states results only get younger.
    assert all(
        later <= earlier + 1e-6
        for at, (earlier, later) in enumerate(pairwise(some), 1)
        if at % every
    )


def a_score(kind: str, age_p95_ms: float) -> PageScore:
    read = kind == "read"
    return PageScore(
        kind=kind,
        pages={"none": 0, "read": 4, "stall": 5}[kind],
        captured=300,
        delivered=300,
        dropped=0,
        age_p95_ms=age_p95_ms,
        behind_p95_ms=101.0 if read else None,
        pictures_per_s=19.5 if read else None,
        others_cores=0.5,
    )


def a_report(clip: Path, **changes) -> PageReport:
    from fer_edge.benchmarks.clips import read_clip

    kinds = ["none", "read", "stall"] * 3
    ages_ms = [10.0, 12.0, 17.0, 20.0, 21.0, 26.0, 10.0, 19.0, 16.0]
    scores = tuple(a_score(kind, age) for kind, age in zip(kinds, ages_ms, strict=True))
    fields = {"scores": scores, "start_s": (0.9, 1.3, 0.8), **changes}
    return PageReport("today", "", read_clip(clip), 30.0, 1, read_host(), **fields)


def test_each_round_is_compared_with_its_own_run_without_pages(tmp_path: Path) -> None:
    report = a_report(write_clip(tmp_path / "short.avi", 3))

    assert report.more_ms("read") == 2.0
    assert report.more_ms("stall") == 6.0


def test_table(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=160, record=True)

    print_page(a_report(write_clip(tmp_path / "short.avi", 3)), console)

    text = " ".join(console.export_text().split())
    assert "no page 4 read 5 stalled" in text
    assert "pages that read add +2.0 ms" in text
    assert "pages that never read add +6.0 ms" in text
    assert "as wanted: NO" in text
    assert "at most 101 ms behind" in text
    assert "0.90 s after the start (0.80 to 1.30; as wanted: yes)" in text


@pytest.mark.slow
def test_real_pages_read_and_stall_beside_a_real_loop(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "short.avi", 40)
    plan = PagePlan(clip, fps=20.0, readers=2, stalled=3, detector="haar", repeat=1, loops=1)
    told: list[str] = []

    report = measure_page(plan, progress=told.append)

    none, read, stall = report.scores
    assert [score.kind for score in report.scores] == ["none", "read", "stall"]
    assert all(score.captured == 40 for score in report.scores)
    assert read.behind_p95_ms is not None
    assert read.behind_p95_ms > 0
    assert read.pictures_per_s is not None
    assert read.pictures_per_s > 1
    assert none.behind_p95_ms is stall.behind_p95_ms is None
    assert len(report.start_s) == 1
    document = json.loads(json.dumps(report.to_dict()))
    assert set(document["more_ms"]) == {"read", "stall"}
    assert str(tmp_path) not in json.dumps(document)
    assert document["command"].startswith("fer-edge benchmark page short.avi --fps 20 --readers 2")
    assert any("3 pages, stall" in line for line in told)
