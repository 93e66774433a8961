"""The rules: what counts, what is kept of the machine, and when a run must not be quoted."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.benchmarks import rules
from fer_edge.benchmarks.document import Conditions
from fer_edge.benchmarks.host import Spent
from fer_edge.benchmarks.rules import (
    FULL,
    QUICK,
    Effort,
    gather,
    read_conditions,
    read_machine,
    repetition,
    say_disturbed,
    say_throttled,
    windows,
)
from fer_edge.edge.board import KINDS

FREQUENCY = "sys/devices/system/cpu/cpu0/cpufreq"


def a_root(folder: Path, **files: str) -> Path:
    """A folder in the place of /, with a processor's state in it; None leaves a file out."""
    usual = {
        f"{FREQUENCY}/scaling_governor": "ondemand\n",
        f"{FREQUENCY}/scaling_cur_freq": "1800000\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "54321\n",
    }
    for name, text in {**usual, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def a_firmware(folder: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """A ``vcgencmd`` that says this, in the place of the installed one."""
    program = folder / "vcgencmd"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.fixture
def no_firmware(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


# ---------------------------------------------------------------------------------- repetitions


def test_the_rules_are_those_that_are_cited():
    assert (FULL.repeats, FULL.seconds, FULL.quick) == (5, 10.0, False)
    assert FULL.warmup_s > 0
    # Less than they ask for, and labelled as such.
    assert QUICK.quick
    assert QUICK.repeats * QUICK.seconds < FULL.repeats * FULL.seconds


@pytest.fixture
def others(monkeypatch) -> list[float]:
    """What other processes use in each repetition, one after the other."""
    script = [0.0] * 10
    monkeypatch.setattr(rules, "stopwatch", lambda: lambda: Spent(1.0, 1.0, script.pop(0)))
    return script


def test_the_warm_up_does_not_count(others):
    asked = []

    def measure(seconds: float) -> dict[str, float]:
        asked.append(seconds)
        return {"fps": float(len(asked)), "age": -float(len(asked))}

    effort = Effort(repeats=3, seconds=7.0, warmup_s=2.0)
    found = gather([repetition(measure, effort) for _ in range(3)])

    assert asked == [2.0, 7.0, 2.0, 7.0, 2.0, 7.0]
    assert found.values == {"fps": (2.0, 4.0, 6.0), "age": (-2.0, -4.0, -6.0)}
    assert found.invalid == ""


def test_no_warm_up_where_none_is_asked_for(others):
    found = repetition(lambda seconds: {"s": seconds}, Effort(1, seconds=3.0, warmup_s=0.0))

    assert found == ({"s": 3.0}, 0.0)


@pytest.mark.parametrize(
    ("script", "invalid"),
    [
        ([0.1, 0.2, 0.0], ""),
        # The worst repetition decides: its figure is one of the published ones.
        ([0.0, 1.3, 0.0], "disturbed: other processes used 1.3 cores"),
    ],
)
def test_a_disturbed_repetition_makes_all_invalid(others, script, invalid):
    others[:] = script

    found = gather([repetition(lambda _: {"fps": 1.0}, Effort(3, 1.0, 0.0)) for _ in script])

    assert found.invalid == invalid


@pytest.mark.parametrize(
    ("cores", "said"),
    [
        (0.0, ""),
        (0.2, ""),
        (0.26, "disturbed: other processes used 0.3 cores"),
        (3.0, "disturbed: other processes used 3.0 cores"),
    ],
)
def test_disturbed(cores, said):
    assert say_disturbed(cores) == said


class Clock:
    """In the place of the time; each look at it takes a millisecond, and whoever works moves it."""

    now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.001
        return self.now


@given(st.floats(0, 2), st.floats(0.005, 0.5))
def test_windows_last_as_long_as_was_asked_and_count_every_call(seconds, step_s):
    clock = Clock()
    calls = 0

    def step() -> None:
        nonlocal calls
        calls += 1
        clock.now += step_s

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "time", clock)
        took_ms = windows(step, seconds)

    assert len(took_ms) == calls >= 1
    assert all(took == pytest.approx(1e3 * step_s + 1, abs=1e-3) for took in took_ms)
    # No call begins after the end.
    assert clock.now - step_s <= 0.01 + seconds
    assert clock.now >= seconds


# ---------------------------------------------------------------------------------- the machine

FINE = Conditions("ondemand", 1800.0, 50.0, (), (), 0.1)
PERFORMANCE = Conditions("performance", 1800.0, 50.0, (), (), 0.1)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (FINE, FINE, ""),
        # A machine that tells nothing is not throttled, as far as one knows.
        (Conditions(), Conditions(), ""),
        (FINE, Conditions("ondemand", 600.0, 70.0, (), (), 4.0), ""),
        # At one end is enough.
        (Conditions(throttled_now=("throttled",)), Conditions(), "throttled: throttled"),
        (
            Conditions(throttled_now=("undervoltage",)),
            Conditions(throttled_now=("frequency capped", "undervoltage")),
            "throttled: frequency capped, undervoltage",
        ),
        # It came and went meanwhile: the firmware remembers.
        (
            Conditions(throttled_now=(), throttled_since_boot=("undervoltage",)),
            Conditions(throttled_now=(), throttled_since_boot=("throttled", "undervoltage")),
            "throttled: throttled",
        ),
        # That it was so before is past.
        (
            Conditions(throttled_since_boot=("undervoltage",)),
            Conditions(throttled_since_boot=("undervoltage",)),
            "",
        ),
        (FINE, PERFORMANCE, "disturbed: the governor went from ondemand to performance"),
        # Only this governor holds the clock.
        (
            PERFORMANCE,
            Conditions("performance", 1000.0, 50.0, (), (), 0.1),
            "throttled: the clock fell from 1800 to 1000 MHz",
        ),
        (PERFORMANCE, Conditions("performance", 1700.0, 50.0, (), (), 0.1), ""),
        (PERFORMANCE, Conditions("performance", None, 50.0, (), (), 0.1), ""),
    ],
)
def test_throttled(before, after, said):
    assert say_throttled(before, after) == said


