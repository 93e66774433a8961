"""The board: a made-up /proc and /sys, and a made-up ``vcgencmd`` on PATH."""

import os
import stat
from pathlib import Path

import pytest

from fer_edge.edge.board import BoardMonitor, BoardState, read_board

from .conftest import StoppedClock, wait_until

VOLT = {"sys/class/hwmon/hwmon1/name": "rpi_volt\n"}
PI = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/self/status": "Name:\tpython\nVmPeak:\t  999999 kB\nVmRSS:\t  184320 kB\nThreads:\t7\n",
    "proc/meminfo": "MemTotal:  3884000 kB\nMemFree: 100 kB\nMemAvailable:    3000000 kB\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61322\n",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon0/in0_lcrit_alarm": "1\n",  # another sensor's
    **VOLT,
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
}


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """A folder that is searched for commands before others; no real ``vcgencmd`` is found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture
def root(tmp_path, path) -> Path:
    """An empty machine."""
    return tmp_path / "root"


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def write_vcgencmd(path: Path, script: str) -> None:
    # Under another name first: what is being executed cannot be written.
    made = path / "made"
    made.write_text(f"#!/bin/sh\n{script}\n")
    made.chmod(made.stat().st_mode | stat.S_IXUSR)
    made.replace(path / "vcgencmd")


def answer(path: Path, bits: int) -> None:
    """A firmware that answers this to the one question that it is asked."""
    write_vcgencmd(path, f'[ "$*" = get_throttled ] && echo throttled={bits:#x}')


def test_a_pi_tells_everything(root, path):
    answer(path, 0x50005)

    assert read_board(write_tree(root, PI)) == BoardState(
        model="Raspberry Pi 4 Model B Rev 1.4",
        temperature_c=61.322,
        now=frozenset({"undervoltage", "throttled"}),
        since_boot=frozenset({"undervoltage", "throttled"}),
        process_bytes=184320 * 1024,
        free_bytes=3000000 * 1024,
    )


def test_a_machine_that_tells_nothing(root):
    assert read_board(root) == BoardState()


def test_this_machine_tells_of_its_memory():
    state = read_board()

    assert state.process_bytes is not None
    assert 5e6 < state.process_bytes < 100e9
    assert state.free_bytes is not None


# Each case: the bits, what is so now, what was since boot (raspberrypi.com, get_throttled).
BITS = [
    (0x0, set(), set()),
    (0x1, {"undervoltage"}, set()),
    (0x2, {"frequency capped"}, set()),
    (0x4, {"throttled"}, set()),
    (0x8, {"soft temperature limit"}, set()),
    (0x10000, set(), {"undervoltage"}),
    (0x20000, set(), {"frequency capped"}),
    (0x40000, set(), {"throttled"}),
    (0x80000, set(), {"soft temperature limit"}),
    (0xFFF0FFF0, set(), set()),  # bits that mean nothing
]


@pytest.mark.parametrize(("bits", "now", "since_boot"), BITS)
def test_the_firmware_s_bits(root, path, bits, now, since_boot):
    answer(path, bits)

    state = read_board(root)

    assert (state.now, state.since_boot) == (now, since_boot)


# Each case: a vcgencmd that does not answer.
SILENT = {
    "not allowed": "echo VCHI initialization failed; exit 1",
    "no device": "echo 'Can'\\''t open device file: /dev/vcio' >&2; exit 255",
    "nonsense": "echo throttled=0xnonsense",
    "nothing": "true",
    "bytes": "printf '\\377\\376'",
    "hangs": "exec sleep 60",
    "no script": "'",
}


@pytest.mark.parametrize("script", SILENT.values(), ids=SILENT)
def test_a_firmware_that_does_not_answer_is_no_news(root, path, script):
    write_vcgencmd(path, script)

    state = read_board(write_tree(root, PI))

    # What the kernel knows stays.
    assert (state.now, state.since_boot) == (frozenset(), None)
    assert state.temperature_c == 61.322


# Each case: the alarm of the kernel or None, the firmware's bits or None, what is so now.
UNDERVOLTAGE = [
    ("1", None, {"undervoltage"}),
    ("0", None, set()),
    (None, None, None),
    ("1", 0x2, {"undervoltage", "frequency capped"}),  # it came and went since the firmware saw it
    ("0", 0x1, {"undervoltage"}),
    (None, 0x0, set()),
]


@pytest.mark.parametrize(("alarm", "bits", "now"), UNDERVOLTAGE)
def test_the_kernel_and_the_firmware_complete_each_other(root, path, alarm, bits, now):
    write_tree(root, VOLT)
    if alarm is not None:
        write_tree(root, {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": alarm})
    if bits is not None:
        answer(path, bits)

    assert read_board(root).now == now


# Each case: types and temperatures of the zones, the processor's.
ZONES = [
    ([("cpu-thermal", "45000")], 45.0),  # Raspberry Pi
    ([("acpitz", "27800"), ("x86_pkg_temp", "51000")], 51.0),
    ([("gpu-thermal", "40000"), ("soc-thermal", "44444")], 44.444),  # Rockchip
    ([("cpu-thermal", "-5000")], -5.0),
    ([("acpitz", "27800")], None),  # of the case, which is nobody's
    ([("cpu-thermal", "")], None),
    ([("cpu-thermal", None)], None),
]


@pytest.mark.parametrize(("zones", "celsius"), ZONES)
def test_the_temperature_is_the_processor_s(root, zones, celsius):
    for number, (kind, milli) in enumerate(zones):
        zone = f"sys/class/thermal/thermal_zone{number}"
        write_tree(root, {f"{zone}/type": kind})
        if milli is not None:
            write_tree(root, {f"{zone}/temp": milli})

    assert read_board(root).temperature_c == celsius


# ---------------------------------------------------------------------------------------- the watch


@pytest.fixture
def clock(monkeypatch) -> StoppedClock:
    return StoppedClock(monkeypatch, "fer_edge.edge.board")


def look(monitor: BoardMonitor, clock) -> None:
    """Have it look a minute later, and wait for the firmware's answer."""
    clock.now += 60
    wait_until(lambda: monitor.poll() or monitor._asking is None)


