"""The command ``fer-edge benchmark report``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import check_out, say

if TYPE_CHECKING:
    from .side_by_side import Comparison

_HTML, _MARKDOWN = (".html", ".htm"), (".md", ".markdown")


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN.json…"
)
@click.option(
    "-o",
    "--out",
    "outs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a page (.html) or Markdown (.md); may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option(
    "--fail-on-regression",
    type=click.FloatRange(0),
    metavar="PERCENT",
    help="End with code 5 where a figure of the same host got worse by more than that.",
)
@click.option("--overwrite", is_flag=True, help="Replace --out if it exists.")
def report(
    files: tuple[Path, ...],
    outs: tuple[Path, ...],
    as_json: bool,
    fail_on_regression: float | None,
    overwrite: bool,
) -> None:
    """Set runs side by side, with ratios to the first: RUN.json… are files of `benchmark … -o`.

    Without --out and --json it prints Markdown.
    """
    from .document import read_document
    from .side_by_side import compare, name_runs

    _check_outs(outs, overwrite)
    runs, left_out = name_runs([(path, read_document(path)) for path in files])
    for sentence in left_out:
        say(sentence)
    found = compare(runs)
    for out in outs:
        _write(out, found, left_out)
        say(f"{out}: {', '.join(run.title for run in found.runs)}")
    if as_json:
        from .results import to_json
        from .side_by_side import to_dict

        click.echo(to_json(to_dict(found)), nl=False)
    elif not outs:
        click.echo(_as_markdown(found, left_out), nl=False)
    if fail_on_regression is not None:
        _fail_on_regression(found, fail_on_regression)


def _check_outs(outs: Sequence[Path], overwrite: bool) -> None:
    from ..edge.errors import UsageError

    for out in outs:
        if out.suffix.lower() not in _HTML + _MARKDOWN:
            raise UsageError(f"-o {out}: expected a name that ends in .html or .md.")
        check_out(out, overwrite)


def _write(out: Path, found: "Comparison", left_out: Sequence[str]) -> None:
    from ..edge.errors import SinkError
    from ..edge.files import replacing

    if out.suffix.lower() in _MARKDOWN:
        text = _as_markdown(found, left_out)
    else:
        from ..training.pages import page
        from .report_page import sections, subtitle, title
        from .report_plots import draw

        text = page(title(found), subtitle(found), sections(found, draw(found), left_out))
    try:
        with replacing(out) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise SinkError(f"Cannot write {out}: {exc.strerror}.") from exc


def _as_markdown(found: "Comparison", left_out: Sequence[str]) -> str:
    from .report_markdown import markdown
    from .report_page import sections, subtitle, title

    return markdown(title(found), subtitle(found), sections(found, {}, left_out))


def _fail_on_regression(found: "Comparison", percent: float) -> None:
    """Raise where something got worse, or where nothing could be said of it."""
    from ..edge.errors import DataError, GateError
    from .report_page import change_name

    usable = [each for each in found.changes if each.changes and not each.rough]
    if not usable:
        raise DataError(
            "--fail-on-regression: there is nothing to judge. Expected two runs of one host, "
            "neither with --quick, with valid figures of the same names and models."
        )
    worse = [(each, change) for each in usable for change in each.regressions(percent)]
    if worse:
        lines = [
            f"{each.after} after {each.before}: {change_name(change)}: {change.percent:+.1f} %"
            for each, change in worse
        ]
        raise GateError(f"worse by more than {percent:g} %:\n" + "\n".join(lines))
    say(f"no figure is worse by more than {percent:g} %")
