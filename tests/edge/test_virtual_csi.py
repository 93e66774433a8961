"""The CSI camera on real picamera2 and libcamera, whose virtual camera plays the demo's film.

Needs a Debian 13 root (docs/cameras-csi.md) and runs with ``-m virtual_csi``. The scenes are in
virtual_csi/scenes.py; each is a process of its own in the root.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "virtual_csi"
EDGE = Path(__file__).resolve().parents[2] / "edge"
HOW = f"sudo {HERE / 'make_root.sh'} /srv/trixie; export FER_EDGE_TRIXIE_ROOT=/srv/trixie"
# A picture that went through JPEG, NV12 and back, in grey levels of mean difference.
SAME = 2.0
# picamera2 takes 3 s to import, and a scene has limits of its own.
SCENE_S = 120
# Memory that libcamera's virtual handler forgets to set is 0 (virtual_csi/vcam_compat.py).
CAMERA = {
    "VCAM": "1",
    "VCAM_FPS": "30",
    "LD_PRELOAD": "/opt/vcam/vcam_shim.so",
    "GLIBC_TUNABLES": "glibc.malloc.perturb=255:glibc.malloc.tcache_count=0",
}

pytestmark = pytest.mark.virtual_csi

Run = Callable[..., subprocess.CompletedProcess[str]]
Scene = Callable[..., Any]


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs Python in the root, with the camera, on this tree's ``fer_edge.edge``."""
    root = Path(os.environ.get("FER_EDGE_TRIXIE_ROOT", "/nonexistent"))
    if not (root / "opt/vcam/venv/bin/python").exists():
        pytest.skip(f"needs a Debian 13 root with picamera2: {HOW}")
    if os.geteuid() != 0:
        pytest.skip("needs to be root, for chroot")
    vcam = root / "opt/vcam"
    for file in HERE.iterdir():
        if file.is_file():
            shutil.copy(file, vcam)
    shutil.rmtree(vcam / "tree", ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(EDGE, vcam / "tree/fer_edge/edge", ignore=ignored)
    config = root / "usr/share/libcamera/pipeline/virtual/virtual.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "virtual.yaml", config)
    (vcam / "frames").mkdir(exist_ok=True)

    def run_in_root(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "/opt/vcam:/opt/vcam/tree"}
        variables["HOME"] = "/root"
        settings = [f"{key}={value}" for key, value in (variables | environment).items()]
        # Of its own, so that no mount is left behind. Without /proc LiteRT cannot tell what the
        # processor is, and takes 300 ms a face instead of 0.6.
        mounts = ("unshare", "--mount", "sh", "-c", 'mount -t proc proc "$0/proc" && exec "$@"')
        return subprocess.run(
            [*mounts, str(root), "chroot", str(root), "env", "-i", *settings, *command],
            capture_output=True,
            text=True,
            timeout=SCENE_S,
            check=False,
        )

    def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_in_root("/opt/vcam/venv/bin/python", *arguments, **CAMERA | environment)

    shim = ("gcc", "-O2", "-Wall", "-Werror", "-fPIC", "-shared", "-o", "/opt/vcam/vcam_shim.so")
    for done in (
        run_in_root(*shim, "/opt/vcam/vcam_shim.c"),
        run_in_root("/opt/vcam/venv/bin/python", "/opt/vcam/make_frames.py", "/opt/vcam/frames"),
    ):
        assert done.returncode == 0, done.stderr
    return python


@pytest.fixture
def scene(run) -> Scene:
    """Runs a scene and returns what it tells."""

    def play(name: str, *arguments: str, **environment: str) -> Any:
        done = run("/opt/vcam/scenes.py", name, *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return play


# Size asked for, padding of the rows in bytes, colour, and the size that comes of it.
READINGS = [
    ((640, 480), 1, True, (640, 480)),
    ((640, 480), 1, False, (640, 480)),
    ((320, 240), 128, True, (320, 240)),  # 384 bytes for 320 pixels, as on a Pi 5
    ((320, 240), 128, False, (320, 240)),
    ((641, 481), 1, True, (640, 480)),  # picamera2 makes it even
    ((800, 600), 1, True, (640, 480)),  # libcamera adjusts it
    ((800, 600), 256, False, (640, 480)),
]


@pytest.mark.parametrize(("asked", "align", "colour", "made"), READINGS)
def test_frames_are_the_film_at_its_rate(scene, asked, align, colour, made):
    facts = scene("reading", *map(str, (*asked, int(colour))), VCAM_ALIGN=str(align))

    assert facts["size_wh"] == list(made)
    assert facts["shape"] == [*made[::-1], 3] if colour else list(made[::-1])
    assert facts["indexes"] == list(range(60))
    assert facts["distance"] < SAME
    assert facts["lumas"] == [list(made[::-1])] * (60 if colour else 0)
    assert all(difference < SAME for difference in facts["luma_against_grey"])
    # The median, as a busy machine misses some.
    assert facts["median_gap_ms"] == pytest.approx(1000 / 30, abs=4)
    assert facts["fps"] == pytest.approx(30, abs=0.01)
    assert facts["ages_ms"][0] > 0


@pytest.mark.parametrize(("rotate", "mirror"), [(0, 0), (180, 0), (0, 1), (180, 1)])
@pytest.mark.parametrize("can_flip", ["1", "0"])
def test_the_picture_is_turned_by_the_camera_or_by_pixels(scene, rotate, mirror, can_flip):
    facts = scene("turning", str(rotate), str(mirror), VCAM_FLIPS=can_flip)

    assert facts["turned"] < SAME
    assert facts["luma"] < SAME
    if rotate or mirror:
        assert facts["upright"] > SAME


def test_a_camera_that_freezes_is_lost_in_time_and_comes_back(scene):
    facts = scene("frozen")

    assert "stopped delivering" in facts["lost"]["said"]
    assert facts["lost"]["after_s"] <= 5
    assert facts["close"]["after_s"] <= 5
    assert "stopped delivering" in facts["dark"]["said"]
    assert facts["again"] == list(range(30))
    assert facts["ages_ms"][0] > 0
    assert facts["threads"] == 1


def test_reading_on_after_errors_loses_no_buffers(scene):
    assert len(scene("thawed_without_closing")["frames"]) == 20


def test_closing_ends_a_read_that_waits(scene):
    facts = scene("closing_while_reading")

    assert "stopped delivering" in facts["read"][0]["said"]
    assert facts["close"] == {"said": None, "after_s": pytest.approx(0, abs=5)}


def test_a_driver_that_hangs_in_closing_holds_nobody_up(scene):
    facts = scene("hanging_driver")

    assert facts["close"] == {"said": None, "after_s": pytest.approx(2, abs=3)}
    assert "its driver hangs" in facts["renew"]["said"]
    assert facts["again"]["said"] is None


@pytest.mark.parametrize("name", ["leaving_while_it_hangs", "leaving_without_closing"])
def test_the_process_can_end_with_a_camera_that_does_not(scene, name):
    scene(name)


def test_reopening_costs_no_thread_and_no_descriptor(scene):
    facts = scene("reopening")

    assert len(facts["counts"]) == 30
    assert len({tuple(count) for count in facts["counts"]}) == 1
    assert facts["at_the_end"] == 1


def test_a_second_opening_is_refused_and_the_first_goes_on(scene):
    facts = scene("second_opening")

    assert "open in this program already" in facts["ours"]["said"]
    assert facts["first"] == list(range(30))
    assert "rest of this program" in facts["theirs"]["said"]
    assert len(facts["their_frames"]) == 10
    assert facts["afterwards"] == 0


def test_the_trap_that_the_guard_is_for_is_still_there(scene):
    """Once this fails, picamera2 has mended it and the guard can go."""
    facts = scene("the_trap")

    assert facts["second"] is not None
    assert "stopped delivering" in facts["first"]["said"]


def test_waiting_for_a_camera_that_another_holds_leaves_nothing_behind(scene):
    facts = scene("busy")

    # Before 0.3.26 or so picamera2 keeps the reason to itself.
    said = re.compile("Failed to acquire camera: Device or resource busy|did not complete")
    assert said.search(facts["said"])
    assert len({tuple(count) for count in facts["counts"]}) == 1
    assert facts["then"] == 0


def test_the_list_opens_nothing(scene):
    facts = scene("listing")

    found = [(info["Model"], info["Num"], bool(info["Modes"])) for info in facts["cameras"]]
    assert found == [("virtual-face", 0, True), ("virtual-bars", 1, True)]
    assert facts["frames"] == [1, 2, 3, 4, 5]


def test_two_cameras_at_once(scene):
    facts = scene("two_cameras")

    assert facts["face"] < SAME < facts["bars"]


@pytest.mark.parametrize("extra", [(), ("--rotate", "180", "--mirror")])
def test_the_whole_loop_finds_the_faces(run, extra):
    arguments = ("--camera", "csi:0", "--frames", "60", "--jsonl", "-", "--detector", "haar")
    done = run("-m", "fer_edge.edge.cli", "run", *arguments, *extra)

    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == 60
    faces = sum(bool(result["faces"]) for result in results)
    # Upside down Haar finds none: that shows that the picture was really turned.
    assert faces == 0 if extra else faces > 50


RIBBON = ("/opt/vcam/scenes.py", "ribbon_in_a_loop", "--camera", "csi:0", "--detector", "haar")


def test_the_loop_goes_on_when_the_ribbon_is_back(run):
    done = run(*RIBBON, "--frames", "200", "--jsonl", "-")

    assert done.returncode == 0, done.stderr
    times_ns = [json.loads(line)["monotonic_ns"] for line in done.stdout.splitlines()]
    gaps_ns = [after - before for before, after in pairwise(times_ns)]
    assert len(times_ns) == 200
    assert sorted(gaps_ns) == sorted(abs(gap_ns) for gap_ns in gaps_ns)
    # It was away for 5 s, and back within 10 s of its return.
    assert 4e9 < max(gaps_ns) < 15e9
    assert done.stderr.count("stopped delivering frames") == 1


def test_the_loop_ends_with_the_camera_if_asked_to(run):
    done = run(*RIBBON, "--frames", "200", "--no-retry")

    assert done.returncode == 3, done.stderr
    assert "stopped delivering frames" in done.stderr
    assert "Traceback" not in done.stderr