def heat(root: Path, celsius: float) -> None:
    write_tree(root, {**PI, "sys/class/thermal/thermal_zone0/temp": f"{round(celsius * 1000)}"})


def test_each_trouble_is_told_once_with_its_cure(root, path, clock):
    said: list[str] = []
    monitor = BoardMonitor(said.append, heat_root := root)
    heat(heat_root, 85.0)
    answer(path, 0xF000F)

    for _ in range(3):
        look(monitor, clock)

    assert len(said) == 5
    for text, kind, cure in zip(
        said,
        ("85 °C", "undervoltage", "capped", "throttled", "soft temperature limit"),
        ("fan", "official power supply", "power supply", "cooling", "heat sink"),
        strict=True,
    ):
        assert kind in text
        assert cure in text


def test_a_healthy_board_is_not_spoken_of(root, path, clock):
    said: list[str] = []
    heat(root, 79.9)
    answer(path, 0x0)

    look(BoardMonitor(said.append, root), clock)

    assert said == []


def test_what_was_before_the_start_is_no_news_and_what_came_meanwhile_is(root, path, clock):
    """Between two looks the voltage may drop and come back: the firmware remembers it."""
    said: list[str] = []
    monitor = BoardMonitor(said.append, root)
    answer(path, 0x40000)
    look(monitor, clock)
    assert said == []

    answer(path, 0x50000)
    look(monitor, clock)

    assert len(said) == 1
    assert "undervoltage" in said[0]


