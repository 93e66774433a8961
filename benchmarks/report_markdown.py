"""The content of a page as GitHub's Markdown; its pictures are left out."""

import re
from collections.abc import Iterator, Sequence

from ..training.pages import Section, Struck, Table

# What would begin a table's cell, a tag, a link or an emphasis; a mark such as [1] stays.
_SPECIAL = re.compile(r"([\\`*_|<>~#]|\[(?!\d+\]))")


def markdown(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """A whole document; arguments as of :func:`..training.pages.page`."""
    lines = [f"# {_escape(title)}", "", _escape(subtitle), ""]
    for section in sections:
        tables = [item for item in section.items if isinstance(item, Table)]
        if not tables and not section.paragraphs:
            continue
        lines += [f"## {_escape(section.title)}", ""]
        for paragraph in section.paragraphs:
            lines += [_escape(paragraph), ""]
        for table in tables:
            lines += [*_table(table), ""]
    return "\n".join(lines[:-1]) + "\n"


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield f"**{_escape(table.caption)}**"
        yield ""
    yield _row(table.columns)
    yield _row(["---" if at < table.text_columns else "---:" for at in range(len(table.columns))])
    for row in table.rows:
        yield _row(row)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    if isinstance(text, Struck):
        lines = (f"~~{_escape(line)}~~" for line in text.splitlines())
        return f"{'<br>'.join(lines)} {_escape(text.after)}".rstrip()
    return "<br>".join(_escape(line) for line in text.splitlines())


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
