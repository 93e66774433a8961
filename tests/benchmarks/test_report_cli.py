"""``fer-edge benchmark report``: what it writes, what it refuses, and how the page looks.

``FER_EDGE_SHOTS=DIR`` keeps pictures of the page in a browser and in print, to be looked at.
"""

import json
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fer_edge.edge.cli import cli

from .documents import a_document, an_invented_pi, an_invented_run, as_json, save

CHROMIUM = shutil.which("chromium")
THROTTLED = "throttled: frequency capped"
LATER = "2026-11-22T12:00:00+00:00"


# -------------------------------------------------------------------------------------- the command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["benchmark", "report", *map(str, arguments)])


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with runs of two machines, and one that came out the same."""
    pi = an_invented_pi()
    save(
        tmp_path,
        desktop=an_invented_run(),
        pi=an_invented_run(5.0, machine=pi),
        slower=an_invented_run(1.3, date=LATER),
        same=an_invented_run(1.001, date=LATER),
        quick=an_invented_run(1.3, date=LATER, quick=True),
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


class _Sources(HTMLParser):
    """What a page loads or links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if name in ("src", "href")]


def test_a_page_and_markdown_in_one_call(files: Path) -> None:
    result = run("desktop.json", "pi.json", "-o", "r.html", "-o", "r.md")

    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert result.stderr == "r.html: desktop, pi\nr.md: desktop, pi\n"
    html = (files / "r.html").read_text()
    sources = _Sources()
    sources.feed(html)
    # One file that can be mailed: it asks nobody for anything.
    assert {source.partition(":")[0][:1] for source in sources.found} == {"#", "d"}
    assert sum(source.startswith("data:image/png") for source in sources.found) == 5
    assert "5.00 · 5.00×" in html
    assert "| 5.00 · 5.00×<br>4.85 to 5.15 |" in (files / "r.md").read_text()
    assert sorted(path.name for path in files.iterdir() if path.suffix != ".json") == [
        "r.html",
        "r.md",
    ]


def test_without_out_it_prints_markdown(files: Path) -> None:
    result = run("desktop.json")

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# fer-edge on Desktop")


def test_json(files: Path) -> None:
    result = run("desktop.json", "pi.json", "--json", "-o", "r.md")

    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert [each["name"] for each in values["runs"]] == ["desktop", "pi"]
    assert values["rows"][0]["runs"][1]["ratio"] == pytest.approx(5.0)
    assert (files / "r.md").exists()


def test_a_file_given_twice_is_left_out(files: Path) -> None:
    shutil.copy("desktop.json", "copy.json")

    result = run("desktop.json", "./desktop.json", "copy.json", "-o", "r.md")

    assert result.exit_code == 0, result.output
    assert "desktop.json is the same run as desktop: left out." in result.stderr
    assert "copy.json is the same run as desktop: left out." in (files / "r.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        # Usage.
        ([], 2, "Missing argument"),
        (["desktop.json", "-o", "r.pdf"], 2, "ends in .html or .md"),
        (["desktop.json", "--fail-on-regression", "-1"], 2, "--fail-on-regression"),
        # Files that are no documents, or are those of a later version.
        (["no.json"], 1, "Cannot read no.json"),
        (["desktop.json", "later.json"], 1, "schema version '3'"),
        (["cut.json"], 1, "Was it cut off?"),
        (["text.json"], 1, "text.json is no whole JSON"),
        # Told before anything is drawn.
        (["desktop.json", "-o", "there.html"], 1, "there.html exists"),
        (["desktop.json", "-o", "no/such.html"], 1, "does not exist"),
        # There is nothing that could have become worse.
        (["desktop.json", "--fail-on-regression", "10"], 1, "nothing to judge"),
        (["desktop.json", "pi.json", "--fail-on-regression", "10"], 1, "nothing to judge"),
        (["desktop.json", "quick.json", "--fail-on-regression", "10"], 1, "nothing to judge"),
        # It did.
        (["desktop.json", "slower.json", "--fail-on-regression", "10"], 5, "+30.0 %"),
        (["slower.json", "desktop.json", "--fail-on-regression", "10"], 0, "no figure is worse"),
        (["desktop.json", "slower.json", "--fail-on-regression", "50"], 0, "no figure is worse"),
        (["desktop.json", "same.json", "--fail-on-regression", "0"], 0, "no figure is worse"),
    ],
)
def test_exit_codes(files: Path, arguments: list[str], code: int, message: str) -> None:
    values = as_json(a_document())
    (files / "later.json").write_text(json.dumps({**values, "schema": 3}))
    (files / "cut.json").write_text(json.dumps(values)[:-40])
    (files / "text.json").write_text("Frames/s: many\n")
    (files / "there.html").write_text("mine")

    result = run(*arguments)

    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert (files / "there.html").read_text() == "mine"


def test_the_report_is_written_before_a_regression_ends_it(files: Path) -> None:
    result = run("desktop.json", "slower.json", "--fail-on-regression", "10", "-o", "r.html")

    assert result.exit_code == 5
    assert "slower after desktop: latency invoke p50, ms: accurate" in result.stderr
    assert (files / "r.html").exists()


def test_documents_of_version_1_are_read(tmp_path: Path) -> None:
    results = Path(__file__).resolve().parents[2] / "docs" / "results"

    result = run(results / "peers-2026-11-21.json")

    assert result.exit_code == 0, result.output
    assert "schema version 1" in result.stdout


# -------------------------------------------------------------------------------------- in Chromium


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_on_a_phone_only_tables_scroll_and_paper_loses_nothing(files: Path, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra [dev]")
    pi = an_invented_pi()
    many = {f"run{at}": an_invented_run(1.0 + at, date=f"2026-11-2{at}") for at in range(7)}
    hurried = an_invented_run(5.0, machine=pi, quick=True, invalid=THROTTLED, state="interrupted")
    save(files, **many, a_pi_with_a_rather_long_name=hurried)
    names = [f"{name}.json" for name in (*many, "a_pi_with_a_rather_long_name")]
    assert run(*names, "-o", "r.html").exit_code == 0

    with playwright.sync_playwright() as driver:
        # Chromium's own sandbox does not work for root in a container.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 360, "height": 740})
        asked = []
        view.on("request", lambda request: asked.append(request.url))
        view.goto((files / "r.html").as_uri())
        phone = view.evaluate("document.documentElement.scrollWidth")
        # An A4 sheet of 210 mm with margins of 15 mm, at 96 pixels an inch.
        view.set_viewport_size({"width": 680, "height": 1000})
        view.emulate_media(media="print")
        wide = view.evaluate(
            "Array.from(document.querySelectorAll('table, img'))"
            ".map(each => each.getBoundingClientRect().right)"
        )
        if shots := os.environ.get("FER_EDGE_SHOTS"):
            view.pdf(path=str(Path(shots) / "report.pdf"), format="A4")
            view.emulate_media(media="screen")
            for width in (360, 1280):
                view.set_viewport_size({"width": width, "height": 900})
                view.screenshot(path=str(Path(shots) / f"report-{width}.png"), full_page=True)
        browser.close()

    assert phone <= 360
    assert max(wide) <= 680
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
