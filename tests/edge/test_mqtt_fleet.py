"""A dozen devices on one mosquitto, as docs/fleet.md has it: its access list and its queries."""

import json
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt", reason="needs the extra [mqtt]")

from .brokers import listening, mosquitto
from .conftest import a_result, wait_until
from .mqtt_sinks import Said, publishing, shown

DOCS = Path(__file__).resolve().parents[2] / "docs" / "fleet.md"
CAMERAS = [f"cam-{number:02}" for number in range(1, 13)]
USERS = {name: f"secret of {name}" for name in (*CAMERAS, "summary")}


def block(kind: str) -> str:
    """What stands in the documentation between marks of this kind."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    return found


def query(kind: str, home: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", block(kind)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    if shutil.which("jq") is None or shutil.which("mosquitto_sub") is None:
        pytest.skip("needs jq and mosquitto-clients (.ci/run installs them)")
    (tmp_path / ".config").mkdir()
    return tmp_path


def password_file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.password"
    path.write_text(USERS[name])
    path.chmod(0o600)
    return path


@pytest.mark.slow
def test_the_queries_of_the_documentation_find_a_dozen(tmp_path: Path, home: Path) -> None:
    said = Said()
    acl = block("acl").splitlines()
    with mosquitto(tmp_path / "b", users=USERS, acl=acl) as broker, ExitStack() as stack:
        (home / ".config" / "mosquitto_sub").write_text(
            f"-h 127.0.0.1\n-p {broker.port}\n-u summary\n-P {USERS['summary']}\n"
        )
        sinks = [
            stack.enter_context(
                publishing(
                    broker.port,
                    said,
                    user=name,
                    name=name.replace("cam-", "Cam "),
                    password_file=password_file(tmp_path, name),
                )
            )
            for name in CAMERAS
        ]
        ear = stack.enter_context(listening(broker, user="summary", password=USERS["summary"]))
        for number, sink in enumerate(sinks):
            sink.write(shown(0, "sad" if number % 3 else "happy") if number else a_result(0))
        topics = {
            f"fer-edge/{name}/{what}" for name in CAMERAS for what in ("state", "availability")
        }
        wait_until(lambda: topics <= {topic for topic, _, _ in tuple(ear.messages)})
        sinks[11].__exit__()
        wait_until(lambda: ear.of("fer-edge/cam-12/availability")[-1:] == ["offline"])

        rows = [line.split("\t") for line in query("summary", home).splitlines()]
        totals = json.loads(query("totals", home))

    assert [row[0] for row in rows] == CAMERAS
    assert [row[1] for row in rows] == ["online"] * 11 + ["offline"]
    assert rows[0][2:5] == ["0", "-", "30"]
    assert rows[3][2:6] == ["1", "happy", "30", "51.3"]
    assert all(re.match(r"2026-.*Z$", row[6]) for row in rows)
    assert totals == {"cameras": 11, "faces": 10, "emotions": {"happy": 3, "sad": 7}}
    # Each said that it publishes, and none anything else.
    assert all(line.startswith("publishing to") for line in said.lines)


def test_a_camera_cannot_speak_for_another(tmp_path: Path) -> None:
    said = Said()
    files = {"password_file": password_file(tmp_path, "cam-01")}
    with (
        mosquitto(tmp_path / "b", users=USERS, acl=block("acl").splitlines()) as broker,
        listening(broker, user="summary", password=USERS["summary"]) as ear,
        publishing(broker.port, said, user="cam-01", name="Cam 02", **files) as sink,
    ):
        sink.write(shown(0))
        wait_until(lambda: any("Not authorized" in line for line in said.lines))
        assert ear.messages == []
