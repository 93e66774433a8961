"""The window: with a stand-in for OpenCV's, and for real on a virtual screen.

The stand-in is a module ``cv2`` that the process of the window finds first; it keeps what is shown
and is told by files what the user and the screen do.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.edge.draw import annotate
from fer_edge.edge.errors import SinkError
from fer_edge.edge.sinks import window
from fer_edge.edge.sinks.group import SinkGroup
from fer_edge.edge.sinks.screen import TITLE
from fer_edge.edge.sinks.window import WindowSink, why_no_window

from ..working_tree import clean_environment, copy_tree
from .conftest import HANG_S, a_reading_at, a_result, wait_until

NEEDED = ("Xvfb", "xdotool", "xwininfo", "import")
LIMIT_S = 60


def test_without_window_code_the_message_names_the_command():
    reason = why_no_window()
    assert reason is not None, "the tests' environment has the headless OpenCV"
    assert "pip install opencv-python" in reason
    with pytest.raises(SinkError, match="--window"):
        WindowSink(on_quit=lambda: None)


# ------------------------------------------------------------------------------------ the stand-in

STAND_IN = """
import os, time
from pathlib import Path
import numpy as np

WINDOW_NORMAL = WINDOW_KEEPRATIO = WINDOW_GUI_NORMAL = WND_PROP_VISIBLE = 0
here = Path(__file__).parent

def _told(name):
    return (here / name).exists()

def namedWindow(title, flags):
    if _told("no screen"):
        os.abort()
    (here / "pid").write_text(str(os.getpid()))

def resizeWindow(title, width, height):
    (here / "size").write_text(f"{width}x{height}")

def imshow(title, image):
    while _told("hang"):
        time.sleep(0.01)
    if _told("screen vanishes"):
        os._exit(1)
    np.save(here / "making.npy", image)
    (here / "making.npy").rename(here / "shown.npy")

def waitKey(milliseconds):
    return ord("q") if _told("q is pressed") else -1

def getWindowProperty(title, which):
    return 0.0 if _told("the window is closed") else 1.0
"""


class StandIn:
    """The window's process: what it shows, and what happens to it."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        (folder / "cv2.py").write_text(STAND_IN)

    def happens(self, what: str) -> None:
        (self.folder / what).touch()

    def ends(self, what: str) -> None:
        (self.folder / what).unlink()

    @property
    def pid(self) -> int:
        return int((self.folder / "pid").read_text())

    @property
    def lives(self) -> bool:
        return Path(f"/proc/{self.pid}").exists()

    def shown(self) -> np.ndarray | None:
        path = self.folder / "shown.npy"
        return np.load(path) if path.exists() else None


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    made = StandIn(tmp_path / "stand-in")
    monkeypatch.setattr(window, "why_no_window", lambda: None)
    monkeypatch.syspath_prepend(made.folder)
    return made


def show_until_seen(sink, stand_in: StandIn, result) -> None:
    """Write a result, again and again as a loop does, until it is what the window shows."""
    expected = annotate(result.frame.image, result.readings)

    def seen() -> bool:
        sink.write(result)
        shown = stand_in.shown()
        return shown is not None and np.array_equal(shown, expected)

    wait_until(seen)


def colours(index: int, shape: tuple[int, ...] = (48, 64, 3)) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, shape, np.uint8)


def test_it_shows_what_is_read_and_ends_with_its_block(stand_in):
    threads, descriptors = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    with WindowSink(on_quit=lambda: pytest.fail("nobody wanted to end")) as sink:
        for index in range(3):
            result = a_result(index, a_reading_at(5, 5, 20), image=colours(index))
            show_until_seen(sink, stand_in, result)
        assert (stand_in.folder / "size").read_text() == "64x48"

    assert not stand_in.lives
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors


def test_pictures_of_other_sizes_and_grey_ones_are_shown(stand_in):
    with WindowSink(on_quit=lambda: None) as sink:
        for index, shape in enumerate([(48, 64, 3), (120, 160, 3), (10, 10, 3), (30, 40)]):
            show_until_seen(sink, stand_in, a_result(index, image=colours(index, shape)))


@pytest.mark.parametrize("what", ["q is pressed", "the window is closed"])
def test_the_user_ends_the_loop(stand_in, what):
    """Also while no frame comes: the camera may be gone."""
    asked = []
    with WindowSink(on_quit=lambda: asked.append(1)) as sink:
        show_until_seen(sink, stand_in, a_result(0))
        stand_in.happens(what)
        wait_until(lambda: asked)
        for index in range(1, 9):  # what was on its way
            sink.write(a_result(index))
            time.sleep(0.002)

    assert asked == [1]


def test_a_screen_that_vanishes_ends_the_window_and_not_the_loop(stand_in):
    said, got = [], []

    class Kept:
        def __enter__(self):
            return self

        def write(self, result) -> None:
            got.append(result.frame.index)

        def __exit__(self, *_) -> None:
            pass

    def write_on() -> bool:
        group.write(a_result(len(got)))
        return bool(said)

    with SinkGroup(said.append) as group:
        group.add("The window", WindowSink(on_quit=lambda: pytest.fail("the user did nothing")))
        group.add("Another", Kept())
        stand_in.happens("screen vanishes")
        wait_until(write_on)
        group.write(a_result(len(got)))

    assert said == ["The window ended: The screen of the window has vanished; the loop goes on."]
    assert got == list(range(len(got)))


