"""What README and docs say can be followed: links lead somewhere, commands and options exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fer_edge.edge.cli import cli

from .working_tree import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        bare = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).lower()
        found.add(bare.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(page.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            lost.append(link)

    assert lost == []


def commands_in(page: Path) -> Iterator[list[str]]:
    """The words of each ``fer-edge …`` line of the page's code blocks, comments left out."""
    for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|[\s/|])fer-edge\s+(.*)", line)
            if not found or line.lstrip().startswith(("#", "git", "scripts")):
                continue
            try:
                words = shlex.split(found[1], comments=True)
            except ValueError:
                # An apostrophe in what a command prints.
                continue
            # What follows is another program's.
            ends = [at for at, word in enumerate(words) if word in {"|", "&&", ";", ">", "2>"}]
            yield words[: ends[0]] if ends else words


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_and_options_exist(page: Path) -> None:
    for words in commands_in(page):
        command: click.Command = cli
        rest = list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            context = click.Context(command)
            found = command.get_command(context, rest.pop(0))
            assert found is not None, f"{page.name}: fer-edge {' '.join(words)}"
            command = found
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        if "--" in rest:
            # Of `service install`: what follows are options of run.
            rest, passed_on = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
            run = cli.get_command(click.Context(cli), "run")
            assert run is not None
            options = {name for one in run.params for name in (*one.opts, *one.secondary_opts)}
            assert {each for each in passed_on if each.startswith("--")} <= options, words
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        unknown = given - known - {"--help", "-h", "--version", "--config"}
        assert unknown == set(), f"{page.name}: fer-edge {' '.join(words)}"


def test_there_is_something_to_check() -> None:
    assert sum(len(list(commands_in(page))) for page in PAGES) > 60
    assert sum(len(LINK.findall(page.read_text())) for page in PAGES) > 60
