"""The live page in a real browser: Debian's Chromium looks at a real ``fer-edge run --serve``.

``FER_EDGE_SHOTS=DIR`` keeps a picture of each view, to be looked at.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.edge.cameras.demo import DemoCamera

pytest.importorskip("uvicorn", reason="needs the extra [web]")
playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra [dev]")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra [dev]")

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
LIMIT_S = 30.0
SIZES = {"desktop": (1280, 900), "phone": (360, 740)}


@contextmanager
def running(where: str = "127.0.0.1:0", *options: str) -> Iterator[str]:
    """The demo with its page in a process of its own: the address that it prints."""
    command = [sys.executable, "-m", "fer_edge.edge.cli", "run", "--no-window", "--camera", "demo"]
    process = subprocess.Popen(
        [*command, "--detector", "haar", "--serve", where, *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        for line in process.stderr:
            if found := re.search(r"the page is at (http://\S+)", line):
                break
        else:
            pytest.fail("it ended without a page")
        yield found[1]
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT_S)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        # Chromium's own sandbox does not work for root in a container.
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def looking(browser):
    """Opens addresses; whatever a page complains of, or asks of another host, fails the test."""
    complaints, contexts = [], []

    def look(url: str, *, size: str = "desktop", dark: bool = False, quiet: bool = False):
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * LIMIT_S)
        host = re.match(r"http://[^/?]+", url)[0]
        page.on("request", lambda asked: elsewhere(asked.url, host))
        if not quiet:
            page.on("console", lambda said: complaints.append(said.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url, wait_until="domcontentloaded")
        return page

    def elsewhere(url: str, host: str) -> None:
        if not url.startswith((host, "data:", "blob:")):
            complaints.append(f"asked {url}")

    yield look
    for context in contexts:
        context.close()
    assert complaints == []


def wait_for(page, script: str) -> None:
    # Playwright's own waiting evaluates text in the page, which the page's policy forbids.
    deadline = time.monotonic() + LIMIT_S
    while not page.evaluate(script):
        assert time.monotonic() < deadline, script
        page.wait_for_timeout(50)


def has_face(page) -> None:
    """Wait until a face is named and its scores are drawn."""
    wait_for(page, "/[a-z]+ \\d+ %/.test(document.querySelector('#faces .word')?.textContent)")


def keep(page, name: str) -> None:
    if folder := os.environ.get("FER_EDGE_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.fixture(scope="module")
def url():
    with running("127.0.0.1:0", "--notice") as address:
        yield address


def test_picture_scores_timeline_and_rates_are_shown(looking, url):
    page = looking(url)
    has_face(page)
    wait_for(page, "document.querySelector('#picture').naturalWidth > 0")

    # In one look, as the next result comes within a tenth of a second.
    rows = page.evaluate(
        """[...document.querySelector('#faces .face').querySelectorAll('tbody tr')].map((row) => [
            parseInt(row.querySelector('.share').textContent),
            row.querySelector('.bar span').getBoundingClientRect().width,
        ])"""
    )
    shares, widths = zip(*rows, strict=True)
    assert len(shares) == 7
    assert sum(shares) == pytest.approx(100, abs=4)
    assert np.argmax(widths) == np.argmax(shares)
    assert page.locator("#faces svg.timeline rect").count() > 0
    assert float(page.inner_text("#fps")) >= 0
    assert re.fullmatch(r"\d+ ms", page.inner_text("#age"))
    assert page.inner_text("#camera") == "demo"
    assert page.inner_text("#link") == "live"
    assert page.inner_text("#notice") == "Emotion recognition is running"


def test_it_goes_on_by_itself(looking, url):
    page = looking(url)
    has_face(page)
    count = "document.querySelectorAll('#faces svg.timeline rect').length"
    before = page.evaluate(count)

    wait_for(page, f"{count} >= {before} + 2")

    # The picture moves: two looks at the same element are not the same pixels.
    picture = page.locator("#picture")
    first = picture.screenshot()
    page.wait_for_timeout(1000)
    assert picture.screenshot() != first


def test_a_page_that_is_opened_late_has_the_minute_before(looking, url):
    page = looking(url)
    has_face(page)
    page.wait_for_timeout(3000)

    late = looking(url)

    wait_for(late, "document.querySelectorAll('#faces svg.timeline rect').length >= 4")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_stands_in_the_way_of_anybody(looking, url, size, dark):
    """axe-core finds nothing, and nothing is wider than the window."""
    page = looking(url, size=size, dark=dark)
    has_face(page)
    page.set_input_files("#file", a_photograph())
    page.locator("#photo-faces .face").first.wait_for()
    keep(page, f"{size}-{'dark' if dark else 'light'}")

    found = axe.Axe().run(page)

    assert [(each["id"], each["help"]) for each in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_it_is_used_with_the_keyboard_alone(looking, url):
    page = looking(url)
    # Asked for now: a browser that has not heard of it yet opens a dialogue of its own.
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    has_face(page)

    page.keyboard.press("Tab")

    assert page.evaluate("document.activeElement.id") == "file"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    deadline = time.monotonic() + LIMIT_S
    while not choosers:
        assert time.monotonic() < deadline, "no file can be chosen"
        page.keyboard.press("Enter")
        page.wait_for_timeout(1000)
    choosers[0].set_files(a_photograph())
    page.locator("#photo-faces .face").first.wait_for()


def test_a_screen_reader_hears_who_shows_what(looking, url):
    page = looking(url)
    has_face(page)

    said = page.locator("#people").aria_snapshot()

    assert re.search(r'heading "Face \d+ [a-z]+ \d+ %"', said)
    assert re.search(r'row "happy \d+ %"', said)
    assert re.search(r'img "The last minute: [a-z]+ \d+ s', said)


def test_a_photograph_that_is_dropped_is_read(looking, url):
    page = looking(url)
    data = page.evaluate_handle(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], 'me.png', {type: 'image/png'}));
            return data;
        }""",
        list(a_photograph()["buffer"]),
    )

    page.dispatch_event("#drop", "drop", {"dataTransfer": data})

    page.locator("#photo-faces .face").first.wait_for()
    assert re.fullmatch(r"\d+ faces?", page.inner_text("#photo-said"))
    assert page.evaluate("document.querySelector('#photo').width") > 0


