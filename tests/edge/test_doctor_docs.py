"""docs/troubleshooting.md quotes messages: each must still be in the sources, word for word."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.edge.doctor.interpreter import Interpreter
from fer_edge.edge.doctor.packages import explain

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
FOREIGN = "Words of other programs"


def sections() -> dict[str, str]:
    """Title to text of each section."""
    _, *parts = re.split(r"^## (.+)\n", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def quoted(section: str) -> list[str]:
    """The first cells of a section's tables, as far as they are code."""
    rows = re.findall(r"^\| (?:`` (.+?) ``|`(.+?)`) \|", sections()[section], re.MULTILINE)
    return [longer or plain for longer, plain in rows]


OURS = [
    (section, message)
    for section, text in sections().items()
    if "| message |" in text
    for message in quoted(section)
]


def texts(tree: ast.AST) -> Iterator[str]:
    """All texts of a module, with … in the place of what is put into them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def in_the_sources() -> str:
    found = []
    for path in sorted((ROOT / "edge").rglob("*.py")):
        # The doctor quotes others.
        if "doctor" not in path.parts:
            found += texts(ast.parse(path.read_text(encoding="utf-8")))
    return "\n".join(text.replace("\n", " ") for text in found)


def pattern(message: str) -> str:
    """The message, in which … is anything within a line; at its ends that may be nothing."""
    return ".*?".join(re.escape(part.strip()) for part in message.split("…"))


@pytest.mark.parametrize(("section", "message"), OURS)
def test_a_message_that_is_quoted_exists(in_the_sources, section, message):
    assert re.search(pattern(message), in_the_sources), f"{section}: {message}"


def test_the_page_quotes_many_and_the_search_can_fail(in_the_sources):
    assert len(OURS) > 100
    assert not re.search(pattern("… was eaten by the dog"), in_the_sources)


FAMOUS = [
    "Failed to load delegate from libedgetpu.so.1",
    "numpy.dtype size changed, may indicate binary incompatibility",
    "_ARRAY_API not found",
    "libGL.so.1: cannot open shared object file",
    "No module named 'libcamera'",
    "externally-managed-environment",
]


@pytest.mark.parametrize("words", FAMOUS)
def test_the_famous_words_of_others_are_there(words):
    assert words in quoted(FOREIGN)


def test_what_the_page_knows_of_imports_the_doctor_knows_too():
    imports = [words for words in quoted(FOREIGN) if re.search("numpy|_ARRAY|lib.*so|named", words)]

    for words in imports:
        if "delegate" not in words:
            assert explain(words, Interpreter(), "x")[0], words
    assert len(imports) >= 6


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([\w-]+\.md)", PAGE):
        assert (ROOT / "docs" / target).is_file() or target in ("mqtt.md", "service.md"), target
