"""Tables as GitHub's Markdown."""

from collections.abc import Sequence


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1
) -> list[str]:
    """The lines of a table.

    Args:
        columns: Their names.
        rows: Texts, one a column; a bar in one does not end its cell.
        text_columns: The first so many are texts, all others figures, aligned right.
    """
    marks = ["---" if place < text_columns else "---:" for place in range(len(columns))]
    return [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (columns, marks, *rows)
    ]
