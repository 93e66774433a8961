"""The command with a real mosquitto: its secrets, and a broker that is dead for a minute.

``OUTAGE_S=60 pytest -m slow -s tests/edge/test_mqtt_run.py`` prints the figures of docs/mqtt.md.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("paho.mqtt", reason="needs the extra [mqtt]")

from .brokers import Mosquitto, listening, mosquitto
from .conftest import wait_until

OUTAGE_S = float(os.environ.get("OUTAGE_S", "60"))
# Around the outage, to compare with.
BESIDE_S = 15.0
RIGHT_AGAIN_S = 5.0
MOST_GROWTH_MB = 8.0
LIMIT_S = 60.0
SECRET = "the s3cret of this test"
STATE = "fer-edge/hall/state"


@contextmanager
def running(folder: Path, broker: Mosquitto, *options: str, **variables: str) -> Iterator:
    """The command on the demo, until the end of the block, or earlier."""
    command = [sys.executable, "-m", "fer_edge.edge.cli", "run", "--camera", "demo", "--no-window"]
    user = "cam@" if variables else ""
    publish = ["--mqtt", f"mqtt://{user}127.0.0.1:{broker.port}", "--device-name", "Hall"]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [*command, *publish, *options],
            cwd=folder,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT_S)
        finally:
            process.kill()
            process.communicate()


def rss_mb(process: subprocess.Popen) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (found,) = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found) / 1024


def test_the_command_publishes_and_its_password_is_nowhere(tmp_path: Path) -> None:
    users = {"cam": SECRET, "ear": "other"}
    with (
        mosquitto(tmp_path / "b", users=users) as broker,
        listening(broker, user="ear", password="other") as ear,
        running(tmp_path, broker, "--frames", "1000000", FER_EDGE_MQTT_PASSWORD=SECRET) as process,
    ):
        wait_until(lambda: ear.of(STATE) or process.poll() is not None, LIMIT_S)
        assert json.loads(ear.of(STATE)[-1])["emotion"]
        everybody = [path.read_bytes() for path in _command_lines()]
        assert any(b"fer_edge.edge.cli" in line for line in everybody)
        assert not any(SECRET.encode() in line for line in everybody)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT_S)
        wait_until(lambda: ear.of("fer-edge/hall/availability")[-1:] == ["offline"])
        said = [output, (tmp_path / "stderr").read_bytes(), broker.log.read_bytes(), *ear.raw]

    assert process.returncode == 0
    assert b"publishing to the MQTT broker" in said[1]
    assert not any(SECRET.encode() in each for each in said)


def _command_lines() -> Iterator[Path]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            path.read_bytes()
            yield path


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_broker_that_is_dead_for_a_minute_costs_the_loop_nothing(tmp_path: Path, capsys) -> None:
    lines = tmp_path / "lines.jsonl"
    with (
        mosquitto(tmp_path / "b") as broker,
        running(tmp_path, broker, "--jsonl", str(lines)) as process,
    ):
        with listening(broker) as ear:
            wait_until(lambda: ear.of(STATE), LIMIT_S)
        marks, memory = [time.time()], []

        def go_on(seconds: float) -> None:
            time.sleep(seconds)
            marks.append(time.time())
            memory.append(rss_mb(process))

        go_on(BESIDE_S)
        broker.kill()
        go_on(OUTAGE_S)
        broker.start()
        with listening(broker) as ear:
            wait_until(lambda: ear.of(STATE) and ear.of("fer-edge/hall/availability"), LIMIT_S)
            right_s = time.time() - marks[-1]
            state = json.loads(ear.of(STATE)[-1])
        go_on(BESIDE_S)

    results = [json.loads(line) for line in lines.read_text().splitlines()]
    report = [f"state right {right_s:.1f} s after the broker's return"]
    for name, since, until in zip(("before", "dead", "after"), marks, marks[1:], strict=False):
        part = [each for each in results if since < _unix_s(each) < until]
        lost = part[-1]["frame"] - part[0]["frame"] + 1 - len(part)
        ages = [each["age_ms"] for each in part]
        moments = np.diff([each["monotonic_ns"] for each in part]) / 1e6
        report.append(
            f"{name}: {len(part)} results in {until - since:.0f} s, {lost} frames lost, age p95 "
            f"{np.percentile(ages, 95):.1f} ms, longest gap {moments.max():.0f} ms"
        )
    report.append("memory: " + ", ".join(f"{each:.1f} MB" for each in memory))
    with capsys.disabled():
        print("\n" + "\n".join(report))

    assert right_s <= RIGHT_AGAIN_S
    # Of now, and not of when the broker died.
    assert abs(_unix_s(state) - marks[-2]) < RIGHT_AGAIN_S + 1
    assert memory[1] - memory[0] < MOST_GROWTH_MB


def _unix_s(document: dict) -> float:
    return datetime.fromisoformat(document["time"]).timestamp()
