"""The window, for real: OpenCV's build with window code on a virtual screen, and a key press."""

import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from fer_edge.edge.errors import SinkError
from fer_edge.edge.sinks.window import TITLE, WindowSink, why_no_window

from ..working_tree import clean_environment, copy_tree

NEEDED = ("Xvfb", "xdotool", "xwininfo", "import")
LIMIT_S = 60


def test_without_window_code_the_message_names_the_command():
    reason = why_no_window()
    assert reason is not None, "the tests' environment has the headless OpenCV"
    assert "pip install opencv-python" in reason
    with pytest.raises(SinkError, match="--window"):
        WindowSink(on_quit=lambda: None)


@pytest.fixture(scope="module")
def windowed(tmp_path_factory):
    """A ``fer-edge`` in an environment whose OpenCV can open windows."""
    home = tmp_path_factory.mktemp("windowed")
    venv.create(home / "venv", with_pip=True)
    pip = [home / "venv/bin/python", "-m", "pip", "install", "-q"]
    opencv = (
        "opencv-python>=4.8.1,<4.12" if sys.version_info < (3, 13) else "opencv-python>=4.12,<5"
    )
    environment = clean_environment()
    others = ("ai-edge-litert", "click", "rich", "platformdirs")
    subprocess.run([*pip, opencv, *others], check=True, env=environment)
    tree = copy_tree(home / "tree")
    subprocess.run([*pip, "--no-deps", tree], check=True, env=environment)
    return home / "venv/bin/fer-edge"


@pytest.fixture
def screen(tmp_path):
    """A virtual screen; its ``DISPLAY``."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (.ci/run installs them)")
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader) as file:
        display = f":{file.readline().strip()}"
    yield display
    server.terminate()
    server.wait(10)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_window_shows_the_demo_and_q_ends_it(windowed: Path, screen: str, tmp_path: Path):
    environment = clean_environment(DISPLAY=screen)
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [windowed, "run", "--camera", "demo"], env=environment, stderr=log, cwd=tmp_path
        )
        try:
            _wait_for_window(environment)
            time.sleep(2)  # a few frames, so that the picture holds a face
            picture = tmp_path / "screen.png"
            subprocess.run(
                ["import", "-window", "root", picture], env=environment, check=True, timeout=30
            )
            subprocess.run(
                ["xdotool", "search", "--name", TITLE, "windowfocus", "key", "q"],
                env=environment,
                check=True,
                timeout=30,
            )
            assert process.wait(5) == 0
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        assert "results of" in log.read()
    assert _plate_pixels(picture) > 500, "no label plate is seen on the screen"


def _wait_for_window(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        tree = subprocess.run(
            ["xwininfo", "-root", "-tree"], env=environment, capture_output=True, text=True
        )
        if f'"{TITLE}"' in tree.stdout:
            return
        time.sleep(0.2)
    pytest.fail(f"no window titled {TITLE!r} within {LIMIT_S} s")


def _plate_pixels(picture: Path) -> int:
    import cv2
    import numpy as np

    image = cv2.imread(str(picture))
    assert image is not None
    return int((np.abs(image.astype(int) - (80, 220, 255)).max(axis=2) < 12).sum())