kinds = st.none() | st.sets(st.sampled_from(KINDS)).map(lambda some: tuple(sorted(some)))
conditions = st.builds(
    Conditions,
    st.sampled_from([None, "ondemand", "performance"]),
    st.none() | st.floats(100, 4000),
    st.none() | st.floats(0, 90),
    kinds,
    kinds,
    st.none() | st.floats(0, 9),
)


@given(conditions, conditions)
def test_what_is_throttled_is_never_passed_over(before, after):
    said = say_throttled(before, after)

    now = {*(before.throttled_now or ()), *(after.throttled_now or ())}
    new = {*(after.throttled_since_boot or ())} - {*(before.throttled_since_boot or ())}
    assert all(kind in said for kind in (now or new))
    if now or new:
        assert said.startswith("throttled: ")


@given(conditions)
def test_a_machine_that_stayed_as_it_was_is_fine_unless_throttled_now(same):
    assert bool(say_throttled(same, same)) == bool(same.throttled_now)


def test_the_conditions_of_a_machine(tmp_path, monkeypatch):
    root = a_root(tmp_path / "root")
    a_firmware(tmp_path, monkeypatch, "throttled=0x50005")

    found = read_conditions(root)

    assert (found.governor, found.clock_mhz, found.temperature_c) == ("ondemand", 1800.0, 54.321)
    assert found.throttled_now == ("throttled", "undervoltage")
    assert found.throttled_since_boot == ("throttled", "undervoltage")
    assert found.load_1min >= 0


def test_a_machine_that_tells_nothing(tmp_path, no_firmware):
    found = read_conditions(tmp_path)

    assert found == Conditions(load_1min=found.load_1min)


def test_a_governor_that_may_not_be_read_is_unknown(tmp_path, no_firmware, monkeypatch):
    root = a_root(tmp_path)
    read = Path.read_text

    def forbidden(path: Path, *arguments, **keywords) -> str:
        # As root may read everything, a mode would forbid nothing to some who run the tests.
        if path.name == "scaling_governor":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "read_text", forbidden)

    found = read_conditions(root)

    assert found.governor is None
    assert found.clock_mhz == 1800.0


@pytest.mark.parametrize("text", ["", "<unknown>\n", "-5\n", "1e9\n"])
def test_a_clock_that_is_no_number_is_unknown(tmp_path, no_firmware, text):
    root = a_root(tmp_path, **{f"{FREQUENCY}/scaling_cur_freq": text})

    assert read_conditions(root).clock_mhz is None


@pytest.mark.parametrize(
    "says", ["VCHI initialization failed", "throttled=0xzz", "", "throttled=0x123456789a"]
)
def test_a_firmware_that_does_not_answer_is_no_throttling(tmp_path, monkeypatch, says):
    a_firmware(tmp_path, monkeypatch, says)

    found = read_conditions(a_root(tmp_path / "root"))

    assert found.throttled_now is None
    assert found.throttled_since_boot is None


@pytest.mark.parametrize(
    ("files", "board", "processor"),
    [
        (
            {
                "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
                "proc/cpuinfo": "BogoMIPS : 108.00\n\nModel : Raspberry Pi 5 Model B Rev 1.0\n",
            },
            "Raspberry Pi 5 Model B Rev 1.0",
            "Raspberry Pi 5 Model B Rev 1.0",
        ),
        ({"proc/cpuinfo": "model name : AMD EPYC\n"}, "", "AMD EPYC"),
    ],
)
def test_the_machine(tmp_path, files, board, processor):
    machine = read_machine(a_root(tmp_path, **files))

    assert (machine.board, machine.processor) == (board, processor)
    assert machine.title == (board or processor)
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.memory_bytes > 1 << 27
    assert machine.packages["numpy"]
    # What names a person or a network is no part of it.
    assert os.uname().nodename not in repr(machine)