def test_a_screen_that_hangs_holds_nothing_up_and_is_given_up(stand_in, monkeypatch):
    monkeypatch.setattr(window, "_STUCK_S", 0.5)
    with WindowSink(on_quit=lambda: None) as sink:
        show_until_seen(sink, stand_in, a_result(0, image=colours(0)))
        stand_in.happens("hang")
        written = []

        def write_on() -> bool:
            sink.write(a_result(len(written)))
            return written.append(1)

        with pytest.raises(SinkError, match=r"not taken a picture for 0.5 s"):
            wait_until(write_on)
        assert len(written) > 10
        assert stand_in.lives
    # Only a kill ends it.
    wait_until(lambda: not stand_in.lives)


def test_a_slow_screen_shows_the_newest(stand_in):
    with WindowSink(on_quit=lambda: None) as sink:
        show_until_seen(sink, stand_in, a_result(0))
        stand_in.happens("hang")
        for index in range(100):
            sink.write(a_result(index, image=colours(index)))
        stand_in.ends("hang")
        show_until_seen(sink, stand_in, a_result(200, image=colours(200)))


def test_a_screen_that_is_not_there_is_told_when_it_is_opened(stand_in, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    stand_in.happens("no screen")

    with pytest.raises(SinkError, match=r"No window opens on the screen ':77'"):
        WindowSink(on_quit=lambda: None).__enter__()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_every_process_does_not_close_the_window_first(stand_in, number):
    """As a supervisor sends it; the loop ends, and the window with it."""
    with WindowSink(on_quit=lambda: None) as sink:
        show_until_seen(sink, stand_in, a_result(0, image=colours(0)))
        os.kill(stand_in.pid, number)
        show_until_seen(sink, stand_in, a_result(1, image=colours(1)))


def test_the_window_of_a_process_that_was_killed_closes(stand_in):
    program = (
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from fer_edge.edge.sinks import window\n"
        "window.why_no_window = lambda: None\n"
        "window.WindowSink(on_quit=lambda: None).__enter__()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # Only the window's own process is to find the stand-in.
    program = "import cv2\n" + program
    done = subprocess.run([sys.executable, "-c", program, stand_in.folder], timeout=HANG_S)

    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not stand_in.lives)


# ---------------------------------------------------------------------------------------- for real


@pytest.fixture(scope="module")
def windowed(tmp_path_factory):
    """A ``fer-edge`` in an environment whose OpenCV can open windows."""
    home = tmp_path_factory.mktemp("windowed")
    venv.create(home / "venv", with_pip=True)
    pip = [home / "venv/bin/python", "-m", "pip", "install", "-q"]
    opencv = (
        "opencv-python>=4.8.1,<4.12" if sys.version_info < (3, 13) else "opencv-python>=4.12,<6"
    )
    environment = clean_environment()
    others = ("ai-edge-litert", "click", "rich", "platformdirs")
    subprocess.run([*pip, opencv, *others], check=True, env=environment)
    tree = copy_tree(home / "tree")
    subprocess.run([*pip, "--no-deps", tree], check=True, env=environment)
    return home / "venv/bin/fer-edge"


@dataclass
class Screen:
    """A virtual screen: its name, and the server that draws it."""

    display: str
    server: subprocess.Popen


@pytest.fixture
def screen(tmp_path):
    """A virtual screen."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (.ci/run installs them)")
    reader, writer = os.pipe()
    # Without -noreset, the server throws everybody out when its last client leaves: a window that
    # connects just as xwininfo has looked would be lost.
    options = ["-displayfd", str(writer), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    server = subprocess.Popen(
        ["Xvfb", "-noreset", *options], pass_fds=[writer], stderr=subprocess.DEVNULL
    )
    os.close(writer)
    with os.fdopen(reader) as file:
        display = f":{file.readline().strip()}"
    yield Screen(display, server)
    server.terminate()
    server.wait(10)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_window_shows_the_demo_and_q_ends_it(windowed: Path, screen: Screen, tmp_path: Path):
    environment = clean_environment(DISPLAY=screen.display)
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [windowed, "run", "--camera", "demo"], env=environment, stderr=log, cwd=tmp_path
        )
        try:
            _wait_for_window(environment, tmp_path / "log")
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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_screen_that_vanishes_ends_the_window_and_not_the_loop(
    windowed: Path, screen: Screen, tmp_path: Path
):
    environment = clean_environment(DISPLAY=screen.display)
    lines = tmp_path / "out.jsonl"
    command = [windowed, "run", "--camera", "demo", "--jsonl", lines]
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, cwd=tmp_path)
        try:
            _wait_for_window(environment, tmp_path / "log")
            screen.server.kill()
            screen.server.wait(10)
            told = "The window ended: The screen of the window has vanished; the loop goes on."
            wait_until(lambda: told in (tmp_path / "log").read_text(), LIMIT_S)
            written = lines.stat().st_size
            wait_until(lambda: lines.stat().st_size > written + 10_000, LIMIT_S)
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_screen_that_is_not_there_is_one_clear_line(windowed: Path, tmp_path: Path):
    """Qt aborts the process that opens a window there."""
    done = subprocess.run(
        [windowed, "run", "--camera", "demo", "--window", "--frames", "5"],
        env=clean_environment(DISPLAY=":77"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=LIMIT_S,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "fer-edge: No window opens on the screen ':77': is it there, and yours?"
    )


def _wait_for_window(environment: dict[str, str], log: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        tree = subprocess.run(
            ["xwininfo", "-root", "-tree"], env=environment, capture_output=True, text=True
        )
        if f'"{TITLE}"' in tree.stdout:
            return
        time.sleep(0.2)
    pytest.fail(f"no window titled {TITLE!r} within {LIMIT_S} s; the log:\n{log.read_text()}")


def _plate_pixels(picture: Path) -> int:
    image = cv2.imread(str(picture))
    assert image is not None
    return int((np.abs(image.astype(int) - (80, 220, 255)).max(axis=2) < 12).sum())
