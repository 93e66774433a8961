"""``fer-edge run`` in a process of its own: when it ends, and what it leaves."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.edge.cameras.demo import DemoCamera

from .commands import HANG_S, frames_of, run, seconds_of
from .conftest import encode
from .edge.conftest import write_clip


@pytest.fixture
def here(tmp_path) -> Path:
    """A folder with a face, and files that are not to be lost."""
    (tmp_path / "there.jsonl").write_text("precious\n")
    (tmp_path / "there.mp4").write_text("precious\n")
    (tmp_path / "face.png").write_bytes(encode(DemoCamera(lossless=True).image(5)))
    return tmp_path


# ------------------------------------------------------------------------------------------ runs


@pytest.mark.parametrize("frames", [1, 5])
def test_frames_ends_after_so_many_results(tmp_path, frames):
    done = run("run", "--camera", "demo", "--frames", frames, "--jsonl", "-", cwd=tmp_path)

    assert done.returncode == 0
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == frames
    assert f"fer-edge: {frames} results of " in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limits", ["--duration 0.5", "--duration 1e12 --frames 3"])
def test_duration_ends_after_so_many_seconds(tmp_path, limits):
    done = run("run", "--camera", "demo", "--jsonl", "out.jsonl", *limits.split(), cwd=tmp_path)

    assert done.returncode == 0
    assert (tmp_path / "out.jsonl").read_text().count("\n") >= 3


def test_the_end_of_a_clip_is_the_end_and_every_frame_has_its_line(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", count=9)

    done = run("run", "--camera", clip, "--jsonl", "out.jsonl", "--record", "out.mp4", cwd=tmp_path)

    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert done.returncode == 0
    assert [line["frame"] for line in lines] == list(range(9))
    assert all(line["faces"] for line in lines)
    assert "9 results of 9 frames (0 dropped)" in done.stderr
    assert frames_of(tmp_path / "out.mp4") == 9
    assert done.stdout == ""


def test_a_picture_is_read(here):
    done = run("run", "--camera", "face.png", "--jsonl", "-", cwd=here)

    (line,) = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(json.loads(line)["faces"]) == 1


def test_a_recording_of_the_demo_is_as_long_as_it_ran(tmp_path):
    demo = ["--camera", "demo", "--frames", 20, "--fps", 20, "--size", "320x240"]

    done = run("run", *demo, "--record", "out.mp4", "--jsonl", "out.jsonl", cwd=tmp_path)

    assert done.returncode == 0
    assert frames_of(tmp_path / "out.mp4") == pytest.approx(20 * seconds_of(tmp_path) + 1, abs=1)
    assert {path.name for path in tmp_path.iterdir()} == {"out.mp4", "out.jsonl"}


def test_events_and_a_table_come_beside_the_lines(tmp_path):
    outputs = ["--jsonl", "-", "--events", "events.jsonl", "--csv", "table.csv"]

    done = run("run", "--camera", "demo", "--frames", 10, *outputs, cwd=tmp_path)

    assert done.returncode == 0
    faces = [face for line in done.stdout.splitlines() for face in json.loads(line)["faces"]]
    rows = (tmp_path / "table.csv").read_text().splitlines()
    assert len(rows) == 1 + len(faces)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events if "label" not in event] == ["started", "ended"]
    assert {event["face"] for event in events if "face" in event} == {f["id"] for f in faces}
    assert events[-1]["results"] == 10


def test_a_page_is_served_where_it_is_asked_for(tmp_path):
    pytest.importorskip("uvicorn", reason="needs the extra [web]")
    demo = ["--camera", "demo", "--frames", 5]

    done = run("run", *demo, "--serve", "127.0.0.1:0", cwd=tmp_path)
    beyond = run("run", *demo, "--serve", "0.0.0.0:0", cwd=tmp_path)
    bad = run("run", *demo, "--serve", "pi:port", cwd=tmp_path)

    assert (done.returncode, beyond.returncode, bad.returncode) == (0, 0, 2)
    assert re.search(r"the page is at http://localhost:\d+/\n", done.stderr)
    assert re.search(r"the page is at http://\S+:\d+/\?token=[\w-]{24,}\n", beyond.stderr)
    assert "--serve: expected a port" in bad.stderr


def test_faces_are_saved_only_where_a_folder_is_named(tmp_path):
    demo = ["--camera", "demo", "--frames", 5, "--notice"]

    assert run("run", *demo, cwd=tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert run("run", *demo, "--save-faces", "faces", cwd=tmp_path).returncode == 0
    (name,) = [path.name for path in (tmp_path / "faces").iterdir()]
    assert "-face1-" in name


def test_overwrite_replaces_both_outputs(here):
    outputs = ["--jsonl", "there.jsonl", "--record", "there.mp4", "--overwrite"]

    done = run("run", "--camera", "face.png", *outputs, cwd=here)

    assert done.returncode == 0
    assert json.loads((here / "there.jsonl").read_text())["frame"] == 0
    assert frames_of(here / "there.mp4") == 1


def test_a_name_with_brackets_is_a_name(here):
    name = "film [x264] [bold].png"
    (here / "face.png").rename(here / name)

    done = run("run", "--camera", name, cwd=here)

    assert done.returncode == 0
    assert f"fer-edge: {name}; Ctrl-C ends it" in done.stderr


def test_three_lines_of_python_read_a_picture(here):
    lines = (
        "from fer_edge.edge import EmotionReader\n"
        "reader = EmotionReader()\n"
        'print(reader.read("face.png"))\n'
    )

    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=here, capture_output=True, text=True, timeout=HANG_S
    )

    assert done.returncode == 0
    assert done.stdout.startswith("[<Reading ")
    assert done.stderr == "", "the libraries' chatter"
