"""Reports as one HTML file that can be mailed: style and pictures inside, no request to anywhere.

The content is data (:class:`Section`, :class:`Table`, :class:`Picture`), so that every report of
the project looks alike; the look is in ``assets/page.html.j2``.
"""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..edge.errors import DataError
from ..edge.files import replacing
from ..edge.version import __version__

_ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG with what it shows in words (for those who cannot see it), and a line under it."""

    png: bytes
    alt: str
    caption: str = ""

    @property
    def source(self) -> str:
        """The picture as the address of an ``<img>``."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


class Struck(str):
    """A cell that must not be quoted: struck through, and ``after`` behind it as it is."""

    after: str

    def __new__(cls, text: str, after: str = "") -> "Struck":
        """Keep both texts."""
        made = super().__new__(cls, text)
        made.after = after
        return made


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts; all columns but the first ``text_columns`` are figures, aligned right.

    A text may have several lines, and be :class:`Struck`.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    text_columns: int = 1


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, paragraphs, then tables and pictures in their order."""

    title: str
    paragraphs: Sequence[str] = ()
    items: Sequence[Table | Picture] = ()


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """A whole HTML document; every text is escaped.

    Args:
        title: The heading.
        subtitle: What was looked at, when and with what: one line under the heading.
        sections: The content, in its order; more than three are listed on top as links.
    """
    environment = Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["struck"] = lambda cell: isinstance(cell, Struck)
    environment.tests["picture"] = lambda item: isinstance(item, Picture)
    return environment.get_template("page.html.j2").render(
        title=title, subtitle=subtitle, sections=sections, version=__version__
    )


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Section]) -> None:
    """Write :func:`page` to a file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(page(title, subtitle, sections), encoding="utf-8")


def require_own_folder(out: Path, names: Collection[str]) -> None:
    """Refuse a folder for a report that holds anything but an earlier report of the same kind.

    Args:
        out: The folder; it need not exist.
        names: The files that such a report consists of.

    Raises:
        DataError: It is a file, cannot be looked into, or holds other files.
    """
    try:
        others = sorted(path.name for path in out.iterdir() if path.name not in names)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise DataError(f"Cannot write a report into {out}: {exc.strerror}.") from exc
    if others:
        shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        raise DataError(
            f"{out} holds other files ({shown}). Expected a folder that is new, empty, or holds an "
            f"earlier report of the same kind, which is replaced."
        )