def test_a_photograph_that_is_none_is_named_with_the_reason(looking, url):
    # The refusal is in the browser's console as well.
    page = looking(url, quiet=True)

    page.set_input_files(
        "#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    )

    wait_for(page, "/not read/.test(document.querySelector('#photo-said').textContent)")
    assert page.inner_text("#photo-said").startswith("notes.txt was not read: ")


def test_a_device_that_starts_again_is_found_again(looking):
    with running() as address:
        # A lost connection is in the browser's console.
        page = looking(address, quiet=True)
        has_face(page)
        page.evaluate("document.querySelector('#faces .name').textContent = 'of the first run'")

    wait_for(page, "/lost/.test(document.querySelector('#link').textContent)")
    with running(re.search(r"//([^/]+)", address)[1]):
        wait_for(page, "document.querySelector('#link').textContent === 'live'")
        wait_for(page, "document.querySelector('#picture').naturalWidth > 0")
        has_face(page)
        # Face 1 of the second run is another one than face 1 of the first.
        assert "of the first run" not in page.inner_text("#faces")
        first = page.locator("#picture").screenshot()
        page.wait_for_timeout(1000)
        assert page.locator("#picture").screenshot() != first


def test_the_printed_address_lets_in_and_no_other(looking):
    with running("127.0.0.1:0", "--serve-token", "a token of the test") as address:
        # The server ends before the page does, which is in the browser's console.
        page = looking(address, quiet=True)
        has_face(page)
        wait_for(page, "document.querySelector('#picture').naturalWidth > 0")
        assert "token" not in page.url

        other = looking(page.url, quiet=True)

        assert "token is needed" in other.inner_text("body")


def a_photograph() -> dict:
    """A picture of the demo with a face, as the browser takes files."""
    with DemoCamera() as camera:
        picture = camera.read().image
    good, encoded = cv2.imencode(".png", picture)
    assert good
    return {"name": "me.png", "mimeType": "image/png", "buffer": encoded.tobytes()}
