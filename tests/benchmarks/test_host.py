"""What a report says of the machine."""

import os
from contextlib import suppress
from pathlib import Path

import cv2
import pytest

from fer_edge.benchmarks.host import (
    busy_seconds,
    choose_cores,
    cpu_model,
    pinned,
    read_busy_seconds,
    read_host,
    stopwatch,
)
from fer_edge.edge.errors import UsageError


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        # x86; the first of several processors.
        (
            "processor\t: 0\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\nmodel name\t: other\n",
            "AMD EPYC",
        ),
        # A Raspberry Pi 5: no model name, the board at the end.
        (
            "processor\t: 0\nBogoMIPS\t: 108.00\n\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
            "Raspberry Pi 5 Model B Rev 1.0",
        ),
        # A name with a colon in it.
        ("model name\t: A: B\n", "A: B"),
        # Neither, nothing, and no fields at all.
        ("processor\t: 0\n", ""),
        ("", ""),
        ("no colon", ""),
    ],
)
def test_cpu_model(cpuinfo: str, expected: str) -> None:
    assert cpu_model(cpuinfo) == expected


@pytest.mark.parametrize(
    ("available", "count", "expected"),
    [
        ({0, 1, 2, 3}, 2, (0, 1)),
        # Not all machines number theirs from 0, and a container may have lost some.
        ({7, 3, 5}, 2, (3, 5)),
        ({4}, 1, (4,)),
    ],
)
def test_choose_cores(available: set[int], count: int, expected: tuple[int, ...]) -> None:
    assert choose_cores(available, count) == expected


def test_too_few_cores() -> None:
    with pytest.raises(UsageError, match=r"--cores 3: this process may use 2 \(CPUs \[1, 4\]\)"):
        choose_cores({4, 1}, 3)


def test_read_host_without_cpuinfo(tmp_path: Path) -> None:
    host = read_host(tmp_path / "missing")

    assert host.cpu
    assert host.cores >= 1
    assert host.load_1min >= 0


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        # user nice system idle iowait irq softirq steal guest guest_nice: all but the waiting, and
        # guests not twice, for they are in user.
        ("cpu  1 2 4 1000 1000 8 16 32 1000 1000\ncpu0 9 9 9 9 9 9 9 9 9 9\n", 0.63),
        # An old kernel without guests.
        ("cpu  100 0 0 0 0 0 0 0", 1.0),
    ],
)
def test_busy_seconds(stat: str, expected: float) -> None:
    assert busy_seconds(stat, 100) == pytest.approx(expected)


def test_busy_seconds_only_grow() -> None:
    before = read_busy_seconds()

    assert 0 < before <= read_busy_seconds()


def test_stopwatch() -> None:
    spent = stopwatch()
    first, second = spent(), spent()

    assert 0 < first.seconds <= second.seconds
    assert 0 <= first.cpu_seconds <= second.cpu_seconds
    assert min(first.others_cores, second.others_cores) >= 0


@pytest.mark.parametrize("choose", [True, False])
def test_pinned_and_put_back(choose: bool) -> None:
    before, threads = os.sched_getaffinity(0), cv2.getNumThreads()
    cores = {max(before)} if choose else before

    with suppress(KeyError), pinned(cores if choose else None):
        assert (os.sched_getaffinity(0), cv2.getNumThreads()) == (cores, 1)
        raise KeyError

    assert (os.sched_getaffinity(0), cv2.getNumThreads()) == (before, threads)
