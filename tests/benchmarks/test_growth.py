"""Whether the loop's memory grows: the arithmetic, and a short run of the real thing."""

import builtins
import io

import pytest
from rich.console import Console

from fer_edge.benchmarks import growth
from fer_edge.benchmarks.growth import (
    WANTED_MB,
    Growth,
    Sample,
    growth_mb,
    measure_growth,
    rss_bytes,
)
from fer_edge.benchmarks.host import read_host
from fer_edge.benchmarks.report import print_growth
from fer_edge.edge.errors import FerEdgeError


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
    found = growth_mb([Sample(frame, mb * 10**6) for frame, mb in samples], from_frame)

    assert found == pytest.approx(expected)


@pytest.mark.parametrize("samples", [[], [Sample(100, 1), Sample(300, 1)]])
def test_no_base(samples: list[Sample]) -> None:
    with pytest.raises(FerEdgeError, match="No sample was taken at frame 200"):
        growth_mb(samples, 200)


@pytest.mark.parametrize(("gained_mb", "verdict"), [(2.0, "as wanted"), (2.1, "MORE than wanted")])
def test_table(gained_mb: float, verdict: str) -> None:
    samples = (Sample(200, 50_000_000), Sample(2000, 50_000_000 + round(gained_mb * 1e6)))
    console = Console(file=io.StringIO(), width=100, record=True)

    print_growth(Growth(samples, 200, read_host()), console)

    text = console.export_text()
    assert f"from frame 200 to 2000: +{gained_mb:.2f} MB, {verdict} (at most 2 MB)" in text
    assert "50.00" in text


def test_a_short_run_samples_what_it_promises(capfd: pytest.CaptureFixture[str]) -> None:
    found = measure_growth(25, from_frame=8, every=10)

    assert [sample.frame for sample in found.samples] == [8, 10, 20, 25]
    assert all(10**7 < sample.rss_bytes < 10**10 for sample in found.samples)
    document = found.to_dict()
    assert document["growth_mb"] == pytest.approx(found.growth_mb, abs=1e-3)
    # The status sink took part; standard output stays free for data.
    out, err = capfd.readouterr()
    assert out == ""
    assert "25 results" in err


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        # Ctrl-C.
        (130, KeyboardInterrupt),
        # SIGTERM: the loop ends well, but too early.
        (0, FerEdgeError),
    ],
)
def test_a_run_that_is_ended_early(monkeypatch: pytest.MonkeyPatch, code: int, kind) -> None:
    monkeypatch.setattr(growth, "run_loop", lambda *_, **__: code)

    with pytest.raises(kind):
        measure_growth(25, from_frame=8)


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
def test_memory_stays_flat() -> None:
    found = measure_growth(2000)

    # Twice what is wanted: beside other work (pytest-xdist) more frames than ever before may wait
    # between two stages, and each that does is 0.9 MB which the allocator keeps. A frame that is
    # lost every hundred would be 17 MB.
    assert found.growth_mb <= 2 * WANTED_MB
