"""Whether the loop grows: the arithmetic, and a short run of the real thing."""

import builtins
import io
import os

import pytest
from rich.console import Console

from fer_edge.benchmarks.growth import (
    WANTED_MB,
    Growth,
    Sample,
    growth_mb,
    measure_growth,
    rss_bytes,
    take_sample,
)
from fer_edge.benchmarks.host import read_host
from fer_edge.benchmarks.report import print_growth
from fer_edge.edge.errors import FerEdgeError, UsageError


def a_sample(frame: int, mb: float = 50.0, threads: int = 7, descriptors: int = 5) -> Sample:
    return Sample(frame, round(mb * 1e6), threads, descriptors)


@pytest.mark.parametrize(
    ("samples", "from_frame", "expected"),
    [
        ([(100, 50), (200, 60), (300, 63)], 200, 3.0),
        # What happened on the way does not count, only where it ended.
        ([(200, 60), (300, 90), (400, 61)], 200, 1.0),
        # It may shrink.
        ([(200, 60), (300, 55)], 200, -5.0),
        # Nothing after it.
        ([(200, 60)], 200, 0.0),
    ],
)
def test_growth(samples, from_frame: int, expected: float) -> None:
    found = growth_mb([a_sample(*sample) for sample in samples], from_frame)

    assert found == pytest.approx(expected)


@pytest.mark.parametrize("samples", [[], [a_sample(100), a_sample(300)]])
def test_no_base(samples: list[Sample]) -> None:
    with pytest.raises(FerEdgeError, match="No sample was taken at frame 200"):
        growth_mb(samples, 200)


@pytest.mark.parametrize(
    ("samples", "good", "said"),
    [
        ([a_sample(200), a_sample(900, mb=55.0)], True, "+5.00 MB, as wanted (at most 5 MB)"),
        ([a_sample(200), a_sample(900, mb=55.1)], False, "+5.10 MB, MORE than wanted"),
        # Before it counts, threads may start and files be opened.
        (
            [a_sample(100, threads=3, descriptors=9), a_sample(200), a_sample(900)],
            True,
            " constant",
        ),
        ([a_sample(200), a_sample(900, threads=8)], False, "NOT constant"),
        # Also where it is as before in the end.
        ([a_sample(200), a_sample(500, descriptors=6), a_sample(900)], False, "NOT constant"),
    ],
)
def test_verdict_and_table(samples: list[Sample], good: bool, said: str) -> None:
    console = Console(file=io.StringIO(), width=100, record=True)
    found = Growth(tuple(samples), 200, read_host())

    print_growth(found, console)

    text = " ".join(console.export_text().split())
    assert found.good is good
    assert "from frame 200 to 900" in text
    assert said in text
    assert "50.00 7 5" in text


def test_a_short_run_samples_what_it_promises(capfd: pytest.CaptureFixture[str]) -> None:
    found = measure_growth(25, from_frame=8, every=10)

    assert [sample.frame for sample in found.samples] == [8, 10, 20, 25]
    assert all(10**7 < sample.rss_bytes < 10**10 for sample in found.samples)
    # Capture, detect, classify, watchdog and this one, at least.
    assert all(sample.threads >= 5 for sample in found.samples)
    document = found.to_dict()
    assert document["growth_mb"] == pytest.approx(found.growth_mb, abs=1e-3)
    # The status sink took part; standard output stays free for data.
    out, err = capfd.readouterr()
    assert out == ""
    assert "25 results" in err


def test_a_file_that_stays_open_is_counted() -> None:
    before = take_sample(1)
    with open(os.devnull) as _:
        after = take_sample(2)

    assert after.descriptors == before.descriptors + 1


def test_too_few_frames() -> None:
    with pytest.raises(UsageError, match="more than the first 1000 frames, got 1000"):
        measure_growth(1000)


def test_rss_without_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    with_psutil = rss_bytes()
    real_import = builtins.__import__

    def without_psutil(name: str, *rest):
        if name == "psutil":
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_psutil)

    # The same to a few pages that were touched in between.
    assert rss_bytes() == pytest.approx(with_psutil, rel=0.05)


@pytest.mark.slow
def test_nothing_grows() -> None:
    found = measure_growth(10_000)

    # A frame that is lost every hundred would be 83 MB.
    assert found.growth_mb <= WANTED_MB
    assert found.constant