def test_the_firmware_is_asked_every_thirty_seconds_and_the_kernel_each_time(
    root, path, clock, tmp_path
):
    asked = tmp_path / "asked"
    write_vcgencmd(path, f"echo . >> {asked}; echo throttled=0x40004")
    monitor = BoardMonitor(lambda _: None, write_tree(root, PI))
    for _ in range(59):
        wait_until(lambda: monitor.poll() or monitor._asking is None)
        clock.now += 1

    assert len(asked.read_text().splitlines()) == 2
    # What it said holds until it is asked again; the voltage is the kernel's matter too.
    assert monitor.state.now == {"throttled"}
    write_tree(root, {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1"})
    clock.now -= 1
    monitor.poll()
    assert monitor.state.now == {"throttled"}, "it looked with every frame"
    clock.now += 5
    monitor.poll()
    assert monitor.state.now == {"throttled", "undervoltage"}
    monitor.close()


def test_a_firmware_that_falls_silent_is_not_quoted_any_more(root, path, clock):
    monitor = BoardMonitor(lambda _: None, write_tree(root, PI))
    answer(path, 0x50005)
    look(monitor, clock)
    assert monitor.state.since_boot == {"undervoltage", "throttled"}
    write_vcgencmd(path, "exit 1")
    look(monitor, clock)

    assert (monitor.state.now, monitor.state.since_boot) == (frozenset(), None)


def test_a_board_of_which_only_the_voltage_is_known_does_not_claim_more(root):
    monitor = BoardMonitor(lambda _: None, write_tree(root, PI))
    monitor.poll()

    assert "now: no undervoltage, " in monitor.summary_line()
    assert "throttling" not in monitor.summary_line()


def test_the_summary_in_a_line(root, path, clock):
    monitor = BoardMonitor(lambda _: None, root)
    assert monitor.summary_line() == ""
    answer(path, 0x50001)
    heat(root, 70.4)
    look(monitor, clock)
    heat(root, 61.3)
    look(monitor, clock)

    assert monitor.summary_line() == (
        "Raspberry Pi 4 Model B Rev 1.4, 61 °C (at most 70 °C), now: undervoltage, since boot: "
        "undervoltage and throttled, 189 MB in this process, 3072 MB free"
    )


def test_a_board_without_trouble_says_so(root, path, clock):
    answer(path, 0x0)
    monitor = BoardMonitor(lambda _: None, root)
    look(monitor, clock)

    assert monitor.summary_line() == "now: no throttling, since boot: no throttling"


def test_it_does_not_wait_for_the_firmware(root, path, clock, tmp_path):
    # It cannot be opened for reading before it is opened for writing.
    os.mkfifo(tmp_path / "fifo")
    write_vcgencmd(path, f"cat {tmp_path}/fifo")
    monitor = BoardMonitor(lambda _: None, write_tree(root, PI))
    monitor.poll()
    assert monitor.state.temperature_c == 61.322
    assert monitor.state.since_boot is None

    (tmp_path / "fifo").write_text("throttled=0x50000\n")
    wait_until(lambda: monitor.poll() or monitor.state.since_boot)

    assert monitor.state.since_boot == {"undervoltage", "throttled"}


def test_a_firmware_that_hangs_is_given_up_and_asked_again(root, path, clock):
    write_vcgencmd(path, "exec sleep 600")
    monitor = BoardMonitor(lambda _: None, root)
    monitor.poll()
    hanging = monitor._asking
    assert hanging is not None
    clock.now += 0.9
    monitor.poll()
    assert monitor._asking is hanging
    clock.now += 0.2
    monitor.poll()
    assert monitor._asking is None
    wait_until(lambda: hanging.poll() is not None)

    answer(path, 0x40000)
    look(monitor, clock)
    assert monitor.state.since_boot == {"throttled"}


def test_no_descriptor_is_left_of_a_day(root, path, clock):
    answer(path, 0x0)
    monitor = BoardMonitor(lambda _: None, root)
    look(monitor, clock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        look(monitor, clock)

    assert len(list(Path("/proc/self/fd").iterdir())) <= before
